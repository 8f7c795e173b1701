"""The parts of the page, under each question in the order of the page."""

from __future__ import annotations

from heed.report.part import ReadPart
from heed.report.parts import (
    checks,
    compare,
    costs,
    done,
    exposures,
    families,
    gained,
    gates,
    hallucination,
    overoptimisation,
    own_reward,
    paid,
    picking,
    proxy_gold,
    reward_model,
    samples,
    settings,
    spent,
    training,
    turns,
    values,
)

PARTS: tuple[ReadPart, ...] = (
    gained.read,
    compare.read,
    turns.read,
    checks.read,
    picking.read,
    families.read,
    values.read,
    paid.read,
    costs.read,
    spent.read,
    exposures.read,
    hallucination.read,
    reward_model.read,
    proxy_gold.read,
    own_reward.read,
    overoptimisation.read,
    gates.read,
    samples.read,
    done.read,
    training.read,
    settings.read,
)
