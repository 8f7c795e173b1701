"""Whose values the reward holds: how people vote, group by group, and whom the policies please."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.report import figures
from heed.report.estimates import estimate, estimates, surely
from heed.report.measures import SHARE, number, policy_name, with_interval
from heed.report.part import Part
from heed.report.parts.left import left_by
from heed.report.read import RunView
from heed.stats.intervals import Estimate

HABITS = {
    "reward": "As the reward model",
    "longer": "Longer",
    "declining": "Declining",
    "left": "Left",
}
TRAITS = {
    "length_bias": "liking of length",
    "courtesy_bias": "liking of courtesy",
    "left_bias": "liking of the left side",
}
HOW = {
    "field": "By {by}",
    "trait": "By their {by}, which the world knows",
    "votes": "Found by the votes on half of the prompts, measured by the others: by how often "
    "they choose {by}",
}
BY_VOTES = {
    "reward": "as the reward model does",
    "longer": "the longer answer",
    "declining": "the answer that declines or does not know",
    "left": "the left answer",
}
WORDS: Mapping[str, Mapping[str, str]] = {"trait": TRAITS, "votes": BY_VOTES}
ALIKE = 0.01
Rows = list[tuple[str, dict[str, Estimate]] | str]


def read(directory: Path, view: RunView) -> Part | None:
    """From what the last evaluation left in values.json."""
    found = [each for each in left_by(directory, view, "evaluate", "values.json") if each]
    if not found:
        return None
    values = found[-1]
    won = values.get("wins") or {}
    disputed = _disputed(won)
    circles = list(_circles(values.get("cycles") or {}))
    unlike = [n for n, habit in values["habits"].items() if habit["chance"] < ALIKE / len(HABITS)]
    return Part(
        name="values",
        question="whom",
        title="Whose values",
        template="parts/values.html",
        values={
            "votes": values["votes"],
            "annotators": values["annotators"],
            "alike": _alike(values["habits"], unlike),
            "won": list(won),
            "before": next((name for name in view.policies if name not in won), ""),
            "colours": figures.colours(list(view.policies)),
            "people_figure": _people(won),
            "win_rows": _win_rows(won),
            "disputed": [line for lines in disputed.values() for line in lines],
            "habits": list(HABITS),
            "names": HABITS,
            "habit_rows": _habit_rows(values["groupings"]),
            "families": list(_families(values["groupings"])),
            "several": any(len(each["groups"]) > 2 for each in values["groupings"]),
            "circles": circles,
        },
        json=values,
        advice=_advice(values["habits"], unlike),
    )


def _alike(habits: Mapping[str, Any], unlike: Sequence[str]) -> str:
    if not habits:
        return "Nobody gave enough votes to be told from others by them."
    if not unlike:
        return "By how they vote they are not shown to differ: no groups are made of it."
    told = ", ".join(BY_VOTES[name] for name in unlike)
    return f"They differ beyond chance in how often they choose {told}."


def _title(grouping: Mapping[str, Any]) -> str:
    how, by = grouping["how"], grouping["by"]
    return HOW[how].format(by=WORDS.get(how, {}).get(by, by))


def _win_rows(won: Mapping[str, Any]) -> Rows:
    """All people, then each group and how far every two are apart."""
    rows: Rows = [("Everyone", _column(won, lambda each: each["all"]))]
    groupings = [each["groupings"] for each in won.values()]
    for at, grouping in enumerate(groupings[0] if groupings else []):
        rows.append(_title(grouping))
        for group in grouping["groups"]:
            column = _column(won, lambda each: each["groupings"][at]["groups"][group])  # noqa: B023
            rows.append((_capital(group), column))
        for pair in range(len(grouping["pairs"])):
            column = _column(won, lambda each: each["groupings"][at]["pairs"][pair]["apart"])  # noqa: B023
            rows.append((_between(grouping, grouping["pairs"][pair]), column))
    return rows if won else []


def _between(grouping: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    """What stands before the difference of two groups."""
    if len(grouping["groups"]) == 2:
        return "Apart"
    return f"Apart: {pair['first']} less {pair['second']}"


def _capital(name: str) -> str:
    """As at the start of a line; a name's own capitals stay."""
    return name[:1].upper() + name[1:]


def _column(won: Mapping[str, Any], of: Any) -> dict[str, Estimate]:
    return {name: known for name, each in won.items() if (known := estimate(of(each)))}


