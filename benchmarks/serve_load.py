"""`heed serve` under load from the official client: is a reply lost or mixed up, and what then?

    python -m benchmarks.serve_load runs/demo:sft [--streams 256] [--requests 512] [--beyond 1500]

First `--streams` streams at a time, until `--requests` are answered. Every request has a prompt
and a seed of its own, and the text that its stream makes has to be the one that the same weights
give in this process, alone. Then `--beyond` requests at once, far more than the server has places
for, none tried twice: each is answered rightly or refused with a 429 that says when to come again.
Every answer has to be in the server's store afterwards, once.
The server is a process of its own; its memory is what the system says. The exit status is 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openai
from sqlalchemy import func, select

from benchmarks.serve_site import Server, served
from heed.models.language_model import load_language_model
from heed.naming import HUMAN, who
from heed.sampling.local import LocalSampler
from heed.store.database import Store
from heed.store.schema import ReplyRow
from heed.types import Prompt

QUESTIONS = (
    "What is the capital of Fronia?", "How do I make good coffee?", "What is 2 + 2?",
    "Write a line about spring.", "How are you today?", "How do I grow tomatoes?",
)  # fmt: skip
TOKENS = 48
WARMING = 4
"""Requests before anything is measured."""
SECONDS = 600.0


@dataclass
class Outcome:
    """What came of some requests; times are seconds from sending to the first piece, or the end."""

    right: int = 0
    mixed_up: list[int] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    without_wait: int = 0
    seconds: float = 0.0
    tokens: int = 0

    @property
    def lost(self) -> int:
        """Requests that were neither answered nor refused."""
        return sum(count for status, count in self.statuses.items() if status == "lost")

    @property
    def wrong(self) -> bool:
        """Whether anything happened that must not."""
        odd = set(self.statuses) - {"200", "429"}
        return bool(self.mixed_up or odd or self.without_wait)


def asked(seed: int) -> str:
    return QUESTIONS[seed % len(QUESTIONS)]


def expected(word: str, seeds: Sequence[int]) -> dict[int, str]:
    """What each request has to be answered, drawn one by one from the same weights."""
    lm = load_language_model(who(word).source)
    sampler = LocalSampler(lm, TOKENS, stop=() if lm.chat.templated else (HUMAN,))
    return {seed: sampler.sample([Prompt.of(asked(seed))], seed=seed)[0].text for seed in seeds}


async def ask(
    client: openai.AsyncOpenAI, seed: int, right: str, stream: bool, out: Outcome
) -> None:
    """One request, and what came of it."""
    began = time.monotonic()
    body: Any = {
        "model": "policy", "messages": [{"role": "user", "content": asked(seed)}], "seed": seed,
        "max_tokens": TOKENS,
    }  # fmt: skip
    try:
        text = await _text(client, body, stream, began, out)
    except openai.RateLimitError as refused:
        out.statuses["429"] += 1
        out.without_wait += not refused.response.headers.get("retry-after", "").isdigit()
    except openai.APIStatusError as failed:
        out.statuses[str(failed.status_code)] += 1
    except openai.APIError:
        out.statuses["lost"] += 1
    else:
        out.statuses["200"] += 1
        out.whole.append(time.monotonic() - began)
        if text == right:
            out.right += 1
        else:
            out.mixed_up.append(seed)


async def _text(
    client: openai.AsyncOpenAI, body: Any, stream: bool, began: float, out: Outcome
) -> str:
    if not stream:
        reply = await client.chat.completions.create(**body)
        out.tokens += reply.usage.completion_tokens
        return str(reply.choices[0].message.content)
    pieces: list[str] = []
    options = {"include_usage": True}
    async for chunk in await client.chat.completions.create(
        **body, stream=True, stream_options=options
    ):
        if chunk.usage is not None:
            out.tokens += chunk.usage.completion_tokens
        for choice in chunk.choices:
            if choice.delta.content:
                if not pieces:
                    out.first.append(time.monotonic() - began)
                pieces.append(choice.delta.content)
    return "".join(pieces)


async def load(server: Server, rights: dict[int, str], at_once: int, *, stream: bool) -> Outcome:
    """All these requests, so many at a time."""
    out, began = Outcome(), time.monotonic()
    seeds = iter(rights.items())
    limits = openai.DefaultAsyncHttpxClient(limits=_connections(at_once), timeout=SECONDS)
    async with openai.AsyncOpenAI(
        base_url=server.url, api_key="none", max_retries=0, timeout=SECONDS, http_client=limits
    ) as client:

        async def one() -> None:
            for seed, right in seeds:
                await ask(client, seed, right, stream, out)

        await asyncio.gather(*(one() for _ in range(at_once)))
    out.seconds = time.monotonic() - began
    return out


def _connections(many: int) -> Any:
    import httpx

    return httpx.Limits(max_connections=many, max_keepalive_connections=many)


def told(name: str, out: Outcome, server: Server) -> str:
    now, most = (size / 2**20 for size in server.memory())
    lines = [
        f"{name}: {sum(out.statuses.values())} requests in {out.seconds:.1f} s: "
        + ", ".join(f"{count} x {status}" for status, count in sorted(out.statuses.items())),
        f"  right: {out.right}; mixed up: {len(out.mixed_up)}; lost: {out.lost}; 429 without "
        f"Retry-After: {out.without_wait}",
        f"  {out.tokens / out.seconds:,.0f} tokens/s; server's memory {now:,.0f} MB now, "
        f"{most:,.0f} MB at most",
    ]
    for what, times in (("first piece", out.first), ("whole answer", out.whole)):
        if times:
            half, late = np.percentile(times, [50, 95])
            lines.append(f"  {what}: median {half:.2f} s, 95 % within {late:.2f} s")
    return "\n".join(lines)


def kept(store: Path) -> int:
    """How many replies the server put down, for feedback to speak of."""
    opened = Store.open(store)
    with opened.read() as session:
        count = session.scalar(select(func.count()).select_from(ReplyRow)) or 0
    opened.close()
    return count


@dataclass(frozen=True)
class Day:
    """Both loads, and what the server left: its exit status, and replies in its store."""

    under: Outcome
    over: Outcome
    status: int
    kept: int

    @property
    def forgotten(self) -> int:
        """Answers that the store does not hold (fewer than none: those it holds twice)."""
        return WARMING + self.under.statuses["200"] + self.over.statuses["200"] - self.kept

    @property
    def wrong(self) -> bool:
        """Whether anything happened that must not."""
        below = self.under.statuses["429"]
        return bool(self.under.wrong or self.over.wrong or below or self.forgotten or self.status)


def run(
    word: str, streams: int, requests: int, beyond: int, *, slots: int, waiting: int, folder: Path
) -> Day:
    """Both loads, one after the other."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files[1], 16_384), files[1]))
    rights = expected(word, range(max(requests, beyond)))
    store = folder / "feedback.db"
    words = [f"policy={word}", "--slots", str(slots), "--waiting", str(waiting),
             "--store", str(store)]  # fmt: skip
    with served(words, folder / "server.log") as server:
        # Who is first waits for what is loaded late.
        warm = {seed: rights[seed] for seed in range(WARMING)}
        asyncio.run(load(server, warm, WARMING, stream=True))
        before = server.memory()[0] / 2**20
        print(f"{slots} slots, {waiting} places to wait; memory before: {before:,.0f} MB")
        part = {seed: rights[seed] for seed in range(requests)}
        under = asyncio.run(load(server, part, streams, stream=True))
        print(told(f"{streams} streams at a time", under, server))
        part = {seed: rights[seed] for seed in range(beyond)}
        over = asyncio.run(load(server, part, beyond, stream=False))
        print(told(f"{beyond} at once", over, server))
        counted = server.counted()
        left = [counted[f'heed_{name}{{model="policy"}}'] for name in ("running", "waiting")]
        print(f"  left behind: {left[0]:.0f} running, {left[1]:.0f} waiting")
    day = Day(under, over, server.process.returncode, kept(store))
    print(f"stopped with status {day.status}; {day.kept} replies kept, {day.forgotten} missing")
    return day


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("policy", help="RUN:STAGE or a model's directory")
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--requests", type=int, default=512)
    parser.add_argument("--beyond", type=int, default=1500)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--waiting", type=int, default=256)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        day = run(
            given.policy, given.streams, given.requests, given.beyond, slots=given.slots,
            waiting=given.waiting, folder=Path(folder),
        )  # fmt: skip
    if day.wrong:
        sys.exit("Something is wrong: see above.")


if __name__ == "__main__":
    main()
