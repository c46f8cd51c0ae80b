"""PSFs of all blocks and colors from captures that are aligned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf import variation
from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.mapping import Mapping, displaced
from dirtypixels.calibrate.psf.normal import Normal, normal_equations, packed, right_side, unpacked
from dirtypixels.calibrate.psf.quality import MOST_RESIDUAL, Quality, filled
from dirtypixels.calibrate.psf.shots import Piece, Shot
from dirtypixels.calibrate.psf.solve import Estimate, solve
from dirtypixels.calibrate.psf.threads import side_by_side
from dirtypixels.camera import NoiseLevel

Floats = npt.NDArray[np.float64]
Place = tuple[int, int]
T = TypeVar("T")

USABLE_ERROR = 0.3
"""Predicted relative error up to which a PSF may say something of its neighbors."""

EXTRAPOLATED = 0.5
"""Error of what is extrapolated from the part of a block that shows the chart to its middle, relative to it."""

NOISE_KNOWN = 1.05
"""Residual over the expected noise up to which the noise alone explains it."""

LOOKS, FAR_PX = 3, 0.1
"""How often the centroid of a block is looked for that lies farther from the middle than so many pixels."""

GREEN = ("Gr", "Gb", "Y")
COLORS = {"R": 0, "G": 1, "B": 2, "Y": 0}


@dataclass(frozen=True, eq=False)
class Estimates:
    """PSFs of all blocks.

    Args:
        psfs: (R, C, channels, k, k); NaN where none was found.
        centroids: (R, C, 2) (x, y) by which the sharp correspondence was moved, in pixels.
        quality: of the blocks.
    """

    psfs: Floats
    centroids: Floats
    quality: Quality


class _Block:
    """What is known of a block: its pieces of the captures, and for each color the equations' matrix and the PSF.

    Its `middle` is that of the pieces, (row, column) in the frame: the place that its first PSFs belong to.
    """

    def __init__(self, pieces: list[tuple[Shot, Piece]]) -> None:
        self.pieces = pieces
        area = [float(np.prod(piece.shape)) for _, piece in pieces] or [1.0]
        places = [np.add(piece.start, np.subtract(piece.shape, 1) / 2) for _, piece in pieces] or [np.zeros(2)]
        self.middle = np.average(places, 0, area)
        self.matrices: dict[int, npt.NDArray[np.float32]] = {}
        self.counts: dict[int, int] = {}
        self.found: dict[int, Estimate] = {}
        self.extrapolated: dict[int, float] = {}
        self.failed = ""


def estimate(
    shots: Sequence[Shot],
    grid: Blocks,
    size: int,
    aperture: float = 1.0,
    noise: NoiseLevel | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Estimates:
    """The PSFs of each block, see `field.psf_field`.

    Args:
        shots: captures of one camera.
        grid: the blocks.
        size: of the PSFs, odd.
        aperture: of a pixel, in pixels.
        noise: of the captures, in units of the signal; None takes that of the chart's flat squares.
        progress: called with blocks done and blocks in all, three passes.
    """
    done = 0
    places = list(np.ndindex(grid.rows, grid.columns))

    def over(work: Callable[[Place], T], some: list[Place] | None = None) -> dict[Place, T]:
        nonlocal done
        wanted = places if some is None else some
        results = {}
        with side_by_side() as pool:
            for place, result in zip(wanted, pool.map(work, wanted), strict=True):
                results[place] = result
                done += some is None
                if progress is not None:
                    progress(done, 3 * len(places))
        return results

    def pieces(place: Place, maps: Sequence[Mapping]) -> list[tuple[Shot, Piece]]:
        cut = [shot.piece(grid.of(place), size, where, aperture) for shot, where in zip(shots, maps, strict=True)]
        return [(shot, piece) for shot, piece in zip(shots, cut, strict=True) if piece is not None]

    def moved_by(shifts: Floats) -> list[Mapping]:
        return [displaced(shot.alignment.mapping, *grid.middles, -shifts) for shot in shots]

    def first_look(maps: Sequence[Mapping], place: Place) -> Estimate | None:
        return _first_look(pieces(place, maps), size)

    todo: list[Place] | None = None
    centroids = np.zeros((grid.rows, grid.columns, 2))
    for _ in range(LOOKS):
        seen = over(partial(first_look, moved_by(centroids)), todo)
        centroids = _moved(centroids, seen)
        # A PSF far off its middle is cut by the window of taps, and its centroid falls short.
        todo = [place for place in places if np.hypot(*centroids[place]) > FAR_PX]
        if not todo:
            break
    moved = moved_by(centroids)
    blocks = over(lambda place: _solved_alone(pieces(place, moved), size))
    usable = _usable(blocks)
    blocks = over(lambda place: _solved_beside(place, blocks, usable, grid, size))
    channels = 1 if shots[0].cfa is None else 3
    psfs = np.full((grid.rows, grid.columns, channels, size, size), np.nan)
    for place, block in blocks.items():
        for channel, one in block.found.items():
            psfs[(*place, channel)] = one.psf
    return Estimates(psfs, centroids, _quality(shots, grid, blocks, channels, noise))


def _first_look(pieces: list[tuple[Shot, Piece]], size: int) -> Estimate | None:
    """A PSF for green in a block; None where there is none."""
    total: Normal | None = None
    for shot, piece in pieces:
        for samples in shot.samples(piece, GREEN):
            normal = normal_equations(piece.sharp, samples.values, size, samples.place, samples.step)
            total = normal if total is None else total + normal
    if total is None:
        return None
    try:
        return solve(total, 1)
    except ValueError:
        return None


def centroid(psf: Floats) -> Floats:
    """(x, y) of a PSF's centroid, from its middle, in taps."""
    at = np.arange(psf.shape[-1]) - psf.shape[-1] // 2
    return np.array([(psf.sum(-2) * at).sum(-1), (psf.sum(-1) * at).sum(-1)])


