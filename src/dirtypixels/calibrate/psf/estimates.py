"""PSFs of all blocks and colors from captures that are aligned, and how far each can be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import fftconvolve

from dirtypixels.calibrate import diagnostics as limits
from dirtypixels.calibrate.psf.blocks import Blocks, filled
from dirtypixels.calibrate.psf.capture import ChartCapture, Piece
from dirtypixels.calibrate.psf.least_squares import (
    Estimate,
    Normal,
    normal_equations,
    packed,
    right_side,
    solve,
    unpacked,
)
from dirtypixels.calibrate.psf.mapping import Displaced

Floats = npt.NDArray[np.float64]
Place = tuple[int, int]
Pieces = list[tuple[ChartCapture, Piece]]

USABLE_ERROR = 0.3
"""Predicted relative error up to which a PSF may say something of its neighbors."""

EXTRAPOLATED = 0.5
"""Error of what is extrapolated from the part of a block that shows the chart to its middle, relative to it."""

NOISE_KNOWN = 1.05
"""Residual over the expected noise up to which the noise alone explains it."""

LOOKS, FAR_PX = 3, 0.1
"""How often the centroid of a block is looked for that lies farther from the middle than so many pixels; once less
where it is about known from larger blocks."""

MISFIT_SHARE = 0.4
"""How much of what noise and PSF do not explain becomes an error of the PSF. Measured with fields that change fast:
0.25 to 0.5 (benchmarks/psf_calibration.py, the lenses of the bundled profiles)."""

GREEN = ("Gr", "Gb", "Y")


@dataclass(frozen=True, eq=False)
class Quality:
    """How good the PSF of each block is; NaN where there is none.

    Args:
        noise: (R, C, channels) predicted relative l2 error by noise: that of the posterior (see `Estimate`) and, where
            the chart does not fill the block, half of what was extrapolated to its middle.
        misfit: (R, C, channels) what neither PSF nor noise explains of the samples, over their standard deviation: the
            PSF changes within the block in another way than its neighbors tell, or something moved.
        residual: (R, C, channels) rms of measured - fitted, over the noise expected.
        failed: (R, C) why the captures give no PSF to rely on, or "".
    """

    noise: Floats
    misfit: Floats
    residual: Floats
    failed: npt.NDArray[np.object_]

    @property
    def change(self) -> Floats:
        """(R, C, channels) predicted relative l2 error by what is not explained, the PSF's change within the block."""
        return np.asarray(MISFIT_SHARE * self.misfit)

    @property
    def error(self) -> Floats:
        """(R, C, channels) predicted relative l2 error of the PSF."""
        return np.asarray(np.hypot(self.noise, self.change))

    def reasons(self) -> npt.NDArray[np.object_]:
        """(R, C) why a block is not to be trusted, in a few words; "" for one that is."""
        usual = np.nanmedian(self.residual, axis=(0, 1), keepdims=True)
        with np.errstate(invalid="ignore"):
            # Where light and lens leave hardly more than the noise, three times of it may still be small.
            odd = np.any(self.residual > limits.BLOCK_RESIDUAL * np.maximum(usual, 1.0), axis=-1)
        found = self.failed.copy()
        for place in np.ndindex(found.shape):
            if found[place]:
                continue
            if odd[place]:
                worst = float(np.nanmax(self.residual[place] / usual[0, 0]))
                found[place] = f"{worst:.0f} times the usual residual: something covers the chart or moved"
            elif self.error[place].max() > limits.BLOCK_ERROR:
                worst = int(self.error[place].argmax())
                noisy = self.noise[place][worst] > self.change[place][worst]
                cause = "too noisy" if noisy else "it changes too fast for so large a block, or something moved"
                found[place] = f"a predicted error of {100 * float(self.error[place][worst]):.0f} %: {cause}"
        return found


class Estimates(NamedTuple):
    """PSFs of all blocks.

    Args:
        psfs: (R, C, channels, k, k); NaN where none was found.
        centroids: (R, C, 2) (x, y) by which the sharp correspondence was moved, in pixels.
        quality: of the blocks.
    """

    psfs: Floats
    centroids: Floats
    quality: Quality


@dataclass
class _Block:
    """What is known of a block, by color where it differs.

    Args:
        pieces: of the captures.
        middle: of the pieces, (row, column) in the frame: the place that PSFs belong to that are solved alone.
        matrices: of the normal equations, packed, with the number of samples.
        found: PSFs.
        failed: why there is no PSF, or "".
    """

    pieces: Pieces
    middle: Floats = field(default_factory=lambda: np.zeros(2))
    matrices: dict[int, tuple[npt.NDArray[np.float32], int]] = field(default_factory=dict)
    found: dict[int, Estimate] = field(default_factory=dict)
    failed: str = ""


