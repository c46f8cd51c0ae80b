"""How much of each pixel's square is white."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.mapping import Mapping

_Array = npt.NDArray[np.float64]

_TILE = 256
"""Pixels of a tile's side: its arrays stay in the processor's cache, and a cubic spline follows the lens in it."""

_SMALLEST_TILE = 32
"""Pixels of a tile's side at which it is no longer divided."""

_NODES = 9
"""Places per side of a tile at which the map is inverted exactly."""


def white_fraction(
    chart: BernoulliChart, mapping: Mapping, rows: npt.ArrayLike, columns: npt.ArrayLike, aperture: float = 1.0
) -> _Array:
    """The integral of the chart over the square of every pixel, as a fraction of the square.

    ``f = 1/|Q| * integral of pattern over Q``, Q the square of side `aperture` about the pixel, mapped to the chart

    By Green's theorem the integral over the quadrilateral Q is a sum over its edges of integrals of the pattern's row
    sums. An edge is walked as a staircase whose steps follow the chart's axes; a step is a difference of two values of
    the pattern's summed-area table, exact within cells. Neighboring pixels share the staircase, so that no white is
    lost or counted twice. The more an edge slopes, the more steps it gets.

    Args:
        chart: the chart.
        mapping: where it lies.
        rows: (h,) rows of pixels, increasing, evenly spaced.
        columns: (w,) columns of pixels, increasing, evenly spaced.
        aperture: side of a pixel's light-sensitive square in pixels, > 0.

    Returns:
        (h, w) in [0, 1]; NaN where the square leaves the chart.
    """
    down, across = np.asarray(rows, dtype=np.float64), np.asarray(columns, dtype=np.float64)
    found = np.full((len(down), len(across)), np.nan)
    tiles = [
        (slice(i, i + _TILE), slice(j, j + _TILE))
        for i in range(0, len(down), _TILE)
        for j in range(0, len(across), _TILE)
    ]
    grids = [_Grid(down[tile[0]], across[tile[1]], aperture) for tile in tiles]
    nodes = _inverted(mapping, grids)
    table = _summed_area(chart)

    def fill(i: int) -> None:
        lost = np.isnan(nodes[i])
        if lost.any() and not lost.all() and min(grids[i].shape) > _SMALLEST_TILE:
            # The map has no inverse in a part of the tile: quarters lose less than the whole.
            y, x = down[tiles[i][0]], across[tiles[i][1]]
            parts = [
                [white_fraction(chart, mapping, rows, columns, aperture) for columns in np.array_split(x, 2)]
                for rows in np.array_split(y, 2)
            ]
            found[tiles[i]] = np.block(parts)
        else:
            found[tiles[i]] = _fractions(table, nodes[i], grids[i])

    # NumPy lets go of the interpreter in its loops, so that two threads are nearly twice as fast on whole tiles.
    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(fill, range(len(tiles))))
    return found


def window_fractions(
    chart: BernoulliChart, mapping: Mapping, centers: _Array, reach: npt.NDArray[np.int64]
) -> Iterator[_Array]:
    """`white_fraction` of small windows, one after the other: pixels at center + reach both ways, each (n, n).

    The map is inverted for all windows at once, which costs far less than one by one.

    Args:
        chart: the chart.
        mapping: where it lies.
        centers: (N, 2) middles (x, y), whole pixels.
        reach: (n,) steps from the middle, increasing by 1.
    """
    grids = [_Grid(y + reach.astype(np.float64), x + reach.astype(np.float64), 1.0) for x, y in centers]
    table = _summed_area(chart)
    for nodes, grid in zip(_inverted(mapping, grids), grids, strict=True):
        yield _fractions(table, nodes, grid)


def processors() -> int:
    """Threads worth starting."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class _Grid:
    """Squares of pixels in rows and columns: the coordinates of their edges, and which edges are whose."""

    def __init__(self, rows: _Array, columns: _Array, aperture: float) -> None:
        self.shape = (len(rows), len(columns))
        self.ys, self.top, self.bottom = _edges(rows, aperture)
        self.xs, self.left, self.right = _edges(columns, aperture)

    def nodes(self) -> _Array:
        """(_NODES^2, 2) places (x, y) at which the map is inverted exactly."""
        down = np.linspace(self.ys[0], self.ys[-1], _NODES)
        across = np.linspace(self.xs[0], self.xs[-1], _NODES)
        return np.stack([a.ravel() for a in np.meshgrid(across, down)], 1)

    def corners(self, nodes: _Array) -> tuple[_Array, _Array]:
        """Chart coordinates x and y at the crossings of all edges, interpolated by cubic splines, to about 1e-5 px."""
        left, right = _spline(_places(self.ys)), _spline(_places(self.xs))
        x, y = (left @ nodes[:, i].reshape(_NODES, _NODES) @ right.T for i in (0, 1))
        return x, y


def _inverted(mapping: Mapping, grids: list[_Grid]) -> _Array:
    """(number of grids, _NODES^2, 2) chart coordinates of the grids' nodes."""
    nodes = np.stack([grid.nodes() for grid in grids])
    return mapping.to_chart(nodes.reshape(-1, 2)).reshape(nodes.shape)


