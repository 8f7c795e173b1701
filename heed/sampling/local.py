"""The sampler in this process: any transformers causal LM, bound to its live weights.

Two ways to write answers: the lean one for decoders that are known and checked (`known.py`), the
plain one through the model's own forward for all others. Dims: R answers asked for, S steps
(max_new_tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from heed.errors import UserError
from heed.models.anatomy import causal_lm
from heed.models.device import format_of
from heed.models.language_model import LanguageModel
from heed.models.modes import evaluating
from heed.models.work import count_answers
from heed.sampling.answers import Answers
from heed.sampling.continuous import write_leanly
from heed.sampling.known import lean_anatomy
from heed.sampling.plain import write_plainly
from heed.sampling.streaming import Spelling, Stream
from heed.types import Completion, Prompt


@dataclass(frozen=True)
class LocalSampler:
    """Answers prompts with a model that lives here, by `heed.types.Sampler`.

    `temperature` divides the logits (0: the likeliest token); `top_k` (0: all) and `top_p` cut the
    distribution. An answer ends at a stop id of the chat format (kept in its ids), before the
    first of the `stop` strings (its ids keep what was sampled) or after `max_new_tokens`.

    The same seed gives the same answers whatever `batch_size` is, as far as the model's arithmetic
    does: row r draws by the r-th line of one table of uniform numbers. The model runs in eval mode
    and without gradient, and gets its mode back. It computes in the format of its weights, within
    autocast in autocast's; log-probs are float32.
    """

    lm: LanguageModel
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: Sequence[str] = ()
    batch_size: int = 256
    model_name: str = ""
    progress: Callable[[int], None] = field(default=lambda _: None, compare=False)
    """Hears, token by token, how many of the answers asked for are finished."""
    lean: bool = True
    """Whether the lean decoder may be taken where the model is known; False: never."""

    def __post_init__(self) -> None:
        checks = {
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "temperature": (self.temperature >= 0.0, "0 or more"),
            "top_p": (0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "0 (no limit) or more"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "stop": (not isinstance(self.stop, str) and all(self.stop), "a list of texts"),
        }
        for name, (good, want) in checks.items():
            if not good:
                raise UserError(f"Sampling: {name} must be {want}, not {getattr(self, name)!r}.")

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        """`n` completions a prompt, prompt-major; each prompt is prefilled once.

        Raises UserError for a prompt that leaves no room for `max_new_tokens` in the context.
        """
        return self.drawn(prompts, self.numbers(len(prompts) * n, seed))

    def numbers(self, rows: int, seed: int) -> Tensor:
        """The uniform numbers that `rows` answers draw by, [R, S], one line an answer."""
        return uniform_numbers(rows, self.max_new_tokens, seed)

    @torch.no_grad()
    def drawn(self, prompts: Sequence[Prompt], uniform: Tensor) -> list[Completion]:
        """A completion for each line of a table [R, S], R / len(prompts) a prompt, prompt-major.

        Raises UserError as `sample` does.
        """
        prompt_ids = [self.lm.chat.prompt_ids(prompt) for prompt in prompts]
        self._check_lengths(prompts, prompt_ids)
        answers = self.table(uniform)
        with evaluating(self.lm.model):
            for _ in self._written(prompt_ids, len(uniform) // max(1, len(prompts)), answers):
                self.progress(answers.done)
        self._count(prompt_ids, answers)
        return self._completions(prompts, prompt_ids, answers)

    def stream(self, prompt: Prompt, *, seed: int = 0) -> Stream:
        """The one answer of `sample([prompt], seed=seed)`, its text while it is written.

        Raises UserError as `sample` does.
        """
        prompt_ids = [self.lm.chat.prompt_ids(prompt)]
        self._check_lengths([prompt], prompt_ids)
        answers = self.table(self.numbers(1, seed))
        return Stream(
            self._steps(prompt_ids, answers),
            Spelling(self.lm.chat, self.stop),
            lambda: self._completions([prompt], prompt_ids, answers)[0],
        )

    @torch.no_grad()
    def _steps(self, prompt_ids: list[list[int]], answers: Answers) -> Iterator[list[int]]:
        """Write one answer; gives its ids after every token."""
        with evaluating(self.lm.model):
            for _ in self._written(prompt_ids, 1, answers):
                yield answers.tokens(0)
        self._count(prompt_ids, answers)

    @property
    def path(self) -> Literal["lean", "plain"]:
        """How answers are written: by the lean decoder, or through the model's own forward."""
        with evaluating(self.lm.model):
            known = self.lean and lean_anatomy(self.lm.model) is not None
        return "lean" if known else "plain"

    @torch.no_grad()
    def write(self, prompt_ids: list[list[int]], n: int, answers: Answers) -> Iterator[None]:
        """Write `n` answers a prompt into a `table` of theirs, a turn a token; who stops early has
        them as they are then.
        """
        with evaluating(self.lm.model):
            yield from self._written(prompt_ids, n, answers)
        self._count(prompt_ids, answers)

    def _written(self, prompt_ids: list[list[int]], n: int, answers: Answers) -> Iterator[None]:
        """Write all answers, a turn a token."""
        model = self.lm.model
        known = lean_anatomy(model) if self.lean and answers.rows else None
        if known is None:
            return write_plainly(model, prompt_ids, n, self.batch_size, answers)
        dtype = format_of(self.lm.device, known.embedding.weight.dtype)
        return write_leanly(known, dtype, prompt_ids, n, self.batch_size, answers)

    def table(self, uniform: Tensor) -> Answers:
        """An empty table whose rows are drawn by these numbers, [R, S]."""
        return Answers(
            uniform.to(self.lm.device),
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            stop_ids=self.lm.chat.stop_ids,
            ended=(lambda ids: self._stop_at(ids) is not None) if self.stop else None,
        )

    def _count(self, prompt_ids: list[list[int]], answers: Answers) -> None:
        count_answers(
            causal_lm(self.lm.model),
            sum(map(len, prompt_ids)),
            int(answers.lengths.sum()),
            answers.rows,
        )

    def fits(self, prompt: Prompt) -> bool:
        """Whether the model's context holds this prompt and `max_new_tokens` more."""
        needed = len(self.lm.chat.prompt_ids(prompt)) + self.max_new_tokens
        return self._context is None or needed <= self._context

    @property
    def _context(self) -> int | None:
        config = causal_lm(self.lm.model).config.get_text_config()
        return getattr(config, "max_position_embeddings", None)

    def _check_lengths(self, prompts: Sequence[Prompt], prompt_ids: list[list[int]]) -> None:
        for prompt, ids in zip(prompts, prompt_ids, strict=True):
            if not ids:
                raise UserError(f"The prompt {prompt.id!r} is empty: there is nothing to answer.")
            if not self.fits(prompt):
                raise UserError(
                    f"The prompt {prompt.id!r} has {len(ids)} tokens, and the answer may have "
                    f"{self.max_new_tokens}; the model's context holds {self._context}. Shorten "
                    f"the prompt or lower max_new_tokens."
                )

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer's ids, up to the first stop string in it."""
        return self.lm.chat.text(ids)[: self._stop_at(ids)]

    def _stop_at(self, ids: Sequence[int]) -> int | None:
        """Where in the text of some ids the first stop string begins, if one is there."""
        if not self.stop:
            return None
        text = self.lm.chat.text(ids)
        found = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return min(found, default=None)

    def _completions(
        self, prompts: Sequence[Prompt], prompt_ids: list[list[int]], answers: Answers
    ) -> list[Completion]:
        cut = self.top_p < 1.0 or self.top_k > 0
        columns = (answers.lengths, answers.stopped, answers.ids, answers.logprobs)
        lengths, stopped, ids, logprobs = (column.tolist() for column in columns)
        truncated = answers.truncated.tolist() if cut else []
        n = answers.rows // max(1, len(prompts))
        return [
            Completion(
                prompt=prompts[row // n],
                text=self.text(ids[row][:length]),
                finish="stop" if stopped[row] else "length",
                model=self.model_name,
                prompt_ids=tuple(prompt_ids[row // n]),
                ids=tuple(ids[row][:length]),
                logprobs=tuple(logprobs[row][:length]),
                truncated_logprobs=tuple(truncated[row][:length]) if cut else (),
            )
            for row, length in enumerate(lengths)
        ]


def uniform_numbers(rows: int, steps: int, seed: int) -> torch.Tensor:
    """Numbers of [0, 1) to draw by, [rows, steps]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((rows, steps), generator=generator, dtype=torch.float64)
