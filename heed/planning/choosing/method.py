"""Which method learns from the data, and what it cannot learn from."""

from __future__ import annotations

from collections.abc import Mapping

from heed.errors import UserError
from heed.planning.choosing.facts import Facts, Reason, Sort
from heed.recipe import LOSSES

ON_POLICY = ("ppo", "rloo", "grpo")
FAMILY = tuple(loss for loss in LOSSES if loss != "odpo")
"""The losses of a `dpo` stage; odpo goes by margins, which comparisons of others seldom have."""
NEEDS: Mapping[str, tuple[Sort, ...]] = {
    **dict.fromkeys((*FAMILY, *ON_POLICY), ("comparisons",)),
    "kto": ("comparisons", "unpaired"),
    "sft": ("comparisons", "demonstrations"),
}
"""By method, the sorts of rows of which one is enough."""
SAID: Mapping[Sort, str] = {
    "comparisons": "comparisons (chosen and rejected)",
    "unpaired": "answers that are labelled good or bad by themselves",
    "demonstrations": "demonstrations",
}
PREFERRED: tuple[tuple[Sort, str, str], ...] = (
    (
        "comparisons",
        "dpo",
        "the data are comparisons, and DPO learns from them without drawing answers: the least "
        "time, and nothing to overfit but the data (Rafailov et al. 2023)",
    ),
    (
        "unpaired",
        "kto",
        "the data are answers called good or bad one by one, which KTO learns from as they are "
        "(Ethayarajh et al. 2024)",
    ),
    (
        "demonstrations",
        "sft",
        "the data are demonstrations without anything that says which answer is better",
    ),
)
MOSTLY = 0.5
"""Share of comparisons among preferences below which those labelled one by one decide."""


def choose(facts: Facts, wanted: str | None) -> Reason:
    """The method that was asked for, or else the one that fits the data.

    Raises UserError for a method that the data do not suit, with those that they do.
    """
    if wanted is None:
        return _default(facts)
    if wanted not in NEEDS:
        raise UserError(f"There is no method {wanted!r}. Choose one of: {', '.join(NEEDS)}.")
    if any(facts.has(sort) for sort in NEEDS[wanted]):
        return Reason("method", wanted, "you asked for it")
    there = " and ".join(SAID[sort] for sort in SAID if facts.has(sort)) or "nothing usable"
    needed = " or ".join(SAID[sort] for sort in NEEDS[wanted])
    able = [name for name in NEEDS if any(facts.has(sort) for sort in NEEDS[name])]
    ways = f"Give --method {' or '.join(able)}, or other data." if able else "Give other data."
    raise UserError(f"{wanted} learns from {needed}, but the data hold {there}. {ways}")


def stage_kind(method: str) -> str:
    """The kind of the stage that carries a method out, which is also the stage's name."""
    return "dpo" if method in FAMILY else method


def _default(facts: Facts) -> Reason:
    preferences = facts.rows.get("comparisons", 0) + facts.rows.get("unpaired", 0)
    few = facts.rows.get("comparisons", 0) < MOSTLY * preferences
    for sort, method, why in PREFERRED:
        if facts.has(sort) and not (sort == "comparisons" and few):
            return Reason("method", method, why)
    raise UserError(
        "The data hold no comparison, no labelled answer and no demonstration that can be used, so "
        "there is nothing to learn from. `heed prefs` says what each row lacks."
    )