def _fractions(table: _Array, nodes: _Array, grid: _Grid) -> _Array:
    outside = np.full(grid.shape, np.nan)
    if np.isnan(nodes).any():
        return outside
    x, y = grid.corners(nodes)
    height, width = (side - 1 for side in table.shape)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    if not inside.any():
        return outside
    top, bottom, left, right = grid.top, grid.bottom, grid.left, grid.right
    x, y = np.clip(x, 0, width), np.clip(y, 0, height)
    steps = _steps(x, y)
    flat = table.ravel()
    sides = _staircase(flat, width, x[top], y[top], x[bottom], y[bottom], steps)
    lids = _staircase(flat, width, x[:, left], y[:, left], x[:, right], y[:, right], steps)
    white = lids[top] + sides[:, right] - lids[bottom] - sides[:, left]
    # The same walk over a pattern of nothing but white gives the area, by the trapezium rule along straight edges.
    upright = (x[bottom] + x[top]) / 2 * (y[bottom] - y[top])
    level = (x[:, right] + x[:, left]) / 2 * (y[:, right] - y[:, left])
    area = level[top] + upright[:, right] - level[bottom] - upright[:, left]
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.clip(white / area, 0.0, 1.0)
    whole = inside[top][:, left] & inside[top][:, right] & inside[bottom][:, left] & inside[bottom][:, right]
    return np.where(whole, fraction, np.nan)


def _edges(places: _Array, aperture: float) -> tuple[_Array, npt.NDArray[Any], npt.NDArray[Any]]:
    """Coordinates of the squares' edges, and which of them is each square's first and second; shared if they touch."""
    count = len(places)
    first, second = places - aperture / 2, places + aperture / 2
    if count > 1 and np.allclose(first[1:], second[:-1], atol=1e-9):
        return np.append(first, second[-1]), np.arange(count), np.arange(1, count + 1)
    return np.stack([first, second], 1).ravel(), np.arange(0, 2 * count, 2), np.arange(1, 2 * count, 2)


def _places(edges: _Array) -> bytes:
    """Where edges lie between the first and the last, in [0, 1], as something to look up."""
    return np.asarray(np.round((edges - edges[0]) / (edges[-1] - edges[0]), 12), dtype=np.float64).tobytes()


@lru_cache(maxsize=16)
def _spline(places: bytes) -> _Array:
    """(n, _NODES) weights of the nodes in a cubic spline at n places in [0, 1]."""
    at = np.frombuffer(places)
    return np.asarray(make_interp_spline(np.linspace(0, 1, _NODES), np.eye(_NODES))(at), dtype=np.float64)


def _steps(x: _Array, y: _Array) -> int:
    """Steps of the staircases: more where edges slope against the chart's axes."""
    slopes = []
    for axis in (0, 1):
        dx, dy = np.abs(np.diff(x, axis=axis)), np.abs(np.diff(y, axis=axis))
        if dx.size:
            slopes.append(float(np.minimum(dx, dy).max() / max(np.maximum(dx, dy).max(), 1e-12)))
    slope = max(slopes, default=0.0)
    return 1 if slope < 0.01 else 2 if slope < 0.1 else 3


def _staircase(flat: _Array, width: int, x0: _Array, y0: _Array, x1: _Array, y1: _Array, steps: int) -> _Array:
    """Integral of the pattern's row sums along edges, dy being the measure, each edge walked in so many steps."""
    total = np.zeros_like(x0)
    dx, dy = (x1 - x0) / steps, (y1 - y0) / steps
    for k in range(steps):
        x = x0 + (k + 0.5) * dx
        first = _looked_up(flat, width, x, y0 + k * dy)
        total += _looked_up(flat, width, x, y0 + (k + 1) * dy)
        total -= first
    return total


def _looked_up(flat: _Array, width: int, x: _Array, y: _Array) -> _Array:
    """The summed-area table, interpolated bilinearly (which is exact: the pattern is constant within a cell)."""
    column, row = x.astype(np.int32), y.astype(np.int32)
    u, v = x - column, y - row
    at = row * np.int32(width + 1)
    at += column
    # The last column and row of the table have no successor; there u or v is 0, and any value will do.
    found = flat.take(at)
    across = flat.take(at + 1, mode="clip")
    across -= found
    below = flat.take(at + (width + 1), mode="clip")
    corner = flat.take(at + (width + 2), mode="clip")
    corner -= below
    below -= found
    corner -= across
    corner *= u
    below += corner
    below *= v
    across *= u
    found += across
    found += below
    return found


@lru_cache(maxsize=2)
def _summed_area(chart: BernoulliChart) -> _Array:
    """(H + 1, W + 1): entry (r, c) is the sum of the pattern above row r and left of column c."""
    height, width = chart.shape
    table = np.zeros((height + 1, width + 1))
    np.cumsum(chart.pattern, axis=0, dtype=np.float64, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table
