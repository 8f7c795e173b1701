from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache, Qwen3NextConfig

from heed.sampling.cache import PreallocatedLayer, cache_rows, preallocated_cache

KINDS = ["llama", "gpt2", "gemma2", "gemma3_text"]


@torch.no_grad()
def step(model, ids, mask, cache):
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    return model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).logits[:, -1]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_dynamic_cache(tiny, kind):
    model = tiny(kind).model
    ids = torch.randint(5, 200, (3, 20), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    caches = [preallocated_cache(model.config, 20), DynamicCache(config=model.config)]
    for start, end in [(0, 6), *((at, at + 1) for at in range(6, 20))]:
        ours, theirs = (step(model, ids[:, start:end], mask[:, :end], cache) for cache in caches)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert all(isinstance(layer, PreallocatedLayer) for layer in caches[0].layers)
    assert caches[0].get_seq_length() == 20


@pytest.mark.parametrize("kind", ["llama", "qwen3_next"])
def test_rows_are_spread_and_dropped_and_the_old_cache_stays(tiny, kind):
    model = tiny("llama").model if kind == "llama" else linear_attention_model()
    ids = torch.randint(5, 200, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones((2, 8), dtype=torch.long)
    cache = preallocated_cache(model.config, 8)
    step(model, ids, mask[:, :6], cache)
    spread = cache_rows(cache, torch.tensor([1, 1, 0]))
    token = torch.tensor([[7], [8], [9]])
    got = step(model, token, mask[[1, 1, 0], :7], spread)
    kept = cache_rows(spread, torch.tensor([1, 2]))
    later = step(model, token[:2], mask[:, :8], kept)
    for row, first in enumerate([(1, 7), (1, 8), (0, 9)]):
        full = torch.cat([ids[first[0]], torch.tensor([first[1]])])[None]
        with torch.no_grad():
            want = model(full, use_cache=False).logits[:, -1]
        torch.testing.assert_close(got[row : row + 1], want, atol=1e-4, rtol=1e-4)
    full = torch.cat([ids[1], torch.tensor([8, 7])])[None]
    with torch.no_grad():
        want = model(full, use_cache=False).logits[:, -1]
    torch.testing.assert_close(later[:1], want, atol=1e-4, rtol=1e-4)
    assert cache.get_seq_length() == 6


def linear_attention_model():
    """Half of its layers keep a state instead of keys and values."""
    config = Qwen3NextConfig(
        vocab_size=200,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        linear_num_key_heads=1,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        num_experts=0,
        mlp_only_layers=[0, 1],
    )
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def test_a_full_layer_takes_no_more():
    layer = PreallocatedLayer(2)
    states = torch.ones(1, 1, 2, 4)
    layer.update(states, states)
    with pytest.raises(IndexError, match="holds 2 tokens, not 3"):
        layer.update(states[:, :, :1], states[:, :, :1])
