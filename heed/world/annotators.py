"""Simulated people who compare answers: a temperature, biases, habits, lapses; two spammers.

An attentive person feels x = (u(left) - u(right)) / temperature + left_bias + e, where e is
standard logistic noise and u the gold total plus that person's biases; the sign of x is the side,
its size the grade. So choices follow a Bradley-Terry model with biases, and the probability of a
side is known in closed form: the noise ceiling needs no sampling. More than two answers are ranked
by the same utilities with standard Gumbel noise, the difference of two of which is logistic.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from heed.types import Annotation, Item, Pair, Prompt, Ranking, Undecided
from heed.world.gold import Gold
from heed.world.grammar import tokens

Judge = Callable[[Prompt, str], Gold]

NAMES = tokens(
    "Ada Amir Bella Chidi Clara Dmitri Elif Farah Goran Hana Ines Jonas Kemal Lena Marta Noor Olga "
    "Pablo Quentin Rosa Samir Tara Umar Vera Wanda Yusuf"
)
ATTENTIVE_COUNT = 14
EDGES = (0.5, 1.5, 3.0)
"""Where |x| passes from negligibly to slightly, clearly, significantly, for a habit of 1."""
BAD = -1.5
"""Gold totals below which an answer is felt to be bad."""
CANNOT_TELL = 0.01


@dataclass(frozen=True)
class Person:
    """One annotator's traits.

    temperature: gold points that count as one unit of x. length_bias: gold points a word.
    courtesy_bias: gold points for a friendly answer, and off a rude one. left_bias: units of x.
    reliability: probability of paying attention; otherwise the answer is a random grade.
    habit: factor on the grades' edges, below 1 for who likes the extremes, above for the middle.
    tie_width, tie_rate: |x| below which there may be a tie, and how often there is.
    both_bad_rate: how often two bad answers are called so instead of compared.
    always_left: a spammer who never reads; one of reliability 0 answers at random.
    """

    name: str
    temperature: float
    length_bias: float = 0.0
    courtesy_bias: float = 0.0
    left_bias: float = 0.0
    reliability: float = 1.0
    habit: float = 1.0
    tie_width: float = 0.0
    tie_rate: float = 0.0
    both_bad_rate: float = 0.0
    always_left: bool = False

    @property
    def spammer(self) -> bool:
        return self.always_left or self.reliability == 0.0


def draw_people(seed: int, spammers: int | None = None, **overrides: float) -> list[Person]:
    """Fourteen attentive people and two spammers; `overrides` replace traits of the attentive.

    With `spammers` so many of the sixteen are spammers, every other one of whom always clicks left
    and the rest at random; the two that a world has anyway are the first. Raises ValueError where
    there are not so many people.
    """
    rng = random.Random(f"{seed}/people")
    names = sorted(rng.sample(NAMES, ATTENTIVE_COUNT + 2))
    always_left, at_random = rng.sample(names, 2)
    spoilt = [always_left, at_random]
    if spammers is not None:
        spoilt = _spoilt(names, spoilt, spammers, seed)
    people = []
    for name in names:
        person = Person(
            name,
            temperature=rng.uniform(0.15, 0.4),
            length_bias=rng.uniform(0.0, 0.03),
            courtesy_bias=rng.uniform(0.0, 0.4),
            left_bias=rng.uniform(-0.1, 0.3),
            reliability=rng.uniform(0.93, 0.995),
            habit=math.exp(rng.uniform(-0.6, 0.6)),
            tie_width=rng.uniform(0.0, 0.5),
            tie_rate=rng.uniform(0.2, 0.6),
            both_bad_rate=rng.uniform(0.0, 0.25),
        )
        if name in spoilt[::2]:
            person = replace(person, always_left=True)
        elif name in spoilt:
            person = replace(person, reliability=0.0)
        else:
            person = replace(person, **overrides)  # type: ignore[arg-type]
        people.append(person)
    return people


def _spoilt(names: Sequence[str], first: Sequence[str], count: int, seed: int) -> list[str]:
    """Who are the spammers, in an order in which every other one always clicks left."""
    if not 0 <= count <= len(names):
        raise ValueError(f"{count} of {len(names)} people cannot be spammers")
    others = [name for name in names if name not in first]
    random.Random(f"{seed}/spammers").shuffle(others)
    return [*first, *others][:count]


def with_traits(
    crowd: Sequence[SimulatedAnnotator], name: str, **traits: float | bool
) -> list[SimulatedAnnotator]:
    """The same crowd, one of whom has other traits: a lover of the left side, say.

    Raises KeyError where nobody has that name.
    """
    if name not in {each.name for each in crowd}:
        raise KeyError(f"nobody in this crowd is called {name!r}")
    return [
        replace(each, person=replace(each.person, **traits))  # type: ignore[arg-type]
        if each.name == name
        else each
        for each in crowd
    ]


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + math.tanh(x / 2))


def gumbel(rng: random.Random) -> float:
    """One draw of standard Gumbel noise, -log(E) for a standard exponential E."""
    return -math.log(rng.expovariate(1.0) or math.ulp(0.0))


def grade(x: float, habit: float) -> int:
    """The grade of a felt difference: 1 significantly left ... 8 significantly right."""
    steps = sum(abs(x) > edge * habit for edge in EDGES)
    return 4 - steps if x > 0 else 5 + steps


@dataclass(frozen=True)
class SimulatedAnnotator:
    """A person who answers, always alike for the same pair id, world and name."""

    person: Person
    judge: Judge
    seed: int

    @property
    def name(self) -> str:
        return self.person.name

    def annotate(self, pair: Pair) -> Annotation:
        rng = random.Random(f"{self.seed}/annotate/{self.name}/{pair.id}")
        verdict = self._verdict(pair, rng)
        return Annotation(
            item=pair.id,
            annotator=self.name,
            verdict=verdict,
            seconds=self._seconds(pair.prompt, (pair.left, pair.right), rng),
            source="simulated",
        )

    def annotate_item(self, item: Item, order: tuple[int, ...] | None = None) -> Annotation:
        """A grade of two answers, a ranking of more, shown in `order` (by default the item's)."""
        shown = order or tuple(range(len(item.answers)))
        if len(item.answers) > 2:
            return self.rank(item, shown)
        return replace(self.annotate(item.pair(shown)), order=shown)

    def rank(self, item: Item, order: tuple[int, ...] | None = None) -> Annotation:
        """A ranking by utility / temperature plus standard Gumbel noise: the Plackett-Luce model.

        The left bias is the leftmost answer's, so that two answers are chosen between as graded
        ones are (Bradley-Terry). Neighbours closer than `tie_width` may share a rank.
        """
        shown = order or tuple(range(len(item.answers)))
        texts = [item.answers[place] for place in shown]
        rng = random.Random(f"{self.seed}/rank/{self.name}/{item.id}")
        return Annotation(
            item=item.id,
            annotator=self.name,
            verdict=self._ranking(item.prompt, texts, rng),
            seconds=self._seconds(item.prompt, texts, rng),
            source="simulated",
            order=shown,
        )

    def probability_left(self, pair: Pair) -> float:
        """Exact probability that a graded answer of this person prefers the left one.

        Inattention adds a coin flip; ties, "both bad" and "cannot tell" are no grades.
        """
        if self.person.always_left:
            return 1.0
        left, right = self._graded(self.difference(pair))
        attention = self.person.reliability * (1 - self._undecided(pair))
        lapse = 1 - self.person.reliability
        return (attention * left + lapse / 2) / (attention * (left + right) + lapse)

    def difference(self, pair: Pair) -> float:
        """The felt difference x before noise; above 0 it speaks for the left answer."""
        gap = self._utility(pair.prompt, pair.left) - self._utility(pair.prompt, pair.right)
        return gap / self.person.temperature + self.person.left_bias

    def _utility(self, prompt: Prompt, text: str) -> float:
        gold, person = self.judge(prompt, text), self.person
        manners = -1.0 if gold.rude else float(gold.courteous)
        return gold.total + person.length_bias * gold.words + person.courtesy_bias * manners

    def _graded(self, x: float) -> tuple[float, float]:
        """Probabilities of an attentive grade for the left and for the right, ties taken off."""
        width, rate = self.person.tie_width, self.person.tie_rate
        left = sigmoid(x) - rate * (sigmoid(x) - sigmoid(x - width))
        right = sigmoid(-x) - rate * (sigmoid(-x) - sigmoid(-x - width))
        return left, right

    def _undecided(self, pair: Pair) -> float:
        """Probability that an attentive person says "cannot tell" or "both bad"."""
        both_bad = self._all_bad(pair.prompt, (pair.left, pair.right))
        return CANNOT_TELL + (1 - CANNOT_TELL) * both_bad

    def _all_bad(self, prompt: Prompt, texts: Sequence[str]) -> float:
        """Probability that answers are called bad, both or all, instead of compared."""
        bad = all(self.judge(prompt, text).total < BAD for text in texts)
        return self.person.both_bad_rate * bad

    def _verdict(self, pair: Pair, rng: random.Random) -> int | Undecided:
        person = self.person
        if person.always_left:
            return rng.choice((1, 2, 3))
        if rng.random() >= person.reliability:
            return rng.randint(1, 8)
        if rng.random() < CANNOT_TELL:
            return "cannot_tell"
        if rng.random() < self._all_bad(pair.prompt, (pair.left, pair.right)):
            return "both_bad"
        noise = rng.random()
        x = self.difference(pair) + math.log(noise / (1 - noise)) if noise else -math.inf
        if abs(x) < person.tie_width and rng.random() < person.tie_rate:
            return "tie"
        return grade(x, person.habit)

    def _ranking(
        self, prompt: Prompt, texts: Sequence[str], rng: random.Random
    ) -> Ranking | Undecided:
        person = self.person
        if person.always_left:
            return tuple(range(1, len(texts) + 1))
        if rng.random() >= person.reliability:
            return tuple(rng.sample(range(1, len(texts) + 1), len(texts)))
        if rng.random() < CANNOT_TELL:
            return "cannot_tell"
        if rng.random() < self._all_bad(prompt, texts):
            return "both_bad"
        felt = [self._utility(prompt, text) / person.temperature + gumbel(rng) for text in texts]
        felt[0] += person.left_bias
        return self._ranks(felt, rng)

    def _ranks(self, felt: Sequence[float], rng: random.Random) -> Ranking:
        """Rank 1 for the highest; those who share a rank leave the next ones empty (1, 2, 2, 4)."""
        best_first = sorted(range(len(felt)), key=lambda at: -felt[at])
        ranks = [0] * len(felt)
        for place, at in enumerate(best_first):
            above = best_first[place - 1] if place else at
            close = place > 0 and felt[above] - felt[at] < self.person.tie_width
            tied = close and rng.random() < self.person.tie_rate
            ranks[at] = ranks[above] if tied else place + 1
        return tuple(ranks)

    def _seconds(self, prompt: Prompt, texts: Sequence[str], rng: random.Random) -> float:
        """Reading at some four words a second and a while to decide; spammers click."""
        if self.person.spammer:
            return round(rng.uniform(0.8, 2.5), 1)
        words = sum(len(text.split()) for text in (prompt.text, *texts))
        return round((2 + words / 4) * rng.lognormvariate(0, 0.35), 1)


def crowd_probability(crowd: Sequence[SimulatedAnnotator], pair: Pair) -> float:
    """Probability that a graded answer prefers the left, everyone being asked equally often."""
    return sum(each.probability_left(pair) for each in crowd) / len(crowd)


def preference(crowd: Sequence[SimulatedAnnotator], pair: Pair) -> float:
    """Probability that the crowd prefers the answer now on the left, the sides being random.

    What a side-blind model can know of a pair: people's bias to a side averages out.
    """
    swapped = replace(pair, left=pair.right, right=pair.left)
    return (crowd_probability(crowd, pair) + 1.0 - crowd_probability(crowd, swapped)) / 2


def noise_ceiling(crowd: Sequence[SimulatedAnnotator], pair: Pair) -> float:
    """The chance that the best possible reward model agrees with one graded answer of this crowd.

    max(p, 1 - p), where p is the crowd's `preference`; its mean over pairs bounds the accuracy
    that any reward model can expect.
    """
    p = preference(crowd, pair)
    return max(p, 1.0 - p)
