"""A run as it stands at this moment, read again and again at little cost.

What a terminal and a page show of it is the same `Frame`. Only files are read; texts of a run are
made harmless for a terminal (`plain`), a page escapes them besides.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from heed.errors import UserError
from heed.lock import in_use
from heed.report.frames import Curve, Drawn, Found, Frame, RunState, StageNow
from heed.report.growing import Growing, Row
from heed.report.measures import CURVES, METRICS, measure_of
from heed.report.series import Series
from heed.run import FRESH, GATES, PLANNED, seeds_of

_SAMPLING = (("proxy",), ("gold",), ("heldout_reward",), ("kl",), ("entropy",), ("length",))
_OTHERS = (("loss",), ("heldout_nll",), ("accuracy",), ("heldout_accuracy",))
CHIEF: Mapping[str, Sequence[Sequence[str]]] = {
    **dict.fromkeys(("ppo", "rloo", "grpo", "reinforce"), _SAMPLING),
}
"""Metrics to watch of a stage that samples, by its kind: of each group the first that was logged.
Of the other kinds they are those that the report draws."""
LATEST = 12
"""Rows of fresh answers that a frame holds at most."""
RECENT = 20
"""Iterations whose pace tells the time left."""
_NAME = re.compile("[a-z0-9_-]+")
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Watch:
    """Looks at a run's directory, or at that of several seeds: then at the one that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._runs: dict[Path, _Run] = {}

    def look(self, stage: str | None = None) -> Frame:
        """The frame of this moment, with the curves and answers of a stage.

        Raises:
            UserError: there is a directory, but what stands in it was written by no run; or its
                recipe has no such stage.
        """
        seeds = seeds_of(self.directory)
        runs = [self._run(place) for place in seeds or [self.directory]]
        states = [run.state() for run in runs]
        chosen = next((run for run, state in zip(runs, states, strict=True) if state == "running"),
                      max(runs, key=lambda run: run.begun()))  # fmt: skip
        names = {place.name: state for place, state in zip(seeds, states, strict=False)}
        return chosen.frame(names, stage)

    def _run(self, place: Path) -> _Run:
        return self._runs.setdefault(place, _Run(place))


