"""The model card: what the run says of a model, with its intervals, and what nobody measured.

Every text of a run or of its data is escaped; every figure is the report's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from heed.exporting import lineage, loading
from heed.exporting.figures import FOLDER, draw
from heed.exporting.found import Found, done
from heed.exporting.markdown import block, code, escaped, table
from heed.exporting.metadata import ADAPTER, header
from heed.exporting.probes import Apart
from heed.exporting.weights import BASE, Checked
from heed.naming import POLICY
from heed.provenance import provenance
from heed.report import evidence
from heed.report.answers import Answer, answers
from heed.report.estimates import estimates
from heed.report.measures import (
    COST,
    QUALITY,
    Measure,
    duration,
    in_order,
    measure_of,
    policy_name,
    stage_name,
    with_interval,
)
from heed.report.page import parts_of
from heed.report.part import QUESTIONS, Part
from heed.report.read import RunView, StageView, read_run
from heed.stats.intervals import Estimate

SHARES = ("accuracy", "noise_ceiling")
"""What a reward model's stage measured that is a share."""


@dataclass(frozen=True)
class Card:
    """What is exported, how it was checked, and how others find it: a directory's path, or (`hub`)
    a name there.
    """

    found: Found
    what: str
    dtype: str
    checked: Checked
    place: str
    hub: bool

    @cached_property
    def view(self) -> RunView:
        return read_run(self.found.run)

    @cached_property
    def parts(self) -> list[Part]:
        return parts_of(self.found.run, self.view)

    @cached_property
    def stage(self) -> StageView:
        """The stage as the report read it."""
        return next(each for each in self.view.stages if each.name == self.found.stage.name)

    @cached_property
    def policy(self) -> str | None:
        """What the report calls the policy; None where nothing measured it."""
        if self.found.label is None:
            return None
        name = self.view.called(*self.found.label)
        return name if name in self.view.policies else None

    @cached_property
    def answers(self) -> list[Answer]:
        """The report's, to the questions that are about such a model."""
        asked = ("trust",) if self.found.kind == "reward" else ("better", "whom", "cost", "trust")
        return [each for each in answers(self.view, self.parts) if each.question in asked]

    @cached_property
    def figures(self) -> Mapping[str, Estimate]:
        """What was measured of it, by measure."""
        if self.found.kind == "reward":
            return estimates(self.stage.summary)
        return self.view.policies.get(self.policy or "", {})


def write_card(card: Card, folder: Path) -> None:
    """Write README.md and the figures."""
    gaps = evidence.chief(card.view) if card.found.kind == "policy" else []
    drawn = draw(card.view, card.stage, gaps, folder / FOLDER)
    sections = [section(card) for section in SECTIONS]
    sections.insert(3, _drawn(drawn))
    text = header(card.found, card.what, _title(card), card.figures)
    body = "\n\n".join(part for part in [f"# {escaped(_title(card))}", *sections] if part)
    (folder / "README.md").write_text(f"{text}\n{body}\n", encoding="utf-8")


def _title(card: Card) -> str:
    return f"{card.found.recipe.name} {card.found.name}"


def _what_it_is(card: Card) -> str:
    found = card.found
    kind = (
        "A reward model: it scores how well an answer suits a prompt"
        if found.kind == "reward"
        else "A language model that answers prompts"
    )
    how = "merged weights" if card.what == "merged" else "a LoRA adapter alone"
    begins = "Its base was trained from scratch in the run itself."
    if found.begins:
        on_hub = lineage.is_hub_name(found.begins)
        path = Path(found.begins)
        local = "/".join(path.parts[-2:]) if path.name == POLICY else path.name
        begins = f"It began as {code(found.begins if on_hub else local)}."
    lines = [
        f"{kind}; the result of the stage {code(found.name)} ({escaped(found.stage.kind)}) of the "
        f"run {code(found.recipe.name)}, made with Heed. {begins} "
        f"{card.checked.parameters:,} parameters, {how} in {card.dtype}."
    ]
    if found.recipe.description:
        lines.append(f"The run: {escaped(found.recipe.description)}")
    if card.what == ADAPTER:
        lines.append(_stands_on(card))
    return "\n\n".join(lines)


def _stands_on(card: Card) -> str:
    base = card.found.base
    if not base.along(hub=card.hub):
        return f"The adapter stands on {code(base.source)}."
    if base.outside:
        return f"The adapter stands on a model that is on no hub, and lies here in `{BASE}/`."
    return (
        f"The adapter does not stand on the bare base model but on the policy of the stage "
        f"{code(base.stage)}, which this run made. That model is in `{BASE}/`; the adapter is of "
        "no use without it. `adapter_config.json` names where that folder lay when it was written."
    )


