"""What no single stage can know of itself: whether the stages and the data go together.

A check gives (place of the stage, key of its settings, what is wrong and what to do); a new one is
a function and a place in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec

from heed.recipe.base import Stage, listed
from heed.recipe.compare import Compare
from heed.recipe.feedback import Collect, Speaker
from heed.recipe.overoptimisation import Overoptimisation
from heed.recipe.policy_gradient import OnPolicy, Ppo
from heed.recipe.recipe import Evaluate, Recipe, Records
from heed.recipe.rewards import Check, Correct, Honest, ProcessReward, Reward, RewardModelling
from heed.recipe.selection import Rejection
from heed.recipe.simpler import Retrieval
from heed.recipe.training import Sft
from heed.recipe.turns import GradeTurns
from heed.recipe.weak_to_strong import Relabel, WeakToStrong

TRACKING = "tracking"
"""The folder of a run in which trackers keep their files."""
Complaint = tuple[int, str, str]
LearnedStage = RewardModelling | ProcessReward


def complaints(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Everything that is wrong; the names that stages read from are those of earlier stages."""
    for check in CHECKS:
        yield from check(recipe, stages)


def fit(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """What a stage reads from is of a kind that it can use."""
    earlier: dict[str, Stage] = {}
    for index, stage in enumerate(stages):
        try:
            stage.check(earlier)
        except ValueError as error:
            yield index, "", f"the stage {stage.name!r} {error}."
        earlier[stage.name] = stage


def right_answers(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Only the embedded world knows by itself what is right."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Correct | Honest) and recipe.data != "world":
            yield (
                index,
                "",
                f"the stage {stage.name!r} asks the embedded world what is right; with other data, "
                "use exact or maths with a file of answers.",
            )


def families(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """The embedded world has the families that shall be held out, asked or checked."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Sft):
            key, named = "held_families", stage.held_families
        elif isinstance(stage, OnPolicy | Rejection | Check):
            key, named = "families", stage.families
        else:
            continue
        for name in named:
            if recipe.data == "world" and name not in recipe.world.families:
                yield (
                    index,
                    key,
                    f"the recipe's world has no family {name!r}. "
                    f"{nearest(name, recipe.world.families)}",
                )


def asked_and_scored(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """A check looks at some of the families that a policy is asked about."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        if not isinstance(stage, OnPolicy | Rejection) or not stage.families:
            continue
        reward = by_name[stage.reward]
        looked_at = reward.families if isinstance(reward, Check) else []
        if looked_at and not set(stage.families) & set(looked_at):
            yield (
                index,
                "families",
                f"{stage.name!r} asks about {', '.join(stage.families)}, but its reward "
                f"{reward.name!r} looks at {', '.join(looked_at)} only, so that all answers score "
                "the same. Ask about a family that it looks at.",
            )


def gold_judges(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """The gold reward is asked where it is known."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Relabel) and stage.reward is None and recipe.data != "world":
            yield (
                index,
                "reward",
                f"the stage {stage.name!r} asks the gold reward, which only the embedded world "
                "has; with other data, name a reward stage in `reward`.",
            )
        if isinstance(stage, Overoptimisation) and recipe.data != "world":
            yield (
                index,
                "",
                f"the stage {stage.name!r} holds a proxy against the gold reward, which only the "
                "embedded world has. Leave it out; with other data, the gate `overoptimisation` "
                "watches a reward that nothing is trained on.",
            )
        if isinstance(stage, Compare) and stage.judges.gold and recipe.data != "world":
            yield (
                index,
                "judges.gold",
                f"{stage.name!r} is judged by the gold reward, which only the embedded world has; "
                "with other data, name judges.rewards, judges.model or judges.people.",
            )


def reward_models(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Who relabels, and who is measured from weak to strong, is a reward model."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        models: list[str] = []
        if isinstance(stage, Relabel) and stage.reward is not None:
            models = [stage.reward]
        elif isinstance(stage, WeakToStrong):
            models = [stage.weak, *stage.students, stage.ceiling]
        for name in models:
            if not isinstance(by_name[name], Reward):
                yield (
                    index,
                    "",
                    f"{stage.name!r} needs reward models, but {name!r} is a stage of kind "
                    f"{by_name[name].kind!r}. Name one of kind 'reward'.",
                )


def shared_bases(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Whoever shares a base has a reward model that is an adapter on the very same weights."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        if isinstance(stage, OnPolicy | Rejection) and stage.lora and stage.lora.share:
            learned = {model.name: model for model in _learned(stage, by_name)}.values()
            yield from ((index, "lora.share", said) for said in _unshared(stage, learned))
            if not learned and not isinstance(stage, Ppo):
                yield (
                    index,
                    "lora.share",
                    f"{stage.name!r} has nothing to share its base with: no model is trained for "
                    "its reward, and with any `lora` its reference is its own base. Leave "
                    "lora.share out.",
                )


def _learned(stage: Stage, by_name: Mapping[str, Stage]) -> Iterator[LearnedStage]:
    """The stages whose models a stage scores by, through sums and gates of rewards."""
    for name in stage.rewards():
        reward = by_name[name]
        if isinstance(reward, RewardModelling | ProcessReward):
            yield reward
        else:
            yield from _learned(reward, by_name)


def _unshared(stage: OnPolicy | Rejection, learned: Iterable[LearnedStage]) -> Iterator[str]:
    """Why each reward model that is on another base is."""
    for model in learned:
        if model.lora is None:
            yield (
                f"{stage.name!r} shares its base, but the reward {model.name!r} was trained in "
                f"full and has weights of its own. Give {model.name!r} a `lora`, or leave "
                "lora.share out."
            )
        elif isinstance(model, RewardModelling) and model.backbone is not None:
            yield (
                f"{stage.name!r} shares its base, but the reward {model.name!r} stands on "
                f"{model.backbone!r}. Leave the reward's backbone out, or leave lora.share out."
            )
        elif model.policy != stage.policy:
            yield (
                f"{stage.name!r} shares the base of {stage.policy!r}, but the reward "
                f"{model.name!r} is an adapter on {model.policy!r}. Set the policy of both to the "
                "same stage, or leave lora.share out."
            )


def chosen(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Answers that are imitated for being chosen were chosen."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        for name in listed(stage.comparisons or []) if isinstance(stage, Sft) else []:
            source = by_name[name]
            why = ""
            if isinstance(source, Relabel):
                why = "chooses both answers of a pair, each with a probability"
            elif isinstance(source, Collect) and source.ties == "half":
                why = "counts a tie as half a win of both answers (ties: half)"
            elif not isinstance(source, Collect | Records) or (
                isinstance(source, Records) and recipe.data == "world"
            ):
                why = "holds no comparisons"
            if why:
                yield (
                    index,
                    "comparisons",
                    f"the stage {stage.name!r} imitates chosen answers, but {name!r} {why}. Name "
                    "a collect stage that drops ties.",
                )


def documents(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Documents by themselves are about the facts of an embedded world that has some."""
    by_name = {stage.name: stage for stage in stages}
    facts = recipe.data == "world" and "facts" in recipe.world.families
    for index, stage in enumerate(stages):
        lacking = isinstance(stage, Records) and stage.documents > 0 and not facts
        if isinstance(stage, Retrieval) and stage.documents is not None:
            lacking = not facts or not isinstance(by_name[stage.documents], Records)
        if lacking:
            yield (
                index,
                "documents",
                f"the stage {stage.name!r} needs documents, which only the records of an embedded "
                "world with the family facts have; name a file in documents_file, or leave them "
                "out.",
            )


def speakers(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Who judges, criticises or revises is a policy that is asked as it is."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        spoken = {key: getattr(stage, key) for key in type(stage).model_fields}
        if isinstance(stage, Compare):
            spoken = {"judges.model": stage.judges.model}
        for key, value in spoken.items():
            named = value.policy if isinstance(value, Speaker) else None
            source = by_name.get(named or "")
            if source is not None and (source.weightless or source.conditioned):
                yield (
                    index,
                    key,
                    f"the stage {stage.name!r} speaks by {source.name!r}, but {source.kind} "
                    "stages leave no policy that is asked as it is; name the stage whose policy "
                    "it draws from.",
                )


def asked_beside(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """The reward that a gate asks stands before the policies that it watches, and is not theirs."""
    name = recipe.gates.overoptimisation.reward
    watched = [(i, stage) for i, stage in enumerate(stages) if isinstance(stage, OnPolicy)]
    if name is None or not recipe.gates.overoptimisation.asked:
        return
    if not watched:
        yield (
            len(stages) - 1,
            "",
            f"gates.overoptimisation.reward names {name!r}, but the recipe has no policy gradient "
            "that the gate could watch. Leave it out.",
        )
    for index, stage in watched:
        earlier = {other.name: other for other in stages[:index]}
        beside = recipe.gates.overoptimisation.beside([*earlier])
        if beside is None:
            why = f"no stage of that name comes before {stage.name!r}. {nearest(name, [*earlier])}"
        elif not earlier[beside].scores:
            why = f"{earlier[beside].kind} stages score no answers. Name a reward."
        elif beside == stage.reward:
            why = (
                f"{stage.name!r} is trained on that one, so that the two never part. Name another "
                "reward, from other comparisons if you can."
            )
        else:
            continue
        yield index, "", f"gates.overoptimisation.reward names {name!r}, but {why}"


def league(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """What several seeds are ranked above is measured along with them."""
    for index, stage in enumerate(stages):
        if recipe.seeds > 1 and isinstance(stage, Evaluate):
            if stage.reference not in stage.policies.values():
                yield (
                    index,
                    "policies",
                    f"several seeds are ranked by how far they stand above {stage.reference!r}, "
                    f"the reference of {stage.name!r}, which is not among its policies. Name it "
                    "there, too.",
                )
            return


def opinions(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """There are questions to put a wrong opinion before."""
    known = recipe.data == "world" and {"facts", "arithmetic"} & set(recipe.world.families)
    for index, stage in enumerate(stages):
        if isinstance(stage, Evaluate) and stage.opinions and not (stage.probes or known):
            yield (
                index,
                "opinions",
                f"{stage.name!r} has no questions to put a wrong opinion before: only an embedded "
                "world with facts or arithmetic brings some. Name a file of them in `probes`, or "
                "leave opinions out.",
            )


def harness(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """lm-eval is there where its tasks are named."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Evaluate) and stage.lm_eval and find_spec("lm_eval") is None:
            yield (
                index,
                "lm_eval",
                f"{stage.name!r} names tasks of lm-eval ({', '.join(stage.lm_eval)}), but the "
                "package is not installed here. Install it with `pip install lm_eval`, or leave "
                "lm_eval out.",
            )


def turns(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """There are questions of several turns."""
    for index, stage in enumerate(stages):
        if isinstance(stage, GradeTurns) and stage.questions is None and recipe.data != "world":
            yield (
                index,
                "questions",
                f"{stage.name!r} has no questions of several turns: only the embedded world "
                "brings some. Name a file of them in `questions`.",
            )


def trackers(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """No stage's folder is where trackers keep their files."""
    for index, stage in enumerate(stages):
        if recipe.track and stage.name == TRACKING:
            yield index, "name", f"trackers keep their files in {TRACKING}/; rename that stage."


def nearest(name: str, valid: Sequence[str]) -> str:
    """What the writer may have meant, or else what there is, as a sentence."""
    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Valid: {', '.join(valid)}."


CHECKS: Sequence[Callable[[Recipe, Sequence[Stage]], Iterator[Complaint]]] = (
    fit,
    right_answers,
    families,
    asked_and_scored,
    gold_judges,
    reward_models,
    shared_bases,
    chosen,
    documents,
    speakers,
    asked_beside,
    league,
    opinions,
    harness,
    turns,
    trackers,
)
