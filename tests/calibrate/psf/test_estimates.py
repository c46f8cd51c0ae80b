"""A PSF that changes linearly over a block: what its change adds to the samples, against a sum pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.psf.estimates import change, slopes


def test_change_is_that_of_every_pixel_s_own_psf() -> None:
    rng = np.random.default_rng(1)
    sharp = rng.random((14, 16)).astype(np.float32)
    psf, tilt = rng.random((5, 5)), rng.standard_normal((2, 5, 5))
    down, across = np.arange(10) - 3.5, np.arange(12) - 8.0
    found = change(sharp, tilt, down, across)
    for i, j in np.ndindex(10, 12):
        here = psf + down[i] * tilt[0] + across[j] * tilt[1]
        window = sharp[i : i + 5, j : j + 5][::-1, ::-1]
        assert found[i, j] == pytest.approx(((here - psf) * window).sum(), abs=1e-9)


class TestSlopes:
    tilt = np.random.default_rng(2).standard_normal((2, 3, 3))

    def at(self, row: float, column: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([row, column]), 1.0 + row * self.tilt[0] + column * self.tilt[1]

    def test_a_linear_field_gives_its_slopes_from_any_neighbors(self) -> None:
        own = self.at(10.0, 20.0)
        below, above, right = self.at(25.0, 20.0), self.at(-3.0, 20.0), self.at(10.0, 31.0)
        for neighbors in (
            [(below, above), (right, None)],
            [(below, None), (right, None)],
            [(None, above), (right, None)],
        ):
            np.testing.assert_allclose(slopes(own, neighbors), self.tilt)

    def test_no_neighbor_no_slope(self) -> None:
        np.testing.assert_array_equal(slopes(self.at(1.0, 2.0), [(None, None), (None, None)]), np.zeros((2, 3, 3)))
