"""The training-side forward: log-probs of completions, hidden states at every token.

Dims: B rows, T tokens, D hidden width, V vocabulary, N completion tokens of the batch. The logits
that predict token t stand at position t - 1; the shift happens here and nowhere else.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from heed.models.anatomy import causal_lm
from heed.models.device import format_of
from heed.models.entering import within
from heed.models.packed_decoder import LONGEST, packed_decoder
from heed.models.packing import documents_apart, packs
from heed.models.varlen import Documents
from heed.models.work import count_head, count_pass
from heed.ops.batch import Packed, Padded, Sequences
from heed.ops.logprobs import logprobs_from_logits, token_logprobs
from heed.ops.shapes import lengthened, spare, spare_documents

HIDDEN = "last_hidden_state"
_PLAIN_HEADS: WeakKeyDictionary[nn.Linear, bool] = WeakKeyDictionary()


def completion_logprobs(
    model: nn.Module, sequences: Sequences, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probs of the target tokens and the entropy at each, both [B, T], in nats.

    The logits are divided by `temperature` first. Zero outside `target`; float32 at least. Only
    positions that predict a target reach the head, a chunk of the vocabulary at a time; a model
    that does more to its logits than a linear layer (soft caps, scales) is asked for its logits.

    Raises ValueError where a row's first token is a target: nothing predicts it.
    """
    if bool(sequences.target[:, 0].any()):
        raise ValueError("the first token of a row cannot be a target: nothing predicts it")
    inner = causal_lm(model)
    predicts = pad(sequences.target[:, 1:], (0, 1))  # position t predicts token t + 1
    targets = sequences.ids[sequences.target]
    if has_plain_head(model):

        def from_hidden() -> tuple[Tensor, Tensor]:
            hidden = _at(inner.base_model, sequences, HIDDEN, predicts)
            head = inner.get_output_embeddings()
            count_head(head.weight, len(targets))
            return token_logprobs(hidden, head.weight, head.bias, targets, temperature=temperature)

        logprobs, entropy = within(model, from_hidden)
    else:
        logits = _at(model, sequences, "logits", predicts)
        logprobs, entropy = logprobs_from_logits(logits, targets, temperature)
    zeros = torch.zeros(sequences.ids.shape, dtype=logprobs.dtype, device=logprobs.device)
    return zeros.masked_scatter(sequences.target, logprobs), zeros.masked_scatter(
        sequences.target, entropy
    )


def hidden_states(backbone: nn.Module, sequences: Sequences) -> Tensor:
    """The backbone's last hidden states, [B, T, D]; those of padding mean nothing."""
    output, packed = _forward(backbone, sequences, HIDDEN)
    if not packed:
        return output
    spread = output.new_zeros((*sequences.mask.shape, output.shape[-1]))
    return spread.masked_scatter(sequences.mask[..., None], output)


def hidden_states_at(backbone: nn.Module, sequences: Sequences, places: Tensor) -> Tensor:
    """The last hidden states at the tokens that `places` [B, T] marks, row by row, [N, D]."""
    return _at(backbone, sequences, HIDDEN, places)


def _at(module: nn.Module, sequences: Sequences, name: str, places: Tensor) -> Tensor:
    """The output `name` at the real tokens that `places` [B, T] marks, row by row, [N, ...]."""
    if name == HIDDEN and _together(module, sequences):
        lengths = sequences.cost().tolist()
        decoder = packed_decoder(module) if max(lengths) <= LONGEST else None
        if decoder is not None:
            count_pass(module, sequences.mask.sum())
            mask = sequences.mask
            return decoder.hidden(sequences.ids[mask], lengths, places[mask].nonzero()[:, 0])
    output, packed = _forward(module, sequences, name)
    return output[places[sequences.mask] if packed else places]


def _forward(module: nn.Module, sequences: Sequences, name: str) -> tuple[Tensor, bool]:
    """The output `name` of a model, and whether it is packed: of the real tokens end to end,
    [N, ...], in place of [B, T, ...].
    """
    count_pass(module, sequences.mask.sum())
    if not _together(module, sequences):
        return module(**_inputs(sequences), use_cache=False)[name], False
    mask, lengths = sequences.mask, sequences.cost().tolist()
    count, weight = sum(lengths), next(module.parameters())
    if more := spare(count, format_of(weight.device, weight.dtype), weight.device):
        lengths += spare_documents(more, max(lengths))
    with documents_apart(module):
        flat: Tensor = module(
            input_ids=lengthened(sequences.ids[mask], more)[None],
            position_ids=lengthened(sequences.positions[mask], more)[None],
            documents=Documents(lengths, mask.device),
            use_cache=False,
        )[name][0]
    return flat[:count], True


def _together(module: nn.Module, sequences: Sequences) -> bool:
    """Whether the rows go through end to end: asked for by name, or where it saves padding."""
    if isinstance(sequences, (Packed, Padded)):
        return isinstance(sequences, Packed)
    return packs(module) and not bool(sequences.mask.all())


def _inputs(sequences: Sequences) -> dict[str, Tensor]:
    """What a forward needs; a batch without padding needs no mask and no positions, and attention
    is faster without.
    """
    if bool(sequences.mask.all()):
        return {"input_ids": sequences.ids}
    return {
        "input_ids": sequences.ids,
        "attention_mask": sequences.mask.long(),
        "position_ids": sequences.positions,
    }


def has_plain_head(model: nn.Module) -> bool:
    """Whether the model's logits are its linear head applied to the last hidden states, no more.

    Found out once a model, by a forward of two tokens whose head output is replaced with large
    known numbers: what the head is given must be the backbone's output, and what comes out of the
    model must be those numbers. (Comparing logits would miss a soft cap on a fresh model, whose
    logits are too small to be bent.) A head that carries an adapter is not plain.
    """
    inner = causal_lm(model)
    head = inner.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return False
    if head not in _PLAIN_HEADS:
        _PLAIN_HEADS[head] = _probe_head(inner, head)
    return _PLAIN_HEADS[head]


def _probe_head(model: Any, head: nn.Linear) -> bool:
    weight = head.weight
    known = torch.linspace(-100.0, 100.0, weight.shape[0]).to(weight)
    seen: dict[str, Tensor] = {}

    def after_backbone(_module: nn.Module, _args: Any, output: Any) -> None:
        seen["hidden"] = output[0]

    def after_head(_module: nn.Module, args: Any, output: Tensor) -> Tensor:
        seen["head_input"] = args[0]
        return known.expand_as(output)

    hooks = [
        model.base_model.register_forward_hook(after_backbone),
        head.register_forward_hook(after_head),
    ]
    ids = torch.zeros((1, 2), dtype=torch.long, device=weight.device)
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    if seen.keys() != {"hidden", "head_input"}:
        return False
    same_input = torch.equal(seen["hidden"], seen["head_input"])
    return same_input and torch.equal(logits.to(known), known.expand_as(logits))
