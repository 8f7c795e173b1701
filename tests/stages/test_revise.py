"""The constitution's stage on the world: what it leaves, what it asks, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_server import serving

from heed.config import load_recipe
from heed.errors import UserError
from heed.feedback.constitution import Trail
from heed.feedback.people import nobody
from heed.files import read_records
from heed.judging.rubric import Rubric
from heed.pipeline import run_recipe
from heed.recipe import Collect, Revise
from heed.run import Run
from heed.stages.revise import revise
from heed.stages.workplace import Workplace
from heed.types import Completion, Demonstration, Message, Pair
from heed.world import World
from heed.world.feedback_talk import ALIKE, COMPARE, LEFT, PRINCIPLES, RIGHT

ARCHITECTURE = (
    "{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, "
    "num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 128, "
    "tie_word_embeddings: true}"
)
SETTINGS = [
    "threads=1",
    *("records.corpus=300", "records.demonstrations=64", "records.feedback_talk=300"),
    *(f"pretrain.architecture={ARCHITECTURE}", "pretrain.optim.lr=0.01", "pretrain.epochs=2"),
    *("sft.epochs=1", "revised.epochs=1", "revise.prompts=460", "revise.sampling.batch_size=64"),
    "revise.sampling.max_new_tokens=20",
]


def load(*more: str) -> Any:
    return load_recipe("constitution", [*SETTINGS, *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The recipe in miniature, up to the policy that learned from its revisions."""
    run = Run(load().needed_for("revised"), tmp_path_factory.mktemp("runs") / "constitution")
    run_recipe(run, say=lambda line: None)
    return run


@pytest.fixture
def again(run: Run, tmp_path: Path) -> Callable[..., Any]:
    """Runs the stage alone on a copy, with other settings; gives its summary."""

    def make(*more: str) -> Any:
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run.directory, folder)
        copy = Run(load(*more).needed_for("revised"), folder)
        stage = copy.stage("revise")
        stage.start()
        settings = copy.recipe.stage("revise")
        assert isinstance(settings, Revise)
        return revise(Workplace(copy, print, lambda _: nobody), settings, stage), folder / "revise"

    return make


def trails(folder: Path) -> list[Trail]:
    return read_records(folder / "trail.jsonl", Trail)


def demonstrations(folder: Path) -> list[Demonstration]:
    return read_records(folder / "demonstrations.jsonl", Demonstration)


def done(run: Run, stage: str) -> Any:
    return json.loads((run.directory / stage / "done.json").read_text())["summary"]


def test_demonstrations_are_the_ends_of_trails(run: Run) -> None:
    folder = run.directory / "revise"
    made = [trail for trail in trails(folder) if trail.final is not None]
    assert [Demonstration(trail.prompt, trail.final) for trail in made] == demonstrations(folder)
    assert len(trails(folder)) == 460
    assert {len(trail.steps) for trail in trails(folder)} == {2}
    assert {step.principle for trail in trails(folder) for step in trail.steps} == set(PRINCIPLES)


def test_train_prompts_in_turn(run: Run) -> None:
    train = {prompt.id for prompt in World(0).split("train")}
    asked = [trail.prompt.id for trail in trails(run.directory / "revise")]
    assert set(asked[: len(train)]) == train
    assert max(Counter(asked).values()) == 2
    assert asked[: len(train)] != sorted(asked[: len(train)])


def test_summary_is_counted_from_the_trails(run: Run) -> None:
    summary, folder = done(run, "revise"), run.directory / "revise"
    made = [trail for trail in trails(folder) if trail.final is not None]
    world = World(0)
    before = [world.gold(trail.prompt, trail.answer) for trail in made]
    after = [world.gold(trail.prompt, trail.final or "") for trail in made]
    for when, scores in (("before", before), ("after", after)):
        for name in ("rude", "harmful", "correct", "total"):
            mean = sum(float(getattr(score, name)) for score in scores) / len(scores)
            assert summary["gold"][when][name] == pytest.approx(mean)
    assert summary["prompts"] == 460
    assert summary["demonstrations"] == len(made)
    assert summary["notes"] == []


