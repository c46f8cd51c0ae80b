"""Intensity bins of smooth parts: what is chosen, what choosing does, how sure a bin's standard deviation is; and their
likelihood: exact bins give the noise back, noisy ones within their standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.noise.clipping import ClipRange
from dirtypixels.calibrate.noise.intensity_bins import IntensityBins, binned, fitted_to_bins, quiet, smooth
from dirtypixels.calibrate.noise.wavelet import MEDIAN, WaveletCoefficients, WaveletResponse, wavelet_coefficients

SIGMA = 0.01
BOUNDS = ClipRange(-np.inf, 1.0)
FLAT = WaveletResponse(1e-9, SIGMA**2, BOUNDS)


def taken_apart(light: np.ndarray, seed: int = 0) -> WaveletCoefficients:
    plane = light + np.random.default_rng(seed).normal(0, SIGMA, light.shape)
    return wavelet_coefficients(np.minimum(plane, 1.0), BOUNDS.low, BOUNDS.high)


def test_noise_alone_is_chosen_as_often_as_chance_has_it() -> None:
    chosen = smooth(taken_apart(np.full((400, 400), 0.4)), FLAT)
    # P(mean of 50 squares < 1.2) = P(chi2_50 < 60) = 0.84; the spread leaves out a little more
    assert chosen.mean() == pytest.approx(0.84, abs=0.05)


def test_choosing_does_not_favor_small_noise() -> None:
    ratios = []
    for seed in range(12):
        one = taken_apart(np.full((300, 300), 0.4), seed)
        for mask in (smooth(one, FLAT), quiet([one])[0]):  # the second keeps a tenth only
            ratios.append(np.median(np.abs(one.diagonal[mask])) / MEDIAN / SIGMA)
    error = np.std(ratios[::2], ddof=1) / np.sqrt(12), np.std(ratios[1::2], ddof=1) / np.sqrt(12)
    assert np.mean(ratios[::2]) == pytest.approx(1, abs=4 * error[0])
    assert np.mean(ratios[1::2]) == pytest.approx(1, abs=4 * error[1])


def test_structure_is_left_out() -> None:
    light = np.full((200, 300), 0.4)
    light[:, 100:200] += 0.03 * np.random.default_rng(1).normal(size=(200, 100))  # texture of 3 sigma
    light[:, 250:] += 0.2  # an edge
    chosen = smooth(taken_apart(light), FLAT)
    texture, edge, plain = chosen[:, 105:180], chosen[:, 240:246], chosen[:, :85]
    assert texture.mean() < 0.001
    assert edge.mean() < 0.001
    assert plain.mean() > 0.75


def test_clipping_that_noise_does_not_explain_is_left_out() -> None:
    light = np.full((200, 200), 0.5)
    light[np.random.default_rng(2).random(light.shape) < 0.05] = 2.0
    one = taken_apart(light)
    mostly_noise = WaveletResponse(1e-9, 0.1**2, BOUNDS)  # noise of any size does not clip 5 % at half of the range
    assert not smooth(one, mostly_noise)[one.high > 0.02].any()


def test_half_clipped_is_left_out_and_less_is_not() -> None:
    light = np.broadcast_to(np.repeat([1 + 1.5 * SIGMA, 1 - 1.0 * SIGMA], 100), (200, 200))
    chosen = smooth(taken_apart(light.copy()), FLAT)
    assert chosen[:, :80].mean() < 0.001
    assert chosen[:, 110:].mean() > 0.5


def test_bins_have_the_means_and_standard_deviations_of_what_is_in_them() -> None:
    light = np.broadcast_to(np.repeat([0.2, 0.3, 0.5], 120), (300, 360)).copy()
    one = taken_apart(light)
    bins = binned([one, taken_apart(light, seed=1)], [smooth(one, FLAT)] * 2, FLAT)
    for level in (0.2, 0.3, 0.5):
        near = np.abs(bins.mean - level) < 0.02
        weight = bins.count[near]
        assert np.average(bins.mean[near], weights=weight) == pytest.approx(
            level, abs=4 * SIGMA / np.sqrt(weight.sum())
        )
        ratio = np.average(bins.std[near], weights=weight) / SIGMA
        error = np.sqrt(np.average(bins.relative_variance[near], weights=weight**2) * (weight**2).sum()) / weight.sum()
        assert ratio == pytest.approx(1, abs=4 * error)
    assert (bins.count >= 100).all()
    assert (bins.low == 0).all()
    assert (bins.high == 0).all()


def test_relative_variance_is_the_medians() -> None:
    """The coefficients' correlation counts: as many independent ones would have 0.55 of this variance."""
    wide = WaveletResponse(1e-9, 1.0, BOUNDS)  # makes two bins, the fewest
    deviations, variances = [], []
    for seed in range(150):
        one = taken_apart(np.full((90, 90), 0.4), seed)
        deviations.append(np.median(np.abs(one.diagonal)) / MEDIAN / SIGMA)
        bins = binned([one], [np.ones(one.diagonal.shape, dtype=bool)], wide)
        variances.append(1 / (1 / bins.relative_variance).sum())
    measured, allowed = np.var(deviations, ddof=1), 4 * np.sqrt(2 / 149)  # relative standard error of a variance
    assert np.mean(variances) == pytest.approx(measured, rel=allowed)
    assert 1.36 / one.diagonal.size == pytest.approx(0.55 * measured, rel=allowed)


