"""Blocks of repeated frames as patches: which parts of a capture say something of its noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.noise.exposures import Exposure

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Largest spread of the light in a block, its slope apart, in standard deviations of a pixel's noise. What stands
#: still cancels between frames; an edge of 4 deviations (a spread of 1) that moves by 0.1 px between them adds 0.5 %
#: to the block's variance.
STRUCTURE_LIMIT = 1.0
_HOT = 6.0
_PARTS = 4  # a block's light is looked at in 4 x 4 parts, so that fixed pattern averages out of it


@dataclass(frozen=True)
class Survey:
    """The blocks of one color plane at one exposure; arrays (P,), in digital numbers.

    Args:
        exposure: whose frames they are.
        plane: "R", "Gr", "Gb", "B" or "Y".
        size: samples of the plane along each side of a block.
        row, column: the plane's first sample in each block.
        mean: over the block and all frames.
        frame_means: (F, P) over the block in each frame.
        deviation: of a pixel from frame to frame, drift of the whole block removed.
        structure: spread of the light within the block, its slope removed, over `deviation` (or 1/4096 of the range).
        low, high: fractions of the samples at the floor and at white.
        hot: how many samples lie more than 6 deviations above the mean in every frame.
        peak: largest sample of all frames.
    """

    exposure: Exposure
    plane: str
    size: int
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    mean: Array
    frame_means: Array
    deviation: Array
    structure: Array
    low: Array
    high: Array
    hot: npt.NDArray[np.int64]
    peak: Array

    @property
    def smooth(self) -> Mask:
        """Which blocks are without edges."""
        return self.structure <= STRUCTURE_LIMIT

    @property
    def saturated(self) -> Mask:
        """Which blocks are white in all samples of all frames, which says nothing of the noise."""
        return self.high >= 1.0

    @property
    def open(self) -> Mask:
        """Which blocks hardly touch floor or white, so that their mean is that of the light."""
        return (self.low < 1e-3) & (self.high < 1e-3)


def survey(exposure: Exposure, plane: str, size: int, floor: float, white: float) -> Survey:
    """Look at all blocks of a color plane, one frame at a time.

    Args:
        exposure: F >= 2 frames of one scene.
        plane: its name in `Frame.planes`.
        size: samples along each side of a block, a multiple of 4.
        floor, white: DN at which the sensor clips.

    Raises:
        ValueError: size is not a multiple of 4 from 8 up, or the plane is smaller than two blocks.
    """
    if size < 8 or size % _PARTS:
        raise ValueError(f"block must be a multiple of {_PARTS}, at least 8; found {size}")
    height, width = exposure.frames[0].planes()[plane].shape
    rows, columns = height // size, width // size
    if rows * columns < 2:
        raise ValueError(
            f"captures must hold at least two blocks of {size} x {size} samples a color; found {height} x {width}"
        )
    frames, pixels = len(exposure.frames), size * size
    total = np.zeros((rows * size, columns * size))
    squares, low, high = (np.zeros((rows, columns)) for _ in range(3))
    means = np.empty((frames, rows, columns))
    least = np.full(total.shape, np.inf)
    peak = np.full((rows, columns), -np.inf)
    for index, frame in enumerate(exposure.frames):
        values = np.asarray(frame.planes()[plane][: rows * size, : columns * size], dtype=np.float64)
        tiles = values.reshape(rows, size, columns, size)
        means[index] = tiles.mean((1, 3))
        squares += np.einsum("ihjw,ihjw->ij", tiles, tiles)
        low += (tiles <= floor).mean((1, 3))
        high += (tiles >= white).mean((1, 3))
        total += values
        np.minimum(least, values, out=least)
        peak = np.maximum(peak, tiles.max((1, 3)))
    average = total.reshape(rows, size, columns, size) / frames
    between = ((means - means.mean(0)) ** 2).sum(0)
    around = squares - frames * np.einsum("ihjw,ihjw->ij", average, average) - pixels * between
    variance = np.maximum(around, 0.0) / ((frames - 1) * (pixels - 1))
    parts = average.reshape(rows, _PARTS, size // _PARTS, columns, _PARTS, size // _PARTS).mean((2, 5))
    chance = variance / (frames * (size // _PARTS) ** 2)
    spread = np.sqrt(np.maximum(_variance_about_plane(parts) - chance, 0.0))
    row, column = np.meshgrid(np.arange(rows) * size, np.arange(columns) * size, indexing="ij")
    least_deviation = (white - max(floor, 0.0)) / 4096  # less matters to nobody, and blocks near white have hardly any
    against = np.maximum(np.sqrt(variance), least_deviation)
    bar = means.mean(0) + _HOT * against
    hot = (least.reshape(rows, size, columns, size) > bar[:, None, :, None]).sum((1, 3))
    return Survey(
        exposure,
        plane,
        size,
        row.ravel(),
        column.ravel(),
        means.mean(0).ravel(),
        means.reshape(frames, -1),
        np.sqrt(variance).ravel(),
        (spread / against).ravel(),
        (low / frames).ravel(),
        (high / frames).ravel(),
        hot.ravel(),
        peak.ravel(),
    )


def _variance_about_plane(parts: Array) -> Array:
    """(rows, 4, columns, 4) parts of blocks -> (rows, columns) variance about the plane of least squares in each."""
    along = np.arange(_PARTS) - (_PARTS - 1) / 2
    left = parts - parts.mean((1, 3), keepdims=True)
    weight = _PARTS * (along**2).sum()
    for slope in (along[:, None, None], along):
        left = left - slope * ((left * slope).sum((1, 3), keepdims=True) / weight)
    result: Array = (left**2).sum((1, 3)) / (_PARTS**2 - 3)
    return result


def spread_over_levels(means: Array, limit: int, bins: int = 32) -> npt.NDArray[np.int64]:
    """Choose at most `limit` of N patches so that all levels are there: as equal a share of each of `bins` as there is.

    Bins are equal in the square root of the level, in which shot noise is alike. Within a bin, every n-th in the order
    given; the choice is the same for the same patches.

    Returns:
        Indices of the chosen, increasing.
    """
    if len(means) <= limit:
        return np.arange(len(means))
    level = np.sqrt(means - means.min())
    bin_of = np.minimum((level / (level.max() or 1.0) * bins).astype(int), bins - 1)
    members = sorted((np.flatnonzero(bin_of == b) for b in range(bins)), key=len)
    chosen: list[npt.NDArray[np.int64]] = []
    left = limit
    for position, each in enumerate(members):  # small bins first: what they leave over goes to the larger ones
        share = min(len(each), left // (bins - position))
        chosen.append(each[np.linspace(0, len(each) - 1, share).round().astype(int)])
        left -= share
    return np.sort(np.concatenate(chosen))


def patch_stack(
    surveys: Sequence[Survey], blacks: Sequence[float], white: float, limit: int, floor: float = 0.0, step: float = 0.0
) -> tuple[npt.NDArray[np.float32], float, int, int]:
    """Patches of one gain and one color channel, from all of its exposures and planes.

    A plane with another black level than the first is brought to the first one's by a linear map that leaves white
    where it is. That moves its floor, too, so all are clipped at the highest floor: clipping what was clipped lower is
    as good as clipping once.

    Args:
        surveys: of the channel's planes at each exposure.
        blacks: black level of each survey's plane, DN.
        white, floor: DN at which the sensor clips.
        limit: how many patches at most, spread over the levels.
        step: distance of the codes, DN; the floor of all is one of them.

    Returns:
        (F, P, size, size) stack in DN, where F is the smallest number of frames of an exposure: more frames make more
        patches; the floor at which it is clipped; how many blocks there were to choose from; and how many frames of
        them did not fill a stack.
    """
    frames = min(len(s.exposure.frames) for s in surveys)
    candidates: list[tuple[Survey, float, int, int]] = []
    for known, black in zip(surveys, blacks, strict=True):
        usable = np.flatnonzero(known.smooth & ~known.saturated)
        for first in range(0, len(known.exposure.frames) - frames + 1, frames):
            candidates.extend((known, black, first, int(i)) for i in usable)
    levels = np.array([known.mean[i] for known, _, _, i in candidates])
    chosen = spread_over_levels(levels, limit)
    size = surveys[0].size
    stack = np.empty((frames, len(chosen), size, size), dtype=np.float32)
    target = blacks[0]
    lowest = floor
    if np.isfinite(floor):
        lowest = max(target + (floor - black) * (white - target) / (white - black) for black in blacks)
        if step:
            lowest = floor + step * np.ceil((lowest - floor) / step - 0.01)  # white is far, so maps hardly stretch
        lowest = float(np.float32(lowest))
    planes: dict[int, list[npt.NDArray[Any]]] = {}
    for place, index in enumerate(chosen):
        known, black, first, block = candidates[index]
        if id(known) not in planes:
            planes[id(known)] = [frame.planes()[known.plane] for frame in known.exposure.frames]
        window = np.s_[known.row[block] : known.row[block] + size, known.column[block] : known.column[block] + size]
        for f in range(frames):
            values = planes[id(known)][first + f][window].astype(np.float64)
            if black != target:
                values = target + (values - black) * (white - target) / (white - black)
            stack[f, place] = np.clip(values, lowest, white)
    spare = sum(len(s.exposure.frames) % frames for s in surveys)
    return stack, lowest, len(candidates), spare
