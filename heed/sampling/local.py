"""The sampler in this process: any transformers causal LM, bound to its live weights.

Dims: P prompts prefilled together, R rows decoded together, S steps (max_new_tokens). Prompts are
padded on the left, so that every row's next token stands in the last column.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from heed.errors import UserError
from heed.models.forward import causal_lm
from heed.models.language_model import LanguageModel
from heed.models.modes import evaluating
from heed.models.work import count_answers
from heed.sampling.cache import cache_rows, preallocated_cache
from heed.sampling.draw import draw
from heed.sampling.streaming import Spelling, Stream
from heed.types import Completion, Finish, Prompt

Item = TypeVar("Item")

KEEP = 0.75
"""Finished rows are dropped when less than this share of the rows is unfinished: dropping copies
the cache once, keeping them costs their part of every further step."""


@dataclass
class _Row:
    """One answer while it is written; `at` is its global place, prompt * n + sample."""

    at: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    truncated: list[float] = field(default_factory=list)
    finish: Finish | None = None


@dataclass(frozen=True)
class LocalSampler:
    """Answers prompts with a model that lives here, by `heed.types.Sampler`.

    `temperature` divides the logits (0: the likeliest token); `top_k` (0: all) and `top_p` cut the
    distribution. An answer ends at a stop id of the chat format (kept in its ids), before the
    first of the `stop` strings (its ids keep what was sampled) or after `max_new_tokens`.

    The same seed gives the same answers whatever `batch_size` is, as far as the model's arithmetic
    does: row r draws by the r-th line of one table of uniform numbers. The model runs in eval mode
    and without gradient, and gets its mode back.
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

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        """`n` completions a prompt, prompt-major; each prompt is prefilled once.

        Raises UserError for a prompt that leaves no room for `max_new_tokens` in the context.
        """
        prompt_ids = [self.lm.chat.prompt_ids(prompt) for prompt in prompts]
        self._check_lengths(prompts, prompt_ids)
        rows = [_Row(at) for at in range(len(prompts) * n)]
        uniform = self._uniform(len(rows), seed)
        done = 0
        # Prompts of like length share a batch, so that padding is small; longest first.
        order = sorted(range(len(prompts)), key=lambda at: -len(prompt_ids[at]))
        with evaluating(self.lm.model):
            for group in _chunks(order, max(1, self.batch_size // max(1, n))):
                prefill = self._prefill([prompt_ids[at] for at in group])
                samples = [(slot, at * n + i) for slot, at in enumerate(group) for i in range(n)]
                for part in _chunks(samples, self.batch_size):
                    slots = torch.tensor([slot for slot, _ in part], device=self.lm.device)
                    some = [rows[at] for _, at in part]
                    state = prefill if n == 1 else prefill.rows(slots)
                    for going in self._decode(state, some, uniform[[row.at for row in some]]):
                        self.progress(done + len(some) - going)
                    done += len(some)
                    self.progress(done)
        count_answers(
            causal_lm(self.lm.model),
            sum(map(len, prompt_ids)),
            sum(len(row.ids) for row in rows),
            len(rows),
        )
        return [
            self._completion(prompts[row.at // n], prompt_ids[row.at // n], row) for row in rows
        ]

    def stream(self, prompt: Prompt, *, seed: int = 0) -> Stream:
        """The one answer of `sample([prompt], seed=seed)`, its text while it is written.

        Raises UserError as `sample` does.
        """
        ids = self.lm.chat.prompt_ids(prompt)
        self._check_lengths([prompt], [ids])
        row = _Row(0)
        return Stream(
            self._steps(ids, row, seed),
            Spelling(self.lm.chat, self.stop),
            lambda: self._completion(prompt, ids, row),
        )

    @torch.no_grad()
    def _steps(self, prompt_ids: list[int], row: _Row, seed: int) -> Iterator[list[int]]:
        """Write one answer; gives its ids after every token."""
        with evaluating(self.lm.model):
            state = self._prefill([prompt_ids])
            for _ in self._decode(state, [row], self._uniform(1, seed)):
                yield row.ids
        count_answers(causal_lm(self.lm.model), len(prompt_ids), len(row.ids), 1)

    def _uniform(self, rows: int, seed: int) -> Tensor:
        """The numbers that answers are drawn by, [R, S]."""
        generator = torch.Generator().manual_seed(seed)
        return torch.rand((rows, self.max_new_tokens), generator=generator, dtype=torch.float64)

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

    def _prefill(self, prompt_ids: list[list[int]]) -> _State:
        """Run P prompts through the model; the state before their first new token."""
        device = self.lm.device
        width = max(map(len, prompt_ids))
        ids = torch.full((len(prompt_ids), width), self.lm.chat.pad_id)
        mask = torch.zeros((len(prompt_ids), width + self.max_new_tokens), dtype=torch.long)
        for row, tokens in enumerate(prompt_ids):
            ids[row, width - len(tokens) :] = torch.tensor(tokens)
            mask[row, width - len(tokens) :] = 1
        state = _State(
            logits=torch.empty(0),
            mask=mask.to(device),
            cache=preallocated_cache(causal_lm(self.lm.model).config, width + self.max_new_tokens),
            width=0,
        )
        return state.forward(self.lm.model, ids.to(device))

    def _decode(self, state: _State, rows: list[_Row], uniform: Tensor) -> Iterator[int]:
        """Write R answers, one token a step, dropping rows that are finished; gives after every
        step how many are not.
        """
        device = self.lm.device
        uniform = uniform.to(device)
        for step in range(self.max_new_tokens):
            drawn = draw(
                state.logits,
                uniform[:, step],
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
            )
            self._write(
                rows,
                drawn.tokens.tolist(),
                drawn.logprobs.tolist(),
                drawn.truncated_logprobs.tolist(),
            )
            going = [slot for slot, row in enumerate(rows) if row.finish is None]
            yield len(going)
            if not going or step + 1 == self.max_new_tokens:
                break
            tokens = drawn.tokens
            if len(going) < KEEP * len(rows):
                index = torch.tensor(going, device=device)
                state, uniform, tokens = state.rows(index), uniform[index], tokens[index]
                rows = [rows[slot] for slot in going]
            state = state.forward(self.lm.model, tokens[:, None])

    def _write(
        self, rows: list[_Row], tokens: list[int], logprobs: list[float], truncated: list[float]
    ) -> None:
        """Append one token to every unfinished row, and see which are finished by it."""
        for row, token, logprob, truncated_logprob in zip(
            rows, tokens, logprobs, truncated, strict=True
        ):
            if row.finish is not None:
                continue
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.truncated.append(truncated_logprob)
            if token in self.lm.chat.stop_ids or self._stop_at(row.ids) is not None:
                row.finish = "stop"

    def _stop_at(self, ids: list[int]) -> int | None:
        """Where in the text of some ids the first stop string begins, if one is there."""
        if not self.stop:
            return None
        text = self.lm.chat.text(ids)
        found = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return min(found, default=None)

    def _completion(self, prompt: Prompt, prompt_ids: list[int], row: _Row) -> Completion:
        cut = self.top_p < 1.0 or self.top_k > 0
        return Completion(
            prompt=prompt,
            text=self.lm.chat.text(row.ids)[: self._stop_at(row.ids)],
            finish=row.finish or "length",
            model=self.model_name,
            prompt_ids=tuple(prompt_ids),
            ids=tuple(row.ids),
            logprobs=tuple(row.logprobs),
            truncated_logprobs=tuple(row.truncated) if cut else (),
        )


@dataclass(frozen=True)
class _State:
    """Between two steps: logits [R, V] of the next token, the mask [R, capacity] of the columns
    (future ones count as real), and the cache, filled up to `width` columns.
    """

    logits: Tensor
    mask: Tensor
    cache: Any
    width: int

    def rows(self, index: Tensor) -> _State:
        """The rows that an index names, repeats allowed, in memory of their own."""
        return _State(
            self.logits[index], self.mask[index], cache_rows(self.cache, index), self.width
        )

    def forward(self, model: Any, ids: Tensor) -> _State:
        """Put ids [R, t] behind what the cache holds (and fill it in place)."""
        width = self.width + ids.shape[1]
        mask = self.mask[:, :width]
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, self.width :]
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            **_last_logits_only(model),
        )
        return _State(output.logits[:, -1], self.mask, self.cache, width)


def _last_logits_only(model: Any) -> dict[str, int]:
    """Spare the head the prompt's columns, where the architecture can."""
    takes = inspect.signature(causal_lm(model).forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in takes else {}


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
