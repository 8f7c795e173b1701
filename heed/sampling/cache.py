"""A key-value cache whose memory is allocated once, and whose rows can be spread and dropped.

transformers' own dynamic cache copies every key and value at every step. Here a layer holds room
for the whole answer and gives the model a view of what is filled. Layers that keep anything else
than keys and values (linear attention, state spaces) stay transformers' own.
"""

from __future__ import annotations

import copy
from typing import Any, Self

from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

OWN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers that are keys and values and no more; a sliding window keeps all and is masked."""


class PreallocatedLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer, [rows, heads, capacity, width], filled up to `length`."""

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = self._room_like(key_states)
        self.values = self._room_like(value_states)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_settings: Any
    ) -> tuple[Tensor, Tensor]:
        """Put new tokens behind the old ones; returns all of them, as views.

        Raises IndexError where they do not fit.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.capacity:  # a single token would vanish into an empty slice
            raise IndexError(f"the cache holds {self.capacity} tokens, not {end}")
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity

    def rows(self, index: Tensor) -> Self:
        """A layer with the rows that an index names, in memory of its own."""
        chosen = type(self)(self.capacity)
        if self.is_initialized:
            chosen.length, chosen.is_initialized = self.length, True
            chosen.keys = self._chosen(self.keys, index)
            chosen.values = self._chosen(self.values, index)
        return chosen

    def _room_like(self, states: Tensor) -> Tensor:
        rows, heads, _, width = states.shape
        return states.new_empty((rows, heads, self.capacity, width))

    def _chosen(self, states: Tensor, index: Tensor) -> Tensor:
        rows = states.new_empty((len(index), *states.shape[1:]))
        rows[:, :, : self.length] = states[:, :, : self.length].index_select(0, index)
        return rows


def preallocated_cache(config: Any, capacity: int) -> Any:
    """A transformers Cache for a model of this config with room for `capacity` tokens a row."""
    layers = DynamicCache(config=config).layers
    return Cache(
        layers=[
            PreallocatedLayer(capacity) if type(layer) in OWN_LAYERS else layer for layer in layers
        ]
    )


def cache_rows(cache: Any, index: Tensor) -> Any:
    """A new cache with the rows that an index names, repeats allowed; the old one stays as it is.

    `repeat_interleave` of the rows spreads one prefill over n samples; the indices of unfinished
    rows drop the others.
    """
    return Cache(layers=[_layer_rows(layer, index) for layer in cache.layers])


def _layer_rows(layer: Any, index: Tensor) -> Any:
    if isinstance(layer, PreallocatedLayer):
        return layer.rows(index)
    chosen = copy.deepcopy(layer)
    chosen.reorder_cache(index)
    return chosen
