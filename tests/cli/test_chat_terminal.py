"""`heed chat` in a real terminal: tokens as they come, Ctrl-C, and a model that means harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminals import CTRL_C, CTRL_D, terminal

EVIL = ("\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\u202e", "fine", "語")


@pytest.fixture
def evil(tmp_path: Path) -> str:
    """A model that writes escape sequences, and without end."""
    import torch
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    from heed.models.language_model import new_language_model, save_language_model

    names = ["<pad>", "<eos>", "<unk>", *EVIL]
    raw = Tokenizer(WordLevel({name: at for at, name in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 1, "num_key_value_heads": 1}  # fmt: skip
    lm = new_language_model(
        tokenizer, {"model_type": "llama", "max_position_embeddings": 200_000, **sizes}, 0
    )
    save = tmp_path / "evil"
    with torch.no_grad():  # every hidden state is all ones: words alike, everything else never
        for name, weight in lm.model.named_parameters():
            weight.fill_(float("norm" in name or "embed_tokens" in name))
        lm.model.get_output_embeddings().weight[:3] = -10.0
    save_language_model(lm, save)
    return str(save)


def test_a_conversation_in_a_terminal(evil: str) -> None:
    with terminal("chat", evil, "--max-new-tokens", "20000", "--keep", f"{evil}.jsonl") as shown:
        at = shown.wait_for("Ctrl-D leaves.")
        shown.press("hello\r")
        for words in ("fine", "␛[2J", "<U+202E>", "語"):  # while thousands are still to be drawn
            shown.wait_for(words, at)
        shown.press(CTRL_C)
        at = shown.wait_for("Stopped.", at)
        shown.press("/save " + f"{evil}-said.jsonl\r")
        at = shown.wait_for("The conversation is in", at)
        shown.press("/tokens 4\r/compare\ragain\r")
        at = shown.wait_for("Which is better?", at)
        shown.press("2\r")
        at = shown.wait_for("Kept: 1", at)
        shown.press(CTRL_C)
        assert shown.child.wait(30) == 0
        text = shown.text
    said = Path(f"{evil}-said.jsonl").read_text(encoding="utf-8")
    assert "fine" in said
    for harm in EVIL[:4]:
        assert harm not in text
    assert "Traceback" not in text
    assert Path(f"{evil}.jsonl").read_text().count("\n") == 1


@pytest.mark.slow
def test_ctrl_d_leaves(evil: str) -> None:
    with terminal("chat", evil) as shown:
        shown.wait_for("Ctrl-D leaves.")
        shown.press(CTRL_D)
        assert shown.child.wait(30) == 0
    assert "Traceback" not in shown.text
