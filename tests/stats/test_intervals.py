from __future__ import annotations

import json
import math

import numpy as np
import pytest

from heed.stats.intervals import (
    Estimate,
    difference_interval,
    mean_interval,
    proportion_interval,
    ratio_interval,
)


def test_plain_t_interval_by_hand() -> None:
    # mean 3, sd sqrt(2.5), se sqrt(.5) = .70711, t(.975, 4) = 2.77645
    estimate = mean_interval([1, 2, 3, 4, 5])
    assert estimate.mean == 3
    assert estimate.low == pytest.approx(3 - 2.776445 * 0.7071068, abs=1e-5)
    assert estimate.high == pytest.approx(3 + 2.776445 * 0.7071068, abs=1e-5)
    assert estimate.n == 5


def test_cluster_robust_interval_by_hand() -> None:
    # mean 2; residual sums -2, 0, 2; variance 3/2 * 8 / 36 = 1/3; t(.975, 2) = 4.302653
    estimate = mean_interval([1, 1, 2, 2, 3, 3], ["a", "a", "b", "b", "c", "c"])
    assert (estimate.mean, estimate.n) == (2, 6)
    assert estimate.high - 2 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)
    assert 2 - estimate.low == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)


def test_a_cluster_a_value_is_the_plain_interval() -> None:
    values = [0.3, 1.2, -0.7, 2.2]
    assert mean_interval(values, [0, 1, 2, 3]) == mean_interval(values)


def test_copies_of_a_sample_add_no_certainty() -> None:
    values, prompts = [0.1, 0.9, 0.4], ["a", "b", "c"]
    once, ten = mean_interval(values, prompts), mean_interval(values * 10, prompts * 10)
    assert ten.low == pytest.approx(once.low)
    assert ten.n == 30


@pytest.mark.parametrize("clusters", [None, ["a", "a", "b"]])
def test_constant_values_have_no_width(clusters: list[str] | None) -> None:
    assert mean_interval([0.5] * 3, clusters) == Estimate(0.5, 0.5, 0.5, 3)


def test_too_few_values_leave_the_interval_unknown() -> None:
    for estimate in (mean_interval([4]), mean_interval([4, 4], ["a", "a"])):
        assert estimate.mean == 4
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
    empty = mean_interval([])
    assert math.isnan(empty.mean)
    assert empty.to_json() == {"mean": None, "low": None, "high": None, "n": 0}


def test_json_holds_only_what_json_knows() -> None:
    text = json.dumps(mean_interval([4]).to_json(), allow_nan=False)
    assert json.loads(text) == {"mean": 4.0, "low": None, "high": None, "n": 1}


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 values, but 2 clusters"):
        mean_interval([1, 2, 3], ["a", "b"])


def test_wilson_by_hand() -> None:
    # Agresti & Coull: 0 of 10 gives [0, z^2 / (10 + z^2)] = [0, .27753]
    none = proportion_interval([0] * 10)
    assert (none.mean, none.low) == (0, 0)
    assert none.high == pytest.approx(0.277533, abs=1e-6)
    # 8 of 10: centre .716742, half .226415
    most = proportion_interval([1] * 8 + [0] * 2)
    assert (most.low, most.high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


def test_clustered_share_of_zero_rests_on_the_clusters() -> None:
    clusters = [name for name in "abcdefghij" for _ in range(8)]
    estimate = proportion_interval([0] * 80, clusters)
    assert estimate.low == 0
    # Student's quantile with 9 degrees of freedom: t^2 / (10 + t^2), t = 2.262157
    assert estimate.high == pytest.approx(2.262157**2 / (10 + 2.262157**2), abs=1e-6)


def test_clustered_share_is_wider_when_prompts_decide() -> None:
    clusters = [name for name in range(20) for _ in range(5)]
    by_prompt = [float(name % 2) for name in clusters]
    wide, narrow = proportion_interval(by_prompt, clusters), proportion_interval(by_prompt)
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)
    assert math.isnan(proportion_interval([1, 0], ["a", "a"]).low)


