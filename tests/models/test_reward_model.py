from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from heed.errors import UserError
from heed.models.language_model import load_language_model, save_language_model
from heed.models.reward_model import load_reward_model, new_reward_model, save_reward_model
from heed.ops.batch import Sequences

CPU = {"device": "cpu", "dtype": "float32"}


@pytest.fixture
def fresh(tiny, tmp_path):
    """A new reward model from a saved policy of some kind."""

    def make(kind, tokenizer="pad_is_eos", seed=0):
        path = tmp_path / f"{kind}-{tokenizer}"
        save_language_model(tiny(kind, tokenizer=tokenizer), path)
        return new_reward_model(path, seed=seed, **CPU)

    return make


def plain_scores(path, batch):
    """What transformers alone says: logits, padding found by the pad token, plus the offset."""
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        logits = model(input_ids=batch.ids, attention_mask=batch.mask.long()).logits
    return logits[:, 0] + model.config.heed_offset


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "gemma", "gemma2"])
@pytest.mark.parametrize("tokenizer", ["pad_is_eos", "without_pad", "templated"])
def test_equal_scores_in_plain_transformers(fresh, sequences, tmp_path, kind, tokenizer):
    reward_model = fresh(kind, tokenizer)
    batch = sequences(reward_model)
    with torch.no_grad():
        raw = reward_model.scores(batch)
        reward_model.calibrate(float(raw.mean()), float(raw.std()))
        scores = reward_model.scores(batch)
    torch.testing.assert_close(scores, (raw - raw.mean()) / raw.std(), atol=1e-5, rtol=1e-5)
    save_reward_model(reward_model, tmp_path / "reward")
    torch.testing.assert_close(plain_scores(tmp_path / "reward", batch), scores)
    again = load_reward_model(tmp_path / "reward", **CPU)
    torch.testing.assert_close(again.scores(batch).detach(), scores, atol=0, rtol=0)
    assert again.offset == reward_model.offset != 0
    assert not list((tmp_path / "reward").glob("*.bin"))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_score_is_read_at_the_end_of_sequence_and_padding_changes_nothing(
    fresh, sequences, kind
):
    reward_model = fresh(kind)
    batch = sequences(reward_model)
    scores = reward_model.scores(batch)
    for row in range(len(batch)):
        alone = batch.rows(torch.tensor([row]))
        torch.testing.assert_close(reward_model.scores(alone)[0], scores[row])
    ended = batch.rows(torch.tensor([1]))
    cut = Sequences(ended.ids[:, :-1], ended.mask[:, :-1], ended.target[:, :-1])
    assert ended.ids[0, -1] == reward_model.chat.eos_id
    assert float((reward_model.scores(cut) - scores[1]).detach().abs()) > 1e-4


def test_the_pad_token_is_its_own(fresh, tmp_path):
    for kind in ("pad_is_eos", "without_pad"):
        reward_model = fresh("llama", kind)
        tokenizer = reward_model.tokenizer
        assert tokenizer.pad_token == "<pad>"
        assert reward_model.chat.pad_id not in reward_model.chat.stop_ids
        assert tokenizer.eos_token == "<|endoftext|>"
        assert len(reward_model.model.get_input_embeddings().weight) == len(tokenizer)
        save_reward_model(reward_model, tmp_path / kind)
        assert AutoTokenizer.from_pretrained(tmp_path / kind).pad_token == "<pad>"
    own = fresh("llama", "templated")
    assert len(own.model.get_input_embeddings().weight) == len(own.tokenizer)
    assert own.model.config.pad_token_id == own.tokenizer.convert_tokens_to_ids("<pad>")


def test_the_head_is_fresh_and_seeded_and_the_backbone_is_the_policys(fresh, tiny):
    first, same, other = (fresh("llama", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.head.weight, same.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    width = first.head.weight.shape[1]
    assert float(first.head.weight.detach().std()) == pytest.approx(
        1 / math.sqrt(width + 1), rel=0.4
    )
    policy = tiny("llama", tokenizer="pad_is_eos").model.model
    assert torch.equal(
        first.backbone.layers[1].mlp.up_proj.weight, policy.layers[1].mlp.up_proj.weight
    )
    rows = len(policy.embed_tokens.weight)
    assert torch.equal(first.backbone.embed_tokens.weight[:rows], policy.embed_tokens.weight)


def test_scores_carry_gradient_to_head_and_backbone(fresh, sequences):
    reward_model = fresh("gpt2")
    reward_model.scores(sequences(reward_model)).sum().backward()
    assert float(reward_model.head.weight.grad.abs().sum()) > 0
    assert float(reward_model.backbone.wpe.weight.grad.abs().sum()) > 0


def test_calibrating_twice_composes(fresh, sequences):
    reward_model = fresh("llama")
    batch = sequences(reward_model)
    with torch.no_grad():
        raw = reward_model.scores(batch)
        reward_model.calibrate(2.0, 4.0)
        reward_model.calibrate(-1.0, 0.5)
        want = ((raw - 2.0) / 4.0 + 1.0) / 0.5
        torch.testing.assert_close(reward_model.scores(batch), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0)])
def test_a_calibration_that_cannot_be(fresh, mean, std):
    with pytest.raises(ValueError, match="cannot calibrate"):
        fresh("llama").calibrate(mean, std)


def test_a_classifier_saved_without_heed_loads_with_offset_zero(tiny, sequences, tmp_path):
    lm = tiny("qwen2", tokenizer="pad_is_eos")
    config = lm.model.config
    config.num_labels = 1
    plain = AutoModelForSequenceClassification.from_config(config).eval()
    plain.save_pretrained(tmp_path / "reward")
    lm.tokenizer.save_pretrained(tmp_path / "reward")
    reward_model = load_reward_model(tmp_path / "reward", **CPU)
    assert reward_model.offset == 0.0
    batch = sequences(lm)
    with torch.no_grad():
        want = plain(batch.ids, attention_mask=batch.mask.long()).logits[:, 0]
        # Where the end of sequence doubles as pad, plain transformers reads before it, and so it
        # was trained.
        torch.testing.assert_close(reward_model.scores(batch), want)


def test_what_is_no_reward_model(tiny, tmp_path):
    save_language_model(tiny("llama"), tmp_path / "policy")
    with pytest.raises(UserError, match=r"score\.weight"):
        load_reward_model(tmp_path / "policy", **CPU)
    config = tiny("llama").model.config
    config.num_labels = 3
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "three")
    with pytest.raises(UserError, match="3 labels"):
        load_reward_model(tmp_path / "three", **CPU)


def test_a_reward_model_is_no_policy(fresh, tmp_path):
    save_reward_model(fresh("gpt2"), tmp_path / "reward")  # its embeddings are tied
    with pytest.raises(UserError, match="scores texts"):
        load_language_model(tmp_path / "reward", **CPU)
