"""A policy asked with more before the prompt: nothing to train; what answers for the stage is made
where it is sampled from.
"""

from __future__ import annotations

from heed.recipe import Retrieval, SystemPrompt
from heed.run import StageRun
from heed.stages.contexts import check_system, retrieval, retrieved_from, system_text
from heed.stages.workplace import Summary, Workplace


def system_prompt(work: Workplace, settings: SystemPrompt, _stage: StageRun) -> Summary:
    """Leaves its marker only: the message, and how much of it the tokenizer does not know."""
    text = system_text(settings)
    policy = work.policy(settings.policy)
    check_system(policy.chat, settings.name)
    tokenizer = policy.tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    unknown = 0 if tokenizer.unk_token_id is None else ids.count(tokenizer.unk_token_id)
    note = f"The tokenizer does not know {unknown} of the system message's {len(ids)} tokens."
    return {"system": text, "unknown": unknown, "notes": [note] if unknown else []}


def retrieval_stage(work: Workplace, settings: Retrieval, _stage: StageRun) -> Summary:
    """Leaves its marker only: for which share of the held-out prompts something is found."""
    if settings.documents or settings.documents_file:
        check_system(work.policy(settings.policy).chat, settings.name)
    ways = retrieval(work, settings)
    prompts = work.prompts(settings.records, "heldout")
    found = [len(ways(prompt)) - 1 for prompt in prompts]
    share = sum(map(bool, found)) / max(1, len(found))
    note = "Nothing is like any of the held-out prompts: lower `least`, or retrieve from more."
    return {
        "texts": len(retrieved_from(work, settings)),
        "found": share,
        "before_a_prompt": sum(found) / max(1, len(found)),
        "notes": [] if share else [note],
    }
