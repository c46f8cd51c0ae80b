"""The likelihood of level sets: exact sets give the noise back, noisy ones within their standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.detail_response import DetailResponse
from dirtypixels.calibrate.noise.level_fit import fit
from dirtypixels.calibrate.noise.level_sets import LevelSets

ALPHA, SIGMA = 2e-3, 6e-3
TRUTH = np.array([ALPHA, SIGMA**2])
CLIPPED = Range(0.0, 1.0)


def sets_at(light: np.ndarray, count: int, bounds: Range, random: np.random.Generator | None = None) -> LevelSets:
    """Sets that are what the model makes of these lights, or that with chance's error."""
    response = DetailResponse(ALPHA, SIGMA**2, bounds)
    mean, deviation, spread = (
        np.interp(light, response.light, v) for v in (response.mean, response.robust, response.deviation)
    )
    relative = np.full(light.size, 2.5 / count)
    if random is not None:
        deviation = deviation * (1 + np.sqrt(relative) * random.standard_normal(light.size))
        mean = mean + spread / np.sqrt(count) * random.standard_normal(light.size)
    nothing = np.zeros(light.size)
    return LevelSets(mean, deviation, relative, nothing, nothing, np.full(light.size, count))


@pytest.mark.parametrize("bounds", [Range(-np.inf, 1.0), CLIPPED, Range(-0.05, 1.0, 1 / 4000)])
def test_exact_sets_give_the_noise_back(bounds: Range) -> None:
    found = fit(sets_at(np.linspace(0.0, 1.0, 30), 10**6, bounds), bounds)
    assert found.alpha == pytest.approx(ALPHA, rel=2e-3)  # the tables' interpolation
    assert found.variance == pytest.approx(SIGMA**2, rel=2e-2)
    np.testing.assert_allclose(found.share.sum(), 1)


@pytest.mark.parametrize("light", [np.linspace(0.02, 0.8, 40), np.linspace(0.0, 1.01, 40)])
def test_unbiased_and_as_sure_as_it_says(light: np.ndarray) -> None:
    random, runs = np.random.default_rng(0), 50
    pulls, chi2 = [], []
    for _ in range(runs):
        found = fit(sets_at(light, 600, CLIPPED, random), CLIPPED, (3e-3, 1e-5))
        pulls.append((np.array([found.alpha, found.variance]) - TRUTH) / np.sqrt(np.diag(found.covariance)))
        chi2.append(found.chi2)
    assert np.abs(np.mean(pulls, axis=0)).max() < 3.5 / np.sqrt(runs)
    # a standard deviation of 50 values is known to 10 %
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=4 / np.sqrt(2 * runs))
    assert np.mean(chi2) == pytest.approx(light.size - 2, abs=4 * np.sqrt(2 * light.size / runs))


def test_clipped_sets_would_mislead_a_model_without_clipping() -> None:
    sets = sets_at(np.linspace(0.9, 1.01, 30), 10**6, CLIPPED)
    found = fit(sets, Range(-np.inf, 10.0))
    assert found.alpha < 0.5 * ALPHA
    assert fit(sets, CLIPPED).alpha == pytest.approx(ALPHA, rel=0.02)


def test_starts_far_off_come_to_the_same_place() -> None:
    sets = sets_at(np.linspace(0.01, 0.9, 30), 1000, CLIPPED, np.random.default_rng(1))
    found = [fit(sets, CLIPPED, start) for start in (None, (1e-5, 1e-7), (5e-2, 1e-2))]
    for other in found[1:]:
        assert other.alpha == pytest.approx(found[0].alpha, rel=1e-2)
        assert other.variance == pytest.approx(found[0].variance, rel=3e-2)


def test_noise_without_a_poisson_part_and_without_a_gaussian_one() -> None:
    light = np.linspace(0.1, 0.8, 20)
    nothing, count = np.zeros(20), np.full(20, 10**5)
    bounds = Range(-np.inf, 1.0)
    level = LevelSets(light, np.full(20, 0.01), np.full(20, 1e-5), nothing, nothing, count)
    assert fit(level, bounds).alpha * 0.8 < 1e-3 * 0.01**2
    rising = LevelSets(light, np.sqrt(1e-3 * light), np.full(20, 1e-5), nothing, nothing, count)
    assert fit(rising, bounds).variance < 0.03 * 1e-3 * 0.1


def test_leaning_on_low_sets_leaves_out_high_ones() -> None:
    sets = sets_at(np.linspace(0.05, 0.8, 40), 10**4, CLIPPED)
    sets.deviation[::4] *= 1.5  # structure in every fourth
    straight, leaning = fit(sets, CLIPPED), fit(sets, CLIPPED, above=0.02)
    assert straight.alpha > 1.15 * ALPHA
    assert leaning.alpha == pytest.approx(ALPHA, rel=0.05)
