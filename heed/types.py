"""The records that everything in Heed speaks: prompts, completions, feedback.

Frozen and free of torch, so that the command line, the store and the web app can use them. Token
ids and log-probs travel as plain tuples: a sampler in this process and one behind HTTP return the
same `Completion`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "heldout"]
Finish = Literal["stop", "length"]
Undecided = Literal["tie", "both_bad", "cannot_tell"]
Ranking = tuple[int, ...]
"""The rank of each answer as shown, 1 for the best; equal ranks are ties."""
Verdict = int | Undecided | Ranking
"""A grade of two answers (see `GRADES`), an answer of its own, or a ranking of two or more."""

GRADES = range(1, 9)
"""1-4 prefer the left answer (1 significantly, 2 clearly, 3 slightly, 4 negligibly), 5-8 mirror
them for the right one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that waits for the assistant's next message.

    `family` groups prompts in reports; `split` says whether training may see the prompt.
    """

    id: str
    messages: tuple[Message, ...]
    family: str = ""
    split: Split = "train"

    @classmethod
    def of(cls, text: str, *, id: str = "", family: str = "", split: Split = "train") -> Prompt:
        """A conversation of a single user message; its id defaults to the text."""
        return cls(id or text, (Message("user", text),), family, split)

    @property
    def text(self) -> str:
        """What the user said last."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Completion:
    """An assistant's answer to a prompt, with the tokens it was sampled as where they are known.

    `ids` holds the sampled tokens, the end-of-sequence token included when `finish` is "stop".
    `logprobs` are log-probs of `ids` under the model at the sampling temperature; when top-p or
    top-k cut the distribution, `truncated_logprobs` are those of the distribution really drawn
    from. They are as long as `ids`, or empty: without such a cut, or for an answer that no sampler
    of ours wrote.
    """

    prompt: Prompt
    text: str
    finish: Finish = "stop"
    model: str = ""
    prompt_ids: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    truncated_logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An answer to imitate."""

    prompt: Prompt
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text to look things up in."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, placed left and right for an annotator to compare."""

    id: str
    prompt: Prompt
    left: str
    right: str
    left_model: str = ""
    right_model: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """What annotators are asked: a prompt and two or more answers to it, in an order of its own.

    `models` says who wrote each answer (or is empty) and is never shown. `known` makes the item a
    gold one: the right verdict on the answers in this order. Items of higher `priority` are asked
    first, where the queue goes by it.
    """

    id: str
    prompt: Prompt
    answers: tuple[str, ...]
    models: tuple[str, ...] = ()
    known: Verdict | None = None
    priority: float = 0.0

    def __post_init__(self) -> None:
        if len(self.answers) < 2:
            raise ValueError(f"an item compares two or more answers, {self.id!r} has fewer")
        if self.models and len(self.models) != len(self.answers):
            raise ValueError(f"{len(self.answers)} answers, but {len(self.models)} models")
        if self.known is not None:
            check_verdict(self.known, len(self.answers))

    def pair(self, order: tuple[int, ...] = (0, 1)) -> Pair:
        """Two of the answers as shown, left and right; `order` holds their places in the item."""
        left, right = order
        models = self.models or ("",) * len(self.answers)
        return Pair(
            self.id, self.prompt, self.answers[left], self.answers[right],
            models[left], models[right],
        )  # fmt: skip


