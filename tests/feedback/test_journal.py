"""Work that is written down while it goes on, and goes on after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from judging.scripted import Scripted, shorter

from heed.errors import UserError
from heed.feedback import constitution
from heed.feedback.constitution import Principle
from heed.feedback.journal import Journal
from heed.feedback.judge import CHUNK, Judged, JudgeSource
from heed.judging.judge import Judge
from heed.types import Completion, Item, Message, Prompt

QUESTION = Prompt.of("how are you ?", id="q")
ITEMS = [Item(f"i{at}", QUESTION, ("x" * (1 + at % 3), "xx")) for at in range(3 * CHUNK + 5)]


@dataclass
class Mortal:
    """A sampler that dies when it has been asked so many prompts."""

    left: int
    asked: int = 0
    model: Scripted = field(default_factory=lambda: Scripted(shorter))

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        if self.asked + len(prompts) > self.left:
            raise RuntimeError("killed")
        self.asked += len(prompts)
        return self.model.sample(prompts, n=n, seed=seed)


def journal(path: Path) -> Journal[Judged]:
    return Journal(path / "judgements.jsonl", Judged)


def ask(sampler: Mortal, path: Path, items: Sequence[Item] = ITEMS) -> JudgeSource:
    source = JudgeSource(Judge(sampler), journal=journal(path))
    source.ask(items, lambda done: None)
    return source


def test_a_torn_line_is_cut_off_and_whole_ones_stay(tmp_path: Path) -> None:
    notes: Journal[Message] = Journal(tmp_path / "notes.jsonl", Message)
    assert notes.read() == []
    notes.append([Message("user", "a\nb"), Message("assistant", "é")])
    with notes.path.open("a") as file:
        file.write('{"role": "user", "con')
    assert notes.read() == [Message("user", "a\nb"), Message("assistant", "é")]
    notes.append([Message("user", "c")])
    assert [each.content for each in notes.read()] == ["a\nb", "é", "c"]
    notes.keep(notes.read()[:1])
    assert [each.content for each in notes.read()] == ["a\nb"]


def test_what_is_no_record_is_an_error_with_its_line(tmp_path: Path) -> None:
    notes: Journal[Message] = Journal(tmp_path / "notes.jsonl", Message)
    notes.path.write_text('{"role": "user", "content": "a"}\n{"role": "nobody"}\n')
    with pytest.raises(UserError, match="line 2"):
        notes.read()


def test_a_killed_judge_asks_only_what_is_left(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        ask(Mortal(2 * 2 * CHUNK), tmp_path)
    assert len(journal(tmp_path).read()) == 2 * CHUNK
    sampler = Mortal(10**6)
    resumed = ask(sampler, tmp_path)
    assert sampler.asked == 2 * (len(ITEMS) - 2 * CHUNK)
    (tmp_path / "fresh").mkdir()
    undisturbed = ask(Mortal(10**6), tmp_path / "fresh")
    assert resumed.judged == undisturbed.judged
    assert resumed.tally == undisturbed.tally
    assert (tmp_path / "judgements.jsonl").read_bytes() == (
        tmp_path / "fresh" / "judgements.jsonl"
    ).read_bytes()
    finished = Mortal(0)
    assert ask(finished, tmp_path).judged == undisturbed.judged


def test_a_killed_revision_asks_only_for_what_is_left(tmp_path: Path) -> None:
    principle = Principle("kind", "Was that kind?", "Be kind.", "the kinder one")
    prompts = [Prompt.of(f"question {at} ?") for at in range(2 * constitution.CHUNK + 5)]

    def revised(sampler: Mortal, folder: Path) -> constitution.Revisions:
        return constitution.revise(
            sampler,
            prompts,
            constitution.Constitution((principle,)),
            rounds=1,
            seed=0,
            progress=lambda done: None,
            journal=Journal(folder / "trail.jsonl", constitution.Trail),
        )

    echo = Scripted(lambda prompt, seed: f"{prompt.text} {seed}")
    replies = 3 * constitution.CHUNK  # an answer, a critique and a revision a prompt
    with pytest.raises(RuntimeError, match="killed"):
        revised(Mortal(replies + 10, model=echo), tmp_path)
    sampler = Mortal(10**6, model=echo)
    resumed = revised(sampler, tmp_path)
    assert sampler.asked == 3 * len(prompts) - replies
    undisturbed = revised(Mortal(10**6, model=echo), tmp_path / "fresh")
    assert resumed == undisturbed
    assert (tmp_path / "trail.jsonl").read_bytes() == (
        tmp_path / "fresh" / "trail.jsonl"
    ).read_bytes()


def test_other_items_are_judged_anew(tmp_path: Path) -> None:
    ask(Mortal(10**6), tmp_path)
    others = [Item(f"other-{item.id}", item.prompt, item.answers) for item in ITEMS]
    sampler = Mortal(10**6)
    ask(sampler, tmp_path, others)
    assert sampler.asked == 2 * len(others)
    assert [each.annotation.item for each in journal(tmp_path).read()] == [
        item.id for item in others
    ]
