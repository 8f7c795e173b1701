"""What a recipe's data look like, by a part of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.planning.look import look
from heed.planning.texts import LOOK, MARKER, Rows, Seen, by_characters
from heed.types import Prompt
from heed.world.world import World

SHORT = Seen(4, 2, 3, 1, "facts")
LONG = Seen(8, 12, 7, 9, "verse")
BOTH = Rows(100, (SHORT, LONG))


def test_rows_are_cut_as_the_stages_cut_them() -> None:
    assert BOTH.prompt() == 6
    assert (BOTH.answer(), BOTH.answer(5)) == (7, (2 + 5) / 2)
    assert BOTH.row(64) == (6 + 20) / 2
    assert BOTH.row(10) == (6 + 10) / 2
    assert BOTH.target(10) == (2 + 5) / 2  # the answer keeps half of the context
    assert BOTH.words(2) == (3 + 2 + 7 + 18) / 2


def test_some_families_are_their_share_of_the_rows() -> None:
    verse = BOTH.of(["verse"])
    assert (verse.count, verse.seen) == (50, (LONG,))
    assert BOTH.of([]) is BOTH


def test_the_world_is_looked_at_as_it_is() -> None:
    ground = look(load_recipe("quickstart", ["records.corpus=3000", "records.demonstrations=500"]))
    world, data = World(0), ground.data
    assert (data.corpus.count, data.demonstrations.count) == (3000, 500)
    assert len(data.corpus.seen) == LOOK
    assert sum(data.prompts.values()) == len(world.split("train"))
    assert data.held == len(world.split("heldout"))
    # The mean of what is looked at is that of the whole, to some hundredths.
    whole = look(load_recipe("quickstart", ["records.corpus=900", "records.demonstrations=900"]))
    assert data.corpus.row(256) == pytest.approx(whole.data.corpus.row(256), rel=0.06)


def test_dialogues_about_answers_are_part_of_the_corpus() -> None:
    plain = look(load_recipe("quickstart", ["records.corpus=1000"]))
    talk = look(load_recipe("quickstart", ["records.corpus=1000", "records.feedback_talk=500"]))
    assert talk.data.corpus.count == 1500
    assert talk.data.corpus.row(256) > plain.data.corpus.row(256)
    assert talk.data.vocabulary > plain.data.vocabulary


def _row(at: int) -> str:
    asked = f"\n\nHuman: Question {at} of some words?\n\nAssistant:"
    return json.dumps({"chosen": f"{asked} Yes, it is so.", "rejected": f"{asked} No."})


def test_people_s_data_are_counted_as_they_are_read(tmp_path: Path) -> None:
    lines = [_row(at) for at in range(100)] + ['{"chosen": 1, "rejected": 2}', "no json"]
    (tmp_path / "plain.jsonl").write_text("\n".join(lines) + "\n")
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write("\n".join(_row(at) for at in range(100, 150)) + "\n")
    ground = look(load_recipe("hh", [f"data={tmp_path}"]))
    data = ground.data
    assert (data.comparisons, data.heldout) == (135, 15)
    assert data.corpus.count == 270
    assert (data.demonstrations.count, data.all_train) == (135, False)
    assert sum(data.prompts.values()) == 135
    assert set(data.prompts) == {"plain", "packed"}
    few = look(load_recipe("hh", [f"data={tmp_path}", "records.limit=40"]))
    assert (few.data.comparisons, few.data.heldout) == (36, 4)


def test_without_a_tokenizer_characters_are_counted() -> None:
    prompt, answer = by_characters(Prompt.of("x" * 35), "y" * 70)
    assert (prompt, answer) == (10 + 2 * MARKER, 20 + 1)
