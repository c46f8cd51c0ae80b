"""What was measured on each patch, compared with what the fit says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.fit import Fit
from dirtypixels.calibrate.noise.groups import Groups, Mask

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PatchTable:
    """What was measured on each patch, and what the fit says; arrays (P,), signal units where nothing else is said.

    Args:
        mean: mean of the samples, clipped as they are.
        deviation: standard deviation of a pixel from frame to frame, clipped as it is.
        fitted: what the fitted noise, clipped, makes of that deviation; NaN where the patch says nothing of it (all of
            it clipped).
        standard_error: of `deviation - fitted` by chance, the patch's unknown light allowed for; NaN as `fitted`.
        level: mean before clipping, by the fit; NaN as `fitted`.
        low, high: fractions of the samples at `floor` and at `white`.
        share: each patch's share of what is known of the noise, sums to 1.
        drift: largest relative change of the light in a frame from its mean over the frames; NaN in the dark.
        pixels: how many pixels were used.
        defects: how many were left out as hot, stuck or flickering.
    """

    mean: Array
    deviation: Array
    fitted: Array
    standard_error: Array
    level: Array
    low: Array
    high: Array
    share: Array
    drift: Array
    pixels: npt.NDArray[np.int64]
    defects: npt.NDArray[np.int64]


def patch_table(signal: Array, used: Mask, groups: Groups, fit: Fit, bounds: Range) -> PatchTable:
    """Patch by patch: the groups of a patch put together."""
    frames, patches = signal.shape[:2]
    n = np.bincount(groups.patch, groups.pixels, patches)

    def mean_of(values: Array, power: int = 1) -> Array:
        known = np.isfinite(values)
        total = np.bincount(groups.patch, np.where(known, groups.pixels**power * np.nan_to_num(values), 0.0), patches)
        over = np.bincount(groups.patch, np.where(known, groups.pixels, 0.0), patches) ** power
        return np.where(over > 0, total / np.where(over > 0, over, 1.0), np.nan)

    deviation = np.sqrt(np.maximum(mean_of(np.where(np.isfinite(fit.expected), groups.temporal, np.nan)), 0.0))
    deviation = np.where(np.isfinite(deviation), deviation, np.sqrt(np.maximum(mean_of(groups.temporal), 0.0)))
    fitted_deviation = np.sqrt(np.maximum(mean_of(fit.expected), 0.0))
    fitted_deviation = np.where(fitted_deviation > 0, fitted_deviation, np.nan)
    error = np.sqrt(mean_of(np.where(np.isfinite(fit.expected), fit.variance, np.nan), 2)) / (2 * fitted_deviation)
    known = np.isfinite(fit.expected) & (fit.variance > 0)
    weight = np.where(known, np.nan_to_num(fit.expected) ** 2 / np.where(known, fit.variance, 1.0), 0.0)
    share = np.bincount(groups.patch, weight, patches)
    total = np.where(used, signal, np.nan)
    per_frame = np.nanmean(total.reshape(frames, patches, -1), axis=2)
    overall = per_frame.mean(0)
    noise = deviation / np.sqrt(np.maximum(n, 1))
    moved = np.abs(per_frame - overall).max(0) - 3 * noise
    # in the dark nothing can drift, and clipped patches do not show it
    lit = overall > 20 * noise
    low, high = (
        (np.where(used, hit, False)).mean((0, 2, 3))
        for hit in (signal <= bounds.low + bounds.step / 4, signal >= bounds.high - bounds.step / 4)
    )
    return PatchTable(
        mean=overall,
        deviation=deviation,
        fitted=fitted_deviation,
        standard_error=error,
        level=mean_of(fit.level),
        low=low,
        high=high,
        share=share / max(float(share.sum()), 1e-300),
        drift=np.where(lit, np.maximum(moved, 0.0) / np.where(lit, overall, 1.0), np.nan),
        pixels=n.astype(np.int64),
        defects=(~used).sum((1, 2)).astype(np.int64),
    )
