"""Nothing is lost and nothing is saved twice: drafts, retries, killed servers, lost leases."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cable import Cable
from databases import postgres_url
from playwright.sync_api import Browser, Page, Request, Route, expect
from web.browser import (
    PROJECT,
    Process,
    Thread,
    chromium,
    invitation,
    join,
    page_of,
    visiting,
)

from heed.feedback import queue
from heed.store import access, annotations, items, members, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Item, Prompt
from heed.web.app import create_app

NewStore = Callable[..., Store]
NETWORK = "Failed to load resource"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def pairs(n: int) -> list[Item]:
    return [
        Item(f"item-{at}", Prompt.of(f"Question {at}?"), (f"Yes, {at}.", f"No, {at}."))
        for at in range(n)
    ]


def rows(store: Store) -> list[Annotation]:
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        return annotations.read_all(session, project.id, history=True)


def saved(page: Page, count: int) -> None:
    page.wait_for_function(
        "count => document.getElementById('counts').textContent.startsWith(`${count} done`)",
        arg=count, timeout=30_000,
    )  # fmt: skip


def asked(page: Page) -> str:
    page.wait_for_selector("#task", state="visible")
    return page.locator("#asked .text").inner_text()


def test_a_draft_survives_a_reload_and_another_browser(
    browser: Browser, new_store: NewStore
) -> None:
    store = new_store(given=pairs(3))
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        question = asked(page)
        page.keyboard.press("6")
        page.keyboard.press("r")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("It depends.")
        page.reload()  # at once: before the draft was put
        assert asked(page) == question
        expect(page.locator("#rewrite")).to_have_value("It depends.")
        assert page.locator("#pair input:checked").get_attribute("value") == "6"
        page.keyboard.press("c")
        with page.expect_request("**/api/drafts/*"):
            page.keyboard.type("in both")
        page.wait_for_timeout(300)
        cookies = page.context.cookies()
        with page_of(browser, page.evaluate("location.origin")) as other:
            other.context.add_cookies(cookies)
            other.goto("/guidelines")
            other.goto("/label")
            assert asked(other) == question
            expect(other.locator("#rewrite")).to_have_value("It depends.")
            expect(other.locator("#comment")).to_have_value("in both")
            other.wait_for_timeout(500)  # at once it would be the second half of a double press
            other.keyboard.press("Enter")
            saved(other, 1)
    (row,) = rows(store)
    assert (row.verdict, row.rewrite, row.comment) == (6, "It depends.", "in both")


def stopped(store: Store, path: Path) -> Thread:
    return Thread(create_app(store, PROJECT, accounts=True))


def killed(store: Store, path: Path) -> Process:
    return Process(path / "store-0.db", PROJECT)


@pytest.mark.parametrize("kind", [stopped, pytest.param(killed, marks=pytest.mark.slow)])
def test_a_server_that_goes_away_in_the_middle_loses_nothing(
    browser: Browser,
    new_store: NewStore,
    tmp_path: Path,
    kind: Callable[[Store, Path], Thread | Process],
) -> None:
    store = new_store(given=pairs(8))
    server = kind(store, tmp_path)
    server.start()
    try:
        with page_of(browser, server.address, allow=[NETWORK]) as page:
            join(page, invitation(store), "Ada")
            said = {}
            for key in "12":
                said[asked(page)] = int(key)
                page.keyboard.press(key)
                page.keyboard.press("Enter")
            saved(page, 2)
            asked(page)
            page.wait_for_timeout(300)  # the next one is fetched
            server.kill()
            for key in "36":
                said[asked(page)] = int(key)
                page.keyboard.press(key)
                page.keyboard.press("Enter")
            expect(page.locator("#saved")).to_have_text("2 not saved yet, trying again")
            expect(page.locator("#waiting")).to_contain_text("cannot be reached")
            assert len(rows(store)) == 2
            server.start()
            saved(page, 4)
            expect(page.locator("#saved")).to_have_text("Saved")
            for key in "7812":
                said[asked(page)] = int(key)
                page.keyboard.press(key)
                page.keyboard.press("Enter")
            saved(page, 8)
    finally:
        server.kill()
    found = {row.item.replace("item-", "Question ") + "?": row.verdict for row in rows(store)}
    assert found == said
    assert len(rows(store)) == 8


def test_a_lost_reply_is_asked_again_under_the_same_key(
    browser: Browser, new_store: NewStore
) -> None:
    store = new_store(given=pairs(3))
    keys = []

    def lose_the_first(route: Route, request: Request) -> None:
        keys.append(json.loads(request.post_data or "")["key"])
        if len(keys) == 1:
            route.fetch()  # the server saves it, the browser never hears
            route.abort()
        else:
            route.continue_()

    with visiting(browser, store, allow=[NETWORK]) as page:
        page.route("**/api/answers", lose_the_first)
        join(page, invitation(store), "Ada")
        page.keyboard.press("4")
        page.keyboard.press("Enter")
        saved(page, 1)
        expect(page.locator("#saved")).to_have_text("Saved")
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(rows(store)) == 1


def test_an_answer_waits_while_the_store_is_away(browser: Browser) -> None:
    with Cable(postgres_url()) as cable, closing(Store.open(cable.url)) as store:
        with store.write() as session:
            items.add(session, projects.create(session, PROJECT).id, pairs(3))
        with visiting(browser, store, allow=[NETWORK]) as page:
            join(page, invitation(store), "Ada")
            cable.cut()
            page.keyboard.press("4")
            page.keyboard.press("Enter")
            expect(page.locator("#saved")).to_contain_text("1 not saved yet", timeout=20_000)
            page.wait_for_timeout(2500)  # it tries again after two seconds
            expect(page.locator("#saved")).to_contain_text("1 not saved yet")
            cable.mend()
            saved(page, 1)
            expect(page.locator("#saved")).to_have_text("Saved")
        assert [row.verdict for row in rows(store)] == [4]


def test_an_unsaved_answer_outlives_the_page(browser: Browser, new_store: NewStore) -> None:
    store = new_store(given=pairs(3))
    with visiting(browser, store, allow=[NETWORK]) as page:
        page.route("**/api/answers", lambda route: route.abort())
        join(page, invitation(store), "Ada")
        first = asked(page)
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        expect(page.locator("#saved")).to_contain_text("1 not saved yet")
        assert rows(store) == []
        page.on("dialog", lambda dialog: dialog.accept())  # leave although not all is saved
        page.unroute("**/api/answers")
        page.goto("/guidelines")
        page.goto("/label")
        saved(page, 1)
        assert asked(page) != first
    assert [row.verdict for row in rows(store)] == [5]


def test_an_answer_waits_for_its_author_to_sign_in_again(
    browser: Browser, new_store: NewStore
) -> None:
    store = new_store(given=pairs(3))
    with visiting(browser, store, allow=[f"{NETWORK}.*401"]) as page:
        join(page, invitation(store), "Ada")
        page.wait_for_timeout(300)
        with store.write() as session:
            ada = members.find(session, "Ada")
            assert ada is not None
            access.log_out_member(session, ada.id)
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("kept in this browser")
        assert rows(store) == []
        with store.write() as session:
            back = access.invite(session, "annotator", name="Ada")
        page.goto(f"/join/{back}")
        page.get_by_role("button", name="Join").click()
        page.wait_for_url("**/guidelines?first=1")
        page.keyboard.press("Enter")
        saved(page, 1)
    assert [row.verdict for row in rows(store)] == [5]


def test_a_lost_lease_is_said_plainly(browser: Browser, new_store: NewStore) -> None:
    store = new_store(ProjectSettings(lease_seconds=1), given=pairs(1))
    with visiting(browser, store, allow=[f"{NETWORK}.*409"]) as page:
        join(page, invitation(store), "Ada")
        taken = datetime.now(UTC) + timedelta(seconds=60)
        with store.write() as session:
            project = projects.find(session, PROJECT)
            assert project is not None
            bob = members.enrol(session, "Bob")
            task = queue.next_task(session, project, bob.id, now=taken)
            assert task is not None
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        notice = page.get_by_role("alert")
        expect(notice).to_contain_text("was not saved")
        expect(notice).to_contain_text("went to someone else")
        page.wait_for_selector("#end", state="visible")
    assert rows(store) == []


def test_a_long_look_keeps_its_lease(browser: Browser, new_store: NewStore) -> None:
    store = new_store(ProjectSettings(lease_seconds=2), given=pairs(2))
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        question = asked(page)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            page.keyboard.press("ArrowDown")
            page.wait_for_timeout(200)
        with store.write() as session:
            project = projects.find(session, PROJECT)
            assert project is not None
            bob = members.enrol(session, "Bob")
            task = queue.next_task(session, project, bob.id)
        assert task is None or task.item.prompt.text != question
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        saved(page, 1)


def test_without_accounts_a_restarted_server_is_no_hurdle(
    browser: Browser, new_store: NewStore
) -> None:
    """The local owner's token is new with every start; the page asks for it by itself."""
    store = new_store(given=pairs(4))
    app = create_app(store, PROJECT, accounts=False)
    with visiting(browser, app, allow=[NETWORK]) as page:
        page.goto("/label")
        expect(page.locator("#guidelines")).to_be_visible()  # shown first to a newcomer
        page.keyboard.press("Enter")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        saved(page, 1)
        app.state.site = create_app(store, PROJECT, accounts=False).state.site
        asked(page)
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        saved(page, 2)
    assert sorted(str(row.verdict) for row in rows(store)) == ["1", "2"]


