"""Policies against each other: who is better by whom, how surely, and which judge is fooled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.report import figures
from heed.report.measures import SHARE, Measure, in_order, number, policy_name, with_interval
from heed.report.part import Part
from heed.report.parts.left import estimate, left_by
from heed.report.read import RunView
from heed.stats.intervals import Estimate

RATING = Measure("Rating", "Elo points", digits=0)
RANK = Measure("Rank", digits=0)
KAPPA = Measure("Cohen's kappa")
RATES = {
    "win_rate": ("Wins against {}", "a tie counts half"),
    "length_controlled": ("The same, length-controlled", "as if answers were equally long"),
    "style_controlled": ("The same, style-controlled", "length, lists, headers, bold"),
}
MOST = 8
"""Contestants that fit a table side by side; more stand below each other."""
Row = tuple[str, str, Measure, Mapping[str, Estimate]] | str


@dataclass(frozen=True)
class Section:
    """What one judge's votes say, as the page shows it."""

    judge: str
    votes: int
    prompts: int
    names: Sequence[str]
    board: Sequence[Row]
    ratings: Mapping[str, Estimate]
    pairs: Sequence[Row]
    decoys: Sequence[Row]
    resisted: str
    fooled: Sequence[str]
    orders: str
    circles: str
    notes: Sequence[str]

    @property
    def many(self) -> bool:
        return len(self.names) > MOST


def read(directory: Path, view: RunView) -> Part | None:
    """From what comparisons left in compare.json."""
    shown, findings, advice, left = [], [], [], []
    for found in left_by(directory, view, "compare", "compare.json"):
        try:
            shown.append(values(found))
            said, advised = told(found)
        except (KeyError, TypeError, ValueError, AttributeError):
            view.notes.append("A compare.json is not as Heed writes it, and is not shown.")
            continue
        findings += said
        advice += advised
        left.append({key: each for key, each in found.items() if key != "accounts"})
    if not left:
        return None
    return Part(
        name="compare",
        question="better",
        title="Against each other",
        template="parts/compare.html",
        values={"comparisons": shown},
        json=left,
        findings=tuple(findings),
        advice=tuple(advice),
    )


