"""What is counted of a server's work, and how Prometheus reads it (text format 0.0.4).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets of all times."""
HELP: Mapping[str, tuple[str, str]] = {
    "heed_requests_total": ("counter", "Requests that reached a model, by model and status."),
    "heed_refusals_total": ("counter", "Requests refused, by the word that says why."),
    "heed_prompt_tokens_total": ("counter", "Tokens of prompts that were answered."),
    "heed_tokens_total": ("counter", "Tokens drawn, those of answers nobody was given too."),
    "heed_gone_total": ("counter", "Requests whose client went before the end."),
    "heed_guardrail_total": ("counter", "Answers behind the guardrail, by what came of them."),
    "heed_feedback_total": ("counter", "What users said of answers, by kind."),
    "heed_reloads_total": ("counter", "Times that weights were taken anew."),
    "heed_first_token_seconds": ("histogram", "From a request to the first token of its stream."),
    "heed_answer_seconds": ("histogram", "From a request to the end of its answer."),
    "heed_slots": ("gauge", "Answers that a model can write side by side."),
    "heed_running": ("gauge", "Answers that are being written."),
    "heed_waiting": ("gauge", "Answers that wait for a slot."),
    "heed_weights_version": ("gauge", "How often the model's weights were loaded."),
}
Labels = tuple[tuple[str, str], ...]


@dataclass
class _Times:
    """A histogram: how many fell below each bound, all together, and their sum."""

    below: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0


class Counts:
    """Counters and times since the start; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}
        self._times: dict[tuple[str, Labels], _Times] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count so many more."""
        key = name, tuple(labels.items())
        with self._lock:
            self._counts[key] = self._counts.get(key, 0.0) + amount

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """One more took so long."""
        with self._lock:
            times = self._times.setdefault((name, tuple(labels.items())), _Times())
            times.below[bisect_left(SECONDS, seconds)] += 1
            times.total += seconds

    def text(self, gauges: Iterable[tuple[str, float, Mapping[str, str]]]) -> str:
        """Everything, and the gauges as they are now (name, value, labels)."""
        lines: dict[str, list[str]] = {}
        with self._lock:
            for (name, labels), value in sorted(self._counts.items()):
                lines.setdefault(name, []).append(_line(name, labels, value))
            for (name, labels), times in sorted(self._times.items(), key=lambda item: item[0]):
                lines.setdefault(name, []).extend(_histogram(name, labels, times))
        for name, value, given in gauges:
            lines.setdefault(name, []).append(_line(name, tuple(given.items()), value))
        written = []
        for name, own in lines.items():
            kind, says = HELP[name]
            written += [f"# HELP {name} {says}", f"# TYPE {name} {kind}", *own]
        return "\n".join(written) + "\n"


def _histogram(name: str, labels: Labels, times: _Times) -> list[str]:
    lines, so_far = [], 0
    for bound, count in zip([*map(str, SECONDS), "+Inf"], times.below, strict=True):
        so_far += count
        lines.append(_line(f"{name}_bucket", (*labels, ("le", bound)), so_far))
    return [
        *lines,
        _line(f"{name}_sum", labels, times.total),
        _line(f"{name}_count", labels, so_far),
    ]


def _line(name: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{told}}} {value:.10g}" if told else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