def _how_to_load(card: Card) -> str:
    found = card.found
    lines = [
        "## How to load",
        block(loading.code(found, card.what, card.checked, card.place, hub=card.hub), "python"),
    ]
    if found.kind == "policy":
        drawn, stops = found.sampling, ""
        if drawn.stop:
            stops = f" Answers were cut at the texts {', '.join(map(code, drawn.stop))}, too."
        lines.append(
            f"Its generation config draws as the run did: temperature {drawn.temperature:g}, top-p "
            f"{drawn.top_p:g}, top-k {drawn.top_k or 'off'}, {drawn.max_new_tokens} tokens at most."
            f"{stops}"
        )
    if found.asked_with:
        lines.append(
            f"It is to be asked with the system message {code(found.asked_with)}, as the code does."
        )
    if card.checked.wording.template == "Heed's":
        lines.append(
            "Its tokenizer had no chat template; the one here writes the form it was trained in "
            "(`Human:` and `Assistant:`)."
        )
    return "\n\n".join(lines)


def _answered(card: Card) -> str:
    lines = ["## What the run found"]
    if card.found.kind == "policy":
        lines.append(
            f"The report's answers are about all policies of the run"
            f"{f'; this one is called {escaped(policy_name(card.policy))}' if card.policy else ''}."
        )
    rows = [
        [
            QUESTIONS[each.question],
            f"**{escaped(each.word)}**",
            " ".join(map(escaped, each.sentences)),
        ]
        for each in card.answers
    ]
    lines += [table(["Question", "Answer", "Because"], rows), _measured(card), _tripped(card)]
    return "\n\n".join(line for line in lines if line)


def _measured(card: Card) -> str:
    """Its own figures, beside those of the policy to beat."""
    if card.found.kind == "reward":
        return _rewards_figures(card)
    if not card.figures:
        return "This policy was not measured in the run: nothing here says how good it is."
    names = in_order(card.figures, [*QUALITY, *COST])
    beaten = next((gap.worse for gap in evidence.chief(card.view) if gap.better == card.policy), "")
    beside = card.view.policies.get(beaten, {})
    rows = []
    for name in names:
        what = measure_of(name)
        label = escaped(what.label + (f" ({what.meaning})" if what.meaning else ""))
        other = [escaped(with_interval(beside[name], what)) if name in beside else ""]
        rows.append(
            [label, escaped(what.unit), escaped(with_interval(card.figures[name], what))]
            + (other if beside else [])
        )
    head = ["On held-out prompts", "Unit", "This model"]
    return table([*head, *([escaped(policy_name(beaten))] if beside else [])], rows) + (
        "\n\nMeans with 95% intervals, which allow for several answers to one prompt."
    )


def _rewards_figures(card: Card) -> str:
    share = Measure("Share", share=True)
    rows = [
        [escaped(stage_name(name).replace("_", " ")),
         escaped(with_interval(each, share if name in SHARES else Measure("")))]
        for name, each in card.figures.items()
    ]  # fmt: skip
    baselines = estimates(card.stage.summary.get("baselines"))
    rows += [
        [f"accuracy of the baseline {escaped(name)}", escaped(with_interval(each, share))]
        for name, each in baselines.items()
    ]
    if not rows:
        return "This reward model was not measured on held-out comparisons."
    return table(["On held-out comparisons", "Mean and 95% interval"], rows)


def _tripped(card: Card) -> str:
    rows = evidence.tripped(card.parts)
    if not rows:
        gates = evidence.part_of(card.parts, "gates")
        return "No gate tripped." if gates else "The run asked no gates."
    told = [
        f"- {code(row['gate'])} in {code(row['stage'])}: {escaped(row['says'])}" for row in rows
    ]
    return "\n".join(["Gates that tripped in the run:", "", *told])


def _drawn(drawn: Mapping[str, str]) -> str:
    return "\n\n".join(
        f"![{escaped(says)}]({FOLDER}/{name})\n\n*{escaped(says)}*" for name, says in drawn.items()
    )


def _how_it_was_made(card: Card) -> str:
    rows = []
    for stage in card.found.lineage:
        given = {} if lineage.as_it_is(card.found, stage) else lineage.settings_of(stage)
        settings = ", ".join(f"{code(name)} {code(value)}" for name, value in given.items())
        settings = settings if given or not stage.trains else "the given model, as it is"
        seconds = lineage.took(card.found, stage)
        rows.append(
            [code(stage.name), escaped(stage.kind), settings, duration(seconds) if seconds else ""]
        )
    return "\n\n".join(
        [
            "## How it was made",
            "The stages it comes from, in their order, with the settings that matter most; "
            "`recipe.yaml` holds all.",
            table(["Stage", "Kind", "Settings", "Took"], rows),
        ]
    )


