"""The code on a card: what loads the directory, as anybody can run it."""

from __future__ import annotations

from heed.exporting.found import Found
from heed.exporting.tokenizing import PAIR
from heed.exporting.weights import BASE, Checked
from heed.models.chat import transcript
from heed.types import Message, Prompt

HELLO = "Hello! How are you?"
ANSWER = "I am well, thank you."
SCORE = 'print(logit + getattr(model.config, "heed_offset", 0.0))'
WHERE = "where = {!r}  # this directory"
FROM_HUB = "where = snapshot_download({!r})"
SHOW = (
    'print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))'
)


def code(found: Found, what: str, checked: Checked, place: str, *, hub: bool) -> str:
    """Python that loads the model and asks it, or scores an answer; `place` is a directory's path,
    or with `hub` a name there.
    """
    if found.kind == "reward":
        return _reward(found, checked, place, hub=hub)
    lines = _where(place, hub=hub and what == "adapter")
    names = ["AutoModelForCausalLM", checked.wording.reader]
    if what == "adapter":
        lines.insert(0, "from peft import PeftModel")
        names.append("GenerationConfig")
    lines.insert(what == "adapter", f"from transformers import {', '.join(sorted(names))}")
    lines += ["", f"tokenizer = {checked.wording.reader}.from_pretrained(where)"]
    if what == "adapter":
        along = found.base.along(hub=hub)
        base = f'where + "/{BASE}"' if along else repr(found.base.source)
        lines += [
            f"base = AutoModelForCausalLM.from_pretrained({base})",
            "model = PeftModel.from_pretrained(base, where)",
            "model.generation_config = GenerationConfig.from_pretrained(where)",
        ]
    else:
        lines.append("model = AutoModelForCausalLM.from_pretrained(where)")
    lines += _prompt(found, checked)
    lines += ["answer = model.generate(**prompt)", SHOW]
    return "\n".join(lines)


def _where(place: str, *, hub: bool) -> list[str]:
    if not hub:
        return ["", WHERE.format(place)]
    return ["from huggingface_hub import snapshot_download", "", FROM_HUB.format(place)]


def _prompt(found: Found, checked: Checked) -> list[str]:
    """The conversation, and its ids as `prompt`."""
    system = found.asked_with
    if checked.wording.template == "none":
        turns = (*([Message("system", system)] if system else []), Message("user", HELLO))
        text = transcript(Prompt("hello", turns))
        return [f'prompt = tokenizer({text!r}, return_tensors="pt")']
    said = [{"role": "system", "content": system}] if system else []
    said.append({"role": "user", "content": HELLO})
    return [
        "messages = [",
        *(f"    {turn!r}," for turn in said),
        "]",
        "prompt = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
        ")",
    ]


def _pair(checked: Checked, place: str, *, hub: bool) -> str:
    """An encoder's: two texts in, a logit out."""
    first = HELLO
    if checked.wording.space:  # its tokenizer knows no pairs: the transcript says who speaks
        first = transcript(Prompt.of(HELLO))
    second = checked.wording.space + ANSWER
    return "\n".join(
        [
            *_classifier(checked, place, hub=hub),
            f'pair = tokenizer({first!r}, {second!r}, return_tensors="pt")',
            "with torch.no_grad():",
            "    logit = model(**pair).logits.item()",
            SCORE,
        ]
    )


def _classifier(checked: Checked, place: str, *, hub: bool) -> list[str]:
    reader = checked.wording.reader
    return [
        "import torch",
        f"from transformers import AutoModelForSequenceClassification, {reader}",
        "",
        f"where = {place!r}" + ("" if hub else "  # this directory"),
        f"tokenizer = {reader}.from_pretrained(where)",
        "model = AutoModelForSequenceClassification.from_pretrained(where)",
    ]


def _reward(found: Found, checked: Checked, place: str, *, hub: bool) -> str:
    if checked.wording.template == PAIR:
        return _pair(checked, place, hub=hub)
    lines = [
        *_classifier(checked, place, hub=hub),
        *_prompt(found, checked),
        f"answer = tokenizer({checked.wording.space + ANSWER!r},",
        '    add_special_tokens=False, split_special_tokens=True)["input_ids"]',
        f'ids = [*prompt["input_ids"][0].tolist(), *answer, {checked.wording.end}]',
        "with torch.no_grad():",
        "    logit = model(input_ids=torch.tensor([ids])).logits.item()",
        SCORE,
    ]
    return "\n".join(lines)
