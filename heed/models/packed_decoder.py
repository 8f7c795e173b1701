"""A known decoder's forward over documents that stand end to end, from its live modules, with what
stands between matrix products compiled (`fused`). For training and for whatever else asks for
log-probs, values and scores; answers are drawn by `heed.sampling.decoders`.

Queries, keys and values are one product, and so are gate and up; the last layer's MLP sees only
the tokens whose hidden states are wanted.

Dims: N tokens of all documents, M tokens wanted, D hidden width, W the width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from heed.models import varlen
from heed.models.anatomy import Anatomy, Attention, Norm, Probes, anatomy, hooked, is_silu
from heed.models.device import format_of
from heed.models.linears import side_by_side
from heed.models.packing import documents_apart
from heed.ops.fused import Documents, Fused, Reach, fused
from heed.ops.shapes import lengthened, spare, spare_documents

WIDEST = 256
"""Of a head: wider ones would not stay in the caches that compiled attention is made for."""
LONGEST = 2**14
"""Tokens of a document whose keys and values, in float32, every thread holds at a time."""
AGREEMENT = 1e-4
"""How far hidden states and a gradient may lie apart, as a share of the largest, in float32."""
PROBE = (7, 3)
"""Tokens of the two documents that are tried."""
_PROBES = Probes()


@dataclass(frozen=True, eq=False)
class PackedDecoder:
    """A decoder without its head, in one format of computation."""

    anatomy: Anatomy
    steps: Fused

    def hidden(self, ids: Tensor, lengths: Sequence[int], wanted: Tensor | None = None) -> Tensor:
        """The last hidden states of documents of so many tokens, from their ids [N]: of all tokens
        [N, D], or of those at the places `wanted` [M]. Float32.
        """
        device, asked = ids.device, len(ids) if wanted is None else len(wanted)
        if more := spare(len(ids), self.steps.dtype, device):
            ids, lengths = lengthened(ids, more), [*lengths, *spare_documents(more, max(lengths))]
        if wanted is not None:
            wanted = lengthened(wanted, spare(len(wanted), self.steps.dtype, device))
        turned, straight = self._documents(lengths)
        x: Tensor = self.anatomy.embedding(ids)
        first, *_ = layers = self.anatomy.layers
        normed = self.steps.norm(x, *_weighed(first.attention_norm))
        for place, layer in enumerate(layers):
            heads = self._heads(normed, layer.attention)
            documents = turned if layer.attention.rotary else straight
            attended = self.steps.attention(heads, documents, reach(layer.attention))
            last = place + 1 == len(layers)
            if last and wanted is not None:  # tokens do not mix above
                x, attended = x.index_select(0, wanted), attended.index_select(0, wanted)
            mixed = self._cast(_projected([layer.attention.output], attended))
            x, normed = self.steps.add_norm(x, mixed, *_weighed(layer.mlp_norm))
            assert layer.mlp.gate is not None
            inner = self.steps.gated(self._cast(_projected([layer.mlp.gate, layer.mlp.up], normed)))
            delta = self._cast(_projected([layer.mlp.down], inner))
            if last:
                break
            x, normed = self.steps.add_norm(x, delta, *_weighed(layers[place + 1].attention_norm))
        weight, epsilon = _weighed(self.anatomy.norm)
        # In float32 whatever the products' format: heads of values and scores want it whole.
        exact = fused(torch.float32, device)
        assert exact is not None
        return exact.norm((x + delta)[:asked], weight, epsilon)

    def _heads(self, normed: Tensor, attention: Attention) -> Tensor:
        """Queries, keys and values [N, H + 2 K, W]."""
        flat = self._cast(_projected(attention.projections, normed))
        heads = flat.view(len(flat), -1, attention.width)
        if attention.query_norm is None or attention.key_norm is None:
            return heads
        sizes = [attention.heads, attention.key_heads, attention.key_heads]
        query, key, value = heads.split(sizes, dim=1)
        query = self.steps.norm(query.float(), *_weighed(attention.query_norm))
        key = self.steps.norm(key.float(), *_weighed(attention.key_norm))
        return torch.cat((query, key, value), dim=1)

    def _cast(self, x: Tensor) -> Tensor:
        return x if x.dtype == self.steps.dtype else x.to(self.steps.dtype)

    def _documents(self, lengths: Sequence[int]) -> tuple[Documents, Documents]:
        """With rotary positions, and without."""
        table = self.anatomy.rotary_table(max(lengths))
        return Documents.of(lengths, table), Documents.of(lengths)


def packed_decoder(module: Any) -> PackedDecoder | None:
    """How a model's documents are computed here; None: through its own forward only, because there
    is no compiler, its anatomy is another, somebody hooked into its forward, or a probe of its
    hidden states or of a gradient came out differently.
    """
    steps = _format(module)
    found = None if steps is None else anatomy(module)
    if found is None or not _known(found) or hooked(found.backbone) or _drops(found.backbone):
        return None
    assert steps is not None
    agrees = _PROBES.ask(module, module, lambda: _agrees(found))
    return PackedDecoder(found, steps) if agrees else None


def _format(module: nn.Module) -> Fused | None:
    """The compiled steps in the format that a forward would compute in now."""
    weight = next(module.parameters(), None)
    if weight is None or weight.dtype != torch.float32:
        return None
    return fused(format_of(weight.device, weight.dtype), weight.device)


def _known(found: Anatomy) -> bool:
    """Whether every layer is made of what is compiled."""
    return found.positions is None and all(
        layer.mlp.gate is not None
        and is_silu(layer.mlp.activation)
        and layer.attention.width <= WIDEST
        and all(norm.root_mean_square for norm in (layer.attention_norm, layer.mlp_norm))
        for layer in found.layers
    )


def _drops(backbone: nn.Module) -> bool:
    """Whether its own forward would drop weights of attention, or compute layers twice."""
    names = ("attention_dropout", "gradient_checkpointing")
    return any(
        part.training and any(getattr(part, name, False) for name in names)
        for part in backbone.modules()
    )


def reach(attention: Attention) -> Reach:
    """What the queries of a layer see, for compiled attention."""
    return Reach(attention.heads, attention.key_heads, attention.scale, attention.window)


def _weighed(norm: Norm) -> tuple[Tensor, float]:
    module: Any = norm.module
    return module.weight, norm.epsilon


def _projected(modules: Sequence[Any], x: Tensor) -> Tensor:
    """Linear layers side by side, as one product where they are nothing else."""
    if any(type(module) is not nn.Linear for module in modules):
        return torch.cat([module(x) for module in modules], dim=-1)
    return linear(x, *side_by_side([(module.weight, module.bias) for module in modules]))


def _agrees(found: Anatomy) -> bool:
    """Whether both ways give the same hidden states and the same gradient of the first norm's
    weight, through which all layers pull, on two documents.
    """
    weight, _ = _weighed(found.layers[0].attention_norm)
    exact = fused(torch.float32, weight.device)
    if exact is None:
        return False
    longest = max(PROBE[0], *(min(64, (layer.attention.window or 0) + 2) for layer in found.layers))
    lengths = [longest, PROBE[1]]
    ids = (7 * torch.arange(sum(lengths)) + 1) % len(found.embedding.weight)
    wanted = torch.arange(1, sum(lengths), 2)
    trains = weight.requires_grad
    with torch.autocast("cpu", enabled=False), torch.enable_grad():
        try:
            weight.requires_grad_(True)
            theirs = _pulled(_plainly(found.backbone, ids, lengths)[wanted], weight)
            ours = _pulled(PackedDecoder(found, exact).hidden(ids, lengths, wanted), weight)
        except RuntimeError:  # shapes that do not fit: another maths than we think
            return False
        finally:
            weight.requires_grad_(trains)
    return all(
        bool(((one - other).abs() <= AGREEMENT * other.abs().max()).all())
        for one, other in zip(ours, theirs, strict=True)
    )


def _plainly(backbone: Any, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    positions = torch.cat([torch.arange(length) for length in lengths])
    with documents_apart(backbone):
        hidden: Tensor = backbone(
            input_ids=ids[None],
            position_ids=positions[None],
            documents=varlen.Documents(lengths, ids.device),
            use_cache=False,
        ).last_hidden_state[0]
    return hidden


def _pulled(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states, and the gradient of a sum in which every one of them counts otherwise."""
    count = torch.arange(hidden.numel(), dtype=hidden.dtype).sin().view_as(hidden)
    (gradient,) = torch.autograd.grad((hidden * count).sum(), weight)
    return hidden.detach(), gradient
