"""Noise of one gain and one color channel, from repeated frames of patches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from dirtypixels.calibrate.diagnostics import Diagnostic, verdict
from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.fit import Fit, fitted
from dirtypixels.calibrate.noise.groups import Groups, Mask, grouped
from dirtypixels.calibrate.noise.level_checks import bounds_of, defects, diagnostics_of
from dirtypixels.calibrate.noise.patch_table import PatchTable, patch_table
from dirtypixels.camera.noise import NoiseLevel

Array = npt.NDArray[np.float64]

_ALIKE = 8.0  # standard errors of a patch's mean: a larger range of means is no chance, be they thousands


class NoiseEstimate(NoiseLevel):
    """A measured `NoiseLevel` (it unpacks as one), with how sure it is and what spoke against it.

    Args:
        alpha, sigma: Poisson scale and Gaussian standard deviation in units of the signal.
        alpha_interval, sigma_interval: confidence intervals, within [0, inf).
        confidence: their level.
        covariance: (2, 2) of the estimates of (alpha, sigma^2).
        black, white: digital numbers that are 0 and 1 in units of the signal.
        bounds: where the signal is clipped, and how it is rounded.
        patches: what was measured, patch by patch.
        diagnostics: what was found on the way.
        passed, reason: whether no diagnostic is a failure, and the failures' messages.
    """

    alpha: float
    sigma: float
    alpha_interval: tuple[float, float]
    sigma_interval: tuple[float, float]
    confidence: float
    covariance: Array
    black: float
    white: float
    bounds: Range
    patches: PatchTable
    diagnostics: tuple[Diagnostic, ...]

    def __new__(cls, alpha: float, sigma: float, **known: Any) -> NoiseEstimate:
        self = super().__new__(cls, alpha, sigma)
        self.__dict__.update(known)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[float, float], dict[str, Any]]:
        return (self.alpha, self.sigma), self.__dict__

    @property
    def passed(self) -> bool:
        return verdict(self.diagnostics)[0]

    @property
    def reason(self) -> str:
        return verdict(self.diagnostics)[1]


def noise_level(
    stack: npt.ArrayLike,
    *,
    black: float = 0.0,
    white: float = 1.0,
    floor: float = 0.0,
    step: float | None = None,
    confidence: float = 0.95,
) -> NoiseEstimate:
    """Poisson-Gaussian noise of one gain and one color channel, from repeated frames of patches.

    ``y = clip(alpha * Poisson(x / alpha) + N(0, sigma^2), low, 1)``, rounded to multiples of `step`

    What a pixel does from frame to frame is noise; what is the same in all frames (uneven light, fixed pattern)
    cancels.
    The temporal variance of every group of pixels is set against what the clipped and rounded model gives at the
    group's measured mean, and alpha and sigma^2 are solved for. No patch is left out: one that is clipped all through
    has nothing to say and is counted.

    Args:
        stack: (F, P, H, W), F >= 2 frames of P >= 2 patches of H x W pixels, the same light on a patch in all frames;
            in digital numbers, or in units of the signal (black 0, white 1, the default).
        black: DN that is 0 in units of the signal.
        white: DN that is 1, at which the sensor clips.
        floor: DN at which it clips in the dark; -inf where it does not.
        step: distance of the codes in DN; None takes 1 for integers and 0 (not rounded) for other numbers.
        confidence: of the intervals, in (0, 1).

    Returns:
        The estimate; `passed` and `reason` say whether to trust it.

    Raises:
        TypeError: stack holds no numbers.
        ValueError: a shape or value is out of range, or all patches are clipped all through.

    Source: Foi et al. 2008; Foi 2009 (clipped observations); generalized method of moments (Hansen 1982).
    """
    signal, bounds = _checked(stack, black, white, floor, step, confidence)
    used = np.ones(signal.shape[1:], dtype=bool)
    for _ in range(3):
        groups = grouped(signal, used, bounds)
        _check_codes(groups, bounds)
        _check_lights(groups)
        fit = fitted(groups, bounds, _start(groups))
        better = used & ~defects(signal, groups, fit)
        if (better == used).all():
            break
        used = better
    return _estimate(signal, used, groups, fit, bounds, (black, white), confidence)


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless intervals can be of this confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1); found {confidence:g}")


def _checked(
    stack: npt.ArrayLike, black: float, white: float, floor: float, step: float | None, confidence: float
) -> tuple[Array, Range]:
    """The stack in units of the signal, and where it is clipped."""
    values = np.asarray(stack)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"stack must hold numbers; found {values.dtype}")
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"stack must have shape (F, P, H, W); found {values.shape}")
    if values.shape[0] < 2:
        raise ValueError("stack must hold at least 2 frames of each patch, whose difference is the noise; found 1")
    if values.shape[1] < 2:
        raise ValueError("stack must hold at least 2 patches of different light; found 1")
    if values.shape[2] * values.shape[3] < 16:
        raise ValueError(f"patches must have at least 16 pixels; found {values.shape[2]} x {values.shape[3]}")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f"stack must be finite; found {bad} NaN or infinite of {values.size} values")
    if not (np.isfinite(black) and np.isfinite(white) and floor <= black < white):
        raise ValueError(f"floor <= black < white must hold; found {floor:g}, {black:g} and {white:g}")
    check_confidence(confidence)
    if step is not None and not 0 <= step < white - black:
        raise ValueError(f"step must be at least 0 and below white - black; found {step:g}")
    low, high = float(values.min()), float(values.max())
    rounding = 1e-6 * (white - black)
    if low < floor - rounding or high > white + rounding:
        raise ValueError(
            f"stack must lie between floor {floor:g} and white {white:g}; found values from {low:g} to {high:g}"
        )
    if step is None:
        step = 1.0 if values.dtype.kind in "iu" else 0.0
    signal = (values.astype(np.float64) - black) / (white - black)
    return signal, bounds_of(black, white, floor, step)


def _check_codes(groups: Groups, bounds: Range) -> None:
    """Refuse noise that rounding hides: well below the step, hardly any pixel changes from frame to frame."""
    open_ = groups.clipped < 0.5
    typical = float(np.sqrt(np.median(groups.temporal[open_]))) if open_.any() else math.inf
    if typical < 0.5 * bounds.step:
        raise ValueError(
            f"stack must have noise of at least half the distance of its levels, which are too few to show it; found "
            f"{typical:.2g} of the range, and levels {bounds.step:.2g} of it apart: take frames of more bits, or a "
            f"higher gain"
        )


def _check_lights(groups: Groups) -> None:
    """Refuse patches whose means differ by chance alone."""
    open_ = groups.clipped < 0.9
    mean, error = groups.mean[open_], np.sqrt(groups.temporal[open_] / (groups.pixels[open_] * groups.frames))
    if mean.size and np.ptp(mean) <= _ALIKE * float(error.max()):
        raise ValueError(
            f"stack must hold patches of different light, which tell shot from read noise; found means from "
            f"{float(mean.min()):.3g} to {float(mean.max()):.3g} of the range, through which no line can be laid"
        )


def _start(groups: Groups) -> Array:
    """A straight line through the variances of what is hardly clipped."""
    least = float(np.sort(groups.clipped)[min(3, len(groups.clipped) - 1)])
    clear = groups.clipped <= max(0.01, least)
    mean, variance = groups.mean[clear], np.maximum(groups.temporal[clear], 1e-18)
    weight = groups.pixels[clear] / variance**2
    scale = max(float(np.abs(mean).max()), 1e-12)
    design = np.stack([mean / scale, np.ones_like(mean)], 1)
    information = (design.T * weight) @ design
    line = np.linalg.lstsq(information, design.T @ (weight * variance), rcond=None)[0]
    least = float(variance.min())
    alpha = max(line[0] / scale, 0.01 * least / scale, 1e-12)
    return np.array([alpha, max(line[1], 0.01 * least, 1e-14)])


def _estimate(
    signal: Array,
    used: Mask,
    groups: Groups,
    fit: Fit,
    bounds: Range,
    levels: tuple[float, float],
    confidence: float,
) -> NoiseEstimate:
    if not np.isfinite(fit.expected).any():
        raise ValueError("stack must hold patches that are not clipped all through; found none")
    reach = float(norm.isf((1 - confidence) / 2))
    error = np.sqrt(np.maximum(np.diag(fit.covariance), 0.0))
    (alpha, variance), (low_a, low_v), (high_a, high_v) = (
        np.maximum(fit.theta + k * reach * error, 0.0) for k in (0.0, -1.0, 1.0)
    )
    sigma = math.sqrt(variance)
    alpha_interval = float(low_a), float(high_a)
    sigma_interval = math.sqrt(low_v), math.sqrt(high_v)
    table = patch_table(signal, used, groups, fit, bounds)
    dead = int((~used).sum())
    intervals = {"alpha": alpha_interval, "sigma": sigma_interval}
    return NoiseEstimate(
        float(alpha),
        sigma,
        alpha_interval=alpha_interval,
        sigma_interval=sigma_interval,
        confidence=confidence,
        covariance=fit.covariance,
        black=levels[0],
        white=levels[1],
        bounds=bounds,
        patches=table,
        diagnostics=diagnostics_of(fit, vars(table), intervals, dead),
    )
