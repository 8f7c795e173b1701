"""How an annotator's pages look and sound: phone, dark, contrast, names, hostile texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect
from web.browser import (
    DESKTOP,
    PHONE,
    chromium,
    invitation,
    join,
    nameless_controls,
    visiting,
    wider_than_window,
)

from heed.store.database import Store
from heed.types import Item, Message, Prompt

MODELS = ("model-alpha-7b", "model-beta-13b")
NewStore = Callable[..., Store]
CODE = "```python\n" + "value = " + "a_rather_long_name + " * 12 + "1\n```"
TABLE = "| " + " | ".join(f"column {at}" for at in range(12)) + " |\n" + "|---" * 12 + "|\n"
WORDS = "# A title\n\nSome *words*, `code` and [a link](https://example.org)."
RICH = f"{WORDS}\n\n{CODE}\n\n{TABLE}\n\n> Quoted.\n\n1. One\n2. Two"
TABLET = {"viewport": {"width": 720, "height": 1000}}
UNBROKEN = "w" * 400
HOSTILE = (
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "[x](javascript:window.hit=1)",
    "<svg/onload=window.hit=1>",
    "![x](https://example.org/x.png)",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "</section></main><form id=task>",
    "<style>body{display:none}</style>",
    "\u202eevil",
    "<a href='data:text/html,x'>x</a>",
)

CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] > 250) return colour;
        }
        return rgba(getComputedStyle(document.body).backgroundColor);
    };
    const poor = [];
    for (const node of document.querySelectorAll("body *")) {
        const text = [...node.childNodes].some((at) => at.nodeType === 3 && at.data.trim());
        if (!text || !node.checkVisibility() || node.closest(".sr")) continue;
        const [a, b] = [light(rgba(getComputedStyle(node).color)), light(ground(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return poor;
}"""
CONTROLS = "button, .grade, .tags label, header a, summary, input[type=text]"
CLIPPED = """() => [...document.querySelectorAll(".grade, button")]
    .filter((node) => node.checkVisibility() && node.scrollWidth > node.clientWidth)
    .map((node) => node.textContent.trim())"""
