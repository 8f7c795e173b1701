from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from needs import data_folder

from heed.data.survey import Survey, survey
from heed.errors import UserError
from heed.types import Comparison, Message, Prompt

ASK = "\n\nHuman: How do I boil an egg?\n\nAssistant:"
TWO = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: And rice?\n\nAssistant:"


def survey_of(*paths: Path) -> Survey:
    return survey([str(path) for path in paths])


def row(chosen: str, rejected: str) -> str:
    return json.dumps({"chosen": chosen, "rejected": rejected})


USABLE = [row(f"{ASK} Seven minutes.", f"{ASK} No."), row(f"{TWO} Rinse.\n\nBoil. ", f"{TWO} eh")]
BROKEN = {
    "equal answers": [row(f"{ASK} Seven.", f"{ASK}  Seven.")],
    "empty answers": [row(f"{ASK} Seven.", f"{ASK} "), row(f"{ASK}", f"{ASK} Seven.")],
    "unlike prompts": [
        row(f"{ASK} Why?", f"{ASK} Which?\n\nHuman: A big one\n\nAssistant: Nine."),
        row(f"{ASK} Yes  Human: Sure?\n\nAssistant: Yes.", f"{ASK} No."),
        row("\n\nHuman: tea?\n\nAssistant: Yes.", "\n\nHuman: tee?\n\nAssistant: No."),
    ],
    "malformed transcripts": [
        row("\n\nHuman: a\n\nHuman: b\n\nAssistant: c", "\n\nHuman: a\n\nHuman: b\n\nAssistant: d"),
        row("no labels", "at all"),
        row("", ""),
        row("\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "\n\nHuman: a\n\nAssistant: b\n\nHuman: d"),
        row("\n\nHuman: \n\nAssistant: b", "\n\nHuman: \n\nAssistant: c"),
        row(f"Note.{ASK} b", f"Note.{ASK} c"),
    ],
}


def again(line: str) -> str:
    """The row with another answer to the same prompt."""
    values = json.loads(line)
    return json.dumps({**values, "chosen": f"{values['chosen']} Really."})


def write(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["helpful-base.jsonl", "helpful-base.jsonl.gz"])
def test_transcripts_become_comparisons(tmp_path: Path, name: str) -> None:
    transcripts = survey_of(write(tmp_path / name, USABLE))
    first, second = transcripts.comparisons
    assert first == Comparison(
        Prompt(
            "helpful-base:1", (Message("user", "How do I boil an egg?"),), family="helpful-base"
        ),
        chosen="Seven minutes.",
        rejected="No.",
    )
    assert second.prompt.id == "helpful-base:2"
    assert second.prompt.messages == (
        Message("user", "Hi"),
        Message("assistant", "Hello!"),
        Message("user", "And rice?"),
    )
    assert second.chosen == "Rinse.\n\nBoil."
    assert transcripts.message() == "2 comparisons read; nothing set aside."
    assert set(transcripts.formats.values()) == {"hh"}


@pytest.mark.parametrize("reason", BROKEN)
def test_unusable_rows_are_counted_by_reason(tmp_path: Path, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", USABLE + BROKEN[reason])
    transcripts = survey_of(path)
    assert transcripts.set_aside == {reason: len(BROKEN[reason])}
    assert len(transcripts.comparisons) == 2


def test_the_message_names_every_reason() -> None:
    aside = {"equal answers": 1200, "empty answers": 2}
    found = Survey(("a",), {"a": "hh"}, 1202, (), (), (), 0, 0, 0, aside, ())
    assert found.message() == (
        "0 comparisons read; 1,202 rows set aside: 2 empty answers, 1,200 equal answers."
    )


def test_folders_are_searched_and_published_names_understood(tmp_path: Path) -> None:
    write(tmp_path / "hh" / "helpful-base" / "train.jsonl.gz", USABLE)
    write(tmp_path / "hh" / "helpful-base" / "test.jsonl.gz", [again(row) for row in USABLE])
    write(tmp_path / "hh" / "online.jsonl", [again(again(row)) for row in USABLE])
    (tmp_path / "hh" / "README.md").write_text("not data")
    read = survey_of(tmp_path / "hh").comparisons
    assert [pair.prompt.family for pair in read] == ["helpful-base"] * 4 + ["online"] * 2
    assert len({pair.prompt.id for pair in read}) == 6
    assert read[0].prompt.id == "helpful-base/test:1"
    # The published parts share openings, so that they are split anew.
    assert {pair.prompt.split for pair in read} == {"train"}


def test_several_files(tmp_path: Path) -> None:
    files = [write(tmp_path / name, USABLE) for name in ("a.jsonl", "b.jsonl.gz", "c/a.jsonl")]
    read = survey_of(*files)
    assert (len(read.comparisons), read.duplicates, read.rows) == (2, 4, 6)
    other = write(tmp_path / "d" / "a.jsonl", [row(f"{ASK} Ten.", f"{ASK} No."), USABLE[0]])
    third = write(tmp_path / "e" / "a.jsonl", [row(f"{TWO} Ten.", f"{TWO} No.")])
    both = survey_of(other, third).comparisons
    assert len({pair.prompt.id for pair in both}) == len(both) == 3  # a:1, a:2, and another a:1


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ('{"chosen": ', "this is not JSON"),
        ('{"chosen": "a"}', "the column 'rejected' has no text (missing)"),
        ('{"chosen": [], "rejected": "a"}', "the column 'chosen' has no text ([])"),
        ("[1]", "a row is a JSON object, this is a list"),
    ],
)
def test_rows_of_another_form_are_the_users_mistake(tmp_path: Path, bad: str, why: str) -> None:
    path = write(tmp_path / "a.jsonl", [USABLE[0], "", bad])
    found = survey_of(path)
    assert [each.place for each in found.broken] == [f"{path}, line 3"]
    assert found.broken[0].why.startswith(why)
    assert (found.rows, len(found.comparisons)) == (2, 1)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    cut = write(tmp_path / "cut.jsonl.gz", USABLE * 50)
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"cut.jsonl.gz, after line \d+: cannot be read"):
        survey_of(cut)
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"chosen": "caf\xe9"}\n')
    with pytest.raises(UserError, match=r"latin.jsonl, line 1: this is not UTF-8"):
        survey_of(latin)
    with pytest.raises(UserError, match=r"missing.jsonl does not exist"):
        survey_of(tmp_path / "missing.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no .jsonl"):
        survey_of(tmp_path / "empty")


def test_the_published_data() -> None:
    """The traps of the real data set, where it is at hand."""
    folder = data_folder("HEED_HH_DATA", "HH-RLHF transcripts")
    transcripts = survey_of(folder)
    assert len(transcripts.comparisons) > 0.98 * (
        len(transcripts.comparisons) + sum(transcripts.set_aside.values())
    )
    assert transcripts.set_aside["equal answers"] > 0
    assert transcripts.set_aside["unlike prompts"] > 0
    assert all(pair.chosen and pair.rejected for pair in transcripts.comparisons)
