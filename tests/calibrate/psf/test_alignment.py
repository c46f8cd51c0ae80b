"""Alignment against the truth of a simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.diagnostics import verdict
from dirtypixels.calibrate.psf import alignment as alignments
from dirtypixels.calibrate.psf.alignment import Alignment, align
from dirtypixels.calibrate.psf.chart import BernoulliChart
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


class TestMaps:
    def test_to_chart_undoes_to_image(self, scene: Any, aligned: Alignment) -> None:
        pixels = scene.on_chart()
        assert np.abs(aligned.mapping.to_image(aligned.mapping.to_chart(pixels)) - pixels).max() < 1e-6

    def test_diagnostics_of_the_markers_are_kept(self, scene: Any, capture: Any) -> None:
        found = align(np.rot90(capture(scene), 2), scene.chart)
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["turned"]


class TestExceptions:
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