def check_verdict(verdict: Verdict, answers: int) -> None:
    """Raise ValueError unless `verdict` is one that so many answers can get."""
    if isinstance(verdict, str):
        if verdict not in get_args(Undecided):
            raise ValueError(f"a verdict in words is tie, both_bad or cannot_tell, not {verdict!r}")
    elif isinstance(verdict, tuple):
        if len(verdict) != answers:
            raise ValueError(f"{answers} answers, but {len(verdict)} ranks")
        if any(type(rank) is not int or not 1 <= rank <= answers for rank in verdict):
            raise ValueError(f"ranks run from 1 to {answers}, got {list(verdict)}")
        if min(verdict) != 1:
            raise ValueError(f"the best rank is 1, got {list(verdict)}")
    elif type(verdict) is not int or verdict not in GRADES:
        raise ValueError(f"a grade is 1..8, got {verdict!r}")
    elif answers != 2:
        raise ValueError(f"a grade compares two answers, not {answers}: give a ranking")


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one annotator said of one item, in terms of the answers as shown.

    `order` holds the answers' places in the item, left to right as they were shown. The key of a
    row is (item, annotator, occasion, revision): occasions above 0 are planned repeats, a later
    revision supersedes an earlier one. `seconds` is the time taken; `guideline` the version that
    was in force; `rewrite` a better answer in the annotator's own words.
    """

    item: str
    annotator: str
    verdict: Verdict
    seconds: float = 0.0
    guideline: str = ""
    source: str = ""
    occasion: int = 0
    revision: int = 0
    order: tuple[int, ...] = (0, 1)
    rewrite: str = ""
    tags: tuple[str, ...] = ()
    comment: str = ""
    ui: str = ""

    def __post_init__(self) -> None:
        if sorted(self.order) != list(range(len(self.order))) or len(self.order) < 2:
            raise ValueError(f"`order` is no order of the answers: {list(self.order)}")
        check_verdict(self.verdict, len(self.order))

    @property
    def prefers_left(self) -> bool | None:
        """True for grades 1-4, False for 5-8, None for a verdict without a side."""
        return self.verdict <= 4 if isinstance(self.verdict, int) else None

    @property
    def ranks(self) -> Ranking | None:
        """The rank of each answer in the item's own order; None for both bad and cannot tell."""
        if isinstance(self.verdict, str):
            return (1,) * len(self.order) if self.verdict == "tie" else None
        shown = self.verdict
        if isinstance(shown, int):
            shown = (1, 2) if shown <= 4 else (2, 1)
        ranks = dict(zip(self.order, shown, strict=True))
        return tuple(ranks[place] for place in range(len(ranks)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A preference ready for training: `chosen` was preferred to `rejected`.

    `margin` is how far apart the two should score (Llama 2's small table: 1, 2/3, 1/3, 0);
    `weight` multiplies the pair's loss; `source` is the kind of annotator.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    margin: float = 0.0
    weight: float = 1.0
    annotator: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Unpaired:
    """An answer that feedback calls desirable or not, by itself.

    `weight` multiplies its loss; `source` is the kind of annotator.
    """

    prompt: Prompt
    text: str
    desirable: bool
    weight: float = 1.0
    annotator: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that a server gave: the `place`-th of the response `name`, to whom it was given
    (`user`, if the client said), and by which model.
    """

    name: str
    place: int
    prompt: Prompt
    text: str
    model: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody thinks of one reply by itself; `source` is the kind of annotator."""

    annotator: str
    desirable: bool
    source: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply and all that was said of it, oldest first; of an annotator the last word holds."""

    reply: Reply
    opinions: tuple[Opinion, ...]

    @property
    def unpaired(self) -> list[Unpaired]:
        """What each annotator's last opinion makes of the reply."""
        last = {one.annotator: one for one in self.opinions}
        return [
            Unpaired(
                self.reply.prompt, self.reply.text, one.desirable,
                annotator=one.annotator, source=one.source,
            )
            for one in last.values()
        ]  # fmt: skip


class Sampler(Protocol):
    """Anything that answers prompts: the policy in this process, a server, a fixed script."""

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        """`n` completions a prompt, prompt-major: prompts[i] owns [i * n, (i + 1) * n)."""
        ...


class RewardFn(Protocol):
    """Anything that scores completions: a reward model, a verifier, a judge, the gold reward."""

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        """One finite score a completion; higher is better."""
        ...


class Annotator(Protocol):
    """Anyone who compares two answers: a person, a judge, a simulated annotator."""

    @property
    def name(self) -> str: ...

    def annotate(self, pair: Pair) -> Annotation: ...


class Source(Protocol):
    """Anyone who is asked what they think of many items: people, a judge, a simulated crowd."""

    @property
    def name(self) -> str: ...

    def ask(self, items: Sequence[Item], progress: Callable[[int], None]) -> Sequence[Annotation]:
        """Annotations of the items, perhaps several an item or none; `progress` hears how many
        items are behind us.
        """
        ...

    def account(self) -> Mapping[str, Any]:
        """What there is to report of how they answered, as JSON; often nothing."""
        ...
