"""Alignment against the truth of a simulation; windows that are unbiased, as good as they say, and blind to gain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.diagnostics import verdict
from dirtypixels.calibrate.psf import alignment as alignments
from dirtypixels.calibrate.psf import mapping
from dirtypixels.calibrate.psf.alignment import Alignment, align, window_centers, window_px, window_shifts
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.mapping import Mapping
from dirtypixels.raw.mosaic import full_green

pytest.importorskip("cv2")


def errors(scene: Any, found: Any, inset: float = 0.0) -> np.ndarray:
    """Distance between where the alignment and the scene put the same chart points, in pixels, all over the chart."""
    pixels = scene.on_chart(inset)
    return np.hypot(*(found.mapping.to_image(scene.to_chart(pixels)) - pixels).T)


class TestAccuracy:
    @pytest.mark.parametrize(
        ("changes", "blur", "snr_db"),
        [
            ({}, 1.0, 40.0),
            ({}, 1.0, 25.0),
            ({}, 2.1, 25.0),
            ({"turn_degrees": 15.0, "cell_px": 1.35}, 0.6, 25.0),
            ({"distortion": (-0.08, 0.02), "turn_degrees": -4.0}, 1.0, 40.0),
        ],
    )
    def test_the_goal_of_a_twentieth_of_a_pixel_is_kept(
        self, scenes: Any, capture: Any, changes: dict[str, Any], blur: float, snr_db: float
    ) -> None:
        scene = scenes(**changes)
        found = align(capture(scene, blur, snr_db), scene.chart)
        off = errors(scene, found)
        # The map has 15 parameters and N windows of two coordinates each: sqrt(15 / N) of a window's error is left.
        # Corners are extrapolated to, hence the factor; the floor is what the simulation's 5 x 5 points cost.
        expected = np.sqrt(15 / len(found.shifts.error)) * np.median(found.shifts.error)
        assert np.sqrt((off**2).mean()) < 4 * expected + 0.003
        assert off.max() < 0.05
        # What is left in the windows is their own error in x and y, and little else.
        assert found.rms_px < 1.5 * np.sqrt(2 * np.mean(found.shifts.error**2)) + 0.005
        assert found.blur_px == pytest.approx(blur * np.sqrt(2), rel=0.1 if blur >= 1 else 0.25)
        assert np.median(found.mapping.cell_px(found.markers.chart)) == pytest.approx(scene.cell_px, rel=0.05)
        assert verdict(found.diagnostics)[0]

    def test_a_mosaic_aligns_as_well(self, scene: Any, capture: Any) -> None:
        gains = np.ones(scene.size)
        gains[::2, ::2], gains[1::2, 1::2], gains[1::2, ::2] = 0.5, 0.7, 1.01
        mosaic = capture(scene, 0.7, 30) * gains
        found = align(full_green(mosaic, "RGGB"), scene.chart)
        assert errors(scene, found).max() < 0.05

    def test_a_chart_that_is_not_flat_is_followed(self, scenes: Any, capture: Any) -> None:
        scene = scenes(bow_px=0.8)
        found = align(capture(scene), scene.chart)
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["not-flat"]
        assert found.mapping.rest is not None
        assert errors(scene, found, inset=20.0).max() < 0.05
        bent = errors(scene, replace(found, mapping=replace(found.mapping, rest=None)), inset=20.0)
        assert bent.max() > 0.1

    def test_what_covers_the_chart_is_left_out(self, scene: Any, capture: Any) -> None:
        picture = capture(scene)
        picture[200:290, 250:330] = np.random.default_rng(1).random((90, 80))
        assert errors(scene, align(picture, scene.chart)).max() < 0.05

    def test_the_shift_of_a_skew_psf_goes_into_the_map(self, scene: Any, capture: Any) -> None:
        picture = capture(scene, 1.0, 45)
        skew = 0.7 * picture[:, 1:] + 0.3 * picture[:, :-1]
        found = align(skew, scene.chart)
        pixels = scene.on_chart(20.0)
        shift = found.mapping.to_image(scene.to_chart(pixels)) - pixels
        # Centroid of (0.7, 0.3) at (0, 1), in a frame whose first column is the old column 1: 0.3 - 1.
        assert shift[:, 0] == pytest.approx(-0.7, abs=0.03)
        assert shift[:, 1] == pytest.approx(0.0, abs=0.03)


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
        centers = window_centers(scene.size, true_map(scene), scene.chart, 42)
        found = window_shifts(picture, scene.chart, true_map(scene), centers, 1.0)
        # The window's error takes the misfit for white noise; it is not white, so three times as much is allowed.
        assert np.abs(found.shift.mean(0)).max() < 3 * 3 * np.median(found.error) / np.sqrt(len(found.error))

    @pytest.mark.parametrize("blur", [0.8, 1.0, 2.0])
    def test_a_known_shift_is_found(self, scenes: Any, capture: Any, blur: float) -> None:
        scene = flat(scenes)
        displaced = true_map(scene, (-0.06, 0.04))
        picture = capture(scene, blur, 30).astype(np.float32)
        centers = window_centers(scene.size, displaced, scene.chart, 45)
        found = window_shifts(picture, scene.chart, displaced, centers, blur)
        mean, error = found.shift.mean(0), found.error.max() / np.sqrt(len(centers))
        # Linear in the shift: the next order is (shift / blur)^2 of it, and central differences of the model are low by
        # 1 / (6 blur^2) of the slope. The next round takes what is left.
        assert mean == pytest.approx([0.06, -0.04], abs=4 * error + 0.06 / (4 * blur**2))
        assert np.abs(found.image - displaced.to_image(found.chart) - found.shift).max() < 1e-6

    def test_errors_are_what_they_say(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        known = true_map(scene)
        centers = window_centers(scene.size, known, scene.chart, 42)
        scores = []
        for seed in range(4):
            picture = capture(scene, 1.0, 8, seed).astype(np.float32)
            found = window_shifts(picture, scene.chart, known, centers, 1.0)
            scores.append(found.shift / found.error[:, None])
        count = np.size(scores)
        assert abs(np.mean(scores)) < 4 / np.sqrt(count)
        # Windows that do not touch share nothing; the rendering of the simulation by points adds a few per cent.
        assert np.std(scores) == pytest.approx(1, abs=4 / np.sqrt(2 * count) + 0.05)

    def test_blur_is_measured(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        picture = capture(scene, 1.6).astype(np.float32)
        known = true_map(scene)
        centers = window_centers(scene.size, known, scene.chart, 80)
        found = window_shifts(picture, scene.chart, known, centers, 1.5)
        assert np.median(found.blur) == pytest.approx(1.6, rel=0.03)

    def test_light_that_falls_off_moves_nothing(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        known = true_map(scene)
        picture = capture(scene, 1.5, 60)
        slope = picture * np.linspace(1, 3, 640)
        centers = window_centers(scene.size, known, scene.chart, 60)
        a, b = (window_shifts(p.astype(np.float32), scene.chart, known, centers, 1.5) for p in (picture, slope))
        # Twice as bright across the frame: 0.3 % a pixel. Without terms for it, shifts change by 0.01 px.
        assert np.abs(a.shift - b.shift).max() < 0.004

    def test_smoothing_both_reaches_farther(self, scenes: Any, capture: Any) -> None:
        scene = flat(scenes)
        displaced = true_map(scene, (1.2, 0.0))
        picture = capture(scene, 0.6).astype(np.float32)
        centers = window_centers(scene.size, displaced, scene.chart, 80)
        plain = window_shifts(picture, scene.chart, displaced, centers, 0.6)
        smooth = window_shifts(picture, scene.chart, displaced, centers, 0.6, smooth=2.0)
        assert abs(np.median(smooth.shift[:, 0]) + 1.2) < min(0.4, abs(np.median(plain.shift[:, 0]) + 1.2))

    def test_where_there_is_no_chart_nothing_is_explained(self, scenes: Any) -> None:
        scene = flat(scenes)
        noise = np.random.default_rng(0).random(scene.size).astype(np.float32)
        known = true_map(scene)
        centers = window_centers(scene.size, known, scene.chart, 80)
        assert window_shifts(noise, scene.chart, known, centers, 1.0).explained.max() < 0.05


def test_windows_lie_on_the_chart(scene: Any) -> None:
    known = true_map(flat_scene := scene)
    centers = window_centers(flat_scene.size, known, scene.chart, 40)
    half = window_px(scene.size) / 2
    for corner in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        places = centers + np.array(corner) * half
        assert (places >= 0).all()
        assert (places <= [639, 479]).all()
        inside = known.to_chart(places)
        assert (inside > 0).all()
        assert (inside < scene.chart.shape[::-1]).all()


class TestMaps:
    def test_to_chart_undoes_to_image(self, scene: Any, aligned: Alignment) -> None:
        pixels = scene.on_chart()
        assert np.abs(aligned.mapping.to_image(aligned.mapping.to_chart(pixels)) - pixels).max() < 1e-6

    def test_diagnostics_of_the_markers_are_kept(self, scene: Any, capture: Any) -> None:
        found = align(np.rot90(capture(scene), 2), scene.chart)
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["turned"]


class TestRaises:
    def test_out_of_focus(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"out of focus: the blur's RMS radius is \d\.\d px or more, at most 4 px"):
            align(capture(scene, 4.0), scene.chart)

    def test_noise_that_cannot_be_seen(self, aligned: Alignment) -> None:
        found = aligned.shifts
        nothing = alignments.Shifts(found.chart, found.image, found.shift, found.error, found.blur, 0 * found.explained)
        with pytest.raises(ValueError, match=r"chart's noise cannot be seen in image \(0\.0 % of its variance"):
            alignments._trusted(nothing)
        with pytest.raises(ValueError, match="in 5 windows"):
            alignments._trusted(found[np.arange(5)])

    def test_wrong_pictures_are_refused_by_the_markers(self) -> None:
        with pytest.raises(ValueError, match="too dark or without contrast"):
            align(np.full((480, 640), 0.5), BernoulliChart())

    @pytest.mark.parametrize("rms", [0.1, 0.3])
    def test_a_poor_fit_is_told(self, rms: float) -> None:
        diagnostic = alignments._judged(rms)[0]
        assert (diagnostic.kind, diagnostic.severity) == ("alignment", "warning")
        assert alignments._judged(0.02) == ()
