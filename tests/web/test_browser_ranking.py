"""Ranking three or more answers in a real browser: by keys, by dragging, by arrow keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from web.browser import PHONE, PROJECT, chromium, invitation, join, visiting

from heed.store import annotations, projects
from heed.store.database import Store
from heed.types import Annotation, Item, Prompt

NewStore = Callable[..., Store]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def store(new_store: NewStore) -> Store:
    colours = ("red", "green", "blue")
    return new_store(
        given=[Item(f"item-{at}", Prompt.of(f"Colour {at}?"), colours) for at in range(4)]
    )


def rows(store: Store) -> dict[str, Annotation]:
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        return {row.item: row for row in annotations.read_all(session, project.id)}


def drag(page: Page, letter: str, target: str) -> None:
    """Drag the chip of an answer to the middle of what `target` selects."""
    chip = page.locator("#tray .chip", has_text=letter).bounding_box()
    assert chip is not None
    x, y = chip["x"] + chip["width"] / 2, chip["y"] + chip["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 12, y, steps=2)
    box = page.locator(target).first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()


def tray(page: Page) -> str:
    """The ranking as it stands, such as "AB>C" with the rest after a bar."""
    return str(
        page.evaluate(
            """() => {
                const all = (node, what) => [...node.querySelectorAll(what)];
                const letters = (node) => all(node, ".chip").map((c) => c.textContent).join("");
                const groups = all(document, "#tray .group");
                const pool = all(document, "#tray .pool");
                return groups.map(letters).join(">") + pool.map((p) => "|" + letters(p)).join("");
            }"""
        )
    )


def next_question(page: Page, before: str) -> str:
    page.wait_for_function("q => document.getElementById('asked').innerText !== q", arg=before)
    return question(page)


def question(page: Page) -> str:
    page.wait_for_selector("#task", state="visible")
    return page.locator("#asked").inner_text()


def test_ranks_by_keys_with_a_tie_and_takes_back(browser: Browser, store: Store) -> None:
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        asked = question(page)
        page.keyboard.press("Enter")  # nothing is ranked yet
        assert question(page) == asked
        page.keyboard.press("1")
        page.keyboard.press("Backspace")
        assert tray(page) == "|ABC"
        for key in "2t13":
            page.keyboard.press(key)
        assert tray(page) == "BA>C"
        page.keyboard.press("Enter")
        asked = next_question(page, asked)
        for key in "31":  # the last one falls into its place
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        asked = next_question(page, asked)
        for key in "x1s":
            page.keyboard.press(key)
        page.keyboard.press("s")  # again: submits
        asked = next_question(page, asked)
        page.keyboard.press("z")
        next_question(page, asked)
        expect(page.locator("#ranking input:checked")).to_have_attribute("value", "cannot_tell")
        page.keyboard.press("x")
        page.keyboard.press("Enter")
        shown = "q => document.getElementById('asked').innerText === q"
        page.wait_for_function(shown, arg=asked)
        for _ in range(500):  # the correction is on its way
            found = sorted(str(row.verdict) for row in rows(store).values())
            if found == ["(1, 1, 2)", "(2, 3, 1)", "both_bad"]:
                break
            page.wait_for_timeout(20)
    assert found == ["(1, 1, 2)", "(2, 3, 1)", "both_bad"]


def test_ranks_by_dragging_and_by_arrow_keys(browser: Browser, store: Store) -> None:
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        asked = question(page)
        drag(page, "C", "#tray .gap.empty")
        assert tray(page) == "C|AB"
        drag(page, "A", "#tray .gap")  # before C
        assert tray(page) == "A>C|B"
        drag(page, "B", "#tray .group >> nth=1")  # with C
        assert tray(page) == "A>CB"
        drag(page, "A", "#tray .gap >> nth=2")  # after them
        assert tray(page) == "CB>A"
        page.get_by_role("button", name="Submit").click()
        asked = next_question(page, asked)

        page.get_by_role("button", name="Rank answer B next").click()
        page.locator("#tray .chip", has_text="A").click()
        assert tray(page) == "B>A|C"
        chip = page.locator("#tray .chip", has_text="A")
        chip.focus()
        page.keyboard.press("ArrowLeft")
        assert tray(page) == "BA|C"
        page.keyboard.press("ArrowLeft")
        assert tray(page) == "A>B|C"
        expect(chip).to_be_focused()
        expect(chip).to_have_attribute("aria-label", "Answer A, 1st")
        page.keyboard.press("ArrowRight")
        expect(chip).to_have_attribute("aria-label", "Answer A, 1st, tied with B")
        page.get_by_role("button", name="Submit").click()
        next_question(page, asked)
    found = [row.verdict for row in rows(store).values()]
    assert sorted(map(str, found)) == ["(1, 1, 2)", "(2, 1, 1)"]


def test_ranks_with_a_finger(browser: Browser, store: Store) -> None:
    with visiting(browser, store, **PHONE) as page:
        join(page, invitation(store), "Ada")
        asked = question(page)
        page.get_by_role("button", name="Rank answer C next").tap()
        page.locator("#tray .chip", has_text="A").tap()
        page.locator("#tray .chip", has_text="A").tap()
        assert tray(page) == "C|AB"
        page.locator("#tray .chip", has_text="B").tap()
        page.get_by_role("button", name="Submit").tap()
        next_question(page, asked)
    (row,) = rows(store).values()
    assert row.verdict == (3, 2, 1)


@pytest.mark.parametrize("count", [3, 6])
def test_the_shown_order_is_the_saved_order(
    browser: Browser, new_store: NewStore, count: int
) -> None:
    answers = tuple(f"Word number {at}." for at in range(count))
    store = new_store(given=[Item("one", Prompt.of("Order?"), answers)])
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        shown = page.locator("#answers .text").all_inner_texts()
        for text in answers:
            page.keyboard.press(str(shown.index(text) + 1))
        page.keyboard.press("Enter")
        page.wait_for_selector("#end", state="visible")
        page.wait_for_function("document.getElementById('counts').textContent.startsWith('1')")
    (row,) = rows(store).values()
    assert row.ranks == tuple(range(1, count + 1))
    assert [answers[place] for place in row.order] == shown