def _moved(centroids: Floats, seen: dict[Place, Estimate | None]) -> Floats:
    """Centroids (R, C, 2) and what was seen to be left of them; where nothing is known, those of the neighbors."""
    known = np.ones(centroids.shape[:2], dtype=bool)
    found = centroids.copy()
    good = _good([one for one in seen.values() if one is not None])
    for place, one in seen.items():
        known[place] = one is not None and good(one)
        found[place] += 0.0 if one is None else centroid(one.psf)
    return filled(found, known) if known.any() else centroids


def _good(estimates: list[Estimate]) -> Callable[[Estimate], bool]:
    """Whether an estimate says something of its neighbors: it is no guess, and nothing but the chart was seen."""
    usual = float(np.median([one.noise for one in estimates])) if estimates else 0.0
    return lambda one: one.error < USABLE_ERROR and one.noise < MOST_RESIDUAL * usual


def _usable(blocks: dict[Place, _Block]) -> set[Place]:
    """Blocks whose PSFs say something of their neighbors', in all colors."""
    found = {place for place, block in blocks.items() if not block.failed}
    for channel in {channel for place in found for channel in blocks[place].found}:
        good = _good([blocks[place].found[channel] for place in found])
        found = {place for place in found if good(blocks[place].found[channel])}
    return found


def _solved_alone(pieces: list[tuple[Shot, Piece]], size: int) -> _Block:
    """A block with equations and PSF of each color, the PSF taken to be the same all over it."""
    block = _Block(pieces)
    normals: dict[int, Normal] = {}
    for shot, piece in block.pieces:
        for samples in shot.samples(piece):
            normal = normal_equations(piece.sharp, samples.values, size, samples.place, samples.step)
            channel = COLORS[samples.plane[0]]
            normals[channel] = normal if channel not in normals else normals[channel] + normal
    if not block.pieces:
        block.failed = "no part of it lies on the chart"
    for channel, normal in normals.items():
        # All matrices of a field are kept; rounding to single precision is far below the noise.
        block.matrices[channel], block.counts[channel] = packed(normal.matrix), normal.count
        try:
            block.found[channel] = solve(normal, 1)
        except ValueError as error:
            block.failed = str(error)
    return block