def test_raises_on_too_few_coefficients() -> None:
    one = taken_apart(np.full((60, 60), 0.4))
    mask = np.zeros(one.diagonal.shape, dtype=bool)
    mask[:10, :10] = True
    with pytest.raises(ValueError, match=r"smooth parts, worth at least 200 wavelet coefficients .* found 100 "):
        binned([one], [mask], FLAT)


ALPHA, READ_NOISE = 2e-3, 6e-3
TRUTH = np.array([ALPHA, READ_NOISE**2])
CLIPPED = ClipRange(0.0, 1.0)


def bins_at(
    light: np.ndarray, count: int, bounds: ClipRange, random: np.random.Generator | None = None
) -> IntensityBins:
    """Bins that are what the model makes of these lights, or that with chance's error."""
    response = WaveletResponse(ALPHA, READ_NOISE**2, bounds)
    mean, std, spread = (
        np.interp(light, response.light, v) for v in (response.mean, response.robust_std, response.std)
    )
    relative = np.full(light.size, 2.5 / count)
    if random is not None:
        std = std * (1 + np.sqrt(relative) * random.standard_normal(light.size))
        mean = mean + spread / np.sqrt(count) * random.standard_normal(light.size)
    nothing = np.zeros(light.size)
    return IntensityBins(mean, std, relative, nothing, nothing, np.full(light.size, count))


@pytest.mark.parametrize("bounds", [ClipRange(-np.inf, 1.0), CLIPPED, ClipRange(-0.05, 1.0, 1 / 4000)])
def test_exact_bins_give_the_noise_back(bounds: ClipRange) -> None:
    found = fitted_to_bins(bins_at(np.linspace(0.0, 1.0, 30), 10**6, bounds), bounds)
    assert found.alpha == pytest.approx(ALPHA, rel=2e-3)  # the tables' interpolation
    assert found.variance == pytest.approx(READ_NOISE**2, rel=2e-2)
    np.testing.assert_allclose(found.share.sum(), 1)


@pytest.mark.parametrize("light", [np.linspace(0.02, 0.8, 40), np.linspace(0.0, 1.01, 40)])
def test_unbiased_and_as_sure_as_it_says(light: np.ndarray) -> None:
    random, runs = np.random.default_rng(0), 50
    pulls, chi2 = [], []
    for _ in range(runs):
        found = fitted_to_bins(bins_at(light, 600, CLIPPED, random), CLIPPED, (3e-3, 1e-5))
        pulls.append((np.array([found.alpha, found.variance]) - TRUTH) / np.sqrt(np.diag(found.covariance)))
        chi2.append(found.chi2)
    assert np.abs(np.mean(pulls, axis=0)).max() < 3.5 / np.sqrt(runs)
    # a standard deviation of 50 values is known to 10 %
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=4 / np.sqrt(2 * runs))
    assert np.mean(chi2) == pytest.approx(light.size - 2, abs=4 * np.sqrt(2 * light.size / runs))


def test_clipped_bins_would_mislead_a_model_without_clipping() -> None:
    bins = bins_at(np.linspace(0.9, 1.01, 30), 10**6, CLIPPED)
    found = fitted_to_bins(bins, ClipRange(-np.inf, 10.0))
    assert found.alpha < 0.5 * ALPHA
    assert fitted_to_bins(bins, CLIPPED).alpha == pytest.approx(ALPHA, rel=0.02)


def test_starts_far_off_come_to_the_same_place() -> None:
    bins = bins_at(np.linspace(0.01, 0.9, 30), 1000, CLIPPED, np.random.default_rng(1))
    found = [fitted_to_bins(bins, CLIPPED, start) for start in (None, (1e-5, 1e-7), (5e-2, 1e-2))]
    for other in found[1:]:
        assert other.alpha == pytest.approx(found[0].alpha, rel=1e-2)
        assert other.variance == pytest.approx(found[0].variance, rel=3e-2)


def test_noise_without_a_poisson_part_and_without_a_gaussian_one() -> None:
    light = np.linspace(0.1, 0.8, 20)
    nothing, count = np.zeros(20), np.full(20, 10**5)
    bounds = ClipRange(-np.inf, 1.0)
    level = IntensityBins(light, np.full(20, 0.01), np.full(20, 1e-5), nothing, nothing, count)
    assert fitted_to_bins(level, bounds).alpha * 0.8 < 1e-3 * 0.01**2
    rising = IntensityBins(light, np.sqrt(1e-3 * light), np.full(20, 1e-5), nothing, nothing, count)
    assert fitted_to_bins(rising, bounds).variance < 0.03 * 1e-3 * 0.1


def test_leaning_on_low_bins_leaves_out_high_ones() -> None:
    bins = bins_at(np.linspace(0.05, 0.8, 40), 10**4, CLIPPED)
    bins.std[::4] *= 1.5  # structure in every fourth
    straight, leaning = fitted_to_bins(bins, CLIPPED), fitted_to_bins(bins, CLIPPED, above=0.02)
    assert straight.alpha > 1.15 * ALPHA
    assert leaning.alpha == pytest.approx(ALPHA, rel=0.05)
