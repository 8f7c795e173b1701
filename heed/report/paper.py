"""The pages' templates, their common style, and the words that figures are written in."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from heed.report.measures import (
    SHARE,
    duration,
    figure,
    interval,
    measure_of,
    number,
    policy_name,
    size,
    stage_name,
    with_interval,
)


def fill(template: str, **values: Any) -> str:
    """A template of this package as HTML; every text among the values is escaped."""
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        number=number,
        figure=figure,
        interval=interval,
        with_interval=with_interval,
        duration=duration,
        size=size,
        measure_of=measure_of,
        policy_name=policy_name,
        stage_name=stage_name,
        share=SHARE,
        style=Markup(_text("style.css")),
    )
    environment.filters["unbroken"] = unbroken
    return environment.get_template(template).render(**values)


def unbroken(sentence: str) -> str:
    """A sentence whose intervals stay on one line, each with its figure."""
    return re.sub(r" \[(−?[\d.,]+), (−?[\d.,]+)\]", "\u00a0[\\1,\u00a0\\2]", sentence)


def _text(name: str) -> str:
    """A template of this package, or of a part of the page: `parts/NAME`."""
    return resources.files("heed.report").joinpath(name).read_text(encoding="utf-8")
