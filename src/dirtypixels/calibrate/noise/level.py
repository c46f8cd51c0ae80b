"""Noise of one gain and one color channel, from repeated frames of patches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

from dirtypixels.calibrate import diagnostics as limits
from dirtypixels.calibrate.diagnostics import Diagnostic, graded, verdict
from dirtypixels.calibrate.noise.clipping import ClipRange
from dirtypixels.calibrate.noise.groups import Groups, Mask, grouped
from dirtypixels.calibrate.noise.moments_fit import MomentsFit, fitted_to_moments
from dirtypixels.camera.noise import NoiseLevel

Array = npt.NDArray[np.float64]

_ALIKE = 8.0  # standard errors of a patch's mean: a larger range of means is no chance, be they thousands
_FALSE_ALARMS = 0.01  # expected number of sound pixels taken for defects, in a stack
_STUCK = 8.0  # robust standard deviations of the pixels' means


@dataclass(frozen=True)
class PatchTable:
    """What was measured on each patch, and what the fit says; arrays (P,), signal units where nothing else is said.

    Args:
        mean: mean of the samples, clipped as they are.
        std: standard deviation of a pixel from frame to frame, clipped as it is.
        fitted: what the fitted noise, clipped, makes of `std`; NaN where the patch says nothing of it (all of it
            clipped).
        standard_error: of `std - fitted` by chance, the patch's unknown light allowed for; NaN as `fitted`.
        level: mean before clipping, by the fit; NaN as `fitted`.
        low, high: fractions of the samples at `floor` and at `white`.
        share: each patch's share of what is known of the noise, sums to 1.
        drift: largest relative change of the light in a frame from its mean over the frames; NaN where the patch is too
            dark to tell a change of `DRIFT_WARNING` from chance.
        pixels: how many pixels were used.
        defects: how many were left out as hot, stuck or flickering.
    """

    mean: Array
    std: Array
    fitted: Array
    standard_error: Array
    level: Array
    low: Array
    high: Array
    share: Array
    drift: Array
    pixels: npt.NDArray[np.int64]
    defects: npt.NDArray[np.int64]


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

    >>> import numpy as np
    >>> light = np.linspace(0.1, 0.8, 12)[:, None, None] * np.ones((2, 12, 16, 16))
    >>> estimate = noise_level(np.random.default_rng(0).normal(light, np.sqrt(1e-3 * light + 1e-4)))
    >>> alpha, sigma = estimate
    >>> low, high = estimate.sigma_interval
    >>> estimate.passed, low < 0.01 < high
    (True, True)
    """

    alpha: float
    sigma: float
    alpha_interval: tuple[float, float]
    sigma_interval: tuple[float, float]
    confidence: float
    covariance: Array
    black: float
    white: float
    bounds: ClipRange
    patches: PatchTable
    diagnostics: tuple[Diagnostic, ...]

    def __new__(cls, alpha: float, sigma: float, **known: Any) -> NoiseEstimate:
        self = super().__new__(cls, alpha, sigma)
        self.__dict__.update(known)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[float, float], dict[str, Any]]:
        return (self.alpha, self.sigma), self.__dict__

    @classmethod
    def of_fit(cls, theta: Array, covariance: Array, confidence: float, **known: Any) -> NoiseEstimate:
        """The estimate of a fitted (alpha, sigma^2) and its covariance, with normal intervals."""
        half = float(norm.isf((1 - confidence) / 2)) * np.sqrt(np.maximum(np.diag(covariance), 0.0))
        (alpha, low_alpha, high_alpha), variances = np.maximum([theta, theta - half, theta + half], 0.0).T.tolist()
        sigma, low_sigma, high_sigma = map(math.sqrt, variances)
        intervals = {"alpha_interval": (low_alpha, high_alpha), "sigma_interval": (low_sigma, high_sigma)}
        return cls(alpha, sigma, covariance=covariance, confidence=confidence, **intervals, **known)

    def replaced(self, **known: Any) -> NoiseEstimate:
        """The same with other figures."""
        return type(self)(self.alpha, self.sigma, **{**self.__dict__, **known})

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

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> light = np.linspace(0, 0.8, 12)[:, None, None] * np.ones((2, 12, 16, 16))  # two frames, 12 patches
    >>> frames = 4e-3 * random.poisson(light / 4e-3) + 0.01 * random.standard_normal(light.shape)
    >>> estimate = noise_level(64 + 959 * frames.clip(-0.05, 1), black=64, white=1023)
    >>> f"alpha {estimate.alpha:.1g}, sigma {estimate.sigma:.1g}"
    'alpha 0.004, sigma 0.01'
    """
    signal, bounds = _checked(stack, black, white, floor, step, confidence)
    used = np.ones(signal.shape[1:], dtype=bool)
    for _ in range(3):
        groups = grouped(signal, used, bounds)
        _check_groups(groups, bounds)
        fit = fitted_to_moments(groups, bounds, _start(groups, bounds.step))
        better = used & ~_defects(signal, groups, fit)
        if (better == used).all():
            break
        used = better
    if not np.isfinite(fit.expected).any():
        raise ValueError("stack must hold patches that are not clipped all through; found none")
    table = _patch_table(signal, used, groups, fit, bounds)
    estimate = NoiseEstimate.of_fit(
        fit.theta, fit.covariance, confidence, black=black, white=white, bounds=bounds, patches=table, diagnostics=()
    )
    return estimate.replaced(diagnostics=tuple(_diagnostics(estimate, fit.converged)))


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless intervals can be of this confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1); found {confidence:g}")


def _checked(
    stack: npt.ArrayLike, black: float, white: float, floor: float, step: float | None, confidence: float
) -> tuple[Array, ClipRange]:
    """The stack in units of the signal, and where it is clipped."""
    values = np.asarray(stack)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"stack must hold numbers; found {values.dtype}")
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(f"stack must have shape (F, P, H, W); found {values.shape}")
    frames, patches, height, width = values.shape
    if frames < 2:
        raise ValueError("stack must hold at least 2 frames of each patch, whose difference is the noise; found 1")
    if patches < 2:
        raise ValueError("stack must hold at least 2 patches of different light; found 1")
    if height * width < 16:
        raise ValueError(f"patches must have at least 16 pixels; found {height} x {width}")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f"stack must be finite; found {bad} NaN or infinite of {values.size} values")
    if not (np.isfinite(black) and np.isfinite(white) and floor <= black < white):
        raise ValueError(f"floor <= black < white must hold; found {floor:g}, {black:g} and {white:g}")
    check_confidence(confidence)
    if step is not None and not 0 <= step < white - black:
        raise ValueError(f"step must be at least 0 and below white - black; found {step:g}")
    low, high, span = float(values.min()), float(values.max()), white - black
    if low < floor - 1e-6 * span or high > white + 1e-6 * span:
        raise ValueError(
            f"stack must lie between floor {floor:g} and white {white:g}; found values from {low:g} to {high:g}"
        )
    if step is None:
        step = 1.0 if values.dtype.kind in "iu" else 0.0
    return (values.astype(np.float64) - black) / span, ClipRange((floor - black) / span, 1.0, step / span)


def _check_groups(groups: Groups, bounds: ClipRange) -> None:
    """Refuse noise that rounding hides (well below the step, hardly any pixel changes from frame to frame), and patches
    whose means differ by chance alone."""
    open_ = groups.clipped < 0.5
    typical = float(np.sqrt(np.median(groups.temporal[open_]))) if open_.any() else math.inf
    if typical < 0.5 * bounds.step:
        raise ValueError(
            f"stack must have noise of at least half the distance of its levels, which are too few to show it; found "
            f"{typical:.2g} of the range, and levels {bounds.step:.2g} of it apart: take frames of more bits, or a "
            f"higher gain"
        )
    open_ = groups.clipped < 0.9
    mean, error = groups.mean[open_], np.sqrt(groups.temporal[open_] / (groups.pixels[open_] * groups.frames))
    if mean.size and np.ptp(mean) <= _ALIKE * float(error.max()):
        raise ValueError(
            f"stack must hold patches of different light, which tell shot from read noise; found means from "
            f"{float(mean.min()):.3g} to {float(mean.max()):.3g} of the range, through which no line can be laid"
        )


def _start(groups: Groups, step: float) -> Array:
    """A straight line through the variances of what is hardly clipped, none of them below what rounding hides."""
    least = float(np.sort(groups.clipped)[min(3, len(groups.clipped) - 1)])
    clear = groups.clipped <= max(0.01, least)
    mean, variance = groups.mean[clear], np.maximum(groups.temporal[clear], max(step**2 / 12, 1e-18))
    root = np.sqrt(groups.pixels[clear]) / variance
    slope, start = np.linalg.lstsq(np.stack([mean, np.ones_like(mean)], 1) * root[:, None], variance * root)[0]
    least = 0.01 * float(variance.min())
    brightest = max(float(np.abs(mean).max()), 1e-12)
    return np.array([max(slope, least / brightest, 1e-12), max(start, least, 1e-14)])


def _defects(signal: Array, groups: Groups, fit: MomentsFit) -> Mask:
    """(P, H, W) which pixels are hot, stuck or flickering: by their variance over time, or their mean in the patch.

    A pixel's variance is chi-square with F - 1 degrees of freedom; the limit is that which `_FALSE_ALARMS` sound pixels
    of the stack pass, raised for the Poisson distribution's excess. Patches that are clipped are not searched: there,
    sound pixels differ in ways that cannot be told from defects.
    """
    frames, patches = signal.shape[:2]
    kept = groups.labels >= 0
    limit = float(chi2.isf(_FALSE_ALARMS / max(int(kept.sum()), 1), frames - 1)) / (frames - 1)
    known = np.isfinite(fit.expected) & (fit.expected > 0)
    expected = np.where(known, fit.expected, np.inf)
    alpha = max(float(fit.theta[0]), 0.0)
    excess = np.where(known, alpha**3 * np.maximum(fit.level, 0), 0.0) / expected**2
    raised = limit * (1 + excess) * 1.2
    total = np.bincount(groups.patch, groups.pixels, patches)
    clipped = np.bincount(groups.patch, groups.clipped * groups.pixels, patches) / total > limits.CLIPPED
    mean = np.where(kept, groups.pixel_mean, np.nan)
    middle = np.nanmedian(mean, axis=1, keepdims=True)
    spread = 1.4826 * np.nanmedian(np.abs(mean - middle), axis=1, keepdims=True)
    # a group with its outliers in: its own variance says what its pixels do where the model is off
    noisy = groups.pixel_temporal > (raised * np.maximum(expected, groups.temporal))[groups.labels]
    odd = np.abs(mean - middle) > _STUCK * np.maximum(spread, np.nanmedian(spread) * 0.2)
    found = kept & ~clipped[:, None] & (noisy | odd)
    return np.asarray(found.reshape(signal.shape[1:]))


def _patch_table(signal: Array, used: Mask, groups: Groups, fit: MomentsFit, bounds: ClipRange) -> PatchTable:
    """Patch by patch: the groups of a patch put together."""
    frames, patches = signal.shape[:2]
    n = np.bincount(groups.patch, groups.pixels, patches)
    told = np.isfinite(fit.expected)

    # of a patch that says nothing, all groups are put together
    counted = np.where(told | (np.bincount(groups.patch, told, patches) == 0)[groups.patch], groups.pixels, 0.0)

    def mean_of(values: Array, power: int = 1) -> Array:
        total = np.bincount(groups.patch, counted**power * np.where(counted, values, 0.0), patches)
        return np.asarray(total / np.bincount(groups.patch, counted, patches) ** power)

    std = np.sqrt(np.maximum(mean_of(groups.temporal), 0.0))
    fitted = np.sqrt(np.maximum(mean_of(fit.expected), 0.0))
    fitted = np.where(fitted > 0, fitted, np.nan)
    weight = np.where(fit.known, np.nan_to_num(fit.expected) ** 2 / np.where(fit.known, fit.variance, 1.0), 0.0)
    share = np.bincount(groups.patch, weight, patches)
    per_frame = np.nanmean(np.where(used, signal, np.nan).reshape(frames, patches, -1), axis=2)
    mean = per_frame.mean(0)
    noise = std / np.sqrt(np.maximum(n, 1))
    moved = np.maximum(np.abs(per_frame - mean).max(0) - 3 * noise, 0.0)
    lit = mean * limits.DRIFT_WARNING > noise
    low, high = (
        np.where(used, hit, False).mean((0, 2, 3))
        for hit in (signal <= bounds.low + bounds.step / 4, signal >= bounds.high - bounds.step / 4)
    )
    return PatchTable(
        mean=mean,
        std=std,
        fitted=fitted,
        standard_error=np.sqrt(mean_of(fit.variance, power=2)) / (2 * fitted),
        level=mean_of(np.where(told, fit.level, np.nan)),
        low=low,
        high=high,
        share=share / max(float(share.sum()), 1e-300),
        drift=np.where(lit, moved / np.where(lit, mean, 1.0), np.nan),
        pixels=n.astype(np.int64),
        defects=(~used).sum((1, 2)).astype(np.int64),
    )


def _diagnostics(estimate: NoiseEstimate, converged: bool) -> Iterator[Diagnostic]:
    """All that speaks for or against an estimate."""
    table, alpha = estimate.patches, estimate.alpha
    used = np.isfinite(table.fitted)
    if residual := _residual(table):
        yield residual
    if not converged:
        yield Diagnostic("not-converged", "failure", "the fit did not settle: levels are too few or too alike")
    dead = int(table.defects.sum())
    if dead:
        total = int(table.pixels.sum()) + dead
        severity = graded(dead / total, limits.HOT_PIXELS, math.inf)
        text = f"{dead} of {total} pixels are hot, stuck or flicker, and were left out"
        yield Diagnostic("hot-pixels", severity, text)
    drift = float(np.nanmax(table.drift, initial=0.0))
    if drift > limits.DRIFT_NOTE:
        yield Diagnostic(
            "drift",
            graded(drift, limits.DRIFT_WARNING, limits.DRIFT_FAILURE),
            f"the light changed by up to {drift:.1%} between frames of a patch; taken out of the noise, but for what "
            f"is clipped",
        )
    clipped = (table.low + table.high) > limits.CLIPPED
    silent = int((~used).sum())
    if clipped.any():
        whole = f", {silent} of them all through, which say nothing of the noise" if silent else ""
        text = f"{int(clipped.sum())} of {len(clipped)} patches are clipped in part{whole}"
        yield Diagnostic("clipping", "note", text)
    low, high = estimate.alpha_interval
    brightest = float(np.nanmax(table.level[used], initial=0.0))
    if (high - low) / 2 * brightest > limits.SHORT_RANGE * (alpha * brightest + estimate.sigma**2):
        yield Diagnostic(
            "short-range",
            "failure",
            f"the patches' levels are too few or too alike to tell shot from read noise: alpha is {alpha:.3g} "
            f"[{low:.3g}, {high:.3g}]; add darker and brighter exposures",
        )
    dark = used & (table.low > limits.CLIPPED_DARK)
    if dark.any() and estimate.sigma < limits.HIDDEN_SIGMA * alpha:
        yield Diagnostic(
            "hidden-sigma",
            "failure",
            f"the Gaussian noise is less than a fifth of a photon's step, and dark patches are clipped at black, "
            f"which hides it: sigma may be wrong by a fifth, and its interval too narrow. Give the sensor a black "
            f"level above its noise (an offset), so that {int(dark.sum())} patches are not cut off",
        )
    low, high = estimate.sigma_interval
    if low <= 0 < high:
        yield Diagnostic(
            "sigma-unseen",
            "note",
            f"the Gaussian noise is too small to be seen next to the shot noise: sigma is below {high:.3g}; dark "
            f"frames would tell",
        )


def _residual(table: PatchTable) -> Diagnostic | None:
    """Whether the residuals are chance, and if not, their relative size beyond what chance makes of it."""
    used = np.isfinite(table.fitted) & (table.standard_error > 0)
    off, error = (table.std - table.fitted)[used], table.standard_error[used]
    weight = table.share[used] / max(float(table.share[used].sum()), 1e-300)
    relative = math.sqrt(max(float((weight * (off**2 - error**2) / table.fitted[used] ** 2).sum()), 0.0))
    square = float((off**2 / error**2).sum())
    count = int(np.isfinite(table.fitted).sum())
    dof = max(count - 2, 1)
    chance = float(chi2.sf(square, dof))
    if chance >= limits.RESIDUAL_CHANCE:
        return None
    text = (
        f"measured and fitted standard deviation differ by {relative:.1%} (weighted rms of {count} patches; "
        f"chi-square {square:.0f} for {dof} degrees of freedom, p = {chance:.2g})"
    )
    if relative > limits.RESIDUAL:
        return Diagnostic("residual", "failure", f"{text}: the sensor does not follow alpha * mean + sigma^2")
    return Diagnostic("residual", "note", f"{text}: more than chance, but under {limits.RESIDUAL:.0%}")
