"""All comparisons beside peers, one after the other, and the page that they make.

    python -m benchmarks.bench [--quick] [--out DIR] [--page docs/performance.md] [--only NAME ...]

Writes results.json and results.md in DIR; with `--page`, what stands there between the marks of
figures is replaced. `--quick` takes fewer cases and rounds, a few minutes in place of half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from benchmarks import (
    demo,
    goals,
    gold,
    growth,
    machine,
    online,
    profile,
    rollouts,
    startup,
    training,
)
from benchmarks.harness import Comparison, Unequal, disturbed
from benchmarks.machine import Machine
from benchmarks.material import SIZES
from benchmarks.peers import environment, versions
from benchmarks.workshop import Workshop

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Asked:
    """What is to be run."""

    shop: Workshop
    quick: bool

    def rounds(self, size: str) -> int:
        """Fewer where a round takes long."""
        return 1 if self.quick else {"1M": 3}.get(size, 2)


Piece = Callable[[], list[Comparison]]


def _rollouts(asked: Asked) -> list[Piece]:
    batches = rollouts.QUICK if asked.quick else rollouts.BATCHES
    return [
        partial(rollouts.measure, asked.shop, size, batches[size], asked.rounds(size))
        for size in SIZES
    ]


def _training(asked: Asked) -> list[Piece]:
    return [
        lambda size=size, kind=kind: [  # type: ignore[misc]
            training.measure(asked.shop, size, kind, asked.rounds(size))
        ]
        for size in SIZES
        for kind in training.KINDS
    ]


def _online(asked: Asked) -> list[Piece]:
    return [
        lambda size=size, kind=kind: [  # type: ignore[misc]
            online.measure(asked.shop, size, kind, 1 if kind == "ppo" else asked.rounds(size))
        ]
        for size in SIZES
        for kind in online.KINDS
        if not (asked.quick and (size, kind) == ("25M", "ppo"))
    ]


def _growth(asked: Asked) -> list[Piece]:
    return [] if asked.quick else [partial(growth.measure, 1)]


def _startup(asked: Asked) -> list[Piece]:
    return [lambda: [startup.measure(3 if asked.quick else 7)]]


PARTS: Mapping[str, Callable[[Asked], list[Piece]]] = {
    "startup": _startup,
    "rollouts": _rollouts,
    "training": _training,
    "online": _online,
    "growth": _growth,
}


def tried(piece: Piece) -> list[Comparison]:
    """What a piece of work gives; where its sides differ or fail, that is said and no more."""
    try:
        found = piece()
    except (RuntimeError, Unequal) as error:
        print(f"LEFT OUT: {error}", file=sys.stderr, flush=True)
        return []
    for each in found:
        print(each.table(), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=[*PARTS, "demo"], default=[*PARTS, "demo"])
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--page", type=Path, help="whose figures are replaced")
    given = parser.parse_args()
    began, seen = time.perf_counter(), machine.measure()
    print(seen, flush=True)
    found: list[Comparison] = []
    with Workshop() as shop:
        asked = Asked(shop, given.quick)
        for name, part in PARTS.items():
            if name in given.only:
                found += [each for piece in part(asked) for each in tried(piece)]
    shown, curves = None, None
    if "demo" in given.only and not given.quick:
        with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
            run = Path(folder) / "run"
            shown = demo.measure("quickstart", run)
            learned, curves = gold.measure(run)
            found.append(learned)
    minutes = (time.perf_counter() - began) / 60
    head = heading(seen, minutes)
    given.out.mkdir(parents=True, exist_ok=True)
    text = page(head, seen, found, shown)
    if curves:
        text += f"\n### Gold against seconds, DPO on the embedded world\n\n{gold.table(curves)}\n"
        gold.draw(curves, given.out / "gold.svg")
    (given.out / "results.md").write_text(text, "utf-8")
    record = {"heading": head, "machine": asdict(seen), "comparisons": [_plain(c) for c in found]}
    (given.out / "results.json").write_text(json.dumps(record, indent=1), "utf-8")
    if given.page:
        given.page.write_text(filled(given.page.read_text("utf-8"), text), "utf-8")
    print(goals.table(found))


def heading(seen: Machine, minutes: float) -> list[str]:
    """Date, command, machine and versions."""
    said = {"heed": versions(Path(sys.executable)), **{
        peer: versions(environment(peer)) for peer in ("trl", "trl-ppo")}}  # fmt: skip
    lines = [
        f"Measured on {time.strftime('%Y-%m-%d')} by "
        f"`python -m benchmarks.bench {' '.join(sys.argv[1:])}`, in {minutes:.0f} minutes.",
        f"Machine: {seen}.",
    ]
    for name, found in said.items():
        listed = ", ".join(f"{package} {number}" for package, number in found.items())
        lines.append(f"{name}: {listed}.")
    spin = os.environ.get("GOMP_SPINCOUNT", "20000")
    return [*lines, f"GOMP_SPINCOUNT={spin} on all sides."]


def page(
    head: Sequence[str], seen: Machine, found: Sequence[Comparison], shown: demo.Demo | None
) -> str:
    """The figures in Markdown."""
    parts = ["\n".join(f"- {line}" for line in head), "### Goals", goals.table(found)]
    parts += ["### Every comparison", _comparisons(seen, found)]
    split = [each for each in found if "generate" in next(iter(each.rounds.values()))[0].said]
    if split:
        parts += ["### Where an iteration's time goes", *(
            f"{each.name}\n\n```text\n{online.parts(each)}\n```" for each in split)]  # fmt: skip
    if inside := _profiles(found):
        parts += ["### Where processors' time goes, our faster side", profile.table(inside)]
    if shown is not None:
        told = disturbed(shown.foreign)
        parts += [f"### The demo{told}", f"```text\n{demo.lines(shown)}\n```"]
    return "\n\n".join(parts) + "\n"


def _profiles(found: Sequence[Comparison]) -> dict[str, Mapping[str, float]]:
    """By what the names of those begin with that have one in common: cases of one side."""
    named: dict[int, list[Comparison]] = {}
    for each in found:
        if each.profile:
            named.setdefault(id(each.profile), []).append(each)
    return {_beginning([each.name for each in some]): some[0].profile for some in named.values()}


def _beginning(names: Sequence[str]) -> str:
    """The first words of all of them."""
    columns = zip(*(name.split(" ") for name in names), strict=False)
    return " ".join(words[0] for words in takewhile(lambda words: len(set(words)) == 1, columns))


def _comparisons(seen: Machine, found: Sequence[Comparison]) -> str:
    head = "| work | side | median s | tokens/s | peak GB | of the limit | ours beside it |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for each in found:
        mine = each.best(ours=True)
        for side in each.rounds:
            ratio = "" if side in each.ours else f"{each.ratio(mine, side)}, by {mine}"
            lines.append(
                f"| {each.name}{disturbed(each.foreign())} | {side} | {each.seconds(side):.3f} | "
                f"{each.tokens(side):.0f} | {each.peak(side) / 1e9:.2f} | "
                f"{_share(seen, each, side)} | {ratio} |"
            )
    return "\n".join(lines)


def _share(seen: Machine, each: Comparison, side: str) -> str:
    """Of what the machine can do at best, where that is known for the work."""
    kind, _, rest = each.name.partition(" ")
    size, precision = SIZES.get(rest.split(" ")[0]), side.rpartition(" ")[2]
    if size is None or precision not in seen.products or kind not in ("rollouts", *training.KINDS):
        return ""
    seconds, tokens = each.seconds(side), each.tokens(side) * each.seconds(side)
    if kind == "rollouts":
        share = seen.decoding_share(precision, size, tokens, rollouts.LONGEST, seconds)
    else:
        head = 0 if kind != "reward" else size.vocabulary * size.width
        weights = size.matrix_weights - head
        share = seen.training_share(precision, weights, tokens, seconds)
    return f"{100 * share:.0f}%"


def filled(old: str, figures: str) -> str:
    """A page with other figures between its marks. Raises ValueError where it has none."""
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def _plain(found: Comparison) -> dict[str, Any]:
    """As JSON, without the tokens that were compared."""
    rounds = {
        side: [
            {"seconds": one.seconds, "foreign": one.foreign, "peak": one.peak,
             **{k: v for k, v in one.said.items() if k != "answers"}} for one in seen
        ] for side, seen in found.rounds.items()
    }  # fmt: skip
    return {
        "name": found.name, "ours": sorted(found.ours), "rounds": rounds,
        "profile": dict(found.profile),
    }  # fmt: skip


if __name__ == "__main__":
    main()
