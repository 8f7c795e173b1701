"""Heed: reinforcement learning from human feedback, the whole loop in one tool.

    import heed

    prepared = heed.prepare("./my-model", "prefs.jsonl", method="dpo")
    run = heed.run_recipe(prepared.recipe, "runs/mine")
    print(run.policy("dpo").sample("Hello!")[0].text)

Names are loaded when they are first used, so that importing Heed takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from heed.api import OpenRun, Policy, Reward, load_policy, open_run, prepare, run_recipe
    from heed.config import load_recipe
    from heed.errors import Interrupted, UserError
    from heed.types import Comparison, Completion, Message, Prompt

_PLACES = {
    **dict.fromkeys(
        ("OpenRun", "Policy", "Reward", "load_policy", "open_run", "prepare", "run_recipe"),
        "heed.api",
    ),
    "load_recipe": "heed.config",
    **dict.fromkeys(("Interrupted", "UserError"), "heed.errors"),
    **dict.fromkeys(("Comparison", "Completion", "Message", "Prompt"), "heed.types"),
}
"""The module that each name comes from."""

__all__ = [
    "Comparison",
    "Completion",
    "Interrupted",
    "Message",
    "OpenRun",
    "Policy",
    "Prompt",
    "Reward",
    "UserError",
    "__version__",
    "load_policy",
    "load_recipe",
    "open_run",
    "prepare",
    "run_recipe",
]

if not TYPE_CHECKING:  # a type checker would take every name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module 'heed' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_PLACES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PLACES})