def _solved_beside(place: Place, blocks: dict[Place, _Block], usable: set[Place], grid: Blocks, size: int) -> _Block:
    """A block with PSFs for its middle: what their change away from it does is taken away from the samples."""
    block = blocks[place]
    beside = _Block(block.pieces)
    beside.failed = block.failed
    if block.failed:
        return beside
    slopes = {channel: _slopes(place, channel, blocks, usable) for channel in block.found}
    middle = (float(grid.middles[0][place[0]]), float(grid.middles[1][place[1]]))
    sides: dict[int, tuple[Floats, float]] = {}
    for shot, piece in block.pieces:
        blurred = variation.blurred(piece.sharp, np.concatenate(list(slopes.values())))
        steps = dict(zip(slopes, blurred.reshape(-1, 2, *piece.shape), strict=True))
        for samples in shot.samples(piece):
            channel = COLORS[samples.plane[0]]
            values = samples.values - variation.change(steps[channel], samples, piece, middle)
            vector, energy = right_side(piece.sharp, values, size, samples.place, samples.step)
            before = sides.get(channel, (np.zeros_like(vector), 0.0))
            sides[channel] = (before[0] + vector, before[1] + energy)
    for channel, (vector, energy) in sides.items():
        normal = Normal(unpacked(block.matrices.pop(channel)), vector, energy, block.counts[channel])
        try:
            found = solve(normal, 1, block.found[channel])
        except ValueError as error:
            beside.failed = str(error)
            continue
        aside = np.tensordot(np.subtract(middle, block.middle), slopes[channel], 1)
        beside.found[channel] = found
        beside.extrapolated[channel] = float(np.linalg.norm(aside) / np.linalg.norm(found.psf))
    return beside


def _slopes(place: Place, channel: int, blocks: dict[Place, _Block], usable: set[Place]) -> Floats:
    def of(other: Place) -> tuple[Floats, Floats] | None:
        return (blocks[other].middle, blocks[other].found[channel].psf) if other in usable else None

    i, j = place
    own = blocks[place].middle, blocks[place].found[channel].psf
    return variation.slopes(own, [(of((i + 1, j)), of((i - 1, j))), (of((i, j + 1)), of((i, j - 1)))])


def _quality(
    shots: Sequence[Shot], grid: Blocks, blocks: dict[Place, _Block], channels: int, noise: NoiseLevel | None
) -> Quality:
    shape = (grid.rows, grid.columns)
    error, residual, misfit = (np.full((*shape, channels), np.nan) for _ in range(3))
    inside, clipped, failed = np.zeros(shape), np.zeros(shape), np.full(shape, "", dtype=object)
    for place, block in blocks.items():
        rows, columns = grid.of(place)
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        inside[place] = max((piece.shape[0] * piece.shape[1] / pixels for _, piece in block.pieces), default=0.0)
        clipped[place] = max(shot.clipped((rows, columns)) for shot in shots)
        failed[place] = block.failed
        middle = ((rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2)
        for channel, one in block.found.items():
            error[(*place, channel)] = np.hypot(one.error, EXTRAPOLATED * block.extrapolated[channel])
            expected = _expected_noise([shot for shot, _ in block.pieces], channel, middle, noise)
            residual[(*place, channel)] = one.noise / expected
            more = max(one.noise**2 - (NOISE_KNOWN * expected) ** 2, 0.0)
            misfit[(*place, channel)] = np.sqrt(more) / one.signal
    return Quality(error, misfit, residual, inside, clipped, failed)


def _expected_noise(
    shots: Iterable[Shot], channel: int, middle: tuple[float, float], noise: NoiseLevel | None
) -> float:
    """Standard deviation of a sample of a color, in parts of white less black, in a block's middle."""
    variances = []
    for shot in shots:
        for plane, tone in shot.tones.items():
            if COLORS[plane[0]] != channel:
                continue
            black, contrast = shot.step_at(plane, middle)
            if noise is None:
                variance = tone.noise.variance(black + contrast / 2)
            else:
                alpha, sigma = (float(np.broadcast_to(np.asarray(v), (3,))[channel]) for v in noise)
                variance = max(alpha * (black + contrast / 2), 0.0) + sigma**2
            variances.append(variance / contrast**2)
    return float(np.sqrt(np.mean(variances)))
