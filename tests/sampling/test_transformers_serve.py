"""The endpoint sampler against `transformers serve`, a server that is none of ours."""

from __future__ import annotations

import copy
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heed.models.chat import own_template
from heed.models.language_model import LanguageModel, save_language_model
from heed.sampling.local import LocalSampler
from heed.sampling.remote import EndpointSampler
from heed.types import Prompt

SERVING = ("accelerate", "openai", "fastapi", "uvicorn")
"""What `pip install transformers[serving]` brings."""
PROMPTS = [Prompt.of(f"what is the capital of france {at} ?") for at in range(6)]


@contextmanager
def transformers_serve(model: Path, cache: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model),
         "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HOME": str(cache), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        late = time.monotonic() + 180
        while True:
            assert process.poll() is None, "transformers serve ended"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < late, "transformers serve did not begin to listen"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_two_of_them_one_of_which_dies(tiny: Callable[..., LanguageModel], tmp_path: Path) -> None:
    """Greedy answers are those of this process, whoever gives them."""
    missing = [name for name in SERVING if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers[serving] is not installed: {', '.join(missing)}")
    lm, model = tiny(), tmp_path / "model"
    # It writes conversations by a template only; ours as one is the form that `lm` knows itself.
    tokenizer = copy.deepcopy(lm.tokenizer)
    tokenizer.chat_template = own_template(tokenizer)
    save_language_model(LanguageModel(lm.model, tokenizer, lm.chat), model)
    (tmp_path / "hub").mkdir()
    want = LocalSampler(lm, max_new_tokens=8, temperature=0.0).sample(PROMPTS)
    serve = [transformers_serve(model, tmp_path) for _ in range(2)]
    with serve[0] as (one, _), serve[1] as (other, process):
        sampler = EndpointSampler(
            [one, other], str(model), temperature=0.0, max_new_tokens=8, concurrency=2
        )
        for killed in (False, True):
            if killed:
                kill = threading.Timer(0.2, process.send_signal, [signal.SIGKILL])
                kill.start()
            got = sampler.sample(PROMPTS, n=4)
            assert [each.prompt for each in got] == [p for p in PROMPTS for _ in range(4)]
            for at, each in enumerate(got):
                assert each.text.strip() == want[at // 4].text.strip()
