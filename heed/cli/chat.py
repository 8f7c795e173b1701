"""`heed chat`: talk to a policy in the terminal, and say which of two answers is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heed.cli.sample import Longest, Nucleus, Temperature
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.cli.chatting import Chat

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="WHO...",
        help="RUN:STAGE, a run (its last policy), a model's directory, a hub name or an address. "
        "The first speaks; /policy and /compare turn to the others.",
    ),
]
Before = Annotated[str, typer.Option(help="A system message before the conversation.")]
Keep = Annotated[
    Path,
    typer.Option(
        metavar="FILE.jsonl",
        help="Choices between two answers are appended here, for heed align and heed prefs import.",
    ),
]
Blind = Annotated[
    bool, typer.Option("--blind/--named", help="Hide who gave which of two answers till you chose.")
]
Annotator = Annotated[str, typer.Option(help="Whose choices those are.")]


def chat(
    words: Words,
    system: Before = "",
    temperature: Temperature = 1.0,
    top_p: Nucleus = 1.0,
    max_new_tokens: Longest = None,
    seed: Annotated[int, typer.Option(help="The same seed and words give the same answers.")] = 0,
    keep: Keep = Path("chat-choices.jsonl"),
    blind: Blind = True,
    annotator: Annotator = "me",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Talk to a policy; switch to another, or see two answers and choose.

    Ctrl-C stops an answer and keeps what was said; a second one leaves.
    /help lists the commands. Without a terminal every line of standard
    input is a message, and answers alone are printed.

    [dim]Example:[/]  heed chat runs/mine:dpo runs/mine:base
    """
    from heed.cli.chatting import Chat
    from heed.cli.conversation import Conversation, Kept
    from heed.cli.shown import Screen
    from heed.naming import who

    if not 0.0 < top_p <= 1.0:
        raise UserError(f"--top-p {top_p}: give a probability above 0 and at most 1.")
    if not annotator.strip():
        raise UserError("--annotator is empty; choices are of somebody, so give a name.")
    kept = Kept(keep, annotator)
    session = Chat(
        [who(word) for word in words], Screen(), kept, Conversation(system), temperature, top_p,
        max_new_tokens, blind, seed, device,
    )  # fmt: skip
    session.speaker(session.speaks)
    session.screen.note(f"{session.speaks.word}. /help lists what you can do; Ctrl-D leaves.")
    while _hear(session):
        pass
    if session.choices:
        count = "1 choice" if session.choices == 1 else f"{session.choices} choices"
        session.screen.note(f"{count} in {keep}. heed align MODEL {keep} trains on them.")


def _hear(session: Chat) -> bool:
    """One line of the user's and what follows; False once the user leaves."""
    try:
        line = session.screen.read()
    except KeyboardInterrupt:
        line = None
    if line is None:
        if session.screen.interactive:
            session.screen.end()
        return False
    text = line.encode("utf-8", "replace").decode().strip()
    try:
        return _obey(session, text) if text else True
    except UserError as error:
        if not session.screen.interactive:
            raise
        session.screen.error(str(error))
    except KeyboardInterrupt:
        session.screen.end("Stopped.")
    return True


def _obey(session: Chat, text: str) -> bool:
    """Carry out a command, or have a message answered; `//` begins a message with a slash."""
    if text.startswith("/") and not text.startswith("//"):
        name, _, rest = text[1:].partition(" ")
        if name not in COMMANDS:
            raise UserError(f"There is no command /{name}. /help lists them; // begins a message.")
        return COMMANDS[name].act(session, rest.strip())
    session.talk.ask(text.removeprefix("/") if text.startswith("//") else text)
    session.answer()
    return True


@dataclass(frozen=True)
class Command:
    """A line that begins with a slash: what it takes, what it does, and the doing, which says
    whether the conversation goes on.
    """

    takes: str
    does: str
    act: Callable[[Chat, str], bool]


def _policy(session: Chat, name: str) -> bool:
    from heed.naming import answering

    if name:
        session.turn_to(session.find(name))
    here = session.speaks
    named = [each.word for each in session.named[1:]]
    known = {each.stage for each in session.named if each.run == here.run}
    stages = [each for each in answering(here.run) if each not in known] if here.run else []
    session.screen.note(f"{here.word} answers.{_listed(' Others: ', [*named, *stages])}")
    return True


