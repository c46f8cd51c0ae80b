"""A PSF that changes linearly over a block, against a sum pixel by pixel; and which blocks are trusted, and why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.psf.estimates import Quality, change, slopes


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


def good(rows: int = 3, columns: int = 4, channels: int = 3) -> Quality:
    shape = (rows, columns)
    return Quality(
        noise=np.full((*shape, channels), 0.03),
        misfit=np.zeros((*shape, channels)),
        residual=np.full((*shape, channels), 1.1),
        failed=np.full(shape, "", dtype=object),
    )


class TestReasons:
    def test_none_where_all_is_well(self) -> None:
        assert (good().reasons() == "").all()

    @pytest.mark.parametrize(
        ("part", "value", "words"),
        [
            ("failed", "no light", "no light"),
            ("residual", 8.8, "8 times the usual residual"),
            ("noise", 0.2, "a predicted error of 20 %: too noisy"),
            ("misfit", 0.5, "a predicted error of 20 %: it changes too fast for so large a block"),
        ],
    )
    def test_one_block(self, part: str, value: Any, words: str) -> None:
        quality = good()
        changed = getattr(quality, part).copy()
        changed[1, 2] = value
        reasons = replace(quality, **{part: changed}).reasons()
        assert reasons[1, 2].startswith(words)
        assert (reasons != "").sum() == 1

    def test_one_color_is_enough(self) -> None:
        quality = good()
        quality.residual[0, 0, 2] = 9.0
        assert "usual residual" in quality.reasons()[0, 0]

    def test_blocks_without_a_psf_tell_no_usual_residual(self) -> None:
        quality = good()
        quality.residual[0] = np.nan
        quality.noise[0] = np.nan
        quality.failed[0] = "nothing seen"
        reasons = quality.reasons()
        assert (reasons[0] == "nothing seen").all()
        assert (reasons[1:] == "").all()
