"""The lean decoder writes what the plain path writes, or is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaForCausalLM

from heed.models.anatomy import causal_lm
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel, attach_lora
from heed.ops.batch import Sequences
from heed.sampling import known
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "biased": ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4}),
    "mistral": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "smollm3": ("smollm3", {}),
    "gpt2": ("gpt2", {}),
}


def made(tiny: Any, name: str) -> LanguageModel:
    """A model whose every weight counts, biases and norms too, and whose answers end anywhere."""
    kind, more = KINDS[name]
    lm: LanguageModel = tiny(kind, **more)
    generator = torch.Generator().manual_seed(1)
    for label, weight in lm.model.named_parameters():
        if weight.ndim == 1:
            noise = torch.rand(weight.shape, generator=generator) - 0.5
            weight.data.copy_(noise + ("norm" in label or "ln_" in label))
    head = lm.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[lm.chat.eos_id] = 4.0
    return lm


def adapted(lm: LanguageModel, targets: str | list[str] = "all-linear") -> LanguageModel:
    lm = attach_lora(lm, rank=2, alpha=4, dropout=0.5, targets=targets)
    generator = torch.Generator().manual_seed(2)
    for label, weight in lm.model.named_parameters():
        if "lora_B" in label:
            torch.nn.init.normal_(weight, std=0.1, generator=generator)
    return lm


def both(
    lm: LanguageModel, prompts: Sequence[Prompt], n: int = 1, **settings: Any
) -> list[Completion]:
    """The lean path's answers, held against the plain one's."""
    given = {"max_new_tokens": 16, **settings}
    lean, plain = LocalSampler(lm, **given), LocalSampler(lm, lean=False, **given)
    assert (lean.path, plain.path) == ("lean", "plain")
    ours, theirs = (sampler.sample(prompts, n=n, seed=3) for sampler in (lean, plain))
    assert [(a.ids, a.text, a.finish) for a in ours] == [(a.ids, a.text, a.finish) for a in theirs]
    for name in ("logprobs", "truncated_logprobs"):
        mine, others = (
            torch.tensor([value for answer in answers for value in getattr(answer, name)])
            for answers in (ours, theirs)
        )
        torch.testing.assert_close(mine, others, atol=1e-5, rtol=1e-5)
    return ours


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("lora", "compiled"), [(False, "yes"), (False, "no"), (True, "yes")], ids=str
)
def test_the_same_tokens(tiny, prompts, monkeypatch, name, lora, compiled):
    monkeypatch.setenv("HEED_COMPILED", compiled)
    lm = made(tiny, name)
    lm = adapted(lm) if lora else lm
    answers = both(lm, prompts, n=3)
    assert len({len(answer.ids) for answer in answers}) > 3


@pytest.mark.parametrize("batch_size", [1, 3, 5, 64])
def test_rows_are_refilled_from_the_queue(tiny, prompts, batch_size):
    lm = made(tiny, "llama")
    answers = both(lm, prompts, n=5, batch_size=batch_size)
    whole = LocalSampler(lm, max_new_tokens=16).sample(prompts, n=5, seed=3)
    assert [answer.ids for answer in answers] == [answer.ids for answer in whole]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"temperature": 0.7, "top_k": 5},
        {"top_p": 0.8, "top_k": 40},
        {"stop": ("th", "e")},
        {"max_new_tokens": 1},
    ],
    ids=str,
)
def test_every_setting(tiny, prompts, settings):
    both(made(tiny, "qwen2"), prompts, n=2, **settings)


def test_one_prompt_and_none(tiny, prompts):
    lm = made(tiny, "gpt2")
    both(lm, prompts[:1], batch_size=1)
    assert LocalSampler(lm, max_new_tokens=4).sample([]) == []


def test_a_row_much_longer_than_the_others(tiny, prompts):
    long = Prompt.of("what is the capital of france ? it is paris . " * 4)
    for name in ("llama", "mistral"):
        lm = made(tiny, name)
        assert len(lm.chat.prompt_ids(long)) > 3 * len(lm.chat.prompt_ids(prompts[0]))
        both(lm, [*prompts, long], n=2, batch_size=4)


def test_weights_that_changed_count(tiny, prompts):
    lm = made(tiny, "llama")
    before = both(lm, prompts)
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(1.1)
    assert [a.ids for a in both(lm, prompts)] != [a.ids for a in before]


def test_adapters_switched_off_and_others_that_are_not_plain_lora(tiny, prompts):
    lm = adapted(made(tiny, "llama"), ["q_proj", "up_proj"])
    worn = both(lm, prompts)
    with lm.model.disable_adapter():
        bare = both(lm, prompts)
    assert [a.ids for a in worn] != [a.ids for a in bare]
    settings = LoraConfig(r=2, target_modules=["k_proj", "down_proj"], use_dora=True)
    dora = LanguageModel(get_peft_model(made(tiny, "llama").model, settings), lm.tokenizer, lm.chat)
    for label, weight in dora.model.named_parameters():
        if "lora_B" in label:
            torch.nn.init.normal_(weight, std=0.1)
    dora.model.eval()
    assert [a.ids for a in both(dora, prompts)] != [a.ids for a in bare]


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_bfloat16_follows_autocast(tiny, prompts, name):
    """Beside the training forward under the same autocast: .02 nats on average, .3 at worst."""
    lm = made(tiny, name)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        answers = LocalSampler(lm, max_new_tokens=12).sample(prompts, n=4, seed=1)
        batch = Sequences.of([(row.prompt_ids, row.ids) for row in answers], lm.chat.pad_id)
        with torch.no_grad():
            logprobs, _ = completion_logprobs(lm.model, batch)
    sampled = torch.tensor([value for row in answers for value in row.logprobs])
    apart = (logprobs[batch.target] - sampled).abs()
    assert 0.0 < float(apart.mean()) < 0.02
    assert float(apart.max()) < 0.3


def test_a_stream_is_the_sample(tiny, prompts):
    lm = made(tiny, "mistral")
    sampler = LocalSampler(lm, max_new_tokens=16)
    for seed in range(3):
        stream = sampler.stream(prompts[1], seed=seed)
        assert "".join(stream) == stream.completion.text
        assert [stream.completion] == sampler.sample([prompts[1]], seed=seed)


def test_many_rows_beside_free_slots(tiny, prompts):
    both(made(tiny, "qwen3"), prompts, n=12, batch_size=45)


def path(lm: LanguageModel) -> str:
    return LocalSampler(lm, max_new_tokens=4).path


def test_what_is_not_known_goes_the_plain_way(tiny, prompts):
    assert path(tiny("gemma")) == path(tiny("gemma2")) == "plain"
    rotary = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert path(tiny("llama", rope_parameters=rotary)) == "plain"
    rotary["rope_type"] = "linear"
    both(tiny("llama", rope_parameters=rotary), prompts)


def test_another_maths_is_found_out(tiny):
    lm = tiny()
    for layer in lm.model.model.layers:
        layer.self_attn.scaling *= 2.0  # read from the module: still known
    assert path(lm) == "lean"

    class Louder(LlamaAttention):
        def forward(self, *args: Any, **inputs: Any) -> Any:
            output, weights = super().forward(*args, **inputs)
            return 1.01 * output, weights

    lm = tiny()
    lm.model.model.layers[1].self_attn.__class__ = Louder
    assert path(lm) == "plain"

    class Capped(LlamaForCausalLM):
        def forward(self, *args: Any, **inputs: Any) -> Any:
            output = super().forward(*args, **inputs)
            output.logits = 30.0 * (output.logits / 30.0).tanh()
            return output

    lm = tiny()
    lm.model.__class__ = Capped
    assert path(lm) == "plain"


def test_a_hook_is_heard(tiny):
    lm = tiny()
    assert path(lm) == "lean"
    hook = lm.model.model.layers[0].mlp.register_forward_hook(lambda *_: None)
    assert path(lm) == "plain"
    hook.remove()
    assert path(lm) == "lean"


def test_a_model_is_checked_once_and_again_with_an_adapter(tiny, prompts, monkeypatch):
    seen = []
    agrees = known._agrees
    monkeypatch.setattr(known, "_agrees", lambda *args: seen.append(args) or agrees(*args))
    lm = tiny()
    for _ in range(3):
        LocalSampler(lm, max_new_tokens=2).sample(prompts)
    assert len(seen) == 1
    lm = attach_lora(lm, rank=2, alpha=4)
    assert causal_lm(lm.model) in known._PROBES._found
    for _ in range(2):
        LocalSampler(lm, max_new_tokens=2).sample(prompts)
    assert len(seen) == 2
