"""Wavelet coefficients: the transform against PyWavelets, what slopes, edges and clipped pixels do to them, and what
clipping, rounding and few photons make of their median, against simulated noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dirtypixels.calibrate.noise.clipping import ClipRange
from dirtypixels.calibrate.noise.wavelet import (
    MEDIAN,
    QUIET,
    SCALING,
    WAVELET,
    WINDOW,
    WaveletResponse,
    wavelet_coefficients,
)

SIZE = 700
# standard error of a median of |N(0, 1)| over its value, with a coefficient in each pixel worth 0.55 independent ones
CHANCE = math.sqrt(1.36 / (0.55 * SIZE**2))


def test_filters_are_an_orthonormal_pair_with_three_vanishing_moments() -> None:
    for shift in (0, 2, 4):
        for one, other, expected in ((SCALING, SCALING, 1.0), (WAVELET, WAVELET, 1.0), (SCALING, WAVELET, 0.0)):
            product = float(one[shift:] @ other[: one.size - shift])
            assert product == pytest.approx(0.0 if shift else expected, abs=1e-9)
    places = np.arange(WAVELET.size, dtype=float)
    assert [float(WAVELET @ places**order) for order in (0, 1, 2)] == pytest.approx([0, 0, 0], abs=1e-9)


def test_each_of_the_four_shifts_is_pywavelets_transform() -> None:
    pywt = pytest.importorskip("pywt")
    plane = np.random.default_rng(0).normal(size=(60, 70))
    found = wavelet_coefficients(plane, -9, 9)
    for row in (0, 1):
        for column in (0, 1):
            _, (_, _, diagonal) = pywt.dwt2(plane[row:, column:], "db3", mode="zero")
            ours = found.diagonal[row::2, column::2]
            theirs = diagonal[4:, 4:][: ours.shape[0], : ours.shape[1]]  # theirs begin beyond the border
            np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


def test_activity_and_spread_are_means_over_a_window_of_one_transform() -> None:
    plane = np.random.default_rng(1).normal(size=(60, 70))
    found = wavelet_coefficients(plane, -9, 9)
    row, column = 12, 17  # of a coefficient whose window begins at this pixel
    horizontal, approximation = [], []
    for i in range(WINDOW):
        for j in range(WINDOW):
            part = plane[row + 2 * i :, column + 2 * j :][: SCALING.size, : SCALING.size]
            horizontal += [(SCALING @ part @ WAVELET) ** 2, (WAVELET @ part @ SCALING) ** 2]
            approximation.append(SCALING @ part @ SCALING / 2)
    assert found.activity[row, column] == pytest.approx(np.mean(horizontal), rel=1e-9)
    assert found.spread[row, column] == pytest.approx(np.var(approximation), rel=1e-9)
    middle = plane[row + WINDOW - 1 :, column + WINDOW - 1 :][: SCALING.size, : SCALING.size]
    assert found.diagonal[row, column] == pytest.approx(WAVELET @ middle @ WAVELET, rel=1e-9)


def test_noise_alone_has_its_variance_in_every_band() -> None:
    size, sigma = 400, 0.3
    found = wavelet_coefficients(np.random.default_rng(2).normal(0.5, sigma, size=(size, size)), -9, 9)
    # a coefficient in each pixel, worth one in four at the least: relative standard error of a mean square
    bound = 4 * np.sqrt(2 / (size**2 / 4))
    for values, expected in ((found.diagonal**2, 1.0), (found.activity, 1.0), (found.spread, (1 - 1 / WINDOW**2) / 4)):
        assert values.mean() / sigma**2 == pytest.approx(expected, rel=bound)


def test_quadratic_light_leaves_no_coefficients() -> None:
    y, x = np.mgrid[0:50, 0:50] / 50
    found = wavelet_coefficients(0.2 + y**2 + x * y - x**2 * y, -9, 9)
    assert np.abs(found.diagonal).max() < 1e-9


def test_on_a_slope_level_and_mean_are_where_the_coefficients_take_their_noise_from() -> None:
    x = np.mgrid[0:50, 0:60][1].astype(float)
    found = wavelet_coefficients(x, -9, 999)
    # noise of variance x: E[diagonal^2] = sum psi^2 x, and `mean` is just that
    start = np.arange(found.mean.shape[1])
    expected = start + WINDOW - 1 + WAVELET**2 @ np.arange(WAVELET.size)
    np.testing.assert_allclose(found.mean, np.broadcast_to(expected, found.mean.shape), atol=1e-6)
    np.testing.assert_allclose(found.level, found.mean, atol=1e-6)


def test_level_and_mean_share_a_quarter_of_their_noise() -> None:
    found = wavelet_coefficients(np.random.default_rng(3).normal(size=(600, 600)), -9, 9)
    apart = slice(None, None, 14)  # windows that share no pixel
    level, mean = found.level[apart, apart].ravel(), found.mean[apart, apart].ravel()
    # what neighboring filters overlap by: sum of products of the two chessboards' weights over their norms
    weights = np.zeros((2, 2 * WINDOW + 4, 2 * WINDOW + 4))
    for i in range(WINDOW):
        for j in range(WINDOW):
            weights[(i + j) % 2, 2 * i : 2 * i + 6, 2 * j : 2 * j + 6] += np.outer(WAVELET**2, WAVELET**2)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    expected = (weights[0] * weights[1]).sum() / np.sqrt((weights**2).sum(axis=(1, 2)).prod())
    assert expected < 0.25
    assert np.corrcoef(level, mean)[0, 1] == pytest.approx(expected, abs=3 / np.sqrt(level.size))


def test_clipped_fractions_are_those_of_the_window() -> None:
    plane = np.full((60, 60), 0.5)
    plane[30, 30], plane[40, 20] = 1.0, 0.0
    found = wavelet_coefficients(plane, 0.0, 1.0)
    side = 2 * (WINDOW - 1) + SCALING.size
    for fractions, (row, column) in ((found.high, (30, 30)), (found.low, (40, 20))):
        places = np.argwhere(fractions > 1e-9)
        assert fractions.max() == pytest.approx(1 / side**2)
        assert places.min(axis=0).tolist() == [row - side + 1, column - side + 1]
        assert places.max(axis=0).tolist() == [row, column]


def simulated(light: float, alpha: float, sigma: float, bounds: ClipRange) -> np.ndarray:
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
def test_median_of_chosen_coefficients(light: float, alpha: float, sigma: float, low: float, allowed: float) -> None:
    """`allowed` beyond three standard errors is what the expansions to low order leave, as measured."""
    bounds = ClipRange(low, 1.0)
    plane = simulated(light, alpha, sigma, bounds)
    response = WaveletResponse(alpha, sigma**2, bounds)
    mean, deviation, robust = (
        float(np.interp(light, response.light, values)) for values in (response.mean, response.std, response.robust_std)
    )
    assert mean == pytest.approx(plane.mean(), abs=4 * deviation / SIZE)
    assert deviation == pytest.approx(plane.std(), rel=4 / SIZE)
    found = wavelet_coefficients(plane, bounds.low, bounds.high)
    chosen = found.activity < QUIET * deviation**2
    median = float(np.median(np.abs(found.diagonal[chosen]))) / MEDIAN
    assert median == pytest.approx(robust, rel=3 * CHANCE / math.sqrt(chosen.mean()) + allowed)


def test_clipping_leaves_out_what_the_unclipped_formula_would_say() -> None:
    response = WaveletResponse(1e-3, 1e-4, ClipRange(0.0, 1.0))
    middle, white = 0.5, 1.0
    assert response.of(response.std, np.array([middle]))[0] == pytest.approx(math.sqrt(1e-3 * 0.5 + 1e-4), rel=1e-3)
    at_white = float(np.interp(white, response.light, response.std))
    # half of a normal distribution piled up at its middle: sqrt(1/2 - 1/(2 pi)) of the deviation
    assert at_white / math.sqrt(1e-3 + 1e-4) == pytest.approx(math.sqrt(0.5 - 0.5 / math.pi), rel=0.01)


@pytest.mark.parametrize(("alpha", "sigma"), [(1e-3, 1e-2), (1e-4, 5e-4), (2e-5, 2e-4), (1e-3, 1e-5)])
def test_between_the_tables_entries_the_deviation_is_the_formulas(alpha: float, sigma: float) -> None:
    response = WaveletResponse(alpha, sigma**2, ClipRange(-np.inf, 1.0))
    light = np.geomspace(5e-4, 0.5, 1000)
    expected = np.sqrt(alpha * light + sigma**2)
    np.testing.assert_allclose(response.of(response.std, light), expected, rtol=4e-3)


def test_rounding_adds_its_variance() -> None:
    step, sigma = 1 / 255, 0.8 / 255
    response = WaveletResponse(1e-9, sigma**2, ClipRange(0.0, 1.0, step))
    assert response.of(response.std, np.array([0.5]))[0] ** 2 == pytest.approx(sigma**2 + step**2 / 12, rel=1e-3)


def test_clipped_fractions() -> None:
    response = WaveletResponse(1e-3, 1e-4, ClipRange(0.0, 1.0))
    assert np.interp([0.0, 0.5], response.light, response.low) == pytest.approx([0.5, 0.0], abs=1e-6)
    assert np.interp([0.5, 1.0], response.light, response.high) == pytest.approx([0.0, 0.5], abs=1e-6)
