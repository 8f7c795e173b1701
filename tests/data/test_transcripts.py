from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest
from needs import data_folder

from heed.data.transcripts import Transcripts, read_transcripts, split_by_prompt
from heed.errors import UserError
from heed.types import Comparison, Message, Prompt

ASK = "\n\nHuman: How do I boil an egg?\n\nAssistant:"
TWO = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: And rice?\n\nAssistant:"


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


def write(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["helpful-base.jsonl", "helpful-base.jsonl.gz"])
def test_transcripts_become_comparisons(tmp_path: Path, name: str) -> None:
    transcripts = read_transcripts(write(tmp_path / name, USABLE))
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


@pytest.mark.parametrize("reason", BROKEN)
def test_unusable_rows_are_counted_by_reason(tmp_path: Path, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", USABLE + BROKEN[reason])
    transcripts = read_transcripts(path)
    assert transcripts.set_aside == {reason: len(BROKEN[reason])}
    assert len(transcripts.comparisons) == 2


def test_the_message_names_every_reason() -> None:
    message = Transcripts((), {"empty answers": 2, "equal answers": 1200}).message()
    assert message == (
        "0 comparisons read; 1,202 rows set aside: 2 empty answers, 1,200 equal answers."
    )


def test_folders_are_searched_and_published_names_understood(tmp_path: Path) -> None:
    write(tmp_path / "hh" / "helpful-base" / "train.jsonl.gz", USABLE)
    write(tmp_path / "hh" / "helpful-base" / "test.jsonl.gz", USABLE)
    write(tmp_path / "hh" / "online.jsonl", USABLE)
    (tmp_path / "hh" / "README.md").write_text("not data")
    read = read_transcripts(tmp_path / "hh").comparisons
    assert [pair.prompt.family for pair in read] == ["helpful-base"] * 4 + ["online"] * 2
    assert len({pair.prompt.id for pair in read}) == 6
    assert read[0].prompt.id == "helpful-base/test:1"


def test_several_files(tmp_path: Path) -> None:
    files = [write(tmp_path / name, USABLE) for name in ("a.jsonl", "b.jsonl.gz")]
    assert len(read_transcripts(files).comparisons) == 4
    with pytest.raises(UserError, match="rename one"):
        read_transcripts([*files, write(tmp_path / "c" / "a.jsonl", USABLE)])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('{"chosen": ', "line 3: this is not JSON"),
        ('{"chosen": "a"}', "line 3: the row has no text 'rejected'"),
        ('{"chosen": [], "rejected": "a"}', "line 3: the row has no text 'chosen'"),
        ("[1]", "line 3: the row has no text 'chosen'"),
    ],
)
def test_rows_of_another_form_are_the_users_mistake(tmp_path: Path, bad: str, words: str) -> None:
    path = write(tmp_path / "a.jsonl", [USABLE[0], "", bad])
    with pytest.raises(UserError, match=f"a.jsonl, {words}"):
        read_transcripts(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    cut = write(tmp_path / "cut.jsonl.gz", USABLE * 50)
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"cut.jsonl.gz, after line \d+: cannot be read"):
        read_transcripts(cut)
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"chosen": "caf\xe9"}\n')
    with pytest.raises(UserError, match=r"latin.jsonl, after line 0"):
        read_transcripts(latin)
    with pytest.raises(UserError, match=r"missing.jsonl does not exist"):
        read_transcripts(tmp_path / "missing.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no .jsonl"):
        read_transcripts(tmp_path / "empty")
    with pytest.raises(UserError, match="not one row can be used"):
        read_transcripts(write(tmp_path / "sad.jsonl", BROKEN["equal answers"]))


def comparison(opening: str, number: int) -> Comparison:
    messages = (Message("user", opening), Message("assistant", "So?"), Message("user", "Go on"))
    return Comparison(Prompt(f"p{number}", messages), "yes", "no")


def test_split_keeps_an_opening_on_one_side() -> None:
    pairs = [comparison(f"Question  {n % 40}", n) for n in range(80)]
    pairs += [comparison(f"question {n}", 100 + n) for n in range(40)]
    split = split_by_prompt(pairs, heldout=0.25, seed=3)
    assert [pair.prompt.id for pair in split] == [pair.prompt.id for pair in pairs]
    sides: dict[str, set[str]] = {}
    for pair in split:
        opening = " ".join(pair.prompt.messages[0].content.lower().split())
        sides.setdefault(opening, set()).add(pair.prompt.split)
    assert all(len(side) == 1 for side in sides.values())
    assert sum(side == {"heldout"} for side in sides.values()) == 10


def test_split_depends_on_the_seed_and_not_on_the_order() -> None:
    pairs = [comparison(f"Question {n}", n) for n in range(50)]

    def held(pairs: list[Comparison], seed: int) -> set[str]:
        split = split_by_prompt(pairs, heldout=0.2, seed=seed)
        return {pair.prompt.id for pair in split if pair.prompt.split == "heldout"}

    assert held(pairs, 0) == held(pairs[::-1], 0)
    assert held(pairs, 0) != held(pairs, 1)


def test_split_of_few_and_wrong_shares() -> None:
    two = [comparison("a", 0), comparison("b", 1)]
    assert {pair.prompt.split for pair in split_by_prompt(two)} == {"train", "heldout"}
    assert {pair.prompt.split for pair in split_by_prompt(two, heldout=0)} == {"train"}
    assert split_by_prompt(two[:1])[0].prompt.split == "train"
    with pytest.raises(ValueError, match="held-out share"):
        split_by_prompt(two, heldout=1.0)


def test_the_published_data() -> None:
    """The traps of the real data set, where it is at hand."""
    folder = data_folder("HEED_HH_DATA", "HH-RLHF transcripts")
    start = time.perf_counter()
    transcripts = read_transcripts(folder)
    assert time.perf_counter() - start < 5
    assert len(transcripts.comparisons) > 0.98 * (
        len(transcripts.comparisons) + sum(transcripts.set_aside.values())
    )
    assert transcripts.set_aside["equal answers"] > 0
    assert transcripts.set_aside["unlike prompts"] > 0
    assert all(pair.chosen and pair.rejected for pair in transcripts.comparisons)
