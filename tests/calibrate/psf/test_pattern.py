"""Where the greens lie, told by the chart's own black and white."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.pattern import check_pattern

pytest.importorskip("cv2")

LIGHT = {"R": 0.6, "G": 1.0, "B": 0.75}


def mosaicked(picture: np.ndarray, cfa: str, light: dict[str, float] = LIGHT) -> np.ndarray:
    found = picture.copy()
    for i, color in enumerate(cfa):
        found[i // 2 :: 2, i % 2 :: 2] *= light[color]
    return found


@pytest.mark.parametrize("cfa", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_the_true_pattern_passes_and_one_with_the_other_diagonal_does_not(
    scene: Any, capture: Any, aligned: Alignment, cfa: str
) -> None:
    signal = mosaicked(capture(scene), cfa)
    diagonals = ("RGGB or BGGR", "GRBG or GBRG")
    right, wrong = diagonals if cfa in diagonals[0] else diagonals[::-1]
    for one in right.split(" or "):  # which of red and blue is which cannot be told
        check_pattern(signal, one, aligned, scene.chart, "a.dng")
    for one in wrong.split(" or "):
        message = f"a.dng states the cfa {one}, but .*calls green.*are not alike.*other diagonal: give cfa=, {right}$"
        with pytest.raises(ValueError, match=message):
            check_pattern(signal, one, aligned, scene.chart, "a.dng")
    with pytest.raises(ValueError, match=rf"a.dng states no cfa, but .*give cfa=, {right} \("):
        check_pattern(signal, None, aligned, scene.chart, "a.dng")


def test_the_steps_are_named(scene: Any, capture: Any, aligned: Alignment) -> None:
    signal = mosaicked(capture(scene), "RGGB")
    with pytest.raises(ValueError, match="calls green are not alike") as caught:
        check_pattern(signal, "GRBG", aligned, scene.chart, "a.dng")
    steps = [float(step) for step in re.findall(r"0\.\d{3}", str(caught.value))[:4]]
    np.testing.assert_allclose(np.divide(steps, steps[1]), [0.6, 1.0, 1.0, 0.75], atol=0.02)


def test_no_pattern_at_all(scene: Any, capture: Any, aligned: Alignment) -> None:
    signal = capture(scene)
    signal[::2, ::2] *= 0.8
    signal[1::2, ::2] *= 0.6
    signal[::2, 1::2] *= 0.9
    with pytest.raises(ValueError, match="no other cfa fits"):
        check_pattern(signal, "RGGB", aligned, scene.chart, "a.dng")


@pytest.mark.parametrize("cfa", [None, "RGGB"])
def test_gray_places_tell_nothing(scene: Any, capture: Any, aligned: Alignment, cfa: str | None) -> None:
    check_pattern(capture(scene), cfa, aligned, scene.chart, "a.dng")


@pytest.mark.parametrize("imbalance", [0.97, 1.03])
def test_greens_of_real_sensors_differ_a_little(scene: Any, capture: Any, aligned: Alignment, imbalance: float) -> None:
    signal = mosaicked(capture(scene), "RGGB")
    signal[1::2, ::2] *= imbalance
    check_pattern(signal, "RGGB", aligned, scene.chart, "a.dng")


def test_noise_is_no_other_pattern(scene: Any, capture: Any, aligned: Alignment) -> None:
    for seed in range(5):
        signal = mosaicked(capture(scene, snr_db=3.0, seed=seed), "RGGB")
        check_pattern(signal, "RGGB", aligned, scene.chart, "a.dng")
