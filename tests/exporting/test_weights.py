"""What is exported, loaded by plain transformers and peft, is what Heed trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import WORDS
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    TokenizersBackend,
    pipeline,
)

from heed.errors import UserError
from heed.exporting import loading, probes, weights
from heed.exporting.export import Exported, Wish, export
from heed.exporting.found import find
from heed.models.language_model import load_language_model
from heed.models.reward_model import load_reward_model
from heed.models.tokenizers import train_bpe
from heed.rewards.learned import LearnedReward
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt

IDS = torch.tensor([[5, 6, 7, 8, 9, 1, 12]])
ASKED = "good blue ?"
TURNS = [{"role": "user", "content": ASKED}]
ON_CARD = Completion(Prompt.of(loading.HELLO), loading.ANSWER)
KINDS = ("llama", "gpt2", "qwen2")


@pytest.fixture(autouse=True)
def _without_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards take most of an export's time here; test_card.py has them."""
    monkeypatch.setattr("heed.exporting.export.write_card", lambda card, folder: None)


def exported(run: Path, stage: str | None, **wish: Any) -> tuple[Path, Exported]:
    folder = run.parent / "export"
    return folder, export(find(run, stage), folder, Wish(**wish))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits.float()


def heeds(source: Path) -> torch.Tensor:
    return logits(load_language_model(source, device="cpu", dtype="float32").model)


@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_in_plain_transformers(toy_run: Callable[..., Path], kind: str) -> None:
    run = toy_run(kind)
    folder, made = exported(run, "dpo")
    plain = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(plain), heeds(run / "dpo/policy"), rtol=0, atol=1e-5)
    assert made.checked.written.most <= 1e-5
    assert made.checked.answers == made.checked.probes == 2
    assert plain.dtype == torch.float32
    assert not list(folder.rglob("*.bin"))
    config = json.loads((folder / "generation_config.json").read_text())
    assert (config["eos_token_id"], config["top_k"], config["do_sample"]) == (1, 5, True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_answers_as_heed_does(toy_run: Callable[..., Path], kind: str) -> None:
    run = toy_run(kind)
    folder, made = exported(run, None)  # the last policy
    lm = load_language_model(run / "dpo" / "policy", device="cpu")
    (heed,) = LocalSampler(lm, max_new_tokens=12, temperature=0.0).sample([Prompt.of(ASKED)])
    reader = {"AutoTokenizer": AutoTokenizer, "TokenizersBackend": TokenizersBackend}
    tokenizer = reader[made.checked.wording.reader].from_pretrained(folder)
    answer = pipeline("text-generation", model=str(folder), tokenizer=tokenizer, device="cpu")(
        TURNS, max_new_tokens=12, do_sample=False, top_k=None, top_p=None, temperature=None
    )
    assert answer[0]["generated_text"][-1]["content"].strip() == heed.text


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_an_adapter_on_a_policy_brings_its_base(toy_run: Callable[..., Path], kind: str) -> None:
    run = toy_run(kind)
    folder, _ = exported(run, "dpo", what="adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(folder / "base")
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    torch.testing.assert_close(logits(base), heeds(run / "sft/policy"), rtol=0, atol=1e-5)
    worn = PeftModel.from_pretrained(base, folder)
    torch.testing.assert_close(logits(worn), heeds(run / "dpo/policy"), rtol=0, atol=1e-4)
    alone = AutoPeftModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(alone), logits(worn))
    assert not (folder / "model.safetensors").exists()


def test_an_adapter_on_a_given_model_names_it(toy_run: Callable[..., Path]) -> None:
    run = toy_run(outside=True)
    folder, _ = exported(run, "sft", what="adapter")
    named = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(run.parent / "base")
    assert not (folder / "base").exists()
    worn = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(named), folder)
    torch.testing.assert_close(logits(worn), heeds(run / "sft/policy"), rtol=0, atol=1e-4)


@pytest.mark.parametrize("outside", [True, False])
def test_an_adapter_for_the_hub_holds_no_path(toy_run: Callable[..., Path], outside: bool) -> None:
    run = toy_run(outside=outside)
    folder, found = run.parent / "export", find(run, "sft")
    made = export(found, folder, Wish("adapter"), repository="me/toy")
    text = (folder / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "./base"
    assert str(run.parent) not in text
    worn = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), folder)
    torch.testing.assert_close(logits(worn), heeds(run / "sft/policy"), rtol=0, atol=1e-4)
    program = loading.code(found, "adapter", made.checked, "me/toy", hub=True)
    assert "where = snapshot_download('me/toy')" in program
    assert 'from_pretrained(where + "/base")' in program


@pytest.mark.parametrize("kind", KINDS)
def test_a_reward_model_scores_as_in_heed(toy_run: Callable[..., Path], kind: str) -> None:
    run = toy_run(kind)
    folder, _ = exported(run, "reward")
    answers = ["yes red", "no", "blue blue one"]
    own = load_reward_model(run / "reward" / "model", device="cpu")
    heed = LearnedReward(own, context=64)([Completion(Prompt.of(ASKED), text) for text in answers])
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    prompt = own.chat.prompt_ids(Prompt.of(ASKED))
    for text, wanted in zip(answers, heed, strict=True):
        ids = torch.tensor([[*prompt, *own.chat.completion_ids(text)]])
        with torch.no_grad():
            score = plain(input_ids=ids).logits.item() + plain.config.heed_offset
        assert score == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(UserError, match="head trains in full"):
        export(find(run, "reward"), run / "other", Wish("adapter"))


