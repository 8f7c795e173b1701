"""`heed chat`: what is said, kept and shown; two answers and a choice; a real terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_server import serving
from rich.console import Console
from toy_run import toy_run
from typer.testing import CliRunner

from heed.cli import chat as verb
from heed.cli.chatting import Chat
from heed.cli.conversation import Conversation, Kept
from heed.cli.main import app
from heed.cli.shown import Screen, safe
from heed.config import load_recipe
from heed.data.survey import survey
from heed.errors import UserError
from heed.naming import who
from heed.run import Run
from heed.types import Message, Prompt

runner = CliRunner()


class Scripted(Screen):
    """A terminal whose user says what was written down, None for Ctrl-C; `stop` is the piece at
    which Ctrl-C is pressed.
    """

    def __init__(self, lines: Sequence[str | None] = (), stop: int | None = None) -> None:
        self.interactive = True
        self.console = Console(file=io.StringIO(), width=60)
        self.lines = list(lines)
        self.stop = stop
        self.shown: list[str] = []
        self.notes: list[str] = []

    def read(self, mark: str = "> ") -> str | None:
        if not self.lines:
            return None
        line = self.lines.pop(0)
        if line is None:
            raise KeyboardInterrupt
        return line

    def begin(self, label: str) -> None:
        self.notes.append(label)

    def piece(self, text: str) -> None:
        self.shown.append(text)
        if self.stop == len(self.shown):
            raise KeyboardInterrupt

    def end(self, remark: str = "") -> None:
        self.notes.append(remark)

    def note(self, text: str) -> None:
        self.notes.append(text)

    error = note


@pytest.fixture
def session(tmp_path: Path, toy_lm: Any) -> Callable[..., Chat]:
    """A conversation with the toy run's sft and base; `settings` are Chat's own."""
    run = toy_run(tmp_path / "run", toy_lm)

    def make(lines: Sequence[str | None] = (), stop: int | None = None, **settings: Any) -> Chat:
        named = [who(f"{run}:sft"), who(f"{run}:base")]
        kept = Kept(tmp_path / "kept.jsonl", "me")
        talk = settings.pop("talk", None) or Conversation()
        return Chat(named, Scripted(lines, stop), kept, talk, **{"tokens": 6, **settings})

    return make


def hold(session: Chat) -> Chat:
    while verb._hear(session):
        pass
    return session


def roles(session: Chat) -> str:
    return "".join(turn.role[0] for turn in session.talk.turns)


def test_what_is_streamed_is_kept_and_asked_on(session: Any) -> None:
    held = hold(session(["good ?", "bad ?"]))
    assert roles(held) == "uaua"
    assert "".join(held.screen.shown) == "".join(
        turn.content for turn in held.talk.turns if turn.role == "assistant"
    )
    (last,) = held.said
    assert last.prompt.messages == tuple(held.talk.turns[:3])
    assert hold(session(["good ?", "bad ?"])).talk.turns == held.talk.turns
    assert hold(session(["good ?", "bad ?"], seed=1)).talk.turns != held.talk.turns


def test_a_system_message_stands_before_all(session: Any) -> None:
    held = hold(session(["good ?"], talk=Conversation("red")))
    assert held.said[0].prompt.messages[0] == Message("system", "red")


def test_what_no_longer_fits_is_left_out_and_said(session: Any) -> None:
    held = hold(session(["one two one two one two ?"] * 6))
    assert roles(held) == "ua" * 6
    told = [note for note in held.screen.notes if "fit" in note]
    assert "The oldest exchange no longer fits the context" in told[0]
    asked = held.said[0].prompt.messages
    assert asked == tuple(held.talk.turns[-1 - len(asked) : -1])
    assert len(asked) < 11
    alone = hold(session(["yes " * 80]))
    assert alone.talk.turns == []
    assert any("leaves no room" in note for note in alone.screen.notes)


def test_a_stopped_answer_keeps_what_was_said(session: Any) -> None:
    whole = hold(session(["good ?"])).talk.turns[1].content
    held = hold(session(["good ?", "bad ?"], stop=2))
    said = held.talk.turns[1].content
    assert said == "".join(held.screen.shown[:2])
    assert whole.startswith(said)
    assert said != whole
    assert roles(held) == "uaua"
    assert "Stopped." in held.screen.notes


def test_commands_on_what_was_said(session: Any, tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    lines = ["good ?", "/retry", "bad ?", "/undo", f"/save {file}", f"/save {file}"]
    more = ["//red", "/reset", "/undo", "/retry", "/quit", "good ?"]
    held = hold(session([*lines, *more], seed=3))
    assert held.talk.turns == []
    (row,) = map(json.loads, file.read_text().splitlines())
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    found = survey([str(file)])
    assert not found.broken
    assert [each.text for each in found.demonstrations] == [row["messages"][-1]["content"]]
    notes = " ".join(held.screen.notes)
    assert "exists already, and stays" in notes
    assert "Nothing was said yet" in notes
    assert "nothing to answer again" in notes
    assert held.screen.lines == ["good ?"]
    first, again = (hold(session(lines[:n], seed=3)).talk.turns[-1].content for n in (1, 2))
    assert first != again


def test_settings_and_names(session: Any) -> None:
    held = hold(
        session(["/temperature 0", "/tokens 3", "/temperature warm", "/tokens 0", "/sing",
                 "/policy base", "good ?", "/policy nobody:x", "/policy", "/help", "/blind"])
    )  # fmt: skip
    assert (held.temperature, held.tokens, held.blind) == (0.0, 3, False)
    assert held.said[0].model == "base"
    notes = "\n".join(held.screen.notes)
    for part in ("'warm' is no number", "'0' is no number", "no command /sing", "no run at nobody",
                 ":base answers. Others: ", "/compare [NAME|off]"):  # fmt: skip
        assert part in notes


def test_a_stage_that_answers_by_anothers_policy_is_found_by_its_name(session: Any) -> None:
    held = session(["/policy system_prompt"])
    recipe = held.speaks.run / "recipe.yaml"
    recipe.write_text(f"{recipe.read_text()}  - system_prompt: {{policy: sft, text: red}}\n")
    place = Run(load_recipe(str(recipe)), held.speaks.run).stage("system_prompt")
    place.directory.mkdir()
    marker = {"key": place.key, "kind": "system_prompt", "summary": {}}
    (place.directory / "done.json").write_text(json.dumps(marker))
    hold(held)
    assert held.speaks.stage == "system_prompt"


def test_choices_become_comparisons(session: Any, tmp_path: Path) -> None:
    lines = ["/compare base"]
    for choice in ("1", "2", "x", "t", "", "b"):
        lines += [choice] if choice in ("", "t") and lines[-1] == "x" else ["good ?", choice]
    held = hold(session(lines, seed=3))
    assert held.choices == 4
    rows = [json.loads(line) for line in held.kept.path.read_text().splitlines()]
    verdicts = [row["annotations"][0]["verdict"] for row in rows]
    assert verdicts == [[1, 2], [2, 1], "tie", "both_bad"]
    assert {tuple(sorted(row["item"]["models"])) for row in rows} == {("base", "sft")}
    assert held.talk.turns[3].content == rows[1]["item"]["answers"][1]  # goes on with the better
    found = survey([str(held.kept.path)])
    assert set(found.formats.values()) == {"heed"}
    assert not found.broken
    chosen = {(each.chosen, each.rejected) for each in found.comparisons}
    first, second = (row["item"]["answers"] for row in rows[:2])
    both = {tuple(first), tuple(reversed(second))}
    assert chosen == {pair for pair in both if all(pair)}  # nothing is learned from silence
    assert chosen
    store = str(tmp_path / "feedback.db")
    done = runner.invoke(app, ["prefs", "import", str(held.kept.path), "--store", store])
    assert done.exit_code == 0, done.output


def test_blind_sides_are_drawn_and_named_ones_are_not(session: Any) -> None:
    lines = ["/both", *["good ?", ""] * 12]
    blind = hold(session(lines, tokens=2)).screen.notes
    told = {note.split(": ")[-1] if ":" in note else note for note in blind if "1 was" in note}
    assert told == {"Not kept. 1 was sft, 2 was base.", "Not kept. 1 was base, 2 was sft."}
    before = blind[: next(at for at, note in enumerate(blind) if "1 was" in note)]
    assert [note for note in before if note.startswith("Answer")] == ["Answer 1", "Answer 2"]
    named = hold(session(lines[:3], blind=False, tokens=2)).screen.notes
    assert [note for note in named if note.startswith("Answer")] == ["Answer 1: sft",
                                                                     "Answer 2: base"]  # fmt: skip


class Growing:
    """Two answers that grow in turn; Ctrl-C at a piece of the second."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.given = 0

    def pieces(self, words: str) -> Iterator[str]:
        for word in words.split(" "):
            self.given += 1
            if self.given == self.stop:
                raise KeyboardInterrupt
            yield f"{word} "


