"""The owner's pages and the arena in a real browser: no console errors, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from playwright.sync_api import Browser, Page, expect
from web.browser import (
    PHONE,
    chromium,
    invitation,
    nameless_controls,
    page_of,
    serving,
    visiting,
    wider_than_window,
)

from heed.store import annotations as labels
from heed.store import items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Completion, Item, Prompt
from heed.web.app import create_app

PROJECT = "capitals"
PATHS = ("/owner", "/owner/annotators", "/owner/disputed", "/owner/invites", "/owner/guidelines",
         "/arena")  # fmt: skip
ODD = "odd/id %2F ?#"
HOSTILE = "<script>document.title = 'owned'</script> *Hello*"


class Fixed:
    """A sampler that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        return [Completion(prompt, self.text) for prompt in prompts for _ in range(n)]


SAMPLERS = {"secret-one": Fixed("I am **one**."), "secret-two": Fixed(HOSTILE)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def labelled(new_store: Callable[..., Store]) -> Store:
    """Twelve items that two people labelled, a few of them otherwise."""
    given = [
        Item(f"item {at}", Prompt.of(f"Question {at}?"), (f"First {at}.", f"Second {at}."))
        for at in range(11)
    ]
    given.insert(
        2, Item(ODD, Prompt.of("An odd one?"), (HOSTILE, "word " * 400), ("alpha", "beta"))
    )
    store = new_store(ProjectSettings(per_item=3, pay_per_hour=20.0), given)
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(
            session,
            project.id,
            [
                Annotation(item.id, who, grade, seconds=12.0 + at, source="people")
                for at, item in enumerate(given)
                for who, grade in (("Ada", 1 + at % 8), ("Bea", 1 + (at * 3) % 8))
            ],
        )
    return store


@pytest.fixture
def address(labelled: Store) -> Iterator[str]:
    with serving(create_app(labelled, PROJECT, accounts=True, samplers=SAMPLERS)) as served:
        yield served


def enter(page: Page, store: Store) -> None:
    """Sign in as an owner."""
    page.goto(invitation(store, "owner"))
    page.keyboard.type("Olga")
    page.keyboard.press("Enter")
    page.wait_for_url("**/guidelines?first=1")


@pytest.mark.parametrize("options", [{}, {**PHONE, "color_scheme": "dark"}], ids=["wide", "phone"])
def test_every_page_stands(
    browser: Browser, address: str, labelled: Store, options: dict[str, object]
) -> None:
    with page_of(browser, address, **options) as page:
        enter(page, labelled)
        for path in PATHS:
            page.goto(path)
            expect(page.locator("main > h1")).to_be_visible()
            assert wider_than_window(page) <= 0, path
            assert nameless_controls(page) == [], path
            assert page.title() != "owned"
        page.goto("/owner")
        # The page's own colours have reached the charts: nothing is black by default.
        fills = page.eval_on_selector_all(
            ".chart .bar, .chart text", "all => all.map(each => getComputedStyle(each).fill)"
        )
        assert fills
        assert "rgb(0, 0, 0)" not in fills


def test_a_dispute_is_settled_and_an_invitation_made(
    browser: Browser, address: str, labelled: Store
) -> None:
    with page_of(browser, address) as page:
        enter(page, labelled)
        page.goto("/owner/disputed")
        form = page.locator("article.dispute", has_text="An odd one?").locator("form")
        form.get_by_label("B clearly better").check()
        form.get_by_label("Why").fill("Because.")
        form.get_by_role("button", name="Record").click()
        expect(page.locator("details.settled")).to_contain_text("An odd one?")
        page.goto("/owner/invites")
        page.get_by_role("button", name="Create a link").click()
        link = page.locator("#link").input_value()
        assert link.startswith(f"{address}/join/")
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("#copy")).to_have_text(re.compile("Copied|Ctrl"))
    with labelled.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        found = [
            each for each in labels.read_all(session, project.id) if each.source == "adjudication"
        ]
    assert [(each.item, each.verdict, each.comment) for each in found] == [(ODD, 7, "Because.")]


