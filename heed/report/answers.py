"""A word and a sentence or two for each of the reader's questions, from intervals alone: what they
do not show is said not to be shown, what nobody measured to be unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from heed.report import evidence
from heed.report.advice import advice
from heed.report.estimates import surely
from heed.report.measures import (
    COST,
    SHARE,
    Measure,
    measure_of,
    policy_name,
    rate,
    stage_name,
    with_interval,
)
from heed.report.part import Part, Question
from heed.report.read import Gap, RunView
from heed.report.verdict import BETTER, UNCLEAR, WORSE, higher, pleased, verdict
from heed.stats.intervals import Estimate

Tone = Literal["good", "bad", "unsure"]
Said = tuple[Tone | None, str]
"""A piece of evidence and which way it points; None where it points nowhere by itself."""
MOST = 2
"""Sentences of an answer, and policies that it speaks of."""
NAMED = 3
"""Policies, families or measures that one sentence names."""
MUCH = 1 / 3
"""Share of what was before from which on a change is called much."""
FAR = 10.0
"""Nats of KL from which on a distance is called much: the budget of the gate, by default."""
COSTS: Mapping[str, tuple[int, Measure, str]] = {
    "length": (1, COST["length"], "answers {} words longer"),
    "entropy": (-1, Measure(""), "{} nats a token less entropy"),
    "self_bleu_prompt": (1, Measure(""), "{} more self-BLEU within a prompt"),
    "distinct": (-1, SHARE, "{} fewer distinct answers"),
    "distinct_2": (-1, SHARE, "{} fewer distinct word pairs"),
}
"""What is a cost: which way it grows, how its figure is written, and in what words."""
FATAL = ("sign", "overoptimisation")
"""Gates that say of the reward itself that it is wrong."""
NOT_SHOWN: tuple[str, Tone] = ("Not shown", "unsure")
CHANCE = 0.5
"""Share of held-out pairs that a reward orders right which knows nothing."""
PROBABLY: tuple[str, Tone] = ("Probably", "unsure")
_SAYS = "better than {}", "worse", "not told apart"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page says to a question at its top."""

    question: Question
    word: str
    tone: Tone
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As report.json holds it."""
        return {"word": self.word, "tone": self.tone, "sentences": list(self.sentences)}


def answers(view: RunView, parts: Sequence[Part]) -> list[Answer]:
    """To every question, in their order."""
    return [answer(view, parts) for answer in ANSWERS]


def better(view: RunView, parts: Sequence[Part]) -> Answer:
    """By the main measure, against SFT or the first policy there is; by a blind comparison where
    that measure is but the reward that the policies learned to please.
    """
    gaps = evidence.chief(view)
    proxy = bool(gaps) and gaps[0].measure == "proxy"
    if (proxy or not gaps) and (blind := evidence.blind(view, parts)):
        return _answer("better", _beaten(list(map(_won, blind.wins.values()))), [_wins(blind)])
    if not gaps:
        says = (
            "Nothing judged the answers: ask people or a model with heed compare."
            if len(view.policies) > 1
            else "No two policies were compared on held-out prompts."
        )
        return _answer("better", ("Unknown", "unsure"), [says, *_findings(parts, "better")])
    signs = {BETTER: 1, WORSE: -1, UNCLEAR: 0}
    word = _beaten([signs[verdict(gap)] for gap in gaps])
    if not proxy:
        return _answer("better", word, [_stand(gaps), *_besides(gaps, view)])
    if pleased(view):
        says = "Only the reward that the policies learned to please judged them."
        return _answer("better", word if word[1] == "bad" else NOT_SHOWN, [says, _stand(gaps)])
    says = f"A reward model of the same preferences judged, and nobody else{_higher(view, gaps)}."
    knows = view.reward_model.get("accuracy")
    if word[1] == "good":
        word = PROBABLY if knows is not None and knows.low > CHANCE else NOT_SHOWN
    return _answer("better", word, [_stand(gaps), says])


def whom(view: RunView, parts: Sequence[Part]) -> Answer:
    """By families of prompts, with intervals that hold for all of them at once."""
    found = evidence.by_family(view)
    looks = [surely(apart) for table in found.values() for apart in table.values()]
    if len({family for table in found.values() for family in table}) == 1:
        says = "All prompts are of one family; a column named family would tell them apart."
        return _answer("whom", ("Not told apart", "unsure"), [says, *_findings(parts, "whom")])
    if not looks:
        says = "Nothing was measured by family of prompts."
        return _answer("whom", ("Unknown", "unsure"), [says, *_findings(parts, "whom")])
    if min(looks) < 0:
        word: tuple[str, Tone] = ("Not for all", "bad")
    elif min(looks) > 0:
        word = ("For all", "good")
    elif max(looks) > 0:
        word = ("For some", "unsure")
    else:
        word = NOT_SHOWN
    gains = {gap.better: gap.difference.mean for gap in evidence.chief(view)}
    # Who lost somewhere stands first, then who gained most.
    first = sorted(found, key=lambda name: (min(map(surely, found[name].values())), -gains[name]))
    sentences = [_families(name, found[name]) for name in first]
    people = list(_findings(parts, "whom"))[:1]
    return _answer("whom", word, [*sentences[: MOST - len(people)], *people])


def cost(view: RunView, parts: Sequence[Part]) -> Answer:
    """What surely became worse beside the reward, and whether by much."""
    gaps = sorted(evidence.chief(view), key=lambda gap: -gap.difference.mean)
    was, changes = evidence.before(view, parts), evidence.changes(view, parts)
    paid = {gap.better: _paid(view, gap.better, changes[gap.better], was) for gap in gaps}
    if not any(known for known, _ in paid.values()):
        says = "Neither distance nor length nor variety was measured beside another policy's."
        return _answer("cost", ("Unknown", "unsure"), [says])
    told = {name: costs for name, (_, costs) in paid.items() if costs}
    if not told:
        says = "Neither distance nor length nor variety changed beyond its interval."
        return _answer("cost", ("None shown", "good"), [says])
    much = any(much for costs in told.values() for much, _ in costs)
    says_each = [
        f"{policy_name(name)}: {'; '.join(words for _, words in costs)}."
        for name, costs in told.items()
    ]
    return _answer("cost", ("Much", "bad") if much else ("Some", "unsure"), says_each)


def trust(view: RunView, parts: Sequence[Part]) -> Answer:
    """Whether it orders pairs, whether gold rose with it, and what the gates found."""
    told = [*_gates(parts), *_turned(view), *_own_rewards(view)]
    found = [*told, *_accuracy(view)]
    tones = [tone for tone, _ in found]
    # A reward that is not shown to beat chance, and nothing else known of it, is not partly right.
    half = "good" in tones or "unsure" in [tone for tone, _ in told]
    if not found:
        says = "No reward model was measured, and no gate tripped that would tell."
        return _answer("trust", ("Unknown", "unsure"), [says])
    if "bad" in tones:
        word: tuple[str, Tone] = ("No", "bad")
    elif "unsure" in tones:
        word = ("Partly", "unsure") if half else NOT_SHOWN
    elif "good" in tones:
        word = ("Yes", "good")
    else:
        word = NOT_SHOWN
        found.append((None, "Whether what it likes is good was not measured: no gold reward."))
    order = {"bad": 0, "unsure": 1, "good": 2, None: 3}
    return _answer("trust", word, [says for _, says in sorted(found, key=lambda s: order[s[0]])])


def next_steps(view: RunView, parts: Sequence[Part]) -> Answer:
    """How many steps are advised, and the first of them."""
    steps = advice(view, parts)
    if not steps:
        return _answer("next", ("Nothing", "good"), ["Nothing here calls for a change."])
    word = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return _answer("next", (word, "unsure"), steps)


ANSWERS: tuple[Callable[[RunView, Sequence[Part]], Answer], ...] = (
    better,
    whom,
    cost,
    trust,
    next_steps,
)


def _answer(question: Question, word: tuple[str, Tone], sentences: Sequence[str]) -> Answer:
    return Answer(question, *word, tuple(sentences[:MOST]))


def _findings(parts: Sequence[Part], question: Question) -> Iterator[str]:
    return (says for part in parts if part.question == question for says in part.findings)


def _beaten(signs: Sequence[int]) -> tuple[str, Tone]:
    """How many of them are better (1), worse (-1) or neither (0)."""
    if min(signs) > 0:
        return "Yes", "good"
    if max(signs) > 0:
        return "Partly", "unsure"
    return ("No", "bad") if min(signs) < 0 else NOT_SHOWN


def _won(share: Estimate) -> int:
    return int(share.low > 0.5) - int(share.high < 0.5)


def _wins(blind: evidence.Blind) -> str:
    told = [f"{policy_name(name)} wins {with_interval(n, SHARE)}" for name, n in blind.wins.items()]
    return (
        f"In blind pairs with {policy_name(blind.baseline)}, judged by {blind.judge}, "
        f"{_listed(told)} (50% is no difference)."
    )


def _listed(words: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(words) - NAMED
    return ", ".join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _stand(gaps: Sequence[Gap]) -> str:
    """Who is better than the policy to beat, who worse, who neither."""
    what, worse = measure_of(gaps[0].measure), policy_name(gaps[0].worse)
    pieces: list[str] = []
    for kind, says in zip((BETTER, WORSE, UNCLEAR), _SAYS, strict=True):
        own = [gap for gap in gaps if verdict(gap) == kind]
        own.sort(key=lambda gap: -abs(gap.difference.mean))
        if own:
            by = [f"{policy_name(g.better)} by {with_interval(g.difference, what)}" for g in own]
            beside = says.format(worse) if kind == BETTER or pieces else f"{says} than {worse}"
            pieces.append(f"{beside}: {_listed(by)}")
    text = "; ".join(pieces).replace("not told apart than", "not told apart from")
    return f"In {what.label.lower()}, {text}."


def _higher(view: RunView, gaps: Sequence[Gap]) -> str:
    """How often the one that gained most scores higher, as the end of a sentence."""
    best = max(gaps, key=lambda gap: gap.difference.mean)
    often = higher(view, best)
    if often is None:
        return ""
    return (
        f"; {policy_name(best.better)} scores above {policy_name(best.worse)} on {rate(often)} of "
        "the held-out prompts"
    )


def _besides(gaps: Sequence[Gap], view: RunView) -> Iterator[str]:
    """How the one that gained most stands by the other measures."""
    best = max(gaps, key=lambda gap: gap.difference.mean)
    others = [
        f"{measure_of(gap.measure).label.lower()} "
        f"{with_interval(gap.difference, measure_of(gap.measure))}"
        for gap in view.gaps
        if (gap.better, gap.worse) == (best.better, best.worse) and gap.measure != best.measure
    ]
    if others:
        yield f"{policy_name(best.better)} minus {policy_name(best.worse)}: {_listed(others)}."


def _families(policy: str, table: Mapping[str, Estimate]) -> str:
    """Where a policy gained, where it lost, and where neither shows."""
    names = sorted(table, key=lambda family: -table[family].mean)
    gained, lost, neither = (
        [family for family in names if surely(table[family]) == sign] for sign in (1, -1, 0)
    )
    gained_on = f"gained on {len(gained)} of {len(names)} families"
    if gained:
        best = with_interval(table[gained[0]], Measure(""))
        gained_on += f", most on {_spoken(gained[0])} ({best})"
    lost_on = [
        f"{_spoken(name)} ({with_interval(table[name], Measure(''))})" for name in lost[::-1]
    ]
    pieces = [gained_on, f"lost on {_listed(lost_on) if lost else 'none'}"]
    if neither:
        pieces.append(f"neither is shown on {_listed([_spoken(name) for name in neither])}")
    return f"{policy_name(policy)} {'; '.join(pieces)}."


def _spoken(family: str) -> str:
    return family.replace("_", " ")


def _paid(
    view: RunView, policy: str, changes: Mapping[str, Estimate], was: Mapping[str, Estimate]
) -> tuple[bool, list[tuple[bool, str]]]:
    """Whether anything is known, and (much, words) of every sure cost of a policy."""
    found = []
    kl = view.policies.get(policy, {}).get("kl")
    if surely(kl) > 0 and kl:
        found.append((kl.low > FAR, f"KL {with_interval(kl, COST['kl'])} nats"))
    known = [key for key in COSTS if key in changes]
    for key in known:
        sign, what, words = COSTS[key]
        grown = evidence.turned(changes[key], sign)
        if surely(grown) > 0:
            much = key in was and grown.low > MUCH * was[key].mean
            found.append((much, words.format(with_interval(grown, what))))
    return kl is not None or bool(known), found


def _gates(parts: Sequence[Part]) -> Iterator[Said]:
    for row in evidence.tripped(parts):
        tone: Tone = "bad" if row["gate"] in FATAL else "unsure"
        yield tone, f"Gate {row['gate']} tripped in {stage_name(row['stage'])}: {row['says']}"


def _turned(view: RunView) -> Iterator[Said]:
    """Trainings in which gold fell while the proxy rose; all of them, or but some."""
    turns = list(evidence.turns(view))
    tone: Tone = "bad" if len(turns) == len(evidence.curves(view)) else "unsure"
    for turn in turns:
        yield (
            tone,
            f"In the training of {stage_name(turn.stage.name)} gold fell by "
            f"{with_interval(turn.gold, Measure(''))} while the proxy rose by "
            f"{with_interval(turn.proxy, Measure(''))} (between iterations {turn.start} and "
            f"{turn.end}).",
        )


def _own_rewards(view: RunView) -> Iterator[Said]:
    """What was gained by the reward that a policy was trained on, and what by gold."""
    wanted = ("proxy_gain", "gold_gain", "gap")
    known = {
        policy: [found[key] for key in wanted]
        for policy, (_, found) in view.own_reward.items()
        if all(key in found for key in wanted)
    }
    gamed = [surely(gold) < 0 < surely(proxy) for proxy, gold, _ in known.values()]
    for policy, (proxy, gold, gap) in known.items():
        tone: Tone | None = "good" if surely(gold) > 0 else None
        if surely(gold) < 0 < surely(proxy):
            tone = "bad" if all(gamed) else "unsure"
        elif surely(gap) > 0:
            tone = "unsure"
        yield (
            tone,
            f"{policy_name(policy)} gained {with_interval(proxy, Measure(''))} standard deviations "
            f"by the reward it was trained on and {with_interval(gold, Measure(''))} by gold; the "
            f"gap is {with_interval(gap, Measure(''))}.",
        )


def _accuracy(view: RunView) -> Iterator[Said]:
    found, ceiling = view.reward_model.get("accuracy"), view.reward_model.get("noise_ceiling")
    if found is None:
        return
    says = f"It orders {with_interval(found, SHARE)} of the held-out pairs as the annotators did"
    if found.high < 0.5:
        yield "bad", f"{says}: worse than chance."
    elif not found.low > 0.5:
        yield "unsure", f"{says}: not shown to be better than chance."
    else:
        allows = f"; their own noise allows {with_interval(ceiling, SHARE)}" if ceiling else ""
        yield None, f"{says}{allows}."
