"""A sampler in a process of its own, which draws while this one does something else.

Whose turn it is follows from questions and answers: `begin` copies the weights as they stand into
memory that both processes share, and asks; the other one copies them out before it draws, and this
one writes there again only after `collect` has the answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any
from weakref import finalize

import torch
from pydantic import TypeAdapter

from heed.errors import UserError
from heed.models.anatomy import causal_lm
from heed.models.shared_weights import SharedWeights, layout, new_memory, trained
from heed.models.work import count_answers
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt

TRIES = 3
"""Processes that are given one question, the first of them included."""
TAIL = 600
"""Characters of what a process wrote last that an error quotes."""
_PROMPT = TypeAdapter(Prompt)


class AheadSampler:
    """What `sampler` would draw, drawn elsewhere, with the weights of the moment it is asked.

    `source` is what the sampler's policy was loaded from, `lora` what `attach_lora` was then told
    (None without an adapter), `half` whether forward passes are in bfloat16. The other process
    computes with `threads` threads, on the policy's device.

    A process that is killed is started again and asked the same: its answers are the same, too.
    """

    def __init__(
        self,
        sampler: LocalSampler,
        source: str,
        *,
        lora: Mapping[str, Any] | None,
        half: bool,
        threads: int,
    ) -> None:
        self.sampler = sampler
        weights = trained(sampler.lm.model)
        descriptor = new_memory(weights)
        self.weights = SharedWeights(weights, descriptor)
        self.setup = {
            "source": source,
            "device": str(sampler.lm.device),
            "lora": lora,
            "half": half,
            "threads": threads,
            "layout": layout(weights),
            "descriptor": descriptor,
            "sampling": {
                name: getattr(sampler, name)
                for name in (
                    *("max_new_tokens", "temperature", "top_p", "top_k"),
                    *("stop", "batch_size", "model_name", "lean"),
                )
            },
        }
        self.question = ""
        self.worker = _Worker(self.setup)
        self.close = finalize(self, _close, self.worker, descriptor)

    def begin(self, prompts: Sequence[Prompt], *, n: int, seed: int) -> None:
        """Ask for `sample(prompts, n=n, seed=seed)` by the weights as they stand."""
        self.weights.put()
        asked = {"prompts": [asdict(prompt) for prompt in prompts], "n": n, "seed": seed}
        self.question = json.dumps(asked)
        self.worker.ask(self.question)

    def collect(self) -> list[str]:
        """Wait for the answers, each as `written`.

        Raises UserError where the sampler would, and where the process ends time and again.
        """
        for attempt in range(TRIES):
            if attempt:
                self.worker.start(self.setup)
                self.worker.ask(self.question)
            reply = self.worker.reply()
            if reply is not None and "error" in reply:
                raise UserError(reply["error"])
            if reply is not None:
                self._count(reply["answers"])
                return list(reply["answers"])
        raise UserError(
            f"The process that draws the next round ended {TRIES} times without an answer. It "
            f"wrote last: {self.worker.last_words() or 'nothing'}. Look whether memory ran out; "
            "without `ahead` one process does both."
        )

    def _count(self, answers: Sequence[str]) -> None:
        """In this process's account: the other one's nobody reads."""
        found = [json.loads(answer) for answer in answers]
        asked = json.loads(self.question)
        each = max(1, asked["n"])
        prompts = sum(len(answer["prompt_ids"]) for answer in found[::each])
        sampled = sum(len(answer["ids"]) for answer in found)
        count_answers(causal_lm(self.sampler.lm.model), prompts, sampled, len(found))


def written(completion: Completion) -> str:
    """An answer without its prompt, as a line of JSON; numbers keep every bit."""
    return json.dumps(
        {
            "text": completion.text,
            "finish": completion.finish,
            "model": completion.model,
            "prompt_ids": completion.prompt_ids,
            "ids": completion.ids,
            "logprobs": completion.logprobs,
            "truncated_logprobs": completion.truncated_logprobs,
        }
    )


def read_answer(line: str, prompt: Prompt) -> Completion:
    """The answer to a prompt that `written` gave."""
    found = json.loads(line)
    for name in ("prompt_ids", "ids", "logprobs", "truncated_logprobs"):
        found[name] = tuple(found[name])
    return Completion(prompt=prompt, **found)


def read_prompt(found: Mapping[str, Any]) -> Prompt:
    """A prompt from what `asdict` and JSON made of it."""
    return _PROMPT.validate_python(found)


def split_threads() -> tuple[int, int]:
    """Of this process's threads what it keeps itself and what the other one gets: half, rounded
    down, and each at least one.
    """
    count = torch.get_num_threads()
    other = max(1, count // 2)
    return max(1, count - other), other


class _Worker:
    """The process that draws, and what it says."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - `_close` does
        self.start(setup)

    def start(self, setup: Mapping[str, Any]) -> None:
        """Start it, or another one in its place."""
        if hasattr(self, "process"):
            self.end()
        root = str(Path(__file__).parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        # A session of its own: Ctrl-C is for the learner, which finishes its iteration first and
        # needs the answers for that. -P: the folder that one happens to be in holds no modules.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "heed.sampling.ahead_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            pass_fds=(setup["descriptor"],),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        self.ask(json.dumps(setup))

    def ask(self, line: str) -> None:
        """Send a line; that nobody hears it is found out when the reply is waited for."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def reply(self) -> dict[str, Any] | None:
        """Its next line, or None where it ended before that was whole."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line.endswith("\n") else None

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-TAIL:].strip()

    def end(self) -> None:
        """Stop it, whatever it does, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:  # of what was never sent
                pass


def _close(worker: _Worker, descriptor: int) -> None:
    worker.end()
    worker.errors.close()
    os.close(descriptor)
