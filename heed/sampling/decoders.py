"""The decoder that writes a known model's answers: compiled where all of it is, else torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from heed.models.anatomy import Anatomy
from heed.sampling.compiled_decoder import compiled_decoder
from heed.sampling.lean import LeanDecoder, Prefilled
from heed.sampling.weights import weights


class Decoder(Protocol):
    """A model with a cache in slots, one row a slot, each at its own place."""

    device: torch.device

    def prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        """Run P prompts through the model."""
        ...

    def admit(self, prefilled: Prefilled, index: Sequence[int], first: int) -> Tensor:
        """Put prefilled prompts, an `index` with repeats of N, into slots from `first` on; their
        logits [N, V].
        """
        ...

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy N rows from some slots to as many others."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Put tokens [R] behind the first R rows; logits [R, V] of the next ones, which hold until
        the next step.
        """
        ...


def decoder_of(anatomy: Anatomy, dtype: torch.dtype, slots: int, capacity: int) -> Decoder:
    """A decoder by the model's weights as they are now, with `slots` rows of `capacity` tokens."""
    own = weights(anatomy, dtype)
    compiled = compiled_decoder(anatomy, own, slots, capacity)
    return LeanDecoder(anatomy, own, slots, capacity) if compiled is None else compiled
