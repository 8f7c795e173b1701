from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from heed.data.survey import describe, survey
from heed.data.training_set import on, training_set
from heed.files import write_records
from heed.types import Comparison, Message, Prompt


def test_pairs_are_surveyed(tmp_path: Path) -> None:
    file = tmp_path / "prefs.jsonl"
    rows = [{"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "No."} for n in range(3)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, rows[0]]) + "{broken\n")
    found = survey([str(file)])
    assert found.formats == {str(file): "trl"}
    assert (found.rows, found.duplicates, len(found.comparisons)) == (5, 1, 3)
    assert found.comparisons[0].chosen == "Yes."
    assert found.comparisons[0].annotator == ""
    assert found.broken[0].place == f"{file}, line 5"
    assert describe(found)[0].startswith(f"{file}: 5 rows, read as 'trl'")


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


ASK = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def test_a_runs_own_comparisons_are_read(tmp_path: Path) -> None:
    asked = Prompt("p1", (Message("user", "Why?"),), family="causes", split="heldout")
    kept = Comparison(asked, "Because.", "No.", margin=1.0, annotator="ada", source="people")
    write_records(tmp_path / "comparisons.jsonl", [kept])
    found = survey([str(tmp_path / "comparisons.jsonl")])
    (read,) = found.comparisons
    assert not found.broken
    assert read == replace(kept, prompt=replace(asked, id=read.prompt.id))


def test_what_says_nothing_new_is_counted_by_reason(tmp_path: Path) -> None:
    found = survey(
        [
            write(
                tmp_path / "a.jsonl",
                ASK,
                ASK,
                {**ASK, "chosen": "No.", "rejected": "Because."},
                {**ASK, "chosen": " "},
                {**ASK, "chosen": "No."},
                {**ASK, "prompt": "How?", "weight": 0},
                {**ASK, "annotator": "zoe"},
            )
        ]
    )
    assert len(found.comparisons) == 2
    assert (found.duplicates, found.contradictory) == (1, 1)
    assert found.set_aside == {"empty answers": 1, "equal answers": 1, "rows of weight 0": 1}
    assert found.message() == (
        "2 comparisons read; 5 rows set aside: 1 contradictions of an earlier row, 1 duplicates, "
        "1 empty answers, 1 equal answers, 1 rows of weight 0."
    )


def test_labels_and_demonstrations_are_taken_once_too(tmp_path: Path) -> None:
    good = {"prompt": "Why?", "completion": "So.", "label": True}
    shown = {"prompt": "Why?", "completion": "So."}
    labels = write(tmp_path / "a.jsonl", good, good, {**good, "label": False}, {**good, "label": 2})
    found = survey([labels, write(tmp_path / "b.jsonl", shown, shown)])
    assert (len(found.unpaired), len(found.demonstrations)) == (1, 1)
    assert (found.duplicates, found.contradictory, len(found.broken)) == (2, 1, 1)
    assert found.broken[0].place.endswith("a.jsonl, line 4")


def test_margins_and_weights_are_the_rows_own_and_grades_become_margins(tmp_path: Path) -> None:
    item = {"id": "i", "prompt": {"id": "p", "messages": [{"role": "user", "content": "Why?"}]},
            "answers": ["So.", "No."]}  # fmt: skip
    verdicts: list[Any] = [2, "tie", "both_bad", "cannot_tell"]
    said = [{"annotator": f"a{n}", "verdict": verdict} for n, verdict in enumerate(verdicts)]
    native = write(tmp_path / "n.jsonl", {"item": item, "annotations": said})
    found = survey([native])
    assert [(each.margin, each.annotator) for each in found.comparisons] == [(2 / 3, "a0")]
    assert found.ties == 1
    assert found.set_aside == {"verdicts of cannot tell": 1}
    assert [(each.text, each.desirable) for each in found.unpaired] == [
        ("So.", False), ("No.", False),
    ]  # fmt: skip
    row = survey([write(tmp_path / "m.jsonl", {**ASK, "margin": 0.5, "weight": 3})])
    assert (row.comparisons[0].margin, row.comparisons[0].weight) == (0.5, 3)


def test_a_row_of_weight_0_is_no_earlier_row_of_one_that_counts(tmp_path: Path) -> None:
    pair = {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}
    nothing = {**pair, "weight": 0}
    found = survey([write(tmp_path / "a.jsonl", nothing, pair, nothing)])
    assert [each.weight for each in found.comparisons] == [1.0]
    assert found.left_out == {"rows of weight 0": 2}


def test_what_is_held_out_anywhere_is_held_out_everywhere(tmp_path: Path) -> None:
    test = write(tmp_path / "d" / "test-00000-of-00001.jsonl", ASK)
    write(tmp_path / "d" / "train.jsonl", {**ASK, "chosen": "Well."}, {**ASK, "prompt": "Who?"})
    found = survey([str(tmp_path / "d")])
    assert {each.prompt.text: each.prompt.split for each in found.comparisons} == {
        "Why?": "heldout", "Who?": "train",
    }  # fmt: skip
    assert survey([test]).comparisons[0].prompt.split == "train"  # the only file there is
    marked = write(tmp_path / "m.jsonl", {**ASK, "split": "validation"}, {**ASK, "prompt": "Who?"})
    assert [each.prompt.split for each in survey([marked]).comparisons] == ["heldout", "train"]


def test_a_look_reads_the_beginning_and_knows_its_share(tmp_path: Path) -> None:
    rows = [{**ASK, "prompt": f"Why {n}?"} for n in range(100)]
    found = survey([write(tmp_path / "a.jsonl", *rows)], most=25)
    assert (found.rows, len(found.comparisons), found.share) == (25, 25, 0.25)


def test_the_lines_for_a_person(tmp_path: Path) -> None:
    rows = [{**ASK, "prompt": f"Why {n}?", "margin": n % 2} for n in range(4)]
    told = describe(survey([write(tmp_path / "a.jsonl", *rows)]))
    assert told[1:] == [
        "4 comparisons read; nothing set aside.",
        "Prompts: 4; median 2 words (6 characters), 95% up to 2 words (6 characters).",
        "Chosen answers: median 1 word (8 characters), 95% up to 1 word (8 characters).",
        "Rejected answers: median 1 word (3 characters), 95% up to 1 word (3 characters).",
        "The chosen answer is the longer one in 4 (100%).",
        "2 (50%) say how much better the chosen answer is.",
    ]


def test_a_prompt_held_out_by_another_kind_of_rows_leaves_the_draw(tmp_path: Path) -> None:
    pairs = [{"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "No."} for n in range(50)]
    shown = {"prompt": "Question 7?", "completion": "Yes.", "split": "test"}
    sources = [write(tmp_path / "pairs.jsonl", *pairs), write(tmp_path / "shown.jsonl", shown)]
    found = survey(sources)
    assert found.apart == {"demonstrations"}
    made = training_set(found, heldout=0.2, limit=None, seed=lambda *_: 0)
    held = on(made.comparisons, "heldout")
    assert len(held) == 10
    assert "Question 7?" in {each.prompt.messages[0].content for each in held}
