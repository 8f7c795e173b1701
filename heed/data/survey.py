"""What a person's data hold, before anything is trained on them: every record, and every row that
is none.

The stage `records` trains on what is announced here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from heed.data import fields
from heed.data.comparisons import comparisons, undesirable
from heed.data.describing import listed, of_length, share
from heed.data.distinct import WEIGHTLESS, Distinct
from heed.data.entries import Aside, Entry, Found
from heed.data.formats import FORMATS, TRANSCRIPTS
from heed.data.labels import REPEATED, training_votes
from heed.data.preferences import Gathering, Key, found_in, key
from heed.data.rows import BadRow
from heed.data.sources import files_of, names_held_out
from heed.data.splitting import conversation
from heed.data.tables import length
from heed.types import Annotation, Comparison, Demonstration, Prompt, Unpaired

NO_VERDICT = "answers that nobody has judged"
UNSURE = "verdicts of cannot tell"

Progress = Callable[[str, int, int], None]
"""Hears which file is read, how many rows (or lines) of it were, and of how many (0: unknown)."""
W = TypeVar("W", Comparison, Unpaired)
KINDS: Mapping[type, tuple[str, ...]] = {
    Entry: ("comparisons", "unpaired"),
    Unpaired: ("unpaired",),
    Demonstration: ("demonstrations",),
}
"""By what a row is read as: what it may become (two answers that are both bad are unpaired)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in some sources.

    formats: by file or data set, the format it was read in (one of `formats.FORMATS`).
    rows: all there are, those that hold nothing and those that cannot be read among them.
    comparisons, unpaired, demonstrations: what can be trained on, each once. `prompt.split` is
    "heldout" where the data hold the prompt out themselves, in whichever of their rows.
    ties: verdicts that prefer neither answer; they make no comparison.
    duplicates: rows that say what an earlier one said. contradictory: rows in which the same
    annotator (or nobody) says otherwise than before, of which the first stands.
    set_aside: other rows that hold nothing to train on, by reason.
    broken: rows that cannot be used, each with its place and what is wrong.
    share: of all rows, those that were looked at; all but in a look at the beginning of each file.
    apart: of comparisons, unpaired and demonstrations, those of which some row is held out by its
    own file or column.
    """

    sources: tuple[str, ...]
    formats: Mapping[str, str]
    rows: int
    comparisons: tuple[Comparison, ...]
    unpaired: tuple[Unpaired, ...]
    demonstrations: tuple[Demonstration, ...]
    ties: int
    duplicates: int
    contradictory: int
    set_aside: Mapping[str, int]
    broken: tuple[BadRow, ...]
    share: float = 1.0
    apart: frozenset[str] = frozenset()

    @property
    def left_out(self) -> dict[str, int]:
        """Rows and verdicts that nothing is trained on, by reason; broken rows are not counted."""
        counts = {
            **self.set_aside,
            "ties": self.ties,
            "duplicates": self.duplicates,
            "contradictions of an earlier row": self.contradictory,
        }
        return {reason: count for reason, count in sorted(counts.items()) if count}

    @property
    def prompts(self) -> list[Prompt]:
        """Every prompt, in the order of comparisons, unpaired answers and demonstrations."""
        prompts = [
            *(each.prompt for each in self.comparisons),
            *(each.prompt for each in self.unpaired),
            *(each.prompt for each in self.demonstrations),
        ]
        return list({prompt.id: prompt for prompt in prompts}.values())

    def message(self) -> str:
        """One line: what was read and what was left out."""
        kinds = {
            "comparisons": self.comparisons,
            "answers labelled one by one": self.unpaired,
            "demonstrations": self.demonstrations,
        }
        some = [f"{len(records):,} {name}" for name, records in kinds.items() if records]
        line = f"{listed(some or ['0 comparisons'])} read"
        if not self.left_out:
            return f"{line}; nothing set aside."
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return f"{line}; {sum(self.left_out.values()):,} rows set aside: {reasons}."


def survey(
    sources: Sequence[str],
    *,
    progress: Progress = lambda *_: None,
    most: int | None = None,
) -> Survey:
    """Read files, directories and data sets by name, each in the format its columns tell.

    Args:
        sources: files, directories of such, directories that `datasets` saved, names on the hub.
        progress: hears how far it is.
        most: read so many rows of each file at most, for a look; of a file whose length is not
            known before it is read, all.

    Raises:
        UserError: a source does not exist, is broken as a whole, empty, or of unknown columns.
            Single rows that are broken stand in `broken`.
    """
    found = _Found()
    files = files_of(sources)
    for file in files:
        found.read(file, progress, most, held_out=len(files) > 1 and names_held_out(file))
    return found.survey(tuple(sources))


@dataclass
class _Found:
    """A survey in the making.

    worth: by annotation, the weight and (where the row has one) the margin that its row gives it.
    held: conversations that some row holds out; `apart`: the kinds of rows that do.
    """

    gathering: Gathering = field(default_factory=Gathering)
    formats: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    total: int = 0
    worth: dict[Key, tuple[float, float | None]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)

    def read(self, file: str, progress: Progress, most: int | None, *, held_out: bool) -> None:
        def heard(done: int, total: int) -> None:
            self.rows += 1
            progress(file, done, total)

        there, before = length(file), self.rows
        name, rows = found_in(
            file, self.gathering, progress=heard, to_train=True, most=most if there else None
        )
        self.formats[file] = name
        # HH-RLHF's files train and test share openings, so that they are split anew.
        apart = held_out and name != TRANSCRIPTS
        for each in rows:
            self._take(_held(each) if apart else each)
        read = self.rows - before
        self.total += max(there, read) if read == most else read

    def _take(self, found: Found) -> None:
        if isinstance(found, Entry):
            try:
                worth = fields.weight(found.row.values), fields.number(found.row.values, "margin")
            except ValueError as error:
                self.gathering.add(found.row.bad(str(error)))
                return
            before = len(self.gathering.annotations)
            # What counts for nothing is no earlier row of one that counts.
            self.gathering.add(found if worth[0] else Aside(found.row, WEIGHTLESS))
            self.worth |= {key(new): worth for new in self.gathering.annotations[before:]}
        else:
            self.gathering.add(found)
        prompt = _prompt(found)
        if prompt is not None and prompt.split == "heldout":
            self.held.add(conversation(prompt))
            self.apart.update(KINDS[type(found)])

    def survey(self, sources: tuple[str, ...]) -> Survey:
        """What it has come to."""
        items = {item.id: item for item in self.gathering.items}
        votes = training_votes(self.gathering.annotations, items, split="all")
        distinct = Distinct(self.held)
        distinct.aside.update(self.gathering.set_aside + votes.left_out)
        # A contradiction is a repeat of which more is known.
        distinct.aside[REPEATED] -= min(distinct.aside[REPEATED], self.gathering.contradictory)
        judged = {each.item for each in self.gathering.annotations}
        distinct.aside[NO_VERDICT] += sum(id not in judged for id in items)
        distinct.aside[UNSURE] += sum(each.verdict == "cannot_tell" for each in votes.labels)
        compared = [
            made
            for vote in votes.labels
            for made in map(self._weighed(vote), comparisons([vote], items))
        ]
        bad = [
            self._weighed(vote)(made)
            for vote in votes.labels
            for made in undesirable([vote], items)
        ]
        return Survey(
            sources=sources,
            formats=self.formats,
            rows=self.rows,
            comparisons=tuple(distinct.comparisons(compared)),
            unpaired=tuple(distinct.unpaired([*self.gathering.unpaired, *bad])),
            demonstrations=tuple(distinct.demonstrations(self.gathering.demonstrations)),
            ties=sum(set(each.ranks or ()) == {1} for each in votes.labels),
            duplicates=self.gathering.duplicates + distinct.duplicates,
            contradictory=self.gathering.contradictory + distinct.contradictory,
            set_aside={why: n for why, n in sorted(distinct.aside.items()) if n},
            broken=tuple(self.gathering.errors),
            share=self.rows / self.total if self.total else 1.0,
            apart=frozenset(self.apart),
        )

    def _weighed(self, vote: Annotation) -> Callable[[W], W]:
        """What makes a record count for what the vote's row says."""
        weight, margin = self.worth[key(vote)]

        def weighed(made: W) -> W:
            if weight != 1:
                made = replace(made, weight=made.weight * weight)
            if margin is None or not isinstance(made, Comparison):
                return made
            return replace(made, margin=margin)

        return weighed


