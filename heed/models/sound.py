"""Whether loaded weights can be worked with: all there, of the right shapes, numbers, and a row of
the embedding for every token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from heed.errors import UserError


def check_weights(
    model: Any, info: Mapping[str, Any], source: str | Path, allowed: Callable[[Any, str], bool]
) -> None:
    """`info` is what transformers says of loading, `allowed` which weights may be fresh.

    Raises UserError where weights are missing, have other shapes than config.json says, or hold
    NaN or infinities.
    """
    kind = type(model).__name__
    shapes = {key: shapes for key, *shapes in info["mismatched_keys"]}
    wrong = sorted(key for key in shapes if not allowed(model, key))
    if wrong:
        there, wanted = (tuple(shape) for shape in shapes[wrong[0]])
        raise UserError(
            f"{source}: {len(wrong)} weights have other shapes than config.json says, "
            f"{wrong[0]} first: {there} in the file, {wanted} by config.json. One of the two "
            "belongs to another model; save both anew with save_pretrained."
        )
    missing = sorted(key for key in info["missing_keys"] if not allowed(model, key))
    if missing:
        raise UserError(
            f"{source}: the weights of {kind} are not all there; {len(missing)} missing, "
            f"{missing[0]} first. Was it saved as another kind of model?"
        )
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise UserError(no_numbers(source, broken))


def no_numbers(source: str | Path, broken: Sequence[str]) -> str:
    """What to say of weights that hold NaN or infinities."""
    return (
        f"{source}: {len(broken)} of its weights hold NaN or infinities, {broken[0]} first. "
        "Its training failed, or the file is damaged: take an earlier checkpoint."
    )


def check_vocabulary(model: Any, tokenizer: Any, source: str | Path) -> None:
    """Raise UserError where the tokenizer has an id that the embedding has no row for."""
    try:
        rows = model.get_input_embeddings().weight.shape[0]
    except NotImplementedError:  # CANINE has none: it reads characters
        return
    token, last = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if last >= rows:
        raise UserError(
            f"{source}: the tokenizer is larger than the model's embedding: it has ids up to "
            f"{last} ({token!r}), {last + 1} tokens, and the embedding has {rows} rows. Take the "
            "tokenizer that belongs to the model, or add rows with "
            "model.resize_token_embeddings(len(tokenizer)) and save both."
        )


def check_same_tokens(ours: Any, theirs: Any, who: str, other: str) -> None:
    """Raise UserError where a token of `ours` is another one, or none, for `theirs`: ids that one
    model wrote would be read by another in its own way.
    """
    mine, known = ours.get_vocab(), theirs.get_vocab()
    unlike = [token for token, number in mine.items() if known.get(token) != number]
    if unlike:
        raise UserError(
            f"{who} and {other} have different vocabularies ({len(mine)} and {len(known)} tokens; "
            f"{len(unlike)} of the first are not the same in the second, {unlike[0]!r} first), so "
            f"the ids of the one mean nothing to the other. Start both from the same model, or use "
            "a method without a value model (rloo, grpo, reinforce)."
        )
