"""The page as people see it: nothing cut off, nothing to scroll sideways, whole in print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from web.browser import chromium, nameless_controls, page_of, wider_than_window

from heed.report.page import write_report

WIDTHS = (1280, 390)
CUT_OFF = """
() => [...document.querySelectorAll("svg")].flatMap(figure => {
  const box = figure.getBoundingClientRect();
  return [...figure.querySelectorAll("text")].filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1
      || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map(text => figure.getAttribute("aria-label") + ": " + text.textContent);
})
"""
SPILLS = """
() => [...document.querySelectorAll("main *")].filter(each =>
  !each.closest("svg, pre, .wide") && each.clientWidth > 0
  && getComputedStyle(each).display !== "inline" && each.scrollWidth > each.clientWidth + 1
).map(each => each.tagName + " " + each.textContent.trim().slice(0, 40))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off(browser: Browser, run_directory: Path, width: int) -> None:
    path = write_report(run_directory)
    size: dict[str, Any] = {"viewport": {"width": width, "height": 900}}
    with page_of(browser, "http://127.0.0.1", **size) as page:
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert wider_than_window(page) <= 0
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate(SPILLS) == []
        assert nameless_controls(page) == []


def test_print_keeps_figures_whole(browser: Browser, run_directory: Path) -> None:
    path = write_report(run_directory)
    with page_of(browser, "http://127.0.0.1") as page:
        page.goto(path.as_uri())
        page.emulate_media(media="print")
        breaks = "each => each.map(one => getComputedStyle(one).breakInside)"
        assert set(page.eval_on_selector_all("figure", breaks)) == {"avoid"}
        assert not page.is_visible("nav.contents")
        assert len(page.pdf()) > 10_000
