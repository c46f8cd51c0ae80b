"""A sensor's black level, from dark frames or the line of mean over exposure, compared with what is stated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from scipy.special import ndtr, ndtri

from dirtypixels.calibrate.diagnostics import (
    BLACK_DOUBTED,
    BLACK_TOLERANCE,
    DARK_AT_FLOOR,
    DARK_LOST,
    Diagnostic,
    Kind,
    Severity,
)
from dirtypixels.calibrate.noise.patches import PlaneBlocks
from dirtypixels.raw.levels import SHUTTER, exposure_line, rounding

Array = npt.NDArray[np.float64]
BlackSource = Literal["dark frames", "intercept", "given"]

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


class Measured(NamedTuple):
    """A black level as dark frames or exposures give it, DN."""

    value: float  # mean without light
    half: float  # half its confidence interval
    tolerance: float  # how far a stated level may be off besides
    dark_current: tuple[float, tuple[float, float]] | None = None  # as in `BlackLevel`
    bent: str = ""  # exposure that is farthest from the line of the others, and by how much; "" where all lie on one
    reach: float = 0.0  # half the interval with what any one exposure moves the line by, at least `half`


def black_level(
    blocks: Sequence[PlaneBlocks],
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
        blocks: of the plane, in all sets of frames.
        given: stated black level, DN; None where there is none.
        floor, white: DN at which the sensor clips.
        confidence: of the interval.
        name: gain and plane, for messages.
        step: distance of the codes, DN; 0 where samples are not rounded.

    Raises:
        ValueError: nothing is stated, and there are neither dark frames nor three exposures to extrapolate from; or
            black is measured below the floor.
    """
    dark, lit = [b for b in blocks if b.frame_set.dark], [b for b in blocks if not b.frame_set.dark]
    source: BlackSource = "dark frames" if dark else "intercept"
    found = from_dark_frames(dark, floor, step, confidence) if dark else from_exposures(lit, white, confidence)
    digits = max(2, math.ceil(5 - math.log10(white - min(given or 0.0, white / 2))))  # also of a range of 0 to 1
    diagnostics: list[Diagnostic] = []

    def say(kind: Kind, severity: Severity, message: str) -> None:
        diagnostics.append(Diagnostic(kind, severity, f"{name}: {message}"))

    if found is None:
        if given is None:
            raise ValueError(
                f"black must be given where it cannot be measured ({name}: the files do not state it, and there are "
                f"neither dark frames nor three exposure times of one scene)"
            )
        say(
            "black-unchecked",
            "warning",
            f"black level {given:g} DN as stated, not checked; dark frames (lens cap on), or three exposure times of "
            f"one scene, would check it",
        )
        return BlackLevel(given, None, "given", given), tuple(diagnostics)
    value, bent = found.value, found.bent
    at_floor = float(np.mean([b.low.mean() for b in dark])) if dark else 0.0
    if at_floor > DARK_AT_FLOOR:
        hidden = at_floor > DARK_LOST
        level = "there" if hidden else f"that of the clipped normal distribution, {value:.{digits}f} DN"
        say(
            "clipped-dark",
            "note",
            f"{at_floor:.0%} of the dark samples are at the floor of {floor:g} DN; the black level is {level}",
        )
    tolerance = max(found.tolerance, *(rounding(b.frame_set.frames[0], white) for b in blocks))
    agrees = given is not None and abs(value - given) <= found.half + tolerance
    half = found.reach if bent and not agrees else found.half
    interval = (value - half, value + half)
    measured = f"{value:.{digits}f} DN [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
    off_line = (
        f"the means do not lie on a line over exposure (worst exposure: {bent}): a frame with the lens cap on that "
        f"states an exposure time, light that changed, or rounded exposure times"
    )
    kept = given is not None and (agrees or bool(bent))
    if given is None and source == "intercept":
        say(
            "black-intercept",
            "warning" if bent else "note",
            f"black level {measured} extrapolated to no light; "
            + (f"{off_line}; dark frames would tell" if bent else "dark frames would be surer"),
        )
    elif kept and not agrees:
        wrong = abs(value - (given or 0.0)) > half + tolerance
        say(
            "black-doubted",
            "failure" if wrong else "warning",
            f"{off_line}. The black level of {given:g} DN as stated is kept, though the line starts at {measured}"
            f"{', whichever exposure is left out, so it may be wrong' if wrong else ''}; take dark frames",
        )
    elif given is not None and not kept:
        say(
            "black-level",
            "failure",
            f"black level {given:g} DN is stated, {measured} was found by {'the ' if source == 'intercept' else ''}"
            f"{source}; state that, or find out why",
        )
    used = given if given is not None and kept else value
    if used < floor <= interval[1]:
        used = floor  # it is below by chance
    if used < floor:
        raise ValueError(
            f"captures of {name} must have a black level of at least {floor:g} DN, the least value there is; found "
            f"{measured} by {source}: the response is not linear, as of processed pictures, or the sensor cuts off "
            f"what is dark. Record raw frames"
        )
    return BlackLevel(used, interval, source, given, found.dark_current, kept and not agrees), tuple(diagnostics)


