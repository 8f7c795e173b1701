"""A person's path through the comparing page, in a real browser, by keyboard alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect
from web.browser import PROJECT, chromium, invitation, join, visiting

from heed.store import annotations, items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Item, Message, Prompt, Verdict

MODELS = ("model-alpha-7b", "model-beta-13b")
NewStore = Callable[..., Store]
KEYS: dict[str, Verdict] = {
    **{str(grade): grade for grade in range(1, 9)}, "t": "tie", "x": "both_bad", "s": "cannot_tell",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def pairs(n: int) -> list[Item]:
    """Distinct questions, every third at the end of a longer conversation."""
    talk = (Message("system", "Be brief."), Message("user", "Hello."), Message("assistant", "Yes?"))
    made = []
    for at in range(n):
        before = talk if at % 3 == 2 else ()
        prompt = Prompt(f"prompt-{at}", (*before, Message("user", f"Which city is number {at}?")))
        long = "\n\n".join(f"It is **city** {at}, and line {line}." for line in range(40))
        made.append(Item(f"item-{at}", prompt, (long, f"I do *not* know number {at}."), MODELS))
    return made


@dataclass
class Said:
    """What the test saw and pressed for one task."""

    question: str
    left: str
    verdict: Verdict


def seen(page: Page) -> tuple[str, str]:
    """The question and the left answer on screen."""
    page.wait_for_selector("#task", state="visible")
    question = page.locator("#asked .text").inner_text()
    return question, page.locator("#answers .text").first.inner_text()


def answer(page: Page, key: str, *, again: bool = False) -> Said:
    """Give a verdict by key and submit it, by Enter or by the same key again."""
    question, left = seen(page)
    page.keyboard.press(key)
    page.keyboard.press(key if again else "Enter")
    return Said(question, left, KEYS[key])


def saved(page: Page, count: int) -> None:
    """Wait until the server has counted so many answers."""
    page.wait_for_function(
        "count => document.getElementById('counts').textContent.startsWith(`${count} done`)",
        arg=count,
    )


def stored(page: Page, store: Store, count: int) -> None:
    """Wait until the store holds so many rows, corrections counted too."""
    for _ in range(500):
        if len(rows(store, history=True)) >= count:
            return
        page.wait_for_timeout(20)
    pytest.fail(f"the store never held {count} rows")


def rows(store: Store, *, history: bool = False) -> list[Annotation]:
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        return annotations.read_all(session, project.id, history=history)


def check(row: Annotation, said: Said, item: Item) -> None:
    """The row holds what was pressed, on the sides as they were on screen."""
    assert row.verdict == said.verdict
    left_is_long = item.answers[row.order[0]].startswith("It is")
    assert said.left.startswith("It is city" if left_is_long else "I do not know")
    assert item.prompt.text == said.question
    assert row.seconds > 0
    assert row.guideline == "1"
    assert row.ui.startswith("heed-web")


def test_from_the_invitation_to_the_end(browser: Browser, new_store: NewStore) -> None:
    given = pairs(20)
    store = new_store(given=given)
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        said = [answer(page, key, again=key in "38") for key in "12345678txs"]

        ahead = seen(page)
        page.keyboard.press("z")
        page.wait_for_function("q => document.getElementById('asked').innerText.includes(q)",
                               arg=said[-1].question)  # fmt: skip
        assert page.locator("#pair input:checked").get_attribute("value") == "cannot_tell"
        said[-1] = answer(page, "2")
        assert seen(page) == ahead, "after undo comes what was on screen before"

        question, left = seen(page)
        page.keyboard.press("7")
        page.keyboard.press("r")
        seed = page.locator("#rewrite").input_value()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("I shall look it up: 1 2 3.")
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        page.keyboard.type("both 1 and 8")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        said.append(Said(question, left, 7))
        assert seed.startswith("I do *not*" if left.startswith("It is") else "It is **city**")

        said += [answer(page, key) for key in "12345678"]
        page.wait_for_selector("#end", state="visible")
        saved(page, 20)
    check_rows(store, given, said)


def check_rows(store: Store, given: list[Item], said: list[Said]) -> None:
    by_question = {item.prompt.text: item for item in given}
    found = {row.item: row for row in rows(store)}
    assert len(found) == len(said) == 20
    for one in said:
        item = by_question[one.question]
        check(found[item.id], one, item)
    undone, rewritten = (found[by_question[said[at].question].id] for at in (10, 11))
    assert (undone.revision, undone.verdict) == (1, 2)
    assert (rewritten.rewrite, rewritten.comment) == ("I shall look it up: 1 2 3.", "both 1 and 8")
    assert rewritten.tags == ("ill-posed prompt",)
    history = rows(store, history=True)
    assert len(history) == 21
    assert [row.verdict for row in history if row.item == undone.item] == ["cannot_tell", 2]


def test_the_next_item_is_there_at_once(browser: Browser, new_store: NewStore) -> None:
    """From the key to the new texts painted, as the browser's own clock measures it."""
    store = new_store(given=pairs(22))
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        page.evaluate(
            """() => {
                window.times = [];
                let pressed = 0;
                addEventListener("keydown", (event) => {
                    if (event.key === "Enter") pressed = event.timeStamp;
                }, true);
                new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(
                    () => window.times.push(performance.now() - pressed),
                ))).observe(document.getElementById("answers"), { childList: true });
            }"""
        )
        for count in range(20):
            page.wait_for_timeout(100)  # nobody reads faster
            answer(page, "12345678"[count % 8])
            page.wait_for_function("count => window.times.length > count", arg=count)
        times = page.evaluate("window.times")
    assert len(times) == 20
    median = statistics.median(times)
    print(f"key to next item: median {median:.1f} ms, longest {max(times):.1f} ms")
    assert median < 100


