"""From a project to files: whole, as training sets, or in other tools' formats.

Beside each file, `FILE.about.json` says what is in it: the tie policy, what each verdict counted
for, what was left out and why. Which labels a training set is made of stands in `preferences`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heed import __version__
from heed.data import argilla, hh, llmfao, trl
from heed.data.comparisons import Ties, comparisons, rewrites
from heed.data.labels import (
    Splits,
    labels_to_learn_from,
    training_votes,
    without_adjudications,
)
from heed.data.rows import SetAside
from heed.data.writing import check_writable, write_rows
from heed.errors import UserError
from heed.feedback.contents import Contents, by_item, native_rows, read_contents
from heed.feedback.votes import majority
from heed.feedback.weights import reliability_weights
from heed.files import write_json
from heed.store.database import Store
from heed.types import Annotation, Comparison, Demonstration, Item, Unpaired

TABLES = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet", "")
TIES = {
    "drop": "a tie makes no comparison",
    "half": "a tie makes two opposite comparisons of half the weight each",
}
VOTED_TIES = {
    "drop": "a tie is half a vote for each side; an even vote makes no comparison",
    "half": "a tie is half a vote for each side; an even vote makes two opposite comparisons of "
    "half the weight each",
}
WITHOUT_VERDICT = {
    "tie": "ties",
    "both_bad": "both bad",
    "cannot_tell": "cannot tell",
}

THUMBS = "thumbs on a server's replies (they go with heed and unpaired)"

Made = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: `dropped` counts, by reason, what was left out."""

    path: Path
    about: Path
    rows: int
    dropped: dict[str, int]

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        return (
            f"{self.rows:,} rows written to {self.path}; "
            f"{'left out: ' + reasons if reasons else 'nothing left out'}. "
            f"What is in it: {self.about}"
        )


@dataclass
class Rows:
    """Rows in the making, with what was left out."""

    rows: list[Made] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def take(self, make: Callable[[], Made | list[Made]]) -> None:
        """Add what is made, or count why it cannot be."""
        try:
            made = make()
        except SetAside as aside:
            self.dropped[str(aside)] += 1
        else:
            self.rows += made if isinstance(made, list) else [made]


