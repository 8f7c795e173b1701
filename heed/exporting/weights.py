"""Weights, tokenizer and generation config into a folder, read again and held against what they
were made of.

Both sides are computed in float32 from the weights as they are after rounding, so that the only
difference could be in what was written; what rounding itself costs is measured apart.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
)

from heed.errors import UserError
from heed.exporting import probes
from heed.exporting.found import Found
from heed.exporting.probes import Apart, Probe
from heed.exporting.tokenizing import Wording, save_pairing, save_tokenizer
from heed.models import source as sources
from heed.models.language_model import LanguageModel, load_language_model
from heed.models.pair_format import PairFormat
from heed.models.reward_model import RewardModel, load_reward_model
from heed.recipe import Sampling
from heed.types import Prompt

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE = "base"
"""The folder of an adapter's base, where that is a policy of the run."""
CONTEXT = 512
"""Tokens, where a model does not say how many it takes."""
WORN = 100 * probes.EXACT
"""Nats a token that an adapter worn by peft may differ from one merged: another order of sums."""
SPARE = 64 * 2**20
"""Bytes beside the weights: tokenizer, card, figures."""
Step = Callable[[], None]
"""Called between two pieces of work, for who shows how far it is."""


@dataclass(frozen=True)
class Checked:
    """What reading it again showed. `written` is of the weights, `rounding` of their precision
    (None in float32), `answers` how many of the likeliest answers are the same.
    """

    written: Apart
    rounding: Apart | None
    answers: int | None
    probes: int
    wording: Wording
    parameters: int
    allowed: float
    """How far `written` might have gone at most."""


def export_policy(found: Found, folder: Path, dtype: str, shard: str, step: Step) -> Checked:
    """The merged policy. Raises UserError where it does not fit on the disk, or is read otherwise
    than it was written.
    """
    lm = load_language_model(found.source, device="cpu", dtype="float32")
    said = _said(found, lm)
    before = probes.logprobs(lm.model, said)
    step()
    generation = generation_config(lm, found.sampling)
    expected, parameters = _save(lm.model, folder, dtype, shard, before, said)
    wording = _save_tokenizer(lm, said, folder)
    generation.save_pretrained(folder)
    del lm.model
    step()
    model = sources.load_weights(AutoModelForCausalLM, folder, torch.float32).eval()
    written = probes.must_equal(
        probes.apart(expected, probes.logprobs(model, said)), "log-probs (nats a token)"
    )
    rounding = None
    if dtype != "float32":
        del model
        model = sources.load_weights(AutoModelForCausalLM, folder, DTYPES[dtype]).eval()
        rounding = probes.must_be_near(
            probes.apart(before, probes.logprobs(model, said)), dtype, "log-probs (nats a token)"
        )
    answers = probes.greedy(model, said)
    same = sum(ids == each.ids for ids, each in zip(answers, said, strict=True))
    if dtype == "float32" and same < len(said):
        raise UserError(
            f"Plain transformers answers {len(said) - same} of {len(said)} prompts otherwise than "
            "Heed does, though the weights are equal. Nothing was kept. This is a defect of Heed's "
            "or of the model's generation config; please report it."
        )
    return Checked(written, rounding, same, len(said), wording, parameters, probes.EXACT)


