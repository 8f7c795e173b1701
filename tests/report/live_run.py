"""A run's directory as it grows: what `heed run` writes, a step at a time."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STAGES: list[dict[str, Any]] = [
    {"records": {"name": "records"}},
    {"sft": {"name": "sft", "epochs": 2}},
    {"ensemble": {"name": "ensemble", "members": 3}},
    {"ppo": {"name": "ppo", "iterations": 40}},
    {"evaluate": {"name": "evaluate"}},
    {"report": {"name": "report"}},
]


class Growing:
    """Writes into a run's directory as the pipeline does."""

    def __init__(self, directory: Path, stages: list[dict[str, Any]] | None = None) -> None:
        self.directory = directory
        self.stages = stages or STAGES
        self.names = [next(iter(item.values()))["name"] for item in self.stages]

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        recipe = {"name": "demo", "stages": self.stages}
        # JSON is YAML.
        (self.directory / "recipe.yaml").write_text(json.dumps(recipe))
        keys = {name: f"key-{name}" for name in self.names}
        (self.directory / "keys.json").write_text(json.dumps(keys))

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the block lasts, a process holds the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def begin(self, stage: str, iterations: int = 0, *, member: int | None = None) -> None:
        folder = self.directory / stage
        folder.mkdir(exist_ok=True)
        (folder / "started.json").write_text(json.dumps({"key": f"key-{stage}"}))
        if member is not None:
            folder = folder / f"member-{member}"
            folder.mkdir(exist_ok=True)
        if iterations:
            (folder / "planned.json").write_text(json.dumps({"iterations": iterations}))

    def done(self, stage: str, seconds: float = 12.0, **summary: Any) -> None:
        self.begin(stage)
        marker = {"key": f"key-{stage}", "seconds": seconds, "summary": summary}
        (self.directory / stage / "done.json").write_text(json.dumps(marker))

    def log(self, stage: str, step: int, seconds: float = 2.0, **metrics: Any) -> None:
        self.append("metrics.jsonl", {"stage": stage, "step": step, **metrics})
        self.append("timing.jsonl", {"stage": stage, "step": step, "seconds": seconds})

    def draw(self, stage: str, step: int, answer: str = "An answer.", **more: Any) -> None:
        row = {"step": step, "prompt": "A question?", "family": "facts", "answer": answer,
               "finished": True, "reward": 0.5, "kl": 1.25, **more}  # fmt: skip
        self.append(f"{stage}/fresh.jsonl", row)

    def find(self, stage: str, gate: str, says: str, *, step: int | None, tripped: bool) -> None:
        row = {"step": step, "gate": gate, "tripped": tripped, "says": says}
        self.append(f"{stage}/gates.jsonl", row)

    def append(self, name: str, row: dict[str, Any]) -> None:
        with (self.directory / name).open("a") as file:
            file.write(json.dumps(row) + "\n")
