"""Whether the mean follows the light, and whether the light stood still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import (
    DRIFT_FAILURE,
    DRIFT_WARNING,
    NONLINEAR_FAILURE,
    NONLINEAR_WARNING,
    Diagnostic,
    graded,
)
from dirtypixels.calibrate.noise.patches import PlaneBlocks

Array = npt.NDArray[np.float64]

_BINS = 12
_WITHIN = (0.05, 0.95)


class Linearity(NamedTuple):
    """How far the mean is from a line over exposure."""

    level: Array  # (N,) mean above black, as a fraction of the range, increasing
    deviation: Array  # (N,) relative deviation from the line there

    @property
    def error(self) -> float:
        """The linearity error of EMVA 1288 Release 4."""
        return float(np.abs(self.deviation).mean())

    @property
    def largest(self) -> float:
        """The deviation of largest magnitude, with its sign."""
        return float(self.deviation[np.abs(self.deviation).argmax()])


def linearity(planes: Sequence[PlaneBlocks], black: float, white: float) -> Linearity | None:
    """Deviation of the mean from a line over exposure.

    ``deviation = (y - (a + b x)) / (a + b x)``, with a, b by least squares weighted by 1/y^2, for each block on its own
    between 5 and 95 % of the range; then averaged over blocks by level, so that a scene of many levels and a flat field
    give the same.

    Returns:
        None where no block has three different exposures in there.

    Source: EMVA Standard 1288, Release 4.0, sec. 8.4 (linear fit and linearity error).
    """
    lit = [s for s in planes if not s.frame_set.dark and s.frame_set.exposure is not None]
    if len({s.frame_set.exposure for s in lit}) < 3:
        return None
    x = np.array([s.frame_set.exposure for s in lit], dtype=float)[:, None]
    y = np.stack([s.mean for s in lit]) - black
    level = y / (white - black)
    inside = np.stack([s.unclipped & s.smooth for s in lit]) & (level >= _WITHIN[0]) & (level <= _WITHIN[1])
    blocks = inside.sum(0) >= 3
    y, level, inside = y[:, blocks], level[:, blocks], inside[:, blocks]
    weight = np.where(inside, 1 / np.where(inside, y, 1.0) ** 2, 0.0)
    x_off, y_off = (v - (weight * v).sum(0) / weight.sum(0) for v in (x, y))
    across = (weight * x_off**2).sum(0)
    inside &= across > 1e-12 * (weight * x**2).sum(0)
    if not inside.any():
        return None
    slope = (weight * x_off * y_off).sum(0) / np.maximum(across, 1e-300)
    deviation = y / (y - y_off + slope * x_off) - 1
    bins = np.clip((level[inside] - _WITHIN[0]) / (_WITHIN[1] - _WITHIN[0]) * _BINS, 0, _BINS - 1).astype(int)
    count = np.bincount(bins, minlength=_BINS)
    there = count > 0
    return Linearity(*(np.bincount(bins, v[inside], _BINS)[there] / count[there] for v in (level, deviation)))


def linearity_diagnostics(found: dict[str, Linearity | None]) -> tuple[Diagnostic, ...]:
    """What to say of several planes' linearity, by name; the worst of them speaks."""
    known = {name: line for name, line in found.items() if line is not None}
    if not known:
        return ()
    name, worst = max(known.items(), key=lambda item: item[1].error)
    severity = graded(worst.error, NONLINEAR_WARNING, NONLINEAR_FAILURE)
    at = worst.level[np.abs(worst.deviation).argmax()]
    message = (
        f"{name}: the mean is off a line over exposure by {worst.error:.2%} on average (EMVA 1288 linearity error), "
        f"{worst.largest:+.2%} at {at:.0%} of the range"
    )
    if severity != "note":
        message += (
            "; the sensor's response bends, the values were encoded (a JPEG's curve), the light changed between "
            "exposures, or the exposure times are rounded (1/60 s for 1/64 s): give them exactly"
        )
    return (Diagnostic("non-linear" if severity != "note" else "linearity", severity, message),)


def drift(each: PlaneBlocks, black: float, white: float) -> float:
    """Largest relative change of the light in a frame from its mean over the frames of an exposure.

    NaN where the light is below 1 % of the range, or the noise could make a change of 0.1 %.
    """
    used = each.unclipped & each.smooth
    signal = float((each.mean[used] - black).sum())
    noise = float(np.sqrt((each.standard_deviation[used] ** 2).sum())) / each.size
    if each.frame_set.dark or not used.any() or signal < 0.01 * (white - black) * used.sum() or noise > 1e-3 * signal:
        return float("nan")
    return float(np.abs((each.frame_means[:, used] - each.mean[used]).sum(1)).max()) / signal


def drift_diagnostics(drifts: dict[str, float]) -> tuple[Diagnostic, ...]:
    """What to say of the drift in several exposures, by name; the worst of them speaks."""
    known = {name: value for name, value in drifts.items() if np.isfinite(value)}
    if not known:
        return ()
    name, worst = max(known.items(), key=lambda item: item[1])
    if worst <= DRIFT_WARNING:
        steady = f"the light was steady to {worst:.2%} between frames of an exposure"
        return (Diagnostic("steady-light", "note", steady),)
    many = sum(value > DRIFT_WARNING for value in known.values())
    return (
        Diagnostic(
            "drift",
            graded(worst, DRIFT_WARNING, DRIFT_FAILURE),
            f"the light changed by {worst:.1%} between frames of {name} ({many} of {len(known)} exposures changed by "
            f"more than {DRIFT_WARNING:.0%}); use steady light (daylight and lamps on mains flicker), and one exposure "
            f"time for one light",
        ),
    )
