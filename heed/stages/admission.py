"""What gates ask of what a stage left, before others read from it."""

from __future__ import annotations

from heed.data.labels import first_occasions, latest, training_votes, without_adjudications
from heed.evaluation.accuracy import correctness
from heed.feedback.crowd import by_name, decided, fit_reliability, known_answers
from heed.feedback.preferences import Preference, preferences
from heed.files import read_records
from heed.gates.crowd import agreement, spammers
from heed.gates.finding import Finding
from heed.gates.labels import lengths, sides
from heed.gates.leakage import leakage
from heed.gates.sign import sign
from heed.recipe import (
    AgreementGate,
    Collect,
    LeakageGate,
    LengthsGate,
    Records,
    RewardModelling,
    SidesGate,
    SignGate,
    SpammersGate,
)
from heed.stages.workplace import Workplace
from heed.types import Annotation, Demonstration, Item, Prompt


def held_apart(work: Workplace, stage: Records, gate: LeakageGate) -> Finding | None:
    """The held-out prompts beside those that may be trained on; whole conversations, as asked."""

    def text(prompt: Prompt) -> str:
        return "\n".join(message.content for message in prompt.messages)

    prompts = work.records(stage.name, "prompts", Prompt)
    shown = [each.prompt for each in work.records(stage.name, "demonstrations", Demonstration)]
    seen = [each for each in [*prompts, *shown] if each.split == "train"]
    return leakage(
        list(dict.fromkeys(text(each) for each in prompts if each.split == "heldout")),
        [text(each) for each in seen],
        similarity=gate.similarity,
        share=gate.share,
    )


def reward_sign(work: Workplace, stage: RewardModelling, gate: SignGate) -> Finding | None:
    """A reward model on the held-out comparisons of those that it was made of."""
    heldout = work.comparisons(stage.comparisons, "heldout")
    found = correctness(work.reward(stage.name), heldout)
    return sign(found, [each.prompt.id for each in heldout], false_alarms=gate.false_alarms)


def one_sided(work: Workplace, stage: Collect, gate: SidesGate) -> Finding | None:
    """Which side the chosen answers stood on. A judge sees both orders, and has no side."""
    items, said = _choices(work, stage)
    left = [float(each.first_left == ((each.lean or 0) > 0)) for each in said]
    prompts = [items[each.item].prompt.id for each in said]
    return sides(left, prompts, margin=gate.margin, false_alarms=gate.false_alarms)


def for_length(work: Workplace, stage: Collect, gate: LengthsGate) -> Finding | None:
    """Whether the chosen answers had more words; pairs of one length say nothing."""
    items, said = _choices(work, stage)
    longer, prompts = [], []
    for each in said:
        first, second = (
            len(items[each.item].answers[at].split()) for at in (each.first, each.second)
        )
        if first != second:
            longer.append(float((first > second) == ((each.lean or 0) > 0)))
            prompts.append(items[each.item].prompt.id)
    return lengths(longer, prompts, margin=gate.margin, false_alarms=gate.false_alarms)


def agreeing(work: Workplace, stage: Collect, gate: AgreementGate) -> Finding | None:
    """What annotators say of the same answers; ties and "both bad" are answers too."""
    found = preferences(_own(work, stage))
    return agreement(
        [each.said for each in found],
        [each.unit for each in found],
        [each.item for each in found],
        least=gate.least,
        false_alarms=gate.false_alarms,
    )


def clicked_at_random(work: Workplace, stage: Collect, gate: SpammersGate) -> Finding | None:
    """Each annotator's preferences beside the others' consensus and what is known of gold items."""
    said = _own(work, stage)
    items = {item.id: item for item in work.records(stage.name, "items", Item)}
    votes = decided(said)
    if not votes:
        return None
    return spammers(
        [each.annotator for each in votes],
        [each.said == "first" for each in votes],
        fit_reliability(votes, known_answers(said, items)),
        {name: len(own) for name, own in by_name(said).items()},
        share=gate.share,
        false_alarms=gate.false_alarms,
    )


def _own(work: Workplace, stage: Collect) -> list[Annotation]:
    """Each annotator's first label of an item, in its last revision; no rulings on disputes."""
    said = read_records(work.path(stage.name, "annotations.jsonl"), Annotation)
    return first_occasions(latest(without_adjudications(said)))


def _choices(work: Workplace, stage: Collect) -> tuple[dict[str, Item], list[Preference]]:
    """The items, and the labels in force that prefer one of two answers."""
    items = {item.id: item for item in work.records(stage.name, "items", Item)}
    said = read_records(work.path(stage.name, "annotations.jsonl"), Annotation)
    votes = training_votes(said, items, split="all").labels
    return items, [each for each in preferences(votes) if each.lean]
