"""Rounds: the same stages again and again, each time from the policy that the last round left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from heed.recipe.base import Comparisons, Settings, Stage, StageName, listed


class Rounds(Settings):
    """Sample, ask, refresh the reward model, improve; then the same with the better policy.

    Iterated RLHF (Bai et al. 2022, arXiv:2204.05862, section 4.5; Llama 2, arXiv:2307.09288,
    section 3.2); with DPO inside, iterative DPO (Xiong et al. 2024, arXiv:2312.11456).
    """

    times: int = Field(3, ge=1)
    """How often the stages run; round 2 of a stage `ppo` is called `ppo-2`. A stage that reads from
    one that stands after it gets that of the round before."""
    start: StageName = "sft"
    """The policy of the first round. Where a stage of the rounds names it, later rounds take
    the policy that the round before left."""
    improved: str = "ppo"
    """The stage of the rounds that leaves the round's policy."""
    comparisons: Literal["all", "latest"] = "all"
    """Stages train on the comparisons of all rounds so far, or on those of their round."""

    def expand(self, stages: Sequence[Stage]) -> list[list[Stage]]:
        """The stages of every round, by round.

        Raises:
          ValueError: no stage of the rounds leaves their policy, or none goes on from it.
        """
        names = [stage.name for stage in stages]
        if self.improved not in names:
            raise ValueError(
                f"improved names the stage of the rounds that leaves their policy, and "
                f"{self.improved!r} is none of {', '.join(names) or 'them: `stages` is empty'}"
            )
        if self.start in names:
            raise ValueError(
                f"start names a policy from before the rounds; {self.start!r} stands in them"
            )
        if not any(self.start in stage.inputs() for stage in stages):
            raise ValueError(
                f"no stage of the rounds reads from {self.start!r}, so every round would be the "
                "same; let start name the policy that they begin with"
            )
        return [
            [self._in_round(stage, number, names) for stage in stages]
            for number in range(1, self.times + 1)
        ]

    def _in_round(self, stage: Stage, number: int, names: Sequence[str]) -> Stage:
        """The stage as it stands in round `number`, counted from 1."""
        before = names[: names.index(stage.name)]

        def latest(name: str) -> int:
            """The last round in which a stage of the rounds is done before this one."""
            return number if name in before else number - 1

        def rename(name: str) -> str:
            if name in names:
                return f"{name}-{latest(name)}"
            return f"{self.improved}-{number - 1}" if name == self.start and number > 1 else name

        changed: dict[str, object] = {"name": f"{stage.name}-{number}"}
        field = type(stage).model_fields.get("comparisons")
        kinds = (Comparisons, Comparisons | None)
        named: Comparisons | None = getattr(stage, "comparisons", None)
        if field is not None and field.annotation in kinds and named is not None:
            said = listed(named)
            changed["comparisons"] = gathered = [
                each for name in said for each in self._so_far(name, latest(name), names)
            ]
            if not gathered:
                raise ValueError(
                    f"in the first round nothing is compared before {stage.name!r}; name a collect "
                    f"stage from before the rounds too, as in comparisons: [NAME, {said[0]}]"
                )
        return stage.renamed(rename).model_copy(update=changed)

    def _so_far(self, name: str, latest: int, names: Sequence[str]) -> list[str]:
        """The stages that `name` stands for where comparisons are gathered."""
        if name not in names:
            return [name]
        first = {"all": 1, "latest": max(latest, 1)}[self.comparisons]
        return [f"{name}-{number}" for number in range(first, latest + 1)]
