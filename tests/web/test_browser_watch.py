"""The page of a run as it goes, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from report.live_run import Growing
from web.browser import PHONE, chromium, nameless_controls, visiting, wider_than_window

from heed.web.watching import create_watch_app

TOKEN = "token"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SLOW = 60_000
"""Milliseconds that a busy machine may take."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path) -> Growing:
    run = Growing(tmp_path / "run")
    run.prepare()
    run.done("records")
    run.begin("ppo", iterations=40)
    for step in range(1, 6):
        run.log("ppo", step, proxy=float(step), gold=1.0, kl=0.5, entropy=2.0, length=9.0)
    run.draw("ppo", 5, "The first answer.")
    return run


def opened(page: Page) -> None:
    page.set_default_timeout(SLOW)
    page.goto(f"/enter/{TOKEN}")
    page.wait_for_url("**/")


def test_what_is_new_comes_without_a_reload(browser: Browser, run: Growing) -> None:
    app = create_watch_app(run.directory, TOKEN, loopback=True)
    with run.running(), visiting(browser, app) as page:
        opened(page)
        expect(page.get_by_text("The first answer.")).to_be_visible()
        expect(
            page.get_by_role("img", name="Proxy reward of ppo up to iteration 5:")
        ).to_be_visible()
        page.evaluate("document.body.dataset.same = 'yes'")
        run.log("ppo", 6, proxy=17.25)
        run.draw("ppo", 6, "The second answer.")
        new = page.get_by_role("img", name="Proxy reward of ppo up to iteration 6: 17.25")
        expect(new).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("The second answer.")).to_be_visible(timeout=SLOW)
        expect(page.get_by_role("progressbar", name="ppo")).to_have_attribute("value", "6")
        assert page.evaluate("document.body.dataset.same") == "yes"
        assert not nameless_controls(page)
    app = create_watch_app(run.directory, TOKEN, loopback=True)
    with visiting(browser, app) as page:
        opened(page)
        expect(page.get_by_text("Stopped: no process works on it")).to_be_visible()


@pytest.mark.parametrize("options", [{}, PHONE])
def test_hostile_answers_are_inert_and_nothing_runs_over(
    browser: Browser, run: Growing, options: dict[str, object]
) -> None:
    run.draw("ppo", 6, f"{HOSTILE} {'w' * 400}", prompt=HOSTILE + "p" * 300, family="f" * 200)
    run.find("ppo", "kl", "x" * 300, step=3, tripped=True)
    app = create_watch_app(run.directory, TOKEN, loopback=True)
    with visiting(browser, app, **options) as page:
        opened(page)
        expect(page.locator(".said").first).to_contain_text("<script>document.title")
        run.draw("ppo", 7, HOSTILE + " again")
        expect(page.locator(".said").first).to_contain_text("again", timeout=SLOW)
        assert "owned" not in page.title()
        assert wider_than_window(page) <= 0


def test_it_says_that_the_server_is_away(browser: Browser, run: Growing) -> None:
    app = create_watch_app(run.directory, TOKEN, loopback=True)
    with visiting(browser, app, allow=["ERR_FAILED"]) as page:
        opened(page)
        page.route("**/api/frame", lambda route: route.abort())
        expect(page.get_by_text("The server does not answer.")).to_be_visible(timeout=SLOW)
        page.unroute("**/api/frame")
        expect(page.get_by_text("The server does not answer.")).to_be_hidden(timeout=SLOW)
