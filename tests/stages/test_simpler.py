"""System prompts, retrieval, chosen answers and reward-conditioned fine-tuning in a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ARCHITECTURE
from typer.testing import CliRunner

from heed.cli.main import app
from heed.config import load_recipe
from heed.errors import UserError
from heed.feedback.people import nobody
from heed.files import read_records
from heed.models.chat import ChatFormat
from heed.models.language_model import LanguageModel
from heed.models.rows import demonstration_rows
from heed.ops.batch import Sequences
from heed.pipeline import STAGES, run_recipe
from heed.policies.best_of_n import BestOfN
from heed.policies.in_context import InContext, with_system
from heed.recipe import Retrieval, RewardConditioned, Sampling, SystemPrompt
from heed.run import Run
from heed.sampling.local import LocalSampler
from heed.stages.contexts import retrieved_from
from heed.stages.in_context import system_prompt
from heed.stages.reward_conditioned import reward_conditioned
from heed.stages.workplace import Workplace
from heed.stats.best_of_n import kl_bound
from heed.types import Comparison, Completion, Demonstration, Document, Prompt

SHORT = "sampling: {max_new_tokens: 16}"
RECIPE = f"""\
name: simpler
threads: 1
device: cpu
stages:
  - records: {{corpus: 500, demonstrations: 64, documents: 60}}
  - pretrain: {{architecture: {ARCHITECTURE}, batch: 32, epochs: 3, optim: {{lr: 0.01}}}}
  - sft: {{epochs: 1, optim: {{lr: 0.003}}}}
  - collect: {{comparisons: 40, heldout: 24, {SHORT}}}
  - length: {{samples: 24, most: 6, comparisons: collect, {SHORT}}}
  - system_prompt: {{text: 'Give a short answer, xylophone.'}}
  - retrieval: {{name: shots, demonstrations: records, k: 2}}
  - retrieval: {{name: mine, demonstrations_file: 'SHOTS', k: 1}}
  - retrieval: {{name: lookup, documents: records, k: 2, least: 0.45}}
  - retrieval: {{name: notes, documents_file: 'NOTES'}}
  - sft: {{name: chosen, policy: sft, comparisons: collect, epochs: 1, batch: 8}}
  - reward_conditioned: {{reward: length, samples: 90, levels: 3, batch: 8, epochs: 1, {SHORT}}}
  - reward_conditioned: {{name: again, policy: reward_conditioned, reward: length, samples: 60,
                         levels: 2, batch: 8, epochs: 1, lora: {{rank: 2}}, {SHORT}}}
  - best_of_n: {{policy: again, reward: length, n: 2}}
  - evaluate: {{policies: {{sft: sft, said: system_prompt, shots: shots, lookup: lookup,
                          chosen: chosen, conditioned: reward_conditioned, best: best_of_n}},
               reward: length, samples: 8, {SHORT}}}
  - report
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("simpler")
    (folder / "notes.txt").write_text("The capital of Atlantis is Nowhere.\n\nXylophones.")
    (folder / "shots.jsonl").write_text('{"prompt": "What is the capital?", "completion": "It."}\n')
    recipe = folder / "simpler.yaml"
    text = RECIPE.replace("NOTES", str(folder / "notes.txt"))
    recipe.write_text(text.replace("SHOTS", str(folder / "shots.jsonl")))
    run = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(run, say=lambda line: None)
    return run


@pytest.fixture
def work(finished: Run) -> Workplace:
    return Workplace(finished, print, lambda _: nobody)


def summary(run: Run, stage: str) -> dict[str, Any]:
    return run.stage(stage).done_summary()


def samples(run: Run, label: str) -> list[Completion]:
    return read_records(run.directory / "evaluate" / f"samples-{label}.jsonl", Completion)


def asked(work: Workplace, stage: str, prompt: Prompt) -> Prompt:
    sampler = work.candidate(stage, Sampling(max_new_tokens=16)).sampler
    sampler = sampler.sampler if isinstance(sampler, BestOfN) else sampler
    assert isinstance(sampler, InContext)
    return sampler.asked(prompt)


def test_what_stands_before_a_prompt(finished: Run, work: Workplace) -> None:
    heldout = work.prompts("records", "heldout")
    fact = next(prompt for prompt in heldout if prompt.family == "facts")
    assert asked(work, "system_prompt", fact) == with_system(
        fact, "Give a short answer, xylophone."
    )
    *_, document, question = asked(work, "lookup", fact).messages
    assert work.world is not None
    assert document.content.endswith(work.world.task(fact.id).document)  # type: ignore[attr-defined]
    assert question == fact.messages[0]
    verse = next(prompt for prompt in heldout if prompt.family == "verse")
    assert asked(work, "lookup", verse) == verse
    roles = [turn.role for turn in asked(work, "shots", fact).messages]
    assert roles == ["user", "assistant"] * 2 + ["user"]
    assert "Atlantis" in asked(work, "notes", fact).messages[0].content
    assert asked(work, "mine", fact).messages[1].content == "It."


