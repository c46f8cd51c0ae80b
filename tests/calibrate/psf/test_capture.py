"""Captures taken apart: what is asked of them, and where; the mosaic and the black level that the chart tells."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.psf import capture as module
from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.capture import ChartCapture, check_pattern, darkness
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


FILTERS = {"R": 0.6, "G": 1.0, "B": 0.75}


def mosaicked(picture: np.ndarray, cfa: str, light: dict[str, float] = FILTERS) -> np.ndarray:
    found = picture.copy()
    for i, color in enumerate(cfa):
        found[i // 2 :: 2, i % 2 :: 2] *= light[color]
    return found


class TestPattern:
    @pytest.mark.parametrize("cfa", ["RGGB", "BGGR", "GRBG", "GBRG"])
    def test_the_true_pattern_passes_and_one_with_the_other_diagonal_does_not(
        self, scene: Any, capture: Any, aligned: Alignment, cfa: str
    ) -> None:
        signal = mosaicked(capture(scene), cfa)
        diagonals = ("RGGB or BGGR", "GRBG or GBRG")
        right, wrong = diagonals if cfa in diagonals[0] else diagonals[::-1]
        for one in right.split(" or "):  # which of red and blue is which cannot be told
            check_pattern(signal, one, aligned, scene.chart, "a.dng")
        for one in wrong.split(" or "):
            message = (
                f"a.dng states the cfa {one}, but .*calls green.*are not alike.*other diagonal: give cfa=, {right}$"
            )
            with pytest.raises(ValueError, match=message):
                check_pattern(signal, one, aligned, scene.chart, "a.dng")
        with pytest.raises(ValueError, match=rf"a.dng states no cfa, but .*give cfa=, {right} \("):
            check_pattern(signal, None, aligned, scene.chart, "a.dng")

    def test_the_steps_are_named(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        signal = mosaicked(capture(scene), "RGGB")
        with pytest.raises(ValueError, match="calls green are not alike") as caught:
            check_pattern(signal, "GRBG", aligned, scene.chart, "a.dng")
        steps = [float(step) for step in re.findall(r"0\.\d{3}", str(caught.value))[:4]]
        np.testing.assert_allclose(np.divide(steps, steps[1]), [0.6, 1.0, 1.0, 0.75], atol=0.02)

    def test_no_pattern_at_all(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        signal = capture(scene)
        signal[::2, ::2] *= 0.8
        signal[1::2, ::2] *= 0.6
        signal[::2, 1::2] *= 0.9
        with pytest.raises(ValueError, match="no other cfa fits"):
            check_pattern(signal, "RGGB", aligned, scene.chart, "a.dng")

    @pytest.mark.parametrize("cfa", [None, "RGGB"])
    def test_gray_places_tell_nothing(self, scene: Any, capture: Any, aligned: Alignment, cfa: str | None) -> None:
        check_pattern(capture(scene), cfa, aligned, scene.chart, "a.dng")

    @pytest.mark.parametrize("imbalance", [0.97, 1.03])
    def test_greens_of_real_sensors_differ_a_little(
        self, scene: Any, capture: Any, aligned: Alignment, imbalance: float
    ) -> None:
        signal = mosaicked(capture(scene), "RGGB")
        signal[1::2, ::2] *= imbalance
        check_pattern(signal, "RGGB", aligned, scene.chart, "a.dng")

    def test_noise_is_no_other_pattern(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        for seed in range(5):
            signal = mosaicked(capture(scene, snr_db=3.0, seed=seed), "RGGB")
            check_pattern(signal, "RGGB", aligned, scene.chart, "a.dng")


LIGHT = {"R": 0.5, "Gr": 0.8, "Gb": 0.8, "B": 0.6}
INK = 0.05


def seen(offset: float, ink: dict[str, float] | None = None) -> tuple[dict[str, float], dict[str, float]]:
    """Black and white of each plane where the signal is too high by `offset`."""
    shares = ink or dict.fromkeys(LIGHT, INK)
    return {p: offset + shares[p] * light for p, light in LIGHT.items()}, {p: offset + v for p, v in LIGHT.items()}


class TestDarkness:
    @pytest.mark.parametrize(("offset", "way"), [(0.06, "low"), (0.04, "low"), (-0.04, "high")])
    def test_a_wrong_level_is_told_with_its_size(self, offset: float, way: str) -> None:
        (diagnostic,) = darkness(*seen(offset), step_dn=1000.0)
        assert (diagnostic.kind, diagnostic.severity) == ("black-offset", "warning")
        found = re.search(r"to be (\d+) DN too (low|high)", diagnostic.message)
        assert found is not None
        assert found.groups() == (f"{1000 * abs(offset):.0f}", way)

    @pytest.mark.parametrize("offset", [0.0, 0.01, -0.01])
    def test_what_ink_explains_is_no_wrong_level(self, offset: float) -> None:
        assert darkness(*seen(offset), step_dn=1000.0) == ()

    def test_ink_that_is_not_quite_gray_is_none(self) -> None:
        random = np.random.default_rng(0)
        for _ in range(200):
            r, g, b = INK * (1 + 0.15 * random.uniform(-1, 1, 3))
            assert darkness(*seen(0.0, {"R": r, "Gr": g, "Gb": g, "B": b}), step_dn=1000.0) == ()

    def test_even_glare_is_none(self) -> None:
        black, white = seen(0.0)
        glare = {plane: 0.1 * light for plane, light in LIGHT.items()}
        assert (
            darkness({p: v + glare[p] for p, v in black.items()}, {p: v + glare[p] for p, v in white.items()}, 1.0)
            == ()
        )

    @pytest.mark.parametrize("light", [{"Y": 0.8}, {"R": 0.8, "Gr": 0.8, "Gb": 0.8, "B": 0.8}])
    def test_one_color_or_colors_alike_tell_nothing(self, light: dict[str, float]) -> None:
        assert darkness({p: 0.3 + INK * v for p, v in light.items()}, {p: 0.3 + v for p, v in light.items()}, 1.0) == ()


class TestRaises:
    @pytest.mark.parametrize("cfa", ["GRBG", "GBRG"])
    def test_another_pattern(self, cfa: str) -> None:
        with pytest.raises(ValueError, match=f"states the cfa {cfa}, but .*give cfa=, RGGB or BGGR$"):
            ChartCapture.of(replace(capture(), cfa=cfa), CHART)

    def test_a_mosaic_without_one(self) -> None:
        with pytest.raises(ValueError, match=r"states no cfa.*give cfa=, RGGB or BGGR \("):
            ChartCapture.of(replace(capture(), cfa=None), CHART)
