from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from heed.errors import UserError
from heed.ops.compiled import compiled
from heed.sampling.draw import SIGNATURE, SOURCES, draw, inverse_cdf, truncate

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "kept"),
    [
        (1.0, 0, 1.0, 6),
        (0.5, 0, 1.0, 6),
        (2.0, 0, 1.0, 6),
        (1.0, 3, 1.0, 3),
        (1.0, 0, 0.8, 3),
        (2.0, 5, 0.7, 3),
    ],
)
def test_frequencies(temperature, top_k, top_p, kept):
    count = 40_000
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = draw(
        LOGITS.expand(count, -1), uniform, temperature=temperature, top_k=top_k, top_p=top_p
    )
    full = (LOGITS.double() / temperature).softmax(0)
    probs = full[:kept] / full[:kept].sum()
    seen = drawn.tokens.bincount(minlength=len(LOGITS))
    assert not seen[kept:].any()
    assert chisquare(seen[:kept], probs * count).pvalue > 0.01
    torch.testing.assert_close(drawn.logprobs, full[drawn.tokens].log().float())
    torch.testing.assert_close(drawn.truncated_logprobs, probs[drawn.tokens].log().float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("vocabulary", [1, 5, 128, 1000])
def test_compiled_or_not(monkeypatch, dtype, vocabulary):
    """The same tokens, of numbers anywhere in [0, 1), where some tokens are impossible."""
    if compiled(SOURCES, SIGNATURE, dtype, torch.device("cpu")) is None:
        pytest.skip("no C compiler")
    generator = torch.Generator().manual_seed(0)
    logits = (4.0 * torch.randn((3000, vocabulary), generator=generator)).to(dtype)
    logits[:, vocabulary // 2 + 1 :: 3] = -torch.inf
    uniform = torch.rand(3000, generator=generator, dtype=torch.float64)
    uniform[:2] = torch.tensor([0.0, 1.0 - 2.0**-53])
    logits[0, : min(130, vocabulary - 1)] = -torch.inf  # the first block, where there are more
    ours = draw(logits, uniform, temperature=0.7)
    monkeypatch.setenv("HEED_COMPILED", "no")
    theirs = draw(logits, uniform, temperature=0.7)
    assert (ours.tokens == theirs.tokens).float().mean() > 0.999  # others by rounding
    assert ours.tokens[:2].tolist() == theirs.tokens[:2].tolist()
    assert logits.gather(1, ours.tokens[:, None]).isfinite().all()
    want = (logits.double() / 0.7).log_softmax(1).gather(1, ours.tokens[:, None]).squeeze(1)
    torch.testing.assert_close(ours.logprobs, want.float(), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("compiling", ["yes", "no"])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf], ids=str)
def test_logits_that_are_no_numbers_are_refused(monkeypatch, compiling, wrong):
    monkeypatch.setenv("HEED_COMPILED", compiling)
    logits = torch.zeros((3, 300))
    logits[1, 7] = wrong
    logits[2] = wrong
    with pytest.raises(UserError, match="of 3 answers 2 have logits that are no numbers"):
        draw(logits, torch.rand(3).double(), temperature=1.0)


def test_the_inverse_cdf_by_hand():
    logprobs = torch.tensor([[0.25, 0.0, 0.5, 0.25, 0.0]]).log().expand(6, -1)
    uniform = torch.tensor([0.0, 0.249, 0.251, 0.749, 0.751, 1 - 2**-53], dtype=torch.float64)
    assert inverse_cdf(logprobs, uniform).tolist() == [0, 0, 2, 2, 3, 3]


def test_top_p_by_hand():
    logprobs = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    kept = {p: int(truncate(logprobs, top_p=p).isfinite().sum()) for p in (0.1, 0.49, 0.51, 0.8)}
    assert kept == {0.1: 1, 0.49: 1, 0.51: 2, 0.8: 3}
    torch.testing.assert_close(
        truncate(logprobs, top_p=0.6).exp(), torch.tensor([[2 / 3, 1 / 3, 0.0, 0.0]])
    )


def test_top_k_before_top_p_and_neither_is_the_same_tensor():
    logprobs = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    # Of the two likeliest, the first has 4/7 > 0.55 and is enough.
    assert truncate(logprobs, top_k=2, top_p=0.55).isfinite().tolist() == [[True] + [False] * 3]
    assert truncate(logprobs, top_k=4) is logprobs


def test_temperature_zero_takes_the_likeliest():
    drawn = draw(LOGITS[None].flip(1), torch.tensor([0.99]), temperature=0.0)
    assert drawn.tokens.tolist() == [5]
    torch.testing.assert_close(drawn.logprobs, LOGITS.log_softmax(0)[:1])
