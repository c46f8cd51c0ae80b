"""The Cramér-Rao bound, against what can be had in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cramer_rao import cramer_rao
from dirtypixels.calibrate.noise.clipping import ClipRange

OPEN = ClipRange(-np.inf, np.inf)
LEVELS = np.array([0.2, 0.4, 0.6, 0.8])


def gaussian(levels: np.ndarray, alpha: float, sigma: float, samples: int) -> np.ndarray:
    """Of a normal distribution N(z, v), v = alpha z + sigma^2: J = a a^T / (2 v^2) / (1 + alpha^2 / (2 v))."""
    v = alpha * levels + sigma**2
    a = np.stack([levels, np.ones_like(levels)], axis=1)
    weight = samples / (2 * v**2) / (1 + alpha**2 / (2 * v))
    return np.linalg.inv((a.T * weight) @ a)


@pytest.mark.parametrize(("alpha", "sigma"), [(1e-5, 5e-3), (1e-4, 1e-3)])
def test_many_photons_are_gaussian(alpha: float, sigma: float) -> None:
    found = cramer_rao(LEVELS, alpha, sigma, samples=1000, bounds=OPEN)
    # cells of 1/12 deviation lose under 1/12^2 of the information, skewness changes it by about 1/photons
    assert found == pytest.approx(gaussian(LEVELS, alpha, sigma, 1000), rel=0.01)


def test_it_falls_with_the_samples() -> None:
    few, many = (cramer_rao(LEVELS, 0.01, 0.02, samples=n) for n in (100, 400))
    assert many * 4 == pytest.approx(few, rel=1e-9)


def test_clipping_and_rounding_take_information_away() -> None:
    free, clipped, rounded = (
        np.diag(cramer_rao(LEVELS, 0.01, 0.02, samples=100, bounds=b))
        for b in (OPEN, ClipRange(), ClipRange(step=0.25))
    )
    assert (clipped >= free).all()
    assert (rounded > 1.05 * clipped).all()


def test_a_patch_that_is_clipped_all_through_adds_nothing() -> None:
    alone = cramer_rao(LEVELS, 1e-3, 2e-3, samples=100)
    assert cramer_rao([*LEVELS, 3.0], 1e-3, 2e-3, samples=100) == pytest.approx(alone, rel=1e-6)


def test_a_few_photons_are_counted() -> None:
    # Read noise of a tenth of a photon's step: each count is seen, so alpha is known far better than by the variance.
    seen = cramer_rao(np.array([2.0, 5.0]), 1.0, 0.1, samples=100, bounds=OPEN)
    assert np.sqrt(seen[0, 0]) < 0.2 * np.sqrt(gaussian(np.array([2.0, 5.0]), 1.0, 0.1, 100)[0, 0])


@pytest.mark.parametrize(
    ("levels", "alpha", "sigma", "samples", "message"),
    [
        ([0.5, -0.1], 0.01, 0.01, 10, "levels must be >= 0"),
        ([0.5, np.nan], 0.01, 0.01, 10, "levels must be >= 0"),
        ([0.5, 0.6], 0.0, 0.01, 10, "alpha and sigma above 0"),
        ([0.5, 0.6], 0.01, 0.01, 0, "samples at least 1"),
        ([0.0, 0.0], 0.01, 0.01, 10, "levels must differ"),
        ([5.0, 6.0], 0.01, 0.01, 10, "not all be clipped"),
    ],
)
def test_raises_where_there_is_no_bound(
    levels: list[float], alpha: float, sigma: float, samples: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cramer_rao(levels, alpha, sigma, samples=samples)
