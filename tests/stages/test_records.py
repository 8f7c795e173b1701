"""The first stage on people's data: what is trained on them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from heed.config import load_recipe
from heed.data.splitting import conversation
from heed.errors import UserError
from heed.files import read_records
from heed.pipeline import run_recipe
from heed.run import Run
from heed.types import Comparison, Demonstration, Prompt, Unpaired

Row = dict[str, Any]
TINY = """\
  - pretrain:
      vocabulary: 300
      context: 96
      architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64,
                     num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2,
                     max_position_embeddings: 96, tie_word_embeddings: true}
"""
SFT = "  - sft: {epochs: 1, batch: 8, context: 96}\n"
KTO = "  - kto: {comparisons: records, batch: 8, context: 96}\n"
DPO = "  - dpo: {comparisons: records, batch: 8, context: 96}\n"


def asked(number: int) -> list[Row]:
    return [{"role": "user", "content": f"How do I make dish {number}?"}]


def pair(number: int) -> Row:
    return {"prompt": f"How do I make dish {number}?", "chosen": "With care.", "rejected": "No."}


def judged(number: int) -> Row:
    question = f"How do I make dish {number}?"
    return {
        "prompt": question,
        "completion": ["Slowly.", "No."][number % 2],
        "label": not number % 2,
    }


def shown(number: int) -> Row:
    return {"messages": [*asked(number), {"role": "assistant", "content": "Slowly, with care."}]}


def write(path: Path, rows: Sequence[Row | str]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Run stages on data; gives the run's folder."""

    def make(data: Path | Sequence[Path], stages: str = "", records: str = "{}") -> Path:
        sources = [data] if isinstance(data, Path) else data
        listed = json.dumps([str(source) for source in sources])
        recipe, folder = tmp_path / "mine.yaml", tmp_path / "run"
        recipe.write_text(
            f"name: mine\nthreads: 1\ndata: {listed}\nstages:\n  - records: {records}\n{stages}"
        )
        run_recipe(Run(load_recipe(str(recipe)), folder), say=lambda _: None)
        return folder

    return make


def summary(folder: Path, stage: str = "records") -> dict[str, Any]:
    return json.loads((folder / stage / "done.json").read_text())["summary"]  # type: ignore[no-any-return]


def test_labelled_answers_alone_train_kto(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run(write(tmp_path / "a.jsonl", [judged(n) for n in range(40)]), TINY + SFT + KTO)
    train = read_records(folder / "records" / "unpaired.jsonl", Unpaired)
    held = read_records(folder / "records" / "heldout_unpaired.jsonl", Unpaired)
    assert (len(train), len(held)) == (36, 4)
    imitated = read_records(folder / "records" / "demonstrations.jsonl", Demonstration)
    assert {each.text for each in imitated} == {"Slowly."}
    kto = summary(folder, "kto")
    assert kto["answers"] == 36
    assert kto["desirable"] + kto["undesirable"] == 36
    assert "heldout_accuracy" in (folder / "metrics.jsonl").read_text()


def test_demonstrations_alone_are_imitated(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run(write(tmp_path / "a.jsonl", [shown(n) for n in range(30)]), TINY + SFT)
    assert summary(folder)["demonstrations"] == 30
    assert summary(folder, "sft")["demonstrations"] == 27
    assert len(read_records(folder / "records" / "corpus.jsonl", Demonstration)) == 27


@pytest.mark.parametrize(
    ("rows", "stages", "words"),
    [
        ([judged(n) for n in range(9)], SFT + DPO, "there are no comparisons .* method KTO"),
        ([shown(n) for n in range(9)], SFT + DPO, "there are no comparisons .* method SFT"),
        ([shown(n) for n in range(9)], SFT + KTO, "no answers called good or bad .* method SFT"),
        ([judged(n) for n in range(1, 9, 2)], KTO, "all answers are called bad"),
        ([judged(n) for n in range(1, 9, 2)], SFT, "no answer was chosen or called good"),
        ([pair(0)], SFT + DPO, "1 usable comparisons are too few"),
        ([{**judged(0), "completion": " "}], KTO, "not one row can be used .* 1 empty answers"),
        ([{**pair(n), "split": "test"} for n in range(3)], DPO, "hold all 3 prompts out"),
    ],
)
def test_what_the_data_do_not_hold_is_said_before_anything_is_trained(
    run: Callable[..., Path], tmp_path: Path, rows: list[Row], stages: str, words: str
) -> None:
    with pytest.raises(UserError, match=words) as refused:
        run(
            write(tmp_path / "a.jsonl", rows), TINY + stages.replace("{co", "{policy: pretrain, co")
        )
    assert str(tmp_path / "a.jsonl") in str(refused.value)
    assert not (tmp_path / "run" / "pretrain").exists()


def test_all_sorts_together_keep_each_prompt_on_one_side(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "pairs.jsonl", [pair(n) for n in range(30)])
    write(data / "labels.jsonl", [judged(n) for n in range(20, 50)])
    write(data / "shown.jsonl", [shown(n) for n in range(40, 60)])
    write(data / "pairs.jsonl.about.json", ["{}"])
    folder = run(data) / "records"
    assert summary(folder.parent)["set_aside"] == {}
    sides: dict[str, set[str]] = {}
    for name, kind in (("comparisons", Comparison), ("heldout", Comparison),
                       ("unpaired", Unpaired), ("heldout_unpaired", Unpaired),
                       ("demonstrations", Demonstration)):  # fmt: skip
        records = read_records(folder / f"{name}.jsonl", kind)
        assert records, name
        for each in records:
            prompt: Prompt = each.prompt  # type: ignore[attr-defined]
            sides.setdefault(conversation(prompt), set()).add(prompt.split)
    assert all(len(side) == 1 for side in sides.values())
    prompts = read_records(folder / "prompts.jsonl", Prompt)
    assert len(prompts) == len({prompt.id for prompt in prompts}) == 60
    assert len(read_records(folder / "demonstrations.jsonl", Demonstration)) == 20


def test_broken_rows_stop_the_run_and_the_good_ones_are_kept(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [pair(n) for n in range(20)]
    path = write(tmp_path / "a.jsonl", [*rows, "{broken", {**pair(99), "chosen": 5}])
    with pytest.raises(UserError) as refused:
        run(path)
    said = str(refused.value)
    assert f"2 rows of 22 cannot be used: {path}, line 21: this is not JSON" in said
    assert f"{path}, line 22: the column 'chosen' has no text (5)" in said
    aside = tmp_path / "run" / "records.aside"
    assert str(aside / "good") in said
    assert "records: {broken: skip}" in said
    broken = [json.loads(line) for line in (aside / "broken.jsonl").read_text().splitlines()]
    assert [each["line"] for each in broken] == [21, 22]
    assert (aside / "good" / "a.jsonl").read_text() == "".join(f"{json.dumps(r)}\n" for r in rows)
    assert len(path.read_text().splitlines()) == 22
    folder = run(aside / "good")
    assert summary(folder)["comparisons"] == 18


def test_broken_rows_can_be_skipped(run: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*(pair(n) for n in range(20)), "{broken"])
    folder = run(path, records="{broken: skip}")
    assert summary(folder)["comparisons"] == 18
    assert "1 broken rows were left out" in " ".join(summary(folder)["notes"])
    assert json.loads((folder / "records" / "broken.jsonl").read_text())["line"] == 21
