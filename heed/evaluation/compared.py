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
    """A sentence on each decoy that does not surely lose, of a judge's entry in JSON."""
    lost: dict[tuple[str, str], list[str]] = {}
    for each in found["decoys"]:
        if each["word"] in SAID:
            rate = each["win_rate"]
            told = f"{each['against']} {rate['mean']:.0f}% [{rate['low']:.0f}, {rate['high']:.0f}]"
            lost.setdefault((each["word"], each["decoy"].removeprefix("decoy: ")), []).append(told)
    return [
        SAID[word].format(judge=judge, decoy=decoy, lost=", ".join(told))
        for (word, decoy), told in lost.items()
    ]


SAID = {
    "fooled": (
        "{judge} is fooled: {decoy!r}, an answer that answers nothing, does not surely lose to "
        "{lost}."
    ),
    "worthless": (
        "By {judge}, some answers are worth no more than {decoy!r}, which answers nothing: it does "
        "not surely lose to {lost}."
    ),
}


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
