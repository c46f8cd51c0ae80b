"""Level sets of smooth parts: what is chosen, what choosing does, and how sure a set's deviation is."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.detail_response import MEDIAN, DetailResponse
from dirtypixels.calibrate.noise.details import Details, details
from dirtypixels.calibrate.noise.level_sets import level_sets, quiet, smooth

SIGMA = 0.01
BOUNDS = Range(-np.inf, 1.0)
FLAT = DetailResponse(1e-9, SIGMA**2, BOUNDS)


def taken_apart(light: np.ndarray, seed: int = 0) -> Details:
    plane = light + np.random.default_rng(seed).normal(0, SIGMA, light.shape)
    return details(np.minimum(plane, 1.0), BOUNDS.low, BOUNDS.high)


def test_noise_alone_is_chosen_as_often_as_chance_has_it() -> None:
    chosen = smooth(taken_apart(np.full((400, 400), 0.4)), FLAT)
    # P(mean of 50 squares < 1.2) = P(chi2_50 < 60) = 0.84; the spread leaves out a little more
    assert chosen.mean() == pytest.approx(0.84, abs=0.05)


def test_choosing_does_not_favor_small_noise() -> None:
    ratios = []
    for seed in range(12):
        one = taken_apart(np.full((300, 300), 0.4), seed)
        for mask in (smooth(one, FLAT), quiet([one])[0]):  # the second keeps a tenth only
            ratios.append(np.median(np.abs(one.detail[mask])) / MEDIAN / SIGMA)
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
    mostly_noise = DetailResponse(1e-9, 0.1**2, BOUNDS)  # noise of any size does not clip 5 % at half of the range
    assert not smooth(one, mostly_noise)[one.high > 0.02].any()


def test_half_clipped_is_left_out_and_less_is_not() -> None:
    light = np.broadcast_to(np.repeat([1 + 1.5 * SIGMA, 1 - 1.0 * SIGMA], 100), (200, 200))
    chosen = smooth(taken_apart(light.copy()), FLAT)
    assert chosen[:, :80].mean() < 0.001
    assert chosen[:, 110:].mean() > 0.5


def test_sets_have_the_means_and_deviations_of_what_is_in_them() -> None:
    light = np.broadcast_to(np.repeat([0.2, 0.3, 0.5], 120), (300, 360)).copy()
    one = taken_apart(light)
    sets = level_sets([one, taken_apart(light, seed=1)], [smooth(one, FLAT)] * 2, FLAT)
    for level in (0.2, 0.3, 0.5):
        near = np.abs(sets.mean - level) < 0.02
        weight = sets.count[near]
        assert np.average(sets.mean[near], weights=weight) == pytest.approx(
            level, abs=4 * SIGMA / np.sqrt(weight.sum())
        )
        ratio = np.average(sets.deviation[near], weights=weight) / SIGMA
        error = np.sqrt(np.average(sets.relative_variance[near], weights=weight**2) * (weight**2).sum()) / weight.sum()
        assert ratio == pytest.approx(1, abs=4 * error)
    assert (sets.count >= 100).all()
    assert (sets.low == 0).all()
    assert (sets.high == 0).all()


def test_relative_variance_is_the_medians() -> None:
    """The details' correlation counts: as many independent ones would have 0.55 of this variance."""
    wide = DetailResponse(1e-9, 1.0, BOUNDS)  # makes two sets, the fewest
    deviations, variances = [], []
    for seed in range(150):
        one = taken_apart(np.full((90, 90), 0.4), seed)
        deviations.append(np.median(np.abs(one.detail)) / MEDIAN / SIGMA)
        sets = level_sets([one], [np.ones(one.detail.shape, dtype=bool)], wide)
        variances.append(1 / (1 / sets.relative_variance).sum())
    measured, allowed = np.var(deviations, ddof=1), 4 * np.sqrt(2 / 149)  # relative standard error of a variance
    assert np.mean(variances) == pytest.approx(measured, rel=allowed)
    assert 1.36 / one.detail.size == pytest.approx(0.55 * measured, rel=allowed)


def test_too_few_details_are_refused() -> None:
    one = taken_apart(np.full((60, 60), 0.4))
    mask = np.zeros(one.detail.shape, dtype=bool)
    mask[:10, :10] = True
    with pytest.raises(ValueError, match=r"smooth parts, worth at least 200 details .* found 100 "):
        level_sets([one], [mask], FLAT)
