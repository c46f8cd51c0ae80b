"""Where the mean over exposure meets no light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from dirtypixels.calibrate.noise.patches import Survey

Array = npt.NDArray[np.float64]

#: Error of shutter and light, of the light; and by which, of the range, it can move an intercept.
SHUTTER = 1e-3
_BENT = 10.0  # times `SHUTTER`: means that scatter more about their line do not lie on one


class Intercept(NamedTuple):
    """A line's start, DN.

    Args:
        value: mean without light.
        half: half its confidence interval.
        off_line: where the means do not lie on a line, which exposure is farthest from that of the others, and by how
            much, in words; "" where they do.
        reach: half the interval with what any one exposure moves the line by, at least `half`.
    """

    value: float
    half: float
    off_line: str
    reach: float


def intercept(lit: Sequence[Survey], confidence: float) -> Intercept | None:
    """Mean without light: where the line of mean over exposure time x light meets 0.

    Each mean has the error of its samples' noise, and one of shutter and light of 0.1 %, or of more where the means say
    so by their scatter about the line. Blocks that no exposure clips; exposures from the shortest up to the longest
    that leaves a quarter of the blocks unclipped.

    Returns:
        None where fewer than three exposures of different time x light, all of known time, do so.
    """
    known = sorted((s for s in lit if s.exposure.dose is not None), key=lambda s: s.exposure.dose or 0.0)
    used: list[Survey] = []
    usable = np.ones(0, dtype=bool)
    for each in known:
        open_here = each.open & each.smooth
        together = open_here & usable if len(usable) else open_here
        if together.mean() < 0.25:
            break
        usable = together
        used.append(each)
    x = np.array([each.exposure.dose for each in used], dtype=float)
    if len(set(x.tolist())) < 3:
        return None
    y = np.stack([each.mean for each in used])[:, usable].mean(1)
    chance = [each.deviation[usable] ** 2 / (len(each.exposure.frames) * each.size**2) for each in used]
    variance = np.stack(chance).mean(1) / usable.sum()
    value, error, left = _line(x, y, variance)
    freedom = len(x) - 2
    scatter = math.sqrt(float(left @ left) / freedom)
    half = max(half_interval(confidence, freedom) * scatter, float(stats.norm.ppf((1 + confidence) / 2))) * error
    if scatter <= _BENT:
        return Intercept(value, half, "", half)
    without = [_line(*(np.delete(v, i) for v in (x, y, variance))) for i in range(len(x))]
    # What is far off bends the line towards itself, so it is the one without which the others lie best.
    worst = int(np.argmin([float(rest @ rest) for _, _, rest in without]))
    start = without[worst][0]
    others = np.delete(np.arange(len(x)), worst)
    slope = float(((y[others] - start) * x[others]).sum() / (x[others] ** 2).sum())
    off = (y[worst] - start) / (slope * x[worst]) - 1 if slope * x[worst] > 0 else math.nan
    reach = max(half, *(abs(one - value) + 2 * unsure for one, unsure, _ in without))
    return Intercept(value, half, f"{used[worst].exposure.name}, {off:+.0%} from that of the others", reach)


def half_interval(confidence: float, freedom: int) -> float:
    """Half a t-interval in standard errors."""
    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def _line(x: Array, y: Array, variance: Array) -> tuple[float, float, Array]:
    """Start of the line of y over x, its standard error, and what is left in units of each mean's error."""
    design = np.stack([np.ones_like(x), x], axis=1)
    offset = 0.0
    for _ in range(20):
        root = 1 / np.sqrt(variance + (SHUTTER * (y - offset)) ** 2 + 1e-13 * np.ptp(y) ** 2)
        coefficients = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        offset = float(min(coefficients[0], y.min()))
    left = (y - design @ coefficients) * root
    error = math.sqrt(np.linalg.inv((design * root[:, None] ** 2).T @ design)[0, 0])
    return float(coefficients[0]), error, left
