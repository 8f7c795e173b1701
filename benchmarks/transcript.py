"""From an empty environment to an aligned model: every command and what it said, as Markdown.

    python benchmarks/transcript.py MODEL PREFS --out docs/transcript.md [--work DIR]

MODEL is a directory with a causal language model, PREFS a file of comparisons. A new environment is
made and Heed installed into it from this checkout; then, with nothing but that environment on the
path, the model is aligned by DPO and by PPO, whole and by an adapter; what comes out is loaded in
plain transformers and in peft. The first command that fails ends it, and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
PASSED = ("HOME", "LANG", "TMPDIR")
PREFIXES = ("PIP_", "SSL_", "REQUESTS_", "CURL_", "OMP_")
"""What of this shell's environment the commands see, beside a path of their own: where packages and
certificates are found, how many threads run."""
SHORT = (
    "--set records.limit={limit} --set dtype=bfloat16 --set gates.exploits.words=2 "
    "--set reward.calibration=32 --set reward.sampling.max_new_tokens=32 "
    "--set evaluate.seen=0 --set evaluate.sampling.max_new_tokens=32"
)
"""What makes it short enough for two cores."""
SHOWN = 34
"""Lines of a command's output that are printed; of a longer one its beginning and its end."""
WIDTH = "100"
NOT_RUN = "<!-- not run: it loads what the commands before it trained -->"
"""What the tests of the documentation read."""
TRANSFORMERS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
asked = tokenizer.apply_chat_template([{{"role": "user", "content": "How do I boil an egg?"}}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True)
said = model.generate(**asked, max_new_tokens=24, do_sample=False)
print(type(model).__name__, sum(p.numel() for p in model.parameters()), "weights")
print(repr(tokenizer.decode(said[0, asked["input_ids"].shape[1]:], skip_special_tokens=True)))
"""
PEFT = """\
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("{folder}")
base = model.get_base_model().name_or_path
print(type(model).__name__, "with", model.active_adapters, "on", base)
"""


@dataclass(frozen=True)
class Step:
    """A command, and what stands above it; `program` is Python that `command` runs as a file."""

    command: str
    title: str = ""
    program: str = ""


def steps(limit: int) -> Iterator[Step]:
    """The commands, in order; my-model and prefs.jsonl.gz lie in the directory."""
    install = f"env/bin/pip install -qq --constraint {CHECKOUT}/constraints.txt {CHECKOUT}"
    align = "heed align model prefs.jsonl.gz --no-sft"
    ppo = "--method ppo --set ppo.iterations=4 --set ppo.rollouts=16"
    yield Step(f"python3 -m venv env && {install}", "An environment")
    yield Step("heed --version")
    yield Step("heed doctor", "What this machine can do")
    yield Step("heed init my-model prefs.jsonl.gz --out mine.yaml", "What would be run, and why")
    short = SHORT.format(limit=limit)
    yield Step(
        f"heed align my-model prefs.jsonl.gz --method sft {short} --set sft.epochs=1 "
        "--out runs/sft",
        "First, imitation",
    )
    yield Step("heed export runs/sft:sft model")
    yield Step(f"{align} --full {short} --set dpo.epochs=1 --out runs/dpo", "DPO, whole")
    yield Step(f"{align} --lora {short} --set dpo.epochs=1 --out runs/dpo-lora", "DPO, LoRA")
    yield Step(f"{align} --full {short} {ppo} --out runs/ppo", "PPO, whole")
    yield Step(f"{align} --lora {short} {ppo} --out runs/ppo-lora", "PPO, LoRA")
    yield Step("heed export runs/dpo:dpo out/dpo", "What comes out, without Heed")
    yield Step("heed export runs/ppo-lora:ppo out/ppo-lora")
    yield Step("heed export runs/dpo-lora:dpo out/dpo-adapter --adapter")
    for folder in ("out/dpo", "out/ppo-lora"):
        yield Step("python3 answer.py", program=TRANSFORMERS.format(folder=folder))
    yield Step("python3 adapter.py", program=PEFT.format(folder="out/dpo-adapter"))
    yield Step("heed sample runs/ppo:ppo 'How do I boil an egg?' -n 2", "And with it")
    yield Step("heed compare runs/dpo:dpo runs/ppo:ppo --judge runs/dpo:reward --out runs/compare")


def environment(work: Path) -> dict[str, str]:
    """What a new user's shell holds."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(PREFIXES)
    }
    return {**kept, "PATH": f"{work}/env/bin:/usr/local/bin:/usr/bin:/bin", "COLUMNS": WIDTH}


def ran(step: Step, work: Path) -> tuple[str, float]:
    """What a command printed, and the seconds it took. Ends the program where it fails."""
    if step.program:
        (work / step.command.split()[-1]).write_text(step.program, encoding="utf-8")
    began = time.perf_counter()
    done = subprocess.run(
        step.command, shell=True, cwd=work, env=environment(work), text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    print(f"[{seconds:7.1f} s] {step.command}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{step.command}: exit code {done.returncode}")
    return done.stdout.replace(str(work), "~").replace(str(CHECKOUT), "heed"), seconds


def shown(output: str) -> str:
    """Not more than a screen of it."""
    lines = [line.rstrip() for line in output.strip().splitlines()]
    if len(lines) > SHOWN:
        half = SHOWN // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines ...", *lines[-half:]]
    return "\n".join(lines)


def page(done: list[tuple[Step, str, float]], model: str) -> str:
    """The transcript."""
    parts = [
        "# A transcript",
        "From an empty environment to an aligned model, as `python benchmarks/transcript.py` ran "
        f"it on {time.strftime('%Y-%m-%d')}. {model} Long outputs are cut in "
        "the middle. How good the answers are is not the point here: the model is tiny.",
    ]
    for step, output, seconds in done:
        parts += [f"## {step.title}"] if step.title else []
        if step.program:
            title = step.command.split()[-1]
            parts.append(f'{NOT_RUN}\n```python title="{title}"\n{step.program}```')
        parts.append(
            f"```text\n$ {step.command.replace(str(CHECKOUT), 'heed/')}\n{shown(output)}\n```"
        )
        parts.append(f"*{seconds:,.0f} seconds.*")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", type=Path)
    parser.add_argument("prefs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="an empty directory that is kept")
    parser.add_argument("--about", default="", help="a sentence on the model")
    parser.add_argument("--limit", type=int, default=60, help="comparisons that are read")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    shutil.copytree(given.model, work / "my-model", dirs_exist_ok=True)
    shutil.copyfile(given.prefs, work / "prefs.jsonl.gz")
    done = [(step, *ran(step, work)) for step in steps(given.limit)]
    given.out.write_text(page(done, given.about), encoding="utf-8")


if __name__ == "__main__":
    main()
