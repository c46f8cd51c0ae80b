"""What clipping, rounding and few photons make of the median of details, against simulated noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.detail_response import MEDIAN, DetailResponse
from dirtypixels.calibrate.noise.details import TOLERANCE, details

SIZE = 700
# standard error of a median of |N(0, 1)| over its value, with a detail in each pixel worth 0.55 independent ones
CHANCE = math.sqrt(1.36 / (0.55 * SIZE**2))


def simulated(light: float, alpha: float, sigma: float, bounds: Range) -> np.ndarray:
    random = np.random.default_rng(int(1e6 * light + 1e4 * alpha))
    values = alpha * random.poisson(light / alpha, (SIZE, SIZE)) + random.normal(0, sigma, (SIZE, SIZE))
    values = np.clip(values, bounds.low, bounds.high)
    return np.round(values / bounds.step) * bounds.step if bounds.step else values


@pytest.mark.parametrize(
    ("light", "alpha", "sigma", "low", "allowed"),
    [
        (0.5, 1e-3, 0.01, 0.0, 0.0),  # nothing clipped: chance alone
        (0.05, 0.01, 0.02, -1.0, 0.005),  # 5 photons: skewed
        (0.9, 3e-3, 0.0075, 0.0, 0.005),  # 3 % clipped
        (0.98, 3e-3, 0.0075, 0.0, 0.01),  # 36 %
        (1.0, 3e-3, 0.0075, 0.0, 0.01),  # half
        (0.005, 1e-4, 0.01, 0.0, 0.01),  # 31 % at the floor
        (0.5, 0.1, 0.3, 0.0, 0.01),  # at both ends
    ],
)
def test_median_of_chosen_details(light: float, alpha: float, sigma: float, low: float, allowed: float) -> None:
    """`allowed` beyond three standard errors is what the expansions to low order leave, as measured."""
    bounds = Range(low, 1.0)
    plane = simulated(light, alpha, sigma, bounds)
    response = DetailResponse(alpha, sigma**2, bounds)
    mean, deviation, robust = (
        float(np.interp(light, response.light, values))
        for values in (response.mean, response.deviation, response.robust)
    )
    assert mean == pytest.approx(plane.mean(), abs=4 * deviation / SIZE)
    assert deviation == pytest.approx(plane.std(), rel=4 / SIZE)
    found = details(plane, bounds.low, bounds.high)
    chosen = found.activity < TOLERANCE * deviation**2
    median = float(np.median(np.abs(found.detail[chosen]))) / MEDIAN
    assert median == pytest.approx(robust, rel=3 * CHANCE / math.sqrt(chosen.mean()) + allowed)


def test_clipping_leaves_out_what_the_unclipped_formula_would_say() -> None:
    response = DetailResponse(1e-3, 1e-4, Range(0.0, 1.0))
    middle, white = 0.5, 1.0
    assert response.of(response.deviation, np.array([middle]))[0] == pytest.approx(
        math.sqrt(1e-3 * 0.5 + 1e-4), rel=1e-3
    )
    at_white = float(np.interp(white, response.light, response.deviation))
    # half of a normal distribution piled up at its middle: sqrt(1/2 - 1/(2 pi)) of the deviation
    assert at_white / math.sqrt(1e-3 + 1e-4) == pytest.approx(math.sqrt(0.5 - 0.5 / math.pi), rel=0.01)


@pytest.mark.parametrize(("alpha", "sigma"), [(1e-3, 1e-2), (1e-4, 5e-4), (2e-5, 2e-4), (1e-3, 1e-5)])
def test_between_the_tables_entries_the_deviation_is_the_formulas(alpha: float, sigma: float) -> None:
    response = DetailResponse(alpha, sigma**2, Range(-np.inf, 1.0))
    light = np.geomspace(5e-4, 0.5, 1000)
    expected = np.sqrt(alpha * light + sigma**2)
    np.testing.assert_allclose(response.of(response.deviation, light), expected, rtol=4e-3)


def test_rounding_adds_its_variance() -> None:
    step, sigma = 1 / 255, 0.8 / 255
    response = DetailResponse(1e-9, sigma**2, Range(0.0, 1.0, step))
    assert response.of(response.deviation, np.array([0.5]))[0] ** 2 == pytest.approx(sigma**2 + step**2 / 12, rel=1e-3)


def test_clipped_fractions() -> None:
    response = DetailResponse(1e-3, 1e-4, Range(0.0, 1.0))
    assert np.interp([0.0, 0.5], response.light, response.low) == pytest.approx([0.5, 0.0], abs=1e-6)
    assert np.interp([0.5, 1.0], response.light, response.high) == pytest.approx([0.0, 0.5], abs=1e-6)
