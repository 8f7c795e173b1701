"""`heed compare`: who answers better, by whom, and how surely."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.cli.contestants import Entrant
    from heed.evaluation.reading import Cast
    from heed.types import Prompt

ITEMS, PLAN = "items.jsonl", "plan.json"
MORE = """Or:

heed compare mine.json theirs.json --judge http://127.0.0.1:8000/v1#judge

heed compare ./model-a ./model-b --prompts questions.txt --judge people

heed compare --annotations annotations.json"""


Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="A B ...",
        help="Each RUN:POLICY, a model's directory or address, or a file of answers; NAME=... "
        "names it.",
    ),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        help="gold, RUN:REWARD, a model's directory or address#MODEL, or people; may be given "
        "many times."
    ),
]
Votes = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Votes that were cast already (AlpacaEval's annotations, llmfao's votes, Heed's own, "
        "or a store with an arena), in place of contestants and judges.",
    ),
]
Questions = Annotated[
    Path | None,
    typer.Option(help="What to ask: .txt of one a line, or rows of prompt or instruction."),
]
Baseline = Annotated[
    str | None, typer.Option(help="Whom win rates are against; the last one by default.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Prompts compared on, drawn at random.")]
Pairs = Annotated[int | None, typer.Option(min=1, help="Pairs judged in all, spread evenly.")]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, help="Of the answers; the run's own, or 1.")
]
Longest = Annotated[
    int | None, typer.Option(min=1, help="Answers are cut here; the run's own if left out.")
]


def compare(
    contestants: Names = None,
    judge: Judges = None,
    annotations: Votes = None,
    prompts: Questions = None,
    baseline: Baseline = None,
    limit: Limit = None,
    pairs: Pairs = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Answers a prompt.")] = 1,
    temperature: Temperature = None,
    max_new_tokens: Longest = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same pairs.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Annotated[Path, typer.Option(help="Where compare.json and compare.html go.")] = Path(
        "runs/compare"
    ),
) -> None:
    """Compare answers in blind pairs: who is better, how surely, and which judge is fooled.

    Names are hidden and the order is drawn; a language model judges in both orders.

    Answers that answer nothing always run along. The same command again goes on where it stopped.

    [dim]Example:[/]  heed compare runs/demo:ppo runs/demo:sft --judge gold
    """
    words = contestants or []
    if annotations is not None:
        if words or judge:
            raise UserError(
                "--annotations holds contestants and votes already: leave the others out."
            )
        cast = _cast(annotations)
        title = Path(annotations).name
    else:
        if not words or not judge:
            raise UserError(
                "Name contestants and who judges them, as in heed compare runs/demo:ppo "
                "runs/demo:sft --judge gold; or votes that were cast, with --annotations FILE."
            )
        said = {"temperature": temperature, "max_new_tokens": max_new_tokens}
        given = {name: value for name, value in said.items() if value is not None}
        with _alone(out):
            cast = _held(
                words, judge, prompts, (limit, pairs, n), given, seed=seed, device=device, out=out
            )
        title = " · ".join(name for name in dict.fromkeys(_names(cast)) if "decoy:" not in name)
    with _alone(out):
        _tell(cast, baseline, seed, out, title)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other processes out of the comparison's directory; one made for nothing is removed."""
    from heed.lock import LOCK, locked

    new = not out.exists()
    with locked(out, "this comparison"):
        try:
            yield
        except BaseException:
            if new and [path.name for path in out.iterdir()] == [LOCK]:
                shutil.rmtree(out)
            raise


def _names(cast: Cast) -> list[str]:
    return [name for vote in cast.votes for name in (vote.left, vote.right)]


def _cast(place: str) -> Cast:
    """Votes from a file, or those of the arena in a store."""
    from heed.cli.arena_votes import arena_votes, is_store
    from heed.evaluation.reading import read_votes

    return arena_votes(place) if is_store(place) else read_votes(Path(place))


def _held(
    words: Sequence[str],
    judges: Sequence[str],
    file: Path | None,
    sizes: tuple[int | None, int | None, int],
    given: Mapping[str, Any],
    *,
    seed: int,
    device: str,
    out: Path,
) -> Cast:
    """A comparison that is held now; what an earlier process of the same one judged is kept."""
    from heed.cli.contestants import entrants, prompts_of
    from heed.cli.judges import notes, sources
    from heed.data.outputs import read_prompts
    from heed.evaluation.reading import Cast
    from heed.files import read_records, write_records
    from heed.stages.compare import asked
    from heed.types import Item

    found = entrants(words, given, device)
    questions = read_prompts(file) if file is not None else prompts_of(found)
    if sizes[0] is not None and sizes[0] < len(questions):
        questions = Random(seed).sample(questions, sizes[0])
    settings = [sizes, given or None, seed]
    key = _begin(out, [[[each.name, each.mark] for each in found], _marks(questions), settings])
    asking = sources(judges, found, out, key, device, seed)
    if not (out / ITEMS).exists():
        write_records(out / ITEMS, _items(found, questions, sizes, seed))
    items = read_records(out / ITEMS, Item)
    votes = [vote for each in asking for vote in asked(each, items, f"asking {each.name}")]
    write_records(out / "votes.jsonl", votes)
    accounts = {each.name: dict(each.account()) for each in asking}
    return Cast(votes, found[-1].name, notes(judges, found), accounts, imported=False)


