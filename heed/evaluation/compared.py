"""A whole comparison, all judges side by side, as JSON: what `compare.json` holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from heed.evaluation.comparing import BesideBaseline, Standings, agreement, standings
from heed.evaluation.votes import Vote
from heed.stats.controlled import Controlled
from heed.stats.ratings import Rating


def compared(
    votes: Sequence[Vote], baseline: str | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """The standings by each judge, in the order of their first votes, and how far judges agree.

    Win rates are in percent. A judge that decided nothing has no entry.
    """
    judges = list(dict.fromkeys(vote.judge for vote in votes))
    found = [
        standings([vote for vote in votes if vote.judge == judge], baseline, seed=seed)
        for judge in judges
    ]
    return {
        "baseline": baseline,
        "contestants": list(dict.fromkeys(n for vote in votes for n in (vote.left, vote.right))),
        "judges": {each.judge: as_json(each) for each in found},
        "agreement": [
            {"judges": list(pair), "kappa": kappa.to_json()}
            for pair, kappa in agreement(votes, seed=seed).items()
        ],
    }


def as_json(found: Standings) -> dict[str, Any]:
    """One judge's standings."""
    pairs: dict[str, dict[str, Any]] = {}
    for (one, other), each in found.pairs.items():
        pairs.setdefault(one, {})[other] = each.rate.to_json()
    return {
        "votes": found.votes,
        "prompts": found.prompts,
        "sides": dict(zip(("left", "right", "tie"), found.sides, strict=True)),
        "ratings": [_rating(found, each) for each in found.ratings],
        "against_baseline": {name: _beside(each) for name, each in found.beside.items()},
        "pairs": pairs,
        "cycles": None if found.cycles is None else asdict(found.cycles),
        "decoys": [
            {
                "decoy": each.decoy,
                "against": each.against,
                "win_rate": each.rate.to_json(),
                "word": each.word,
            }
            for each in found.decoys
        ],
        "fooled_by": found.fooled_by,
        "notes": list(found.notes),
    }


def fooled_notes(judge: str, found: dict[str, Any]) -> list[str]:
    """A sentence on each decoy that a judge prefers, of its entry in JSON."""
    said = []
    for decoy in found["fooled_by"]:
        lost = {
            each["against"]: each["win_rate"]
            for each in found["decoys"]
            if each["decoy"] == decoy and each["word"] == "fooled"
        }
        told = ", ".join(
            f"{name} {rate['mean']:.0f}% [{rate['low']:.0f}, {rate['high']:.0f}]"
            for name, rate in lost.items()
        )
        said.append(
            f"{judge} is fooled: {decoy.removeprefix('decoy: ')!r}, an answer that answers "
            f"nothing, does not surely lose to {told}."
        )
    return said


def _rating(found: Standings, each: Rating) -> dict[str, Any]:
    boot = found.resampled[each.name].to_json()
    return {
        **{key: _known(value) for key, value in asdict(each).items()},
        "bootstrap": [boot["low"], boot["high"]],
        "votes": boot["n"],
    }


def _beside(each: BesideBaseline) -> dict[str, Any]:
    return {
        "win_rate": each.raw.rate.to_json(),
        "error": _known(each.raw.error),
        "discrete": each.raw.discrete.to_json(),
        "ties": each.ties.to_json(),
        "length_controlled": _controlled(each.length),
        "style_controlled": _controlled(each.style),
    }


def _controlled(each: Controlled | None) -> dict[str, Any] | None:
    if each is None:
        return None
    return {
        "win_rate": each.rate.to_json(),
        "error": _known(each.error),
        "effects": {name: effect.to_json() for name, effect in each.effects.items()},
    }


def _known(value: Any) -> Any:
    """JSON has no number for what is not known."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