def test_a_click_on_record_alone_records_nothing(
    browser: Browser, new_store: Callable[..., Store]
) -> None:
    three = Item("three", Prompt.of("A colour?"), ("red", "green", "blue"))
    store = new_store(ProjectSettings(per_item=2), [three])
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        votes = [
            Annotation("three", who, ranks, source="people", order=(0, 1, 2))
            for who, ranks in (("Ada", (1, 2, 3)), ("Bea", (3, 2, 1)))
        ]
        labels.add(session, project.id, votes)

    def rulings() -> list[Annotation]:
        with store.read() as session:
            found = labels.read_all(session, project.id, history=True)
        return [each for each in found if each.source == "adjudication"]

    with visiting(browser, store) as page:
        enter(page, store)
        page.goto("/owner/disputed")
        record = page.get_by_role("button", name="Record")
        record.click()
        page.get_by_label("Rank of A").select_option("2")
        expect(page.get_by_label("ranked:")).to_be_checked()
        record.click()
        assert rulings() == []
        page.get_by_label("all bad").check()
        record.click()
        page.locator("details.settled summary").click()
        for name, rank in (("A", "2"), ("B", "1"), ("C", "1")):
            page.get_by_label(f"Rank of {name}").select_option(rank)
        record.click()
        expect(page.locator("tr.ruling")).to_contain_text("B = C > A")
    assert [each.verdict for each in rulings()] == ["both_bad", (2, 1, 1)]


def test_a_phone_shows_what_goes_on_beyond_its_edge(
    browser: Browser, address: str, labelled: Store
) -> None:
    with page_of(browser, address, **PHONE) as page:
        enter(page, labelled)
        for path in PATHS[:-1]:
            page.goto(path)
            expect(page.locator(".menu [aria-current]")).to_be_in_viewport(ratio=1)
        page.goto("/owner/annotators")
        table = page.locator(".wide").first
        expect(table).to_have_class("wide goes-on")
        table.evaluate("each => { each.scrollLeft = each.scrollWidth }")
        expect(table).to_have_class("wide")


@pytest.mark.parametrize("name", ["Chi-Wei Alexandra Montgomery-Smythe", "W" * 100])
def test_a_long_name_leaves_room_for_the_figures_on_a_phone(
    browser: Browser, address: str, labelled: Store, name: str
) -> None:
    """The names stay in view beside the figures that are scrolled to."""
    with labelled.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(session, project.id, [Annotation("item 1", name, 2, 9.0, source="people")])
    with page_of(browser, address, **PHONE) as page:
        enter(page, labelled)
        page.goto("/owner/annotators")
        assert wider_than_window(page) <= 0
        table = page.locator(".wide").first
        table.evaluate("each => { each.scrollLeft = each.scrollWidth }")
        row = page.get_by_role("row", name=name[:20])
        boxes = [cell.bounding_box() for cell in (row.locator("th"), row.locator("td").last)]
        named, last = (box["x"] + box["width"] * (at == 0) for at, box in enumerate(boxes) if box)
        assert named <= last
        assert named < 0.6 * PHONE["viewport"]["width"]


def test_the_arena_by_keyboard(browser: Browser, address: str, labelled: Store) -> None:
    with page_of(browser, address) as page:
        enter(page, labelled)
        page.goto("/arena")
        page.keyboard.type("Who are <b>you</b>? 1 2 t")
        page.keyboard.press("Enter")
        expect(page.locator("#answers .answer")).to_have_count(2)
        assert "secret" not in page.locator("main").inner_text()
        assert page.locator("#talk .text").inner_text() == "Who are <b>you</b>? 1 2 t"
        page.keyboard.press("2")
        names = page.locator("#answers .name")
        expect(names.nth(0)).to_have_text(re.compile("^secret-(one|two)$"))
        expect(page.locator("#live")).to_contain_text("You preferred the right answer")
        said = names.all_inner_texts()
        page.keyboard.type("And then?")
        page.keyboard.press("Enter")
        expect(page.locator("#talk .turn")).to_have_count(3)
        expect(page.locator("#votes")).to_be_visible()
        page.keyboard.press("x")
        expect(page.locator("#live")).to_contain_text("You found both bad")
        assert page.title() != "owned"
    with labelled.read() as session:
        project = projects.find(session, "arena")
        assert project is not None
        votes = labels.read_all(session, project.id)
        asked = {item.id: item for item in items.read_all(session, project.id)}
    assert [vote.verdict for vote in votes] == [(2, 1), "both_bad"]
    assert [asked[votes[0].item].models[place] for place in votes[0].order] == said
    assert [message.role for message in asked[votes[1].item].prompt.messages] == [
        "user", "assistant", "user",
    ]  # fmt: skip


def test_a_busy_arena_says_so(browser: Browser, address: str, labelled: Store) -> None:
    with page_of(browser, address, allow=["503"]) as page:
        enter(page, labelled)
        page.goto("/arena")
        page.route(
            "**/api/arena",
            lambda route: route.fulfill(status=503, json={"message": "The models are busy."}),
        )
        page.keyboard.type("Hello")
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).to_have_text("The models are busy.")
        assert page.locator("#prompt").input_value() == "Hello"
        page.unroute("**/api/arena")
        page.keyboard.press("Enter")
        expect(page.locator("#answers .answer")).to_have_count(2)
        expect(page.locator("#problem")).to_be_hidden()
