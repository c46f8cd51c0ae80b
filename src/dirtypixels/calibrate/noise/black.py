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

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.intercept import SHUTTER, half_interval, intercept
from dirtypixels.calibrate.noise.patches import Survey
from dirtypixels.raw.levels import rounding

Array = npt.NDArray[np.float64]
BlackSource = Literal["dark frames", "intercept", "given"]

_CLIPPED = 5e-3  # fraction of dark samples at the floor from which their mean is no longer the black level
_HIDDEN = 0.9  # and from which it cannot be told how far below it is
_REACH = 9.0  # standard deviations beyond which the normal distribution is empty


@dataclass(frozen=True)
class BlackLevel:
    """Black level of one color plane at one gain, DN.

    Args:
        value: the level that the noise was estimated with.
        interval: confidence interval of the measured level; None where it was given and nothing could check it.
        source: "dark frames", "intercept" (of the mean over exposure, extrapolated to no light), or "given".
        given: what the files or the caller stated; None where nothing was.
        dark_current: DN a second, and its interval; None without dark frames of three exposure times.
        doubted: whether a stated level was kept though what was measured does not confirm it.
    """

    value: float
    interval: tuple[float, float] | None
    source: BlackSource
    given: float | None = None
    dark_current: tuple[float, tuple[float, float]] | None = None
    doubted: bool = False


def black_level(
    surveys: Sequence[Survey],
    given: float | None,
    *,
    floor: float,
    white: float,
    confidence: float,
    name: str,
    step: float = 1.0,
) -> tuple[BlackLevel, tuple[Diagnostic, ...]]:
    """Black level of one plane at one gain: measured where that can be done, and compared with what was stated.

    What was stated is kept where the measurement agrees with it: within the interval and half a DN (see `rounding`), or
    a quarter of the noise in the dark; for an intercept also 0.1 % of the range, since a shutter that opens late moves
    it. It is kept, too, where the means do not lie on a line over exposure, so that the line's start says little.

    Args:
        surveys: of the plane, at all exposures.
        given: stated black level, DN; None where there is none.
        floor, white: DN at which the sensor clips.
        confidence: of the interval.
        name: gain and plane, for messages.
        step: distance of the codes, DN; 0 where samples are not rounded.

    Raises:
        ValueError: nothing is stated, and there are neither dark frames nor three exposures to extrapolate from.
    """
    dark, lit = [s for s in surveys if s.exposure.dark], [s for s in surveys if not s.exposure.dark]
    source: BlackSource
    diagnostics: list[Diagnostic] = []
    current = None
    tolerance = max(rounding(f, white) for s in surveys for f in s.exposure.frames[:1])
    digits = max(2, math.ceil(5 - math.log10(white - min(given or 0.0, white / 2))))  # also of a range of 0 to 1
    off_line, reach = "", 0.0
    if dark:
        source = "dark frames"
        value, half, current = _from_dark(dark, floor, step, confidence)
        tolerance = max(tolerance, float(np.median(dark[0].deviation)) / 4)
        at_floor = float(np.mean([s.low.mean() for s in dark]))
        if at_floor > _CLIPPED:
            diagnostics.append(
                Diagnostic(
                    "clipped-dark",
                    "note",
                    f"{name}: {at_floor:.0%} of the dark samples are at the floor of {floor:g} DN; the black level is "
                    + (
                        f"that of the clipped normal distribution, {value:.{digits}f} DN"
                        if at_floor <= _HIDDEN
                        else "there"
                    ),
                )
            )
    elif (fit := intercept(lit, confidence)) is not None:
        source = "intercept"
        value, half, off_line, reach = fit
        tolerance = max(tolerance, SHUTTER * (white - value))
    elif given is not None:
        diagnostics.append(
            Diagnostic(
                "black-unchecked",
                "warning",
                f"{name}: black level {given:g} DN as stated, not checked; dark frames (lens cap on), or three "
                f"exposure times of one scene, would check it",
            )
        )
        return BlackLevel(given, None, "given", given), tuple(diagnostics)
    else:
        raise ValueError(
            f"black must be given where it cannot be measured ({name}: the files do not state it, and there are "
            f"neither dark frames nor three exposure times of one scene)"
        )
    agrees = given is not None and abs(value - given) <= half + tolerance
    if off_line and not agrees:
        half = reach
    measured = (value - half, value + half)
    found = f"{value:.{digits}f} DN [{measured[0]:.{digits}f}, {measured[1]:.{digits}f}]"
    bent = (
        f"the means do not lie on a line over exposure (worst exposure: {off_line}): a frame with the lens cap on that "
        f"states an exposure time, light that changed, or rounded exposure times"
    )
    if given is None:
        if source == "intercept":
            diagnostics.append(
                Diagnostic(
                    "black-intercept",
                    "warning" if off_line else "note",
                    f"{name}: black level {found} extrapolated to no light; "
                    + (f"{bent}; dark frames would tell" if off_line else "dark frames would be surer"),
                )
            )
    elif agrees:
        return BlackLevel(given, measured, source, given, current), tuple(diagnostics)
    elif off_line:
        doubtful = abs(value - given) <= half + tolerance
        diagnostics.append(
            Diagnostic(
                "black-off-line",
                "warning" if doubtful else "failure",
                f"{name}: {bent}. The black level of {given:g} DN as stated is kept, though the line starts at {found}"
                + ("" if doubtful else ", whichever exposure is left out, so it may be wrong")
                + "; take dark frames",
            )
        )
        return BlackLevel(given, measured, source, given, current, doubted=True), tuple(diagnostics)
    else:
        diagnostics.append(
            Diagnostic(
                "black-level",
                "failure",
                f"{name}: black level {given:g} DN is stated, {found} was found by "
                f"{'the ' if source == 'intercept' else ''}{source}; state that, or find out why",
            )
        )
    return BlackLevel(value, measured, source, given, current), tuple(diagnostics)


