"""Frames cut into blocks, and those of one gain and color channel that say something of its noise, as patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import EDGES_WARNING, HOT_PIXELS, Diagnostic
from dirtypixels.calibrate.noise.exposures import FrameSet, label

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Largest spread of the light in a block, its slope apart, in standard deviations of a pixel's noise. What stands
#: still cancels between frames; an edge of 4 deviations (a spread of 1) that moves by 0.1 px between them adds 0.5 %
#: to the block's variance.
STRUCTURE_LIMIT = 1.0
_HOT = 6.0
_PARTS = 4  # a block's light is looked at in 4 x 4 parts, so that fixed pattern averages out of it


@dataclass(frozen=True)
class PlaneBlocks:
    """The blocks of one color plane in a set of frames; arrays (P,), in digital numbers.

    Args:
        frame_set: whose blocks they are.
        plane: "R", "Gr", "Gb", "B" or "Y".
        size: samples of the plane along each side of a block.
        row, column: the plane's first sample in each block.
        hot: how many samples lie more than 6 standard deviations above the mean in every frame.
        frame_means: (F, P) over the block in each frame.
        mean: over the block and all frames.
        standard_deviation: of a pixel from frame to frame, drift of the whole block removed.
        structure: spread of the light within the block, its slope removed, over `standard_deviation` (or 1/4096 of the
            range).
        low, high: fractions of the samples at the floor and at white.
    """

    frame_set: FrameSet
    plane: str
    size: int
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    hot: npt.NDArray[np.int64]
    frame_means: Array
    mean: Array
    standard_deviation: Array
    structure: Array
    low: Array
    high: Array

    @property
    def smooth(self) -> Mask:
        """Which blocks are without edges."""
        return self.structure <= STRUCTURE_LIMIT

    @property
    def saturated(self) -> Mask:
        """Which blocks are white in all samples of all frames, which says nothing of the noise."""
        return self.high >= 1.0

    @property
    def unclipped(self) -> Mask:
        """Which blocks hardly touch floor or white, so that their mean is that of the light."""
        return (self.low < 1e-3) & (self.high < 1e-3)


def plane_blocks(frame_set: FrameSet, plane: str, size: int, floor: float, white: float) -> PlaneBlocks:
    """Look at all blocks of a color plane, one frame at a time.

    Args:
        size: samples along each side of a block, a multiple of 4.
        floor, white: DN at which the sensor clips.

    Raises:
        ValueError: size is not a multiple of 4 from 8 up, or the plane is smaller than two blocks.
    """
    if size < 8 or size % _PARTS:
        raise ValueError(f"block must be a multiple of {_PARTS}, at least 8; found {size}")
    height, width = frame_set.frames[0].planes()[plane].shape
    rows, columns = height // size, width // size
    if rows * columns < 2:
        raise ValueError(
            f"captures must hold at least two blocks of {size} x {size} samples a color; found {height} x {width}"
        )
    frames, pixels = len(frame_set.frames), size * size
    total = np.zeros((rows * size, columns * size))
    squares, low, high = (np.zeros((rows, columns)) for _ in range(3))
    means = np.empty((frames, rows, columns))
    least = np.full(total.shape, np.inf)
    for index, frame in enumerate(frame_set.frames):
        values = np.asarray(frame.planes()[plane][: rows * size, : columns * size], dtype=np.float64)
        tiles = values.reshape(rows, size, columns, size)
        means[index] = tiles.mean((1, 3))
        squares += np.einsum("ihjw,ihjw->ij", tiles, tiles)
        low += (tiles <= floor).mean((1, 3))
        high += (tiles >= white).mean((1, 3))
        total += values
        np.minimum(least, values, out=least)
    average = total.reshape(rows, size, columns, size) / frames
    between = ((means - means.mean(0)) ** 2).sum(0)
    around = squares - frames * np.einsum("ihjw,ihjw->ij", average, average) - pixels * between
    variance = np.maximum(around, 0.0) / ((frames - 1) * (pixels - 1))
    parts = average.reshape(rows, _PARTS, size // _PARTS, columns, _PARTS, size // _PARTS).mean((2, 5))
    chance = variance / (frames * (size // _PARTS) ** 2)
    spread = np.sqrt(np.maximum(_variance_about_plane(parts) - chance, 0.0))
    least_deviation = (white - max(floor, 0.0)) / 4096  # less matters to nobody, and blocks near white have hardly any
    against = np.maximum(np.sqrt(variance), least_deviation)
    bar = means.mean(0) + _HOT * against
    hot = (least.reshape(rows, size, columns, size) > bar[:, None, :, None]).sum((1, 3))
    row, column = size * np.indices((rows, columns)).reshape(2, -1)
    found = (means.mean(0), np.sqrt(variance), spread / against, low / frames, high / frames)
    per_block = (each.ravel() for each in found)
    return PlaneBlocks(frame_set, plane, size, row, column, hot.ravel(), means.reshape(frames, -1), *per_block)


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
    planes: Sequence[PlaneBlocks],
    blacks: Sequence[float],
    white: float,
    limit: int,
    name: str,
    floor: float = 0.0,
    step: float = 0.0,
) -> tuple[npt.NDArray[np.float32], float, tuple[Diagnostic, ...]]:
    """Patches of one gain and one color channel, from all of its frames and planes.

    F is the smallest number of frames of a set: more frames make more patches. A plane with another black level than
    the first is brought to the first one's by a linear map that leaves white where it is. That moves its floor, too, so
    all are clipped at the highest floor: clipping what was clipped lower is as good as clipping once.

    Args:
        planes: blocks of the channel's planes in each set of frames.
        blacks: black level of each, DN.
        white, floor: DN at which the sensor clips.
        limit: how many patches at most, spread over the levels.
        name: gain and channel, for messages.
        step: distance of the codes, DN; the floor of all is one of them.

    Returns:
        The patches (F, P, size, size), DN; at how many DN they are clipped in the dark; and what was left out.
    """
    frames = min(len(each.frame_set.frames) for each in planes)
    candidates: list[tuple[PlaneBlocks, float, int, int]] = []
    for each, black in zip(planes, blacks, strict=True):
        usable = np.flatnonzero(each.smooth & ~each.saturated)
        for first in range(0, len(each.frame_set.frames) - frames + 1, frames):
            candidates.extend((each, black, first, int(i)) for i in usable)
    chosen = spread_over_levels(np.array([each.mean[i] for each, _, _, i in candidates]), limit)
    size, target, lowest = planes[0].size, blacks[0], floor
    if np.isfinite(floor):
        lowest = max(target + (floor - black) * (white - target) / (white - black) for black in blacks)
        if step:
            lowest = floor + step * np.ceil((lowest - floor) / step - 0.01)  # white is far, so maps hardly stretch
        lowest = float(np.float32(lowest))
    stack = np.empty((frames, len(chosen), size, size), dtype=np.float32)
    for place, index in enumerate(chosen):
        each, black, first, block = candidates[index]
        window = np.s_[each.row[block] : each.row[block] + size, each.column[block] : each.column[block] + size]
        for f in range(frames):
            values = each.frame_set.frames[first + f].planes()[each.plane][window].astype(np.float64)
            if black != target:
                values = target + (values - black) * (white - target) / (white - black)
            stack[f, place] = np.clip(values, lowest, white)
    diagnostics = []
    if len(chosen) < len(candidates):
        used = f"{len(chosen)} of {len(candidates)} blocks used"
        diagnostics.append(Diagnostic("blocks-chosen", "note", f"{name}: {used}, spread evenly over the levels"))
    if unused := sum(count % frames for count in {id(e.frame_set): len(e.frame_set.frames) for e in planes}.values()):
        diagnostics.append(
            Diagnostic(
                "unused-frames",
                "note",
                f"{name}: {unused} frames did not fill a set of {frames}, the smallest number of frames of an "
                f"exposure, and were left out",
            )
        )
    return stack, lowest, tuple(diagnostics)


def block_diagnostics(planes: Sequence[PlaneBlocks]) -> Iterator[Diagnostic]:
    """What to say of the blocks of one gain: edges, saturation, and pixels that are hot in the dark."""
    name, size = label(planes[0].frame_set.iso), planes[0].size
    total = sum(each.mean.size for each in planes)
    if edges := sum(int((~each.smooth).sum()) for each in planes):
        yield Diagnostic(
            "structure",
            "warning" if edges > EDGES_WARNING * total else "note",
            f"{name}: {edges} of {total} blocks of {size} x {size} samples hold edges and were left out, as the "
            f"least movement between frames would count as noise",
        )
    if saturated := sum(int((each.smooth & each.saturated).sum()) for each in planes):
        yield Diagnostic(
            "saturated",
            "note",
            f"{name}: {saturated} of {total} blocks are white in all samples, which says nothing of the noise, "
            f"and were left out",
        )
    dark = [each for each in planes if each.frame_set.dark]
    longest = max((each.frame_set for each in dark), key=lambda s: s.exposure_s or 0.0, default=None)
    seen = [each for each in dark if each.frame_set is longest]
    if hot := sum(int(each.hot.sum()) for each in seen):
        samples = sum(each.hot.size * size**2 for each in seen)
        yield Diagnostic(
            "hot-pixels",
            "warning" if hot > HOT_PIXELS * samples else "note",
            f"{name}: {hot} of the sensor's {samples} pixels are hot: in the dark ({seen[0].frame_set.name}) more "
            f"than 6 standard deviations above the mean in every frame",
        )
