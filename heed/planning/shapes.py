"""Models by a name of their size, as their public configurations say, and their exact parameters.

1M and 25M are Heed's own (`heed/recipe/training.py`, benchmarks); 0.5B, 1.5B and 7B are Qwen2.5
(Yang et al. 2024, arXiv:2412.15115, table 1), 13B is Llama 2 (Touvron et al. 2023,
arXiv:2307.09288), 70B is Llama 3 (Grattafiori et al. 2024, arXiv:2407.21783, table 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heed.errors import UserError
from heed.planning.sizes import Size, of_model, size_of


def _shape(
    kind: str, hidden: int, layers: int, heads: int, kv: int, inner: int, words: int, *, tied: bool
) -> Mapping[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner,
        "vocab_size": words,
        "tie_word_embeddings": tied,
    }


SHAPES: Mapping[str, Mapping[str, Any]] = {
    "1M": _shape("llama", 128, 4, 4, 4, 384, 1024, tied=True),
    "25M": _shape("llama", 512, 8, 8, 8, 1024, 8192, tied=True),
    "0.5B": _shape("qwen2", 896, 24, 14, 2, 4864, 151936, tied=True),
    "1.5B": _shape("qwen2", 1536, 28, 12, 2, 8960, 151936, tied=True),
    "7B": _shape("qwen2", 3584, 28, 28, 4, 18944, 152064, tied=False),
    "13B": _shape("llama", 5120, 40, 40, 40, 13824, 32000, tied=False),
    "70B": _shape("llama", 8192, 80, 64, 8, 28672, 128256, tied=False),
}
"""transformers' configurations by the name that `--shape` takes."""


def shape_of(name: str) -> Size:
    """The size by a shape's name, or of a model's directory or one on the hub.

    Raises UserError where there is neither.
    """
    if name in SHAPES:
        return size_of(SHAPES[name])
    if not Path(name).exists() and "/" not in name:
        raise UserError(
            f"--shape {name}: there is no shape of that name ({', '.join(SHAPES)}), and no "
            "directory of a model."
        )
    return of_model(name)


def parameters(config: Mapping[str, Any]) -> int:
    """All parameters of a Llama or Qwen2, exactly: matrices, two norms a layer and one at the end,
    and Qwen2's biases of queries, keys and values.
    """
    size = size_of(config)
    norms = (2 * size.layers + 1) * size.hidden
    biased = config["model_type"] == "qwen2"
    biases = size.layers * (size.attention + 2 * size.kv) if biased else 0
    return size.weights + norms + biases
