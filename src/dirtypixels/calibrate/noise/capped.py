"""Frames taken with the lens cap on, though they state an exposure time as every frame of a camera does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.brightness import brightness
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import rounding

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_DARK = 0.25  # of what its exposure time would give: a frame with less has seen no light, and one with more has
_LIT = 0.02  # of the brightest frame that is not saturated: from there on a frame has seen light
_OFFSET = 1e-3  # of the range: what a sensor's own black level wanders by
_LEAST = 1e-4  # of the range: less light is not told from none by a level that is stated
_NOMINAL = 0.02  # error of exposure times as cameras write them, 1/60 s for 1/64 s; more where the means say so
_UNKNOWN = 0.05  # and where they cannot say
_NAMED = 6  # frames that a note names


class _Seen(NamedTuple):
    """The brightness of one plane in each of several frames; arrays (N,), DN."""

    level: Array
    error: Array
    uneven: Array


def without_light(frames: Sequence[Frame], lights: Sequence[float]) -> tuple[list[float], tuple[Diagnostic, ...]]:
    """The light of each frame, 0 where the lens cap was on.

    A frame ``mean = black + rate * dose`` of time x light `dose` is a dark one where all its planes are even and hold
    less than a quarter of the ``rate * dose`` that the other frames of its gain give it. Black is where the line
    through those others starts; where their exposure times are too inexact for that, it is what is stated, or 0 DN
    where nothing is. A short exposure of a series lies on the line, and is not taken for dark.

    Args:
        frames: of one camera and one sensor layout.
        lights: (N,) of each, 0 in the dark.

    Returns:
        The lights, and a note for each gain that has such frames.
    """
    result = list(lights)
    diagnostics = []
    for iso in dict.fromkeys(frame.iso for frame in frames):
        places = [i for i, f in enumerate(frames) if f.iso == iso and f.exposure_s is not None and f.white is not None]
        doses = np.array([(frames[i].exposure_s or 0.0) * lights[i] for i in places])
        if len(set(doses.tolist())) == 0 or doses.max() == 0:
            continue
        found = [places[k] for k in np.flatnonzero(_capped([frames[i] for i in places], doses))]
        if not found:
            continue
        for place in found:
            result[place] = 0.0
        gain = "" if iso is None else f"ISO {iso:g}: "
        names = ", ".join(frames[i].name for i in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        times = sorted({frames[i].exposure_s or 0.0 for i in found})
        diagnostics.append(
            Diagnostic(
                "dark-recognized",
                "note",
                f"{gain}{len(found)} frames taken as dark, as with the lens cap on, since they are black and their "
                f"exposure time of {', '.join(f'{t:g}' for t in times)} s would have given light: "
                f"{names}{more}",
            )
        )
    return result, tuple(diagnostics)


def _capped(frames: Sequence[Frame], doses: Array) -> Mask:
    """(N,) which frames of one gain saw no light though their dose is above 0: some plane says so, and none not."""
    dark, lit = np.zeros(len(frames), dtype=bool), np.zeros(len(frames), dtype=bool)
    white = frames[0].white or 0.0
    rounded = rounding(frames[0], white)
    for plane in frames[0].planes():
        seen = _Seen(*np.array([brightness(frame.planes()[plane]) for frame in frames]).T)
        says_dark, says_lit = _judged(seen, doses, frames[0].black_of(plane), white, rounded)
        dark |= says_dark
        lit |= says_lit
    return np.asarray(dark & ~lit)


def _judged(seen: _Seen, doses: Array, black: float | None, white: float, rounded: float) -> tuple[Mask, Mask]:
    """(N,) of which frames one plane says that they saw no light, and that they saw some."""
    none = np.zeros(len(doses), dtype=bool)
    level = seen.level
    span = white - (black or 0.0)
    wander = _OFFSET * span + rounded
    open_ = level < white - 0.1 * (white - level.min())
    if not open_.any():
        return none, none
    least = max(_LIT * float(level[open_].max() - level.min()), wander)
    lit = open_ & (doses > 0) & (level - level.min() > least)
    left = (doses > 0) & (level - level.min() <= least)
    if not lit.any() or not left.any():
        return none, none
    x = np.where(doses > 0, doses, 1.0)
    start, rate, error = _line(seen, doses, lit)
    given = rate * x
    dark, sure = none, none
    if rate > 0:
        sure = 3 * np.hypot(error, seen.error) < _DARK * given
        dark = sure & (np.abs(level - start) < _DARK * given)
    assumed = black if black is not None else 0.0 if float(level.min()) >= 0 else None
    if assumed is None:
        even = seen.uneven < _DARK * given
        return left & dark & even, left & sure & ~(dark & even)
    by_black = float(np.median((level[lit] - assumed) / doses[lit])) * x
    off = np.abs(level - assumed)
    seen_from = (_LEAST * span + rounded + 3 * seen.error) / _DARK
    near = (off < _DARK * by_black) & (by_black > seen_from) & ((off < wander) | (black is None))
    dark = np.where(sure, dark, near)
    even = seen.uneven < _DARK * np.where(sure, given, by_black)
    return left & dark & even, left & sure & ~(dark & even)


def _line(seen: _Seen, doses: Array, lit: Mask) -> tuple[float, float, float]:
    """Where the line of level over dose through lit frames, and those of dose 0, starts; its slope; the start's error.

    The slope is 0 where there are too few.
    """
    used = lit | (doses == 0)
    x, y = doses[used], seen.level[used]
    different = len(set(x.tolist()))
    if different < 2:
        return 0.0, 0.0, 0.0
    signal = np.where(x > 0, y - seen.level.min(), 0.0)
    scale = float(x.max())
    design = np.stack([np.ones_like(x), x / scale], axis=1)
    error = _UNKNOWN
    for _ in range(3):
        root = 1 / np.sqrt(seen.error[used] ** 2 + (error * signal) ** 2 + 1e-12 * np.ptp(y) ** 2)
        coefficients = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        if different < 3:
            break
        off = (y - design @ coefficients)[x > 0] / signal[x > 0]
        error = max(_NOMINAL, float(np.sqrt((off**2).sum() / max(1, len(set(x[x > 0].tolist())) - 2))))
    covariance = np.linalg.pinv((design * root[:, None] ** 2).T @ design)
    return float(coefficients[0]), float(coefficients[1]) / scale, float(np.sqrt(max(covariance[0, 0], 0.0)))
