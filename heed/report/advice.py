"""What to do next: rules that look at a run and name the setting to change, with the figures that
they rest on. A rule that its intervals do not carry says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from heed.report import evidence
from heed.report.estimates import surely
from heed.report.measures import (
    COST,
    SHARE,
    Measure,
    measure_of,
    policy_name,
    stage_name,
    with_interval,
)
from heed.report.part import Part
from heed.report.read import Gap, RunView, StageView
from heed.report.verdict import BETTER, UNCLEAR, WORSE, verdict
from heed.run import SEED
from heed.stats.from_intervals import difference

Rule = Callable[[RunView, Sequence[Part]], str | None]
NEAR = 1.0
"""Nats of KL below which a policy has hardly used its leash."""
NAMED = 3
"""Stages, policies and gates that one sentence names."""
ROLLOUTS = ("ppo", "rloo", "grpo", "reinforce")
SIMPLER = ("best_of_n", "dpo", "kto", "rejection", "reward_conditioned", "sft")
"""Kinds of stages that make a policy without a policy gradient."""
REMEDIES: Mapping[str, str] = {
    "leakage": "take the held-out prompts that stand in the training data out of it",
    "sides": "look at the labels of those who favour a side (collect.weights: reliability)",
    "lengths": "look at who prefers length, or control for it in the guideline",
    "sign": "check whether chosen and rejected stand in each other's place in the data",
    "logprobs": "let the sampler and the training use one precision (dtype)",
    "draws": "check the sampler's temperature",
    "kl": "raise the stage's kl.coef, or let gates.kl stop it (action: stop)",
    "entropy": "add entropy_coef or raise kl.coef",
    "repetition": "raise kl.coef, or collect comparisons against repetition",
    "length": "raise kl.coef, or collect comparisons in which the shorter answer wins",
    "disagreement": "collect comparisons of the present policy's answers (rounds)",
    "outliers": "read the answers that score highest, and collect comparisons of them",
    "rollout_gap": "look at the rollout servers' model, dtype and temperature, or lower "
    "servers.send_every",
    "overoptimisation": "use the policy that was kept, or raise kl.coef",
    "step": "check the reward's sign, and which answer of a pair is called chosen",
    "leash": "check the signs of kl.coef and of the KL itself",
    "agreement": "sharpen the guideline, or ask more people an item (collect.per_item)",
    "spammers": "leave out who clicks at random (collect.weights: reliability)",
    "swapped": "see whether that source's rows stand the wrong way round; until then leave it out",
    "exploits": "collect comparisons of answers that hold that word, or train on an ensemble",
    "fooled": "use another judge, or another rubric",
}
"""Gate -> what to do about it."""
_PLAIN = Measure("")


def advice(view: RunView, parts: Sequence[Part]) -> list[str]:
    """What the rules say, and then what the parts say, each once."""
    own = [says for rule in RULES if (says := rule(view, parts))]
    return list(dict.fromkeys([*own, *(says for part in parts for says in part.advice)]))


def finish(view: RunView, _: Sequence[Part]) -> str | None:
    """A run cut short goes on."""
    left = [stage.name for stage in view.stages if not stage.done]
    if not left:
        return None
    return f"Run it to its end: heed run goes on with {_listed(left)} and keeps what is done."


def gates(_: RunView, parts: Sequence[Part]) -> str | None:
    """What tripped is looked at first."""
    rows = evidence.tripped(parts)
    if not rows:
        return None
    told = [
        f"{row['gate']} in {stage_name(row['stage'])}"
        + (f": {REMEDIES[row['gate']]}" if row["gate"] in REMEDIES else "")
        for row in rows
    ]
    told = [*told[:NAMED], f"{len(told) - NAMED} more"] if len(told) > NAMED else told
    return f"See to the gates that tripped ({'; '.join(told)})."


def gamed(view: RunView, _: Sequence[Part]) -> str | None:
    """Gold fell while the proxy rose: a shorter leash, or an end in time."""
    turns = list(evidence.turns(view))
    if not turns:
        return None
    turn = min(turns, key=lambda each: each.gold.mean)
    path = evidence.LEASHES.get(turn.stage.kind)
    raised = f"raise {evidence.setting(turn.stage, path)}, or " if path else ""
    return (
        f"{_name(turn.stage)} gamed its reward (gold {with_interval(turn.gold, _PLAIN)}, proxy "
        f"{with_interval(turn.proxy, _PLAIN)} from iteration {turn.start} on): {raised}name a "
        "reward that nothing is trained on in gates.overoptimisation.reward, which stops in time."
    )


def worse(view: RunView, _: Sequence[Part]) -> str | None:
    """Who is worse than where it started is not used, and held nearer."""
    lost = [gap for gap in evidence.chief(view) if verdict(gap) == WORSE]
    if not lost:
        return None
    gap = min(lost, key=lambda each: each.difference.mean)
    held = evidence.leash(view, gap.better)
    raised = f": raise {held}" if held else ""
    return (
        f"Do not use {_listed([policy_name(each.better) for each in lost])}, worse than "
        f"{policy_name(gap.worse)} ({_by(gap)}){raised}."
    )


def not_shown(view: RunView, _: Sequence[Part]) -> str | None:
    """Nothing is better: further from the reference where it hardly moved, else more labels."""
    gaps = evidence.chief(view)
    if not gaps or any(verdict(gap) != UNCLEAR for gap in gaps):
        return None
    gap = max(gaps, key=lambda each: each.difference.mean)
    kl, held = view.policies.get(gap.better, {}).get("kl"), evidence.leash(view, gap.better)
    says = f"{policy_name(gap.better)} is not shown to be better than {policy_name(gap.worse)} "
    if kl and kl.high < NEAR and held:
        return (
            f"{says}({_by(gap)}) and hardly moved (KL {with_interval(kl, COST['kl'])} nats): lower "
            f"{held}."
        )
    labels = _first(view, "collect")
    more = f"collect more: {evidence.setting(labels, 'comparisons')}" if labels else "label more"
    return f"{says}({_by(gap)}): {more}, or measure more closely with evaluate.samples."


def distance(view: RunView, _: Sequence[Part]) -> str | None:
    """KL that bought nothing beside a policy that stayed nearer."""
    found = []
    for gap in _pairs(view):
        kl = [view.policies.get(name, {}).get("kl") for name in (gap.better, gap.worse)]
        if verdict(gap) == UNCLEAR and kl[0] and kl[1]:
            apart = difference(kl[0], kl[1])
            far, near = (gap.better, gap.worse) if apart.mean > 0 else (gap.worse, gap.better)
            if surely(apart) and abs(apart.mean) > NEAR and (held := evidence.leash(view, far)):
                found.append((abs(apart.mean), far, near, held))
    if not found:
        return None
    far, near, held = max(found)[1:]
    paid, less = (with_interval(view.policies[name]["kl"], COST["kl"]) for name in (far, near))
    return (
        f"{policy_name(far)} went further than {policy_name(near)} (KL {paid} against {less} nats) "
        f"and is not shown to be better for it: raise {held}."
    )


def simpler(view: RunView, _: Sequence[Part]) -> str | None:
    """A policy without a policy gradient that is not shown to be worse than one with it."""
    won = {gap.better for gap in evidence.chief(view) if verdict(gap) == BETTER}
    for gap in _pairs(view):
        one, other = (_kind(view, name) for name in (gap.better, gap.worse))
        hard, easy, lost = gap.better, gap.worse, WORSE
        if other in ROLLOUTS:
            one, other, hard, easy, lost = other, one, easy, hard, BETTER
        both = one in ROLLOUTS and other in SIMPLER and {hard, easy} <= won
        if both and verdict(gap) in (UNCLEAR, lost):
            return (
                f"{policy_name(easy)} is not shown to be worse than {policy_name(hard)} "
                f"({policy_name(gap.better)} minus {policy_name(gap.worse)}: {_by(gap)}) and is "
                "the simpler one: take it, unless more evaluate.samples tell them apart."
            )
    return None


def family_lost(view: RunView, _: Sequence[Part]) -> str | None:
    """Families on which a policy that gained on the whole lost."""
    lost = [
        (apart.mean, policy, family, apart)
        for policy, table in evidence.by_family(view).items()
        for family, apart in table.items()
        if surely(apart) < 0
    ]
    if not lost:
        return None
    policy, family, apart = min(lost, key=lambda row: row[0])[1:]
    return (
        f"{policy_name(policy)} lost on {family.replace('_', ' ')} ({with_interval(apart, _PLAIN)}"
        f"): collect comparisons of such prompts, and read its answers to them."
    )


def labels_or_model(view: RunView, parts: Sequence[Part]) -> str | None:
    """At its ceiling a reward model wants better labels, far below it more of them or a better
    model.
    """
    found, ceiling = view.reward_model.get("accuracy"), view.reward_model.get("noise_ceiling")
    if found is None or ceiling is None or not found.low > 0.5:
        return None
    says = (
        f"The reward model orders {with_interval(found, SHARE)} of held-out pairs, of "
        f"{with_interval(ceiling, SHARE)} that the labels' noise allows: "
    )
    if found.high < ceiling.low and words_alone(view, parts):
        return None  # more labels would not help it
    if found.high < ceiling.low:
        labels = _first(view, "collect")
        more = evidence.setting(labels, "comparisons") if labels else "more comparisons"
        return (
            f"{says}there is more to be learnt from such labels; raise {more}, or start it from a "
            "better model."
        )
    labels = _first(view, "collect")
    several = evidence.setting(labels, "per_item") if labels else "several annotators an item"
    return f"{says}the labels are the limit; raise {several} or sharpen the guideline."


def words_alone(view: RunView, _: Sequence[Part]) -> str | None:
    """A reward model that is not shown to know more than the words, or the length."""
    found = view.reward_model.get("accuracy")
    rivals = {"tfidf": "the words alone (TF-IDF)", "length": "length alone"}
    for key, name in rivals.items():
        rival = view.baselines.get(key)
        if found and rival and not surely(difference(found, rival)) > 0:
            return (
                f"The reward model ({with_interval(found, SHARE)} of held-out pairs) is not shown "
                f"to know more than {name} ({with_interval(rival, SHARE)}): start it from a "
                "stronger model before collecting more."
            )
    return None


def own_mistakes(view: RunView, _: Sequence[Part]) -> str | None:
    """A part of what was gained was gained by the reward's mistakes."""
    gaps = {name: found.get("gap") for name, (_, found) in view.own_reward.items()}
    sure = {name: gap for name, gap in gaps.items() if gap and surely(gap) > 0}
    if not sure:
        return None
    name = max(sure, key=lambda each: sure[each].mean)
    return (
        f"{policy_name(name)} gained {with_interval(sure[name], _PLAIN)} standard deviations by "
        "its reward's mistakes: collect comparisons of its own answers (rounds), or train on an "
        "ensemble (kind ensemble) in the reward's place."
    )


