"""Windows registered on the noise: unbiased, as good as they say, and blind to gain, falloff and the blur's width."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.psf import mapping, registration
from dirtypixels.calibrate.psf.mapping import Mapping

pytest.importorskip("cv2")


def flat(scenes: Any) -> Any:
    return scenes(turn_degrees=2.0, tilt=(0.0, 0.0), distortion=(0.0, 0.0), cell_px=1.7)


def true_map(scene: Any, shift: tuple[float, float] = (0.0, 0.0)) -> Mapping:
    """The map of a scene without distortion, displaced."""
    pixels = np.stack([a.ravel() for a in np.meshgrid([0.0, 300.0, 639.0], [0.0, 200.0, 479.0])], 1)
    return mapping.fit(scene.to_chart(pixels), pixels + shift, scene.size)


class TestShifts:
    @pytest.mark.parametrize("blur", [0.8, 2.0])
    def test_no_shift_is_found_where_there_is_none(self, scenes: Any, capture: Any, blur: float) -> None:
        # The model's blur of 1 px is wrong, and must not matter: a symmetric blur moves nothing.
        scene = flat(scenes)
        picture = capture(scene, blur, 30).astype(np.float32)
        centers = registration.window_centers(scene.size, true_map(scene), scene.chart, 42)
        found = registration.measure(picture, scene.chart, true_map(scene), centers, 1.0)
        # The window's error takes the misfit for white noise; it is not white, so three times as much is allowed.
        assert np.abs(found.shift.mean(0)).max() < 3 * 3 * np.median(found.error) / np.sqrt(len(found.error))

    @pytest.mark.parametrize("blur", [0.8, 1.0, 2.0])
    def test_a_known_shift_is_found(self, scenes: Any, capture: Any, blur: float) -> None:
        scene = flat(scenes)
        displaced = true_map(scene, (-0.06, 0.04))
        picture = capture(scene, blur, 30).astype(np.float32)
        centers = registration.window_centers(scene.size, displaced, scene.chart, 45)
        found = registration.measure(picture, scene.chart, displaced, centers, blur)
        mean, error = found.shift.mean(0), found.error.max() / np.sqrt(len(centers))
        # Linear in the shift: the next order is (shift / blur)^2 of it, and central differences of the model are low by
        # 1 / (6 blur^2) of the slope. The next round takes what is left.
        assert mean == pytest.approx([0.06, -0.04], abs=4 * error + 0.06 / (4 * blur**2))
        assert np.abs(found.image - displaced.to_image(found.chart) - found.shift).max() < 1e-6

    def test_errors_are_what_they_say(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        known = true_map(scene)
        centers = registration.window_centers(scene.size, known, scene.chart, 42)
        scores = []
        for seed in range(4):
            picture = capture(scene, 1.0, 8, seed).astype(np.float32)
            found = registration.measure(picture, scene.chart, known, centers, 1.0)
            scores.append(found.shift / found.error[:, None])
        count = np.size(scores)
        assert abs(np.mean(scores)) < 4 / np.sqrt(count)
        # Windows that do not touch share nothing; the rendering of the simulation by points adds a few per cent.
        assert np.std(scores) == pytest.approx(1, abs=4 / np.sqrt(2 * count) + 0.05)

    def test_blur_is_measured(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        picture = capture(scene, 1.6).astype(np.float32)
        known = true_map(scene)
        centers = registration.window_centers(scene.size, known, scene.chart, 80)
        found = registration.measure(picture, scene.chart, known, centers, 1.5)
        assert np.median(found.blur) == pytest.approx(1.6, rel=0.03)

    def test_light_that_falls_off_moves_nothing(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        known = true_map(scene)
        picture = capture(scene, 1.5, 60)
        slope = picture * np.linspace(1, 3, 640)
        centers = registration.window_centers(scene.size, known, scene.chart, 60)
        a, b = (registration.measure(p.astype(np.float32), scene.chart, known, centers, 1.5) for p in (picture, slope))
        # Twice as bright across the frame: 0.3 % a pixel. Without terms for it, shifts change by 0.01 px.
        assert np.abs(a.shift - b.shift).max() < 0.004

    def test_smoothing_both_reaches_farther(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        displaced = true_map(scene, (1.2, 0.0))
        picture = capture(scene, 0.6).astype(np.float32)
        centers = registration.window_centers(scene.size, displaced, scene.chart, 80)
        plain = registration.measure(picture, scene.chart, displaced, centers, 0.6)
        smooth = registration.measure(picture, scene.chart, displaced, centers, 0.6, smooth=2.0)
        assert abs(np.median(smooth.shift[:, 0]) + 1.2) < min(0.4, abs(np.median(plain.shift[:, 0]) + 1.2))

    def test_where_there_is_no_chart_nothing_is_explained(self, scenes: Any) -> None:
        scene = flat(scenes)
        noise = np.random.default_rng(0).random(scene.size).astype(np.float32)
        known = true_map(scene)
        centers = registration.window_centers(scene.size, known, scene.chart, 80)
        assert registration.measure(noise, scene.chart, known, centers, 1.0).explained.max() < 0.05


def test_windows_lie_on_the_chart(scene: Any) -> None:
    known = true_map(flat_scene := scene)
    centers = registration.window_centers(flat_scene.size, known, scene.chart, 40)
    half = registration.window_px(scene.size) / 2
    for corner in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        places = centers + np.array(corner) * half
        assert (places >= 0).all()
        assert (places <= [639, 479]).all()
        inside = known.to_chart(places)
        assert (inside > 0).all()
        assert (inside < scene.chart.shape[::-1]).all()