def test_two_answers_stand_side_by_side(session: Any) -> None:
    screen = session().screen
    screen.console = Console(file=io.StringIO(), width=80, force_terminal=True)
    assert screen.wide
    growing = Growing()
    answers = [growing.pieces("yes \x1b[2J one"), growing.pieces("no two")]
    assert not screen.beside(["Answer 1", "Answer 2"], answers)
    shown = screen.console.file.getvalue()
    assert "\x1b[2J" not in shown
    last = shown.rstrip().splitlines()[-1]
    assert last.index("yes ␛[2J one") < 40 <= last.index("no two")
    stopping = Growing(stop=4)
    answers = [stopping.pieces("one two three"), stopping.pieces("four five six")]
    assert screen.beside(["Answer 1", "Answer 2"], answers)
    assert "one two" in screen.console.file.getvalue()


def test_wide_or_narrow_the_answers_are_the_same(session: Any) -> None:
    lines = ["/compare base", "good ?", "2", "bad ?", "1"]
    narrow = hold(session(lines))
    wide = session(lines)
    wide.screen.console = Console(file=io.StringIO(), width=120)
    assert hold(wide).talk.turns == narrow.talk.turns
    assert wide.screen.shown == []
    assert wide.choices == narrow.choices > 0


def test_equal_answers_are_no_comparison_and_ctrl_c_ends_one(session: Any) -> None:
    same = hold(session(["/compare sft", "good ?", "1"], temperature=0.0))
    assert same.choices == 0
    assert any("the same" in note for note in same.screen.notes)
    stopped = hold(session(["/compare base", "good ?", "1"], stop=1))
    assert stopped.choices == 0
    assert roles(stopped).startswith("ua")
    assert not stopped.kept.path.exists()


