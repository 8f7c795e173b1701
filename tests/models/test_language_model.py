from __future__ import annotations

import json
import stat

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, T5Config

from heed.errors import UserError
from heed.models.language_model import (
    attach_lora,
    load_language_model,
    new_language_model,
    save_language_model,
)
from heed.types import Prompt

CPU = {"device": "cpu", "dtype": "float32"}
IDS = torch.arange(5, 17).view(2, 6)


def shake_adapter(lm):
    torch.manual_seed(1)
    for name, weight in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "qwen3", "gemma", "gemma2"])
def test_saved_models_load_in_plain_transformers_with_equal_outputs(tiny, tmp_path, kind):
    lm = tiny(kind)
    path = tmp_path / "policy"
    save_language_model(lm, path)
    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path)
    again = load_language_model(str(path), **CPU)
    with torch.no_grad():
        want = lm.model(IDS).logits
        assert torch.equal(plain(IDS).logits, want)
        assert torch.equal(again.model(IDS).logits, want)
    assert tokenizer.chat_template == lm.tokenizer.chat_template
    assert again.chat.prompt_ids(Prompt.of("hello")) == lm.chat.prompt_ids(Prompt.of("hello"))
    assert plain.generation_config.eos_token_id == sorted(lm.chat.stop_ids)
    assert again.chat.stop_ids == lm.chat.stop_ids
    assert plain.generation_config.pad_token_id == lm.chat.pad_id
    assert not again.model.training
    assert not list(path.glob("*.bin"))
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o644 for file in path.iterdir())


def test_tied_embeddings_stay_tied(tiny, tmp_path):
    lm = tiny("qwen2")
    assert lm.model.config.tie_word_embeddings
    save_language_model(lm, tmp_path / "policy")
    model = load_language_model(tmp_path / "policy", **CPU).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_saving_replaces_what_was_there(tiny, tmp_path):
    path = tmp_path / "policy"
    for seed in (0, 1):
        lm = tiny("llama", seed=seed)
        save_language_model(lm, path)
    assert torch.equal(load_language_model(path, **CPU).model(IDS).logits, lm.model(IDS).logits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]


def test_bfloat16_is_kept(tiny, tmp_path):
    save_language_model(tiny("llama"), tmp_path / "policy")
    lm = load_language_model(tmp_path / "policy", device="cpu", dtype="bfloat16")
    assert {weight.dtype for weight in lm.model.parameters()} == {torch.bfloat16}


def test_contradictory_generation_settings_do_not_prevent_saving(tiny, tmp_path):
    lm = tiny("llama")
    lm.model.generation_config.do_sample = False
    lm.model.generation_config.temperature = 0.3
    lm.model.generation_config.num_beams = 1
    lm.model.generation_config.early_stopping = True
    save_language_model(lm, tmp_path / "policy")
    saved = json.loads((tmp_path / "policy" / "generation_config.json").read_text())
    assert saved["eos_token_id"] == sorted(lm.chat.stop_ids)


