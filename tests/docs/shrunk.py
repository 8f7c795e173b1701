"""How commands that take minutes as they are written are run in seconds: the recipes are shrunk.

The command line, its options and names stay as the page has them. What a recipe's stages do stays,
too; they do less of it. Here is all that is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from heed import config
from heed.recipe import STAGES

TINY = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 320,
    "tie_word_embeddings": True,
}  # fmt: skip
TRAINED = {"epochs": 1}
DRAWN = {"iterations": 2, "rollouts": 16}
STAGE: dict[str, dict[str, Any]] = {
    "records": {"corpus": 600, "demonstrations": 64},
    "pretrain": {"architecture": TINY, "epochs": 4, "batch": 32, "vocabulary": 300,
                 "optim": {"lr": 0.01}},
    "sft": TRAINED,
    "collect": {"comparisons": 48, "heldout": 32},
    "revise": {"prompts": 8},
    "reward": {**TRAINED, "calibration": 16},
    "ensemble": {**TRAINED, "calibration": 16},
    "ppo": DRAWN, "rloo": DRAWN, "grpo": DRAWN, "reinforce": DRAWN,
    "rejection": {"rounds": 1, "prompts": 8, "batch": 8},
    "reward_conditioned": {**TRAINED, "samples": 64, "batch": 16},
    "dpo": TRAINED, "kto": TRAINED,
    "weak_to_strong": TRAINED,
    "evaluate": {"samples": 8, "seen": 4, "opinions": 0},
    "overoptimisation": {"samples": 4},
}  # fmt: skip
"""Settings by the kind of a stage."""
AT_MOST = {"feedback_talk": 60, "documents": 60}
"""Settings that are cut where a recipe has more of them."""
EVERYWHERE = {"sampling": {"max_new_tokens": 20}}
EXCEPT = {"compare": ("sampling",)}
"""Settings that stay as they are, by kind: `compare` takes an evaluation's answers."""
HEAD: dict[str, dict[str, Any]] = {"": {"threads": 1}, "methods": {"seeds": 2}}
"""Settings of the whole recipe, of all and by name."""
GATES = {key: {"action": "warn"} for key in ("sign", "step", "leash")}
"""What refuses a reward that knows nothing, as one of thirty comparisons does."""


def shrunk(name: str, text: str) -> str:
    """A shipped recipe's text, so small that it runs in seconds."""
    document: dict[str, Any] = config._compose(name, text).value
    document |= {**HEAD[""], **HEAD.get(name, {})}
    document["gates"] = {**(document.get("gates") or {}), **GATES}
    for kind, holder in _stages(document):
        settings = holder[kind] = dict(holder[kind] or {})
        keep = EXCEPT.get(kind, ())
        fields = STAGES[kind].model_fields
        more = {key: settings.get(key) for key in AT_MOST if isinstance(settings.get(key), int)}
        settings |= {key: min(value, AT_MOST[key]) for key, value in more.items()}
        for key, value in {**STAGE.get(kind, {}), **EVERYWHERE}.items():
            if key in fields and key not in keep:
                given = settings.get(key)
                both = isinstance(value, dict) and isinstance(given, dict) and key == "sampling"
                settings[key] = {**given, **value} if both else value
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _stages(holder: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every stage with the mapping that holds it, those of rounds too."""
    items = [{each: {}} if isinstance(each, str) else each for each in holder.get("stages") or []]
    holder["stages"] = items
    for item in items:
        kind = next(iter(item))
        if kind == "rounds":
            yield from _stages(item[kind])
        else:
            yield kind, item


MORE: dict[str, tuple[str, ...]] = {"evaluate": ("--samples", "8")}
"""Options that are added to a command, by the words that it begins with."""
