"""AlpacaEval's files, and what is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.data.alpaca_eval import contests, read_annotations, read_outputs, read_table
from heed.data.rows import BadRow
from heed.errors import UserError


def entry(**change: Any) -> dict[str, Any]:
    return {
        "instruction": "What is the capital of France?", "output_1": "Paris.",
        "generator_1": "gpt4_1106_preview", "dataset": "helpful_base",
        "output_2": "**Paris**, the city of light.", "generator_2": "mine",
        "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": 1.75,
    } | change  # fmt: skip


def written(file: Path, *entries: Any) -> Path:
    file.write_text("[\n" + ",\n".join(json.dumps(each) for each in entries) + "\n]")
    return file


def whys(errors: list[BadRow]) -> list[tuple[str, str]]:
    return [(Path(each.place).name, each.why) for each in errors]


def test_annotations(tmp_path: Path) -> None:
    file = written(
        tmp_path / "annotations.json",
        entry(),
        entry(instruction="b", preference=None),
        entry(instruction="c", preference=0),
        entry(instruction="d", preference=1),
        entry(generator_2="other", output_2="", preference=2),
        entry(generator_2="unread", preference=None),
    )
    judged, errors = read_annotations(file)
    assert not errors
    assert [each.win for each in judged] == [0.75, None, 0.5, 0, 1, None]
    assert (judged[0].baseline, judged[0].model) == ("gpt4_1106_preview", "mine")
    assert judged[0].characters == (6, 29)
    found = contests(judged)
    counts = {name: len(each.items) for name, each in found.items()}
    assert counts == {"mine": 3, "other": 1, "unread": 0}
    assert found["mine"].wins.tolist() == [0.75, 0.5, 0]
    assert found["other"].differences["length"].tolist() == [-6]
    styled = contests(judged, styles=True)["mine"]
    assert styled.differences["bold"].tolist() == [1, 1, 1]


def test_entries_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = entry(instruction="f")
    del missing["preference"]
    file = written(
        tmp_path / "annotations.json",
        entry(),
        entry(preference=2.5),
        entry(preference="better"),
        entry(output_2=None),
        entry(generator_2=" "),
        entry(),
        missing,
        ["no entry"],
        entry(output_2="a\0b"),
        entry(instruction="last", preference=-1),
    )
    judged, errors = read_annotations(file)
    assert len(judged) == 1
    found = whys(errors)
    assert [place for place, _ in found] == [f"annotations.json, line {n}" for n in range(3, 12)]
    for (_, why), words in zip(
        found,
        ("is 2.5; it runs from 1", "'preference' has no number ('better')", "'output_2' has no",
         "'generator_2' has no text", "the same stands in line 2", "'preference' is missing",
         "a list", "NUL", "is -1; it runs"),
        strict=True,
    ):  # fmt: skip
        assert words in why


def test_files_broken_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    with pytest.raises(UserError, match="does not exist"):
        read_annotations(file)
    file.write_text("[\n" + json.dumps(entry()) + ",\n{")
    with pytest.raises(UserError, match=r"annotations.json, line 3"):
        read_annotations(file)


def test_outputs(tmp_path: Path) -> None:
    answer = {"instruction": "Hello?", "output": "Hi.", "generator": "mine", "dataset": "koala"}
    file = written(
        tmp_path / "model_outputs.json", answer, {**answer, "instruction": "", "output": "x"},
        {**answer, "output": 3}, answer, {**answer, "instruction": "Who?", "output": ""},
    )  # fmt: skip
    outputs, errors = read_outputs(file)
    assert [(each.instruction, each.answer) for each in outputs] == [
        ("Hello?", "Hi."),
        ("Who?", ""),
    ]
    assert outputs[0].model == "mine"
    assert whys(errors) == [
        ("model_outputs.json, line 3", "the column 'instruction' has no text"),
        ("model_outputs.json, line 4", "the column 'output' has no text (3)"),
        ("model_outputs.json, line 5", "the same stands in line 2"),
    ]


def test_table(tmp_path: Path) -> None:
    file = tmp_path / "preferences.csv"
    head = "model,item,preference,chars_baseline,chars_model\n"
    file.write_text(head + "a,0,1.25,100,120\na,1,,5,6\na,2,1,5,-6\na,3,1,5,6.5\na,4,1,5,\n")
    judged, errors = read_table(file)
    assert [each.win for each in judged] == [0.25, None]
    assert [place for place, _ in whys(errors)] == [f"preferences.csv, line {n}" for n in (4, 5, 6)]
    assert "number of characters (-6)" in errors[0].why
    assert contests(judged)["a"].differences["length"].tolist() == [20]
    with pytest.raises(UserError, match="style is unknown"):
        contests(judged, styles=True)


def test_one_judge_and_one_baseline(tmp_path: Path) -> None:
    for change, words in (
        ({"annotator": "another"}, "several judges: another, weighted"),
        ({"generator_1": "davinci"}, "several baselines: davinci, gpt4"),
    ):
        judged, _ = read_annotations(written(tmp_path / "a.json", entry(), entry(**change)))
        with pytest.raises(UserError, match=words):
            contests(judged)