def _items(
    found: Sequence[Entrant], questions: Sequence[Prompt],
    sizes: tuple[int | None, int | None, int], seed: int,
) -> list[Any]:  # fmt: skip
    from heed.evaluation.contestants import decoys, pair_up
    from heed.run import derive_seed

    field = []
    for each in found:
        typer.echo(f"{each.name} answers {len(questions):,} prompts", err=True)
        field.append(each.answers(questions, sizes[2], derive_seed(seed, each.name)))
    both = [*field, *decoys(questions)]
    return list(pair_up(both, questions, pairs=sizes[1], seed=derive_seed(seed, "pairs")))


def _marks(questions: Sequence[Prompt]) -> list[Any]:
    return [[each.id, [[turn.role, turn.content] for turn in each.messages]] for each in questions]


def _begin(out: Path, plan: list[Any]) -> str:
    """A key of the comparison; what another one left in the place is thrown away."""
    from heed.files import write_json

    key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    path = out / PLAN
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known.get("key") != key:
        for old in [out / ITEMS, *out.glob("judgements-*.jsonl")]:
            old.unlink(missing_ok=True)
        write_json(path, {"key": key})
    return key


def _tell(cast: Cast, baseline: str | None, seed: int, out: Path, title: str) -> None:
    """Print the tables and write the page."""
    from heed.evaluation.compared import compared, fooled_notes
    from heed.report.compare_page import write_comparison

    if not cast.votes:
        raise UserError("Nobody decided anything: no judge gave a verdict on any pair.")
    names = list(dict.fromkeys(_names(cast)))
    if baseline is not None and baseline not in names:
        raise UserError(f"--baseline {baseline!r} is none of those compared: {', '.join(names)}.")
    figures = compared(cast.votes, baseline or cast.baseline, seed=seed)
    found = {**figures, "accounts": cast.accounts, "imported": cast.imported}
    notes = [*cast.notes]
    for name, each in found["judges"].items():
        notes += [*fooled_notes(name, each), *each["notes"]]
        _print(name, each, found["baseline"])
    for both in found["agreement"]:
        typer.echo(f"{' and '.join(both['judges'])} agree: kappa {_shown(both['kappa'], 2)}")
    for note in notes:
        typer.echo(f"Note: {note}", err=True)
    typer.echo(f"Comparison: {write_comparison(out, found, title, cast.notes)}")


def _print(judge: str, found: Mapping[str, Any], baseline: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    votes = f"{found['votes']:,} votes on {found['prompts']:,} prompts"
    table = Table(title=Text(f"By {judge}: {votes}"), title_justify="left", box=None)
    heads = ["Rank", "", "Rating [95%]", "error"]
    if baseline is not None:
        heads += [f"Wins against {baseline} (%)", "error", "discrete", "length-controlled"]
    for head in heads:
        table.add_column(Text(head), justify="left" if head == "" else "right")
    beside = found["against_baseline"]
    for row in found["ratings"]:
        rating = {"mean": row["rating"], "low": row["low"], "high": row["high"]}
        cells = [str(row["rank"]), row["name"], _shown(rating, 0), f"{row['error']:.1f}"]
        if (own := beside.get(row["name"])) is not None:
            controlled = own["length_controlled"]
            cells += [
                _shown(own["win_rate"], 1),
                "" if own["error"] is None else f"{own['error']:.2f}",
                f"{own['discrete']['mean']:.1f}",
                "" if controlled is None else _shown(controlled["win_rate"], 1),
            ]
        table.add_row(*map(Text, cells))
    Console(width=None if Console().is_terminal else 160).print(table)


def _shown(found: Mapping[str, Any], digits: int) -> str:
    mean, low, high = (math.nan if found[k] is None else found[k] for k in ("mean", "low", "high"))
    bounds = f" [{low:.{digits}f}, {high:.{digits}f}]" if math.isfinite(low + high) else ""
    return f"{mean:.{digits}f}{bounds}"