def from_dark_frames(dark: Sequence[PlaneBlocks], floor: float, step: float, confidence: float) -> Measured:
    """Black level at exposure time 0, and dark current where exposure times differ enough."""
    seconds, levels, chance = [], [], []
    for each in dark:
        frames = each.frame_means.shape[0]
        at_floor = float(each.low.mean())
        mean, variance, shift = float(each.mean.mean()), float(np.mean(each.standard_deviation**2)), 0.0
        if DARK_AT_FLOOR < at_floor <= DARK_LOST:
            shift = _unclipped(mean, at_floor, floor, step) - mean
            variance = _unclipped_variance(mean, variance, at_floor, floor, step)
        levels.extend(each.frame_means.mean(1) + shift)
        seconds.extend([each.frame_set.exposure_s] * frames)
        chance.extend([variance / (each.mean.size * each.size**2)] * frames)
    y, tolerance = np.array(levels), BLACK_TOLERANCE * float(np.median(dark[0].standard_deviation))
    by_chance = math.sqrt(float(np.mean(chance)) / len(y))
    times = [s for s in seconds if s is not None]
    if len(times) == len(y) and len(set(times)) >= 3:
        fit = stats.linregress(times, y)
        factor = _half_interval(confidence, len(y) - 2)
        slope, half = float(fit.slope), factor * float(fit.stderr)
        level_half = max(factor * float(fit.intercept_stderr), 2 * by_chance)
        return Measured(float(fit.intercept), level_half, tolerance, (slope, (slope - half, slope + half)))
    scatter = float(y.std(ddof=1)) / math.sqrt(len(y))
    freedom = len(y) - 1
    if freedom * scatter**2 > stats.chi2.ppf(0.99, freedom) * by_chance**2:  # the level itself moves between frames
        return Measured(float(y.mean()), _half_interval(confidence, freedom) * scatter, tolerance)
    return Measured(float(y.mean()), _half_interval(confidence) * by_chance, tolerance)


def from_exposures(lit: Sequence[PlaneBlocks], white: float, confidence: float) -> Measured | None:
    """Mean without light: where the line of mean over exposure meets 0.

    Each mean has the errors of `exposure_line`, or larger ones where the means say so by their scatter. Blocks that no
    exposure clips; exposures from the shortest up to the longest that leaves a quarter of the blocks unclipped.

    Returns:
        None where fewer than three different exposures, all of known time, do so.
    """
    known = sorted((b for b in lit if b.frame_set.exposure is not None), key=lambda b: b.frame_set.exposure or 0.0)
    used: list[PlaneBlocks] = []
    usable = np.ones(1, dtype=bool)
    for each in known:
        together = usable & each.unclipped & each.smooth
        if together.mean() < 0.25:
            break
        usable = together
        used.append(each)
    x = np.array([each.frame_set.exposure for each in used], dtype=float)
    different = len(set(x.tolist()))
    if different < 3:
        return None
    y = np.array([each.mean[usable].mean() for each in used])
    samples = [len(each.frame_set.frames) * each.size**2 * usable.sum() for each in used]
    variance = np.array([(b.standard_deviation[usable] ** 2).mean() / n for b, n in zip(used, samples, strict=True)])
    line = exposure_line(x, y, variance)
    half = line.error * max(_half_interval(confidence, different - 2) * line.scatter, _half_interval(confidence))
    tolerance = SHUTTER * (white - line.start)
    if line.scatter <= BLACK_DOUBTED:
        return Measured(line.start, half, tolerance)
    others = [exposure_line(np.delete(x, i), np.delete(y, i), np.delete(variance, i)) for i in range(len(x))]
    # What is far off bends the line towards itself, so it is the one without which the others lie best.
    worst = int(np.argmin([other.scatter for other in others]))
    start, slope = others[worst][:2]
    off = (y[worst] - start) / (slope * x[worst]) - 1 if slope * x[worst] > 0 else math.nan
    reach = max(half, *(abs(other.start - line.start) + 2 * other.error for other in others))
    bent = f"{used[worst].frame_set.name}, {off:+.0%} from that of the others"
    return Measured(line.start, half, tolerance, bent=bent, reach=reach)


def _half_interval(confidence: float, freedom: float = math.inf) -> float:
    """Half a t-interval, of the normal distribution where nothing else is said, in standard errors."""
    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def _unclipped(mean: float, at_floor: float, floor: float, step: float) -> float:
    """Mean of a normal distribution before it was clipped at the floor and rounded to multiples of `step`.

    ``P(x < floor + step / 2) = at_floor`` and ``floor + step sum_k P(x > floor + (k + 1/2) step) = mean`` fix its two
    parameters; without rounding, the sum is an integral.
    """
    z = float(ndtri(min(at_floor, 1 - 1e-6)))  # (floor + step / 2 - m) / s

    def excess(sigma: float) -> float:
        if step:
            codes = np.arange(math.ceil(max(_REACH - z, 0.0) * sigma / step) + 1)
            return step * float(ndtr(-z - codes * step / sigma).sum()) - (mean - floor)
        density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return float(sigma * (density - z * ndtr(-z))) - (mean - floor)

    low = high = 1e-3 * max(mean - floor, step)
    while excess(high) < 0 and high < 1e9 * low:
        high *= 2
    # Where all that is not at the floor is at the next code, any smaller noise would do as well.
    sigma = float(optimize.brentq(excess, low, high)) if excess(low) < 0 < excess(high) else low
    return floor + step / 2 - z * sigma


def _unclipped_variance(mean: float, variance: float, at_floor: float, floor: float, step: float) -> float:
    """What one sample adds to the variance of `_unclipped`, by its derivatives.

    `variance` is that of the clipped samples; a sample is at the floor or not with variance p (1 - p), and its
    covariance with the sample is -p (mean - floor).
    """

    nearby = [1e-3 * (mean - floor), 1e-3 * min(at_floor, 1 - at_floor)]
    by = optimize.approx_fprime([mean, at_floor], lambda v: _unclipped(v[0], v[1], floor, step), nearby)
    joint = -at_floor * (mean - floor)
    return float(by @ [[variance, joint], [joint, at_floor * (1 - at_floor)]] @ by)
