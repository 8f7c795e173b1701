"""The loop closed from production: serve, hear what users say, learn from it, serve the outcome.

    python -m benchmarks.closed_loop runs/demo:sft [--rounds 3] [--exchanges 600] [--seed 0]

`heed serve` answers simulated users (people of the embedded world, who know what is asked of
them and err as people do). Each asks something twice and posts which answer is better, or, of two
bad ones, a thumb down for both. Every round the feedback is exported (`heed prefs export`), a
recipe improves the policy that gave the answers (`heed run`: DPO on the preferences with the
cross-entropy of the preferred answers beside it, or KTO on every answer by itself), and the server
takes the new weights while other users go on asking: not one of their requests may fail. The
world's gold reward says, on prompts that no round has seen, whether the policy is better, and the
log-probs of answers held out of the training by how much the round moved what was preferred and
what was not. `--method dpo_alone` shows what becomes of DPO without the cross-entropy. The exit
status is 1 if a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from benchmarks.serve_site import Server, served
from heed.stats.intervals import Estimate, mean_interval
from heed.types import Pair, Prompt
from heed.world.annotators import SimulatedAnnotator
from heed.world.world import World

AT_ONCE = 32
TOKENS = 64
BETA = 0.1
COMMON = (
    f"policy: pretrain, comparisons: records, beta: {BETA}, epochs: 2, batch: 32, "
    "optim: {lr: 3e-4, warmup: 0.1, micro_tokens: 3200}"
)
METHODS = {
    "dpo": ("trl", f"dpo: {{{COMMON}, sft_coef: 1.0}}"),
    "dpo_alone": ("trl", f"dpo: {{{COMMON}}}"),
    "kto": ("unpaired", f"kto: {{{COMMON}}}"),
}
"""The format that feedback is exported in, and the stage that learns from it. The cross-entropy is
that of Pang et al. 2024 (Iterative RPO, arXiv:2404.19733): round after round DPO alone takes
probability from the answers that were rejected, and what they shared with others goes too.
"""
RECIPE = """\
name: {name}
model: {model}
data: {data}
threads: 1
stages:
  - records
  - pretrain
  - {stage}
"""


@dataclass
class Traffic:
    """Requests of those who only ask, and what came of them; weights by version."""

    failed: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Round:
    """What a round began with and what users said in it.

    totals: gold of each answer to the held-out prompts, which are the same every time. gold: their
    mean. gained: the mean difference to the first weights' answers. moved: by how many nats the
    round before changed the log-probs of answers that were preferred, and of those that were not.
    """

    totals: Sequence[float]
    gold: Estimate
    gained: Estimate
    moved: tuple[float, float] | None
    said: Counter[str]


async def ask(client: openai.AsyncOpenAI, prompt: Prompt, seed: int) -> tuple[str, str, str]:
    """A reply's id, its text, and which weights it is of."""
    reply = await client.chat.completions.create(
        model="live", messages=[{"role": "user", "content": prompt.text}], seed=seed,
        max_tokens=TOKENS,
    )  # fmt: skip
    content = reply.choices[0].message.content or ""
    return reply.id, content, reply.system_fingerprint or ""


async def exchange(
    client: openai.AsyncOpenAI, user: SimulatedAnnotator, prompt: Prompt, seed: int
) -> str:
    """Somebody asks twice, and says what they think of it; the kind of feedback."""
    (first, left, _), (second, right, _) = [
        await ask(client, prompt, 2 * seed + again) for again in (0, 1)
    ]
    if left == right:
        return "nothing: twice the same"
    verdict = user.annotate(Pair(f"{seed}", prompt, left, right)).verdict
    if verdict == "both_bad":
        for given in (first, second):
            await say(client, id=given, thumb="down", user=user.name)
        return "thumbs down"
    if not isinstance(verdict, int):
        return "nothing: undecided"
    better, worse = (first, second) if verdict <= 4 else (second, first)
    await say(client, id=better, over=worse, user=user.name)
    return "preferences"


async def say(client: openai.AsyncOpenAI, **feedback: Any) -> None:
    await client.post("/feedback", body=feedback, cast_to=object)


async def users(server: Server, world: World, prompts: Sequence[Prompt], seed: int) -> Counter[str]:
    """Everybody's exchanges, one a prompt."""
    rng = random.Random(seed)
    people = world.annotators()
    room = asyncio.Semaphore(AT_ONCE)
    async with client_of(server) as client:

        async def one(at: int, prompt: Prompt) -> str:
            async with room:
                return await exchange(client, rng.choice(people), prompt, seed * 100_000 + at)

        return Counter(await asyncio.gather(*(one(at, each) for at, each in enumerate(prompts))))


async def gold(server: Server, world: World, prompts: Sequence[Prompt]) -> list[float]:
    """What the answers to prompts are worth, all asked with the same seeds every time."""
    room = asyncio.Semaphore(AT_ONCE)
    async with client_of(server) as client:

        async def one(at: int, prompt: Prompt) -> float:
            async with room:
                _, text, _ = await ask(client, prompt, at)
            return world.gold(prompt, text).total

        return await asyncio.gather(*(one(at, each) for at, each in enumerate(prompts)))


@asynccontextmanager
async def traffic(server: Server, prompts: Sequence[Prompt]) -> AsyncIterator[Traffic]:
    """Others who ask all the while, a few at a time, without trying anything twice."""
    heard, ends = Traffic(), asyncio.Event()
    async with client_of(server) as client:

        async def one(seed: int) -> None:
            rng = random.Random(seed)
            while not ends.is_set():
                try:
                    _, _, weights = await ask(client, rng.choice(prompts), rng.getrandbits(30))
                    heard.versions[weights] += 1
                except openai.APIError as error:
                    heard.failed.append(str(error))
                await asyncio.sleep(0.05)

        tasks = [asyncio.create_task(one(seed)) for seed in range(4)]
        try:
            yield heard
        finally:
            ends.set()
            await asyncio.gather(*tasks)


