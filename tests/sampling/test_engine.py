"""The engine: each client gets the answers that it would get alone, whoever else is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from heed.errors import UserError
from heed.models.language_model import LanguageModel
from heed.sampling.asked import Asked, Begun, Busy, Closed
from heed.sampling.engine import LocalEngine
from heed.sampling.local import LocalSampler
from heed.types import Prompt

TEXTS = ("yes no ?", "red", "one two good bad maybe ?", "blue green ?", "no no no")


@contextmanager
def engine_of(lm: LanguageModel, **settings: Any) -> Iterator[LocalEngine]:
    engine = LocalEngine(lm, name="toy", **settings)
    try:
        yield engine
    finally:
        engine.abort()
        assert engine.join(10)


def finished(begun: Begun, changed: threading.Event) -> list[str]:
    """The texts, once all answers are at an end."""
    while not all(writing.ended for writing in begun.writings):
        assert changed.wait(10)
        changed.clear()
    return [writing.text() for writing in begun.writings]


def ask(engine: LocalEngine, asked: Asked) -> list[str]:
    changed = threading.Event()
    return finished(engine.begin(asked, changed.set), changed)


def some(count: int, **settings: Any) -> list[Asked]:
    """Requests of several lengths, settings and numbers of answers."""
    kinds = [(1.0, 1.0, 0), (0.7, 0.9, 0), (0.0, 1.0, 0), (1.3, 1.0, 3)]
    made = []
    for at in range(count):
        temperature, top_p, top_k = kinds[at % len(kinds)]
        made.append(
            Asked(
                Prompt.of(TEXTS[at % len(TEXTS)]), 4 + at % 9, n=1 + at % 3, seed=at,
                temperature=temperature, top_p=top_p, top_k=top_k, **settings,
            )
        )  # fmt: skip
    return made


def alone(lm: LanguageModel, asked: Asked) -> list[tuple[str, str, tuple[int, ...]]]:
    sampler = LocalSampler(
        lm, asked.max_new_tokens, temperature=asked.temperature, top_p=asked.top_p,
        top_k=asked.top_k, stop=asked.stop,
    )  # fmt: skip
    drawn = sampler.sample([asked.prompt], n=asked.n, seed=asked.seed)
    return [(one.text, one.finish, one.ids) for one in drawn]


@pytest.mark.parametrize("lean", [True, False])
def test_answers_side_by_side_are_those_of_each_alone(
    toy_lm: Callable[..., LanguageModel], lean: bool
) -> None:
    lm = toy_lm(ends=1.0)
    if not lean:  # somebody hooked into the model: only its own forward says what it does
        lm.model.register_forward_hook(lambda *_: None)
    requests = some(23, stop=("red",))
    with engine_of(lm, slots=5) as engine:
        assert engine._slots.joins == lean
        changed = threading.Event()
        begun = [engine.begin(asked, changed.set) for asked in requests]
        texts = [finished(each, changed) for each in begun]
        load = engine.load()
    for asked, each, said in zip(requests, begun, texts, strict=True):
        got = [(text, one.finish, tuple(one.ids))
               for text, one in zip(said, each.writings, strict=True)]  # fmt: skip
        assert got == alone(lm, asked)
    assert load.answers == sum(asked.n for asked in requests)
    assert load.tokens == sum(len(one.ids) for each in begun for one in each.writings)
    assert (load.running, load.waiting) == (0, 0)


def test_text_only_grows_while_it_is_written(toy_lm: Callable[..., LanguageModel]) -> None:
    with engine_of(toy_lm()) as engine:
        seen: list[str] = []
        holder: list[Begun] = []
        started = threading.Event()

        def heard() -> None:
            started.wait(5)
            seen.append(holder[0].writings[0].text())

        holder.append(engine.begin(Asked(Prompt.of("yes ?"), 12, seed=3), heard))
        started.set()
        while not holder[0].writings[0].ended or not seen:
            threading.Event().wait(0.01)
        final = holder[0].writings[0].text()
    assert len(seen) > 3
    assert all(final.startswith(text) for text in seen)


def test_who_comes_when_all_places_are_taken_is_sent_away(
    toy_lm: Callable[..., LanguageModel],
) -> None:
    hold, entered = threading.Event(), threading.Event()

    def heard() -> None:
        entered.set()
        hold.wait(10)

    with engine_of(toy_lm(ends=-1e9), slots=2, waiting=2) as engine:
        first = engine.begin(Asked(Prompt.of("yes"), 8, n=2), heard)
        assert entered.wait(10)
        waits = engine.begin(Asked(Prompt.of("no"), 8, n=2), heard)
        with pytest.raises(Busy) as refused:
            engine.begin(Asked(Prompt.of("red"), 8), heard)
        assert refused.value.seconds > 0
        waits.cancel()
        first.writings[0].cancel()
        hold.set()
        changed = threading.Event()
        assert len(ask(engine, Asked(Prompt.of("red"), 8))) == 1
        assert finished(Begun(first.asked, (), first.writings[1:]), changed)
        assert len(first.writings[0].ids) < 8  # its place was free again
        assert waits.writings[0].ids == []  # and nothing was drawn for who had gone


def test_who_is_just_entering_has_a_place(
    toy_lm: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While prompts are read, their answers stand in no line and are not under way yet."""
    hold, entered = threading.Event(), threading.Event()
    with engine_of(toy_lm(), slots=2, waiting=1) as engine:
        enter = engine._slots.enter

        def slowly(*given: Any) -> Any:
            entered.set()
            assert hold.wait(10)
            return enter(*given)

        monkeypatch.setattr(engine._slots, "enter", slowly)
        changed = threading.Event()
        first = engine.begin(Asked(Prompt.of("yes"), 4, n=2), changed.set)
        assert entered.wait(10)
        waits = engine.begin(Asked(Prompt.of("no"), 4), changed.set)
        with pytest.raises(Busy):
            engine.begin(Asked(Prompt.of("red"), 4), changed.set)
        hold.set()
        assert len(finished(first, changed)) == 2
        assert len(finished(waits, changed)) == 1


