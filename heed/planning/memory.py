"""How much memory a stage holds at most: weights, gradients, AdamW's moments, activations, logits,
the cache of keys and values.

Weights are float32 (4 bytes); what trains has a gradient and two moments beside it, 16 bytes in
all (mixed-precision optimisers as in ZeRO, Rajbhandari et al. 2020, arXiv:1910.02054, come to the
same). Activations are counted as Korthikanti et al. 2022 (arXiv:2205.05198, section 4.1) do, for
what these decoders keep for the backward pass; without attention scores, which fused attention
never keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from heed import recipe
from heed.planning.ground import Ground
from heed.planning.sizes import Size
from heed.recipe.rewards import REWARDS

WEIGHT, TRAINED = 4, 16
"""Bytes a weight: alone; with its gradient and AdamW's two moments."""
PROCESS = 600 * 2**20
"""What a process on a CPU holds before anything is loaded: Python, torch, transformers (measured).
On a GPU torch's own count begins at nothing; CUDA itself takes some hundred MiB that are not in it.
"""
LOGITS = 3
"""Copies of a micro-batch's logits that live at once: they, their exponentials, their gradient."""
VOCABULARY = 8192
"""Tokens of the vocabulary whose logits are there at a time (`heed.ops.logprobs`)."""
LARGEST_COPY = 2**32
"""Bytes of float32 weights up to which answers are drawn with a copy of them
(`heed.sampling.weights`); in another format they are copied however large they are."""
SCORED = 16384
"""Padded tokens in a forward pass of a reward or of the reference, where nothing else is set."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by what they hold."""

    process: float = 0.0
    weights: float = 0.0
    training: float = 0.0
    """Gradients and moments."""
    activations: float = 0.0
    cache: float = 0.0
    """While answers are drawn: keys and values, logits, and the weights as the decoder lays them
    out."""

    @property
    def total(self) -> float:
        """At once: a pass that learns and one that draws do not meet."""
        return self.process + self.weights + self.training + max(self.activations, self.cache)

    def to_json(self) -> dict[str, float]:
        return {each.name: round(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class Trains:
    """A model that trains: whole, or an adapter of some rank on it; `beside` marks one that stands
    on another's weights.
    """

    size: Size
    rank: int | None = None
    beside: bool = False

    @property
    def trained(self) -> int:
        return self.size.weights if self.rank is None else self.size.adapter(self.rank)

    @property
    def frozen(self) -> int:
        """Weights that are held and do not train."""
        return 0 if self.rank is None or self.beside else self.size.weights


@dataclass(frozen=True)
class Holds:
    """What a stage holds at its fullest.

    `kept`: frozen models. `learns`: padded tokens of a pass with a gradient, 0 where there is none.
    `sees`: those of a pass without. `draws`: rows and columns of the cache.
    """

    trains: Sequence[Trains] = ()
    kept: Sequence[Size] = ()
    learns: int = 0
    sees: int = 0
    draws: tuple[int, int] = (0, 0)
    target: float = 1.0
    """Share of the tokens whose logits are asked for."""
    roles: Sequence[str] = ()
    """What those of `kept` are for: reference, reward, others. Of those not named: others."""


def peak(holds: Holds, *, width: int, process: int, anew: bool = False) -> Memory:
    """The bytes of it; `width` is that of an activation, 4 or, under autocast, 2; `anew`: layers
    are computed again for their backward pass.

    A loss is one sum, so that a policy's activations and its critic's are there together.
    """
    trained = sum(each.trained for each in holds.trains)
    frozen = sum(each.frozen for each in holds.trains) + sum(s.weights for s in holds.kept)
    sizes = [each.size for each in holds.trains] + list(holds.kept)
    learnt = kept_for_backward(holds, width, anew=anew)
    seen = max((seeing(s, width) for s in sizes), default=0.0) * holds.sees
    logits = max((min(s.vocabulary, VOCABULARY) for s in sizes), default=0) * 4 * LOGITS
    return Memory(
        process=process,
        weights=WEIGHT * (trained + frozen),
        training=(TRAINED - WEIGHT) * trained,
        activations=max(learnt + holds.learns * holds.target * logits, seen),
        cache=drawing(sizes, *holds.draws, width),
    )


def kept_for_backward(holds: Holds, width: int, *, anew: bool, cast: bool = True) -> float:
    """Bytes of all models that train: activations, and weights where they are `cast`."""
    a_token = recomputed if anew else learning
    kept = sum(a_token(each.size, width) for each in holds.trains) * holds.learns
    if width == WEIGHT or not cast or not holds.learns:
        return kept
    return kept + sum(casts(each.size, width, anew=anew) for each in holds.trains)


def casts(size: Size, width: int, *, anew: bool) -> float:
    """Bytes of the layers' matrices as autocast lays them into the graph, in the width of
    activations: of all layers, or of the one that is computed anew.
    """
    return width * size.backbone / (size.layers if anew else 1)


def drawing(sizes: Sequence[Size], rows: int, columns: int, width: int) -> float:
    """Bytes to draw so many rows of so many tokens, by the largest of the models: the cache,
    logits, and the weights as the decoder lays them out.
    """
    if not rows:
        return 0.0
    logits = max(min(size.vocabulary, VOCABULARY) for size in sizes) * 4 * LOGITS
    cached = max(cache(size, width) for size in sizes)
    return rows * (columns * cached + logits) + max(laid_out(size, width) for size in sizes)


def laid_out(size: Size, width: int) -> float:
    """Bytes of the copy of the weights that answers are drawn with: fused, and in the format of
    computation.
    """
    copies = width != WEIGHT or WEIGHT * size.weights <= LARGEST_COPY
    return float(width * (size.backbone + size.head)) if copies else 0.0


def learning(size: Size, width: int) -> float:
    """Bytes a token that the backward pass needs: in every layer both norms' inputs, insides and
    outputs, queries, keys and values (before and after their rotation), what attention gives, and
    the feed-forward part's insides.
    """
    norms = 8 * size.hidden
    attention = 3 * size.attention + 3 * size.kv
    mlp = (4 if size.mlp_matrices == 3 else 2) * size.mlp
    return float(width * size.layers * (norms + attention + mlp))


def recomputed(size: Size, width: int) -> float:
    """Bytes a token where a layer keeps its input alone and is computed anew for its backward pass
    (Chen et al. 2016, arXiv:1604.06174; a checkpoint a layer), so that one layer's insides are
    there.
    """
    return float(width * size.layers * size.hidden) + learning(size, width) / size.layers


def seeing(size: Size, width: int) -> float:
    """Bytes a token of one layer at a time."""
    return float(width * (4 * size.hidden + size.mlp_matrices * size.mlp))


def cache(size: Size, width: int) -> float:
    """Bytes of a token's keys and values in all layers."""
    return float(width * 2 * size.layers * size.kv)


Hold = Callable[[Ground, Any], Holds]


def nothing(_: Ground, __: Any) -> Holds:
    """Stages that load no model."""
    return Holds()


def pretrain(ground: Ground, stage: recipe.Pretrain) -> Holds:
    """The model; a given one is only looked at."""
    size = ground.size(stage.name)
    if ground.recipe.model is not None:
        return Holds(kept=[size])
    return Holds(trains=[Trains(size)], learns=stage.optim.micro_tokens)


def offline(
    ground: Ground, stage: recipe.Sft | recipe.Dpo | recipe.Kto | recipe.RewardConditioned
) -> Holds:
    """One model that trains; the reference has gone when it begins."""
    size, micro = ground.size(stage.policy), stage.optim.micro_tokens
    draws, target = (0, 0), _target(ground, stage.policy)
    if isinstance(stage, recipe.RewardConditioned):
        draws = _draws(ground, stage.policy, stage.sampling)
    return Holds([_trains(size, stage.lora)], [], micro, micro, draws, target)


def reward(ground: Ground, stage: recipe.RewardModelling | recipe.ProcessReward) -> Holds:
    """One model that trains; of an ensemble all members at the end, which train one by one."""
    size, micro = ground.sizes[ground.begun(stage)].headless, stage.optim.micro_tokens
    others = stage.members - 1 if isinstance(stage, recipe.Ensemble) else 0
    return Holds([_trains(size, stage.lora)], [size] * others, micro, SCORED, target=0.0)


def on_policy(ground: Ground, stage: recipe.OnPolicy | recipe.Rejection) -> Holds:
    """The policy; its reference, unless an adapter is its own; what scores; a critic that trains.
    With `lora.share` all stand on one base. With `ahead` another process has the policy, too, or
    what servers are sent is a copy; with `servers` and an adapter it is one merged.
    """
    size, lora = ground.size(stage.policy), stage.lora
    shared = lora is not None and lora.share
    trains = [_trains(size, lora)]
    scorers = _scorers(ground, stage.reward)
    kept = {"reference": [] if lora else [size]}
    copied = isinstance(stage, recipe.OnPolicy) and (stage.ahead or (stage.servers and lora))
    kept["others"] = [size] if copied else []
    kept["reward"] = [] if shared else scorers
    if isinstance(stage, recipe.Ppo):
        rank = lora.rank if lora and shared else None
        trains.append(Trains(ground.sizes[ground.valued(stage)].headless, rank, beside=shared))
    return Holds(
        trains,
        [each for sizes in kept.values() for each in sizes],
        stage.optim.micro_tokens,
        max(stage.optim.micro_tokens, SCORED if scorers else 0),
        _draws(ground, stage.policy, stage.sampling),
        _target(ground, stage.policy),
        [role for role, sizes in kept.items() for _ in sizes],
    )


def collect(ground: Ground, stage: recipe.Collect) -> Holds:
    """The policies that answer, and a judge of this run's."""
    names = [*stage.policies, *([stage.judge.policy] if stage.judge.policy else [])]
    kept = [ground.size(name) for name in names]
    kept += [size for name in stage.disagreement for size in _scorers(ground, name)]
    sees = SCORED if stage.disagreement else 0
    return Holds(kept=kept, sees=sees, draws=_draws(ground, stage.policies[0], stage.sampling))


def evaluate(ground: Ground, stage: recipe.Evaluate) -> Holds:
    """The reference, one policy at a time with what it chooses by, and all rewards."""
    kept = [ground.size(stage.reference)]
    kept.append(max((ground.size(each) for each in stage.policies.values()), key=_weights))
    kept += [size for name in stage.rewards() for size in _scorers(ground, name)]
    return Holds(kept=kept, sees=SCORED, draws=_draws(ground, stage.reference, stage.sampling))


def compare(ground: Ground, stage: recipe.Compare) -> Holds:
    """What judges, and the policies where they are sampled anew."""
    judges = [stage.judges.model.policy] if stage.judges.model else []
    named = [*stage.policies.values(), *judges]
    kept = [ground.size(name) for name in named if name is not None]
    kept += [size for name in stage.rewards() for size in _scorers(ground, name)]
    first = next(iter(stage.policies.values()), None)
    draws = (0, 0) if first is None else _draws(ground, first, stage.sampling or recipe.Sampling())
    return Holds(kept=kept, sees=SCORED if stage.rewards() else 0, draws=draws)


def grade_turns(ground: Ground, stage: recipe.GradeTurns) -> Holds:
    """One policy at a time, then a judge of this run's."""
    names = [*stage.policies.values(), *([stage.judge.policy] if stage.judge.policy else [])]
    kept = [max((ground.size(name) for name in names), key=_weights)]
    return Holds(kept=kept, draws=_draws(ground, names[0], stage.sampling))


def overoptimisation(ground: Ground, stage: recipe.Overoptimisation) -> Holds:
    """The start, and all proxies."""
    kept = [size for name in stage.rewards() for size in _scorers(ground, name)]
    draws = _draws(ground, stage.policy, stage.sampling)
    return Holds(kept=[ground.size(stage.policy), *kept], sees=SCORED, draws=draws)


def written(ground: Ground, stage: recipe.WrittenReward) -> Holds:
    """A policy and what scores its samples."""
    kept = [ground.size(stage.policy), *_scorers(ground, stage.name)]
    return Holds(kept=kept, sees=SCORED, draws=_draws(ground, stage.policy, stage.sampling))


def revise(ground: Ground, stage: recipe.Revise) -> Holds:
    """The model that speaks, unless it is elsewhere."""
    policy = stage.speaker.policy
    if policy is None:
        return Holds()
    return Holds(kept=[ground.size(policy)], draws=_draws(ground, policy, stage.sampling))


def scoring(ground: Ground, stage: recipe.Relabel | recipe.WeakToStrong) -> Holds:
    """Reward models and no more."""
    names = stage.inputs()
    kept = [size for name in names for size in _scorers(ground, name)]
    return Holds(kept=kept, sees=SCORED if kept else 0)


HOLDS: Mapping[str, Hold] = {
    "records": nothing,
    "pretrain": pretrain,
    "sft": offline,
    "revise": revise,
    "collect": collect,
    "relabel": scoring,
    "reward": reward,
    "ensemble": reward,
    "process_reward": reward,
    **{kind.kind: written for kind in REWARDS},
    "weak_to_strong": scoring,
    "ppo": on_policy,
    "rloo": on_policy,
    "grpo": on_policy,
    "reinforce": on_policy,
    "dpo": offline,
    "kto": offline,
    "best_of_n": nothing,
    "rejection": on_policy,
    "system_prompt": nothing,
    "retrieval": nothing,
    "reward_conditioned": offline,
    "evaluate": evaluate,
    "compare": compare,
    "grade_turns": grade_turns,
    "overoptimisation": overoptimisation,
    "report": nothing,
}
"""By the kind of stage; every kind has one."""


def _trains(size: Size, lora: recipe.Lora | None) -> Trains:
    return Trains(size, lora.rank if lora else None)


def _scorers(ground: Ground, reward: str) -> list[Size]:
    """The models behind a reward stage; none behind a stage that is no reward."""
    stage = ground.recipe.stage(reward)
    if isinstance(stage, recipe.Ensemble | recipe.Reward | recipe.ProcessReward):
        times = stage.members if isinstance(stage, recipe.Ensemble) else 1
        return [ground.sizes[ground.begun(stage)].headless] * times
    if isinstance(stage, recipe.JudgeReward):
        return [ground.size(stage.judge.policy)] if stage.judge.policy else []
    return (
        [size for name in stage.rewards() for size in _scorers(ground, name)]
        if (stage.scores)
        else []
    )


def _draws(ground: Ground, policy: str, sampling: recipe.Sampling) -> tuple[int, int]:
    """Rows drawn side by side, and columns of their cache: the longest prompt and an answer."""
    longest = max(each.prompt for each in ground.texts(policy).seen)
    return sampling.batch_size, longest + sampling.max_new_tokens


def _target(ground: Ground, policy: str) -> float:
    rows = ground.texts(policy)
    return rows.answer() / (rows.prompt() + rows.answer())


def _weights(size: Size) -> int:
    return size.weights
