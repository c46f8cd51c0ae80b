"""Moments of the clipped and rounded model against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.noise.clipping import ClipRange, Response, clipped_moments, some_variance

SAMPLES = 400_000


@pytest.mark.parametrize("level", [0.0, 0.002, 0.02, 0.5, 1.0])
@pytest.mark.parametrize(
    ("alpha", "sigma", "bounds"),
    [
        (0.0, 0.01, ClipRange()),
        (0.0, 0.01, ClipRange(-13 / 255, 1.0, 1 / 255)),
        (0.005, 0.0015, ClipRange()),
        (0.005, 0.0015, ClipRange(-200 / 4095, 1.0, 1 / 4095)),
        (0.02, 0.05, ClipRange(-64 / 1023, 1.0, 1 / 1023)),
    ],
)
def test_they_are_those_of_simulated_samples(level: float, alpha: float, sigma: float, bounds: ClipRange) -> None:
    random = np.random.default_rng(0)
    light = alpha * random.poisson(level / alpha, SAMPLES) if alpha else np.full(SAMPLES, level)
    signal = np.clip(light + sigma * random.standard_normal(SAMPLES), bounds.low, bounds.high)
    if bounds.step:
        signal = np.minimum(bounds.low + bounds.step * np.round((signal - bounds.low) / bounds.step), bounds.high)
    mean, variance, third, fourth = (v[0] for v in clipped_moments([level], alpha, sigma**2, bounds))
    off = signal - signal.mean()
    for moment, power in ((variance, 2), (third, 3), (fourth, 4)):
        # standard error of a central moment by its samples, to first order
        error = np.std(off**power - power * (off ** (power - 1)).mean() * off) / np.sqrt(SAMPLES)
        assert abs((off**power).mean() - moment) < 5 * error + 1e-18
    assert abs(signal.mean() - mean) < 5 * np.sqrt(variance / SAMPLES)


def test_tables_stay_small_where_there_is_no_noise_but_rounding() -> None:
    """1024 codes without any noise, whose table was of millions of levels."""
    step = 1 / 1023
    response = Response(0.0, some_variance(0.0, 0.0, step), ClipRange(0.0, 1.0, step))
    levels = step * np.array([0.0, 10.25, 500.0, 1000.3])
    mean, variance, *_ = response(levels)
    assert mean / step == pytest.approx([0, 10, 500, 1000], abs=0.03)
    assert (variance < (0.2 * step) ** 2).all()