def values(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is given of one compare.json.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is no such file.
    """
    baseline = found["baseline"]
    accounts = found.get("accounts", {})
    sections = [
        _section(judge, each, baseline, _orders(accounts.get(judge, {}).get("judge")))
        for judge, each in found["judges"].items()
    ]
    names = list(dict.fromkeys(name for each in sections for name in each.names))
    judges = [each.judge for each in sections]
    return {
        "baseline": baseline,
        "imported": bool(found.get("imported")),
        "sections": sections,
        "colours": figures.colours(names),
        "judges": judges,
        "judge_colours": _judge_colours(judges),
        "figure": _figure({each.judge: each.ratings for each in sections}),
        "agreement": [
            (" and ".join(each["judges"]), _known(each["kappa"])) for each in found["agreement"]
        ],
        "kappa": KAPPA,
    }


def told(found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Sentences for the top of the page, and advice."""
    findings, advice = [], []
    for judge, each in found["judges"].items():
        for decoy in each["fooled_by"]:
            findings.append(
                f"The judge {judge} is fooled by an answer that answers nothing: "
                f"“{_plain(decoy)}” does not surely lose."
            )
            advice.append(
                f"Do not go by {judge} before “{_plain(decoy)}” loses: change its rubric, ask "
                "another model, or put such answers into a reward's training data."
            )
        for name, beside in each["against_baseline"].items():
            raw, controlled = _known(beside["win_rate"]), beside["length_controlled"]
            fair = None if controlled is None else _known(controlled["win_rate"])
            if fair is not None and raw.low > 50 >= fair.low:
                advice.append(
                    f"By {judge}, {policy_name(name)} beats {policy_name(found['baseline'])} in "
                    f"{with_interval(_share(raw), SHARE)} of pairs, but not surely once lengths "
                    f"are equal ({with_interval(_share(fair), SHARE)}): it may win by length."
                )
    first = next(iter(found["judges"].items()), None)
    if first is not None and len(first[1]["ratings"]) > 1:
        pairs = "votes" if found.get("imported") else "blind pairs judged"
        findings.insert(0, f"In {pairs} by {_first(*first)}")
    return findings, advice


def _first(judge: str, found: Mapping[str, Any]) -> str:
    """Who stands first by the first judge, alone or not."""
    top = [row["name"] for row in found["ratings"] if row["rank"] == 1]
    *before, last = map(policy_name, top)
    names = f"{', '.join(before)} and {last}" if before else last
    how = "first, surely above all others" if len(top) == 1 else "first, not surely apart"
    stands = "stands" if len(top) == 1 else "stand"
    return f"{judge}, {names} {stands} {how}."


def _section(judge: str, found: Mapping[str, Any], baseline: str | None, orders: str) -> Section:
    names = [row["name"] for row in found["ratings"]]
    ratings = {
        row["name"]: Estimate(row["rating"], *_bounds(row["low"], row["high"]), row["votes"])
        for row in found["ratings"]
    }
    return Section(
        judge=judge,
        votes=found["votes"],
        prompts=found["prompts"],
        names=names or list(found["pairs"]),
        board=_board(found, ratings, baseline),
        ratings=ratings,
        pairs=_pairs(found["pairs"], names),
        decoys=_decoys(found["decoys"]),
        resisted=_resisted(judge, found["decoys"]),
        fooled=[_plain(name) for name in found["fooled_by"]],
        orders=orders,
        circles=_circles(found["cycles"]),
        notes=found["notes"],
    )


def _board(
    found: Mapping[str, Any], ratings: Mapping[str, Estimate], baseline: str | None
) -> list[Row]:
    rows = found["ratings"]
    board: list[Row] = [
        ("Rank", "1 + those surely above", RANK,
         {row["name"]: Estimate(row["rank"], math.nan, math.nan, 1) for row in rows}),
        ("Rating", "Elo points, mean 1,000", RATING, ratings),
        ("The same by bootstrap", "prompts resampled", RATING,
         {row["name"]: Estimate(row["rating"], *_bounds(*row["bootstrap"]), row["votes"])
          for row in rows}),
    ] if rows else []  # fmt: skip
    beside = found["against_baseline"]
    for key, (label, aside) in RATES.items():
        column = {
            name: _share(_known(each[key] if key == "win_rate" else each[key]["win_rate"]))
            for name, each in beside.items()
            if each[key] is not None
        }
        same = board and not isinstance(board[-1], str) and board[-1][3] == column
        if column and not same:  # answers without any style are controlled for length alone
            board.append((label.format(policy_name(baseline or "")), aside, SHARE, column))
    if beside:
        ties = {name: _known(each["ties"]) for name, each in beside.items()}
        board.append(("Ties with it", "", SHARE, ties))
    return board


def _pairs(found: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    """Win rates of the row's contestant against the column's."""
    if len(names) <= 2:
        return []
    return [
        (
            policy_name(one),
            "beats",
            SHARE,
            {
                other: _share(_known(found[one][other]))
                for other in names
                if other in found.get(one, {})
            },
        )
        for one in names
    ]


def _decoys(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = []
    for decoy in in_order([each["decoy"] for each in found], sorted({e["decoy"] for e in found})):
        own = {e["against"]: _share(_known(e["win_rate"])) for e in found if e["decoy"] == decoy}
        rows.append((_plain(decoy), "wins of its pairs", SHARE, own))
    return list(rows)


def _resisted(judge: str, found: Sequence[Mapping[str, Any]]) -> str:
    words = {each["word"] for each in found}
    if not words or "fooled" in words:
        return ""
    if "worthless" in words:
        weak = dict.fromkeys(policy_name(e["against"]) for e in found if e["word"] == "worthless")
        return f"By {judge}, some answers are worth no more than nothing: of {', '.join(weak)}."
    if words == {"too few"}:
        return f"Too few prompts to tell whether {judge} can be fooled."
    return f"No decoy fools {judge}: each surely loses to every answer worth having."


def _orders(tally: Mapping[str, Any] | None) -> str:
    """How a language model behaved that was asked in both orders."""
    if not tally or tally["consistency"] is None:
        return ""
    said = (
        f"Asked in both orders, it says the same in {100 * tally['consistency']:.0f}% of "
        f"{tally['judged'] - tally['unparsable']:,} pairs; where it does not, that is a tie. Of "
        f"those, it chose what stood first {tally['first']:,} times, what stood second "
        f"{tally['second']:,} times."
    )
    if tally["unparsable"]:
        said += f" {tally['unparsable']:,} pairs got no verdict and are left out."
    return said


def _circles(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    said = (
        f"Of {found['triads']:,} threes with a majority in each pair, {found['cyclic']:,} go round "
        f"(A beats B, B beats C, C beats A); coins would make {number(found['by_coin'], 1)}, an "
        f"order with noise {number(found['by_order'], 1)}."
    )
    if found["above_order"] < 0.05:
        said += f" More than an order allows (p = {number(found['above_order'], 3)})."
    return said


def _figure(ratings: Mapping[str, Mapping[str, Estimate]]) -> Markup | None:
    """Ratings with intervals, a row a contestant, a dot a judge."""
    names = list(dict.fromkeys(name for table in ratings.values() for name in table))
    if not names:
        return None
    return figures.dots(
        {
            policy_name(name): {by: table[name] for by, table in ratings.items() if name in table}
            for name in names
        },
        _judge_colours(list(ratings)),
        label="rating, Elo points",
        description=f"Ratings of {', '.join(map(policy_name, names))} by {', '.join(ratings)}",
        level=1000.0,
    )


def _judge_colours(judges: Sequence[str]) -> dict[str, str]:
    """Colours of their own: no judge is to look like a policy."""
    found = figures.colours([f"judge {name}" for name in judges])
    return {name: found[f"judge {name}"] for name in judges}


def _known(found: Any) -> Estimate:
    """Raises ValueError for what is no estimate."""
    known = estimate(found)
    if known is None:
        raise ValueError("no estimate")
    return known


def _share(found: Estimate) -> Estimate:
    """Of percent."""
    return Estimate(found.mean / 100, found.low / 100, found.high / 100, found.n)


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    return math.nan if low is None else low, math.nan if high is None else high


def _plain(decoy: str) -> str:
    return decoy.removeprefix("decoy: ")