@dataclass(frozen=True, slots=True)
class Target:
    """A format to write, and as what files: of a training set's comparisons or demonstrations one
    by one, or of all that the project holds (with `thumbs` those on a server's replies too).
    """

    says: str
    kinds: Sequence[str] = TABLES
    row: Callable[[Comparison], Made | list[Made]] | None = None
    rewrite: Callable[[Demonstration], Made] | None = None
    opinion: Callable[[Unpaired], Made] | None = None
    whole: Callable[[Contents, Rows], None] | None = None
    thumbs: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What a training set is made of, as `export_project` explains it."""

    split: Splits
    ties: Ties
    weigh: bool
    one_per_item: bool


def _native(contents: Contents, into: Rows) -> None:
    into.rows += native_rows(contents)


def _argilla(contents: Contents, into: Rows) -> None:
    said = by_item(contents.latest)
    into.rows += [
        argilla.record_row(item, said.get(item.id, [])) for item in contents.items.values()
    ]


def _llmfao(contents: Contents, into: Rows) -> None:
    for annotation in contents.latest:
        item = contents.items[annotation.item]
        into.take(lambda item=item, said=annotation: _vote(item, said))  # type: ignore[misc]


def _vote(item: Item, annotation: Annotation) -> Made:
    trl.single_turn(item.prompt)
    return llmfao.vote_row(item, annotation)


TARGETS: dict[str, Target] = {
    "heed": Target(
        "items, and a server's replies, with all that was said of them, to be imported again",
        (".jsonl", ".jsonl.gz"), whole=_native, thumbs=True,
    ),
    "trl": Target("prompt, chosen, rejected as lists of messages", row=trl.conversational_row),
    "trl-plain": Target("prompt, chosen, rejected as texts", row=trl.plain_row),
    "hh": Target("chosen, rejected as transcripts", row=hh.transcripts_row),
    "unpaired": Target(
        "prompt, completion, label", row=trl.unpaired_rows, opinion=trl.opinion_row
    ),
    "demonstrations": Target("messages that end with a rewrite", rewrite=trl.demonstration_row),
    "argilla": Target(
        "records of Argilla 2", (".json", ".jsonl", ".jsonl.gz"), whole=_argilla
    ),
    "llmfao": Target("votes, and their texts in FILE.pairs.jsonl", (".csv",), whole=_llmfao),
}  # fmt: skip


def export_project(
    store: Store,
    project: str,
    path: Path,
    *,
    format: str = "heed",
    split: Splits | None = None,
    ties: Ties = "drop",
    weigh: bool = False,
    one_per_item: bool = False,
) -> ExportReport:
    """Write a project's labels to `path`, as the kind of table its suffix names.

    Training sets are made of the labels that train (see `preferences.training_votes`), each row
    with its prompt's `split`; "heed", "argilla" and "llmfao" hold everything. Cells are written as
    they are: a program that takes one beginning with "=" for a formula has to be told otherwise.

    Args:
        store: the preference store.
        project: the name of a project in it.
        path: .jsonl, .jsonl.gz, .json, .csv, .parquet, or a directory for `datasets`.
        format: one of `TARGETS`.
        split: the prompts a training set is made on: "train" if left out, "heldout", or "all".
        ties: what a tie is worth in a training set.
        weigh: weigh each annotator's verdicts by reliability.
        one_per_item: one comparison of each two answers, by (weighted) majority vote, in place of
            one an annotation.

    Raises:
        UserError: no such project or format, an option without a meaning in it, or nothing to
            write.
    """
    target = _target(format, split, ties, plain=not (weigh or one_per_item))
    check_writable(path, target.kinds)
    contents = read_contents(store, project)
    options = Options(split or "train", ties, weigh, one_per_item)
    made = _rows(target, contents, options)
    if not made.rows:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in made.dropped.items())
        raise UserError(
            f"Project {project!r} has nothing to export as {format!r}"
            f"{' (left out: ' + reasons + ')' if reasons else ''}."
        )
    write_rows(path, made.rows)
    if format == "llmfao":
        voted = {str(row["id"]) for row in made.rows}
        pairs = [item for item in contents.items.values() if item.id in voted]
        write_rows(llmfao.pairs_path(path), llmfao.pair_rows(pairs))
    about = path.with_name(f"{path.name}.about.json")
    write_json(about, _about(contents, format, made, options))
    return ExportReport(path, about, len(made.rows), dict(made.dropped))


def _target(format: str, split: Splits | None, ties: Ties, *, plain: bool) -> Target:
    """The target of that name; `plain` where neither weights nor votes are asked for.

    Raises UserError where there is none, or where an option has no meaning in it.
    """
    if format not in TARGETS:
        raise UserError(f"There is no format {format!r}. Choose one of: {', '.join(TARGETS)}.")
    target = TARGETS[format]
    if target.row is None and not (plain and ties == "drop"):
        raise UserError(
            f"The format {format!r} is written as people said it: votes, weights and the worth of "
            f"ties have no place in it. They go with {', '.join(_of_comparisons())}."
        )
    if target.whole is not None and split is not None:
        raise UserError(
            f"The format {format!r} holds the whole project: a split has no place in it. It goes "
            f"with {', '.join(name for name, one in TARGETS.items() if one.whole is None)}."
        )
    return target


def _of_comparisons() -> list[str]:
    return [name for name, target in TARGETS.items() if target.row is not None]


def _rows(target: Target, contents: Contents, options: Options) -> Rows:
    made = Rows()
    if target.whole is not None:
        target.whole(contents, made)
    if target.rewrite is not None:
        _add_rewrites(made, target.rewrite, contents, options)
    if target.row is not None:
        _add_comparisons(made, target.row, contents, options)
    if not target.thumbs:
        _add_opinions(made, target.opinion, contents, options)
    made.dropped = +made.dropped
    return made


def _add_rewrites(
    made: Rows, row: Callable[[Demonstration], Made], contents: Contents, options: Options
) -> None:
    """Rewrites are no votes: those of planned repeats and of disputed items teach as well."""
    seen = labels_to_learn_from(contents.latest, contents.items, split=options.split)
    made.rows += [
        row(one) | {"split": one.prompt.split} for one in rewrites(seen.labels, contents.items)
    ]


def _add_opinions(
    made: Rows, row: Callable[[Unpaired], Made] | None, contents: Contents, options: Options
) -> None:
    """Thumbs on a server's replies; only answers that are labelled one by one have a place for
    them.
    """
    wanted = [one for one in contents.opinions if options.split in ("all", one.prompt.split)]
    if row is None:
        made.dropped += Counter({THUMBS: len(wanted)})
        return
    made.rows += [row(one) | {"split": one.prompt.split} for one in wanted]


def _add_comparisons(
    made: Rows,
    row: Callable[[Comparison], Made | list[Made]],
    contents: Contents,
    options: Options,
) -> None:
    votes = training_votes(contents.latest, contents.items, split=options.split)
    made.dropped += votes.left_out
    kept_ties = options.ties == "half" or options.one_per_item
    made.dropped += _without_a_side(votes.labels, kept_ties=kept_ties)
    own = without_adjudications(contents.latest)
    weights = reliability_weights(own, contents.items) if options.weigh else None
    silent = sum((weights or {}).get(one.annotator, 1.0) <= 0 for one in votes.labels)
    made.dropped += Counter({"verdicts of annotators of weight 0": silent})
    if options.one_per_item:
        found, even = majority(votes.labels, contents.items, ties=options.ties, weights=weights)
        made.dropped += Counter({"pairs of answers with an even vote": even})
    else:
        found = comparisons(votes.labels, contents.items, ties=options.ties, weights=weights)
    for comparison in found:
        made.take(lambda one=comparison: _with_split(row(one), one))  # type: ignore[misc]


def _with_split(made: Made | list[Made], comparison: Comparison) -> list[Made]:
    """A comparison's rows, which say on which side of the split its prompt is."""
    rows = made if isinstance(made, list) else [made]
    return [row | {"split": comparison.prompt.split} for row in rows]


