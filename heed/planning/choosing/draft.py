"""The stages of a recipe, every setting with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from heed.errors import UserError
from heed.planning.choosing import amounts, device, lengths, rates
from heed.planning.choosing.device import Load
from heed.planning.choosing.facts import Facts, Reason
from heed.planning.choosing.method import ON_POLICY, stage_kind

BASE = "base"
WARMUP = 0.1
KL = {"ppo": 0.05, "rloo": 0.05, "grpo": 0.04}
KL_SOURCES = {
    "ppo": "TRL's default, and Stiennon et al. 2020's",
    "rloo": "TRL's default",
    "grpo": "DeepSeekMath, arXiv:2402.03300",
}
GROUPS = {"rloo": 4, "grpo": 8}
GATHERED = 4 / 3
"""Weight of undesirable over desirable answers that KTO's authors allow (eq. 8)."""


@dataclass(frozen=True)
class Part:
    """A stage: its kind, its name, its settings as seen from the stage."""

    kind: str
    name: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A recipe's head and its stages."""

    head: tuple[Reason, ...]
    parts: tuple[Part, ...]

    def reasons(self) -> tuple[Reason, ...]:
        """The settings that have one, as `--set` names them, in the recipe's order."""
        found = [*self.head]
        for part in self.parts:
            found += [replace(r, setting=f"{part.name}.{r.setting}") for r in part.reasons]
        return tuple(reason for reason in found if reason.why)

    def having(self, given: Iterable[tuple[str, Any]]) -> Draft:
        """The same with settings of the user's, by `stage.key` or by a key of the head."""
        made = self
        for setting, value in given:
            made = made._having(Reason(setting, value, "as you set it"))
        return made

    def _having(self, reason: Reason) -> Draft:
        name, _, rest = reason.setting.partition(".")
        if any(part.name == name for part in self.parts):
            own = replace(reason, setting=rest)
            parts = [
                replace(part, reasons=_with(part.reasons, own)) if part.name == name else part
                for part in self.parts
            ]
            return replace(self, parts=tuple(parts))
        return replace(self, head=_with(self.head, reason))


def _with(reasons: tuple[Reason, ...], own: Reason) -> tuple[Reason, ...]:
    """A setting in its place, or at the end; settings within it give way."""
    kept = [r for r in reasons if not r.setting.startswith(f"{own.setting}.")]
    places = [place for place, r in enumerate(kept) if r.setting == own.setting]
    if not places:
        return (*kept, own)
    return tuple(own if r.setting == own.setting else r for r in kept)


@dataclass(frozen=True)
class Outline:
    """What is decided before the stages are written: method, whether answers are imitated first,
    and why; the load.
    """

    method: Reason
    imitates: Reason
    load: Load
    adapter: str | None
    """What the user asked for."""

    @property
    def start(self) -> str:
        """The stage whose policy the method starts from."""
        return "sft" if self.imitates.value and self.method.value != "sft" else BASE


def imitates(facts: Facts, method: str, wanted: bool | None) -> Reason:
    """Whether supervised fine-tuning comes first, and why.

    Raises UserError where it is the method, and not wanted.
    """
    setting = "sft first"
    possible = facts.has("demonstrations") or facts.has("comparisons") or facts.desirable > 0
    if method == "sft" and wanted is False:
        raise UserError(
            "The method is sft, and --no-sft (imitate=False) wants none. Leave it out, or choose "
            "another with --method."
        )
    if method == "sft":
        return Reason(setting, True, "it is the method")
    if not possible:
        return Reason(setting, False, "the data hold nothing to imitate")
    if wanted is not None:
        return Reason(setting, wanted, "you asked for it")
    if facts.has("demonstrations"):
        return Reason(setting, True, "the data hold demonstrations")
    if facts.templated:
        why = "the model has a chat template, so it answers already; --sft puts it first anyway"
        return Reason(setting, False, why)
    why = (
        "the model has no chat template, so it is taken for a base model: it first learns to "
        "answer from the answers that people liked (Rafailov et al. 2023, section 4)"
    )
    return Reason(setting, True, why)


def draft(facts: Facts, outline: Outline, head: Iterable[Reason], *, skip: bool) -> Draft:
    """The whole recipe. `skip`: whether broken rows are left out instead of refused."""
    heldout = amounts.heldout(facts)
    share = facts.held / facts.asked if facts.held else float(heldout.value)
    records = [] if facts.held else [heldout]
    if skip:
        records.append(Reason("broken", "skip", "you asked for it"))
    method = str(outline.method.value)
    own = stage_kind(method)
    parts = [Part("records", "records", tuple(records)), Part("pretrain", BASE, ())]
    policies = {BASE: BASE}
    if outline.imitates.value:
        parts.append(_sft(facts, outline, share))
        policies["sft"] = "sft"
    judged = facts.has("comparisons")
    if judged:
        parts.append(_reward(facts, outline, share))
    if own != "sft":
        make = _on_policy if method in ON_POLICY else _offline
        parts.append(make(facts, outline, share))
        policies[own] = own
    parts.append(_evaluate(facts, outline, policies, share, judged=judged))
    parts.append(Part("report", "report", ()))
    return Draft((*head, device.precision(facts), *amounts.words(facts)), tuple(parts))


