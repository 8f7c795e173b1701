"""Model directories in which something is wrong: said in one paragraph, by the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from heed.cli.main import app
from heed.errors import UserError
from heed.models.language_model import load_language_model, new_language_model, save_language_model
from heed.models.reward_model import load_reward_model, new_reward_model, save_reward_model
from heed.models.sound import check_same_tokens
from heed.models.tokenizers import train_bpe

runner = CliRunner()
SIZES = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "lm"
    save_language_model(new_language_model(train_bpe(["hello there"], 300), SIZES, 0), path)
    return path


def gone(*names: str) -> Spoil:
    return lambda path: [(path / name).unlink() for name in names]


def holds(name: str, content: bytes) -> Spoil:
    return lambda path: (path / name).write_bytes(content)


def cut(name: str) -> Spoil:
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:-100])


def set_to(name: str, **values: Any) -> Spoil:
    def spoil(path: Path) -> None:
        content = json.loads((path / name).read_text())
        (path / name).write_text(json.dumps({**content, **values}))

    return spoil


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Spoil:
    def spoil(path: Path) -> None:
        tensors = {name: each.clone() for name, each in load_file(path / WEIGHTS).items()}
        change(tensors)
        save_file(tensors, path / WEIGHTS, metadata={"format": "pt"})

    return spoil


def shortened(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:100].clone()


def no_number(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.norm.weight"][3] = torch.nan


def larger(path: Path) -> None:
    tokenizer = train_bpe(["hello there"], 300)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(path)


def adapter(settings: bytes, tensors: bytes) -> Spoil:
    def spoil(path: Path) -> None:
        gone(CONFIG, WEIGHTS)(path)
        (path / "adapter_config.json").write_bytes(settings)
        (path / "adapter_model.safetensors").write_bytes(tensors)

    return spoil


SPOILED: dict[str, tuple[Spoil, str]] = {
    "no tokenizer": (gone(TOKENIZER, "tokenizer_config.json"), "has no tokenizer beside its model"),
    "tokenizer cut": (cut(TOKENIZER), "Cannot load a tokenizer from"),
    "tokenizer a list": (holds(TOKENIZER, b"[]"), "Cannot load a tokenizer from"),
    "tokenizer settings a list": (
        holds("tokenizer_config.json", b"[]"), "Cannot load a tokenizer from"),
    "no end of sequence": (
        gone("tokenizer_config.json"), "has no end-of-sequence token, so an answer could never"),
    "tokenizer larger": (
        larger, "it has ids up to 266 ('<new>'), 267 tokens, and the embedding has 266 rows"),
    "config empty": (holds(CONFIG, b""), "is not a valid JSON file"),
    "config cut": (cut(CONFIG), "is not a valid JSON file"),
    "config a number": (holds(CONFIG, b"3"), "Cannot load a model from"),
    "config of nothing": (holds(CONFIG, b"{}"), "Should have a `model_type` key"),
    "config ill-typed": (set_to(CONFIG, hidden_size="x"), "'hidden_size' expected int, got str"),
    "config impossible": (set_to(CONFIG, num_attention_heads=3), "not a multiple of the number"),
    "model type unknown": (set_to(CONFIG, model_type="nonsense"), "model type `nonsense`"),
    "vocabulary of another": (
        set_to(CONFIG, vocab_size=9999),
        "lm_head.weight first: (266, 16) in the file, (9999, 16) by config.json"),
    "a layer more": (set_to(CONFIG, num_hidden_layers=2), "are not all there; 9 missing"),
    "generation a list": (holds("generation_config.json", b"[]"), "Cannot load a model from"),
    "weights empty": (holds(WEIGHTS, b""), "header too small"),
    "weights cut": (cut(WEIGHTS), "not fully covered"),
    "weights something else": (holds(WEIGHTS, b"\xff" * 999), "header too large"),
    "weights of another shape": (weights(shortened), "(100, 16) in the file, (266, 16) by config"),
    "weights missing": (weights(lambda each: each.pop("lm_head.weight")), "1 missing, lm_head.wei"),
    "weights no numbers": (weights(no_number), "hold NaN or infinities, model.norm.weight first"),
    "weights pickled": (
        lambda path: (path / WEIGHTS).rename(path / "pytorch_model.bin"), "which Heed never loads"),
    "an index of nothing": (
        lambda path: (path / WEIGHTS).rename(path / "model.safetensors.index.json"),
        "has no safetensors weights"),
    "template broken": (holds("chat_template.jinja", b"{% for %}"), "refuses the prompt 'Hello?'"),
    "template refuses": (
        holds("chat_template.jinja", b"{{ raise_exception('nothing') }}"), "'Hello?' (roles user)"),
    "adapter settings broken": (adapter(b"{", b""), "adapter_config.json is not JSON"),
    "adapter settings a list": (adapter(b"[]", b""), "does not name its base model"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_model_is_refused(what: str, model: Path, tmp_path: Path) -> None:
    spoil, message = SPOILED[what]
    path = shutil.copytree(model, tmp_path / "mine")
    spoil(path)
    result = runner.invoke(app, ["sample", str(path), "Hello?", "--device", "cpu"])
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert message in said
    assert "mine" in said
    assert result.stderr.startswith("Error: ")
    assert "\n\n" not in result.stderr
    assert "Traceback" not in said
    assert result.stdout == ""


def test_an_adapter_that_is_cut_off(model: Path, tmp_path: Path) -> None:
    settings = {"base_model_name_or_path": str(model), "peft_type": "LORA", "r": 2,
                "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}  # fmt: skip
    path = shutil.copytree(model, tmp_path / "mine")
    adapter(json.dumps(settings).encode(), b"abc")(path)
    with pytest.raises(UserError, match=r"Cannot merge the adapter in .*mine into"):
        load_language_model(path, device="cpu")


def test_a_reward_model_is_held_to_the_same(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "reward"
    save_reward_model(new_reward_model(model, device="cpu"), path)
    larger(path)
    tokenizer = train_bpe(["hello there"], 300)
    tokenizer.add_tokens([f"<{number}>" for number in range(9)])
    tokenizer.save_pretrained(path)
    with pytest.raises(UserError, match="275 tokens, and the embedding has 266 rows"):
        load_reward_model(path, device="cpu")


def test_vocabularies_are_the_same_where_one_goes_on_from_the_other() -> None:
    ours, theirs = train_bpe(["hello there"], 300), train_bpe(["hello there"], 300)
    theirs.add_tokens(["<more>"])
    check_same_tokens(ours, theirs, "This", "that")
    with pytest.raises(
        UserError, match=r"That and this .* \(267 and 266 tokens; 1 of .*'<more>' first"
    ):
        check_same_tokens(theirs, ours, "That", "this")


def test_a_critic_of_another_vocabulary_is_refused(
    run_copy: Path, tiny_settings: list[str]
) -> None:
    path = run_copy / "reward" / "model" / TOKENIZER
    words = json.loads(path.read_text())
    vocabulary = words["model"]["vocab"]
    first, second = [*vocabulary][-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(words))
    settings = [word for each in [*tiny_settings, "ppo.iterations=5"] for word in ("--set", each)]
    result = runner.invoke(app, ["train", "ppo", "--out", str(run_copy), *settings])
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert "The policy of 'sft' and reward 'reward' have different vocabularies" in said
    assert "2 of the first are not the same in the second" in said


def test_a_model_without_a_template_is_told(model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"name: mine\nmodel: {model}\nstages: [records: {{corpus: 100, demonstrations: 40}}, "
        "pretrain: {}]\n"
    )
    result = runner.invoke(app, ["run", str(recipe), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "has no chat template: conversations are written as HH transcripts" in result.stderr