def _prompt(found: Found) -> Prompt | None:
    if isinstance(found, Entry):
        return found.item.prompt
    return found.prompt if isinstance(found, Demonstration | Unpaired) else None


def _held(found: Found) -> Found:
    """What the row says, of a prompt that is held out."""
    if isinstance(found, Entry):
        prompt = replace(found.item.prompt, split="heldout")
        return replace(found, item=replace(found.item, prompt=prompt))
    if isinstance(found, Demonstration | Unpaired):
        return replace(found, prompt=replace(found.prompt, split="heldout"))
    return found


def describe(survey: Survey) -> list[str]:
    """What was found, in lines for a person."""
    told = [_files(survey), f"{survey.message()}"]
    prompts = survey.prompts
    if prompts:
        told += _of_prompts(prompts)
    if survey.comparisons:
        told += _of_comparisons(survey.comparisons)
    if survey.unpaired:
        good = sum(each.desirable for each in survey.unpaired)
        told.append(
            f"Answers labelled one by one: {share(good, len(survey.unpaired))} are good; "
            f"{of_length([each.text for each in survey.unpaired])}."
        )
    if survey.demonstrations:
        lengths = of_length([each.text for each in survey.demonstrations])
        told.append(f"Demonstrated answers: {lengths}.")
    if survey.broken:
        first = survey.broken[0]
        told.append(
            f"{len(survey.broken):,} broken rows cannot be used, the first at {first.place}: "
            f"{first.why}."
        )
    return told