def test_ctrl_c_in_place_of_a_choice_keeps_none_and_the_talk_goes_on(session: Any) -> None:
    held = hold(session(["/compare base", "good ?", None, "bad ?", "2"]))
    assert roles(held) == "uaua"
    assert held.choices == 1
    assert any(note.startswith("Not kept.") for note in held.screen.notes)


def test_ctrl_c_before_an_answer_takes_the_message_back(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    waiting = session(["good ?"])
    monkeypatch.setattr(waiting, "_sampler", interrupted)
    assert verb._hear(waiting)
    assert waiting.talk.turns == []
    assert "Stopped." in waiting.screen.notes


def test_scores_are_the_runs_rewards(session: Any, toy_lm: Any) -> None:
    held = hold(session(["/score", "good ?", "/score"]))
    assert "There is no answer to score yet." in held.screen.notes
    run = held.speaks.run
    from heed.naming import workplace

    (value,) = workplace(run).reward("reward")(held.said)
    assert f"sft: {value:+.2f} (higher is better)" in held.screen.notes
    again = hold(session(["good ?", f"/score {run}:reward", f"/score {run}:sft"]))
    assert f"sft: {value:+.2f} (higher is better)" in again.screen.notes
    assert any("has no reward 'sft'. It has: reward." in note for note in again.screen.notes)
    lines = ["good ?", f"/score {run}", "/score nonsense", "/score nowhere:reward"]
    notes = hold(session(lines)).screen.notes
    assert f"sft: {value:+.2f} (higher is better)" in notes
    assert any("has no reward 'nonsense'" in note for note in notes)
    assert any("nowhere" in note for note in notes)


def test_a_file_of_something_else_is_left_alone(session: Any) -> None:
    held = session(["/both"])
    held.kept.path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    hold(held)
    assert any("something else" in note for note in held.screen.notes)
    assert held.other is None


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept.jsonl", "me")
    kept.add(Prompt.of("a"), ("b", "c"), ("x", "y"), (1, 2), 0.5)
    kept.path.write_bytes(kept.path.read_bytes() * 2 + b'{"item": ')
    kept.check()
    kept.add(Prompt.of("a"), ("b\ud800", "c"), ("x", "y"), "tie", 0.5)
    lines = kept.path.read_text().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[3])["item"]["answers"] == ["b?", "c"]
    with pytest.raises(UserError, match="Cannot"):
        Kept(tmp_path, "me").add(Prompt.of("a"), ("b", "c"), ("x", "y"), "tie", 0.5)


def test_piped_a_line_is_a_message_and_answers_alone_are_printed(
    tmp_path: Path, toy_lm: Any
) -> None:
    run = toy_run(tmp_path / "run", toy_lm)
    words = ["chat", str(run), "--max-new-tokens", "5", "--temperature", "0"]
    done = runner.invoke(app, words, input="good ?\n\nbad ?\n")
    assert done.exit_code == 0, done.output
    answers = done.stdout.splitlines()
    assert len(answers) == 2
    one = runner.invoke(app, ["sample", str(run), "good ?", *words[2:]])
    assert one.stdout.splitlines() == answers[:1]
    nobody = runner.invoke(app, [*words, "--annotator", " "])
    assert nobody.exit_code == 2
    assert "--annotator is empty" in nobody.stderr
    wrong = runner.invoke(app, words, input="/policy leash\n")
    assert wrong.exit_code == 2
    assert "Traceback" not in wrong.output


def test_a_server_answers_in_one_piece(tmp_path: Path) -> None:
    def reply(messages: Sequence[Message], _: Any) -> str:
        return f"{len(messages)} turns, {messages[-1].content}"

    with serving(reply, models=["small"]) as server:
        done = runner.invoke(app, ["chat", f"{server.address}#small"], input="one\ntwo\n")
    assert done.exit_code == 0, done.output
    assert done.stdout == "1 turns, one\n3 turns, two\n"


def test_nothing_of_a_model_steers_the_terminal() -> None:
    text = "a\x1b[2Jb\rc\x07\x9b31m\u202ed\x7f\u2028\tz\n\u200d語"
    shown = safe(text)
    assert shown == "a␛[2Jb␍c␇<U+009B>31m<U+202E>d␡<U+2028>\tz\n\u200d語"
    assert safe(shown) == shown
