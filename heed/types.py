"""The records that everything in Heed speaks: prompts, completions, feedback.

Frozen and free of torch, so that the command line, the store and the web app can use them. Token
ids and log-probs travel as plain tuples: a sampler in this process and one behind HTTP return the
same `Completion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "heldout"]
Finish = Literal["stop", "length"]
Undecided = Literal["tie", "both_bad", "cannot_tell"]

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
class Pair:
    """Two answers to one prompt, placed left and right for an annotator to compare."""

    id: str
    prompt: Prompt
    left: str
    right: str
    left_model: str = ""
    right_model: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one annotator said of one pair, sides as shown.

    `verdict` is a grade of 1..8 (see `GRADES`) or an answer of its own; the key of a row is
    (item, annotator, occasion, revision), a later revision supersedes an earlier one.
    """

    item: str
    annotator: str
    verdict: int | Undecided
    seconds: float = 0.0
    guideline: str = ""
    source: str = ""
    occasion: int = 0
    revision: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.verdict, int) and self.verdict not in GRADES:
            raise ValueError(f"a grade is 1..8, got {self.verdict}")

    @property
    def prefers_left(self) -> bool | None:
        """True for grades 1-4, False for 5-8, None for a verdict without a side."""
        return self.verdict <= 4 if isinstance(self.verdict, int) else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A preference ready for training: `chosen` was preferred to `rejected`.

    `margin` is how far apart the two should score (Llama 2's small table: 1, 2/3, 1/3, 0);
    `weight` multiplies the pair's loss.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    margin: float = 0.0
    weight: float = 1.0
    annotator: str = ""


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
