"""Statistics against independent implementations, brute force and simulation."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import comb, exp, pi, sqrt
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from dirtypixels.study import statistics

Z = NormalDist().inv_cdf(0.975)


def pairs(only_a: int, only_b: int, count: int, both: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two records of `count` photographs with these disagreements."""
    a, b = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
    a[:only_a] = True
    b[only_a : only_a + only_b] = True
    a[only_a + only_b : only_a + only_b + both] = True
    b[only_a + only_b : only_a + only_b + both] = True
    return a, b


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_topk_is_a_stable_sort_even_with_ties(k: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(k)
    logits = torch.randint(-2, 3, (400, 7), generator=draw).to(dtype)  # five values for seven classes: ties everywhere
    labels = torch.randint(0, 7, (400,), generator=draw)
    expected = [
        label in sorted(range(7), key=lambda c, row=row: (-row[c], c))[:k]  # type: ignore[misc]
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    assert statistics.topk(logits, labels, k).tolist() == expected


def test_topk_counts_k_classes_of_constant_logits() -> None:
    right = statistics.topk(torch.full((10, 10), 0.3), torch.arange(10), 5)
    assert right.tolist() == [True] * 5 + [False] * 5
    assert right.dtype == torch.bool


def test_topk_takes_infinite_logits_and_no_photographs() -> None:
    logits = torch.tensor([[float("inf"), 0.0, -float("inf")]] * 3)
    assert statistics.topk(logits, torch.arange(3), 2).tolist() == [True, True, False]
    assert statistics.topk(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 1).tolist() == []


@pytest.mark.parametrize(
    ("logits", "labels", "k", "error", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3]), 1, ValueError, r"labels must be in \[0, 2\]"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), 1, ValueError, r"labels must be in \[0, 2\]"),
        (torch.zeros(2, 3), torch.tensor([0]), 1, ValueError, r"labels must have shape \(2\)"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), 4, ValueError, r"k must be in \[1, 3\].*found 4"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), 0, ValueError, r"k must be in \[1, 3\].*found 0"),
        (torch.zeros(2), torch.tensor([0, 1]), 1, ValueError, r"logits must have shape \(N, C\)"),
        (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), 1, TypeError, "labels must be an integer tensor"),
        (torch.zeros(2, 3).long(), torch.tensor([0, 1]), 1, TypeError, "logits must be a floating-point tensor"),
        (torch.tensor([[0.0, float("nan")]]), torch.tensor([0]), 1, ValueError, "found NaN in 1 of 1 rows"),
    ],
)
def test_topk_refuses(logits: torch.Tensor, labels: torch.Tensor, k: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        statistics.topk(logits, labels, k)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "count"), [(0, 1), (1, 1), (0, 1000), (1000, 1000), (744, 1000), (3, 17)])
def test_wilson_is_its_equation(successes: int, count: int, level: float) -> None:
    z, p = NormalDist().inv_cdf((1 + level) / 2), successes / count
    middle, reach = p + z**2 / (2 * count), z * sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    found = statistics.wilson(successes, count, level)
    expected = tuple((middle + side * reach) / (1 + z**2 / count) for side in (-1, 1))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.value == successes / count
    assert found.unit == "fraction"


def test_wilson_holds_its_value_at_every_count() -> None:
    for count in range(1, 60):
        for successes in range(count + 1):
            statistics.wilson(successes, count)  # Estimate raises where low <= value <= high does not hold


@pytest.mark.parametrize(("successes", "count", "level"), [(-1, 3, 0.95), (4, 3, 0.95), (0, 0, 0.95), (1, 3, 1.0)])
def test_wilson_refuses(successes: int, count: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"(successes|count|level) must be"):
        statistics.wilson(successes, count, level)


