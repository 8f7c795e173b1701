"""The parts of the page, under each question in the order of the page."""

from __future__ import annotations

from heed.report.part import ReadPart
from heed.report.parts import (
    checks,
    costs,
    done,
    exposures,
    families,
    gained,
    gates,
    hallucination,
    own_reward,
    paid,
    picking,
    proxy_gold,
    reward_model,
    samples,
    settings,
    training,
    values,
)

PARTS: tuple[ReadPart, ...] = (
    gained.read,
    checks.read,
    picking.read,
    families.read,
    values.read,
    paid.read,
    costs.read,
    exposures.read,
    hallucination.read,
    reward_model.read,
    proxy_gold.read,
    own_reward.read,
    gates.read,
    samples.read,
    done.read,
    training.read,
    settings.read,
)