def test_the_stages_say_what_they_found(finished: Run) -> None:
    said = summary(finished, "system_prompt")
    assert said["unknown"] == 1
    assert said["notes"] == ["The tokenizer does not know 1 of the system message's 7 tokens."]
    lookup = summary(finished, "lookup")
    assert lookup["texts"] == 54
    assert 0.1 < lookup["found"] < 0.5  # facts alone
    assert summary(finished, "shots")["texts"] == 64
    assert summary(finished, "mine")["texts"] == 1
    found = read_records(finished.directory / "records" / "documents.jsonl", Document)
    assert len(found) == 54


def test_answers_are_of_the_plain_prompts(finished: Run) -> None:
    plain = {each.prompt.id: each.prompt_ids for each in samples(finished, "sft")}
    for label in ("said", "shots", "lookup", "conditioned", "best"):
        for each in samples(finished, label):
            assert each.prompt_ids == plain[each.prompt.id]
            assert len(each.logprobs) == len(each.ids)
    measures = json.loads((finished.directory / "evaluate" / "measures.json").read_text())
    assert measures["kl_bounds"] == {"best": kl_bound(2)}
    assert measures["policies"]["sft"]["kl"]["mean"] == pytest.approx(0.0, abs=1e-3)
    assert measures["policies"]["said"]["kl"]["mean"] > 0.01


def test_chosen_answers_are_imitated(finished: Run, work: Workplace) -> None:
    chosen = work.records("collect", "comparisons", Comparison)
    assert summary(finished, "chosen")["demonstrations"] == len(chosen)
    rows = [
        json.loads(line) for line in (finished.directory / "metrics.jsonl").read_text().splitlines()
    ]
    own = [row for row in rows if row["stage"] == "chosen"]
    assert "heldout_nll" in own[-1]


def test_all_samples_are_learned_with_their_levels(finished: Run, work: Workplace) -> None:
    found = summary(finished, "reward_conditioned")
    kept = read_records(finished.directory / "reward_conditioned" / "samples.jsonl", Completion)
    assert {each.finish for each in kept} == {"stop"}
    assert {each.prompt.split for each in kept} == {"train"}
    assert found["answers"] == len(kept) == 90 - found["unfinished"]
    scores = json.loads((finished.directory / "reward_conditioned" / "scores.json").read_text())
    assert scores == work.reward("length")(kept)
    by_level = [found["levels"][level]["score"] for level in sorted(found["levels"])]
    assert by_level == sorted(by_level)
    best = max(found["levels"])
    assert found["asked_with"] == f"How good is the answer? {best}."
    prompt = work.prompts("records", "heldout")[0]
    assert asked(work, "reward_conditioned", prompt) == with_system(prompt, found["asked_with"])


def test_what_it_is_asked_with_goes_along(finished: Run, work: Workplace) -> None:
    """Best-of-n, the next round and `heed sample` put the level before the prompt."""
    prompt = work.prompts("records", "heldout")[0]
    own = summary(finished, "again")["asked_with"]
    assert asked(work, "best_of_n", prompt) == with_system(prompt, own)
    settings = work.recipe.stage("again")
    first = read_records(finished.directory / "again" / "samples.jsonl", Completion)
    policy = LocalSampler(work.policy("reward_conditioned"), max_new_tokens=16)
    before = summary(finished, "reward_conditioned")["asked_with"]
    assert isinstance(settings, RewardConditioned)
    ids = [policy.lm.chat.prompt_ids(with_system(each.prompt, before)) for each in first]
    assert all(len(each.prompt_ids) < len(row) for each, row in zip(first, ids, strict=True))
    question = "What is the capital of Germany?"
    expected = policy.sample([with_system(Prompt.of(question), before)])
    weights = str(finished.directory / "reward_conditioned" / "policy")
    for where in ([str(finished.directory), "--policy", "reward_conditioned"], [weights]):
        sampled = CliRunner().invoke(
            app, ["sample", *where, question, "--max-new-tokens", "16", "--device", "cpu"]
        )
        assert sampled.output.strip() == expected[0].text.strip()