def test_a_double_press_never_submits_two(browser: Browser, new_store: NewStore) -> None:
    store = new_store(given=pairs(5))
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        page.keyboard.press("3")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        saved(page, 1)
        page.get_by_role("radio", name="B is clearly better").check()
        page.locator("#submit").dblclick()
        saved(page, 2)
        page.keyboard.down("4")
        page.keyboard.down("4")  # held, not pressed again
        page.keyboard.up("4")
        page.wait_for_timeout(100)
        assert page.locator("#counts").inner_text().startswith("2 done")
        page.keyboard.press("4")
        saved(page, 3)
    assert sorted(str(row.verdict) for row in rows(store)) == ["3", "4", "7"]


def test_undo_goes_back_step_by_step(browser: Browser, new_store: NewStore) -> None:
    store = new_store(given=pairs(5))
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        page.keyboard.press("z")  # nothing yet
        expect(page.locator("#live")).to_have_text("There is nothing to undo.")
        said = [answer(page, key) for key in "123"]
        saved(page, 3)
        ahead = seen(page)
        for back in (2, 1):
            page.keyboard.press("z")
            page.wait_for_function(
                "q => document.querySelector('#asked .text').innerText === q",
                arg=said[back].question,
            )
            chosen = page.locator("#pair input:checked").get_attribute("value")
            assert chosen == str(said[back].verdict)
        assert answer(page, "8").question == said[1].question
        assert answer(page, "7").question == said[2].question
        assert seen(page) == ahead
        stored(page, store, 5)
    asked = {f"Which city is number {row.item.removeprefix('item-')}?": row for row in rows(store)}
    found = [(asked[one.question].verdict, asked[one.question].revision) for one in said]
    assert found == [(1, 0), (8, 1), (7, 1)]


def test_a_rewrite_starts_from_a_whole_answer_or_none(
    browser: Browser, new_store: NewStore
) -> None:
    """Lines may end in a lone CR, which no textarea holds; half of a long answer is no answer."""
    texts = ("One.\rTwo.", "word " * 8_000)
    store = new_store(given=[Item("odd", Prompt.of("Which?"), texts)])
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        left = seen(page)[1].startswith("One.")
        short, long = "27" if left else "72"
        page.keyboard.press(short)
        page.keyboard.press("r")
        expect(page.locator("#rewrite")).to_have_value("One.\nTwo.")
        page.keyboard.press("Escape")
        expect(page.locator("#rewriting")).to_be_hidden()  # nothing was changed
        page.keyboard.press(long)
        page.keyboard.press("r")
        page.get_by_role("button", name=f"From {'B' if left else 'A'}").click()
        expect(page.locator("#rewrite")).to_have_value("")
        expect(page.locator("#notices")).to_contain_text("too long to start from")
        page.keyboard.type("Mine.")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        stored(page, store, 1)
    assert [row.rewrite for row in rows(store)] == ["Mine."]