def client_of(server: Server) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=600.0)


async def improved(folder: Path, number: int, model: str, method: str) -> Path:
    """Export what was said, keep what is new, and run a recipe on it; the new policy's run."""
    format_, stage = METHODS[method]
    before = folder / f"all-{number - 1}.jsonl"
    file = folder / f"all-{number}.jsonl"
    await heed("prefs", "export", str(file), "--store", str(folder / "feedback.db"),
               "--project", "served", "--format", format_)  # fmt: skip
    known = set(before.read_text().splitlines()) if before.exists() else set()
    data = folder / f"round-{number}.jsonl"
    data.write_text("".join(f"{line}\n" for line in file.read_text().splitlines()
                            if line not in known))  # fmt: skip
    recipe = folder / f"round-{number}.yaml"
    recipe.write_text(RECIPE.format(name=f"round_{number}", model=model, data=data, stage=stage))
    run = folder / f"round-{number}"
    await heed("run", str(recipe), "--out", str(run))
    return run


async def heed(*words: str) -> None:
    """A command, as a user gives it; raises RuntimeError with its words where it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "heed", *words,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"heed {' '.join(words)}:\n{said.decode()}")


async def loop(
    start: str,
    folder: Path,
    *,
    rounds: int,
    exchanges: int,
    measured: int,
    method: str = "dpo",
    seed: int = 0,
) -> tuple[list[Round], Traffic]:
    """Rounds, the last of them without feedback: what came of the one before. `seed` draws who
    asks what, and the answers that users speak of.
    """
    world = World(0)
    train, held = list(world.split("train")), list(world.split("heldout"))
    random.Random(seed).shuffle(train)
    held = [held[at * len(held) // measured] for at in range(measured)]
    made: list[Round] = []
    words = [f"live={start}", "--store", str(folder / "feedback.db")]
    with served(words, folder / "server.log") as server:
        async with traffic(server, train) as heard:
            word, moved = start, None
            for number in range(1, rounds + 2):
                totals = await gold(server, world, held)
                said: Counter[str] = Counter()
                if number <= rounds:
                    asked = [train[(number * exchanges + at) % len(train)]
                             for at in range(exchanges)]  # fmt: skip
                    said = await users(server, world, asked, number + 1000 * seed)
                made.append(measured_round(held, totals, made, moved, said))
                print(line(number, made[-1]), flush=True)
                if number <= rounds:
                    run = await improved(folder, number, policy_of(word), method)
                    word, moved = f"{run}:{stage_of(method)}", moved_by(run, stage_of(method))
                    await reload(server, word)
    return made, heard


def measured_round(
    held: Sequence[Prompt],
    totals: Sequence[float],
    before: Sequence[Round],
    moved: tuple[float, float] | None,
    said: Counter[str],
) -> Round:
    """A round's figures; differences are those of the same prompts, asked with the same seeds."""
    first = before[0].totals if before else totals
    prompts = [each.id for each in held]
    gained = [now - then for now, then in zip(totals, first, strict=True)]
    return Round(
        totals, mean_interval(totals, prompts), mean_interval(gained, prompts), moved, said
    )


def stage_of(method: str) -> str:
    """The name of the stage that learns."""
    return METHODS[method][1].partition(":")[0]


def moved_by(run: Path, stage: str) -> tuple[float, float] | None:
    """Nats by which a DPO stage changed the log-probs of answers that it was not trained on, of the
    preferred ones and of the others.
    """
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["stage"] == stage][-1]
    if "heldout_chosen_reward" not in last:
        return None
    return last["heldout_chosen_reward"] / BETA, last["heldout_rejected_reward"] / BETA


def policy_of(word: str) -> str:
    """The directory that a word's weights are in."""
    from heed.naming import who

    return str(Path(who(word).source).resolve())


async def reload(server: Server, word: str) -> None:
    """Let the server take new weights."""
    async with client_of(server) as client:
        await client.post(
            f"{server.address}/admin/reload", body={"models": {"live": word}}, cast_to=object
        )


def line(number: int, made: Round) -> str:
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(made.said.items()))
    told = [f"weights {number}: gold {interval(made.gold)}"]
    if number > 1:
        told.append(f"gained {interval(made.gained)} since the first")
    if made.moved is not None:
        told.append("log-probs of preferred answers moved by {:+.2f} nats, others {:+.2f}".format(
            *made.moved))  # fmt: skip
    return "; ".join([*told, *([f"users said: {said}"] if said else [])])


def interval(value: Estimate) -> str:
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("start", help="the first policy: RUN:STAGE of a run of the world")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--exchanges", type=int, default=600)
    parser.add_argument("--measured", type=int, default=400)
    parser.add_argument("--method", choices=list(METHODS), default="dpo")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _, heard = asyncio.run(
            loop(given.start, Path(folder), rounds=given.rounds, exchanges=given.exchanges,
                 measured=given.measured, method=given.method, seed=given.seed)
        )  # fmt: skip
    answered = ", ".join(f"{count} by {name}" for name, count in sorted(heard.versions.items()))
    print(f"others meanwhile: {answered}; failed: {len(heard.failed)}")
    if heard.failed:
        sys.exit(f"Requests failed, the first: {heard.failed[0]}")


if __name__ == "__main__":
    main()