def test_what_is_kept_goes_to_no_other_store(browser: Browser, new_store: NewStore) -> None:
    """Two stores with a project of one name, one after the other on one port."""
    cats, dogs = new_store(given=pairs(3)), new_store(given=pairs(3))
    sites = [create_app(store, PROJECT, accounts=False) for store in (cats, dogs)]
    server = Thread(sites[0])
    server.start()
    try:
        with page_of(browser, server.address, allow=[NETWORK]) as page:
            page.on("dialog", lambda dialog: dialog.accept())
            page.goto("/guidelines")
            page.goto("/label")
            asked(page)
            page.route("**/api/answers", lambda route: route.abort())
            page.keyboard.press("5")
            page.keyboard.press("Enter")
            expect(page.locator("#saved")).to_contain_text("1 not saved yet")
            server.kill()
            server.app = sites[1]
            server.start()
            page.unroute("**/api/answers")
            page.goto("/guidelines")
            page.goto("/label")
            asked(page)
            page.keyboard.press("1")
            page.keyboard.press("Enter")
            saved(page, 1)
            assert [row.verdict for row in rows(dogs)] == [1]
            server.kill()
            server.app = sites[0]
            server.start()
            page.goto("/label")
            saved(page, 1)
            assert [row.verdict for row in rows(cats)] == [5]
    finally:
        server.kill()


