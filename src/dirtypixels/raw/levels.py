"""Whether black and white level as frames state them can be those of their samples; the line of mean over exposure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.raw.frames import Frame
from dirtypixels.raw.tiles import MANY, SIDE, tiles

Array = npt.NDArray[np.float64]

WANDER = 1e-3
"""Of the range: sensors' own black level wanders by up to half of this over gains and rows."""

SHUTTER = 1e-3
"""Error of shutter and lamp from one exposure to the next, of the light."""

_START = 0.02  # of the range: what nominal exposure times can make of the level at no exposure
_ROUNDED = 1e-4  # of the range, where samples are no whole numbers
_FEWEST_CODES = 64  # samples 0 and 1 of a range of 0 to 1 are no digital numbers
_ON_LINE = 0.01  # of the range: how near a line all means must lie for its start to count

_HOW_BLACK = "the median of a frame taken with the lens cap on is the black level"
_HOW_WHITE = "the value at which samples pile up in an overexposed frame is the white level"


def rounding(frame: Frame, white: float) -> float:
    """By how much a level may be off because it is stated as a whole number, DN.

    Half a DN; where the samples are no whole numbers (or too few of them, as in a range of 0 to 1) 1e-4 of the range.

    Args:
        frame: whose samples tell.
        white: DN at which it saturates.
    """
    span = white - min(frame.black or (0.0,))
    some = frame.values[::5]
    whole = frame.values.dtype.kind == "u" or bool(np.array_equal(some, np.round(some)))
    return 0.5 if whole and span >= _FEWEST_CODES else _ROUNDED * span


def alike_within(white: float) -> float:
    """By how much levels of one camera that files state may differ and be one, DN: half a DN, or 1e-3 of white."""
    return min(0.5, 1e-3 * white)


class ExposureLine(NamedTuple):
    """``mean = start + slope * exposure``

    Args:
        start: mean without light, DN.
        slope: DN for each unit of exposure.
        error: standard error of `start`, by the errors that were assumed.
        scatter: of the exposures about the line, in units of the errors that were assumed, which chance makes 1; 0 of
            two exposures.
        residual: (N,) mean less line, DN.
    """

    start: float
    slope: float
    error: float
    scatter: float
    residual: Array


def exposure_line(exposure: Array, mean: Array, variance: Array, light_error: float = SHUTTER) -> ExposureLine:
    """Line of mean over exposure, by weighted least squares.

    ``mean_i = start + slope * exposure_i + e_i,  var e_i = variance_i + (light_error * (mean_i - start))^2``

    What errs is the noise, and the exposure itself (shutter, lamp, or exposure times as they are written), which moves
    the light by a share of it. Means of one exposure have the latter in common, so that they are averaged first.

    Args:
        exposure: (N,) exposure time x light, at least two different ones.
        mean: (N,) DN.
        variance: (N,) of each mean, by noise, DN^2.
        light_error: relative standard error of an exposure.
    """
    x, place, count = np.unique(exposure, return_inverse=True, return_counts=True)
    y, noise = np.bincount(place, mean) / count, np.bincount(place, variance) / count**2
    scale = float(x[-1])
    design = np.stack([np.ones_like(x), x / scale], axis=1)
    start = slope = 0.0
    for _ in range(20):
        light = y - min(start, float(y.min()))
        root = 1 / np.sqrt(noise + (light_error * light) ** 2 + 1e-13 * np.ptp(y) ** 2)
        start, slope = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    off = (y - design @ [start, slope]) * root
    error = np.sqrt(np.linalg.inv((design * root[:, None] ** 2).T @ design)[0, 0])
    scatter = np.sqrt(off @ off / (len(x) - 2)) if len(x) > 2 else 0.0
    residual = mean - start - slope / scale * exposure
    return ExposureLine(float(start), float(slope) / scale, float(error), float(scatter), residual)


class _Exposed(NamedTuple):
    """One plane of a lit frame: what the line over exposure times needs of it."""

    name: str
    exposure_s: float
    median: float
    black: float
    white: float
    rounding: float