def test_a_stage_that_goes_on_learns_from_the_samples_it_drew(
    finished: Run, work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished.directory / "reward_conditioned"
    before = summary(finished, "reward_conditioned")
    weights = (folder / "policy" / "model.safetensors").read_bytes()
    marker = (folder / "done.json").read_text()
    (folder / "done.json").unlink()

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("sampled again")

    monkeypatch.setattr(LocalSampler, "sample", never)
    run_recipe(
        finished, say=lambda line: None, only=finished.recipe.needed_for("reward_conditioned")
    )
    assert (folder / "policy" / "model.safetensors").read_bytes() == weights
    assert summary(finished, "reward_conditioned") == before
    (folder / "done.json").write_text(marker)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "Xylophone {level}", "levels": 40}, "the tokenizer writes levels alike, as"),
        ({"sampling": Sampling(max_new_tokens=1)}, "came to an end, fewer than a batch"),
        ({"context": 12}, "fit 12 tokens with their prompt and level, fewer than a batch of 8"),
    ],
)
def test_levels_that_cannot_be_learned_are_refused(
    work: Workplace, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    settings = work.recipe.stage("reward_conditioned").model_copy(update=change)
    stage = replace(work.run.stage("reward_conditioned"), directory=tmp_path)
    assert isinstance(settings, RewardConditioned)
    with pytest.raises(UserError, match=message):
        reward_conditioned(work, settings, stage)


def test_a_reward_that_tells_nothing_apart_is_refused(
    work: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alike(answers: Sequence[Completion]) -> list[float]:
        return [1.0 for _ in answers]

    monkeypatch.setattr(Workplace, "reward", lambda *_: alike)
    settings = work.recipe.stage("reward_conditioned")
    stage = replace(work.run.stage("reward_conditioned"), directory=tmp_path)
    assert isinstance(settings, RewardConditioned)
    with pytest.raises(UserError, match="finished answers are of one level"):
        reward_conditioned(work, settings, stage)


def test_no_answer_is_learned_without_its_level(
    work: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is too long loses its beginning, which is where the level stands."""
    learned: list[Demonstration] = []

    def rows(chat: ChatFormat, shown: Sequence[Demonstration], context: int) -> Sequences:
        learned.extend(shown)
        made = demonstration_rows(chat, shown, context)
        assert all("How good is the answer?" in chat.text(row) for row in made.ids.tolist())
        return made

    monkeypatch.setattr("heed.stages.reward_conditioned.demonstration_rows", rows)
    settings = work.recipe.stage("reward_conditioned").model_copy(update={"context": 30})
    stage = replace(work.run.stage("reward_conditioned"), directory=tmp_path, run=tmp_path)
    assert isinstance(settings, RewardConditioned)
    found = reward_conditioned(work, settings, stage)
    finished = read_records(tmp_path / "samples.jsonl", Completion)
    left = len(finished) - len(learned)
    assert left > 0
    assert found["answers"] == len(learned)
    assert found["unfinished"] == settings.samples - len(finished)
    assert found["notes"] == [
        f"{left} answers do not fit 30 tokens with their prompt and level: left out."
    ]


DEAF = "{% for m in messages if m.role != 'system' %}{{ m.content }} {% endfor %}"


def test_a_template_that_leaves_system_messages_out_is_refused(
    work: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Workplace.policy

    def deaf(self: Workplace, stage: str) -> LanguageModel:
        lm = policy(self, stage)
        lm.tokenizer.chat_template = DEAF
        return LanguageModel(lm.model, lm.tokenizer, ChatFormat(lm.tokenizer))

    monkeypatch.setattr(Workplace, "policy", deaf)
    for name in ("system_prompt", "lookup", "reward_conditioned"):
        place = replace(work.run.stage(name), directory=tmp_path / name)
        settings = work.recipe.stage(name)
        with pytest.raises(UserError, match=f"{name}: the tokenizer's chat template leaves system"):
            STAGES[settings.kind](work, settings, place)
    settings = work.recipe.stage("shots")
    STAGES[settings.kind](work, settings, replace(work.run.stage("shots"), directory=tmp_path))


def test_a_system_message_that_is_no_text(work: Workplace, tmp_path: Path) -> None:
    (tmp_path / "image.txt").write_bytes(b"\xff\xfe\x00")
    settings = SystemPrompt(name="said", file=str(tmp_path / "image.txt"))
    with pytest.raises(UserError, match="said: cannot read the file"):
        system_prompt(work, settings, work.run.stage("system_prompt"))


def test_comparisons_are_no_demonstrations(work: Workplace, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "Who?", "chosen": "I.", "rejected": "It."}\n')
    settings = Retrieval(name="mine", demonstrations_file=str(file))
    with pytest.raises(UserError, match=r"mine: .*pairs\.jsonl holds no demonstrations"):
        retrieved_from(work, settings)