SMALL = """(controls) => [...document.querySelectorAll(controls)]
    .filter((node) => node.checkVisibility() && !node.closest("dialog:not([open])"))
    .map((node) => [node.textContent.trim() || node.ariaLabel, node.getBoundingClientRect()])
    .filter(([, box]) => box.height > 0 && (box.height < 43.5 || box.width < 43.5))
    .map(([name, box]) => `${name}: ${Math.round(box.width)} x ${Math.round(box.height)}`)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def some_items() -> list[Item]:
    talk = [Message("system", "Be kind."), Message("user", UNBROKEN), Message("assistant", RICH)]
    return [
        Item(
            "talk", Prompt("talk", (*talk, Message("user", "And now?"))), (RICH, UNBROKEN), MODELS
        ),
        Item("ranking", Prompt.of("Rank " + UNBROKEN), (RICH, "Short.", UNBROKEN, "Two.")),
    ]


def looks_right(page: Page, *, phone: bool) -> None:
    assert wider_than_window(page) <= 0
    assert nameless_controls(page) == []
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(CLIPPED) == []
    if phone:
        assert page.evaluate(SMALL, CONTROLS) == []


@pytest.mark.parametrize(
    "options",
    [DESKTOP, TABLET | {"color_scheme": "dark"}, PHONE],
    ids=["desktop", "tablet-dark", "phone"],
)
def test_every_page_of_an_annotator_looks_right(
    browser: Browser, new_store: NewStore, options: dict[str, Any]
) -> None:
    store = new_store(given=some_items())
    phone = options["viewport"]["width"] == 360
    with visiting(browser, store, allow=["status of 404", "status of 401"], **options) as page:
        page.goto("/label")
        looks_right(page, phone=phone)  # not signed in
        path = invitation(store)
        page.goto(path)
        looks_right(page, phone=phone)
        join(page, path, "Ada")
        for _ in range(2):
            page.keyboard.press("e")
            looks_right(page, phone=phone)
            page.keyboard.press("1")
            page.keyboard.press("2")
            page.keyboard.press("r")
            page.keyboard.press("Escape")
            page.keyboard.press("r")
            page.keyboard.type(" More.")
            page.keyboard.press("Escape")
            page.keyboard.press("c")
            looks_right(page, phone=phone)
            page.keyboard.press("Escape")
            page.keyboard.press("x")
            page.keyboard.press("?")
            looks_right(page, phone=phone)
            page.keyboard.press("Escape")
            page.keyboard.press("g")
            expect(page.locator("#guidelines")).to_be_visible()
            looks_right(page, phone=phone)
            page.keyboard.press("Escape")
            page.keyboard.press("Enter")
            page.wait_for_timeout(100)
        page.wait_for_selector("#end", state="visible")
        looks_right(page, phone=phone)
        for path in ("/guidelines", "/goodbye", "/nowhere"):
            page.goto(path)
            looks_right(page, phone=phone)


def test_dark_or_light_is_remembered(browser: Browser, new_store: NewStore) -> None:
    store = new_store(given=some_items())
    ground = "getComputedStyle(document.body).backgroundColor"
    with visiting(browser, store, color_scheme="light") as page:
        join(page, invitation(store), "Ada")
        light = page.evaluate(ground)
        page.get_by_role("button", name="Dark or light").click()
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        assert page.evaluate(ground) == dark
        page.get_by_role("button", name="Dark or light").click()
        assert page.evaluate(ground) == light


def test_focus_and_words_lead_a_screen_reader(browser: Browser, new_store: NewStore) -> None:
    store = new_store(given=[Item(f"i{at}", Prompt.of(f"Q{at}?"), ("a", "b")) for at in range(3)])
    with visiting(browser, store, reduced_motion="reduce") as page:
        join(page, invitation(store), "Ada")
        live = page.locator("#live")
        expect(page.locator("#task")).to_be_focused()
        page.keyboard.press("7")
        expect(live).to_have_text("B clearly better. Enter submits.")
        page.keyboard.press("Enter")
        expect(live).to_contain_text("Next comparison")
        expect(page.locator("#task")).to_be_focused()
        page.keyboard.press("Enter")
        expect(live).to_have_text("Choose a grade first.")
        page.keyboard.press("g")
        expect(page.locator("#guidelines-body")).to_be_focused()
        page.keyboard.press("g")
        expect(page.locator("#task")).to_be_focused()
        page.get_by_role("radio", name="A is significantly better").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("radio", name="A is clearly better")).to_be_checked()
        page.keyboard.press("Enter")
        expect(live).to_contain_text("Next comparison")
        snapshot = page.locator("body").aria_snapshot()
        landmarks = (
            "banner", "main", 'navigation "Pages"', 'form "Your verdict"',
            'radiogroup "Which answer is better?"', 'region "Conversation"',
        )  # fmt: skip
        for landmark in landmarks:
            assert landmark in snapshot, landmark


def test_hostile_texts_do_nothing(browser: Browser, new_store: NewStore) -> None:
    given = [
        Item(f"item-{at}", Prompt.of(text), (text, f"{text} again"), MODELS)
        for at, text in enumerate(HOSTILE)
    ]
    store = new_store(given=given)
    heard: list[str] = []
    bodies: list[str] = []

    def heard_reply(reply: Response) -> None:
        if "/api/" in reply.url:
            bodies.append(reply.text())

    with visiting(browser, store) as page:
        page.on("request", lambda request: heard.append(request.url))
        page.on("response", heard_reply)
        join(page, invitation(store), "Ada")
        for count in range(len(HOSTILE)):
            page.wait_for_selector("#task", state="visible")
            expect(page.locator("#answers .answer")).to_have_count(2)
            page.keyboard.press("s")
            page.keyboard.press("Enter")
            page.wait_for_function(
                "n => document.getElementById('counts').textContent.startsWith(`${n} done`)",
                arg=count + 1,
            )
        assert page.evaluate("window.hit") is None
    assert all("//127.0.0.1" in url for url in heard), heard
    assert bodies
    assert not any(model in body for model in MODELS for body in bodies)


def test_the_page_has_a_gate_of_its_own(browser: Browser, new_store: NewStore) -> None:
    """Even if the server's sanitiser let everything through, the page would not."""
    store = new_store(given=some_items())
    html = (
        "".join(HOSTILE) + "<p style='position:fixed' onclick='x()' id='task'>fine <b>bold</b></p>"
    )
    clean = """async (html) => {
        const { nodes } = await import("/static/markup.js");
        const box = document.createElement("div");
        box.append(nodes(html));
        document.body.append(box);
        return box.innerHTML;
    }"""
    refused = ["inline style", "inline event handler"]  # while parsing; Chromium 156 says both
    with visiting(browser, store, allow=refused) as page:
        join(page, invitation(store), "Ada")
        shown = page.evaluate(clean, html)
        assert page.evaluate("window.hit") is None
    assert "<p>fine <b>bold</b></p>" in shown
    tags = ("<script", "<img", "<svg", "<iframe", "<style", "<form")
    for bad in (*tags, "style=", "onclick", "id=", "data:"):
        assert bad not in shown, bad


def test_on_a_phone_the_verdict_stays_in_reach(browser: Browser, new_store: NewStore) -> None:
    long = "\n\n".join(["word " * 60] * 12)
    store = new_store(given=[Item("long", Prompt.of("Which?"), (long, long))])
    with visiting(browser, store, **PHONE) as page:
        join(page, invitation(store), "Ada")
        answers = page.locator(".answer")
        first, second = (answers.nth(at).bounding_box() for at in range(2))
        assert first is not None
        assert second is not None
        assert second["y"] >= first["y"] + first["height"], "answers stand below each other"
        for depth in (0, 600, 5000):
            page.evaluate("depth => window.scrollTo(0, depth)", depth)
            expect(page.get_by_role("button", name="Submit")).to_be_in_viewport(ratio=1)
        page.get_by_role("radio", name="B is slightly better").tap()
        page.get_by_role("button", name="Submit").tap()
        page.wait_for_selector("#end", state="visible")


@pytest.mark.parametrize("height", [500, 620])
def test_who_writes_in_a_low_window_still_sees_the_answers(
    browser: Browser, new_store: NewStore, height: int
) -> None:
    long = "A line of a long text that says little.\n\n" * 30
    store = new_store(given=[Item("long", Prompt.of(long), (long, long + "More."))])
    window = {"viewport": {"width": 1280, "height": height}}
    with visiting(browser, store, **window) as page:
        join(page, invitation(store), "Ada")
        page.keyboard.press("2")
        page.keyboard.press("r")
        page.keyboard.press("End")
        page.keyboard.type("!")
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        for pane in page.locator("#answers .text").all():
            box = pane.bounding_box()
            assert box is not None
            assert box["height"] >= 75  # three lines
        page.locator("#submit").scroll_into_view_if_needed()
        expect(page.locator("#submit")).to_be_in_viewport(ratio=1)
