"""The white of each pixel: areas against brute force, nothing lost at seams, NaN where the chart ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.coverage import white_fraction
from dirtypixels.calibrate.psf.mapping import Mapping

pytest.importorskip("cv2")

CHART = BernoulliChart(6, 8, block=128, seed=3)


def lens(turn_degrees: float = 3.0, cell_px: float = 1.6, distortion: float = 0.05) -> Mapping:
    size = (1500, 2000)
    scale = np.hypot(*size) / 2
    angle = np.deg2rad(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shrink = np.diag([cell_px / scale, cell_px / scale, 1.0])
    middle = np.array([[1, 0, -CHART.shape[1] / 2], [0, 1, -CHART.shape[0] / 2], [0, 0, 1.0]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [0.05, 0.02, 1.0]])
    return Mapping(size, tilt @ turn @ shrink @ middle, np.array([distortion, 0, 0, 0.001, 0.002, 0.01, 0.0]))


def brute_force(mapping: Mapping, rows: np.ndarray, columns: np.ndarray, aperture: float, n: int = 40) -> np.ndarray:
    """White fraction by n x n points per pixel."""
    offsets = ((np.arange(n) + 0.5) / n - 0.5) * aperture
    ys, xs = (rows[:, None] + offsets).ravel(), (columns[:, None] + offsets).ravel()
    cells = np.floor(mapping.to_chart(np.stack([a.ravel() for a in np.meshgrid(xs, ys)], 1))).astype(int)
    values = CHART.pattern[cells[:, 1], cells[:, 0]].astype(float)
    return values.reshape(len(rows), n, len(columns), n).mean((1, 3))


class TestAreas:
    @pytest.mark.parametrize("turn", [0.0, 0.7, 4.0, 15.0, 45.0, 90.0, 183.0])
    @pytest.mark.parametrize(("step", "aperture"), [(1, 1.0), (2, 0.8)])
    def test_brute_force(self, turn: float, step: int, aperture: float) -> None:
        rows, columns = np.arange(600, 600 + 14 * step, step), np.arange(1300, 1300 + 14 * step, step)
        found = white_fraction(CHART, lens(turn), rows, columns, aperture)
        error = found - brute_force(lens(turn), rows, columns, aperture)
        # n x n points give an edge across a pixel to 1 / (sqrt(12) n) rms, and there are about two edges per pixel.
        assert np.sqrt((error**2).mean()) < 0.005 + np.sqrt(2) / (np.sqrt(12) * 40) * 0.5

    def test_white_alone_is_exactly_one(self) -> None:
        chart = BernoulliChart(2, 2, block=64, border=200)
        mapping = Mapping((400, 400), np.diag([0.004, 0.004, 1.0]), np.zeros(7))
        found = white_fraction(chart, mapping, np.arange(210, 300), np.arange(210, 300))
        assert np.abs(found - 1).max() < 1e-6

    def test_nothing_is_lost_between_pixels(self) -> None:
        # Pixels of a row of blocks, weighted by their areas, hold the white of the region that they tile: compared with
        # pixels of thrice the size over the same region.
        fine = white_fraction(CHART, lens(5.0, distortion=0.0), np.arange(600, 690), np.arange(900, 990))
        coarse = white_fraction(CHART, lens(5.0, distortion=0.0), np.arange(601, 690, 3), np.arange(901, 990, 3), 3.0)
        sums = fine.reshape(30, 3, 30, 3).mean((1, 3))
        # Each pixel's staircase is off by a little, the larger one's more; over the region only its rim is.
        assert np.sqrt(((sums - coarse) ** 2).mean()) < 0.005
        assert sums.mean() == pytest.approx(coarse.mean(), abs=3e-4)

    def test_tiles_leave_no_seams(self) -> None:
        whole = white_fraction(CHART, lens(), np.arange(500, 900), np.arange(600, 1000))
        part = white_fraction(CHART, lens(), np.arange(740, 780), np.arange(840, 870))
        assert np.abs(whole[240:280, 240:270] - part).max() < 0.02
        assert np.sqrt(((whole[240:280, 240:270] - part) ** 2).mean()) < 0.003

    def test_beyond_the_chart_nothing_is_known(self) -> None:
        mapping = Mapping((400, 400), np.array([[0.004, 0, -0.2], [0, 0.004, -0.2], [0, 0, 1.0]]), np.zeros(7))
        found = white_fraction(CHART, mapping, np.arange(100, 200), np.arange(100, 200))
        # Chart coordinate (0, 0) lies at 199.5 - 0.2 * 282.84 = 142.93: pixel 143's square begins at 142.5.
        assert np.isnan(found[:44]).all()
        assert np.isnan(found[:, :44]).all()
        assert np.isfinite(found[44:, 44:]).all()

    def test_a_tile_with_places_that_are_not_seen_keeps_the_others(self) -> None:
        # r (1 - r^2) has its largest value 0.385 at 0.577: pixels farther out than 0.385 of 707 see nothing.
        mapping = Mapping((1000, 1000), np.array([[0.002, 0, -0.45], [0, 0.002, -0.45], [0, 0, 1.0]]), -np.eye(7)[0])
        columns = np.arange(500, 900)
        found = white_fraction(CHART, mapping, np.arange(480, 520), columns)
        away = np.abs(columns - 499.5) / np.hypot(500, 500)
        assert np.isfinite(found[:, away < 0.33]).all()
        assert np.isnan(found[:, away > 0.39]).all()


class TestOfACapture:
    def test_it_is_what_the_simulation_blurred(self, scene: Any, aligned: Alignment) -> None:
        found = white_fraction(scene.chart, aligned.mapping, np.arange(480), np.arange(640))
        known = np.isfinite(found)
        known[:, :5] = known[:, -5:] = False
        off = (found - scene.sharp)[known]
        # The simulation's own 5 x 5 points are off by 1 / (sqrt(12) 5) where an edge crosses a pixel, half of which do.
        assert np.sqrt((off**2).mean()) < 1 / (np.sqrt(12) * 5)