def _listed(head: str, names: list[str]) -> str:
    return f"{head}{', '.join(names)}." if names else ""


def _compare(session: Chat, name: str) -> bool:
    if name == "off" or (not name and session.other is not None):
        session.other = None
        session.screen.note(f"{session.speaks.word} answers alone.")
        return True
    other = session.find(name) if name else session.named[min(1, len(session.named) - 1)]
    session.kept.check()
    session.speaker(other)
    session.other = other
    hidden = "who gave which is told once you chose" if session.blind else "by name"
    session.screen.note(
        f"Every message is answered twice, by {session.speaks.word} and {other.word}, {hidden}. "
        f"Choices go to {session.kept.path}; /compare off ends it."
    )
    return True


def _blind(session: Chat, _: str) -> bool:
    session.blind = not session.blind
    session.screen.note("Names are hidden." if session.blind else "Names are shown.")
    return True


def _temperature(session: Chat, word: str) -> bool:
    if word:
        session.temperature = _number(word, "/temperature 0.7", 0.0)
    session.screen.note(f"Temperature {session.temperature:g}.")
    return True


def _tokens(session: Chat, word: str) -> bool:
    if word:
        session.tokens = int(_number(word, "/tokens 200", 1.0))
    longest = session.tokens or session.speaker(session.speaks).longest
    session.screen.note(f"At most {longest} tokens an answer.")
    return True


def _number(word: str, example: str, least: float) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        raise UserError(f"{word!r} is no number of {least:g} or more; write it as in {example}.")
    return value


def _retry(session: Chat, _: str) -> bool:
    if not session.talk.forget_answer():
        raise UserError("There is nothing to answer again yet.")
    session.answer()
    return True


def _undo(session: Chat, _: str) -> bool:
    if not session.talk.forget_exchange():
        raise UserError("Nothing was said yet.")
    session.said = []
    session.screen.note("The last exchange is taken back.")
    return True


def _reset(session: Chat, _: str) -> bool:
    session.talk.reset()
    session.said = []
    session.screen.note("Everything that was said is forgotten.")
    return True


def _score(session: Chat, name: str) -> bool:
    session.score(name)
    return True


def _save(session: Chat, name: str) -> bool:
    if not name:
        raise UserError("Name a file, as in /save conversation.jsonl.")
    if not session.talk.turns:
        raise UserError("Nothing was said yet.")
    session.talk.save(Path(name).expanduser())
    session.screen.note(f"The conversation is in {name}.")
    return True


def _help(session: Chat, _: str) -> bool:
    width = max(len(f"/{name} {each.takes}") for name, each in COMMANDS.items())
    lines = [f"{f'/{name} {each.takes}':<{width}}  {each.does}" for name, each in COMMANDS.items()]
    session.screen.note("\n".join([*lines, "//... begins a message with a slash."]))
    return True


def _quit(_: Chat, __: str) -> bool:
    return False


COMMANDS: Mapping[str, Command] = {
    "policy": Command("[NAME]", "who answers; or turn to NAME, with what was said", _policy),
    "compare": Command("[NAME|off]", "answer everything twice, by NAME too, and choose", _compare),
    "both": Command("", "the same with the other one named, or with itself", _compare),
    "blind": Command("", "hide or show who gave which of two answers", _blind),
    "retry": Command("", "another answer to the last message", _retry),
    "undo": Command("", "take the last message and its answer back", _undo),
    "reset": Command("", "forget what was said", _reset),
    "score": Command("[RUN:STAGE]", "what the run's reward says of the last answers", _score),
    "temperature": Command(
        "[T]", "how freely answers are drawn; 0 takes the likeliest", _temperature
    ),
    "tokens": Command("[N]", "how long an answer may be", _tokens),
    "save": Command("FILE", "write the conversation down, as a row of messages", _save),
    "help": Command("", "this", _help),
    "quit": Command("", "leave, as Ctrl-D does", _quit),
}
