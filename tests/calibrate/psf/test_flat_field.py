"""Black, white and falloff given back, and what is wrong with the light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.diagnostics import verdict
from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.flat_field import flat_field
from dirtypixels.raw.frames import plane_slices

pytest.importorskip("cv2")

BLACK, WHITE = 0.04, 0.8


class TestMaps:
    @pytest.mark.parametrize(("blur", "snr_db"), [(1.0, 40.0), (2.1, 40.0), (1.0, 25.0)])
    def test_black_and_white_come_back(
        self, scene: Any, capture: Any, aligned: Alignment, blur: float, snr_db: float
    ) -> None:
        picture = capture(scene, blur, snr_db)
        found = flat_field(picture, aligned, scene.chart)
        pixels = scene.on_chart()
        falloff = scene.falloff[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
        # A patch has at least 25 pixels; a map of 15 numbers fitted to 40 of them is as noisy as one of them at most.
        noise = picture.std() * 10 ** (-snr_db / 20)
        bound = 4 * noise / np.sqrt(25) + 0.002
        black, white = found.at(pixels)
        assert np.abs(white - WHITE * falloff).max() < bound
        assert np.abs(black - BLACK * falloff).max() < bound
        assert abs(found.bend) < 0.003
        assert verdict(found.diagnostics) == (True, "no check failed")
        assert found.diagnostics == ()

    @pytest.mark.parametrize("plane", ["R", "Gr", "Gb", "B"])
    def test_a_plane_of_a_mosaic_has_its_own(self, scene: Any, capture: Any, aligned: Alignment, plane: str) -> None:
        gain = {"R": 0.5, "Gr": 1.0, "Gb": 1.0, "B": 0.8}[plane]
        found = flat_field(gain * capture(scene), aligned, scene.chart, plane_slices("RGGB")[plane])
        pixels = scene.on_chart(10.0)
        falloff = scene.falloff[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
        assert np.abs(found.at(pixels)[1] / (gain * WHITE * falloff) - 1).max() < 0.01

    def test_grids_are_the_maps(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        found = flat_field(capture(scene), aligned, scene.chart)
        rows, columns = np.array([3, 100, 470]), np.array([0, 50, 333, 639])
        black, white = found.grids(rows, columns)
        points = np.stack([a.ravel() for a in np.meshgrid(columns, rows)], 1)
        for grid, at_points in zip((black, white), found.at(points), strict=True):
            assert np.allclose(grid.ravel(), at_points)

    def test_snr_is_that_of_the_chart(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        picture = capture(scene, snr_db=30.0)
        sigma = capture(scene, snr_db=np.inf).std() * 10 ** (-30 / 20)
        found = flat_field(picture, aligned, scene.chart)
        step = (WHITE - BLACK) * np.median(scene.falloff)
        # The median of 80 variances of about 50 pixels is good to a few per cent: 0.5 dB is ample.
        assert found.snr_db == pytest.approx(20 * np.log10(step / 2 / sigma), abs=0.8)


class TestDiagnostics:
    @pytest.mark.parametrize(
        ("kind", "severity", "spoil"),
        [
            ("non-linear", "failure", lambda a: np.clip(a, 0, None) ** (1 / 2.2)),
            ("non-linear", "warning", lambda a: np.clip(a, 0, None) ** (1 / 1.15)),
            ("dot-gain", "failure", lambda a: np.clip(a, 0, None) ** 2.2),
            ("saturated", "failure", lambda a: np.minimum(1.3 * a / 0.95, 1.0)),
            ("too-dark", "warning", lambda a: 0.1 * a),
            ("too-dark", "failure", lambda a: 0.03 * a),
            ("low-contrast", "warning", lambda a: 0.5 * a + 0.3),
            ("low-contrast", "warning", lambda a: a + 0.06),
            ("low-contrast", "failure", lambda a: 0.1 * a + 0.8),
            ("noisy", "warning", lambda a: a + np.random.default_rng(0).normal(0, 0.09, a.shape)),
            ("noisy", "failure", lambda a: a + np.random.default_rng(0).normal(0, 0.2, a.shape)),
            ("uneven", "warning", lambda a: a * np.linspace(0.1, 1, 640)),
        ],
    )
    def test_what_is_wrong_is_told(
        self,
        scene: Any,
        capture: Any,
        aligned: Alignment,
        kind: str,
        severity: str,
        spoil: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        found = flat_field(spoil(capture(scene)), aligned, scene.chart)
        assert (kind, severity) in [(diagnostic.kind, diagnostic.severity) for diagnostic in found.diagnostics]

    @pytest.mark.parametrize("exponent", [0.92, 0.94, 0.96, 0.98, 1.02, 1.06, 1.1])
    def test_noise_that_is_left_out_for_its_bend_is_told(
        self, scene: Any, capture: Any, aligned: Alignment, exponent: float
    ) -> None:
        found = flat_field(np.clip(capture(scene), 0, None) ** exponent, aligned, scene.chart)
        kinds = {diagnostic.kind for diagnostic in found.diagnostics}
        assert bool(kinds & {"non-linear", "dot-gain"}) == (abs(found.bend) >= 0.01)

    def test_noise_is_no_shadow(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        found = flat_field(capture(scene, snr_db=8.0), aligned, scene.chart)
        assert found.residual < 0.01
        assert "uneven" not in {diagnostic.kind for diagnostic in found.diagnostics}

    def test_a_shadow_is_told(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        picture = capture(scene)
        picture[:, 300:] *= 0.7
        found = flat_field(picture, aligned, scene.chart)
        assert "shadows, reflections" in " ".join(diagnostic.message for diagnostic in found.diagnostics)

    def test_a_black_level_that_was_too_high_costs_nothing(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        plain, dark = (flat_field(capture(scene) - level, aligned, scene.chart) for level in (0.0, 0.2))
        assert dark.diagnostics == ()
        for one, other in zip(plain.at(scene.on_chart()), dark.at(scene.on_chart()), strict=True):
            np.testing.assert_allclose(other, one - 0.2, atol=1e-6)


class TestRaises:
    def test_a_negative(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        with pytest.raises(ValueError, match=r"white brighter than black.*at \d+ of \d+ squares"):
            flat_field(1 - capture(scene), aligned, scene.chart)

    def test_too_few_patches(self, scene: Any, capture: Any, aligned: Alignment) -> None:
        with pytest.raises(ValueError, match=r"at least 6 black and 6 white patches.*found 2"):
            flat_field(capture(scene), aligned, scene.chart, (slice(0, 120), slice(0, 180)))
