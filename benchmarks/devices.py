"""The fewest devices that hold SFT, DPO and PPO, by size of model and kind of device. Nothing is
measured: these are the plan's formulas (`heed.planning`).

    python -m benchmarks.devices --data hh-rlhf [--micro-tokens 2048] [--rows 32] [--answer 256]

Of the recipe `hh` over these data, `--rows` answers drawn side by side by a rank. Devices stand in
nodes of eight and are counted in powers of two (and servers beside them); with LoRA adapters have
rank 16, and PPO's all stand on one base.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from heed.config import load_recipe
from heed.planning.ground import Ground
from heed.planning.hardware import hardware_of
from heed.planning.layout import least
from heed.planning.look import look
from heed.planning.memory import HOLDS
from heed.planning.scale import shaped
from heed.planning.shapes import SHAPES, shape_of

NODE = 8
STAGES = ("sft", "dpo", "ppo")
DEVICES = ("h200", "h100-80", "rtx-4090")
"""A plan's memory does not tell `a100-80` from `h100-80`."""
LORA = ("sft.lora={rank: 16}", "dpo.lora={rank: 16}", "reward.lora={rank: 16}",
        "ppo.lora={rank: 16, share: true}")  # fmt: skip


def fewest(ground: Ground, device: str) -> str:
    """Devices for each of `STAGES`, or none."""
    hardware = hardware_of(device, devices=NODE)
    found = []
    for name in STAGES:
        stage = ground.recipe.stage(name)
        found.append(least(stage, HOLDS[stage.kind](ground, stage), hardware))
    return " / ".join(str(each) if each else "none" for each in found)


def table(grounds: Sequence[Ground], shapes: Sequence[str]) -> Iterator[str]:
    """A line a shape: for every device what the first ground takes, and the second."""
    yield "| | " + " | ".join(f"{device} | {device}, LoRA" for device in DEVICES) + " |"
    yield "|---|" + "---|---|" * len(DEVICES)
    for shape in shapes:
        size = shape_of(shape)
        placed = [shaped(ground, shape, size) for ground in grounds]
        cells = [fewest(ground, device) for device in DEVICES for ground in placed]
        yield f"| {shape} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a folder of HH-RLHF's transcripts")
    parser.add_argument("--micro-tokens", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=32, help="answers a rank draws at once")
    parser.add_argument("--answer", type=int, default=256, help="tokens of an answer at most")
    given = parser.parse_args()
    settings = [f"{name}.optim.micro_tokens={given.micro_tokens}" for name in STAGES]
    settings += [f"data={given.data}", f"ppo.sampling.max_new_tokens={given.answer}"]
    settings += [f"ppo.sampling.batch_size={given.rows}"]
    print(f"python -m benchmarks.devices {' '.join(sys.argv[1:])}\n")
    grounds = [look(load_recipe("hh", [*settings, *lora])) for lora in ((), LORA)]
    print("\n".join(table(grounds, [name for name in SHAPES if name.endswith("B")])))


if __name__ == "__main__":
    main()
