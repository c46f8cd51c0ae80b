"""A sensor's black level, from dark frames or from the intercept of the mean over exposure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from scipy.special import ndtr, ndtri

from dirtypixels.calibrate.findings import Finding
from dirtypixels.calibrate.noise.patches import Survey

Array = npt.NDArray[np.float64]
BlackSource = Literal["dark frames", "intercept", "given"]

_ROUNDING = 0.5  # DN by which levels may differ because files state them in whole numbers
_SHUTTER = 1e-3  # error of shutter and light, of the light; and by which, of the range, it can move an intercept
_CLIPPED = 5e-3  # fraction of dark samples at the floor from which their mean is no longer the black level
_HIDDEN = 0.9  # and from which it cannot be told how far below it is


@dataclass(frozen=True)
class BlackLevel:
    """Black level of one colour plane at one gain, DN.

    Args:
        value: the level that the noise was estimated with.
        interval: confidence interval of the measured level; None where it was given and nothing could check it.
        source: "dark frames", "intercept" (of the mean over exposure, extrapolated to no light), or "given".
        given: what the files or the caller stated; None where nothing was.
        dark_current: DN a second, and its interval; None without dark frames of three exposure times.
    """

    value: float
    interval: tuple[float, float] | None
    source: BlackSource
    given: float | None = None
    dark_current: tuple[float, tuple[float, float]] | None = None


def black_level(
    surveys: Sequence[Survey], given: float | None, *, floor: float, white: float, confidence: float, name: str
) -> tuple[BlackLevel, tuple[Finding, ...]]:
    """Black level of one plane at one gain: measured where that can be done, and compared with what was stated.

    What was stated is kept where the measurement agrees with it: within the interval and half a DN, or a quarter of the
    noise in the dark; for an intercept also 0.1 % of the range, since a shutter that opens late moves it.

    Args:
        surveys: of the plane, at all exposures.
        given: stated black level, DN; None where there is none.
        floor, white: DN at which the sensor clips.
        confidence: of the interval.
        name: gain and plane, for messages.

    Raises:
        ValueError: nothing is stated, and there are neither dark frames nor three exposures to extrapolate from.
    """
    dark, lit = [s for s in surveys if s.exposure.dark], [s for s in surveys if not s.exposure.dark]
    source: BlackSource
    findings: list[Finding] = []
    current = None
    tolerance = _ROUNDING
    if dark:
        source = "dark frames"
        value, half, current = _from_dark(dark, floor, confidence)
        tolerance = max(tolerance, float(np.median(dark[0].deviation)) / 4)
        at_floor = float(np.mean([s.low.mean() for s in dark]))
        if at_floor > _CLIPPED:
            findings.append(
                Finding(
                    "clipped-dark",
                    "note",
                    f"{name}: {at_floor:.0%} of the dark samples are at the floor of {floor:g} DN; the black level is "
                    + (f"that of the clipped normal distribution, {value:.2f} DN" if at_floor <= _HIDDEN else "there"),
                )
            )
    elif (fit := intercept(lit, confidence)) is not None:
        source = "intercept"
        value, half = fit
        tolerance = max(tolerance, _SHUTTER * (white - value))
    elif given is not None:
        findings.append(
            Finding(
                "black-unchecked",
                "warning",
                f"{name}: black level {given:g} DN as stated, not checked; dark frames (lens cap on), or three "
                f"exposure times of one scene, would check it",
            )
        )
        return BlackLevel(given, None, "given", given), tuple(findings)
    else:
        raise ValueError(
            f"black must be given where it cannot be measured ({name}: the files do not state it, and there are "
            f"neither dark frames nor three exposure times of one scene)"
        )
    measured = (value - half, value + half)
    if given is None:
        if source == "intercept":
            findings.append(
                Finding(
                    "black-intercept",
                    "note",
                    f"{name}: black level {value:.2f} DN [{measured[0]:.2f}, {measured[1]:.2f}] extrapolated to no "
                    f"light; dark frames would be surer",
                )
            )
    elif abs(value - given) <= half + tolerance:
        return BlackLevel(given, measured, source, given, current), tuple(findings)
    else:
        findings.append(
            Finding(
                "black-level",
                "failure",
                f"{name}: black level {given:g} DN is stated, {value:.2f} DN [{measured[0]:.2f}, {measured[1]:.2f}] "
                f"was found by {'the ' if source == 'intercept' else ''}{source}; state that, or find out why",
            )
        )
    return BlackLevel(value, measured, source, given, current), tuple(findings)


def intercept(lit: Sequence[Survey], confidence: float) -> tuple[float, float] | None:
    """Mean without light: where the line of mean over exposure time x light meets 0, and half its interval.

    Each mean has the error of its samples' noise, and one of shutter and light of 0.1 %, or of more where the means say
    so by their scatter about the line. Blocks that no exposure clips; exposures from the shortest up to the longest
    that leaves a quarter of the blocks unclipped.

    Returns:
        None where fewer than three exposures of different time x light, all of known time, do so.
    """
    known = sorted((s for s in lit if s.exposure.dose is not None), key=lambda s: s.exposure.dose or 0.0)
    means, doses, chances = [], [], []
    usable = np.ones(0, dtype=bool)
    for each in known:
        open_here = each.open & each.smooth
        together = open_here & usable if len(usable) else open_here
        if together.mean() < 0.25:
            break
        usable = together
        means.append(each.mean)
        doses.append(each.exposure.dose)
        chances.append(each.deviation**2 / (len(each.exposure.frames) * each.size**2))
    x = np.array(doses, dtype=float)
    if len(set(doses)) < 3:
        return None
    y = np.stack(means)[:, usable].mean(1)
    chance = np.stack(chances)[:, usable].mean(1) / usable.sum()
    design = np.stack([np.ones_like(x), x], axis=1)
    offset = 0.0
    for _ in range(20):
        root = 1 / np.sqrt(chance + (_SHUTTER * (y - offset)) ** 2 + 1e-6)
        coefficients = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        offset = float(min(coefficients[0], y.min()))
    left = (y - design @ coefficients) * root
    error = math.sqrt(np.linalg.inv((design * root[:, None] ** 2).T @ design)[0, 0])
    freedom = len(x) - 2
    by_scatter = _half(confidence, freedom) * math.sqrt(float(left @ left) / freedom)
    return float(coefficients[0]), max(by_scatter, float(stats.norm.ppf((1 + confidence) / 2))) * error


def _from_dark(
    dark: Sequence[Survey], floor: float, confidence: float
) -> tuple[float, float, tuple[float, tuple[float, float]] | None]:
    """Black level at exposure 0, half its interval, and dark current where exposure times differ enough."""
    seconds, levels, chance = [], [], []
    for each in dark:
        frames = each.frame_means.shape[0]
        at_floor = float(each.low.mean())
        mean, variance, shift = float(each.mean.mean()), float(np.mean(each.deviation**2)), 0.0
        if _CLIPPED < at_floor <= _HIDDEN:
            shift = _unclipped(mean, at_floor, floor) - mean
            variance = _unclipped_variance(mean, variance, at_floor, floor)
        levels.extend(each.frame_means.mean(1) + shift)
        seconds.extend([each.exposure.seconds] * frames)
        chance.extend([variance / (each.mean.size * each.size**2)] * frames)
    y = np.array(levels)
    by_chance = math.sqrt(float(np.mean(chance)) / len(y))
    times = [s for s in seconds if s is not None]
    if len(times) == len(y) and len(set(times)) >= 3:
        fit = stats.linregress(times, y)
        factor = _half(confidence, len(y) - 2)
        half = factor * float(fit.stderr)
        current = (float(fit.slope), (float(fit.slope) - half, float(fit.slope) + half))
        return float(fit.intercept), max(factor * float(fit.intercept_stderr), 2 * by_chance), current
    scatter = float(y.std(ddof=1)) / math.sqrt(len(y))
    freedom = len(y) - 1
    if freedom * scatter**2 > stats.chi2.ppf(0.99, freedom) * by_chance**2:  # the level itself moves between frames
        return float(y.mean()), _half(confidence, freedom) * scatter, None
    return float(y.mean()), float(stats.norm.ppf((1 + confidence) / 2)) * by_chance, None


def _unclipped(mean: float, at_floor: float, floor: float) -> float:
    """Mean of a normal distribution before it was clipped at the floor and rounded to whole numbers.

    ``P(x < floor + 1/2) = at_floor`` and ``E[max(x, floor)] = mean`` fix its two parameters.
    """
    z = float(ndtri(min(at_floor, 1 - 1e-6)))  # (floor + 1/2 - m) / s

    def excess(deviation: float) -> float:
        above = (floor + 0.5 - z * deviation - floor) / deviation
        return float(deviation * (math.exp(-(above**2) / 2) / math.sqrt(2 * math.pi) + above * ndtr(above))) - (
            mean - floor
        )

    high = 1.0
    while excess(high) < 0 and high < 1e6:
        high *= 2
    deviation = float(optimize.brentq(excess, 1e-3, high))
    return floor + 0.5 - z * deviation


def _unclipped_variance(mean: float, variance: float, at_floor: float, floor: float) -> float:
    """What one sample adds to the variance of `_unclipped`, by its derivatives.

    `variance` is that of the clipped samples; a sample is at the floor or not with variance p (1 - p), and its
    covariance with the sample is -p (mean - floor).
    """
    by_mean = (_unclipped(mean * 1.001, at_floor, floor) - _unclipped(mean, at_floor, floor)) / (mean * 0.001)
    step = 1e-3 * min(at_floor, 1 - at_floor)
    by_floor = (_unclipped(mean, at_floor + step, floor) - _unclipped(mean, at_floor, floor)) / step
    spread = at_floor * (1 - at_floor)
    joint = -at_floor * (mean - floor)
    return by_mean**2 * variance + by_floor**2 * spread + 2 * by_mean * by_floor * joint


def _half(confidence: float, freedom: int) -> float:
    """Half a t-interval in standard errors."""
    return float(stats.t.ppf((1 + confidence) / 2, freedom))