def test_mean_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).normal(20, 2, 37)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = statistics.mean_interval(torch.from_numpy(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.value == pytest.approx(values.mean(), rel=1e-14)
    assert found.unit == "dB"


def test_mean_interval_of_equal_values_is_that_value() -> None:
    found = statistics.mean_interval([21.7] * 9)
    assert found.low == found.value == found.high == 21.7


@pytest.mark.parametrize("values", [[20.0], [], [20.0, float("inf")], [20.0, float("nan")], [[20.0, 21.0]]])
def test_mean_interval_refuses(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values must"):
        statistics.mean_interval(values)


def test_the_p_value_agrees_with_counting_every_outcome_and_with_scipy() -> None:
    for only_a in range(12):
        for only_b in range(12):
            n = only_a + only_b
            likely = [Fraction(comb(n, k), 2**n) for k in range(n + 1)]
            counted = float(sum(p for p in likely if p <= likely[only_a]))
            found = statistics.paired_difference(*pairs(only_a, only_b, 40, both=5)).p_value
            assert found == pytest.approx(counted, rel=1e-12)
            if n:
                assert found == pytest.approx(stats.binomtest(only_a, n).pvalue, rel=1e-9)


def test_paired_difference_takes_lists_and_arrays() -> None:
    a, b = pairs(9, 1, 30)
    assert statistics.paired_difference(a.tolist(), b.numpy()) == statistics.paired_difference(a, b)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        (torch.ones(3), torch.ones(3), TypeError),
        (torch.ones(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool), ValueError),
        (torch.ones(0, dtype=torch.bool), torch.ones(0, dtype=torch.bool), ValueError),
        (torch.ones(3, 1, dtype=torch.bool), torch.ones(3, 1, dtype=torch.bool), ValueError),
    ],
)
def test_paired_statistics_refuse(a: torch.Tensor, b: torch.Tensor, error: type[Exception]) -> None:
    with pytest.raises(error, match="a_right"):
        statistics.paired_difference(a, b)


def test_paired_difference_counts_and_names_what_it_did() -> None:
    a, b = pairs(70, 30, 400, both=200)
    found = statistics.paired_difference(a, b, reference="pretrained")
    assert found.value == pytest.approx(0.1)
    assert (found.only_this_right, found.only_reference_right) == (70, 30)
    assert found.p_value == pytest.approx(stats.binomtest(30, 100).pvalue)
    assert found.reference == "pretrained"
    assert "McNemar" in found.test
    assert "Tango" in found.test


def test_paired_difference_turns_over_with_its_arguments() -> None:
    a, b = pairs(23, 9, 150)
    ab, ba = statistics.paired_difference(a, b), statistics.paired_difference(b, a)
    assert (ab.low, ab.value, ab.high) == pytest.approx((-ba.high, -ba.value, -ba.low), abs=1e-12)


def test_paired_difference_gives_the_published_interval() -> None:
    # Fagerland, Lydersen and Laake 2014 (Statistics in Medicine 33, 2850): airway reactivity, 1, 1, 7, 12 pairs.
    found = statistics.paired_difference(*pairs(1, 7, 21, both=1))
    assert (round(found.low, 3), round(found.high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(
    ("only_a", "only_b", "count"),
    [
        (12, 5, 60),
        (0, 0, 44),
        (0, 1, 44),
        (30, 30, 60),
        (60, 0, 60),
        (0, 60, 60),
        (1, 0, 1),
        (59, 1, 60),
        (70, 30, 1000),
    ],
)
def test_the_interval_holds_exactly_what_the_score_test_does_not_reject(only_a: int, only_b: int, count: int) -> None:
    found = statistics.paired_difference(*pairs(only_a, only_b, count))
    for d in np.linspace(-0.999, 0.999, 401):
        score = brute_force_score(float(d), only_a, only_b, count)
        if abs(abs(score) - Z) > 1e-3:  # the numerical maximum likelihood is no finer than that
            assert (found.low <= d <= found.high) == (abs(score) < Z), (d, score)


def brute_force_score(d: float, b: int, c: int, n: int) -> float:
    """Tango's statistic with the most likely probabilities found by numerical maximization, not by his formula."""

    def unlikely(q: float) -> float:
        chances = np.array([q + d, q, 1 - 2 * q - d])
        counts = np.array([b, c, n - b - c])
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(counts > 0, counts * np.log(np.maximum(chances, 0)), 0.0)
        return float(-logs.sum())

    low, high = max(0.0, -d), (1 - d) / 2
    found = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    q = min((low, high, float(found.x)), key=unlikely)
    return (b - c - n * d) / sqrt(n * (2 * q + d * (1 - d)))


@pytest.mark.parametrize(("only_a", "only_b"), [(0.12, 0.07), (0.06, 0.06), (0.20, 0.12), (0.03, 0.09)])
def test_the_interval_covers_the_true_difference_as_often_as_it_says(only_a: float, only_b: float) -> None:
    count, runs = 1500, 4000
    drawn = np.random.default_rng(7).multinomial(count, [only_a, only_b, 1 - only_a - only_b], size=runs)
    truth = only_a - only_b

    @cache
    def interval(b: int, c: int) -> tuple[float, float]:
        found = statistics.paired_difference(*pairs(b, c, count))
        return found.low, found.high

    def unpaired(b: int, c: int) -> tuple[float, float]:
        # What ignoring the pairing gives, with both right on half of the rest.
        both = (count - b - c) / 2
        p, q = (b + both) / count, (c + both) / count
        reach = Z * sqrt((p * (1 - p) + q * (1 - q)) / count)
        return p - q - reach, p - q + reach

    def covered(method: object) -> float:
        return float(np.mean([lo <= truth <= hi for lo, hi in (method(int(b), int(c)) for b, c, _ in drawn)]))  # type: ignore[operator]

    # 4 standard errors of the simulation, and what the steps of b - c (1, of standard deviation s) can take or give:
    # up to one step's probability, phi(z) / s, at each end.
    spread = sqrt(count * (only_a + only_b - truth**2))
    bound = 4 * sqrt(0.95 * 0.05 / runs) + 2 * exp(-(Z**2) / 2) / sqrt(2 * pi) / spread
    assert bound < 0.025
    assert abs(covered(interval) - 0.95) < bound
    assert abs(covered(unpaired) - 0.95) > bound