def test_keys_do_not_fire_while_typing_or_when_switched_off(
    browser: Browser, new_store: NewStore
) -> None:
    store = new_store(given=pairs(4))
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        question = seen(page)
        page.keyboard.press("c")
        page.keyboard.type("12 txsz?")
        page.keyboard.press("Enter")
        assert page.locator("#comment").input_value() == "12 txsz?"
        assert page.locator("#pair input:checked").count() == 0
        assert seen(page) == question
        page.keyboard.press("Control+1")
        page.keyboard.press("?")
        page.keyboard.press("2")
        expect(page.locator("#help")).to_be_visible()
        page.locator("#single-keys").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        assert page.locator("#pair input:checked").count() == 0
        expect(page.locator("#submit")).to_have_attribute("aria-disabled", "true")
        page.get_by_role("radio", name="Tie").check()
        page.get_by_role("button", name="Submit").click()
        saved(page, 1)
    assert [(row.verdict, row.comment) for row in rows(store)] == [("tie", "12 txsz?")]


def test_answers_scroll_together_in_proportion(browser: Browser, new_store: NewStore) -> None:
    long = "\n\n".join(["word " * 200] * 20)
    item = Item("long", Prompt.of("Which?"), (long, "\n\n".join([long, long])))
    store = new_store(given=[item])
    part = """() => [...document.querySelectorAll("#answers .text")].map(
        (pane) => pane.scrollTop / (pane.scrollHeight - pane.clientHeight))"""
    with visiting(browser, store) as page:
        join(page, invitation(store), "Ada")
        heights = page.eval_on_selector_all(".answer", "nodes => nodes.map((n) => n.offsetHeight)")
        assert heights[0] == heights[1]
        page.locator("#answers .text").first.evaluate("(pane) => { pane.scrollTop = 900; }")
        page.wait_for_timeout(100)
        left, right = page.evaluate(part)
        assert left > 0
        assert left == pytest.approx(right, abs=0.01)
        page.keyboard.press("PageDown")
        page.wait_for_timeout(100)
        left_later, right_later = page.evaluate(part)
        assert left_later > left
        assert left_later == pytest.approx(right_later, abs=0.01)
        page.keyboard.press("l")
        page.locator("#answers .text").first.evaluate("(pane) => { pane.scrollTop = 0; }")
        page.wait_for_timeout(100)
        assert page.evaluate(part) == [0, pytest.approx(right_later)]
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        assert items.read_one(session, project.id, "long") == item


def test_a_break_is_suggested_and_hidden_time_is_not_counted(
    browser: Browser, new_store: NewStore
) -> None:
    store = new_store(ProjectSettings(lease_seconds=100_000), given=pairs(9))
    with visiting(browser, store) as page:
        page.clock.install()
        join(page, invitation(store), "Ada")
        hide = """(state) => {
            const visibility = { value: state, configurable: true };
            Object.defineProperty(document, "visibilityState", visibility);
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        page.clock.fast_forward(10_000)
        page.evaluate(hide, "hidden")
        page.clock.fast_forward(200_000)
        page.evaluate(hide, "visible")
        page.clock.fast_forward(5_000)
        answer(page, "1")
        saved(page, 1)
        (first,) = rows(store)
        assert 15 <= first.seconds < 25
        for count in range(2, 7):
            assert page.locator("#notices .notice").count() == 0
            page.clock.fast_forward(270_000)
            answer(page, "2")
            saved(page, count)
        suggestion = page.get_by_role("status").filter(has_text="without a break")
        expect(suggestion).to_be_visible()
        suggestion.get_by_role("button", name="Dismiss").click()
        expect(suggestion).to_have_count(0)
        answer(page, "3")
        saved(page, 7)
        expect(suggestion).to_have_count(0)
