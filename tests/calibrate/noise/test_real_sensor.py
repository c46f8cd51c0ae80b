"""The noise estimate on a real CCD, compared with the photon transfer of EMVA 1288."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import real_sensor as bench
from dirtypixels.calibrate.noise.curve import MeasuredCurve, noise_curve


@pytest.fixture(scope="module")
def levels(shared_data: Path) -> Any:
    return bench.read_levels(shared_data / "emva1288_ccd")


@pytest.fixture(scope="module")
def transfer(levels: Any) -> Any:
    return bench.photon_transfer(levels)


@pytest.fixture(scope="module")
def curve(levels: Any) -> MeasuredCurve:
    pairs = [level for level in levels if len(level.files) == 2]
    frames, light = bench.read_captures(pairs)
    return noise_curve(frames, illuminance=light)


def test_photon_transfer_recovers_a_known_gain() -> None:
    """The yardstick itself, on pairs whose gain is 0.3 DN an electron; three standard errors of the regression."""
    random = np.random.default_rng(0)
    electrons = np.linspace(50, 12000, 20)
    shape = (2, 200, 200)
    pairs = np.array([_moments(0.3 * random.poisson(e, shape) + random.normal(15, 3, shape)) for e in electrons])
    dark = np.array([_moments(random.normal(15, 3, shape)) for _ in electrons])
    known = bench.Transfer(electrons, electrons, *pairs.T, *dark.T, pixels=40000)
    k, low, high = known.gain()
    assert abs(k - 0.3) < 1.5 * (high - low) / 2
    assert (high - low) / 2 < 0.01 * k


def _moments(pair: Any) -> tuple[float, float]:
    one, other = pair
    return float(pair.mean()), float(((one - other) ** 2).mean() - (one.mean() - other.mean()) ** 2) / 2


def test_the_gain_agrees_with_photon_transfer(curve: MeasuredCurve, transfer: Any) -> None:
    estimate = curve.estimates[100.0, "Y"]
    k, *_ = transfer.gain()
    assert estimate.alpha * (estimate.white - estimate.black) == pytest.approx(k, rel=0.02)


def test_read_noise_agrees_with_the_dark_pairs(curve: MeasuredCurve, transfer: Any) -> None:
    estimate = curve.estimates[100.0, "Y"]
    dark = np.sqrt(transfer.dark_variance.mean() - 1 / 12)
    assert estimate.sigma * (estimate.white - estimate.black) == pytest.approx(dark, rel=0.02)


def test_black_level_and_dark_current_are_those_of_the_dark_frames(curve: MeasuredCurve, transfer: Any) -> None:
    black = curve.black[100.0, "Y"]
    slope, level = np.polyfit(transfer.seconds, transfer.dark_mean, 1)
    assert black.value == pytest.approx(level, abs=0.01)
    assert black.dark_current is not None
    assert black.dark_current[0] == pytest.approx(slope, rel=0.05)


def test_the_fit_passes_or_says_why_not(curve: MeasuredCurve) -> None:
    """The sensor's response bends, so the variance is up to 1.3 % off a line, and chance is 0.1 %."""
    estimate = curve.estimates[100.0, "Y"]
    said = [f for f in (*curve.diagnostics, *estimate.diagnostics) if f.kind == "residual"]
    assert curve.passed or said
    assert "linearity" in [f.kind for f in curve.diagnostics]
    assert not [f for f in curve.diagnostics if f.kind in ("drift", "non-linear", "black-level", "structure")]


def test_what_the_sensor_does(levels: Any, transfer: Any) -> None:
    """What the benchmark says of the bend and the codes, as bounds that the data keep."""
    measured, predicted = bench.bend(transfer)
    assert measured[0] - measured[-1] > 0.03
    assert abs((measured[0] - measured[-1]) - (predicted[0] - predicted[-1])) < 0.02
    widths = bench.code_widths(levels)
    assert np.ptp(widths) > 0.1  # chance: 1 / sqrt(3.8e6) = 0.05 %
    assert 0.4 < bench.row_noise(levels) < 0.6
