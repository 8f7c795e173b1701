"""Tells trackers what a run writes down, as it does; none of them can stop or change the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heed.config import dump_recipe
from heed.files import write_json
from heed.recipe.checks import TRACKING
from heed.run import DONE, GATES, METRICS, SEED, Run, rows_of
from heed.tracking.results import Told, results
from heed.tracking.tracker import TRACKERS, Tracked, Tracker, require

GATE_COLUMNS = ("stage", "step", "gate", "what it found")
Rows = Sequence[Mapping[str, Any]]
Say = Callable[[str], None]


@contextmanager
def followed(run: Run, say: Say) -> Iterator[None]:
    """While this lasts, the recipe's trackers are told what the run writes; `say` hears of those
    that fail. Without trackers, or in a process that writes nothing, this does nothing.

    Raises:
      UserError: a tracker's package is not installed.
    """
    names = run.recipe.track
    require(names)
    if not names or not run.writes:
        yield
        return
    following = Following(run, say)
    run.hear = following.hear
    try:
        following.begin()
        yield
    finally:
        run.hear = None
        following.close()


class Following:
    """What each tracker was told of a run.

    Every row of metrics is told once, in order: the first time that a process hears of a stage, all
    that the file holds of it (a resumed stage has cut the file by then), later what comes.
    """

    def __init__(self, run: Run, say: Say) -> None:
        self.run = run
        self.say = say
        self.told: dict[str, int] = {}
        self.tripped: dict[tuple[str, Any, str], list[str]] = {}
        tracked = about(run)
        self.guarded = [_Guarded(name, tracked, say) for name in run.recipe.track]
        self.listens = {METRICS: self._logged, GATES: self._gates, DONE: self._finished}

    def begin(self) -> None:
        """Tell of the stages that were finished before."""
        for stage in self.run.recipe.stages:
            place = self.run.stage(stage.name)
            if place.done() is not None:
                self.hear(stage.name, GATES, place.noted(GATES))
                self.hear(stage.name, DONE, [place.done_summary()])

    def hear(self, stage: str, file: str, rows: Rows) -> None:
        """Rows that were just appended to a stage's file; whatever goes wrong, the run goes on."""
        try:
            if file in self.listens:
                self.listens[file](stage, rows)
        except Exception as error:
            self.say(f"Trackers are told no more in this process: {error}. The run goes on.")
            self.listens = {}

    def close(self) -> None:
        """End all trackers."""
        for each in self.guarded:
            each.close()

    def _logged(self, stage: str, rows: Rows) -> None:
        self._metrics(stage, rows if stage in self.told else self._rows(stage))

    def _finished(self, stage: str, rows: Rows) -> None:
        # Members of an ensemble have rows of their own.
        for name in dict.fromkeys([stage, *self._members(stage)]):
            self._metrics(name, self._rows(name))
        for told in results(self.run, stage, rows[0]):
            self._each(told)

    def _metrics(self, stage: str, rows: Rows) -> None:
        for row in rows:
            step = row["step"]
            if step > self.told.get(stage, 0):
                values = {name: value for name, value in row.items() if _counts(name, value)}
                for each in self.guarded:
                    each.scalars(stage, step, values)
                self.told[stage] = step

    def _gates(self, stage: str, rows: Rows) -> None:
        """Those that tripped, all in one table: what is asked again takes the old one's place."""
        before = dict(self.tripped)
        for row in rows:
            key = (stage, row["step"], row["gate"])
            self.tripped.pop(key, None)
            if row["tripped"]:
                step = "" if row["step"] is None else str(row["step"])
                self.tripped[key] = [stage, step, row["gate"], row["says"]]
        if self.tripped != before:
            table = list(self.tripped.values())
            self._each(lambda tracker: tracker.table("gates", GATE_COLUMNS, table))

    def _each(self, told: Told) -> None:
        for each in self.guarded:
            each.tell(told)

    def _rows(self, stage: str) -> list[dict[str, Any]]:
        return [row for row in rows_of(self.run.directory / METRICS) if row["stage"] == stage]

    def _members(self, stage: str) -> list[str]:
        names = (row["stage"] for row in rows_of(self.run.directory / METRICS))
        return [name for name in names if name.startswith(f"{stage}.")]


class _Guarded:
    """A tracker that may fail: it is then spoken of once and told no more."""

    def __init__(self, name: str, tracked: Tracked, say: Say) -> None:
        self.name = name
        self.say = say
        self.tracker: Tracker | None = None
        self.marks = tracked.directory / f"sent-{name}.json"
        self.sent: dict[str, int] = {}
        try:
            self.tracker = TRACKERS[name](tracked)
            if self.tracker.lasting:
                self.sent = _sent(self.marks, tracked.id)
                self.id = tracked.id
        except Exception as error:
            self._give_up(error)

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        if self.tracker is None:
            return
        if self.tracker.lasting:
            if step <= self.sent.get(stage, 0):
                return
            # Before it is sent: a kill in between loses a row rather than sending it twice.
            self.sent[stage] = step
            self._guard(lambda _: write_json(self.marks, {"id": self.id, "sent": self.sent}))
        self.tell(lambda tracker: tracker.scalars(stage, step, values))

    def tell(self, told: Told) -> None:
        self._guard(told)

    def close(self) -> None:
        self._guard(lambda tracker: tracker.close())
        self.tracker = None

    def _guard(self, told: Told) -> None:
        if self.tracker is not None:
            try:
                told(self.tracker)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.tracker = None
        what = " ".join(str(error).split()) or type(error).__name__
        self.say(
            f"{self.name} fails and is told no more in this process: {what}. The run goes on; "
            "the same command, given again, tries once more."
        )


def about(run: Run) -> Tracked:
    """The run as trackers are introduced to it."""
    directory = run.directory.resolve()
    seeds = directory.name.startswith(SEED)
    plain = run.recipe.model_dump(mode="json", exclude={"stages"})
    stages = {each.name: {"kind": each.kind, **each.model_dump(mode="json")}
              for each in run.recipe.stages}  # fmt: skip
    identity = json.dumps([str(directory), run.keys], sort_keys=True)
    return Tracked(
        name=f"{directory.parent.name}-{directory.name}" if seeds else directory.name,
        id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        directory=directory / TRACKING,
        settings={**plain, "stages": stages},
        page=dump_recipe(run.recipe),
    )


def _sent(marks: Path, id: str) -> dict[str, int]:
    """The last step of each stage that was sent under this id."""
    if not marks.exists():
        return {}
    content = json.loads(marks.read_text(encoding="utf-8"))
    sent: dict[str, int] = content["sent"]
    return sent if content["id"] == id else {}


def _counts(name: str, value: Any) -> bool:
    return name not in ("stage", "step") and value is not None
