"""The arena's models: servers by address, directories loaded here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heed.cli import players
from heed.errors import UserError
from heed.sampling.remote import EndpointSampler
from heed.web.arena import ArenaLimits


def test_an_arena_of_servers_and_directories(tmp_path: Path, toy_lm: Any) -> None:
    from heed.models.language_model import save_language_model

    server = players.sampler("small", "http://127.0.0.1:9")
    assert isinstance(server, EndpointSampler)
    assert (server.model, server.url) == ("small", "http://127.0.0.1:9/v1/chat/completions")
    assert server.retries == 0
    assert server.timeout < ArenaLimits().seconds
    named = players.sampler("small", "http://127.0.0.1:9/v1#llama")
    assert isinstance(named, EndpointSampler)
    assert (named.model, named.url) == ("llama", server.url)
    save_language_model(toy_lm(), tmp_path / "model")
    here: Any = players.sampler("toy", str(tmp_path / "model"))
    assert here.model_name == "toy"
    assert here.max_new_tokens == 32  # half of the context
    with pytest.raises(UserError, match="no model directory at"):
        players.sampler("toy", "./nowhere")
