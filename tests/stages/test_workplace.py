"""What every stage is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.feedback.people import nobody
from heed.files import write_records
from heed.models.rows import demonstration_rows
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.recipe import Sampling
from heed.run import Run
from heed.sampling.local import LocalSampler
from heed.stages.workplace import Workplace
from heed.trainer import Monitor
from heed.types import Demonstration, Prompt


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    run = Run(load_recipe("quickstart", ["device=cpu"]), tmp_path / "run")
    return Workplace(run, print, lambda _: nobody)


def test_a_callbacks_reason_stands_in_the_summary(
    work: Workplace, toy_lm: Any, toy_prompts: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = toy_lm()
    rows = demonstration_rows(lm.chat, [Demonstration(p, "yes") for p in toy_prompts], 64)
    stage = work.run.stage("sft")
    stage.start()
    summary = work.train(
        stage,
        stage.stage,
        sft(lm, rows, Order(6, 3, 0)),
        iterations=9,
        monitor=Monitor("nll"),
        shown=["nll"],
        callbacks=[lambda step, metrics: "the gate closed." if step == 4 else None],
    )
    assert summary["iterations"] == 4
    assert summary["notes"] == [
        "Stopped after iteration 4: the gate closed. What iteration 1 left, the best until then, "
        "is kept."
    ]
    assert (summary["stopped"], summary["kept"]) == (4, 1)
    assert capsys.readouterr().err.splitlines()[-1].startswith("sft        4/9")


def test_only_prompts_with_room_for_an_answer_are_asked(work: Workplace, toy_lm: Any) -> None:
    prompts = [
        Prompt.of("red ?"),
        Prompt.of("red " * 40),
        Prompt.of("blue ?", split="heldout"),
        Prompt.of("red " * 70),
    ]
    write_records(work.path("records", "prompts.jsonl"), prompts)
    lm = toy_lm()  # a context of 64 tokens, and two for the markers
    assert work.askable("records", "train", LocalSampler(lm, max_new_tokens=22)) == [
        prompts[0],
        prompts[1],
    ]
    assert work.askable("records", "train", LocalSampler(lm, max_new_tokens=23)) == [prompts[0]]
    assert work.askable("records", "heldout", LocalSampler(lm, max_new_tokens=8)) == [prompts[2]]
    with pytest.raises(UserError, match="None of the 3 train prompts of 'records' leaves room"):
        work.askable("records", "train", LocalSampler(lm, max_new_tokens=62))


def test_prompts_of_some_families_are_asked(work: Workplace, toy_lm: Any) -> None:
    prompts = [
        Prompt.of("red ?", family="red"),
        Prompt.of("blue ?", family="blue"),
        Prompt.of("blue " * 70, family="blue"),
        Prompt.of("no ?", family="no", split="heldout"),
    ]
    write_records(work.path("records", "prompts.jsonl"), prompts)
    sampler = LocalSampler(toy_lm(), max_new_tokens=8)
    asked = work.askable("records", "train", sampler, ["blue"])
    assert asked == [prompts[1]]
    (note,) = work.left_out("records", "train", asked, ["blue"])
    assert note.startswith("1 train prompts are too long")
    assert work.askable("records", "train", sampler, ["red", "blue"]) == prompts[:2]
    message = r"'records' has no train prompts of the family 'no' .* It has red, blue\."
    with pytest.raises(UserError, match=message):
        work.askable("records", "train", sampler, ["red", "no"])


def test_families_of_prompts_that_have_none(work: Workplace) -> None:
    write_records(work.path("records", "prompts.jsonl"), [Prompt.of("red ?")])
    with pytest.raises(UserError, match="prompts without a family only"):
        work.prompts("records", "train", ["red"])


def test_seeds_have_a_purpose(work: Workplace) -> None:
    assert work.seed("sft") != work.seed("ppo")
    run = Run(load_recipe("quickstart", ["seed=1"]), Path("elsewhere"))
    other = Workplace(run, print, lambda _: nobody)
    assert other.seed("sft") != work.seed("sft")


def test_a_recipe_may_name_texts_that_end_an_answer(work: Workplace, toy_lm: Any) -> None:
    lm = toy_lm()
    sampler = work.sampler(lm, Sampling(stop=["red"], temperature=0.0), "toy")
    assert sampler.stop == ["red"]
    answers = work.sampler(lm, Sampling(max_new_tokens=12), "toy").sample(
        [Prompt.of("good bad")], n=8
    )
    word = answers[0].text.split()[0]
    cut = work.sampler(lm, Sampling(max_new_tokens=12, stop=[word]), "toy").sample(
        [Prompt.of("good bad")], n=8
    )
    assert cut[0].text.strip() == ""
    assert not any(word in answer.text for answer in cut)
