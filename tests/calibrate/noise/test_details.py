"""A photograph's details: the transform against PyWavelets, and what slopes, edges and clipped pixels do to them."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.noise.details import SCALING, WAVELET, WINDOW, details


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
    found = details(plane, -9, 9)
    for row in (0, 1):
        for column in (0, 1):
            _, (_, _, diagonal) = pywt.dwt2(plane[row:, column:], "db3", mode="zero")
            ours = found.detail[row::2, column::2]
            theirs = diagonal[4:, 4:][: ours.shape[0], : ours.shape[1]]  # theirs begin beyond the border
            np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


def test_activity_and_spread_are_means_over_a_window_of_one_transform() -> None:
    plane = np.random.default_rng(1).normal(size=(60, 70))
    found = details(plane, -9, 9)
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
    assert found.detail[row, column] == pytest.approx(WAVELET @ middle @ WAVELET, rel=1e-9)


def test_noise_alone_has_its_variance_in_every_band() -> None:
    size, sigma = 400, 0.3
    found = details(np.random.default_rng(2).normal(0.5, sigma, size=(size, size)), -9, 9)
    # a coefficient in each pixel, worth one in four at the least: relative standard error of a mean square
    bound = 4 * np.sqrt(2 / (size**2 / 4))
    for values, expected in ((found.detail**2, 1.0), (found.activity, 1.0), (found.spread, (1 - 1 / WINDOW**2) / 4)):
        assert values.mean() / sigma**2 == pytest.approx(expected, rel=bound)


def test_quadratic_light_leaves_no_detail() -> None:
    y, x = np.mgrid[0:50, 0:50] / 50
    found = details(0.2 + y**2 + x * y - x**2 * y, -9, 9)
    assert np.abs(found.detail).max() < 1e-9


def test_on_a_slope_level_and_mean_are_where_the_details_take_their_noise_from() -> None:
    x = np.mgrid[0:50, 0:60][1].astype(float)
    found = details(x, -9, 999)
    # noise of variance x: E[detail^2] = sum psi^2 x, and `mean` is just that
    start = np.arange(found.mean.shape[1])
    expected = start + WINDOW - 1 + WAVELET**2 @ np.arange(WAVELET.size)
    np.testing.assert_allclose(found.mean, np.broadcast_to(expected, found.mean.shape), atol=1e-6)
    np.testing.assert_allclose(found.level, found.mean, atol=1e-6)


def test_level_and_mean_share_a_quarter_of_their_noise() -> None:
    found = details(np.random.default_rng(3).normal(size=(600, 600)), -9, 9)
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
    found = details(plane, 0.0, 1.0)
    side = 2 * (WINDOW - 1) + SCALING.size
    for fractions, (row, column) in ((found.high, (30, 30)), (found.low, (40, 20))):
        places = np.argwhere(fractions > 1e-9)
        assert fractions.max() == pytest.approx(1 / side**2)
        assert places.min(axis=0).tolist() == [row - side + 1, column - side + 1]
        assert places.max(axis=0).tolist() == [row, column]