@pytest.mark.parametrize(
    ("stage", "dtype"), [("dpo", "bfloat16"), ("dpo", "float16"), ("reward", "bfloat16")]
)
def test_half_precision(toy_run: Callable[..., Path], dtype: str, stage: str) -> None:
    run = toy_run()
    folder, made = exported(run, stage, dtype=dtype)
    source = run / ("dpo/policy" if stage == "dpo" else "reward/model")
    kept, written = (load_file(each / "model.safetensors") for each in (source, folder))
    kind = getattr(torch, dtype)
    assert all(torch.equal(kept[name].to(kind), written[name]) for name in kept)
    assert made.checked.written.most <= 1e-5
    assert made.checked.rounding
    assert 0 < made.checked.rounding.mean <= probes.ROUNDING


def test_weights_that_half_precision_cannot_hold(toy_run: Callable[..., Path]) -> None:
    run = toy_run()
    path = run / "dpo" / "policy" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.embed_tokens.weight"][0, 0] = 1e6
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="do not fit into float16"):
        exported(run, "dpo", dtype="float16")
    assert not (run.parent / "export").exists()


def test_weights_in_several_files(toy_run: Callable[..., Path]) -> None:
    run = toy_run()
    folder, made = exported(run, "dpo", shard="6KB")
    assert (folder / "model.safetensors.index.json").exists()
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert sum(made.files.values()) == sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file()
    )
    plain = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(plain), heeds(run / "dpo/policy"), rtol=0, atol=1e-5)


def test_a_byte_level_tokenizer_gets_heeds_form(toy_run: Callable[..., Path]) -> None:
    tokenizer = train_bpe([" ".join(WORDS)] * 3, vocab_size=280)
    run = toy_run(tokenizer=tokenizer)
    folder, made = exported(run, "dpo")
    assert made.checked.wording.template == "Heed's"
    before, after = (
        load_language_model(each, device="cpu") for each in (run / "dpo/policy", folder)
    )
    again = AutoTokenizer.from_pretrained(folder)
    for text in (ASKED, "Spell <eos>, please.", "  two\n\nHuman: lines "):
        wanted = before.chat.prompt_ids(Prompt.of(text))
        turns = [{"role": "user", "content": text}]
        found = again.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
        assert list(found) == wanted
        # Heed itself reads the export as it read the policy: the answer behind one space.
        assert after.chat.prompt_ids(Prompt.of(text)) == wanted
        assert after.chat.completion_ids(text) == before.chat.completion_ids(text)
        assert after.chat.text(after.chat.completion_ids(text)) == text


def test_what_is_read_otherwise_than_written_is_not_kept(
    toy_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run()
    read = weights.sources.load_weights

    def spoilt(*arguments: Any) -> Any:
        model = read(*arguments)
        if Path(arguments[1]).name.startswith(".export"):
            model.model.embed_tokens.weight.data[5:] += 1e-2
        return model

    monkeypatch.setattr(weights.sources, "load_weights", spoilt)
    with pytest.raises(UserError, match="not what was to be written"):
        exported(run, "dpo")
    assert not [path for path in run.parent.iterdir() if "export" in path.name]


def test_a_full_disk_is_found_before_writing(
    toy_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run()
    full = shutil.disk_usage(run)._replace(free=1000)
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match=r"0\.00 GB free and the export takes 0\.07 GB"):
        exported(run, "dpo")
    assert not [path for path in run.parent.iterdir() if "export" in path.name]


def test_an_encoder_scores_pairs_as_in_heed(toy_run: Callable[..., Path]) -> None:
    run = toy_run()
    shutil.rmtree(run / "reward" / "model")
    tokenizer = _pairing_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, num_labels=1, initializer_range=0.5,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, heed_offset=0.25,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(run / "reward" / "model")
    tokenizer.save_pretrained(run / "reward" / "model")
    folder, made = exported(run, "reward")
    assert made.checked.wording.template == "pair"
    own = load_reward_model(run / "reward" / "model", device="cpu")
    given = [Completion(Prompt.of(ASKED), text) for text in ("yes red", "no")]
    heed = LearnedReward(own, context=64)(given)
    assert abs(heed[0] - heed[1]) > 0.01
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    again = AutoTokenizer.from_pretrained(folder)
    for each, wanted in zip(given, heed, strict=True):
        with torch.no_grad():
            logit = plain(**again(ASKED, each.text, return_tensors="pt")).logits.item()
        assert logit + plain.config.heed_offset == pytest.approx(wanted, abs=1e-5)
    program = loading.code(find(run, "reward"), "merged", made.checked, str(folder), hub=False)
    said: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), said)
    assert said["logit"] == pytest.approx(LearnedReward(own, context=64)([ON_CARD])[0] - 0.25)


def _pairing_tokenizer() -> Any:
    """Words, and the form of BERT for two texts."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    raw = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def test_scores_may_differ_by_what_the_head_makes_of_it() -> None:
    head = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 4.0]]))
    assert probes.allowed_of_scores(head) == pytest.approx(5e-5)
    with torch.no_grad():
        head.weight.div_(100)
    assert probes.allowed_of_scores(head) == probes.EXACT
