from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from heed.errors import UserError
from heed.models.forward import completion_logprobs
from heed.models.language_model import attach_lora
from heed.ops.batch import Sequences
from heed.sampling.local import LocalSampler
from heed.types import Prompt

KINDS = ["llama", "gpt2", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"]


def with_ends(lm, bias):
    """Make the end of sequence likelier, so that answers have different lengths."""
    head = lm.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[lm.chat.eos_id] = bias
    return lm


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ends", [False, True])
def test_greedy_equals_generate(tiny, prompts, kind, ends):
    lm = with_ends(tiny(kind), 6.0) if ends else tiny(kind)
    rows = [lm.chat.prompt_ids(prompt) for prompt in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([[lm.chat.pad_id] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    generated = lm.model.generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=20, pad_token_id=lm.chat.pad_id
    )[:, width:]
    sampler = LocalSampler(lm, max_new_tokens=20, temperature=0.0, batch_size=3)
    completions = sampler.sample(prompts)
    for completion, want in zip(completions, generated.tolist(), strict=True):
        got = list(completion.ids)
        assert got == want[: len(got)]
        assert completion.finish == ("stop" if got[-1] == lm.chat.eos_id else "length")
        assert (completion.finish == "stop") == (lm.chat.eos_id in want)
        assert lm.chat.eos_id not in got[:-1]
        assert completion.text == lm.chat.text(got)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [False, True])
def test_logprobs_equal_the_training_forward(tiny, prompts, kind, lora):
    lm = tiny(kind)
    if lora:
        lm = attach_lora(lm, rank=2, alpha=4, dropout=0.5)
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    lm.model.train()
    completions = LocalSampler(lm, max_new_tokens=12, temperature=0.8).sample(prompts, n=3, seed=1)
    assert lm.model.training
    batch = Sequences.of([(row.prompt_ids, row.ids) for row in completions], lm.chat.pad_id)
    lm.model.eval()
    with torch.no_grad():
        logprobs, _ = completion_logprobs(lm.model, batch, temperature=0.8)
    sampled = torch.tensor([value for row in completions for value in row.logprobs])
    torch.testing.assert_close(logprobs[batch.target], sampled, atol=1e-4, rtol=0)
    assert all(row.truncated_logprobs == () for row in completions)


def test_first_tokens_pass_a_chi_square_test(tiny, prompts):
    lm = tiny()
    count = 4000
    sampler = LocalSampler(lm, max_new_tokens=1, temperature=1.3, top_k=12, top_p=0.9)
    completions = sampler.sample([prompts[0]], n=count, seed=0)
    with torch.no_grad():
        logits = lm.model(torch.tensor([lm.chat.prompt_ids(prompts[0])])).logits[0, -1]
    full = (logits.double() / 1.3).log_softmax(0)
    order = full.argsort(descending=True)[:12]
    probs = full[order].softmax(0)
    kept = int((probs.cumsum(0) - probs < 0.9).sum())
    probs = probs[:kept] / probs[:kept].sum()
    assert 3 < kept < 12
    seen = Counter(row.ids[0] for row in completions)
    assert set(seen) <= set(order[:kept].tolist())
    observed = [seen[token] for token in order[:kept].tolist()]
    assert chisquare(observed, probs * count).pvalue > 0.01
    for row in completions[:50]:
        place = order.tolist().index(row.ids[0])
        assert row.logprobs[0] == pytest.approx(float(full[row.ids[0]]), abs=1e-5)
        assert row.truncated_logprobs[0] == pytest.approx(float(probs[place].log()), abs=1e-5)


def test_the_same_seed_gives_the_same_whatever_the_batch(tiny, prompts):
    lm = with_ends(tiny(), 6.0)

    def ids(batch_size, seed=5):
        sampler = LocalSampler(lm, max_new_tokens=16, batch_size=batch_size)
        return [row.ids for row in sampler.sample(prompts, n=5, seed=seed)]

    want = ids(256)
    assert len({len(row) for row in want}) > 3  # rows do finish at different times
    assert len(set(want)) > 10
    assert all(ids(size) == want for size in (1, 2, 3, 7, 256))
    assert ids(256, seed=6) != want


def test_n_samples_equal_the_prompt_n_times(tiny, prompts):
    sampler = LocalSampler(with_ends(tiny("gpt2"), 6.0), max_new_tokens=10)
    together = sampler.sample(prompts, n=3, seed=2)
    repeated = sampler.sample([prompt for prompt in prompts for _ in range(3)], seed=2)
    assert [row.ids for row in together] == [row.ids for row in repeated]
    assert [row.prompt.id for row in together] == [p.id for p in prompts for _ in range(3)]


def test_each_prompt_is_prefilled_once(tiny, prompts):
    lm = tiny()
    widths = []
    lm.model.register_forward_pre_hook(
        lambda _module, _args, given: widths.append(tuple(given["input_ids"].shape)),
        with_kwargs=True,
    )
    LocalSampler(lm, max_new_tokens=4, batch_size=4).sample(prompts[:1], n=8)
    prefills = [shape for shape in widths if shape[1] > 1]
    assert [rows for rows, _ in prefills] == [1]
    assert [shape for shape in widths if shape[1] == 1] == [(4, 1)] * 6


def test_finished_rows_are_dropped(tiny, prompts):
    lm = with_ends(tiny(), 8.0)
    rows = []
    lm.model.register_forward_pre_hook(
        lambda _module, _args, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    LocalSampler(lm, max_new_tokens=30).sample(prompts, n=16)
    assert rows[1] > rows[-1]
    assert rows[1:] == sorted(rows[1:], reverse=True)


def test_stop_strings(tiny, prompts):
    lm = tiny()
    free = LocalSampler(lm, max_new_tokens=20).sample(prompts, seed=3)
    stop = free[0].text[4:6]
    assert len(stop) == 2
    stopped = LocalSampler(lm, max_new_tokens=20, stop=("\0never", stop)).sample(prompts, seed=3)
    first = stopped[0]
    assert first.text == free[0].text[: free[0].text.index(stop)]
    assert first.finish == "stop"
    assert first.ids == free[0].ids[: len(first.ids)]
    assert stop in lm.chat.text(first.ids)
    assert stop not in lm.chat.text(first.ids[:-1])
    for row, other in zip(stopped, free, strict=True):
        assert stop not in row.text
        assert (row.ids == other.ids) == (stop not in other.text)


def test_more_stop_ids(tiny, prompts):
    lm = tiny()
    free = LocalSampler(lm, max_new_tokens=12, temperature=0.0).sample(prompts[:1])[0]
    token = free.ids[5]
    lm.chat.stop_ids |= {token}
    row = LocalSampler(lm, max_new_tokens=12, temperature=0.0).sample(prompts[:1])[0]
    assert row.ids == free.ids[: free.ids.index(token) + 1]
    assert row.finish == "stop"
    assert row.text == lm.chat.text(row.ids[:-1])


def test_a_prompt_without_room(tiny, prompts):
    lm = tiny()
    long = Prompt.of("hello there " * 20, id="too-long")
    length = len(lm.chat.prompt_ids(long))
    sampler = LocalSampler(lm, max_new_tokens=40)
    with pytest.raises(UserError, match=rf"'too-long' has {length} tokens.* 40.* holds 96"):
        sampler.sample([*prompts, long])


def test_no_prompts_no_completions(tiny):
    assert LocalSampler(tiny(), max_new_tokens=4).sample([]) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"batch_size": 0},
        {"stop": "text"},
        {"stop": ("",)},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(tiny, settings):
    (name,) = settings
    with pytest.raises(UserError, match=name):
        LocalSampler(tiny(), **{"max_new_tokens": 4, **settings})