def check_levels(frames: Iterable[Frame]) -> None:
    """Raise unless black and white level are known and nothing in the samples speaks against them.

    Looked for is what light cannot explain: patches whose median lies below black, as light only adds; a frame of
    exposure 0 whose median is not black; samples above white; a pile of samples at the largest value well below white,
    as only saturation makes; and, among frames of one ISO whose medians lie on a line over the exposure time, a line
    that does not start at black. A frame without dark parts says nothing of black alone: none is refused for a minimum
    above it.

    Args:
        frames: the frames; looked at one by one, so they may come from `iter_frames`.

    Raises:
        ValueError: a level is unknown or wrong; the message gives the file, the stated level and what was found.

    >>> frame = Frame(np.full((64, 64), 200, np.uint16), black=(900.0,) * 4, white=1023.0)
    >>> check_levels([frame])
    Traceback (most recent call last):
    ValueError: ...
    """
    exposed: dict[tuple[float | None, str], list[_Exposed]] = {}
    for frame in frames:
        if frame.black is None:
            raise ValueError(f"{frame.name} does not say its black level: give black= in digital numbers; {_HOW_BLACK}")
        if frame.white is None:
            largest = f"the largest sample here is {frame.values.max():g}"
            raise ValueError(
                f"{frame.name} does not say its white level: give white= in digital numbers; {_HOW_WHITE}, {largest}"
            )
        rounded = rounding(frame, frame.white)
        offset = max(2 * rounded, WANDER * (frame.white - max(frame.black)))
        _check_white(frame, max(frame.black), frame.white)
        for plane, values in frame.planes().items():
            black = frame.black_of(plane) or 0.0
            _check_dark_patches(f"{frame.name}, {plane}", values, black, offset)
            median = float(np.median(values))
            if frame.exposure_s == 0:
                _check_dark_frame(f"{frame.name}, {plane}", values, median, black, offset)
            elif frame.exposure_s is not None:
                of_plane = exposed.setdefault((frame.iso, plane), [])
                of_plane.append(_Exposed(frame.name, frame.exposure_s, median, black, frame.white, rounded))
    for (iso, plane), of_plane in exposed.items():
        _check_start(iso, plane, of_plane)


def _check_white(frame: Frame, black: float, white: float) -> None:
    values, size = frame.values, frame.values.size
    above = int(np.count_nonzero(values > white))
    largest = float(values.max())
    if above > max(10, size * 1e-4):  # fewer are defects
        raise ValueError(
            f"wrong white level: {frame.name} states {white:g} DN, and {above} of {size} samples lie above, up to "
            f"{largest:g}; {_HOW_WHITE}"
        )
    span = white - black
    if largest >= white - max(4 * rounding(frame, white), 0.01 * span) or largest - black < 0.01 * span:
        return
    levels, counts = np.unique(values[values >= largest - 0.1 * (largest - black)], return_counts=True)
    piled = int(counts[-1])
    near = int(counts[-17:-1].max(initial=0))  # noise alone thins out towards the largest value
    if piled > max(50, size * 1e-3) and piled > 5 * near and (levels.size > 1 or piled < size):
        raise ValueError(
            f"wrong white level: {frame.name} states {white:g} DN, and {piled} of {size} samples pile up at its "
            f"largest value {largest:g}, so that is where it saturates: give white={largest:g}"
        )


def _check_dark_patches(where: str, values: npt.NDArray[Any], black: float, offset: float) -> None:
    """Light only adds: no patch lies below black by more than noise and the sensor's own wandering, `offset`."""
    if min(values.shape) < SIDE:
        return
    flat = tiles(values, MANY).swapaxes(1, 2).reshape(-1, SIDE * SIDE).astype(np.float32)
    medians = np.median(flat, axis=1)
    # not the darkest one alone, which may be a defect
    rank = min(medians.size - 1, max(2, medians.size // 1000))
    dark = int(np.argpartition(medians, rank)[rank])
    # from neighbors, so that a slope of the light is no noise; median, so that a defect is none
    pairs = np.diff(flat[dark].reshape(SIDE, SIDE), axis=1)
    noise = 1.4826 * float(np.median(np.abs(pairs))) / np.sqrt(2)
    allowed = offset + 6 * 1.2533 * noise / SIDE
    if medians[dark] < black - allowed:
        raise ValueError(
            f"wrong black level: {where} states {black:g} DN, and its dark patches have a median of {medians[dark]:g} "
            f"(noise {noise:.2g}), though light can only add; {_HOW_BLACK}"
        )


def _check_dark_frame(where: str, values: npt.NDArray[Any], median: float, black: float, offset: float) -> None:
    """A frame of exposure 0 holds nothing but black and noise."""
    if abs(median - black) > offset:
        raise ValueError(
            f"wrong black level: {where} states {black:g} DN and exposure 0, and the median of its {values.size} "
            f"samples is {median:g}: give black={median:g}, unless light reached it"
        )


def _check_start(iso: float | None, plane: str, exposed: list[_Exposed]) -> None:
    """Where the light did not change, medians over exposure times start at black."""
    black, white = exposed[0].black, exposed[0].white
    span = white - black
    lit = [one for one in exposed if (one.black, one.white) == (black, white) and one.median < black + 0.9 * span]
    times = np.array([one.exposure_s for one in lit])
    if len(set(times.tolist())) < 3 or times.max() < 2 * times.min():
        return
    medians, errors = np.array([one.median for one in lit]), np.array([one.rounding for one in lit])
    line = exposure_line(times, medians, errors**2 / 3)
    off = float(np.abs(line.residual).max())
    straight = off < _ON_LINE * span and line.slope * times.max() > 10 * off
    if straight and abs(line.start - black) > _START * span + 3 * max(1.0, line.scatter) * line.error:
        gain = "frames" if iso is None else f"frames of ISO {iso:g}"
        raise ValueError(
            f"wrong black level: {lit[0].name} and {len(lit) - 1} other {gain} state {black:g} DN for {plane}, and "
            f"their medians over exposure times of {times.min():g} to {times.max():g} s lie on a line that starts at "
            f"{line.start if span < _FEWEST_CODES else round(line.start):g}; {_HOW_BLACK}"
        )
