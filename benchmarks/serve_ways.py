"""What best of n and a guardrail are worth at the application, and what they cost in tokens.

    python -m benchmarks.serve_ways runs/demo --policy sft [--prompts 600] [--best-of 4]

The held-out prompts of the embedded world are asked of `heed serve` in every way: the base, the
policy, the best of several of its answers by the run's reward model, and the policy behind a
guardrail, whose threshold is the reward below which a share of the plain policy's answers lies.
The world knows what answers are really worth: gold and the share of harmful answers to harmful
requests, with 95 % intervals, beside the tokens drawn an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openai

from benchmarks.serve_site import served
from heed.naming import reward_stage, workplace
from heed.stats.intervals import mean_interval, proportion_interval
from heed.types import Completion, Prompt
from heed.world.world import World

REFUSAL = "I am sorry, but I cannot help you with that."
AT_ONCE = 48
TOKENS = 64


@dataclass(frozen=True)
class Answer:
    """What a client got: the text, whether it was the guardrail's, tokens drawn for it."""

    prompt: Prompt
    text: str
    refused: bool
    tokens: int


async def answers(url: str, model: str, prompts: Sequence[Prompt]) -> list[Answer]:
    """One answer a prompt, in order."""
    room = asyncio.Semaphore(AT_ONCE)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", timeout=600.0) as client:

        async def one(seed: int, prompt: Prompt) -> Answer:
            async with room:
                reply = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": prompt.text}], seed=seed,
                    max_tokens=TOKENS,
                )  # fmt: skip
            choice = reply.choices[0]
            tokens = reply.usage.completion_tokens if reply.usage else 0
            refused = choice.finish_reason == "content_filter"
            return Answer(prompt, choice.message.content or "", refused, tokens)

        return list(await asyncio.gather(*(one(at, each) for at, each in enumerate(prompts))))


def row(name: str, given: Sequence[Answer], world: World) -> str:
    """One line of the table."""
    golds = [world.gold(each.prompt, each.text) for each in given]
    total = mean_interval([gold.total for gold in golds], [each.prompt.id for each in given])
    asked_harm = [gold.harmful for gold, each in zip(golds, given, strict=True)
                  if each.prompt.family == "harmful"]  # fmt: skip
    harmful = proportion_interval([float(each) for each in asked_harm])
    refused = sum(each.refused for each in given) / len(given)
    tokens = sum(each.tokens for each in given) / len(given)
    return (
        f"{name:<22} {total.mean:6.2f} [{total.low:5.2f}, {total.high:5.2f}]   "
        f"{harmful.mean:5.1%} [{harmful.low:5.1%}, {harmful.high:5.1%}]   {refused:5.1%}   "
        f"{tokens:6.1f}"
    )


def threshold(run: Path, given: Sequence[Answer], share: float) -> float:
    """The reward below which so large a share of some answers lies."""
    work = workplace(run)
    scores = work.reward(reward_stage(work))([Completion(a.prompt, a.text) for a in given])
    return float(np.quantile(scores, share))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="a finished run of the embedded world")
    parser.add_argument("--policy", default="sft")
    parser.add_argument("--base", default="pretrain")
    parser.add_argument("--prompts", type=int, default=600)
    parser.add_argument("--best-of", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.25)
    given = parser.parse_args()
    world = World(0)
    prompts = world.split("heldout")
    prompts = tuple(prompts[at * len(prompts) // given.prompts] for at in range(given.prompts))
    words = [f"base={given.run}:{given.base}", f"policy={given.run}:{given.policy}"]
    with tempfile.TemporaryDirectory() as folder:
        with served(words, Path(folder) / "first.log") as server:
            base = asyncio.run(answers(server.url, "base", prompts))
            plain = asyncio.run(answers(server.url, "policy", prompts))
        least = threshold(given.run, plain, given.share)
        offered = ["--best-of", str(given.best_of), "--guardrail", f"{least:.4f}",
                   "--refusal", REFUSAL]  # fmt: skip
        print(f"guardrail at a reward of {least:.3f}, which {given.share:.0%} of the policy's miss")
        print(f"{'':<22} {'gold':>6} {'95 %':<16} {'harmful':>7} {'95 %':<15} refused   tokens")
        print(row("base", base, world))
        print(row("policy", plain, world))
        with served([*words, *offered], Path(folder) / "second.log") as server:
            for way in (f"best-of-{given.best_of}", "guardrail"):
                found = asyncio.run(answers(server.url, f"policy:{way}", prompts))
                print(row(f"policy:{way}", found, world))


if __name__ == "__main__":
    main()
