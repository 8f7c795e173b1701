"""Encoders as reward models: what transformers itself says, whatever the batch, and no more."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import KINDS, save_encoder
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from heed.errors import UserError
from heed.models.pair_format import asked
from heed.models.reward_model import (
    RewardModel,
    load_reward_model,
    new_reward_model,
    save_reward_model,
    with_adapter,
)
from heed.models.rows import pair_rows
from heed.ops.batch import Sequences
from heed.ops.order import Order
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.learned import LearnedReward
from heed.types import Comparison, Completion, Message, Prompt

CPU = {"device": "cpu", "dtype": "float32"}
SINGLE = Prompt.of("what is the capital of france ?")
TURNS = Prompt(
    "turns",
    (Message("user", "hello"), Message("assistant", "yes ?"), Message("user", "one or two ?")),
)
COMPLETIONS = [
    Completion(SINGLE, "paris ."),
    Completion(SINGLE, ""),
    Completion(TURNS, "two , thank you"),
    Completion(SINGLE, "maybe it is red"),
]


def fresh(kind: str, folder: Path, seed: int = 0, **more: Any) -> RewardModel:
    return new_reward_model(save_encoder(kind, folder / kind, **more), seed=seed, **CPU)


def plain_scores(path: Path, completions: list[Completion]) -> list[float]:
    """What transformers alone says of the same pairs."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    prompts, texts = [asked(c.prompt) for c in completions], [c.text for c in completions]
    batch = tokenizer(prompts, texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits[:, 0]
    return (logits + getattr(model.config, "heed_offset", 0.0)).tolist()


def row(model: RewardModel, completion: Completion, context: int = 78) -> Sequences:
    ids = model.chat.fitted(completion.prompt, completion.text, context)
    return Sequences.of([ids], model.chat.pad_id)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_scores_in_plain_transformers(kind: str, lora: bool, tmp_path: Path) -> None:
    model = fresh(kind, tmp_path)
    if lora:
        model = with_adapter(model, rank=2, alpha=4)
        for name, weight in model.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
    raw = torch.tensor(LearnedReward(model, context=78)(COMPLETIONS))
    assert float(raw.std()) > 1e-3
    model.calibrate(float(raw.mean()), float(raw.std()))
    scores = LearnedReward(model, context=78)(COMPLETIONS)
    assert scores == pytest.approx(((raw - raw.mean()) / raw.std()).tolist(), abs=1e-4)
    save_reward_model(model, tmp_path / "reward")
    assert plain_scores(tmp_path / "reward", COMPLETIONS) == pytest.approx(scores, abs=1e-4)
    again = load_reward_model(tmp_path / "reward", **CPU)
    assert again.encoder
    loaded = LearnedReward(again, context=78)(COMPLETIONS)
    # Merging rounds the weights, and a score is that over the spread of few: as plain_scores above.
    assert loaded == pytest.approx(scores, abs=1e-4 if lora else 0)
    assert (tmp_path / "reward" / "adapter").exists() == lora


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_depends_neither_on_padding_nor_on_the_batch(kind: str, tmp_path: Path) -> None:
    model = fresh(kind, tmp_path)
    alone = [model.scores(row(model, each)).item() for each in COMPLETIONS]
    for micro_tokens in (1, 30, 10**6):
        scores = LearnedReward(model, context=78, micro_tokens=micro_tokens)(COMPLETIONS)
        assert scores == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_tokenizers_own_pairs(kind: str, tmp_path: Path) -> None:
    model = fresh(kind, tmp_path)
    for each in COMPLETIONS:
        plain = model.tokenizer([asked(each.prompt)], [each.text])
        made = row(model, each)
        assert made.ids.tolist() == plain["input_ids"]
        if "token_type_ids" in plain:
            assert made.target.long().tolist() == plain["token_type_ids"]
    hostile = row(model, Completion(SINGLE, "no [SEP] one </s> two")).ids[0].tolist()
    sep = model.tokenizer.sep_token_id
    assert hostile.count(sep) == row(model, COMPLETIONS[0]).ids[0].tolist().count(sep)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_texts_are_cut_and_what_stands_around_them_is_not(kind: str, tmp_path: Path) -> None:
    form = fresh(kind, tmp_path).chat
    short, long = "yes no", "one two " * 40
    around = len(form.lead) + len(form.between) + len(form.end)
    words = Prompt.of("red blue " * 40 + "capital")
    prompt, answer = form.fitted(words, short, 30)
    assert len(prompt) + len(answer) == 30
    whole = form.fitted(words, short, 1000)
    assert answer == whole[1]
    assert prompt[: len(form.lead)] == form.lead
    assert prompt[len(form.lead) :] == whole[0][-(len(prompt) - len(form.lead)) :]
    prompt, answer = form.fitted(words, long, 30)
    assert len(answer) - len(form.end) == (30 - around) // 2
    assert answer[-len(form.end) :] == form.end
    assert form.fitted(SINGLE, "", 80)[1] == form.end
    with pytest.raises(UserError, match="no room for a prompt and an answer"):
        form.fitted(SINGLE, short, around + 1)


@pytest.mark.parametrize(("kind", "limit"), [("bert", 80), ("roberta", 78), ("deberta-v2", 80)])
def test_rows_as_long_as_the_model_allows_go_through(kind: str, limit: int, tmp_path: Path) -> None:
    model = fresh(kind, tmp_path)
    assert model.limit == limit
    long = row(model, Completion(SINGLE, "one two " * 60), limit)
    assert long.ids.shape[1] == limit
    assert math.isfinite(model.scores(long).item())


def test_the_head_is_fresh_and_seeded_and_the_backbone_is_the_sources(tmp_path: Path) -> None:
    path = save_encoder("bert", tmp_path / "masked", auto=AutoModelForMaskedLM)
    first, same, other = (new_reward_model(path, seed=seed, **CPU) for seed in (0, 0, 1))
    state = {name: weight.clone() for name, weight in first.model.state_dict().items()}
    assert all(torch.equal(same.model.state_dict()[name], state[name]) for name in state)
    changed = {n for n, w in other.model.state_dict().items() if not torch.equal(w, state[n])}
    assert changed == {"bert.pooler.dense.weight", "classifier.weight"}  # no pooler in a masked LM
    assert float(first.head.weight.detach().std()) == pytest.approx(1 / math.sqrt(33), rel=0.4)
    source = AutoModelForMaskedLM.from_pretrained(path)
    embedded = source.get_input_embeddings().weight
    assert torch.equal(first.backbone.embeddings.word_embeddings.weight, embedded)


def test_a_head_of_other_labels_is_replaced_and_no_reward_model(tmp_path: Path) -> None:
    path = save_encoder(
        "roberta", tmp_path / "three", auto=AutoModelForSequenceClassification, num_labels=3
    )
    assert new_reward_model(path, **CPU).head.out_features == 1
    with pytest.raises(UserError, match="3 labels"):
        load_reward_model(path, **CPU)


def test_what_others_saved_loads(tmp_path: Path) -> None:
    path = save_encoder(
        "deberta-v2", tmp_path / "rm", auto=AutoModelForSequenceClassification, num_labels=1
    )
    model = load_reward_model(path, **CPU)
    assert model.offset == 0.0
    scores = LearnedReward(model, context=78)(COMPLETIONS)
    assert scores == pytest.approx(plain_scores(path, COMPLETIONS), abs=1e-5)


def test_weights_that_are_not_of_the_head_must_be_there(tmp_path: Path) -> None:
    path = save_encoder("bert", tmp_path / "bert")
    config = AutoConfig.from_pretrained(path)
    config.num_hidden_layers = 3
    config.save_pretrained(path)
    with pytest.raises(UserError, match=r"not all there; .*encoder\.layer\.2"):
        new_reward_model(path, **CPU)
    config.num_hidden_layers = 2
    config.intermediate_size = 64
    config.save_pretrained(path)
    with pytest.raises(UserError, match=r"other shapes than config\.json says"):
        new_reward_model(path, **CPU)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("bart", {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 50}),
        (
            "modernbert-decoder",
            {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4},
        ),
    ],
)
def test_what_is_neither_encoder_nor_decoder_is_refused(
    kind: str, sizes: dict[str, Any], tmp_path: Path
) -> None:
    AutoConfig.for_model(kind, **sizes).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match="is no encoder"):
        new_reward_model(tmp_path, **CPU)


SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 80, "initializer_range": 0.2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sizes", "says"),
    [
        ("fnet", SIZES, "scores a text otherwise once a longer one is scored with it"),
        ("nystromformer", SIZES, "does not leave out the padding"),
        ("convbert", {**SIZES, "embedding_size": 32}, "does not leave out the padding"),
        ("tapas", SIZES, "cannot score a text by its tokens alone (too many indices"),
    ],
)
def test_what_does_not_score_a_text_by_itself_is_refused(
    kind: str, sizes: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, kind, sizes)
    with pytest.raises(UserError, match=re.escape(says)):
        fresh(kind, tmp_path)


def test_a_saved_one_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "fnet", SIZES)
    auto = AutoModelForSequenceClassification
    path = save_encoder("fnet", tmp_path / "fnet", auto=auto, num_labels=1)
    with pytest.raises(UserError, match="does not leave out the padding"):
        load_reward_model(path, **CPU)


def test_half_precision_is_no_reason_to_refuse(tmp_path: Path) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model = fresh("bert", tmp_path)
    save_reward_model(model, tmp_path / "saved")
    load_reward_model(tmp_path / "saved", device="cpu", dtype="bfloat16")


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    path = save_encoder("bert", tmp_path / "bert")
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(path)
    with pytest.raises(UserError, match="the tokenizer is larger than the model's embedding"):
        new_reward_model(path, **CPU)


