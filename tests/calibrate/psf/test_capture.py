"""Captures taken apart: what is asked of them, and where."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.psf import capture as module
from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.capture import ChartCapture
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.field import psf_field
from dirtypixels.calibrate.simulate import Pose, realistic_camera
from dirtypixels.raw.frames import Frame

pytest.importorskip("cv2")

CHART = BernoulliChart.for_sensor(640, 480, cell_px=1.4)


@cache
def capture(pose: Pose | None = None) -> Frame:
    return realistic_camera().photograph(CHART, 100, torch.Generator().manual_seed(1), pose=pose)


class TestBrightness:
    @pytest.mark.parametrize("pose", [Pose(fill=0.9, rotation=20), Pose(rotation=24), Pose(fill=0.6)])
    def test_maps_may_go_astray_where_the_chart_is_not(self, pose: Pose) -> None:
        """Polynomials fitted to squares in the middle of the frame say nothing of its corners."""
        shot = ChartCapture.of(capture(pose), CHART)
        grid = Blocks((480, 640), 6, 8)
        for place in np.ndindex(6, 8):
            piece = shot.piece(grid.of(place), 15, shot.alignment.mapping, 1.0)
            if piece is None:
                continue
            for samples in shot.samples(piece):
                # 0 is black and 1 white; blur makes no more of them, noise and the light's rest a little.
                assert -0.5 < samples.values.min() < samples.values.max() < 1.5

    def test_where_black_is_the_brighter_one_a_block_has_no_samples(self) -> None:
        shot = ChartCapture.of(capture(), CHART)
        right = (slice(180, 300), slice(480, 600))
        assert shot.piece(right, 15, shot.alignment.mapping, 1.0) is not None
        height, width = shot.light.shape
        red = shot.flat_fields["R"]
        # Brighter to the left of the middle of the frame, darker to the right of it.
        white = np.zeros_like(red.white)
        white[0, 1] = -1.0
        changed = {"Y": replace(red, white=white, black=np.zeros_like(red.black))}
        light = shot.light.copy()
        module._on_scale(light, None, changed)
        np.testing.assert_array_equal(np.isnan(light), np.broadcast_to(np.arange(width) >= width / 2, (height, width)))
        assert replace(shot, light=light).piece(right, 15, shot.alignment.mapping, 1.0) is None

    def test_a_chart_that_ends_early_gives_the_blocks_that_it_fills(self) -> None:
        field = psf_field(capture(Pose(fill=0.9, rotation=20)), CHART, size=11, blocks=(4, 5))
        assert field.trusted[1:3, 1:4].all()
        assert not field.trusted[[0, 0, 3, 3], [0, 4, 0, 4]].any()

    def test_false_corners_do_not_bend_the_map(self) -> None:
        """Turned so far, some corners are found aside of their markers, with the other polarity."""
        chart, camera = BernoulliChart.for_sensor(960, 720, cell_px=1.8), realistic_camera(height=720, width=960)
        frame = camera.photograph(chart, 100, torch.Generator().manual_seed(1), pose=Pose(rotation=24))
        shot = ChartCapture.of(frame, chart)
        assert len(shot.alignment.markers.index) == len(chart.markers)
        assert shot.alignment.rms_px < 0.05


class TestRaises:
    @pytest.mark.parametrize("cfa", ["GRBG", "GBRG"])
    def test_another_pattern(self, cfa: str) -> None:
        with pytest.raises(ValueError, match=f"states the cfa {cfa}, but .*give cfa=, RGGB or BGGR$"):
            ChartCapture.of(replace(capture(), cfa=cfa), CHART)

    def test_a_mosaic_without_one(self) -> None:
        with pytest.raises(ValueError, match=r"states no cfa.*give cfa=, RGGB or BGGR \("):
            ChartCapture.of(replace(capture(), cfa=None), CHART)