def test_an_answer_that_is_refused_is_set_aside(browser: Browser, new_store: NewStore) -> None:
    store = new_store(given=pairs(2))
    keep = """() => {
        const member = document.querySelector('meta[name="member"]').content;
        const body = {lease: "0123456789abcdef", key: "k", verdict: 3, seconds: 1,
                      rewrite: "Well put.", tags: [], comment: "", ui: "t"};
        localStorage.setItem(`heed:unsaved:${member}:k`, JSON.stringify({body, at: 1}));
    }"""
    kept = "() => Object.keys(localStorage).filter((name) => name.endsWith(':k'))"
    with visiting(browser, store, allow=[f"{NETWORK}.*404"]) as page:
        join(page, invitation(store), "Ada")
        page.evaluate(keep)
        for _ in range(2):
            page.reload()
            notice = page.get_by_role("alert")
            expect(notice).to_contain_text("was not saved. This task is not yours to answer.")
            expect(notice).to_contain_text("Well put.")
        assert [name.split(":")[1] for name in page.evaluate(kept)] == ["aside"]
        notice.get_by_role("button", name="Dismiss").click()
        assert page.evaluate(kept) == []
        page.reload()
        asked(page)
        expect(page.get_by_role("alert")).to_have_count(0)
    assert rows(store) == []
