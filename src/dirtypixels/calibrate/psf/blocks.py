"""The frame in blocks: where they lie, what stands in for those without a PSF, and the nodes made of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.mapping import hats

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MOST = 9, 12
"""Rows and columns of blocks where the PSF changes slowly."""

FINEST = 12, 16
"""Where the PSF changes so fast that smaller blocks are worth their noise."""

_FEWEST = 16.0
"""Samples of red or blue for each tap that even the finest blocks have."""

_WORTH_MORE = 2.0
_UNKNOWN = 1e3


@dataclass(frozen=True)
class Blocks:
    """Blocks of even size that tile a frame without overlap.

    Args:
        frame: (height, width) in pixels.
        rows: number of blocks from top to bottom, >= 1.
        columns: number of blocks from left to right, >= 1.
    """

    frame: tuple[int, int]
    rows: int
    columns: int

    @classmethod
    def for_size(cls, frame: tuple[int, int], size: int, step: int, snr_db: float = 40.0) -> Blocks:
        """As many blocks as leave enough samples of red or blue for each tap, within 3 x 3 and 9 x 12.

        ``samples = 64 * 10^((28 - SNR) / 10)`` for each tap, at least 64 and at most 160. Noise in the taps goes with
        the root of noise variance times taps over samples; where light is good, smaller blocks follow the field better.

        Args:
            frame: (height, width).
            size: of the PSFs.
            step: 2 for a Bayer sensor, 1 for a monochrome one.
            snr_db: of the chart in its darkest color: 20 log10 of white less black over the noise.
        """
        side = step * size * float(np.sqrt(np.clip(64 * 10 ** ((28 - snr_db) / 10), 64, 160)))
        return cls(frame, *(int(np.clip(round(n / side), 3, most)) for n, most in zip(frame, MOST, strict=True)))

    def refined(self, size: int, step: int, noise: float, misfit: float) -> Blocks:
        """Blocks in which noise and the change of the PSF within a block weigh alike.

        Of so many times the blocks, the noise's part of the error is ``noise sqrt(r)``, that of the change
        ``misfit / r``, as it goes with the square of the side; the sum of their squares is least at
        ``r = (2 misfit^2 / noise^2)^(1/3)``. The least is flat: less than twice as many are not worth the time.

        Args:
            size: of the PSFs.
            step: 2 for a Bayer sensor, 1 for a monochrome one.
            noise, misfit: both parts of the relative error in these blocks.
        """
        more = (2 * (misfit / max(noise, 1e-6)) ** 2) ** (1 / 3)
        if more < _WORTH_MORE:
            return self
        least = step * size * _FEWEST**0.5
        sides = zip((self.rows, self.columns), FINEST, self.frame, strict=True)
        counts = (max(n, min(round(n * more**0.5), most, int(length / least))) for n, most, length in sides)
        return Blocks(self.frame, *counts)

    def __post_init__(self) -> None:
        for name, count, length in (("rows", self.rows, self.frame[0]), ("columns", self.columns, self.frame[1])):
            if isinstance(count, bool) or not isinstance(count, int | np.integer):
                raise TypeError(f"blocks must be integers (rows, columns); found {type(count).__name__} for {name}")
            if not 1 <= count <= length // 16:
                raise ValueError(
                    f"blocks must be 1 to {length // 16} {name} for a frame of {self.frame[0]} x {self.frame[1]} "
                    f"pixels; found {count}"
                )

    def of(self, place: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a block; they begin at even pixels, so that each has whole 2 x 2 patterns."""
        row, column = (
            slice(*(2 * round(length * (i + more) / count / 2) if i + more < count else length for more in (0, 1)))
            for length, i, count in zip(self.frame, place, (self.rows, self.columns), strict=True)
        )
        return row, column

    def middle(self, place: tuple[int, int]) -> tuple[float, float]:
        """(row, column) of a block's middle in pixels."""
        rows, columns = self.of(place)
        return (rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2

    @property
    def middles(self) -> tuple[Floats, Floats]:
        """Rows (R,) and columns (C,) of the blocks' middles in pixels."""
        rows = np.array([self.middle((i, 0))[0] for i in range(self.rows)])
        return rows, np.array([self.middle((0, j))[1] for j in range(self.columns)])

    def nodes(self, psfs: Floats, error: Floats | None = None) -> Floats:
        """PSFs at nodes (2 R + 1, 2 C + 1, ...), even over the frame, corners included; >= 0, sum 1.

        A block's PSF is the mean of its pixels' PSFs. Along each axis the field is taken to be a parabola about each
        block, from the first and second differences d and D of the blocks:

            ``middle: k - D / 24,   between two: (k + next) / 2 - (D + next D) / 12,   border: k + d / 2 + D / 3``

        as follow from the means of a parabola over blocks; D of an outermost block is its neighbor's. Of the
        differences noise makes a part, which is left out: they are scaled by ``1 - noise^2 / |d|^2``, at least 0.

        Args:
            psfs: (R, C, channels, k, k) of the blocks.
            error: (R, C, channels) their l2 errors, absolute; NaN where a PSF is not the block's own. None for 0.

        Source: James, Stein 1961 (the share of a difference that is not noise).
        """
        unsure = np.zeros(psfs.shape[:3]) if error is None else np.nan_to_num(error, nan=_UNKNOWN)
        for axis in (0, 1):
            found, off = _along(np.moveaxis(psfs, axis, 0), np.moveaxis(unsure, axis, 0))
            psfs, unsure = np.moveaxis(found, 0, axis), np.moveaxis(off, 0, axis)
        psfs = np.maximum(psfs, 0.0)
        return np.asarray(psfs / psfs.sum((-2, -1), keepdims=True))


def filled(values: Floats, trusted: Bools) -> Floats:
    """What is known of blocks, with the others filled from their neighbors.

    ``v = sum_i v_i / d_i^2 / sum_i 1 / d_i^2`` over the 4 nearest trusted blocks (and all as near as the fourth), d the
    distance in blocks. A mean of PSFs is a PSF again: >= 0, sum 1.

    Args:
        values: (R, C, ...).
        trusted: (R, C), at least one True.

    Raises:
        ValueError: no block is trusted.
    """
    if not trusted.any():
        raise ValueError("trusted must be True for at least one block; found none")
    found = np.array(values)
    known = np.argwhere(trusted)
    for place in np.argwhere(~trusted):
        distance = ((known - place) ** 2).sum(1).astype(float)
        near = distance <= np.sort(distance)[:4][-1]
        weights = 1 / distance[near]
        parts = values[tuple(known[near].T)]
        found[tuple(place)] = np.tensordot(weights / weights.sum(), parts, 1)
    return found


def between(psfs: Floats, error: Floats) -> Floats:
    """(R, C, channels) relative error of interpolation halfway from a block to its neighbors, at most.

    ``|D| / 8 / |k|``, D the second differences of the blocks' PSFs down and across, less the part that noise makes of
    them; those of an outermost block are its neighbor's, and 0 where there are fewer than 3 blocks. So far a straight
    line is off, and so is the field of `Blocks.nodes` where the PSF changes in kinks or as fast as the blocks; of a
    smooth change, whose parabola the nodes follow, a quarter of it is left.

    Args:
        psfs: (R, C, channels, k, k) of the blocks.
        error: (R, C, channels) their relative errors; NaN where a PSF is not the block's own.
    """
    size = np.linalg.norm(psfs, axis=(-2, -1))
    noise = np.nan_to_num(error * size, nan=0.0) ** 2
    total = np.zeros_like(size)
    for axis in (0, 1):
        bend, variance = _bends(np.moveaxis(psfs, axis, 0), np.moveaxis(noise, axis, 0))
        total += np.moveaxis(np.maximum((bend**2).sum((-2, -1)) - variance, 0.0), 0, axis)
    return np.asarray(np.sqrt(total) / 8 / size)


def _along(blocks: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Nodes (2 n + 1, ...) along the first axis from means over blocks (n, ..., k, k), and errors (2 n + 1, ...)."""
    n = len(blocks)
    weights = hats(0.5 + np.arange(n, dtype=np.float64), 0.5 * np.arange(2 * n + 1, dtype=np.float64))
    nodes, unsure = np.tensordot(weights, blocks, 1), np.tensordot(weights, error, 1)
    if n == 1:
        return nodes, unsure
    variance = error**2
    bend = _seen(*_bends(blocks, variance))
    nodes[1::2] -= bend / 24
    nodes[2:-1:2] -= (bend[:-1] + bend[1:]) / 12
    for end, inner in ((0, 1), (-1, -2)):
        nodes[end] += _seen(blocks[end] - blocks[inner], variance[end] + variance[inner]) / 2 + bend[end] / 3
    return nodes, unsure


def _bends(blocks: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Second differences of blocks (n, ...) along the first axis, and their variances; at an end its neighbor's."""
    if len(blocks) < 3:
        return np.zeros_like(blocks), np.zeros_like(variance)
    whose = np.clip(np.arange(len(blocks)) - 1, 0, len(blocks) - 3)
    return np.diff(blocks, 2, axis=0)[whose], (variance[:-2] + 4 * variance[1:-1] + variance[2:])[whose]


def _seen(difference: Floats, variance: Floats) -> Floats:
    """Differences of PSFs (..., k, k), without the part that noise of a variance (...) makes of them."""
    size = np.maximum((difference**2).sum((-2, -1)), 1e-300)
    return np.asarray(difference * np.maximum(1 - variance / size, 0.0)[..., None, None])