def _without_a_side(said: Sequence[Annotation], *, kept_ties: bool) -> Counter[str]:
    """Verdicts that prefer nothing, by what they are called."""
    words = Counter(one.verdict for one in said if isinstance(one.verdict, str))
    if kept_ties:
        del words["tie"]
    return Counter({WITHOUT_VERDICT[word]: count for word, count in words.items()})


def _about(contents: Contents, format: str, made: Rows, options: Options) -> dict[str, Any]:
    counts = {
        "heed": __version__,
        "project": contents.project.name,
        "format": format,
        "says": TARGETS[format].says,
        "rows": len(made.rows),
        "items": len(contents.items),
        "annotations": len(contents.latest),
        "revisions": len(contents.history) - len(contents.latest),
        "dropped": dict(sorted(made.dropped.items())),
        "guidelines": [
            {"version": one.version, "published": one.created.isoformat(), "text": one.text}
            for one in contents.guidelines
        ],
    }
    if TARGETS[format].whole is not None:
        return counts
    counts |= {"split": options.split}
    return counts if TARGETS[format].row is None else counts | _worth(options)


def _worth(options: Options) -> dict[str, Any]:
    """What a verdict counts for."""
    ties = VOTED_TIES if options.one_per_item else TIES
    return {
        "ties": {"policy": options.ties, "meaning": ties[options.ties]},
        "votes": "one comparison a pair of answers, by majority vote"
        if options.one_per_item
        else "every annotation its own comparison",
        "adjudications": "in place of all votes on their item, each of weight 1",
        "weights": (
            "log-odds of each annotator's reliability, mean 1" if options.weigh else "1 a label"
        )
        + ", which a ranking shares out among its pairs of answers",
        "margins": "by grade: 1, 2/3, 1/3, 0 (Llama 2, small); 0 where no strength was given",
    }