def estimate(
    captures: Sequence[ChartCapture],
    grid: Blocks,
    size: int,
    aperture: float = 1.0,
    centroids: Floats | None = None,
    progress: Callable[[float], object] | None = None,
) -> Estimates:
    """The PSFs of each block, see `field.psf_field`.

    `centroids` (R, C, 2) says about where the PSFs' centroids are, None for the middle; `progress` is called with the
    share of the work that is done.
    """
    done = 0.0
    places = list(np.ndindex(grid.rows, grid.columns))
    looks = LOOKS if centroids is None else LOOKS - 1
    centroids = np.zeros((grid.rows, grid.columns, 2)) if centroids is None else centroids

    with _threads() as pool:

        def over(work: Callable[[Place], _Block], some: list[Place], share: float = 1 / 3) -> dict[Place, _Block]:
            nonlocal done
            results = {}
            for place, result in zip(some, pool.map(work, some), strict=True):
                results[place] = result
                done += share / len(some)
                if progress is not None:
                    progress(done)
            return results

        def solver(shifts: Floats, planes: tuple[str, ...] | None = None) -> Callable[[Place], _Block]:
            maps = [Displaced(one.alignment.mapping, *grid.middles, -shifts) for one in captures]

            def solved(place: Place) -> _Block:
                pieces = []
                for one, mapping in zip(captures, maps, strict=True):
                    if (piece := one.piece(grid.of(place), size, mapping, aperture)) is not None:
                        pieces.append((one, piece))
                return _solved(pieces, size, planes)

            return solved

        todo = places
        for look in range(looks):
            centroids = _moved(centroids, over(solver(centroids, GREEN), todo, 0 if look else 1 / 3))
            # A PSF far off its middle is cut by the window of taps, and its centroid falls short.
            todo = [place for place in places if np.hypot(*centroids[place]) > FAR_PX]
            if not todo:
                break
        blocks = over(solver(centroids), places)
        usable = _usable(blocks)
        blocks = over(lambda place: _solved_with_neighbors(place, blocks, usable, grid, size), places)
    return _assembled(captures, grid, blocks, centroids, size)


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A pool with a thread for each processor, in which linear algebra starts no threads of its own.

    A block's matrices are too small to be worth several threads; blocks times those are more threads than processors,
    which wait for each other: a capture of 12 megapixels takes half as long again without this, and several times as
    long while other work runs. Afterwards NumPy and torch have as many threads as before.
    """
    from threadpoolctl import threadpool_limits  # of the extra `calibrate`, as OpenCV, without which nothing comes here

    before = torch.get_num_threads()
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(min(4, processors), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            yield pool
        finally:
            torch.set_num_threads(before)


def centroid(psf: Floats) -> Floats:
    """(x, y) of a PSF's centroid, from its middle, in taps."""
    at = np.arange(psf.shape[-1]) - psf.shape[-1] // 2
    return np.array([(psf.sum(-2) * at).sum(-1), (psf.sum(-1) * at).sum(-1)])


def _moved(centroids: Floats, seen: dict[Place, _Block]) -> Floats:
    """Centroids (R, C, 2) and what was seen to be left of them; where nothing is known, those of the neighbors."""
    found, known = centroids.copy(), np.ones(centroids.shape[:2], dtype=bool)
    usable = _usable(seen)
    for place in seen:
        known[place] = place in usable
        if place in usable:
            (green,) = seen[place].found.values()
            found[place] += centroid(green.psf)
    return filled(found, known) if known.any() else centroids


def _usable(blocks: dict[Place, _Block]) -> set[Place]:
    """Blocks whose PSFs say something of their neighbors': none is a guess, and nothing but the chart was seen."""
    found = {place for place, block in blocks.items() if not block.failed}
    for channel in {channel for place in found for channel in blocks[place].found}:
        of = {place: blocks[place].found[channel] for place in found}
        most = limits.BLOCK_RESIDUAL * float(np.median([one.noise for one in of.values()] or [0.0]))
        found = {place for place, one in of.items() if one.error < USABLE_ERROR and one.noise < most}
    return found


def _solved(pieces: Pieces, size: int, planes: tuple[str, ...] | None = None) -> _Block:
    """A block with equations and PSF of each color (or some planes'), the PSF taken to be the same all over it."""
    if not pieces:
        return _Block([], failed="no part of it lies on the chart")
    middles = [np.add(piece.start, np.subtract(piece.shape, 1) / 2) for _, piece in pieces]
    block = _Block(pieces, np.average(middles, 0, [float(np.prod(piece.shape)) for _, piece in pieces]))
    normals: dict[int, Normal] = {}
    for capture, piece in pieces:
        for samples in capture.samples(piece, planes):
            normal = normal_equations(piece.sharp, samples.values, size, samples.place, samples.step)
            before = normals.get(samples.channel)
            normals[samples.channel] = normal if before is None else before + normal
    for channel, normal in normals.items():
        # All matrices of a field are kept; rounding to single precision is far below the noise.
        block.matrices[channel] = packed(normal.matrix), normal.count
        try:
            block.found[channel] = solve(normal, 1)
        except ValueError as error:
            block.failed = str(error)
    return block