class _Run:
    """One run's directory, and what was read of it so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.recipe: dict[str, Any] = {}
        self.stages: dict[str, tuple[str, Mapping[str, Any]]] = {}
        """Name -> kind and settings."""
        self._recipe_stamp: object = None
        self._metrics = Growing(directory / "metrics.jsonl")
        self._timing = Growing(directory / "timing.jsonl")
        self._noted: dict[tuple[str, str], tuple[Growing, deque[Row]]] = {}
        self._series: dict[str, dict[str, Series]] = {}
        self._pace: dict[str, _Pace] = {}

    def begun(self) -> float:
        """When its recipe was written; 0 before that."""
        return _mtime(self.directory / "recipe.yaml")

    def state(self) -> RunState:
        """Whether it runs, or did."""
        self._read_recipe()
        if not self.stages:
            return "not begun"
        if in_use(self.directory):
            return "running"
        keys = _object(self.directory / "keys.json")
        return "finished" if all(self._done(name, keys) for name in self.stages) else "stopped"

    def frame(self, seeds: Mapping[str, RunState], stage: str | None) -> Frame:
        """The frame of this moment; `stage` is the one to show, None leaves it to the run."""
        state = self.state()
        if state == "not begun":
            return Frame(self.directory, state, seeds=dict(seeds))
        self._read_rows()
        stages = self._stages_now(state)
        shown = self._shown(stages, stage)
        drawn_in, drawn = self._last_drawn(shown)
        findings = [found for name in self.stages for found in self._findings(name)]
        return Frame(
            directory=self.directory,
            state=state,
            name=plain(str(self.recipe.get("name") or self.directory.name)),
            stages=stages,
            shown=shown,
            curves=self._curves(shown) if shown else (),
            findings=tuple(findings),
            drawn=drawn,
            drawn_in=drawn_in,
            seeds=dict(seeds),
        )

    def _read_recipe(self) -> None:
        """Read recipe.yaml where it changed: to parse one takes a tenth of a second."""
        path = self.directory / "recipe.yaml"
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if stamp == self._recipe_stamp:
                return
            self.recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
            items = [next(iter(item.items())) for item in self.recipe.get("stages") or []]
            self.stages = {
                str((settings or {}).get("name") or kind): (str(kind), settings or {})
                for kind, settings in items
            }
            if not all(_NAME.fullmatch(name) for name in self.stages):
                raise ValueError("no names of stages")
        except FileNotFoundError:
            self.recipe, self.stages, stamp = {}, {}, (0, 0, 0)
        except (OSError, ValueError, AttributeError, TypeError, StopIteration,
                yaml.YAMLError) as error:  # fmt: skip
            raise UserError(
                f"{path} is no recipe as heed run writes it into a run's directory. Name the "
                "folder that `heed run` writes, such as runs/demo."
            ) from error
        self._recipe_stamp = stamp

    def _read_rows(self) -> None:
        for anew, rows in self._metrics.batches():
            if anew:
                self._series.clear()
            for row in rows:
                self._keep(row)
        for anew, rows in self._timing.batches():
            if anew:
                self._pace.clear()
            for row in rows:
                if _is_number(row.get("seconds")) and isinstance(row.get("step"), int):
                    self._pace.setdefault(str(row.get("stage")), _Pace()).add(row)

    def _keep(self, row: Row) -> None:
        """Keep what is watched of a row of metrics."""
        stage, step = row.get("stage"), row.get("step")
        if isinstance(stage, str) and isinstance(step, int):
            series = self._series.setdefault(stage, {})
            for name in self._wanted(stage):
                if _is_number(row.get(name)):
                    series.setdefault(name, Series()).add(step, float(row[name]))

    def _wanted(self, row_stage: str) -> list[str]:
        kind, _ = self.stages.get(row_stage) or self.stages.get(_whole(row_stage)) or ("", {})
        return [name for group in chief(kind) for name in group]

    def _stages_now(self, state: RunState) -> tuple[StageNow, ...]:
        keys = _object(self.directory / "keys.json")
        begun = {
            name: max(_mtime(folder / "started.json"), _mtime(folder / PLANNED))
            for name in self.stages
            if not self._done(name, keys)
            and _object((folder := self.directory / name) / "started.json").get("key")
            == keys.get(name)
        }
        # A kill may have left others begun: what runs is what was taken up last.
        running = max(begun, key=lambda name: begun[name]) if state == "running" and begun else None
        return tuple(
            self._stage_now(name, keys, begun.get(name), running=name == running)
            for name in self.stages
        )

    def _stage_now(
        self, name: str, keys: Mapping[str, Any], begun: float | None, *, running: bool
    ) -> StageNow:
        kind, settings = self.stages[name]
        marker = self._done(name, keys)
        rows = self._rows_of(name)
        pace = self._pace.get(rows, _Pace())
        if marker:
            stopped = (marker.get("summary") or {}).get("stopped")
            note = f"stopped by a gate at iteration {stopped}" if stopped else ""
            return StageNow(name, kind, "done", pace.step, pace.step or None,
                            marker.get("seconds"), note=note)  # fmt: skip
        if begun is None:
            return StageNow(name, kind, "waiting", of=_count(settings.get("iterations")))
        member = rows.removeprefix(f"{name}.") if rows != name else ""
        folder = self.directory / name / (f"member-{member}" if member else "")
        of = _count(_object(folder / PLANNED).get("iterations"))
        of = of or _count(settings.get("iterations"))
        left = pace.left(of) if running else None
        spent = pace.total or (time.time() - begun if running else None)
        note = f"member {int(member) + 1} of {settings.get('members')}" if member else ""
        return StageNow(name, kind, "running" if running else "begun", pace.step, of, spent,
                        left, note)  # fmt: skip

    def _done(self, name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
        marker = _object(self.directory / name / "done.json")
        return marker if marker.get("key") is not None and marker["key"] == keys.get(name) else {}

    def _rows_of(self, name: str) -> str:
        """What a stage's rows are called: of an ensemble, the member's that trained last."""
        members = [each for each in self._pace if _whole(each) == name and each not in self.stages]
        return members[-1] if members else name

    def _shown(self, stages: Sequence[StageNow], asked: str | None) -> str | None:
        if asked is not None:
            if asked not in self.stages:
                raise UserError(
                    f"{self.directory} has no stage {asked!r}. It has {', '.join(self.stages)}."
                )
            return asked
        trained = [stage for stage in stages if self._series.get(self._rows_of(stage.name))]
        running = [stage for stage in trained if stage.state == "running"]
        return next((stage.name for stage in running or trained[::-1]), None)

    def _curves(self, name: str) -> tuple[Curve, ...]:
        logged = self._series.get(self._rows_of(name), {})
        curves = []
        for group in chief(self.stages[name][0]):
            metric = next((metric for metric in group if metric in logged), None)
            if metric:
                steps, values = logged[metric].thinned()
                what = METRICS.get(metric) or measure_of(metric)
                curves.append(Curve(metric, what, steps, values, logged[metric].last))
        return tuple(curves)

    def _findings(self, name: str) -> Iterable[Found]:
        for row in self._rows_noted(name, GATES, None):
            if {"gate", "tripped", "says"} <= row.keys():
                step = _count(row.get("step"))
                tripped = bool(row["tripped"])
                yield Found(name, plain(str(row["gate"])), step, tripped, plain(str(row["says"])))

    def _last_drawn(self, shown: str | None) -> tuple[str | None, tuple[Drawn, ...]]:
        """The answers of the stage that is shown, else of the last that drew any."""
        for name in dict.fromkeys([*filter(None, [shown]), *reversed(self.stages)]):
            if drawn := self._drawn(name):
                return name, drawn
        return None, ()

    def _drawn(self, name: str) -> tuple[Drawn, ...]:
        rows = [row for row in self._rows_noted(name, FRESH, LATEST)
                if {"step", "prompt", "answer"} <= row.keys()]  # fmt: skip
        latest = sorted(rows, key=lambda row: -(_count(row["step"]) or 0))
        return tuple(
            Drawn(
                step=_count(row["step"]) or 0,
                prompt=plain(str(row["prompt"])),
                family=plain(str(row.get("family") or "")),
                answer=plain(str(row["answer"])),
                finished=row.get("finished") is not False,
                reward=_known(row.get("reward")),
                kl=_known(row.get("kl")),
            )
            for row in latest
        )

    def _rows_noted(self, stage: str, name: str, most: int | None) -> deque[Row]:
        """The rows (the last `most`) of a file of a stage's own."""
        empty: deque[Row] = deque(maxlen=most)
        file, rows = self._noted.setdefault(
            (stage, name), (Growing(self.directory / stage / name), empty)
        )
        for anew, more in file.batches():
            if anew:
                rows.clear()
            rows.extend(more)
        return rows


class _Pace:
    """How long a training's iterations took."""

    def __init__(self) -> None:
        self.step = 0
        self.total = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, row: Row) -> None:
        self.step = row["step"]
        self.total += row["seconds"]
        self._recent.append(row["seconds"])

    def left(self, of: int | None) -> float | None:
        if not self._recent or of is None:
            return None
        return max(0, of - self.step) * sum(self._recent) / len(self._recent)


def chief(kind: str) -> Sequence[Sequence[str]]:
    """The metrics to watch of a kind of stage: of each group the first that was logged."""
    return CHIEF.get(kind) or CURVES.get(kind) or _OTHERS


def plain(text: str) -> str:
    """A text without what moves a terminal's cursor or turns its reading around."""
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def _whole(name: str) -> str:
    """The ensemble that a member's rows belong to."""
    return name.rpartition(".")[0]


def _object(path: Path) -> dict[str, Any]:
    """A file's JSON object; {} where there is none, or not yet."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _known(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