def export_adapter(
    found: Found, folder: Path, final: Path | None, dtype: str, shard: str, step: Step
) -> Checked:
    """The adapter alone, and in `base/` what it stands on where others find it nowhere else; the
    adapter's config names the base as it lies under `final`, the folder's place in the end (None:
    on the hub, where no path holds).
    """
    adapter = found.adapter
    if adapter is None:
        raise UserError(
            f"{found.run}:{found.name} has no adapter: it trained all its weights. Leave --adapter "
            "out, or train it with lora."
        )
    lm = load_language_model(found.source, device="cpu", dtype="float32")
    said = _said(found, lm)
    merged = probes.logprobs(lm.model, said)
    step()
    base, along = found.base, found.base.along(hub=final is None)
    wording = _save_tokenizer(lm, said, *([folder, folder / BASE] if along else [folder]))
    generation_config(lm, found.sampling).save_pretrained(folder)
    del lm.model
    if along:
        inner = load_language_model(base.source, device="cpu", dtype="float32")
        _save(inner.model, folder / BASE, dtype, shard, [], [])
        del inner
    parameters = _copy_adapter(adapter, folder, _place(base.source, along, final), dtype)
    step()
    source = folder / BASE if along else base.source
    model = sources.load_weights(AutoModelForCausalLM, source, torch.float32)
    worn = PeftModel.from_pretrained(model, folder).eval()
    gap = probes.apart(merged, probes.logprobs(worn, said))
    if dtype == "float32" and gap.most > WORN:
        raise UserError(_unlike(gap, base.source))
    rounding = None
    if dtype != "float32":
        rounding = probes.must_be_near(gap, dtype, "log-probs (nats a token)")
    return Checked(gap, rounding, None, len(said), wording, parameters, WORN)


def export_reward(found: Found, folder: Path, dtype: str, shard: str, step: Step) -> Checked:
    """A reward model, merged; plain transformers gives its scores but for the offset in the config.

    Raises UserError as `export_policy` does.
    """
    own = load_reward_model(found.source, device="cpu", dtype="float32")
    context = own.limit or CONTEXT
    said = _imagined(found, own, context)
    before = probes.scores(own, said, context)
    step()
    _, parameters = _save(own.model, folder, dtype, shard, [], [])
    expected = probes.scores(own, said, context)
    typed = isinstance(own.chat, PairFormat) and own.chat.typed
    prompts = [each.prompt for each in said]
    if isinstance(own.chat, PairFormat):
        wording = save_pairing(own.tokenizer, own.chat, prompts, folder)
    else:
        wording = save_tokenizer(own.tokenizer, own.turns, prompts, folder)
    step()
    plain = _classifier(folder, torch.float32)
    allowed = probes.allowed_of_scores(own.head)
    written = probes.must_equal(
        probes.apart(expected, probes.plain_scores(plain, said, typed=typed)), "scores", allowed
    )
    rounding = None
    if dtype != "float32":
        plain = _classifier(folder, DTYPES[dtype])
        found_ = probes.plain_scores(plain, said, typed=typed)
        rounding = probes.must_be_near(probes.apart(before, found_), dtype, "scores")
    return Checked(written, rounding, None, len(said), wording, parameters, allowed)


def kept_dtype(source: str) -> str:
    """The precision in which a model's weights are kept; float32 where its config does not say."""
    try:
        kept = getattr(AutoConfig.from_pretrained(source), "dtype", None)
    except (OSError, ValueError):  # an adapter has none; of what is missing, loading tells
        return "float32"
    name = str(kept or torch.float32).removeprefix("torch.")
    return name if name in DTYPES else "float32"


def generation_config(lm: LanguageModel, drawn: Sampling) -> GenerationConfig:
    """Let plain `generate` stop where Heed's sampler stops, and draw as it drew."""
    ends = sorted(lm.chat.stop_ids)
    how: dict[str, Any] = {"do_sample": False}
    if drawn.temperature > 0:
        how = {
            "do_sample": True, "temperature": drawn.temperature, "top_p": drawn.top_p,
            "top_k": drawn.top_k,
        }  # fmt: skip
    return GenerationConfig(
        bos_token_id=lm.tokenizer.bos_token_id,
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        pad_token_id=lm.chat.pad_id,
        max_new_tokens=drawn.max_new_tokens,
        **how,
    )


def needed(parameters: int, dtype: str) -> int:
    """Bytes on the disk."""
    return parameters * DTYPES[dtype].itemsize + SPARE


