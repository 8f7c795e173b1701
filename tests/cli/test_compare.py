"""`heed compare`: what it computes from votes that were cast, whom it compares, whom it asks."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from needs import data_folder
from openai_server import serving
from typer.testing import CliRunner

from heed.cli.contestants import entrants
from heed.cli.main import app
from heed.evaluation.votes import Vote
from heed.files import read_records
from heed.store import annotations as labels
from heed.store import items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Item, Message, Prompt
from heed.web.aliases import ARENA
from heed.web.arena import PROJECT

runner = CliRunner()
HOSTILE = "<script>alert(1)</script>"


def compare(out: Path, *arguments: str) -> dict[str, Any]:
    result = runner.invoke(app, ["compare", *arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert (out / "compare.html").exists()
    found: dict[str, Any] = json.loads((out / "compare.json").read_text())
    return {**found, "said": result.output}


def refused(*arguments: str) -> str:
    result = runner.invoke(app, ["compare", *arguments])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


def outputs(path: Path, name: str, answers: Sequence[str]) -> str:
    rows = [
        {"instruction": f"Question {n}?", "output": text, "generator": name}
        for n, text in enumerate(answers)
    ]
    path.write_text(json.dumps(rows))
    return str(path)


def test_alpaca_evals_leaderboard(tmp_path: Path) -> None:
    folder = data_folder("HEED_ALPACA_DATA", "AlpacaEval's preferences.csv.gz and expected.csv")
    found = compare(tmp_path, "--annotations", str(folder / "preferences.csv.gz"))
    (judged,) = found["judges"].values()
    with (folder / "expected.csv").open(encoding="utf-8") as file:
        published = {row.pop(""): row for row in csv.DictReader(file)}
    assert set(judged["against_baseline"]) == set(published)
    for name, row in published.items():
        own = judged["against_baseline"][name]
        assert own["win_rate"]["n"] == int(row["n_total"])
        assert own["win_rate"]["mean"] == pytest.approx(float(row["win_rate"]), abs=1e-3)
        assert own["error"] == pytest.approx(float(row["standard_error"]), abs=1e-3)
        assert own["discrete"]["mean"] == pytest.approx(float(row["discrete_win_rate"]), abs=1e-3)
        controlled = own["length_controlled"]["win_rate"]["mean"]
        assert controlled == pytest.approx(float(row["length_controlled_winrate"]), abs=2)
    assert len(judged["ratings"]) == 20


@pytest.mark.slow
def test_llmfaos_ratings(tmp_path: Path) -> None:
    folder = data_folder("HEED_LLMFAO_DATA", "the llmfao votes")
    found = compare(tmp_path, "--annotations", str(folder / "crowd-comparisons.csv"))
    people = found["judges"]["people"]
    assert people["votes"] == 8931
    assert people["sides"] == {"left": 2911, "right": 2549, "tie": 3471}
    best, *_, worst = people["ratings"]
    assert (best["name"], worst["name"]) == ("GPT 4", "Dolly v2 (3B)")
    assert best["rating"] == pytest.approx(1172.133, abs=5e-4)
    assert worst["rating"] == pytest.approx(845.659, abs=5e-4)
    assert best["error"] == pytest.approx(36.3, abs=0.05)  # clustered by prompt
    assert len(people["ratings"]) == 59


def test_alpaca_evals_annotations_with_their_answers(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"q{n}", "output_1": "plain", "generator_1": "base", "annotator": "j",
         "output_2": "- a\n- b" if n % 2 else "short", "generator_2": HOSTILE,
         "preference": None if n == 9 else 1.5 + 0.4 * (n % 2)}
        for n in range(30)
    ]  # fmt: skip
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(rows))
    found = compare(tmp_path / "out", "--annotations", str(file))
    own = found["judges"]["j"]["against_baseline"][HOSTILE]
    assert own["win_rate"]["mean"] == pytest.approx(100 * (14 * 0.9 + 15 * 0.5) / 29)
    assert own["style_controlled"] is not None
    assert found["notes"] == ["1 preferences are null and left out."]
    assert HOSTILE not in (tmp_path / "out" / "compare.html").read_text()


def shorter(messages: Sequence[Message], _: Any) -> str:
    """Prefers the shorter answer, by the fences that no answer can foresee."""
    lines = messages[-1].content.split("\n")
    mark = next(line.split()[2] for line in reversed(lines) if line.startswith("--- end "))
    fences = [at for at, line in enumerate(lines) if line.endswith(f"{mark} ---")]
    left, right = ("\n".join(lines[a + 1 : b]) for a, b in pairwise(fences[1:]))
    word = "A" if len(left) < len(right) else "B" if len(left) > len(right) else "tie"
    return f"Compared.\nVerdict: {word}"


def test_files_before_a_served_judge_that_nothing_fools_but_emptiness(tmp_path: Path) -> None:
    mine = outputs(tmp_path / "mine.json", "mine", ["ok"] * 20)
    theirs = outputs(tmp_path / "theirs.json", "theirs", ["quite fine"] * 20)
    with serving(shorter, models=["brief"]) as server:
        judge = f"{server.address}/v1#brief"
        found = compare(tmp_path / "out", mine, theirs, "--judge", judge)
        asked = len(server.bodies)
        brief = found["judges"]["brief"]
        assert brief["pairs"]["mine"]["theirs"]["mean"] == 100
        assert brief["against_baseline"]["mine"]["ties"]["mean"] == 0
        assert brief["fooled_by"] == ["decoy: empty"]
        assert "brief is fooled: 'empty'" in " ".join(found["said"].split())
        # Both orders of one pair of contestants and of 3 x 2 with decoys.
        assert asked == 2 * 20 * 7
        assert not any("mine" in json.dumps(body) for body in server.bodies)
        # The same again asks nobody; another comparison begins anew.
        again = compare(tmp_path / "out", mine, theirs, "--judge", judge)
        assert again["judges"] == found["judges"]
        assert len(server.bodies) == asked
        compare(tmp_path / "out", mine, theirs, "--judge", judge, "--pairs", "14")
        assert len(server.bodies) == asked + 2 * 14


def test_a_judge_that_always_says_a_finds_all_alike(tmp_path: Path) -> None:
    mine = outputs(tmp_path / "mine.json", "mine", ["ok"] * 25)
    theirs = outputs(tmp_path / "theirs.json", "theirs", ["quite fine"] * 25)
    with serving(lambda *_: "Verdict: A", models=["left"]) as server:
        found = compare(tmp_path / "out", mine, theirs, "--judge", f"{server.address}/v1#left")
    left = found["judges"]["left"]
    assert left["pairs"]["mine"]["theirs"]["mean"] == 50
    assert [row["rating"] for row in left["ratings"]] == pytest.approx([1000, 1000])
    assert len(left["fooled_by"]) == 3


def test_policies_of_a_run_by_gold_and_its_reward(tmp_path: Path, finished_run: Path) -> None:
    found = compare(
        tmp_path, f"{finished_run}:ppo", f"again={finished_run}:ppo", f"{finished_run}:pretrain",
        "--judge", "gold", "--judge", f"{finished_run}:reward", "--limit", "30",
    )  # fmt: skip
    assert list(found["judges"]) == ["gold", "reward"]
    assert found["baseline"] == "pretrain"
    assert found["judges"]["gold"]["prompts"] == 30
    taught = "was trained on reward: that reward prefers it proves little."
    assert found["notes"] == [f"{name} {taught}" for name in ("ppo", "again")]
    votes = read_records(tmp_path / "votes.jsonl", Vote)
    assert len(votes) == 2 * 30 * 12
    first = compare(tmp_path / "b", "--annotations", str(tmp_path / "votes.jsonl"),
                    "--baseline", "pretrain")  # fmt: skip
    assert first["judges"]["gold"] == found["judges"]["gold"]


def test_samples_of_an_evaluation_are_answers_too(tmp_path: Path, finished_run: Path) -> None:
    places = [f"{name}={finished_run}/evaluate/samples-{name}.jsonl" for name in ("dpo", "sft")]
    found = compare(tmp_path, *places, "--judge", f"gold:{finished_run}")
    ours = json.loads((finished_run / "compare" / "compare.json").read_text())
    rate = found["judges"]["gold"]["pairs"]["dpo"]["sft"]
    assert rate == ours["judges"]["gold"]["pairs"]["dpo"]["sft"]


def test_a_setting_of_the_users_leaves_the_others_as_they_were(
    finished_run: Path, tmp_path: Path, toy_lm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heed.cli.contestants import model_sampler
    from heed.models.language_model import save_language_model
    from heed.recipe import Evaluate, Sampling
    from heed.stages.workplace import Workplace

    used: list[Sampling] = []
    monkeypatch.setattr(Workplace, "candidate", lambda _, __, drawn: used.append(drawn))
    (entrant,) = entrants([f"{finished_run}:ppo"], {"temperature": 0.5}, "cpu")
    with pytest.raises(AttributeError):
        entrant.answers([Prompt.of("a")], 1, 0)
    assert entrant.work is not None
    (own,) = (each for each in entrant.work.recipe.stages if isinstance(each, Evaluate))
    assert used == [own.sampling.model_copy(update={"temperature": 0.5})]

    save_language_model(toy_lm(), tmp_path / "model")
    here: Any = model_sampler(str(tmp_path / "model"), "toy", {"temperature": 0.5}, "cpu")
    assert (here.temperature, here.max_new_tokens) == (0.5, 32)  # half of the context
    assert here.stop == ["\n\nHuman:"]  # it has no chat template


def test_what_is_refused(tmp_path: Path, finished_run: Path) -> None:
    mine = outputs(tmp_path / "mine.json", "mine", ["ok"])
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    assert "Name contestants and who judges" in refused(mine)
    assert "leave the others out" in refused(mine, "--annotations", mine)
    assert "called 'mine'" in refused(mine, mine, "--judge", "gold")
    assert entrants([str(finished_run)], {}, "cpu")[0].stage == "ppo"  # its last that counts
    assert "has no stage 'leash'" in refused(f"{finished_run}:leash", mine, "--judge", "gold")
    assert "nothing to compare" in refused("nowhere", mine, "--judge", "gold")
    assert "judges nothing" in refused(mine, f"b={mine}", "--judge", "nobody")
    assert "gold reward is that of a run" in refused(mine, f"b={mine}", "--judge", "gold")
    assert "holds no answers" in refused(mine, str(empty), "--judge", "gold")
    assert "no column with an answer" in refused(
        _written(tmp_path / "odd.jsonl", '{"prompt": "q"}'), mine, "--judge", "gold"
    )
    assert "none of those compared" in refused(
        "--annotations", _written(tmp_path / "v.jsonl", json.dumps(
            {"judge": "j", "item": "i", "prompt": "p", "left": "a", "right": "b", "score": 1.0})),
        "--baseline", "c", "--out", str(tmp_path / "o"),
    )  # fmt: skip


def test_the_arenas_votes(tmp_path: Path) -> None:
    place = tmp_path / "feedback.db"
    with closing(Store.open(place)) as store:
        assert "holds no arena" in refused("--annotations", str(place))
        with store.write() as session:
            made = projects.create(session, PROJECT, ProjectSettings())
            asked = [
                Item(f"r{n}", Prompt.of(f"q{n}"), ("x", "yy"), ("one", "two")) for n in range(20)
            ]
            items.add(session, made.id, asked)
            said = [
                Annotation(f"r{n}", f"v{n}", (1, 2) if n % 4 else "both_bad", source=ARENA,
                           order=(n % 2, 1 - n % 2))
                for n in range(20)
            ]  # fmt: skip
            imported = Annotation("r0", "else", (2, 1), source="people")
            labels.add(session, made.id, [*said, imported])
    found = compare(tmp_path / "out", "--annotations", str(place), "--baseline", "two")
    people = found["judges"]["people"]
    assert people["votes"] == 20
    # Left is always preferred: ten times "two", which is shown first at odd numbers; five ties.
    assert people["pairs"]["one"]["two"]["mean"] == pytest.approx(100 * (5 + 2.5) / 20)
    assert people["sides"] == {"left": 15, "right": 0, "tie": 5}


def _written(path: Path, text: str) -> str:
    path.write_text(text + "\n")
    return str(path)