def test_proportion_takes_only_zeros_and_ones() -> None:
    with pytest.raises(ValueError, match="zeros and ones"):
        proportion_interval([0.5])
    assert proportion_interval([]).n == 0


def test_paired_difference_by_hand() -> None:
    # per-prompt differences 2 - 1 = 1, 5 - 2 = 3, 4 - 2 = 2: mean 2, se 1/sqrt(3), t(.975, 2)
    estimate = difference_interval(
        [1, 3, 5, 4], [2, 1, 2], clusters_a=["a", "a", "b", "c"], clusters_b=["c", "a", "b"]
    )
    assert (estimate.mean, estimate.n) == (2, 3)
    assert estimate.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)


def test_pairing_removes_what_the_prompts_share() -> None:
    generator = np.random.default_rng(0)
    difficulty = generator.normal(size=50) * 10
    prompts = list(range(50))
    better, worse = difficulty + 1 + generator.normal(size=50), difficulty
    paired = difference_interval(better, worse, prompts, prompts)
    unpaired = difference_interval(better, worse)
    assert paired.low > 0
    assert unpaired.low < 0 < unpaired.high


def test_welch_by_hand() -> None:
    # variances 2.5/5 and 10/5 of means 3 and 6: se sqrt(2.5), dof 2.5^2 / (.25/4 + 4/4) = 5.88235
    estimate = difference_interval([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert estimate.mean == -3
    assert estimate.n == 10
    assert estimate.high == pytest.approx(-3 + 2.459 * math.sqrt(2.5), abs=2e-3)


def test_differences_without_enough_data() -> None:
    assert math.isnan(difference_interval([], [1, 2]).mean)
    assert math.isnan(difference_interval([1], [2, 3]).low)
    assert difference_interval([1, 1], [2, 2]) == Estimate(-1, -1, -1, 4)


def test_coverage_with_correlated_samples() -> None:
    """400 draws, 15 prompts x 6 samples: the clustered interval covers, the plain one fails."""
    generator = np.random.default_rng(1)
    clusters = [prompt for prompt in range(15) for _ in range(6)]
    covered = {"clustered": 0, "plain": 0, "paired": 0}
    for _ in range(400):
        prompt = generator.normal(size=15)
        values = np.repeat(prompt, 6) + generator.normal(size=90)
        other = np.repeat(prompt + generator.normal(size=15), 6) + generator.normal(size=90)
        for name, estimate in {
            "clustered": mean_interval(values, clusters),
            "plain": mean_interval(values),
            "paired": difference_interval(values, other, clusters, clusters),
        }.items():
            covered[name] += estimate.low <= 0 <= estimate.high
    assert covered["clustered"] / 400 == pytest.approx(0.95, abs=0.03)
    assert covered["paired"] / 400 == pytest.approx(0.95, abs=0.03)
    assert covered["plain"] / 400 < 0.75


def test_a_ratio_of_means_by_hand_and_by_bootstrap() -> None:
    assert ratio_interval([1.0, 3.0], [2.0, 6.0]).mean == pytest.approx(0.5)
    exact = ratio_interval([1.0, 3.0, 2.0], [2.0, 6.0, 4.0])
    assert (exact.low, exact.high) == pytest.approx((0.5, 0.5))
    draw = np.random.default_rng(0)
    b = draw.normal(2.0, 0.5, 400)
    a = 0.7 * b + draw.normal(0.0, 0.4, 400)
    found = ratio_interval(a, b)
    picks = draw.integers(0, 400, (4000, 400))
    low, high = np.quantile(a[picks].mean(1) / b[picks].mean(1), [0.025, 0.975])
    assert found.mean == pytest.approx(a.mean() / b.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)


@pytest.mark.parametrize("b", [[1.0], [1.0, -1.0]])
def test_a_ratio_needs_pairs_and_a_denominator(b: list[float]) -> None:
    with pytest.raises(ValueError, match="a ratio needs"):
        ratio_interval([1.0, 2.0], b)
