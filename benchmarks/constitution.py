"""How well the world's small models judge, criticise and revise, measured against gold.

    python -m benchmarks.constitution RUN [--prompts 456] [--threads 1]

RUN is a finished run of the recipe `constitution`. Everything happens on held-out prompts, of which
no training text of the run speaks. The judge compares answers of the policies that the run's own
comparisons came from, by each principle, in both orders; what is right is decided by the gold
scores, as in the dialogues that taught it, and pairs that gold finds alike are counted apart.
Revision starts from each policy's own answers, with the recipe's principles.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch

from heed.config import load_recipe
from heed.feedback.constitution import Principle, Trail, revise
from heed.feedback.people import nobody
from heed.judging.judge import Judge, Judgement
from heed.judging.rubric import Rubric
from heed.judging.tally import tally
from heed.recipe import Collect, Revise, Sampling
from heed.run import Run
from heed.sampling.local import LocalSampler
from heed.stages.sources import constitution
from heed.stages.workplace import Workplace
from heed.types import Pair, Prompt
from heed.world.feedback_talk import ALIKE, LEFT, PRINCIPLES, verdict
from heed.world.world import World

ANSWER = Sampling(max_new_tokens=32)
MEASURES = ("rude", "harmful", "correct", "total", "words")
JUDGED = (
    "| judge, principle | pairs with a side | right, one order | decided by both orders | right, "
    "both | alike pairs | called a tie | orders agree | no verdict |"
)
REVISED = "| policy | rude | harmful | correct | gold | words |"


def asked(world: World, count: int) -> list[Prompt]:
    """Held-out prompts in shuffled rounds."""
    draw, prompts = random.Random(3), list(world.split("heldout"))
    rounds = [draw.sample(prompts, len(prompts)) for _ in range(-(-count // len(prompts)))]
    return [prompt for each in rounds for prompt in each][:count]


def pairs(work: Workplace, policies: tuple[str, str], prompts: list[Prompt]) -> list[Pair]:
    """Finished, unlike answers of two policies, left and right in turn."""
    left, right = (
        work.sampler(work.policy(name), ANSWER, name).sample(prompts, seed=5 + place)
        for place, name in enumerate(policies)
    )
    made = []
    for at, (one, other) in enumerate(zip(left, right, strict=True)):
        if one.text != other.text and one.finish == other.finish == "stop":
            shown = (one, other) if at % 2 else (other, one)
            made.append(Pair(f"p{at}", one.prompt, shown[0].text, shown[1].text))
    return made


def judge_row(world: World, judge: Judge, principle: Principle, some: list[Pair]) -> str:
    judged = judge.compare(some, principles=[principle.prefer] * len(some))
    rule = PRINCIPLES[principle.name]
    right = [
        verdict(rule, world.gold(pair.prompt, pair.left), world.gold(pair.prompt, pair.right))
        for pair in some
    ]
    sided = [(one, said == LEFT) for one, said in zip(judged, right, strict=True) if said != ALIKE]
    alike = [one for one, said in zip(judged, right, strict=True) if said == ALIKE]
    decided = [(one, left) for one, left in sided if isinstance(one.verdict, int)]
    once = sum(_left(one.as_given.verdict) == left for one, left in sided)
    both = sum(_left(one.verdict) == left for one, left in decided)
    found = tally(judged)
    return (
        f"| {judge.name}, {principle.name} | {len(sided)} | {once / len(sided):.2f} | "
        f"{len(decided) / len(sided):.2f} | {both / max(1, len(decided)):.2f} | "
        f"{len(alike)} | {_ties(alike):.2f} | {found.consistency or 0.0:.2f} | "
        f"{found.unparsable_share or 0.0:.2f} |"
    )


def _left(said: object) -> bool | None:
    return said <= 4 if isinstance(said, int) else None


def _ties(judged: list[Judgement]) -> float:
    return sum(one.verdict == "tie" for one in judged) / max(1, len(judged))


def revision_rows(work: Workplace, settings: Revise, policy: str, prompts: list[Prompt]) -> str:
    assert work.world is not None
    world = work.world
    made = revise(
        work.sampler(work.policy(policy), settings.sampling, policy),
        prompts,
        constitution(settings.constitution),
        rounds=settings.rounds,
        seed=1,
        progress=lambda done: None,
    )
    right = [_first_critique_is_right(world, trail) for trail in made.trails]
    rows = []
    for name in ("before", "after"):
        texts = [
            (trail.prompt, trail.answer if name == "before" else trail.final or trail.answer)
            for trail in made.trails
        ]
        golds = [world.gold(prompt, text) for prompt, text in texts]
        shares = [
            sum(float(getattr(gold, measure)) for gold in golds) / len(golds)
            for measure in MEASURES
        ]
        rows.append(f"| {policy}, {name} | " + " | ".join(f"{x:.3f}" for x in shares) + " |")
    rows.append(f"({policy}: {sum(right) / len(right):.3f} of the first critiques are right)")
    return "\n".join(rows)


def _first_critique_is_right(world: World, trail: Trail) -> bool:
    first = trail.steps[0]
    fault = PRINCIPLES[first.principle].fault(world.gold(trail.prompt, trail.answer))
    return first.critique == fault


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--prompts", type=int, default=456)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    run = Run(load_recipe(str(given.run / "recipe.yaml")), given.run)
    work = Workplace(run, print, lambda _: nobody)
    assert work.world is not None
    collected, revised = work.recipe.stage("collect"), work.recipe.stage("revise")
    assert isinstance(collected, Collect)
    assert isinstance(revised, Revise)
    prompts = asked(work.world, given.prompts)
    some = pairs(work, ("revised", "pretrain"), prompts)
    rubric = Rubric(**collected.judge.rubric.model_dump(exclude_none=True))
    print(f"{JUDGED}\n{'|---' * 9}|")
    for policy in ("pretrain", "sft"):
        sampler = LocalSampler(work.policy(policy), max_new_tokens=8, temperature=0.0)
        judge = Judge(sampler, rubric, policy, retries=0)
        for principle in constitution(collected.constitution).principles:
            print(judge_row(work.world, judge, principle, some), flush=True)
    print(f"\n{REVISED}\n{'|---' * 6}|")
    for policy in ("pretrain", "sft"):
        print(revision_rows(work, revised, policy, prompts), flush=True)


if __name__ == "__main__":
    main()
