"""The arena's models: servers by address, directories loaded here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heed.cli import players
from heed.errors import UserError
from heed.sampling.remote import EndpointSampler
from heed.types import Prompt
from heed.web.arena import ArenaLimits


def test_an_arena_of_servers_and_directories(tmp_path: Path, toy_lm: Any) -> None:
    from heed.models.language_model import save_language_model

    server = players.sampler("small", "http://127.0.0.1:9")
    assert isinstance(server, EndpointSampler)
    assert (server.model, server.urls) == ("small", ["http://127.0.0.1:9/v1/chat/completions"])
    assert server.retries == 0
    assert server.timeout < ArenaLimits().seconds
    named = players.sampler("small", "http://127.0.0.1:9/v1#llama")
    assert isinstance(named, EndpointSampler)
    assert (named.model, named.urls) == ("llama", server.urls)
    save_language_model(toy_lm(), tmp_path / "model")
    here: Any = players.sampler("toy", str(tmp_path / "model"))
    assert here.model_name == "toy"
    assert here.max_new_tokens == 32  # half of the context
    assert here.stop == ["\n\nHuman:"]  # it has no chat template
    with pytest.raises(UserError, match="no model directory at"):
        players.sampler("toy", "./nowhere")


def test_a_reward_conditioned_policy_is_asked_with_its_best_level(
    tmp_path: Path, toy_lm: Any
) -> None:
    from heed.models.language_model import save_language_model
    from heed.policies.in_context import InContext, with_system

    save_language_model(toy_lm(), tmp_path / "stage" / "policy")
    (tmp_path / "stage" / "done.json").write_text('{"summary": {"asked_with": "good one"}}')
    here = players.sampler("toy", str(tmp_path / "stage" / "policy"))
    assert isinstance(here, InContext)
    prompt = Prompt.of("red ?")
    assert here.asked(prompt) == with_system(prompt, "good one")