def _files(survey: Survey) -> str:
    """How much was read, and as what."""
    named = Counter(survey.formats.values())
    if len(survey.formats) == 1:
        file, name = next(iter(survey.formats.items()))
        return f"{file}: {survey.rows:,} rows, read as {name!r} ({FORMATS[name].accepts})."
    formats = listed([f"{count:,} as {name!r}" for name, count in sorted(named.items())])
    return f"{len(survey.formats):,} files, {survey.rows:,} rows; read {formats}."


def _of_prompts(prompts: Sequence[Prompt]) -> list[str]:
    held = sum(prompt.split == "heldout" for prompt in prompts)
    several = [prompt for prompt in prompts if sum(t.role == "user" for t in prompt.messages) > 1]
    system = sum(prompt.messages[0].role == "system" for prompt in prompts)
    texts = ["\n".join(turn.content for turn in prompt.messages) for prompt in prompts]
    more = [
        f"{share(held, len(prompts))} are held out by the data" if held else "",
        f"{share(len(several), len(prompts))} go over several turns" if several else "",
        f"{share(system, len(prompts))} have a system prompt" if system else "",
    ]
    told = "; ".join(filter(None, [of_length(texts), *more]))
    return [f"Prompts: {len(prompts):,}; {told}."]


def _of_comparisons(comparisons: Sequence[Comparison]) -> list[str]:
    sides = {
        "Chosen": [each.chosen for each in comparisons],
        "Rejected": [each.rejected for each in comparisons],
    }
    told = [f"{name} answers: {of_length(texts)}." for name, texts in sides.items()]
    longer = sum(len(each.chosen) > len(each.rejected) for each in comparisons)
    told.append(f"The chosen answer is the longer one in {share(longer, len(comparisons))}.")
    graded = sum(each.margin != 0 for each in comparisons)
    names = {each.annotator for each in comparisons} - {""}
    if graded:
        told.append(f"{share(graded, len(comparisons))} say how much better the chosen answer is.")
    if names:
        told.append(f"They are of {len(names):,} named annotators.")
    return told