def seeds(view: RunView, _: Sequence[Part]) -> str | None:
    """What is better under one seed is repeated under others."""
    won = [gap for gap in evidence.chief(view) if verdict(gap) == BETTER]
    if not won or view.folder.startswith(SEED):
        return None
    return (
        "All of this is one seed, whose luck no interval here covers: set seeds: 3 before you rely "
        "on it."
    )


RULES: tuple[Rule, ...] = (
    finish,
    gates,
    gamed,
    worse,
    not_shown,
    distance,
    simpler,
    family_lost,
    labels_or_model,
    words_alone,
    own_mistakes,
    seeds,
)
"""In the order of the page."""


def _pairs(view: RunView) -> list[Gap]:
    """The comparisons by the main measure between policies that both come after the one to beat."""
    chief = evidence.chief(view)
    after = {gap.better for gap in chief}
    return [
        gap
        for gap in view.gaps
        if {gap.better, gap.worse} <= after and gap.measure == chief[0].measure
    ]


def _kind(view: RunView, policy: str) -> str:
    """Of the stage that made it."""
    made = evidence.made_by(view, policy)
    return made.kind if made else ""


def _by(gap: Gap) -> str:
    what = measure_of(gap.measure)
    return f"{with_interval(gap.difference, what)} in {what.label.lower()}"


def _first(view: RunView, kind: str) -> StageView | None:
    return next((stage for stage in view.stages if stage.kind == kind), None)


def _name(stage: StageView) -> str:
    return stage_name(stage.name)


def _listed(words: Sequence[str]) -> str:
    """With commas, and before the last one; of many the first and how many more there are."""
    if len(words) > NAMED + 1:
        words = [*words[:NAMED], f"{len(words) - NAMED} more"]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