def test_a_closed_engine_finishes_what_it_began(toy_lm: Callable[..., LanguageModel]) -> None:
    with engine_of(toy_lm(ends=-1e9), slots=2) as engine:
        changed = threading.Event()
        begun = [engine.begin(Asked(Prompt.of("yes"), 20, seed=at), changed.set) for at in range(6)]
        engine.close()
        with pytest.raises(Closed):
            engine.begin(Asked(Prompt.of("no"), 2), changed.set)
        assert engine.join(10)
        assert all(len(each.writings[0].ids) == 20 for each in begun)


def test_an_aborted_engine_says_so_to_everybody(toy_lm: Callable[..., LanguageModel]) -> None:
    hold = threading.Event()
    with engine_of(toy_lm(ends=-1e9), slots=1) as engine:
        begun = [engine.begin(Asked(Prompt.of("yes"), 50), lambda: hold.wait(10)) for _ in range(3)]
        engine.abort()
        hold.set()
        assert engine.join(10)
        assert all("stopped" in each.writings[0].error for each in begun[1:])


def test_a_defect_is_told_and_the_next_one_is_answered(
    toy_lm: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of(toy_lm()) as engine:
        with monkeypatch.context() as broken:
            broken.setattr(engine._slots, "enter", lambda *_: 1 / 0)
            changed = threading.Event()
            begun = engine.begin(Asked(Prompt.of("yes"), 4), changed.set)
            finished(begun, changed)
            assert "failed" in begun.writings[0].error
        assert len(ask(engine, Asked(Prompt.of("yes"), 4))) == 1


def test_what_does_not_fit_is_refused(toy_lm: Callable[..., LanguageModel]) -> None:
    with engine_of(toy_lm(), slots=2) as engine:
        for asked, said in (
            (Asked(Prompt.of("yes"), 64), "context of toy holds 64"),
            (Asked(Prompt.of("yes"), 4, n=3), "3 answers"),
        ):
            with pytest.raises(UserError, match=said):
                engine.begin(asked, lambda: None)


def test_a_conversation_is_remembered_unless_it_does_not_fit(
    toy_lm: Callable[..., LanguageModel],
) -> None:
    """Else memory would fill with what nobody is answered, as long as requests may be."""
    with engine_of(toy_lm(0)) as engine:
        known = engine._ids_of.cache_info
        for at in range(3):
            with pytest.raises(UserError, match="context of toy holds 64"):
                engine.begin(Asked(Prompt.of("yes " * (100 + at)), 1), lambda: None)
        assert known().currsize == 0
        for _ in range(2):
            ask(engine, Asked(Prompt.of("yes"), 1))
        assert (known().currsize, known().hits) == (1, 1)


def test_slots_that_memory_does_not_hold_are_refused(
    toy_lm: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer of two heads of width 8, 64 tokens: 2 * 16 * 4 * 64 = 8,192 bytes a slot."""
    monkeypatch.setattr("heed.sampling.slots.available_memory", lambda: 8192 * 3)
    with engine_of(toy_lm(), slots=3):
        pass
    with pytest.raises(UserError, match="4 slots of 64 tokens"):
        LocalEngine(toy_lm(), name="toy", slots=4)


def test_a_text_is_continued(toy_lm: Callable[..., LanguageModel]) -> None:
    """Ids as they are, without a conversation around them; the space between belongs to it."""
    lm = toy_lm(ends=-1e9)
    with engine_of(lm, stop=("\n\nHuman:",)) as engine:
        ids = engine.text_ids("yes no")
        assert ids == tuple(lm.tokenizer("yes no")["input_ids"])
        asked = Asked(Prompt.of("yes no"), 3, ids=ids, temperature=0.0)
        (said,) = ask(engine, asked)
    assert said.startswith(" ")
    assert len(said.split()) == 3
