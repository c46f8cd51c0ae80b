"""Two profiles next to each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.comparison import centered, noise_difference, psf_difference
from dirtypixels.camera import NoiseCurve, PsfField


def spot(size: int, y: float, x: float, spread: float = 1.2) -> Any:
    """(size, size) a Gaussian about (y, x) from the middle."""
    at = np.arange(size) - size // 2
    psf = np.exp(-0.5 * (((at[:, None] - y) / spread) ** 2 + ((at - x) / spread) ** 2))
    return psf / psf.sum()


def field(*psfs: Any) -> PsfField:
    """The same PSF of each color all over."""
    return PsfField(torch.from_numpy(np.stack(psfs)).expand(2, 2, -1, -1, -1), "made up")


class TestNoise:
    def test_relative(self) -> None:
        mine = NoiseCurve([100, 400], [[1e-4] * 3, [4.4e-4] * 3], [[1e-3] * 3, [3e-3] * 3])
        other = NoiseCurve([100], [1e-4], [1e-3])
        found = noise_difference(mine, other, 400)
        np.testing.assert_allclose(found.alpha, [0.1] * 3)
        np.testing.assert_allclose(found.sigma, [-0.25] * 3)

    def test_none_against_none_is_no_difference(self) -> None:
        none = NoiseCurve([100], [1e-4], [0.0])
        assert noise_difference(none, none, 100).sigma == 0
        some = NoiseCurve([100], [1e-4], [1e-3])
        assert np.isinf(noise_difference(some, none, 100).sigma).all()

    @pytest.mark.parametrize("iso", [0.0, -1.0, math.nan])
    def test_raises(self, iso: float) -> None:
        curve = NoiseCurve([100], [1e-4], [1e-3])
        with pytest.raises(ValueError, match="iso must be"):
            noise_difference(curve, curve, iso)


class TestPsf:
    def test_a_shift_is_told_apart(self) -> None:
        here, there = (field(*[spot(15, y, x)] * 3) for y, x in ((0.0, 0.0), (0.3, -0.4)))
        found = psf_difference(here, there, (0.5, 0.5))
        assert found.shift_px == pytest.approx(0.5, abs=1e-3)
        np.testing.assert_allclose(found.error, 0.0, atol=2e-3)

    def test_lateral_color_is_no_shift_of_all(self) -> None:
        plain = field(*[spot(15, 0, 0)] * 3)
        aside = field(spot(15, 0, 0.5), spot(15, 0, 0), spot(15, 0, 0))
        found = psf_difference(aside, plain, (0.5, 0.5))
        expected = np.linalg.norm(spot(15, 0, 0.5) - spot(15, 0, 0)) / np.linalg.norm(spot(15, 0, 0))
        np.testing.assert_allclose(found.error, [expected, 0, 0], atol=1e-3)

    def test_other_sizes_and_one_channel(self) -> None:
        gray, color = field(spot(11, 0, 0)), field(spot(15, 0, 0, 2.0), spot(15, 0, 0), spot(15, 0, 0, 0.8))
        for pair in ((gray, color), (color, gray)):
            found = psf_difference(*pair, (0.1, 0.9))
            assert found.error.shape == (1,)
            assert found.error[0] < 1e-3

    def test_centered_moves_the_centroid_of_green(self) -> None:
        moved, where = centered(np.stack([spot(13, 0.4, -0.2)] * 3), 21)
        np.testing.assert_allclose(where, [0.4, -0.2], atol=1e-3)
        np.testing.assert_allclose(moved[1], spot(21, 0, 0), atol=1e-3)
