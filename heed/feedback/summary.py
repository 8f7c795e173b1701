"""What a set of labels holds, in counts, and how machines' labels agree with people's."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heed.data.labels import ADJUDICATION, first_occasions, latest
from heed.feedback.beside import beside
from heed.feedback.crowd import DECIDED, left_choices, of_two
from heed.feedback.preferences import Preference, preferences
from heed.stats.agreement import fleiss_kappa, tabulate
from heed.stats.intervals import Estimate, proportion_interval
from heed.types import GRADES, Annotation, Item

PEOPLE = "people"
NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a set of labels; superseded revisions stand in `revisions` alone.

    labels: annotations that hold. repeats: those at a later occasion. verdicts: by grade, word or
    "ranking". left: share of the left one among verdicts on two answers that prefer a side as
    shown. longer: share of preferred answers that are the longer one in characters, equals left
    out. sources: for each kind of annotator, how many there are and how many labels they gave.
    """

    items: int
    gold: int
    prompts: int
    labelled: int
    labels: int
    revisions: int
    repeats: int
    rewrites: int
    median_seconds: float
    verdicts: dict[str, int]
    left: Estimate
    longer: Estimate
    sources: dict[str, tuple[int, int]]


def summarise(annotations: Sequence[Annotation], items: Mapping[str, Item]) -> Summary:
    """Counts of all annotations, given with their history, and of the items."""
    current = latest(annotations)
    found = [one for one in preferences(current) if one.said in DECIDED]
    times = [one.seconds for one in current if one.seconds > 0]
    said = Counter(_word(one) for one in current)
    order = [*map(str, GRADES), "ranking", "tie", "both_bad", "cannot_tell"]
    people: dict[str, set[str]] = {}
    for one in current:
        people.setdefault(one.source, set()).add(one.annotator)
    labels = Counter(one.source for one in current)
    two = [one for one in preferences(of_two(current)) if one.said in DECIDED]
    return Summary(
        items=len(items),
        gold=sum(item.known is not None for item in items.values()),
        prompts=len({item.prompt.messages for item in items.values()}),
        labelled=len({one.item for one in current}),
        labels=len(current),
        revisions=len(annotations) - len(current),
        repeats=len(current) - len(first_occasions(current)),
        rewrites=sum(bool(one.rewrite.strip()) for one in current),
        median_seconds=statistics.median(times) if times else float("nan"),
        verdicts={word: said[word] for word in order if said[word]},
        left=_share([*map(float, left_choices(two))], [one.item for one in two]),
        longer=_longer(found, items),
        sources={name: (len(people[name]), labels[name]) for name in sorted(people)},
    )


def _word(annotation: Annotation) -> str:
    return "ranking" if isinstance(annotation.verdict, tuple) else str(annotation.verdict)


def _longer(found: Sequence[Preference], items: Mapping[str, Item]) -> Estimate:
    values, clusters = [], []
    for one in found:
        answers = items[one.item].answers
        gap = len(answers[one.first]) - len(answers[one.second])
        if gap:
            values.append(float((gap > 0) == (one.said == "first")))
            clusters.append(one.item)
    return _share(values, clusters)


def _share(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    return proportion_interval(values, clusters) if values else NOTHING


def fleiss(annotations: Sequence[Annotation]) -> Estimate:
    """Fleiss' kappa of which answer is better, on the pairs with the commonest number of labels.

    Nothing (n = 0) where that number is 1.
    """
    found = preferences(first_occasions(latest(annotations)))
    sizes = Counter(one.unit for one in found)
    commonest = Counter(size for size in sizes.values() if size > 1).most_common(1)
    if not commonest:
        return NOTHING
    chosen = [one for one in found if sizes[one.unit] == commonest[0][0]]
    words = sorted({one.said for one in chosen})
    table = tabulate(
        [one.unit for one in chosen],
        [one.annotator for one in chosen],
        [float(words.index(one.said)) for one in chosen],
    )
    clusters = [item for item, _, _ in dict.fromkeys(one.unit for one in chosen)]
    return fleiss_kappa(table, clusters=clusters)


@dataclass(frozen=True, slots=True)
class Machine:
    """An annotator that is not a person: agreement with people as in `heed.feedback.beside`."""

    source: str
    annotator: str
    with_people: Estimate
    kappa: Estimate
    among_people: Estimate


def beside_people(annotations: Sequence[Annotation]) -> list[Machine]:
    """Every annotator but people and their rulings, as far as people labelled the same."""
    people = [one for one in annotations if one.source == PEOPLE]
    machines: dict[tuple[str, str], list[Annotation]] = {}
    for one in annotations:
        if one.source not in (PEOPLE, ADJUDICATION):
            machines.setdefault((one.source, one.annotator), []).append(one)
    found = {names: beside(own, people) for names, own in sorted(machines.items())}
    return [
        Machine(source, name, one.with_people, one.kappa, one.among_people)
        for (source, name), one in found.items()
        if one.items
    ]