def check_room(folder: Path, wanted: int) -> None:
    """Raises UserError where the disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise UserError(
            f"The disk of {folder.parent} has {_gigabytes(free)} GB free and the export takes "
            f"{_gigabytes(wanted)} GB. Make room, name a directory on another disk, or export with "
            "--dtype bfloat16."
        )


def _said(found: Found, lm: LanguageModel) -> list[Probe]:
    context = getattr(lm.model.config.get_text_config(), "max_position_embeddings", None)
    prompts = probes.prompts_for(found, lambda p: len(lm.chat.prompt_ids(p)), context or CONTEXT)
    return probes.answered(lm, prompts)


def _save_tokenizer(lm: LanguageModel, said: Sequence[Probe], *folders: Path) -> Wording:
    return save_tokenizer(lm.tokenizer, lm.chat, [each.prompt for each in said], *folders)


def _imagined(found: Found, own: RewardModel, context: int) -> list[Probe]:
    """Probes of a reward model, which answers nothing: the prompts' own words stand for answers."""

    def length(prompt: Prompt) -> int:
        return sum(map(len, own.chat.fitted(prompt, prompt.text, context)))

    made = []
    for prompt in probes.prompts_for(found, length, context):
        before, answer = own.chat.fitted(prompt, prompt.text, context)
        made.append(Probe(prompt, tuple(before), prompt.text, tuple(answer)))
    return made


def _save(
    model: Any,
    folder: Path,
    dtype: str,
    shard: str,
    before: list[float],
    said: Sequence[Probe],
) -> tuple[list[float], int]:
    """Write a model in a precision; it stays in float32, but rounded. Gives what it says then, and
    the number of its parameters.
    """
    parameters = sum(weight.numel() for weight in model.parameters())
    folder.mkdir(exist_ok=True)
    check_room(folder, needed(parameters, dtype))
    kind = DTYPES[dtype]
    for weight in model.parameters():
        weight.data = weight.data.to(kind)
        if not bool(weight.isfinite().all()):
            raise UserError(
                f"The weights do not fit into {dtype}: one becomes infinite. Export them with "
                "--dtype bfloat16 or float32."
            )
    model.config.dtype = kind
    model.save_pretrained(folder, max_shard_size=shard)
    if dtype == "float32":
        return before, parameters
    for weight in model.parameters():
        weight.data = weight.data.float()
    return probes.logprobs(model, said) if said else [], parameters


def _copy_adapter(adapter: Path, folder: Path, base: str, dtype: str) -> int:
    """The adapter's two files, its base named; gives the number of its parameters."""
    settings: Mapping[str, Any] = json.loads(
        (adapter / sources.ADAPTER_CONFIG).read_text(encoding="utf-8")
    )
    named = {**settings, "base_model_name_or_path": base, "inference_mode": True}
    text = json.dumps(named, indent=2, sort_keys=True) + "\n"
    (folder / sources.ADAPTER_CONFIG).write_text(text, encoding="utf-8")
    tensors = {
        name: each.to(DTYPES[dtype]) for name, each in load_file(adapter / ADAPTER_WEIGHTS).items()
    }
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    return sum(each.numel() for each in tensors.values())


def _place(source: str, along: bool, final: Path | None) -> str:
    """What the adapter's config calls its base: a hub name, or a path from anywhere."""
    if along:
        # On the hub only beside the adapter; no name there reads like this one.
        return f"./{BASE}" if final is None else str((final / BASE).resolve())
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


def _classifier(folder: Path, dtype: torch.dtype) -> Any:
    return sources.load_weights(AutoModelForSequenceClassification, folder, dtype).eval()


def _unlike(gap: Apart, base: str) -> str:
    return (
        f"The adapter on {base} differs from the policy by up to {gap.most:.2g} nats a token. Has "
        "that model changed since it was trained? Nothing was kept; export the merged weights "
        "(without --adapter)."
    )


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:.2f}"
