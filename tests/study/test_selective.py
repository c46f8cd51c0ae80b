"""Risk and coverage against their definitions, limits against their probabilities, calibration error against NumPy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dirtypixels.study import selective
from dirtypixels.study.results import RiskCurve

# Six images, two of them of one confidence.
CONFIDENCE = [0.9, 0.5, 0.7, 0.7, 0.2, 1.0]
CORRECT = [True, False, True, False, False, True]


def sample(count: int, seed: int = 0, digits: int | None = None) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Confidences that are too high, rounded to make ties, and whether the answers are right."""
    draw = np.random.default_rng(seed)
    chance = draw.uniform(0.1, 1, count)
    correct = draw.uniform(size=count) < chance
    confidence = chance**0.5
    return (confidence if digits is None else confidence.round(digits)), correct


def points_of(curve: RiskCurve) -> list[tuple[float, float, float]]:
    return list(zip(curve.threshold, curve.coverage, curve.risk, strict=True))


class TestRiskCoverage:
    def test_by_hand(self) -> None:
        found = selective.risk_coverage(CONFIDENCE, CORRECT)
        assert list(found.threshold) == [1.0, 0.9, 0.7, 0.5, 0.2]
        assert list(found.coverage) == pytest.approx([1 / 6, 2 / 6, 4 / 6, 5 / 6, 1])
        assert list(found.risk) == pytest.approx([0, 0, 1 / 4, 2 / 5, 3 / 6])

    def test_the_definition_at_every_threshold(self) -> None:
        confidence, correct = sample(300, digits=2)
        found = selective.risk_coverage(confidence, correct)
        assert set(found.threshold) == set(confidence)
        for threshold, coverage, risk in points_of(found):
            answered = confidence >= threshold
            assert coverage == pytest.approx(answered.mean())
            assert risk == pytest.approx((~correct[answered]).mean())

    def test_tensors_arrays_and_lists_are_the_same(self) -> None:
        found = selective.risk_coverage(CONFIDENCE, CORRECT)
        for convert in (torch.tensor, np.array):
            other = selective.risk_coverage(convert(CONFIDENCE), convert(CORRECT))
            assert np.allclose(points_of(other), points_of(found))

    def test_thinned_keeps_the_ends_and_points_of_the_curve(self) -> None:
        curve = selective.risk_coverage(*sample(1000))
        thin = selective.risk_coverage(*sample(1000), 25)
        assert len(thin.coverage) == 25
        assert (thin.coverage[0], thin.coverage[-1]) == (curve.coverage[0], 1)
        assert np.abs(np.diff(thin.coverage) - 1 / 24).max() < 0.002
        assert set(points_of(thin)) <= set(points_of(curve))

    def test_thinned_has_no_more_points_than_there_are(self) -> None:
        curve = selective.risk_coverage(CONFIDENCE, CORRECT)
        assert selective.risk_coverage(CONFIDENCE, CORRECT, 25) == curve
        with pytest.raises(ValueError, match="points must be at least 2; found 1"):
            selective.risk_coverage(CONFIDENCE, CORRECT, 1)


class TestArea:
    def test_it_is_the_mean_over_every_order_of_ties(self) -> None:
        orders = []
        for tie in itertools.permutations([True, False]):
            wrong = np.cumsum([False, False, *tie, True, True])
            orders.append((wrong / np.arange(1, 7)).mean())
        assert selective.area_under_risk(CONFIDENCE, CORRECT) == pytest.approx(np.mean(orders))

    def test_without_ties_it_is_the_mean_of_the_curve(self) -> None:
        confidence, correct = sample(500)
        curve = selective.risk_coverage(confidence, correct)
        assert selective.area_under_risk(confidence, correct) == pytest.approx(np.mean(curve.risk))

    def test_a_confidence_that_sorts_is_better_than_one_that_does_not(self) -> None:
        _, correct = sample(500)
        best = selective.area_under_risk(correct.astype(float), correct)
        none = selective.area_under_risk(np.full(500, 0.5), correct)
        worst = selective.area_under_risk(1 - correct.astype(float), correct)
        assert best < none < worst
        assert none == pytest.approx(1 - correct.mean())


class TestCalibrationError:
    @pytest.mark.parametrize("bins", [1, 10, 15])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_against_numpy(self, bins: int, dtype: type[Any]) -> None:
        confidence, correct = sample(3000)
        confidence = confidence.astype(dtype)
        confidence[:7] = 1
        confidence[7:9] = 0
        bin_of = np.minimum((confidence.astype(np.float64) * bins).astype(int), bins - 1)
        expected = sum(
            (bin_of == b).mean() * abs(correct[bin_of == b].mean() - confidence[bin_of == b].mean())
            for b in range(bins)
            if (bin_of == b).any()
        )
        found = selective.expected_calibration_error(confidence, correct, bins)
        assert found == pytest.approx(expected, abs=1e-6)
        assert found > 0.02

    def test_a_confidence_of_exactly_1_is_in_the_last_bin(self) -> None:
        # 0.98 on average, of which 98 of 100 are right.
        confidence = [1.0] * 60 + [0.95] * 40
        correct = [True] * 60 + [True] * 38 + [False] * 2
        assert selective.expected_calibration_error(confidence, correct, 10) == pytest.approx(0, abs=1e-6)

    def test_ends_of_it(self) -> None:
        assert selective.expected_calibration_error([1.0, 1.0], [False, False]) == pytest.approx(1)
        assert selective.expected_calibration_error([1.0, 0.0], [True, False]) == pytest.approx(0)

    def test_without_bins_it_is_refused(self) -> None:
        with pytest.raises(ValueError, match="bins must be at least 1; found 0"):
            selective.expected_calibration_error(CONFIDENCE, CORRECT, 0)


@pytest.mark.parametrize(
    "function",
    [
        selective.risk_coverage,
        selective.area_under_risk,
        selective.expected_calibration_error,
    ],
)
@pytest.mark.parametrize(("confidence", "correct", "error", "message"), [
    ([], [], ValueError, "confidence must hold at least one image; found none"),
    ([0.5], [1], TypeError, "correct must be bool; found torch.int64"),
    ([0.5, 0.6], [True], ValueError, r"correct must have shape \(2\); found \(1,\)"),
    ([[0.5]], [True], ValueError, r"confidence must have shape \(N\); found \(1, 1\)"),
    ([0.5, math.nan], [True, True], ValueError, "confidence must be finite; found 1 NaN"),
    ([0.5, 1.2], [True, True], ValueError, r"confidence must be in \[0, 1\]; found values from 0.5 to 1.2"),
    ([-0.1], [True], ValueError, r"confidence must be in \[0, 1\]"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(
    function: Any, confidence: Any, correct: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(confidence, correct)