def _from_dark(
    dark: Sequence[Survey], floor: float, step: float, confidence: float
) -> tuple[float, float, tuple[float, tuple[float, float]] | None]:
    """Black level at exposure 0, half its interval, and dark current where exposure times differ enough."""
    seconds, levels, chance = [], [], []
    for each in dark:
        frames = each.frame_means.shape[0]
        at_floor = float(each.low.mean())
        mean, variance, shift = float(each.mean.mean()), float(np.mean(each.deviation**2)), 0.0
        if _CLIPPED < at_floor <= _HIDDEN:
            shift = _unclipped(mean, at_floor, floor, step) - mean
            variance = _unclipped_variance(mean, variance, at_floor, floor, step)
        levels.extend(each.frame_means.mean(1) + shift)
        seconds.extend([each.exposure.seconds] * frames)
        chance.extend([variance / (each.mean.size * each.size**2)] * frames)
    y = np.array(levels)
    by_chance = math.sqrt(float(np.mean(chance)) / len(y))
    times = [s for s in seconds if s is not None]
    if len(times) == len(y) and len(set(times)) >= 3:
        fit = stats.linregress(times, y)
        factor = half_interval(confidence, len(y) - 2)
        half = factor * float(fit.stderr)
        current = (float(fit.slope), (float(fit.slope) - half, float(fit.slope) + half))
        return float(fit.intercept), max(factor * float(fit.intercept_stderr), 2 * by_chance), current
    scatter = float(y.std(ddof=1)) / math.sqrt(len(y))
    freedom = len(y) - 1
    if freedom * scatter**2 > stats.chi2.ppf(0.99, freedom) * by_chance**2:  # the level itself moves between frames
        return float(y.mean()), half_interval(confidence, freedom) * scatter, None
    return float(y.mean()), float(stats.norm.ppf((1 + confidence) / 2)) * by_chance, None


def _unclipped(mean: float, at_floor: float, floor: float, step: float) -> float:
    """Mean of a normal distribution before it was clipped at the floor and rounded to multiples of `step`.

    ``P(x < floor + step / 2) = at_floor`` and ``floor + step sum_k P(x > floor + (k + 1/2) step) = mean`` fix its two
    parameters; without rounding, the sum is an integral.
    """
    z = float(ndtri(min(at_floor, 1 - 1e-6)))  # (floor + step / 2 - m) / s

    def excess(deviation: float) -> float:
        if step:
            codes = np.arange(math.ceil(max(_REACH - z, 0.0) * deviation / step) + 1)
            return step * float(ndtr(-z - codes * step / deviation).sum()) - (mean - floor)
        density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return float(deviation * (density - z * ndtr(-z))) - (mean - floor)

    low = high = 1e-3 * max(mean - floor, step)
    while excess(high) < 0 and high < 1e9 * low:
        high *= 2
    # Where all that is not at the floor is at the next code, any smaller noise would do as well.
    deviation = float(optimize.brentq(excess, low, high)) if excess(low) < 0 < excess(high) else low
    return floor + step / 2 - z * deviation


def _unclipped_variance(mean: float, variance: float, at_floor: float, floor: float, step: float) -> float:
    """What one sample adds to the variance of `_unclipped`, by its derivatives.

    `variance` is that of the clipped samples; a sample is at the floor or not with variance p (1 - p), and its
    covariance with the sample is -p (mean - floor).
    """

    def moved(to_mean: float, to_floor: float) -> float:
        return _unclipped(mean + to_mean, at_floor + to_floor, floor, step)

    nearby, rarer = 1e-3 * (mean - floor), 1e-3 * min(at_floor, 1 - at_floor)
    by_mean = (moved(nearby, 0.0) - moved(0.0, 0.0)) / nearby
    by_floor = (moved(0.0, rarer) - moved(0.0, 0.0)) / rarer
    spread = at_floor * (1 - at_floor)
    joint = -at_floor * (mean - floor)
    return by_mean**2 * variance + by_floor**2 * spread + 2 * by_mean * by_floor * joint