def _solved_with_neighbors(
    place: Place, blocks: dict[Place, _Block], usable: set[Place], grid: Blocks, size: int
) -> _Block:
    """A block with PSFs for its middle: what their change away from it does is taken away from the samples.

    That change is linear, by central differences of the neighbors' PSFs.
    """
    block = blocks[place]
    solved = _Block(block.pieces, failed=block.failed)
    if block.failed:
        return solved

    def known(other: Place, channel: int) -> tuple[Floats, Floats] | None:
        return (blocks[other].middle, blocks[other].found[channel].psf) if other in usable else None

    i, j = place
    middle = grid.middle(place)
    pairs = (((i + 1, j), (i - 1, j)), ((i, j + 1), (i, j - 1)))
    tilts = {
        channel: slopes((block.middle, own.psf), [tuple(known(one, channel) for one in pair) for pair in pairs])
        for channel, own in block.found.items()
    }
    sides: dict[int, tuple[Floats, float]] = {}
    for capture, piece in block.pieces:
        down, across = (np.arange(n) + (at - m) for at, n, m in zip(piece.start, piece.shape, middle, strict=True))
        changes = {channel: change(piece.sharp, tilt, down, across) for channel, tilt in tilts.items()}
        for samples in capture.samples(piece):
            row, column = samples.place
            values = samples.values - changes[samples.channel][row :: samples.step, column :: samples.step]
            vector, energy = right_side(piece.sharp, values, size, samples.place, samples.step)
            before = sides.get(samples.channel, (0.0, 0.0))
            sides[samples.channel] = (before[0] + vector, before[1] + energy)
    for channel, side in sides.items():
        matrix, count = block.matrices.pop(channel)
        try:
            found = solve(Normal(unpacked(matrix), *side, count), 1, block.found[channel])
        except ValueError as error:
            solved.failed = str(error)
            continue
        aside = np.tensordot(np.subtract(middle, block.middle), tilts[channel], 1)
        extrapolated = float(np.linalg.norm(aside) / np.linalg.norm(found.psf))
        solved.found[channel] = replace(found, error=float(np.hypot(found.error, EXTRAPOLATED * extrapolated)))
    return solved


def slopes(own: tuple[Floats, Floats], neighbors: Sequence[tuple[tuple[Floats, Floats] | None, ...]]) -> Floats:
    """(2, k, k) how a PSF changes with each pixel down and across the frame.

    ``(k_next - k_last) / (place_next - place_last)``, where there is no neighbor with the block itself in its place

    `own` is the block's (row, column) and its PSF (k, k), `neighbors` for each axis the next and the last block's.
    """
    found = np.zeros((2, *own[1].shape))
    for axis, (after, before) in enumerate(neighbors):
        (later, one), (earlier, other) = after or own, before or own
        if (distance := later[axis] - earlier[axis]) > 0:
            found[axis] = (one - other) / distance
    return found


def change(sharp: npt.NDArray[np.float32], tilt: Floats, down: npt.NDArray[Any], across: npt.NDArray[Any]) -> Floats:
    """(h, w) what a PSF's linear change away from a place, `tilt` of `slopes`, adds to a block.

    ``v(n) = down(n) (slope_down * sharp)(n) + across(n) (slope_across * sharp)(n)``

    `down` (h,) and `across` (w,) are pixels from the place where the change is 0.
    """
    steps = fftconvolve(sharp[None].astype(np.float64), tilt, mode="valid", axes=(1, 2))
    return np.asarray(down[:, None] * steps[0] + across * steps[1])


def _assembled(
    captures: Sequence[ChartCapture], grid: Blocks, blocks: dict[Place, _Block], centroids: Floats, size: int
) -> Estimates:
    """PSFs of all blocks, and how good they are."""
    shape, channels = (grid.rows, grid.columns), 1 if captures[0].cfa is None else 3
    psfs = np.full((*shape, channels, size, size), np.nan)
    error, residual, misfit = (np.full((*shape, channels), np.nan) for _ in range(3))
    failed = np.full(shape, "", dtype=object)
    for place, block in blocks.items():
        clip = [one.clipped[grid.of(place)] for one in captures]
        clipped = max(float(one.mean()) for one in clip)
        inside = max((float(np.prod(piece.shape)) / clip[0].size for _, piece in block.pieces), default=0.0)
        if inside < limits.BLOCK_INSIDE:
            failed[place] = f"only {100 * inside:.0f} % of it lie on the chart"
        elif clipped > limits.BLOCK_CLIPPED:
            failed[place] = f"{100 * clipped:.1f} % of it are saturated"
        else:
            failed[place] = block.failed
        for channel, one in block.found.items():
            at = (*place, channel)
            psfs[at], error[at] = one.psf, one.error
            expected = np.sqrt(
                np.mean([v for shot, _ in block.pieces for v in shot.noise_variances(channel, grid.middle(place))])
            )
            residual[at] = one.noise / expected
            misfit[at] = np.sqrt(max(one.noise**2 - (NOISE_KNOWN * expected) ** 2, 0.0)) / one.signal
    return Estimates(psfs, centroids, Quality(error, misfit, residual, failed))
