"""What supervised fine-tuning trains on, and what it is measured on."""

from __future__ import annotations

from heed.stages.sft import EVERY, _split
from heed.types import Demonstration, Prompt, Split


def items(count: int, split: Split) -> list[Demonstration]:
    return [Demonstration(Prompt.of(f"{split} {i}", split=split), "yes") for i in range(count)]


def test_held_out_prompts_are_measured_on() -> None:
    train, heldout = items(5, "train"), items(2, "heldout")
    assert _split([*train[:2], *heldout, *train[2:]]) == (train, heldout)


def test_without_any_every_so_many_th_is_set_aside() -> None:
    everything = items(2 * EVERY + 1, "train")
    kept, measured = _split(everything)
    assert measured == [everything[0], everything[EVERY], everything[2 * EVERY]]
    assert len(kept) + len(measured) == len(everything)
    assert not set(kept) & set(measured)