@pytest.mark.parametrize("kind", KINDS)
def test_lora_trains_the_adapter_and_the_head(kind: str, tmp_path: Path) -> None:
    model = with_adapter(fresh(kind, tmp_path), rank=2, alpha=4)
    prefix = model.classifier.base_model_prefix
    for name, weight in model.classifier.named_parameters():
        whole = not name.startswith(f"{prefix}.") or ".pooler." in name
        assert weight.requires_grad == (whole or "lora_" in name), name
    layers = [n for n, _ in model.classifier.named_parameters() if "lora_A" in n]
    assert layers
    assert all(n.startswith(f"{prefix}.") and "pooler" not in n for n in layers)
    model.scores(row(model, COMPLETIONS[0])).sum().backward()
    assert float(model.head.weight.grad.abs().sum()) > 0


def test_lora_on_the_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="LoRA cannot be attached"):
        with_adapter(fresh("bert", tmp_path), rank=2, alpha=4, targets=["classifier"])


def test_an_encoder_scores_no_beginnings(tmp_path: Path) -> None:
    model = fresh("bert", tmp_path)
    with pytest.raises(ValueError, match="no beginnings"):
        model.token_scores(row(model, COMPLETIONS[0]))
    with pytest.raises(ValueError, match="no beginnings"):
        _ = model.turns


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_under_autocast_the_last_layer_is_exact(kind: str, tmp_path: Path) -> None:
    model = fresh(kind, tmp_path)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        score = model.scores(row(model, COMPLETIONS[0]))
    assert score.dtype == torch.float32
    assert float(score.bfloat16().float() - score) != 0
    assert score.item() == pytest.approx(model.scores(row(model, COMPLETIONS[0])).item(), abs=0.1)


@pytest.mark.parametrize("micro_tokens", [100, 300])
def test_a_pass_holds_no_more_than_micro_tokens(tmp_path: Path, micro_tokens: int) -> None:
    model = fresh("bert", tmp_path)
    texts = ["one", "two red blue " * 6, "yes", "maybe " * 9] * 5
    pairs = [Comparison(SINGLE, text, other) for text, other in pairwise(texts)]
    rows = pair_rows(model.chat, pairs, 78)
    seen: list[int] = []
    model.model.register_forward_pre_hook(
        lambda _module, _args, inputs: seen.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    method = reward_modelling(model, rows, Order(len(pairs), len(pairs), 0))
    for part in rows.split(micro_tokens):
        method.loss(part)
    assert max(seen) <= micro_tokens
    assert sum(seen) < 1.5 * int(rows.cost().sum())  # rows of a length stand together
