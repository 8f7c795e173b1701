"""What the gate on leakage holds against each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from heed.recipe import Records
from heed.recipe.gates import LeakageGate
from heed.stages.admission import held_apart
from heed.types import Demonstration, Prompt

ASKED = [f"How do I make {food} at home today?" for food in ("bread", "soup", "rice", "pie")]
TRAIN, HELDOUT = (
    [Prompt.of(text, split=split) for text in texts]
    for split, texts in (("train", ASKED[:2]), ("heldout", ASKED[2:]))
)


def finding(*shown: Prompt) -> Any:
    kept = {
        "prompts": [*TRAIN, *HELDOUT],
        "demonstrations": [Demonstration(prompt, "So.") for prompt in shown],
    }
    work: Any = SimpleNamespace(records=lambda _stage, name, _kind: kept[name])
    return held_apart(work, Records(name="records"), LeakageGate())


def test_a_held_out_demonstration_is_no_training_data() -> None:
    assert not finding(*TRAIN, *HELDOUT).tripped


def test_one_that_is_trained_on_is() -> None:
    leaked = Prompt.of(HELDOUT[0].text, id="again", split="train")
    found = finding(*TRAIN, leaked)
    assert found.tripped
    assert "1 of 2" in found.says
