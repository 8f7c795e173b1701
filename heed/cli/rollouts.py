"""`heed rollouts`: a server that draws answers for a policy gradient on another machine."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from heed.errors import UserError

Word = Annotated[
    str,
    typer.Argument(
        metavar="WHO",
        help="RUN:STAGE, a run (its last policy), a model's directory or a hub name: the model "
        "that trains, whose weights come later.",
    ),
]
Host = Annotated[
    str, typer.Option(help="Where to listen; 0.0.0.0 lets other machines in, with --key.")
]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any that is free.")]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="VARIABLE", help="Environment variable that holds the key clients have to know."
    ),
]
Transfer = Annotated[
    Literal["gloo", "nccl"], typer.Option(help="How weights come: over TCP, or between GPUs.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Dtype = Annotated[Literal["auto", "float32", "bfloat16"], typer.Option(help="What to compute in.")]
Rows = Annotated[int, typer.Option(min=1, help="Answers drawn side by side.")]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds a sending of weights may stand still.")
]


def rollouts(
    who: Word,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    key: Key = None,
    transfer: Transfer = "gloo",
    device: Device = "auto",
    dtype: Dtype = "auto",
    rows: Rows = 256,
    timeout: Timeout = 120.0,
) -> None:
    """Serve a model's answers to a training on another machine, by weights that it sends.

    A stage with `servers: {addresses: [...]}` has its rounds drawn there. The routes are vLLM's.

    [dim]Examples:[/]  heed rollouts runs/demo:sft   heed rollouts my-model --port 8001
    """
    from heed.naming import who as meant
    from heed.sampling.endpoint import key_in
    from heed.web.server import address, is_loopback, listen, serve

    named = meant(who)
    if named.remote or not named.source:
        raise UserError(f"{who!r} has no weights of its own here: name a model that trains.")
    secret = key_in(key) if key else ""
    if key and not secret:
        raise UserError(f"The environment variable {key} is empty: put the servers' key into it.")
    if not secret and not is_loopback(host):
        raise UserError(
            f"{host} can be reached from other machines, and whoever reaches a rollout server may "
            "send it weights: give --key VARIABLE, an environment variable that holds a key."
        )
    # What is refused is refused at once, before torch is loaded.
    from heed.models.device import resolve_device, resolve_dtype, slow_half
    from heed.models.language_model import load_language_model
    from heed.sampling.rollout_engine import Engine
    from heed.sampling.rollout_server import rollout_app

    place = resolve_device(device)
    format_ = resolve_dtype(dtype, place)
    if (slow := slow_half(format_, place, "--dtype")) is not None:
        typer.echo(slow, err=True)
    sock = listen(host, port)
    lm = load_language_model(named.source, device=str(place), dtype="float32")
    half = str(format_) == "torch.bfloat16"
    engine = Engine(lm, transfer=transfer, half=half, rows=rows, timeout=timeout)
    typer.echo(f"Rollouts of {named.name} at {address(sock, host)}; Ctrl-C ends.")
    try:
        serve(rollout_app(engine, named.name, secret), sock)
    finally:
        engine.close()