def _sft(facts: Facts, outline: Outline, share: float) -> Part:
    shown = facts.has("demonstrations")
    good = facts.rows.get("comparisons", 0) + facts.desirable
    rows = facts.rows["demonstrations"] if shown else good
    settings = [Reason("policy", BASE)]
    if not shown:
        why = "people judged the last answer of each conversation, and those before it nobody"
        settings.append(Reason("turns", "last", why))
    settings += _amounts(facts, "sft", round(rows * (1 - share)))
    return Part("sft", "sft", (*settings, *_training(facts, outline, "sft")))


def _reward(facts: Facts, outline: Outline, share: float) -> Part:
    rows = round(facts.rows["comparisons"] * (1 - share))
    settings = [
        Reason("policy", outline.start),
        Reason("comparisons", "records", "learns which answers people chose, and judges all"),
        *_amounts(facts, "reward", rows),
        Reason("calibration", amounts.CALIBRATION[facts.cuda], "answers that scores are scaled on"),
        *_sampling(facts, outline),
    ]
    return Part("reward", "reward", (*settings, *_training(facts, outline, "reward")))


def _offline(facts: Facts, outline: Outline, share: float) -> Part:
    method = str(outline.method.value)
    kind = stage_kind(method)
    rows = facts.rows.get("comparisons", 0) * (2 if kind == "kto" else 1)
    rows += facts.rows.get("unpaired", 0) if kind == "kto" else 0
    settings = [Reason("policy", outline.start), Reason("comparisons", "records")]
    if method != kind:
        settings.append(Reason("loss", method, outline.method.why))
    if kind == "kto":
        settings += _balance(facts)
    settings += _amounts(facts, kind, round(rows * (1 - share)))
    return Part(kind, kind, (*settings, *_training(facts, outline, kind)))


def _balance(facts: Facts) -> list[Reason]:
    """Weights with which good and bad answers count about alike, where one sort is rare."""
    pairs = facts.rows.get("comparisons", 0)
    good = pairs + facts.desirable
    bad = pairs + facts.rows.get("unpaired", 0) - facts.desirable
    if not good or not bad or 1.0 <= good / bad <= GATHERED:
        return []
    rare = "desirable_coef" if good < bad else "undesirable_coef"
    weight = bad / good if good < bad else good / (GATHERED * bad)
    if rare == "undesirable_coef" and weight <= 1.0:
        return []
    why = f"{good:,} good answers and {bad:,} bad ones count about alike (KTO, eq. 8)"
    return [Reason(rare, float(f"{weight:.3g}"), why)]


def _on_policy(facts: Facts, outline: Outline, share: float) -> Part:
    method = str(outline.method.value)
    a_round = amounts.rollouts(facts)
    prompts = max(1, round(facts.asked * (1 - share)))
    settings = [
        Reason("policy", outline.start),
        amounts.iterations(facts, prompts, int(a_round.value)),
        a_round,
    ]
    if method in GROUPS:
        settings.append(
            Reason(
                "group",
                GROUPS[method],
                "answers to a prompt, TRL's default" if method == "grpo" else "answers to a prompt",
            )
        )
    settings += [
        Reason("kl.coef", KL[method], KL_SOURCES[method]),
        *_sampling(facts, outline),
    ]
    return Part(method, method, (*settings, *_training(facts, outline, method)))


def _amounts(facts: Facts, kind: str, rows: int) -> list[Reason]:
    passes = amounts.epochs(kind, rows)
    made = facts.given.get(f"{kind}.epochs", passes.value)
    times = float(made) if isinstance(made, int | float) else float(passes.value)
    return [passes, amounts.batch(kind, rows, times)]


def _training(facts: Facts, outline: Outline, kind: str) -> list[Reason]:
    """Context, learning rate, split, adapter: what all stages that train have."""
    load = outline.load
    lr, why = rates.rate(kind, facts.weights, lora=load.lora)
    settings = [] if kind in ON_POLICY else [lengths.context(facts)]
    settings += [
        Reason("optim.lr", lr, why),
        Reason("optim.micro_tokens", load.micro_tokens, device.split(facts, load)),
    ]
    if kind not in ON_POLICY:
        settings.append(Reason("optim.warmup", WARMUP, "as Zephyr's recipes have it"))
    if load.lora:
        settings.append(Reason("lora", _lora(kind), device.adapters(load, outline.adapter)))
    return settings


def _lora(kind: str) -> Mapping[str, Any]:
    """On policy, the reward and the critic stand on the policy's own base."""
    return {"rank": device.RANK, "share": True} if kind in ON_POLICY else {"rank": device.RANK}


def _sampling(facts: Facts, outline: Outline) -> list[Reason]:
    room = int(lengths.context(facts).value)
    stop = lengths.stop(facts)
    found = [
        lengths.answer(facts, room),
        *([stop] if stop else []),
        Reason("batch_size", outline.load.rows, "answers drawn side by side"),
    ]
    return [replace(each, setting=f"sampling.{each.setting}") for each in found]


def _evaluate(
    facts: Facts, outline: Outline, policies: Mapping[str, str], share: float, *, judged: bool
) -> Part:
    why = "no comparisons, so no reward model: length, distance and variety alone are measured"
    settings = [
        Reason("policies", dict(policies)),
        Reason("reference", outline.start),
        *([] if judged else [Reason("reward", None, why)]),
        amounts.samples(facts, share),
        *_sampling(facts, outline),
    ]
    return Part("evaluate", "evaluate", tuple(settings))
