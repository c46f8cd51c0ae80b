"""A PSF that changes linearly over a block: what its change adds to the samples, against a sum pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import convolve2d

from dirtypixels.calibrate.psf.shots import Piece, Samples
from dirtypixels.calibrate.psf.variation import blurred, change, slopes


def test_blurred_is_the_valid_part_of_a_convolution() -> None:
    rng = np.random.default_rng(0)
    sharp, kernels = rng.random((14, 17)).astype(np.float32), rng.standard_normal((3, 5, 5))
    expected = [convolve2d(sharp, kernel, "valid") for kernel in kernels]
    np.testing.assert_allclose(blurred(sharp, kernels), expected, atol=1e-10)


@pytest.mark.parametrize(("place", "step"), [((0, 0), 1), ((1, 0), 2)])
def test_change_is_that_of_every_pixel_s_own_psf(place: tuple[int, int], step: int) -> None:
    rng = np.random.default_rng(1)
    start, shape, middle = (40, 100), (10, 12), (43.5, 108.0)
    sharp = rng.random((shape[0] + 4, shape[1] + 4)).astype(np.float32)
    psf, tilt = rng.random((5, 5)), rng.standard_normal((2, 5, 5))
    rows, columns = (np.arange(s + p, s + n, step) for s, p, n in zip(start, place, shape, strict=True))
    piece = Piece(sharp, start, shape)
    samples = Samples("Y", np.zeros((len(rows), len(columns))), place, step, rows, columns)
    found = change(blurred(sharp, tilt), samples, piece, middle)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            here = psf + (row - middle[0]) * tilt[0] + (column - middle[1]) * tilt[1]
            window = sharp[row - start[0] :, column - start[1] :][:5, :5][::-1, ::-1]
            assert found[i, j] == pytest.approx(((here - psf) * window).sum(), abs=1e-9)


class TestSlopes:
    tilt = np.random.default_rng(2).standard_normal((2, 3, 3))

    def at(self, row: float, column: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([row, column]), 1.0 + row * self.tilt[0] + column * self.tilt[1]

    def test_a_linear_field_gives_its_slopes_from_any_neighbors(self) -> None:
        own = self.at(10.0, 20.0)
        below, above, right = self.at(25.0, 20.0), self.at(-3.0, 20.0), self.at(10.0, 31.0)
        for beside in ([(below, above), (right, None)], [(below, None), (right, None)], [(None, above), (right, None)]):
            np.testing.assert_allclose(slopes(own, beside), self.tilt)

    def test_no_neighbor_no_slope(self) -> None:
        np.testing.assert_array_equal(slopes(self.at(1.0, 2.0), [(None, None), (None, None)]), np.zeros((2, 3, 3)))
