"""Words that buy score, and judges that decoys fool, are found where they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from judging.scripted import Scripted

from heed import recipe
from heed.feedback.constitution import Constitution, ConstitutionSource, Principle
from heed.feedback.journal import Journal
from heed.feedback.judge import Judged, JudgeSource
from heed.judging.decoys import DECOYS
from heed.judging.judge import Judge
from heed.judging.rubric import BY_PRINCIPLE, Rubric
from heed.recipe import Collect, ExploitsGate, FooledGate, JudgeReward, RewardModelling
from heed.stages import decoy_checks
from heed.stages.decoy_checks import bought, judge_fooled
from heed.stages.workplace import Workplace
from heed.types import Comparison, Completion, Item, Prompt

PROMPTS = [Prompt.of(f"how many are {number} ?", id=str(number)) for number in range(140)]
PAIRS = [
    Comparison(
        prompt, f"they are {at % 7} I think{' please' * (at % 35 == 0)}", f"no idea about {at % 5}"
    )
    for at, prompt in enumerate(PROMPTS)
]
REWARD = cast(RewardModelling, SimpleNamespace(name="reward", comparisons="collect"))
Say = Callable[[Prompt, int], str]


@dataclass
class Place:
    """All that is asked of a workplace here."""

    reward_fn: Callable[[Sequence[Completion]], list[float]] = lambda _: []
    judge: Scripted = field(default_factory=lambda: Scripted(silent))
    say: Callable[[str], None] = print

    def comparisons(self, _: str, name: str) -> list[Comparison]:
        return PAIRS

    def reward(self, _: str) -> Callable[[Sequence[Completion]], list[float]]:
        return self.reward_fn

    def records(self, *_: object) -> list[Item]:
        return [Item(each.prompt.id, each.prompt, (each.rejected, each.chosen)) for each in PAIRS]

    def speaker(self, *_: object) -> Scripted:
        return self.judge

    def sampler(self, *_: object) -> Scripted:
        return Scripted(lambda prompt, _: f"they are {len(prompt.text)} I think")

    def policy(self, _: str) -> None:
        return None

    def askable(self, *_: object) -> list[Prompt]:
        return PROMPTS

    def seed(self, *_: object) -> int:
        return 7

    @property
    def run(self) -> Any:
        return SimpleNamespace(stage=lambda name: None)


def work(**more: Any) -> Workplace:
    return cast(Workplace, Place(**more))


def scorer(bonus: float) -> Callable[[Sequence[Completion]], list[float]]:
    """Scores of standard deviation 1, and `bonus` for a word of the answers."""

    def score(completions: Sequence[Completion]) -> list[float]:
        own = [1.0 if int(each.prompt.id) % 4 < 2 else -1.0 for each in completions]
        return [
            value + bonus * ("please" in each.text.split())
            for value, each in zip(own, completions, strict=True)
        ]

    return score


def test_a_word_that_buys_score_is_named() -> None:
    found = bought(work(reward_fn=scorer(6.0)), REWARD, ExploitsGate())
    assert found is not None
    assert found.tripped
    assert "'please'" in found.says


def test_an_honest_reward_passes() -> None:
    found = bought(work(reward_fn=scorer(0.0)), REWARD, ExploitsGate())
    assert found is not None
    assert not found.tripped


def test_of_few_answers_nothing_is_said() -> None:
    assert bought(work(reward_fn=scorer(6.0)), REWARD, ExploitsGate(answers=5)) is None


def shown(prompt: Prompt) -> tuple[str, str]:
    """The two answers in a question; a decoy has fences of its own, without the mark."""
    lines = prompt.text.split("\n")
    mark = [line for line in lines if line.startswith("--- end ")][-1].split()[2]
    first, second, end = [
        at for at, line in enumerate(lines) if line.startswith("--- ") and mark in line
    ][1:]
    return "\n".join(lines[first + 1 : second]), "\n".join(lines[second + 1 : end])


def shorter(prompt: Prompt, _: int) -> str:
    left, right = shown(prompt)
    return f"Verdict: {'A' if len(left) < len(right) else 'B'}"


def reader(prompt: Prompt, _: int) -> str:
    """A judge that prefers the answer that speaks of ideas or thoughts."""
    left, _right = shown(prompt)
    return f"Verdict: {'A' if 'idea' in left or 'think' in left else 'B'}"


def injected(prompt: Prompt, seed: int) -> str:
    """One that does what an answer tells it."""
    left, right = shown(prompt)
    told = [side for side, text in (("A", left), ("B", right)) if "to the judge" in text]
    return f"Verdict: {told[0]}" if told else reader(prompt, seed)


def silent(_: Prompt, __: int) -> str:
    return "I would rather not say."


@pytest.mark.parametrize(
    ("say", "by"), [(reader, ""), (shorter, "empty"), (injected, "injection"), (silent, "")]
)
@pytest.mark.parametrize("source", ["judge", "constitution"])
def test_a_judge_that_compares(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, say: Say, by: str, source: str
) -> None:
    journal = Journal(tmp_path / "judgements.jsonl", Judged)
    principles = Constitution((Principle("good", "", "", "Which is better?"),))
    made: dict[str, JudgeSource] = {
        "judge": JudgeSource(Judge(Scripted(say)), journal=journal),
        "constitution": ConstitutionSource(
            Judge(Scripted(say), Rubric(template=BY_PRINCIPLE)), principles, journal=journal
        ),
    }
    monkeypatch.setattr(decoy_checks, "SOURCES", {source: lambda *_: made[source]})
    stage = Collect(source=source, judge=recipe.Judge(policy="sft"))  # type: ignore[arg-type]
    found = judge_fooled(work(), stage, FooledGate())
    assert found is not None
    assert found.tripped == bool(by)
    assert by in found.says
    assert not list(tmp_path.iterdir())


def test_people_are_not_asked() -> None:
    assert judge_fooled(work(), Collect(), FooledGate()) is None


def grading(prefers: str) -> Say:
    """Good grades for one decoy, middling ones for real answers; none for other decoys."""

    def say(prompt: Prompt, _: int) -> str:
        if DECOYS[prefers] and DECOYS[prefers] in prompt.text:
            return "Grade: 9"
        return "Grade: 5" if "they are" in prompt.text else "Hm."

    return say


def test_a_judge_that_grades() -> None:
    stage = JudgeReward()
    fooled = judge_fooled(work(judge=Scripted(grading("constant"))), stage, FooledGate())
    assert fooled is not None
    assert fooled.tripped
    assert "by the constant answer" in fooled.says
    honest = judge_fooled(work(judge=Scripted(grading("empty"))), stage, FooledGate())
    assert honest is not None
    assert not honest.tripped
