"""A known decoder's forward for sampling, by torch: a cache in slots, one row a slot, each at its
own place. It is for every device; on a CPU `compiled_decoder` is faster where it can be had.

Dims: S slots, R rows in the first R of them, H query heads, K key heads, G = H / K, W the width of
a head, C the capacity of a slot, T tokens. A row's tokens stand from the left of its slot, so rows
of any length are side by side, and what lies behind a row's own length is masked and overwritten.

On a GPU nothing here waits for the device: how long rows are is known to both sides, and steps of
few shapes are recorded and replayed (`graphs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from heed.models.anatomy import Anatomy, Attention
from heed.ops.shapes import rounded
from heed.sampling.graphs import Bucket, recordings
from heed.sampling.weights import LayerWeights, Weights


@dataclass(frozen=True)
class Prefilled:
    """Prompts that were run through a decoder: what it keeps of every layer, logits [P, V] of the
    next token, and P lengths.
    """

    layers: Sequence[tuple[Tensor, ...]]
    logits: Tensor
    lengths: Sequence[int]


class LeanDecoder:
    """The decoder, with a cache of `slots` rows of `capacity` tokens."""

    def __init__(self, anatomy: Anatomy, weights: Weights, slots: int, capacity: int) -> None:
        self.anatomy = anatomy
        self.weights = weights
        self.capacity = capacity
        self.device = anatomy.embedding.weight.device
        self.lengths = torch.zeros(slots, dtype=torch.long, device=self.device)
        self._known = [0] * slots  # the same, but for free slots
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        for layer in anatomy.layers:
            heads, width = layer.attention.key_heads, layer.attention.width
            # Keys stand transposed: the product with one query is fastest that way.
            self.keys.append(self._room(slots, heads, width, capacity))
            self.values.append(self._room(slots, heads, capacity, width))
        nothing = torch.empty(0), torch.empty(0)
        self._cosines, self._sines = anatomy.rotary_table(capacity) or nothing
        self.recordings = recordings(anatomy.backbone, self.device)
        if self.recordings is not None:
            self._tokens = torch.zeros_like(self.lengths)
            self._next = self._room(slots, len(_weight(anatomy.head)))

    def _room(self, *shape: int) -> Tensor:
        # Zeros, not whatever was there: a masked NaN is still a NaN.
        return torch.zeros(shape, dtype=self.weights.dtype, device=self.device)

    def prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        """Run P prompts through the model: their tokens end to end, but for attention, where they
        stand side by side from the left. Behind a prompt's end stands nothing that it could see, so
        that the causal mask is enough. Keys and values are kept, [P, K, T, W].
        """
        with in_own_format(self.device):
            return self._prefill(prompt_ids)

    def _prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        lengths = torch.tensor([len(ids) for ids in prompt_ids])
        columns = torch.arange(int(lengths.max()))
        real = columns < lengths[:, None]
        shape, cells = real.shape, self._sent(real.flatten().nonzero().squeeze(1))
        flat = self._sent(torch.tensor([token for ids in prompt_ids for token in ids]))
        at = self._sent(columns.expand(len(prompt_ids), -1)[real])
        last = self._sent(lengths.cumsum(0) - 1)
        x = embedded(self.anatomy, flat, at)
        kept = []
        for place, (layer, weights) in enumerate(
            zip(self.anatomy.layers, self.weights.layers, strict=True)
        ):
            heads = self._heads(weights.attention_norm(x)[None], layer.attention, weights, at[None])
            query, key, value = (_spread(part[0], cells, *shape) for part in heads)
            attended = causal(query, key, value, layer.attention).flatten(0, 1)[cells]
            if place + 1 == len(self.anatomy.layers):  # above it only the next token matters
                x, attended = x[last], attended[last]
            x = finished(x, attended, weights)
            kept.append((key, value))
        return Prefilled(kept, self._logits(x), lengths.tolist())

    def admit(self, prefilled: Prefilled, index: Sequence[int], first: int) -> Tensor:
        """Put prefilled prompts, an `index` with repeats of N, into slots from `first` on; their
        logits [N, V].
        """
        width, places = max(prefilled.lengths), self._sent(torch.tensor(index))
        slots = slice(first, first + len(index))
        for place, (key, value) in enumerate(prefilled.layers):
            self.keys[place][slots, :, :, :width] = key[places].transpose(2, 3)
            self.values[place][slots, :, :width] = value[places]
        self._known[slots] = [prefilled.lengths[at] for at in index]
        self.lengths[slots] = self._sent(torch.tensor(self._known[slots]))
        return prefilled.logits[places]

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy N rows from some slots to as many others."""
        width = max(self._known[source] for source in sources)
        for source, target in zip(sources, targets, strict=True):
            self._known[target] = self._known[source]
        of, to = (self._sent(torch.tensor(slots)) for slots in (sources, targets))
        for keys in self.keys:
            keys[to, :, :, :width] = keys[of, :, :, :width]
        for values in self.values:
            values[to, :, :width] = values[of, :, :width]
        self.lengths[to] = self.lengths[of]

    def _sent(self, numbers: Tensor) -> Tensor:
        """Numbers on the device, without waiting for it."""
        return numbers.to(self.device, non_blocking=True)

    def step(self, tokens: Tensor) -> Tensor:
        """Put tokens [R] behind the first R rows; logits [R, V] of the next ones, which hold until
        the next step.
        """
        going = len(tokens)
        with in_own_format(self.device):
            logits = self._step(tokens) if self.recordings is None else self._recorded(tokens)
        self.lengths[:going] += 1
        self._known[:going] = [length + 1 for length in self._known[:going]]
        return logits[:going]

    def _step(self, tokens: Tensor) -> Tensor:
        going = len(tokens)
        rows = min(rounded(going), len(self.lengths))
        self.lengths[going:rows] = 0  # free slots that are computed along, from their start
        known = self._known[:going] + [0] * (rows - going)
        view = _View(self.lengths[:rows], max(known), level=min(known) == max(known))
        return self._computed(pad(tokens, (0, rows - going)), view)

    def _recorded(self, tokens: Tensor) -> Tensor:
        """The same for a bucket of shapes, out of buffers and into one."""
        assert self.recordings is not None
        if not self.recordings.good:
            self.recordings = None
            return self._step(tokens)
        going = len(tokens)
        longest = max(self._known[:going]) + 1
        bucket = Bucket.of(going, longest, len(self.lengths), self.capacity)
        self._tokens[:going] = tokens
        self.lengths[going : bucket.rows] = 0
        return self.recordings.run(bucket, lambda: self._bucket(bucket))

    def _bucket(self, bucket: Bucket) -> Tensor:
        at = self.lengths[: bucket.rows]
        view = _View(at, bucket.columns - 1, level=False)
        logits = self._computed(self._tokens[: bucket.rows], view)
        return self._next[: bucket.rows].copy_(logits)

    def _computed(self, tokens: Tensor, view: _View) -> Tensor:
        """Logits [R, V] behind tokens [R] of the first R rows."""
        x = embedded(self.anatomy, tokens, view.at)
        for place, (layer, weights) in enumerate(
            zip(self.anatomy.layers, self.weights.layers, strict=True)
        ):
            normed = weights.attention_norm(x)
            attended = self._attention(normed, layer.attention, weights, place, view)
            x = finished(x, attended, weights)
        return self._logits(x)

    def _attention(
        self, x: Tensor, attention: Attention, weights: LayerWeights, place: int, view: _View
    ) -> Tensor:
        """One token a row, [R, D] -> [R, H * W]."""
        query, key, value = self._heads(x[:, None], attention, weights, view.at[:, None])
        keys, values = self.keys[place][: len(x)], self.values[place][: len(x)]
        view.put(keys, values, key, value)
        return view.attended(query, keys, values, attention)

    def _heads(
        self, x: Tensor, attention: Attention, weights: LayerWeights, at: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, W], keys and values [B, K, T, W] of normed rows [B, T, D] at [B, T]."""
        batch, time = x.shape[:2]
        all_heads = weights.projections(x).view(batch, time, -1, attention.width)
        sizes = [attention.heads, attention.key_heads, attention.key_heads]
        if weights.head_norms is None and attention.rotary:
            turned = self._turned(all_heads[:, :, : sum(sizes[:2])], at)
            query, key = turned.split(sizes[:2], dim=2)
            value = all_heads[:, :, sum(sizes[:2]) :]
        else:
            query, key, value = all_heads.split(sizes, dim=2)
            if weights.head_norms is not None:
                query, key = weights.head_norms[0](query), weights.head_norms[1](key)
            if attention.rotary:
                query, key = self._turned(query, at), self._turned(key, at)
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)

    def _turned(self, x: Tensor, at: Tensor) -> Tensor:
        """Heads [B, T, N, W] turned by their positions [B, T]."""
        return turn(x, self._cosines[at], self._sines[at])

    def _logits(self, x: Tensor) -> Tensor:
        return self.weights.head(self.weights.norm(x))


def in_own_format(device: torch.device) -> torch.autocast:
    """Without autocast: the weights are cast already, and the rest is to stay as it is."""
    return torch.autocast(device.type, enabled=False)


def embedded(anatomy: Anatomy, ids: Tensor, at: Tensor) -> Tensor:
    """The residual stream [..., D] of ids [...] at places [...], in float32 whatever the format of
    computation.
    """
    x: Tensor = anatomy.embedding(ids).float()
    if anatomy.positions is not None:
        x = x + anatomy.positions(at).float()
    return x


def finished(x: Tensor, attended: Tensor, weights: LayerWeights) -> Tensor:
    """The residual stream behind a layer, from what its attention gave; x is reused."""
    x = x.add_(weights.output(attended))
    inner = weights.activation(weights.up(weights.mlp_norm(x)))
    return x.add_(weights.down(inner))


def turn(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Heads [B, T, N, W] turned by cosines and sines [B, T, W], these with rotate_half's sign."""
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1)
    found: Tensor = (x * cosines[:, :, None]).addcmul_(swapped, sines[:, :, None])
    return found.to(x.dtype)


