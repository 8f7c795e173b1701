"""The base model: a given one as it is, or one trained from scratch on the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heed.models.language_model import (
    load_language_model,
    new_language_model,
)
from heed.models.packing import check_packing
from heed.models.rows import text_rows
from heed.models.tokenizers import train_bpe
from heed.ops.batch import laid_out
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.recipe import Pretrain, Records
from heed.run import StageRun
from heed.stages.kept import keep_policy
from heed.stages.workplace import Summary, Workplace, context_of
from heed.types import Demonstration

PLAIN = (
    "The model's tokenizer has no chat template: conversations are written as HH transcripts "
    '("Human: ... Assistant:"). Save one with it (chat_template.jinja) for another form.'
)


def pretrain(work: Workplace, settings: Pretrain, stage: StageRun) -> Summary:
    """Leaves `policy/`, or the `source` of the model that the recipe names."""
    if work.recipe.model is not None:
        given = load_language_model(work.recipe.model, device="cpu")  # a wrong name is an error
        notes = [] if given.tokenizer.chat_template else [PLAIN]
        return {"source": work.recipe.model, **_here(work.recipe.model), "notes": notes}
    corpus = work.records(settings.records, "corpus", Demonstration)
    model = new_language_model(
        _tokenizer(work, settings, corpus), settings.architecture, work.seed(stage.name)
    )
    model.model.to(work.device)
    if settings.packing:
        check_packing(model.model.base_model)
    rows = text_rows(model.chat, corpus, context_of(model, settings.context))
    data = laid_out(rows, settings.packing)
    order = Order(len(data), settings.batch, work.seed(stage.name, "order"))
    summary = work.train(
        stage,
        settings,
        sft(model, data, order),
        iterations=order.steps(settings.epochs),
        monitor=None,
        shown=["nll", "lr"],
    )
    keep_policy(stage, model)
    parameters = sum(weight.numel() for weight in model.model.parameters())
    return {**summary, "parameters": parameters}


def _here(model: str) -> Summary:
    """Where a model lies that is named from the folder of this command: the next may be given in
    another.
    """
    path = Path(model)
    return {"directory": str(path.resolve())} if path.exists() and not path.is_absolute() else {}


def _tokenizer(work: Workplace, settings: Pretrain, corpus: list[Demonstration]) -> Any:
    if work.world is not None:
        records = work.recipe.stage(settings.records)
        assert isinstance(records, Records), "a corpus of the world is written by its records"
        return work.world.tokenizer(
            feedback_talk=records.feedback_talk > 0, documents=records.documents > 0
        )
    texts = [text for item in corpus for text in (item.prompt.text, item.text)]
    return train_bpe(texts, settings.vocabulary)
