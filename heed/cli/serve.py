"""`heed serve`: policies behind OpenAI's interface, and what their users say of the answers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from heed.errors import UserError

MORE = """Or:

heed serve chat=runs/demo:ppo base=runs/demo:sft --store feedback.db

heed serve runs/demo --best-of 4 --guardrail 0.0

heed serve --add-key ann --keys keys.txt

heed serve runs/demo --host 0.0.0.0 --keys keys.txt --a-minute 120"""

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=]WHO...",
        help="A run (all its policies, by their stages' names), RUN:STAGE, a model's directory or "
        "a hub name; NAME= is what clients call it.",
        show_default=False,
    ),
]
Host = Annotated[str, typer.Option(help="Where to listen; other machines need --keys.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any that is free.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]

ANSWERING, ALIGNING = "Answering", "Alignment, chosen by the model's name"
KEEPING, ACCESS = "Feedback", "Access"
Slots = Annotated[
    int,
    typer.Option(min=1, help="Answers a policy writes side by side.", rich_help_panel=ANSWERING),
]
Waiting = Annotated[
    int,
    typer.Option(
        min=0, help="Answers that may wait beside them; then 429.", rich_help_panel=ANSWERING
    ),
]
Context = Annotated[
    int,
    typer.Option(
        min=2, help="Tokens of a prompt and its answer; at most the model's own.",
        rich_help_panel=ANSWERING,
    ),
]  # fmt: skip
MaxTokens = Annotated[
    int, typer.Option(min=1, help="Tokens of an answer at most.", rich_help_panel=ANSWERING)
]
Deadline = Annotated[
    int,
    typer.Option(
        min=0, help="Seconds that running answers have when the server stops.",
        rich_help_panel=ANSWERING,
    ),
]  # fmt: skip
RewardBy = Annotated[
    str | None,
    typer.Option(
        "--reward", metavar="RUN:STAGE", rich_help_panel=ALIGNING,
        help="What scores answers: any stage of a run that does, a judge with principles too; "
        "the run's own by default.",
    ),
]  # fmt: skip
BestOf = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", rich_help_panel=ALIGNING,
        help="Offer NAME:best-of-2 to NAME:best-of-N: of N answers the one that scores highest.",
    ),
]  # fmt: skip
Guardrail = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE", rich_help_panel=ALIGNING,
        help="Offer NAME:guardrail: an answer below this score is drawn again, then refused.",
    ),
]  # fmt: skip
Tries = Annotated[
    int | None,
    typer.Option(
        min=1, help="Answers before the guardrail refuses; 3 by default.", rich_help_panel=ALIGNING
    ),
]
Refusal = Annotated[
    str | None,
    typer.Option(
        help="What the guardrail says instead; by default that it cannot help with that.",
        rich_help_panel=ALIGNING,
    ),
]
Place = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="HEED_STORE", rich_help_panel=KEEPING,
        help="Keep feedback (POST /v1/feedback) here: a SQLite file, made if it is not there, or "
        "postgresql://...",
    ),
]  # fmt: skip
Project = Annotated[
    str | None,
    typer.Option(help="The project in that store; `served` by default.", rich_help_panel=KEEPING),
]
Remember = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=KEEPING,
        help="Replies that feedback may still speak of, 100,000 by default; older ones without "
        "any are forgotten.",
    ),
]  # fmt: skip
Keys = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Who may ask: names and hashes of keys.", rich_help_panel=ACCESS
    ),
]
AddKey = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Make a key, show it once, and leave.", rich_help_panel=ACCESS
    ),
]
Admin = Annotated[
    bool,
    typer.Option("--admin", help="With --add-key: it may also reload.", rich_help_panel=ACCESS),
]
AMinute = Annotated[
    int,
    typer.Option(min=0, help="Requests a minute and key; 0: no limit.", rich_help_panel=ACCESS),
]
AtOnce = Annotated[
    int,
    typer.Option(
        min=0, help="Answers under way at a time, a key; 0: no limit.", rich_help_panel=ACCESS
    ),
]
BodyKb = Annotated[
    int, typer.Option(min=1, help="Kilobytes of a request at most.", rich_help_panel=ACCESS)
]


def serve(
    words: Words = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    slots: Slots = 32,
    waiting: Waiting = 256,
    context: Context = 4096,
    max_tokens: MaxTokens = 2048,
    deadline: Deadline = 30,
    reward: RewardBy = None,
    best_of: BestOf = 0,
    guardrail: Guardrail = None,
    tries: Tries = None,
    refusal: Refusal = None,
    store: Place = None,
    project: Project = None,
    remember: Remember = None,
    keys: Keys = None,
    add_key: AddKey = None,
    admin: Admin = False,
    a_minute: AMinute = 0,
    at_once: AtOnce = 0,
    body_kb: BodyKb = 1024,
    device: Device = "auto",
) -> None:
    """Serve policies behind OpenAI's HTTP interface, several side by side.

    Any OpenAI client asks them: base_url is the printed address with /v1. Ctrl-C or SIGTERM ends
    it: what is under way is finished first. SIGHUP takes weights anew.

    [dim]Example:[/]  heed serve runs/demo
    """
    from heed.cli import served
    from heed.serving.app import create_app
    from heed.serving.callers import Allowance
    from heed.serving.roster import Roster
    from heed.serving.site import Terms
    from heed.web.server import address, listen
    from heed.web.server import serve as run_server

    if add_key is not None:
        served.make_key(add_key, keys, admin=admin)
        return
    if admin:
        raise UserError("--admin says what a new key may do: it goes with --add-key.")
    served.check_effect("--guardrail", guardrail, {"--tries": tries, "--refusal": refusal})
    served.check_effect("--store", store, {"--project": project, "--remember": remember})
    known = served.keys_for(host, keys)
    named = served.named(words or [])
    offer = served.offer(list(named.values()), reward, best_of, guardrail, tries, refusal)
    terms = Terms(max_tokens, body_kb * 1024, Allowance(a_minute, at_once))
    sizes = served.Sizes(slots, waiting, context, device)
    with closing(listen(host, port)) as sock:
        roster = Roster(named, lambda name, word: served.opening(name, word, sizes))
        with served.memory(store, project, remember) as memory:
            app = create_app(roster, offer=offer, terms=terms, keys=known, memory=memory)
            typer.echo(served.welcome(address(sock, host), app.state.site, bool(known)), err=True)
            served.unhurried()
            run_server(app, sock, deadline=deadline)
    typer.echo("Stopped.", err=True)
