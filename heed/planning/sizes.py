"""How large a model is, by its configuration alone: no weight is loaded.

Dense decoders and encoders as transformers configures them. A layer has four matrices of attention
(with grouped queries, keys and values are narrower) and two or three of its feed-forward part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heed.errors import UserError

ENCODERS = frozenset({
    "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "deberta",
    "deberta-v2",
})  # fmt: skip
"""Encoders of BERT's kind."""
PLAIN = ENCODERS | frozenset(
    {"gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "phi", "falcon", "bloom"}
)
"""Model types whose feed-forward part has two matrices; the others gate theirs and have three."""
POSITIONS = ENCODERS | frozenset({"gpt2", "gpt_neo", "opt"})
"""Model types that learn an embedding a position."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
ADAPTER = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Size:
    """A model's dimensions. `attention` is the width of all queries, `kv` of all keys."""

    hidden: int
    layers: int
    heads: int
    attention: int
    kv: int
    mlp: int
    mlp_matrices: int
    vocabulary: int
    positions: int
    tied: bool

    @property
    def backbone(self) -> int:
        """Weights that every token is multiplied with: all matrices but the head."""
        attention = 2 * self.hidden * (self.attention + self.kv)
        return self.layers * (attention + self.mlp_matrices * self.hidden * self.mlp)

    @property
    def head(self) -> int:
        """Weights of the head, which is asked where logits are wanted."""
        return self.hidden * self.vocabulary

    @property
    def weights(self) -> int:
        """All weights that are kept, less norms and biases (below 1% together)."""
        embeddings = self.head * (1 if self.tied else 2) + self.positions * self.hidden
        return self.backbone + embeddings

    @property
    def headless(self) -> Size:
        """The same without a head of the vocabulary: what scores or values."""
        return replace(self, tied=True)

    def adapter(self, rank: int) -> int:
        """Weights of a LoRA adapter on all matrices but the head: rank (in + out) a matrix."""
        attention = 4 * self.hidden + 2 * (self.attention + self.kv)
        mlp = self.mlp_matrices * (self.hidden + self.mlp)
        return self.layers * rank * (attention + mlp)


def size_of(config: Mapping[str, Any], vocabulary: int | None = None) -> Size:
    """The size by a transformers configuration with its defaults filled in.

    `vocabulary` stands for one that the configuration does not know yet.

    Raises UserError for a mixture of experts, and where a dimension is missing.
    """
    kind = str(config.get("model_type"))
    if any((config.get(name) or 0) > 1 for name in EXPERTS):
        raise UserError(
            f"{kind}: a mixture of experts cannot be planned by these formulas, which are of dense "
            "models. heed run does without a plan."
        )
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        layers = int(config["num_hidden_layers"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"The configuration of a {kind} says no {error.args[0]}, so its size is not known. "
            "heed run does without a plan."
        ) from error
    width = int(config.get("head_dim") or hidden // heads)
    return Size(
        hidden=hidden,
        layers=layers,
        heads=heads,
        attention=heads * width,
        kv=int(config.get("num_key_value_heads") or heads) * width,
        mlp=int(
            config.get("intermediate_size")
            or config.get("ffn_dim")
            or config.get("hidden_dim")
            or 4 * hidden
        ),
        mlp_matrices=2 if kind in PLAIN else 3,
        vocabulary=vocabulary or int(config["vocab_size"]),
        positions=int(config.get("max_position_embeddings") or 0) if kind in POSITIONS else 0,
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def of_architecture(architecture: Mapping[str, Any], vocabulary: int) -> Size:
    """The size of a new model by the settings of a `pretrain` stage."""
    from transformers import AutoConfig

    settings = dict(architecture)
    kind = settings.pop("model_type", None)
    try:
        return size_of(_filled(AutoConfig.for_model(kind, **settings)), vocabulary)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"There is no model_type {kind!r} of these sizes: {error}.") from error


def of_model(source: str) -> Size:
    """The size of a model in a directory (of an adapter: its base), or of one on the hub.

    Raises UserError where its configuration cannot be read.
    """
    return size_of(_configuration(source))


def longest(source: str) -> int | None:
    """Tokens of the longest text that a model reads; None where its configuration sets no limit."""
    found = _configuration(source)["max_position_embeddings"]
    return int(found) if found else None


def _configuration(source: str) -> dict[str, Any]:
    """A model's configuration; of an adapter, its base's."""
    from transformers import AutoConfig

    adapter = Path(source) / ADAPTER
    if adapter.exists() and not (Path(source) / "config.json").exists():
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        return _configuration(str(base))
    here = Path(source).exists() or source.startswith(("/", ".", "~")) or source.count("/") > 1
    if here and not (Path(source) / "config.json").is_file():
        raise UserError(f"{source} is no model directory: it has no config.json.")
    try:
        return _filled(AutoConfig.from_pretrained(source, trust_remote_code=False))
    except (OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())
        where = "" if Path(source).exists() else f"There is no directory {source!r} here. "
        raise UserError(f"{where}The configuration of {source!r} cannot be read: {said}") from error


def of_backbone(source: str) -> Size:
    """The size of a model without a head of its vocabulary: what a reward model starts from. The
    few layers of an encoder's own head are left out.

    Raises UserError as `of_model` does.
    """
    return of_model(source).headless


def _filled(config: Any) -> dict[str, Any]:
    """A configuration's own values and defaults, under the names that all kinds share."""
    text = config.get_text_config()
    names = (
        "hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
        "head_dim", "intermediate_size", "ffn_dim", "hidden_dim", "vocab_size",
        "max_position_embeddings", "tie_word_embeddings", *EXPERTS,
    )  # fmt: skip
    found = {name: getattr(text, name, None) for name in names}
    return {**found, "model_type": text.model_type}