def test_a_new_model_depends_on_its_seed_alone(tokenizer_of):
    tokenizer = tokenizer_of("wordlevel")
    config = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 16}
    before = torch.random.get_rng_state()
    models = [new_language_model(tokenizer, config, seed).model for seed in (3, 3, 4)]
    assert torch.equal(torch.random.get_rng_state(), before)
    first, same, other = (model.model.layers[0].mlp.up_proj.weight for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert models[0].config.vocab_size == len(tokenizer)
    assert models[0].config.eos_token_id == tokenizer.eos_token_id
    assert models[0].config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize(
    "config",
    [{"model_type": "lama"}, {}, {"model_type": "llama", "hidden_size": "wide"}],
    ids=["misspelt", "without a type", "ill-typed"],
)
def test_a_model_that_cannot_be_made(tokenizer_of, config):
    with pytest.raises(UserError, match="Cannot make a new model"):
        new_language_model(tokenizer_of("wordlevel"), config, 0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_lora_policy_is_saved_merged_with_its_adapter_beside(tiny, tmp_path, kind):
    lm = attach_lora(tiny(kind), rank=4, alpha=8, dropout=0.1)
    trains = [name for name, weight in lm.model.named_parameters() if weight.requires_grad]
    assert trains
    assert all("lora_" in name for name in trains)
    shake_adapter(lm)
    lm.model.eval()
    live = {name: weight.clone() for name, weight in lm.model.state_dict().items()}
    path = tmp_path / "policy"
    save_language_model(lm, path)
    for name, weight in lm.model.state_dict().items():
        assert torch.equal(weight, live[name]), f"saving moved {name}"
    with torch.no_grad():
        want = lm.model(IDS).logits
        plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        torch.testing.assert_close(plain(IDS).logits, want, atol=1e-5, rtol=1e-5)
        base = tiny(kind).model
        assert not torch.allclose(base(IDS).logits, want, atol=1e-2)
        on_base = PeftModel.from_pretrained(base, path / "adapter")
        torch.testing.assert_close(on_base(IDS).logits, want, atol=1e-5, rtol=1e-5)


def test_a_directory_with_an_adapter_alone_loads(tiny, tmp_path):
    save_language_model(tiny("llama"), tmp_path / "base")
    lm = attach_lora(load_language_model(tmp_path / "base", **CPU), rank=4, alpha=8)
    shake_adapter(lm)
    lm.model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    lm.tokenizer.save_pretrained(tmp_path / "adapter")
    again = load_language_model(tmp_path / "adapter", **CPU)
    assert not isinstance(again.model, PeftModel)
    torch.testing.assert_close(again.model(IDS).logits, lm.model(IDS).logits, atol=1e-5, rtol=1e-5)
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(UserError, match="no adapter_model"):
        load_language_model(tmp_path / "adapter", **CPU)


def test_a_second_adapter_starts_from_the_merged_first(tiny):
    lm = attach_lora(tiny("llama"), rank=4, alpha=8)
    shake_adapter(lm)
    with torch.no_grad():
        want = lm.model(IDS).logits
        second = attach_lora(lm, rank=2, alpha=4)
        torch.testing.assert_close(second.model(IDS).logits, want, atol=1e-5, rtol=1e-5)
        with second.model.disable_adapter():
            torch.testing.assert_close(second.model(IDS).logits, want, atol=1e-5, rtol=1e-5)


def test_lora_on_layers_that_are_not_there(tiny):
    with pytest.raises(UserError, match="no_such_layer"):
        attach_lora(tiny("llama"), rank=2, alpha=2, targets=["no_such_layer"])
    with pytest.raises(UserError, match="nothing to repeat"):
        attach_lora(tiny("llama"), rank=2, alpha=2, targets="*_proj")


@pytest.mark.filterwarnings("ignore:Model ")  # peft's on ties
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_lora_on_a_head_or_embeddings_is_saved_as_it_trained_or_refused(
    tiny, sequences, tmp_path, target
):
    """Merged into one end of a tied weight, the update would act at the other end, too."""
    with pytest.raises(UserError, match=f"attached to {target}: the model's head and embeddings"):
        attach_lora(tiny("qwen2"), rank=2, alpha=2, targets=["q_proj", target])
    lm = attach_lora(tiny("llama"), rank=2, alpha=2, targets=["q_proj", target])
    with torch.no_grad():
        for weight in lm.model.parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=torch.manual_seed(0)))
        save_language_model(lm, tmp_path / "lm")
        ids = sequences(lm).ids
        again = load_language_model(tmp_path / "lm", **CPU).model(ids).logits
        torch.testing.assert_close(again, lm.model(ids).logits, atol=1e-3, rtol=1e-3)


def test_what_cannot_be_loaded(tiny, tmp_path):
    def refuses(match, source):
        with pytest.raises(UserError, match=match):
            load_language_model(source, **CPU)

    refuses("no model directory at", tmp_path / "nowhere")
    refuses("no model directory at", str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    refuses("is a file", tmp_path / "file")
    (tmp_path / "empty").mkdir()
    refuses("no config.json", tmp_path / "empty")

    path = tmp_path / "policy"
    save_language_model(tiny("llama"), path)
    weights = path / "model.safetensors"
    torch.save({}, path / "pytorch_model.bin")
    weights.rename(tmp_path / "model.safetensors")
    refuses(r"no safetensors weights \(pytorch_model.bin is pickled", path)
    (tmp_path / "model.safetensors").rename(weights)

    T5Config().save_pretrained(path)
    refuses("Cannot load a model", path)
    BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2).save_pretrained(path)
    refuses("not all there", path)


def test_missing_weights_are_not_made_up(tiny, tmp_path):
    lm = tiny("llama")
    save_language_model(lm, tmp_path / "policy")
    config = json.loads((tmp_path / "policy" / "config.json").read_text())
    config["num_hidden_layers"] = 3
    (tmp_path / "policy" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="not all there"):
        load_language_model(tmp_path / "policy", **CPU)


def test_a_model_without_a_tokenizer(tiny, tmp_path):
    save_language_model(tiny("llama"), tmp_path / "policy")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "policy" / name).unlink()
    with pytest.raises(UserError, match="has no tokenizer beside its model"):
        load_language_model(tmp_path / "policy", **CPU)


@pytest.mark.parametrize("tokenizer", ["wordlevel", "metaspace", "templated"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "qwen3"])
def test_a_tokenizer_survives_any_model_type(tiny, tmp_path, kind, tokenizer):
    """AutoTokenizer rebuilds what stands beside a qwen2 model as Qwen's byte-level BPE."""
    lm = tiny(kind, tokenizer)
    save_language_model(lm, tmp_path / "model")
    loaded = load_language_model(tmp_path / "model", **CPU)
    text = "the cat sat on the mat"
    assert loaded.chat.completion_ids(text) == lm.chat.completion_ids(text)
    prompt = Prompt.of("the cat sat")
    assert loaded.chat.prompt_ids(prompt) == lm.chat.prompt_ids(prompt)
