"""Constitutions: reading them, revising by them, judging by them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from judging.scripted import Scripted, shorter
from openai_server import around, serving

from heed.errors import UserError
from heed.feedback.constitution import (
    CHUNK,
    Constitution,
    ConstitutionSource,
    Principle,
    Step,
    Trail,
    read_constitution,
    revise,
)
from heed.files import read_records, write_records
from heed.judging.judge import Judge
from heed.judging.rubric import BY_PRINCIPLE, Rubric
from heed.sampling.local import LocalSampler
from heed.sampling.remote import EndpointSampler
from heed.types import Completion, Demonstration, Item, Message, Prompt, Source

GOOD = """\
principles:
  - name: kind
    critique: Was that kind?
    revise: Be kind.
    prefer: the kinder one
  - {name: brief, critique: "Was that brief?", revise: Be brief., prefer: the briefer one}
"""
KIND = Principle("kind", "Was that kind?", "Be kind.", "the kinder one")
BRIEF = Principle("brief", "Was that brief?", "Be brief.", "the briefer one")
BOTH = Constitution((KIND, BRIEF))
PROMPTS = [Prompt.of(f"question {at} ?") for at in range(CHUNK + 3)]


def ignore(done: int) -> None:
    """Nobody watches."""


def polite(prompt: Prompt, seed: int) -> str:
    """A model that answers rudely, sees it, and says the same kindly or briefly."""
    asked = prompt.text
    if asked == "Was that kind?":
        return f"No: {prompt.messages[-2].content!r} is rude."
    if asked == "Was that brief?":
        return "It is too long."
    if asked in ("Be kind.", "Be brief."):
        return prompt.messages[-4].content + (" please" if asked == "Be kind." else " .")
    return f"go away with your {asked}"


# Reading


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    assert read_constitution(file) == BOTH


def test_the_constitution_that_heed_brings_along() -> None:
    got = read_constitution()
    names = [principle.name for principle in got.principles]
    assert names == ["helpful", "harmless", "honest", "concise", "courteous"]
    assert all("  " not in each.critique + each.revise + each.prefer for each in got.principles)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"mine.yaml: a constitution is a list under `principles:`"),
        ("- kind", r"line 1: a constitution is a list"),
        ("laws: []", r"line 1: unknown key 'laws'. Valid: principles"),
        ("principle: []", r"Did you mean 'principles'"),
        ("principles: []", r"line 1: `principles` is a list of one or more"),
        ("principles:\n  - kind", r"line 2: a principle has the keys name, critique"),
        (GOOD.replace("prefer: the kinder one", ""), r"line 2: the key 'prefer' is missing"),
        (GOOD.replace("revise: Be k", "revised: Be k"), r"line 4: unknown key 'revised'.*'revise'"),
        (GOOD.replace("Be kind.", "7"), r"line 4: 'revise' is a text"),
        (GOOD.replace("Be kind.", "' '"), r"line 4: 'revise' is a text"),
        (GOOD.replace("Be kind.", "[a]"), r"line 4: 'revise' is a text"),
        (GOOD.replace("name: brief", "name: kind"), r"line 6: two principles are named 'kind'"),
        (GOOD + "    - x: [", r"line \d+: not valid YAML"),
        (GOOD.replace("prefer: the k", "revise: the k"), r"line 5: 'revise' stands here twice"),
        ("principles: \x07", r"not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_constitution(file)
    assert str(file) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read the constitution"):
        read_constitution(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"principles: \xe9")
    with pytest.raises(UserError, match="Cannot read the constitution"):
        read_constitution(tmp_path / "latin.yaml")


# Revising


def test_a_trail_is_one_conversation() -> None:
    sampler = Scripted(polite)
    prompt = Prompt("p", (Message("system", "be rude"), Message("user", "hi")))
    got = revise(sampler, [prompt], Constitution((KIND,)), rounds=1, seed=0, progress=ignore)
    (trail,) = got.trails
    assert trail == Trail(
        prompt,
        "go away with your hi",
        (Step("kind", "No: 'go away with your hi' is rude.", "go away with your hi please", True),),
    )
    assert got.demonstrations == [Demonstration(prompt, "go away with your hi please")]
    assert sampler.asked[2].messages == (
        *prompt.messages,
        Message("assistant", "go away with your hi"),
        Message("user", "Was that kind?"),
        Message("assistant", "No: 'go away with your hi' is rude."),
        Message("user", "Be kind."),
    )


def test_rounds_go_on_from_the_revision_and_draw_their_own_principles() -> None:
    heard: list[int] = []
    got = revise(Scripted(polite), PROMPTS, BOTH, rounds=3, seed=5, progress=heard.append)
    assert heard == [CHUNK, CHUNK + 3]
    assert len(got.trails) == len(got.demonstrations) == len(PROMPTS)
    for trail in got.trails:
        expected = trail.answer
        for step in trail.steps:
            expected += " please" if step.principle == "kind" else " ."
            assert step.revision == expected
        assert trail.final == expected
    drawn = Counter(tuple(step.principle for step in trail.steps) for trail in got.trails)
    assert len(drawn) == 8, "all sequences of two principles occur among 67 prompts"
    assert got == revise(Scripted(polite), PROMPTS, BOTH, rounds=3, seed=5, progress=ignore)
    assert got != revise(Scripted(polite), PROMPTS, BOTH, rounds=3, seed=6, progress=ignore)


class Cutting(Scripted):
    """Revisions of some prompts are cut, of others empty."""

    def sample(self, prompts: Any, *, n: int = 1, seed: int = 0) -> list[Completion]:
        return [
            Completion(each.prompt, "", "stop") if "question 1 " in each.prompt.messages[0].content
            and len(each.prompt.messages) > 3
            else Completion(each.prompt, each.text, "length")
            if "question 2 " in each.prompt.messages[0].content and each.prompt.text == "Be kind."
            else each
            for each in super().sample(prompts, n=n, seed=seed)
        ]  # fmt: skip


def test_revisions_that_are_empty_or_cut_are_not_adopted() -> None:
    got = revise(Cutting(polite), PROMPTS[:4], Constitution((KIND,)), rounds=2, seed=0,
                 progress=ignore)  # fmt: skip
    assert [trail.final is None for trail in got.trails] == [False, True, True, False]
    assert [each.prompt for each in got.demonstrations] == [PROMPTS[0], PROMPTS[3]]
    cut = got.trails[2]
    assert [step.revision for step in cut.steps] == [f"{cut.answer} please"] * 2
    assert got.to_json() == {
        "prompts": 4, "demonstrations": 2, "unchanged": 0, "revisions": 8, "not_adopted": 4,
        "principles": {"kind": 8},
    }  # fmt: skip


def test_trails_can_be_written_and_read(tmp_path: Path) -> None:
    got = revise(Scripted(polite), PROMPTS[:2], BOTH, rounds=1, seed=0, progress=ignore)
    write_records(tmp_path / "trails.jsonl", got.trails)
    assert tuple(read_records(tmp_path / "trails.jsonl", Trail)) == got.trails


def test_revising_needs_a_round() -> None:
    with pytest.raises(ValueError, match="one round"):
        revise(Scripted(polite), PROMPTS, BOTH, rounds=0, seed=0, progress=ignore)


def test_a_local_model_and_a_server_around_it_revise_alike(toy_lm: Any, toy_prompts: Any) -> None:
    """Greedy, of random weights: what is said is noise, but the same noise on both ways."""
    words = [Principle("one", "one ?", "red ?", "blue"), Principle("two", "two ?", "no ?", "good")]
    constitution = Constitution(tuple(words))
    local = LocalSampler(toy_lm(ends=1.0), max_new_tokens=4, temperature=0.0)
    here = revise(local, toy_prompts, constitution, rounds=2, seed=1, progress=ignore)
    with serving(around(local)) as server:
        sampler = EndpointSampler(server.address, "toy", temperature=0.0, max_new_tokens=4)
        far = revise(sampler, toy_prompts, constitution, rounds=2, seed=1, progress=ignore)
    assert far == here
    assert any(trail.answer for trail in here.trails)


# Judging


def test_items_are_judged_by_a_principle_drawn_for_each() -> None:
    def by_principle(prompt: Prompt, seed: int) -> str:
        brief = "the briefer one" in prompt.text
        return shorter(prompt, seed) if brief else "Verdict: tie"

    items = [Item(f"i{at}", Prompt.of("q ?"), ("x", "xx")) for at in range(40)]
    judge = Judge(Scripted(by_principle), Rubric(template=BY_PRINCIPLE), name="law")
    source: Source = ConstitutionSource(judge, BOTH, seed=3)
    got = source.ask(items, ignore)
    assert {(each.source, each.annotator) for each in got} == {("constitution", "law")}
    assert Counter(each.tags[0] for each in got).keys() == {"kind", "brief"}
    assert all(each.verdict == (2 if each.tags == ("brief",) else "tie") for each in got)
    again = ConstitutionSource(judge, BOTH, seed=3)
    assert [*again.ask(items[:5], ignore), *again.ask(items[5:], ignore)] == got
    assert again.judged[0].judgements[0].principle in ("the kinder one", "the briefer one")
    other = ConstitutionSource(judge, BOTH, seed=4).ask(items, ignore)
    assert [each.tags for each in other] != [each.tags for each in got]


def test_a_rubric_without_a_place_for_the_principle_is_refused() -> None:
    with pytest.raises(UserError, match=r"no \{principle\}"):
        ConstitutionSource(Judge(Scripted(shorter)), BOTH)


def test_a_constitution_has_principles_of_different_names() -> None:
    with pytest.raises(UserError, match="at least one"):
        Constitution(())
    with pytest.raises(UserError, match="named 'kind'"):
        Constitution((KIND, BRIEF, KIND))