def test_a_later_stage_learns_from_them(run: Run) -> None:
    kept = done(run, "revise")["demonstrations"]
    assert done(run, "revised")["demonstrations"] == kept - -(-kept // 20)
    assert (run.directory / "revised" / "policy" / "model.safetensors").exists()


def test_the_same_again(again: Any) -> None:
    few = "revise.prompts=50"
    summary, folder = again(few)
    first = trails(folder)
    assert again(few)[0] == summary
    assert trails(folder) == first
    assert trails(again(few, "seed=1")[1]) != first


def test_what_leaves_no_room_is_left_out_and_told(again: Any) -> None:
    summary, folder = again("revise.sampling.max_new_tokens=31", "revise.prompts=40")
    (note,) = summary["notes"]
    assert note.endswith("train prompts leave no room for critique and revision and were left out.")
    left_out = int(note.split()[0])
    longest = max(len(prompt.text.split()) for prompt in World(0).split("train"))
    assert left_out == 105
    assert max(len(trail.prompt.text.split()) for trail in trails(folder)) < longest
    with pytest.raises(UserError, match="none of the 453 train prompts leaves room"):
        again("revise.sampling.max_new_tokens=40")


def test_nothing_adopted_is_an_error(again: Any) -> None:
    with pytest.raises(UserError, match="every revision was empty or was cut at 1 tokens"):
        again("revise.sampling.max_new_tokens=1", "revise.prompts=10")


def test_a_server_revises_as_well(again: Any) -> None:
    def answer(messages: Sequence[Message], body: dict[str, Any]) -> str:
        return ("Go away.", "It is rude.", "You are welcome.")[len(messages) // 2]

    with serving(answer) as server:
        speaker = f"{{address: '{server.address}', model: toy}}"
        summary, folder = again(f"revise.speaker={speaker}", "revise.prompts=12")
    assert summary["demonstrations"] == 12
    assert summary["unchanged"] == 0
    assert {item.text for item in demonstrations(folder)} == {"You are welcome."}
    requests = [(each.critique, each.revise) for each in PRINCIPLES.values()]
    asked = [body["messages"] for body in server.bodies if len(body["messages"]) == 5]
    assert len(asked) == 24
    for turns in asked:
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
        assert (turns[2]["content"], turns[4]["content"]) in requests
        assert turns[3]["content"] == "It is rude."
    assert summary["gold"]["before"]["rude"] == 1.0
    assert summary["gold"]["after"]["rude"] == 0.0


# The recipe speaks the language that the dialogues taught.


def test_the_recipe_has_the_principles_of_the_dialogues() -> None:
    for stage in ("revise", "collect"):
        settings = load().stage(stage)
        assert isinstance(settings, Revise | Collect)
        found = {
            each.name: (each.prefer, each.critique, each.revise)
            for each in settings.constitution.principles
        }
        assert found == {
            name: (each.compare, each.critique, each.revise) for name, each in PRINCIPLES.items()
        }


def test_the_rubric_asks_and_reads_as_the_dialogues_do() -> None:
    settings = load().stage("collect")
    assert isinstance(settings, Collect)
    rubric = Rubric(**settings.judge.rubric.model_dump(exclude_none=True))
    world = World(0)
    prompt = world.prompts[0]
    asked = rubric.ask(Pair("p", prompt, "It is so.", "It is not so."), principle="Why?")
    (turn,) = asked.messages
    assert turn.content == COMPARE.format(
        question="Why?", prompt=prompt.text, left="It is so.", right="It is not so."
    )
    said = [rubric.read(Completion(asked, text)) for text in (LEFT, RIGHT, ALIKE, "It is rude.")]
    assert said == [2, 7, "tie", None]