def _data(card: Card) -> str:
    found = card.found
    lines = ["## Data"]
    sources = lineage.sources(found)
    if sources:
        rows = [[code(s.name), _hash(s)] for s in sources]
        lines.append(table(["Source", "SHA-256 of the content (beginning)"], rows))
    else:
        lines.append(
            f"Heed's embedded world, seed {found.recipe.world.seed}: invented facts and prompts."
        )
    counted: dict[str, list[str]] = {}
    for stage, what, n in lineage.counts(found):
        counted.setdefault(stage, []).append(f"{n:,} {escaped(what)}")
    told = [f"- {code(stage)}: {', '.join(said)}." for stage, said in counted.items()]
    told += [
        f"- labels of {code(stage)}: {escaped(who)}."
        for stage, who in lineage.labelled_by(found).items()
    ]
    lines.append("\n".join(told))
    rows = [[code(f.name), f"{f.rows:,}", code(f.sha256[: lineage.SHORT])]
            for f in lineage.files(found)]  # fmt: skip
    if rows:
        lines.append(
            "What its stages learned from and were measured on; held-out rows are of prompts kept "
            "out of training:"
        )
        lines.append(table(["File of the run", "Rows", "SHA-256 (beginning)"], rows))
    return "\n\n".join(line for line in lines if line)


def _hash(source: lineage.DataSource) -> str:
    if source.hash:
        return code(source.hash[: lineage.SHORT])
    return "on the hub" if source.hub else "not there any more when this was exported"


def _limits(card: Card) -> str:
    told = []
    measured = set(card.figures)
    if card.found.recipe.data == lineage.WORLD:
        told.append("It was trained on the texts of a small invented world.")
        if card.found.begins is None:
            told.append("It has read nothing else: what it says outside of it means nothing.")
    elif card.found.kind == "policy" and "gold" not in measured:
        told.append(
            "There is no true reward here: whether its answers are good was judged by models or "
            "people of the run alone."
        )
    for each in card.answers:
        if each.word == "Unknown":
            question = QUESTIONS[each.question].lower()
            told.append(f"Not measured: {question} {escaped(' '.join(each.sentences))}")
    told.append(
        "Not measured: bias towards groups of people, safety beyond what is listed above, other "
        "languages or uses than those of the data."
    )
    if card.found.kind == "reward":
        told.append("Its scores compare answers to one prompt; across prompts they say little.")
    told += [escaped(note) for note in card.view.notes]
    return "\n".join(["## Limits", "", *(f"- {each}" for each in told)])


def _checked(card: Card) -> str:
    checked = card.checked
    what = "score" if card.found.kind == "reward" else "log-prob"
    by = "peft" if card.what == ADAPTER else "transformers"
    allowed = f" ({checked.allowed:.0e} is allowed)" if card.what == "merged" else ""
    lines = [
        "## How the export was checked",
        f"It was loaded again by plain {by} before it took its place, and asked "
        f"{checked.probes} {'prompt' if checked.probes == 1 else 'prompts'}. Computed in float32 "
        f"from the weights as they are in the files, the {what}s differ from Heed's own by "
        f"{_apart(checked.written)}{allowed}.",
    ]
    if checked.rounding is not None:
        lines.append(
            f"Rounding to {card.dtype} and computing in it moves the {what}s by "
            f"{_apart(checked.rounding)}."
        )
    if checked.answers is not None:
        lines.append(
            f"{checked.answers} of {checked.probes} likeliest answers are the same, token for "
            "token."
        )
    return "\n\n".join(lines)


def _apart(found: Apart) -> str:
    return f"{found.mean:.2g} on average and {found.most:.2g} at most over {found.n} numbers"


def _reproduce(card: Card) -> str:
    marker = done(card.found.run, card.found.stage.name) or {}
    git = marker.get("git") or {}
    made = card.view.provenance.get("versions") or {}
    commit = "unknown"
    if git.get("commit"):
        commit = str(git["commit"]) + (", with changes that no commit holds" * bool(git["dirty"]))
    rows = [["commit of Heed that made it", code(commit)]]
    rows += [[escaped(name), code(version)] for name, version in made.items()]
    rows.append(["Heed that exported it", code(provenance()["versions"].get("heed", "unknown"))])
    rows.append(["seed", code(card.found.recipe.seed)])
    return "\n\n".join(
        [
            "## How to make it again",
            block(
                f"heed train {card.found.stage.name} --recipe recipe.yaml --out runs/again", "sh"
            ),
            table(["", ""], rows),
        ]
    )


SECTIONS: tuple[Callable[[Card], str], ...] = (
    _what_it_is,
    _how_to_load,
    _answered,
    _how_it_was_made,
    _data,
    _limits,
    _checked,
    _reproduce,
)
