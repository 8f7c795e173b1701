"""Settings of the stage that measures how gold falls as a proxy is optimised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from heed.recipe.base import Sampling, Stage, StageName
from heed.recipe.policy_gradient import OnPolicy


class Overoptimisation(Stage):
    """Proxy and gold against the distance from the start, for best of n and for RL, with fits of
    Gao et al.'s forms (arXiv:2210.10760). Where gold is known: in the embedded world alone.
    """

    kind: ClassVar[str] = "overoptimisation"
    policy: StageName = "sft"
    """The start: best of n draws from it, and the trainings began there."""
    proxies: dict[str, StageName] = Field({"reward": "reward"}, min_length=1)
    """Label in the report -> reward stage that is optimised."""
    runs: dict[str, StageName] = Field({})
    """Label in the report -> policy gradient whose rounds are read; its reward is a proxy."""
    records: StageName = "records"
    samples: int = Field(64, ge=4)
    """Answers to each held-out prompt; best of n is measured for every n up to this."""
    sampling: Sampling = Sampling()

    def rewards(self) -> list[str]:
        return list(self.proxies.values())

    def inputs(self) -> list[str]:
        names = [self.policy, *self.proxies.values(), *self.runs.values(), self.records]
        return list(dict.fromkeys(names))

    def check(self, earlier: Mapping[str, Stage]) -> None:
        """Raise ValueError where a stage it reads from cannot give what it needs."""
        super().check(earlier)
        if "" in self.proxies:
            raise ValueError("calls a proxy by an empty label; give it a name")
        if self.sampling.temperature == 0.0:
            raise ValueError(
                "draws the same answer every time at sampling.temperature 0, of which none is the "
                "best; set it above 0"
            )
        for label, name in self.runs.items():
            run = earlier[name]
            if not isinstance(run, OnPolicy):
                raise ValueError(
                    f"reads the rounds of {name!r} (runs.{label}), but {run.kind} stages follow no "
                    "policy gradient; name a ppo, rloo, grpo or reinforce stage"
                )
            if run.policy != self.policy:
                raise ValueError(
                    f"measures distances from {self.policy!r}, but {name!r} (runs.{label}) began "
                    f"at {run.policy!r}; name trainings from one start"
                )
            if run.records != self.records:
                raise ValueError(
                    f"measures the start on the prompts of {self.records!r}, but {name!r} "
                    f"(runs.{label}) asked those of {run.records!r}; name the same records"
                )
            for key in ("temperature", "max_new_tokens"):
                if getattr(run.sampling, key) != getattr(self.sampling, key):
                    raise ValueError(
                        f"reads {name!r} (runs.{label}), whose sampling.{key} is "
                        f"{getattr(run.sampling, key)}; set its own to the same, or else the "
                        "start is asked in another way"
                    )
            if run.reward not in self.proxies.values():
                raise ValueError(
                    f"reads {name!r} (runs.{label}), which was trained on {run.reward!r}; name "
                    "that reward among the proxies, too"
                )