def _weight(head: Any) -> Tensor:
    weight: Tensor = head.weight
    return weight


def _spread(flat: Tensor, cells: Tensor, prompts: int, time: int) -> Tensor:
    """Heads [K, N, W] of tokens that stand end to end, as [P, K, T, W] with zeros behind each: at
    the cells [N] of P times T.
    """
    spread = flat.new_zeros((prompts * time, flat.shape[0], flat.shape[2]))
    spread[cells] = flat.transpose(0, 1)
    return spread.view(prompts, time, *spread.shape[1:]).transpose(1, 2)


def causal(query: Tensor, key: Tensor, value: Tensor, attention: Attention) -> Tensor:
    """Causal attention [B, H, T, W] -> [B, T, H * W]."""
    time = query.shape[2]
    mask = None
    if attention.window is not None and attention.window < time:
        ones = torch.ones((time, time), dtype=torch.bool, device=query.device)
        mask = ones.tril() & ~ones.tril(-attention.window)
    attended = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=attention.scale,
        enable_gqa=attention.heads != attention.key_heads,
    )
    return attended.transpose(1, 2).flatten(2)


class _View:
    """What rows see of the cache at one step, one token a row: columns up to `last`, which is the
    place of all of them where they are `level`.
    """

    def __init__(self, at: Tensor, last: int, *, level: bool) -> None:
        self.at = at
        self.rows = torch.arange(len(at), device=at.device)
        self.last = last
        self.level = level
        self._masks: dict[tuple[int, int, int | None], Tensor] = {}

    def put(self, keys: Tensor, values: Tensor, key: Tensor, value: Tensor) -> None:
        """Write keys and values [R, K, 1, W] of the new tokens at their places."""
        if self.level:
            keys[:, :, :, self.last] = key[:, :, 0]
            values[:, :, self.last] = value[:, :, 0]
        else:
            keys[self.rows, :, :, self.at] = key[:, :, 0].to(keys.dtype)
            values[self.rows, :, self.at] = value[:, :, 0].to(values.dtype)

    def attended(self, query: Tensor, keys: Tensor, values: Tensor, attention: Attention) -> Tensor:
        """Attention of one query a row: [R, H, 1, W] -> [R, H * W].

        By matrix products: at query length one torch's fused attention is 3 to 5 times slower.
        """
        rows, heads, width = len(query), attention.key_heads, attention.width
        group = attention.heads // heads
        seen = self.last + 1
        flat = query.reshape(rows * heads, group, width)
        keys = keys.flatten(0, 1)[:, :, :seen]
        mask = self._mask(heads, group, attention.window, query.dtype)
        if mask is None:
            scores = torch.bmm(flat, keys).mul_(attention.scale)
        else:
            scores = torch.baddbmm(mask, flat, keys, alpha=attention.scale)
        shares = scores.softmax(dim=-1)
        return torch.bmm(shares, values.flatten(0, 1)[:, :seen]).view(rows, -1)

    def _mask(
        self, heads: int, group: int, window: int | None, dtype: torch.dtype
    ) -> Tensor | None:
        """0 where a row sees a column and -inf elsewhere, [R * K, G, seen]; None if all see all."""
        reaches = window is None or window > self.last
        if self.level and reaches:
            return None
        known = (heads, group, None if reaches else window)
        if known not in self._masks:
            columns = torch.arange(self.last + 1, device=self.at.device)
            hidden = columns > self.at[:, None]
            if window is not None and not reaches:
                hidden |= columns <= self.at[:, None] - window
            bias = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
            bias.masked_fill_(hidden, -torch.inf)
            spread = bias[:, None, None].expand(-1, heads, group, -1)
            self._masks[known] = spread.reshape(-1, group, self.last + 1)
        return self._masks[known]
