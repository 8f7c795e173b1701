"""The model card: a header that the hub reads, code that runs, texts that stay texts."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from heed.errors import UserError
from heed.exporting import lineage
from heed.exporting.export import Wish, export
from heed.exporting.found import find
from heed.exporting.markdown import block, code, escaped, table
from heed.exporting.metadata import header
from heed.run import fingerprint

HOSTILE = (
    "<img src=x onerror=alert(1)> | **bold** [a](http://evil.example) `x` ![i](x) $y$ www.z.example"
)


def carded(run: Path, stage: str, **wish: Any) -> tuple[Path, str]:
    folder = run.parent / "export"
    export(find(run, stage), folder, Wish(**wish))
    return folder, (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("stage", "what", "kind"),
    [
        ("dpo", "merged", "qwen2"),
        ("dpo", "adapter", "gpt2"),
        ("reward", "merged", "gpt2"),
    ],
)
def test_its_code_runs(toy_run: Callable[..., Path], stage: str, what: str, kind: str) -> None:
    _, text = carded(toy_run(kind), stage, what=what)
    (program,) = re.findall(r"```python\n(.*?)\n```", text, flags=re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {})
    said = printed.getvalue().strip()
    if stage == "reward":
        assert re.fullmatch(r"-?\d+\.\d+", said)
        assert "| accuracy |" in text
        assert "Is it better?" not in text


def test_the_header_is_the_hubs(toy_run: Callable[..., Path]) -> None:
    run = toy_run()
    folder, text = carded(run, "dpo", what="adapter")
    data = ModelCard(text).data.to_dict()
    assert data["library_name"] == "peft"
    assert data["tags"] == ["heed", "rlhf", "dpo", "lora"]
    assert "license" not in data
    assert "base_model" not in data  # there is none on the hub
    (result,) = data["model-index"][0]["results"]
    gold = next(each for each in result["metrics"] if each["type"] == "gold")
    assert gold["value"] == 0.5
    assert gold["args"] == {"low": 0.25, "high": 0.75, "n": 8}
    assert (folder / "recipe.yaml").read_text() == (run / "recipe.yaml").read_text()
    assert (folder / "figures" / "better.png").read_bytes()[1:4] == b"PNG"


def test_a_given_model_has_no_settings_of_a_training(toy_run: Callable[..., Path]) -> None:
    _, text = carded(toy_run(outside=True), "sft")
    (row,) = [line for line in text.splitlines() if line.startswith("| `pretrain` |")]
    assert "the given model, as it is" in row
    assert "epochs" not in row
    assert "It began as `base`." in text


def test_a_base_on_the_hub_is_named(toy_run: Callable[..., Path]) -> None:
    run = toy_run(outside=True)
    found = find(run, "sft")
    hub = found.recipe.model_copy(update={"model": "owner/tiny", "data": ["people/prefs"]})
    text = header(replace(found, recipe=hub), "adapter", "toy", {})
    data = ModelCard(text).data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("owner/tiny", "adapter")
    assert data["datasets"] == ["people/prefs"]


def test_data_of_files_are_told_by_their_hash(toy_run: Callable[..., Path]) -> None:
    run = toy_run()
    path = run.parent / "prefs.jsonl"
    path.write_text("{}\n")
    found = find(run, "dpo")
    own = found.recipe.model_copy(update={"data": [str(path), "owner/prefs", "gone/prefs.jsonl"]})
    here, hub, gone = lineage.sources(replace(found, recipe=own))
    assert (here.name, here.hash, here.hub) == ("prefs.jsonl", fingerprint(str(path)), False)
    assert (hub.name, hub.hash, hub.hub) == ("owner/prefs", None, True)
    assert (gone.name, gone.hash, gone.hub) == ("prefs.jsonl", None, False)
    (prompts,) = lineage.files(found)
    assert (prompts.name, prompts.rows) == ("records/prompts.jsonl", 2)
    assert ("collect", "comparisons", 7) in list(lineage.counts(found))
    assert lineage.labelled_by(found) == {"collect": "simulated"}


def test_what_was_not_measured_is_said(toy_run: Callable[..., Path]) -> None:
    _, text = carded(toy_run(), "sft")
    assert "Not measured: what did it cost?" in text
    assert "Not measured: bias towards groups of people" in text
    assert "No gate tripped" not in text
    assert "The run asked no gates" in text
    assert "0.50 \\[0.25, 0.75\\]" in text


def test_texts_of_a_run_stay_texts(toy_run: Callable[..., Path]) -> None:
    label = "<b onclick=x()> | **b** [a](x) `y`"
    described = json.dumps(HOSTILE)[1:-1] + r"\n---\n# Not a heading\nlicense: mine"
    run = toy_run(label=label, description=described)
    _, text = carded(run, "dpo")
    data = ModelCard(text).data.to_dict()
    assert "license" not in data
    body = text.split("---\n", 2)[2]
    parsed = MarkdownIt("commonmark").enable("table").parse(body)
    inner = [token for each in parsed for token in (each, *(each.children or []))]
    kinds = {token.type for token in inner}
    assert not kinds & {"html_block", "html_inline", "link_open"}
    images = [token.attrs["src"] for token in inner if token.type == "image"]
    assert all(str(src).startswith("figures/") for src in images)
    headings = [parsed[i + 1].content for i, t in enumerate(parsed) if t.type == "heading_open"]
    assert "Not a heading" not in " ".join(headings)
    cells = [sum(each.type == "td_open" for each in row) for row in _rows(parsed)]
    assert set(cells) <= {2, 3, 4}


def _rows(tokens: list[Any]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif rows:
            rows[-1].append(token)
    return [row for row in rows if any(each.type == "td_open" for each in row)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b *c*", r"a\_b \*c\*"),
        ("1. no list", r"1\. no list"),
        ("0.5 is a figure", "0.5 is a figure"),
        ("# no\nheading", r"\# no heading"),
        ("see http://x.example", r"see http:/\/x.example"),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_escaping(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_code_holds_its_own_ticks() -> None:
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert block("```\nx") == "````\n```\nx\n````"
    assert table(["a"], []) == ""


def test_a_stage_of_which_nothing_can_be_exported(toy_run: Callable[..., Path]) -> None:
    run = toy_run()
    for stage, says in (
        ("best_of_n", "leaves no weights of its own; export"),
        ("collect", "is of the kind collect, which leaves no weights"),
        ("nothing", "has no stage 'nothing'. It has: records"),
    ):
        with pytest.raises(UserError, match=says):
            find(run, stage)
    (run / "sft" / "done.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        find(run, "sft")


def test_a_folder_that_is_not_here_passes_for_no_data_set_of_the_hub() -> None:
    assert not lineage._source("hh-rlhf").hub
    assert lineage._source("Anthropic/hh-rlhf").hub
