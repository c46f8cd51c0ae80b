"""Statistics against independent implementations, brute force and simulation."""

from __future__ import annotations

from collections.abc import Callable
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


def by_hand(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard error and degrees of freedom of trainings x photographs, with sums over single numbers."""
    count, photographs = values.shape
    mean = sum(float(x) for row in values for x in row) / values.size
    rows = [sum(map(float, row)) / photographs for row in values]
    columns = [sum(map(float, column)) / count for column in values.T]
    squares = {
        "training": sum((row - mean) ** 2 for row in rows) * photographs / (count - 1),
        "photograph": sum((column - mean) ** 2 for column in columns) * count / (photographs - 1),
    }
    rest = [(float(values[s, n]) - rows[s] - columns[n] + mean) ** 2 for s in range(count) for n in range(photographs)]
    both = sum(rest) / ((count - 1) * (photographs - 1))
    v_s, v_n = max(squares["training"] - both, 0) / photographs, max(squares["photograph"] - both, 0) / count
    variance = v_s / count + v_n / photographs + both / values.size
    a, b = (max(square, both) / values.size for square in squares.values())
    free = (count - 1, photographs - 1, (count - 1) * (photographs - 1))
    below = sum(part**2 / n for part, n in zip((a, b, both / values.size), free, strict=True))
    return mean, sqrt(variance), variance**2 / below


class TestTrainings:
    """Over trainings and photographs."""

    @pytest.mark.parametrize("trainings", [2, 3, 4, 5])
    @pytest.mark.parametrize("spread", [(0.0, 1.0, 1.0), (1.0, 1.0, 0.5), (0.2, 0.0, 1.0)])
    def test_crossed_agrees_with_the_analysis_of_variance_by_hand(
        self, trainings: int, spread: tuple[float, float, float]
    ) -> None:
        draw = np.random.default_rng(trainings)
        for photographs in (2, 7, 30):
            values = drawn(draw, trainings, photographs, *spread)
            found = statistics.crossed(torch.from_numpy(values))
            mean, error, degrees = by_hand(values)
            assert tuple(found) == pytest.approx((mean, error, degrees), rel=1e-9)
            t = stats.t(degrees)
            assert found.interval(0.9) == pytest.approx((mean - t.ppf(0.95) * error, mean + t.ppf(0.95) * error))
            assert found.p_value == pytest.approx(2 * t.sf(abs(mean) / error))

    def test_the_standard_error_is_never_below_that_of_photographs_alone(self) -> None:
        draw = np.random.default_rng(5)
        for trial in range(300):
            trainings, photographs = 2 + trial % 4, 2 + trial % 9
            values = drawn(draw, trainings, photographs, *draw.uniform(0, 1, 3))
            alone = values.mean(0).std(ddof=1) / sqrt(photographs)
            assert statistics.crossed(torch.from_numpy(values)).error >= alone * (1 - 1e-9)

    def test_trainings_that_all_give_the_same_are_one_training(self) -> None:
        psnr = torch.from_numpy(np.random.default_rng(0).normal(20, 2, 40))
        found, one = statistics.mean_over(psnr.expand(3, -1)), statistics.mean_interval(psnr)
        assert (found.value, found.low, found.high) == pytest.approx((one.value, one.low, one.high), rel=1e-12)

    def test_a_single_training_has_the_intervals_of_photographs(self) -> None:
        a, b = pairs(23, 9, 150, both=40)
        assert statistics.proportion_over(a[None]) == statistics.wilson(int(a.sum()), 150)
        assert statistics.difference_over(a[None], b[None], "x") == statistics.paired_difference(a, b, "x")
        values = torch.linspace(18, 25, 9)
        assert statistics.mean_over(values[None]) == statistics.mean_interval(values)

    @pytest.mark.parametrize("right", [True, False])
    def test_where_nothing_varies_the_interval_is_that_of_one_training(self, right: bool) -> None:
        same = torch.full((3, 50), right)
        assert statistics.proportion_over(same) == statistics.wilson(50 * right, 50)
        found = statistics.difference_over(same, same)
        one = statistics.paired_difference(same[0], same[0])
        assert (found.value, found.low, found.high, found.p_value) == (0.0, one.low, one.high, 1.0)
        assert found.trainings == (0.0, 0.0, 0.0)

    def test_differences_are_between_trainings_of_the_same_seed(self) -> None:
        draw = torch.Generator().manual_seed(0)
        a, b = (torch.rand(3, 60, generator=draw) < 0.6 for _ in range(2))
        found = statistics.difference_over(a, b, "unit_finetuned")
        gaps = a.double() - b.double()
        assert found.trainings == pytest.approx(gaps.mean(1).tolist())
        assert (found.value, found.reference) == (pytest.approx(float(gaps.mean())), "unit_finetuned")
        assert (found.low, found.high) == pytest.approx(statistics.crossed(gaps).interval())
        assert found.only_this_right is found.only_reference_right is None
        assert "trainings" in found.test
        back = statistics.difference_over(b, a)
        assert (back.low, back.value, back.high) == pytest.approx((-found.high, -found.value, -found.low))
        assert back.p_value == pytest.approx(found.p_value)
        once = statistics.difference_over(a[:1], b)
        assert once == statistics.difference_over(a[:1].expand(3, -1), b)

    def test_the_interval_excludes_0_where_p_is_below_5_percent(self) -> None:
        draw = torch.Generator().manual_seed(3)
        seen = set()
        for chance in torch.linspace(0.4, 0.8, 60):
            a, b = (torch.rand(3, 80, generator=draw) < p for p in (float(chance), 0.6))
            found = statistics.difference_over(a, b)
            assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
            seen.add(found.p_value < 0.05)
        assert seen == {True, False}

    def test_fractions_stay_fractions(self) -> None:
        right = torch.zeros(2, 20, dtype=torch.bool)
        right[0, :3] = True
        found = statistics.proportion_over(right)
        assert (found.low, found.value) == (0.0, 0.075)
        gap = statistics.difference_over(torch.ones_like(right), right)
        assert gap.high == 1.0

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda: statistics.crossed(torch.ones(1, 5)), ValueError, "at least 2 trainings.*found 1 of 5"),
            (lambda: statistics.crossed(torch.ones(5, 1)), ValueError, "at least 2 trainings.*found 5 of 1"),
            (lambda: statistics.crossed(torch.ones(5)), ValueError, r"values must have shape \(S, N\)"),
            (lambda: statistics.crossed([[1.0, 2.0], [1.0, float("nan")]]), ValueError, "values must be finite"),
            (lambda: statistics.crossed([[1.0, 2.0], [1.0, 1.0]]).interval(1.0), ValueError, "level must be"),
            (lambda: statistics.proportion_over(torch.ones(2, 3)), TypeError, "right must be bool"),
            (lambda: statistics.proportion_over(RIGHT[0]), ValueError, r"right must have shape \(S, N\)"),
            (lambda: statistics.proportion_over(RIGHT[:0]), ValueError, "right must hold at least one training"),
            (lambda: statistics.mean_over(torch.ones(3)), ValueError, r"values must have shape \(S, N\)"),
            (lambda: statistics.difference_over(RIGHT, torch.ones(2, 4)), TypeError, "b_right must be bool"),
            (lambda: statistics.difference_over(RIGHT, RIGHT[:, :3]), ValueError, "the same photographs"),
            (lambda: statistics.difference_over(RIGHT, RIGHT[:2]), ValueError, "as many trainings or one"),
        ],
    )
    def test_raises(self, call: Callable[[], object], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            call()

    @pytest.mark.parametrize("trainings", [2, 3, 4, 5])
    def test_how_often_the_interval_holds_the_mean(self, trainings: int) -> None:
        # With many photographs only the mean square of the trainings is left to chance, and how often Student's
        # interval with Satterthwaite's degrees of freedom holds the mean is an integral over its distribution.
        photographs, runs = 400, 400
        draw = np.random.default_rng(trainings)
        for v_s in (0.0, 0.01, 1.0):
            found = [
                statistics.crossed(torch.from_numpy(drawn(draw, trainings, photographs, v_s, 1.0, 1.0)))
                for _ in range(runs)
            ]
            held = np.mean([low <= 0 <= high for low, high in (one.interval() for one in found)])
            expected = coverage(trainings, photographs * v_s, 1.0, 1.0)
            # 4 standard errors of the simulation, and 0.01 for the mean squares that are not left to chance here.
            assert abs(held - expected) < 4 * sqrt(expected * (1 - expected) / runs) + 0.01, (v_s, held, expected)

    @pytest.mark.parametrize(("trainings", "least"), [(2, 0.87), (3, 0.92), (5, 0.94)])
    def test_it_holds_it_as_often_as_documented(self, trainings: int, least: float) -> None:
        spreads = np.geomspace(1e-3, 1e3, 40)
        held = [coverage(trainings, v, 1.0, both) for v in spreads for both in (1e-9, 0.3, 1.0, 10.0)]
        assert min(held) == pytest.approx(least, abs=0.006)
        assert coverage(trainings, 1e6, 1.0, 1.0) == pytest.approx(0.95, abs=1e-3)  # Student's own case
        assert min(coverage(trainings, 0.0, 1.0, both) for both in (1e-9, 1.0, 10.0)) > 0.949

    def test_accuracies_are_held_as_often(self) -> None:
        # Photographs that are easy or hard, and trainings that differ by up to 4 points.
        draw, runs = np.random.default_rng(1), 400
        held, gaps = [], []
        for _ in range(runs):
            easy = draw.random(300) < 0.5
            a, b = (
                torch.from_numpy(
                    draw.random((3, 300)) < np.where(easy, 0.9, 0.3 + shift) + draw.uniform(-0.04, 0.04, (3, 1))
                )
                for shift in (0.1, 0.0)
            )
            one, gap = statistics.proportion_over(a), statistics.difference_over(a, b)
            assert one.low is not None
            assert one.high is not None
            held.append(one.low <= 0.65 <= one.high)
            gaps.append(gap.low <= 0.05 <= gap.high)
        for found in (held, gaps):
            assert float(np.mean(found)) > 0.92 - 4 * sqrt(0.92 * 0.08 / runs)


RIGHT = torch.tensor([[True, False, True, True]] * 3)


def drawn(draw: np.random.Generator, trainings: int, photographs: int, *variances: float) -> np.ndarray:
    """Values around 0 with the variances of training, photograph and both."""
    shapes = ((trainings, 1), (1, photographs), (trainings, photographs))
    return sum(draw.normal(0, sqrt(v), shape) for v, shape in zip(variances, shapes, strict=True))  # type: ignore[return-value]


def coverage(trainings: int, by_training: float, by_photograph: float, both: float) -> float:
    """How often the 95 % interval holds the mean of very many photographs: the mean over quantiles of MS_s.

    by_training: N v_s; by_photograph: v_n; both: v_sn. The other mean squares are their expectations.
    """
    free = trainings - 1
    square = (by_training + both) * stats.chi2(free).ppf((np.arange(4000) + 0.5) / 4000) / free
    a, b = np.maximum(square, both), trainings * by_photograph + both
    variance = a + b - both
    degrees = variance**2 / (a**2 / free)
    ratio = stats.t.ppf(0.975, degrees) * np.sqrt(variance / (by_training + trainings * by_photograph + both))
    return float(np.mean(2 * stats.norm.cdf(ratio) - 1))