def _habit_rows(groupings: Sequence[Mapping[str, Any]]) -> Rows:
    rows: Rows = []
    for grouping in groupings:
        rows.append(_title(grouping))
        for group, people in grouping["groups"].items():
            column = {
                habit: known
                for habit, table in grouping["habits"].items()
                if (known := estimate(table.get(group)))
            }
            who = "1 person" if len(people) == 1 else f"{len(people)} people"
            rows.append((f"{_capital(group)} ({who})", column))
        for pair in grouping["pairs"]:
            rows.append((_between(grouping, pair), estimates(pair["apart"])))
    return rows


def _families(groupings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The families on which two groups vote apart beyond the interval, of all that were looked at.

    Of twenty looks at two groups that are alike, one shows something by luck; of a grouping of
    more, whose intervals hold for all pairs together, fewer.
    """
    looked, lucky = 0, 0.0
    for grouping in groupings:
        for pair in grouping["pairs"]:
            first, second = pair["first"], pair["second"]
            for habit, table in pair["families"].items():
                for family, apart in estimates(table).items():
                    looked, lucky = looked + 1, lucky + 1 - grouping["level"]
                    if surely(apart):
                        yield (
                            f"{_title(grouping)}, on {family.replace('_', ' ')}: {first} choose "
                            f"{BY_VOTES[habit]} {with_interval(apart, SHARE)} more often than "
                            f"{second}."
                        )
    yield f"{looked} differences were looked at; about {lucky:.0f} show by luck alone."


def _disputed(won: Mapping[str, Any]) -> dict[str, list[str]]:
    """By policy, where it pleases one group more than another, the widest difference first: of
    these people, since the intervals are over prompts.
    """
    said: dict[str, list[str]] = {}
    for name, each in won.items():
        known = [
            (apart, grouping, pair)
            for grouping in each["groupings"]
            for pair in grouping["pairs"]
            if (apart := estimate(pair["apart"])) and surely(apart)
        ]
        for apart, grouping, pair in sorted(known, key=lambda row: -abs(row[0].mean)):
            where = [
                f"{family.replace('_', ' ')} {with_interval(found, SHARE)}"
                for family, found in estimates(pair["families"]).items()
                if surely(found)
            ]
            on = f"; by family: {', '.join(where)}" if where else ""
            said.setdefault(name, []).append(
                f"{policy_name(name)}'s win rate among {_whom(grouping, pair)}: "
                f"{with_interval(apart, SHARE)}{on}."
            )
    return said


def _whom(grouping: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    """The two groups of a pair, the first before "less"."""
    by = grouping["by"]
    first, second = pair["first"], pair["second"]
    if grouping["how"] == "trait":
        return f"people of {first} {TRAITS[by]}, less that of {second}"
    if grouping["how"] == "votes":
        return f"people who {first} often choose {BY_VOTES[by]}, less that of the others"
    return f"{first}, less that among {second} ({by})"


def _circles(found: Mapping[str, Any]) -> Iterator[str]:
    words = {"models": "models that wrote the answers", "answers": "answers to one prompt"}
    for key, each in found.items():
        yield (
            f"Of {each['triads']:,} threes of {words.get(key, key)} that were all compared, "
            f"{each['cyclic']:,} go round (A above B above C above A). Coins would give "
            f"{number(each['by_coin'], 1)} (so few by chance: p = {each['below_coin']:.3f}), one "
            f"order with the same noise {number(each['by_order'], 1)} (so many by chance: "
            f"p = {each['above_order']:.3f}): {_says(each)}."
        )


def _says(each: Mapping[str, Any]) -> str:
    if each["above_order"] < 0.05:
        return "there is no single order behind these preferences"
    if each["below_coin"] < 0.05:
        return "an order with noise would look like this"
    return "too few to tell an order from coins"


def _advice(habits: Mapping[str, Any], unlike: Sequence[str]) -> tuple[str, ...]:
    """Who always takes one side should be looked at."""
    left = habits["left"]["people"] if "left" in unlike else {}
    always = [
        name for name, found in estimates(left).items() if found.low > 0.75 or found.high < 0.25
    ]
    if not always:
        return ()
    return (
        f"{', '.join(always)} took one side nearly always: look at their labels, and weigh them by "
        "reliability (collect.weights) or leave them out.",
    )


def _people(won: Mapping[str, Any]) -> Markup | None:
    """Every person's win rates, a row a person, a dot a policy."""
    tables = {name: estimates(each["people"]) for name, each in won.items()}
    if not tables:
        return None
    last = list(tables.values())[-1]
    people = sorted(last, key=lambda who: -last[who].mean)
    return figures.dots(
        {
            who: {name: table[who] for name, table in tables.items() if who in table}
            for who in people
        },
        figures.colours(list(tables)),
        label="win rate, % of comparisons",
        description=f"Win rates of {', '.join(tables)} by person",
        share=True,
        level=0.5,
    )
