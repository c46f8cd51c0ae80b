"""How much of each pixel's square is white."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RectBivariateSpline

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.mapping import ToChart

_Array = npt.NDArray[np.float64]

_TILE = 256
"""Pixels of a tile's side: its arrays stay in the processor's cache, and a cubic spline follows the lens in it."""

_SMALLEST_TILE = 32
"""Pixels of a tile's side at which it is no longer divided."""

_NODES = 9
"""Places per side of a tile at which the map is inverted exactly."""


def white_fraction(
    chart: BernoulliChart, mapping: ToChart, rows: npt.NDArray[Any], columns: npt.NDArray[Any], aperture: float = 1.0
) -> _Array:
    """The integral of the chart over the square of every pixel, as a fraction of the square.

    ``f = 1/|Q| * integral of pattern over Q``, Q the square of side `aperture` about the pixel, mapped to the chart

    By Green's theorem the integral over the quadrilateral Q is a sum over its edges of integrals of the pattern's row
    sums. An edge is walked as a staircase whose steps follow the chart's axes; a step is a difference of two values of
    the pattern's summed-area table, exact within cells. Neighboring pixels share the staircase, so that no white is
    lost or counted twice. The more an edge slopes, the more steps it gets.

    Args:
        chart, mapping: what lies where.
        rows: (h,) rows of pixels, increasing, evenly spaced.
        columns: (w,) columns of pixels, increasing, evenly spaced.
        aperture: side of a pixel's light-sensitive square in pixels, > 0.

    Returns:
        (h, w) in [0, 1]; NaN where the square leaves the chart.
    """
    grid = _Grid(rows, columns, aperture)
    if max(grid.shape) <= _TILE:
        (nodes,) = _inverted(mapping, [grid])
        lost = np.isnan(nodes)
        if not lost.any() or lost.all() or max(grid.shape) <= _SMALLEST_TILE:
            return _fractions(_summed_area(chart), nodes, grid)
    # Too large to follow the lens in it, or the map has no inverse in a part of it: quarters lose less than the whole.
    down, across = (np.array_split(lines, 2 if len(lines) > _SMALLEST_TILE else 1) for lines in (rows, columns))
    return np.block([[white_fraction(chart, mapping, some, others, aperture) for others in across] for some in down])


def window_fractions(
    chart: BernoulliChart, mapping: ToChart, centers: _Array, reach: npt.NDArray[np.int64]
) -> Iterator[_Array]:
    """`white_fraction` of small windows, one after the other: pixels at center + reach both ways, each (n, n).

    The map is inverted for all windows at once, which costs far less than one by one. Centers (N, 2) are whole pixels
    (x, y), `reach` (n,) steps from there, increasing by 1.
    """
    grids = [_Grid(y + reach, x + reach, 1.0) for x, y in centers]
    table = _summed_area(chart)
    for nodes, grid in zip(_inverted(mapping, grids), grids, strict=True):
        yield _fractions(table, nodes, grid)


class _Grid:
    """Squares of pixels in rows and columns: the coordinates of their edges, and which edges are whose."""

    def __init__(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any], aperture: float) -> None:
        self.shape = (len(rows), len(columns))
        self.ys, self.top, self.bottom = _edges(rows, aperture)
        self.xs, self.left, self.right = _edges(columns, aperture)
        # where the map is inverted exactly
        self.down, self.across = (np.linspace(edges[0], edges[-1], _NODES) for edges in (self.ys, self.xs))


def _inverted(mapping: ToChart, grids: list[_Grid]) -> _Array:
    """(number of grids, 2, _NODES, _NODES) chart coordinates x and y of the grids' nodes."""
    nodes = np.array([np.meshgrid(grid.across, grid.down) for grid in grids])
    found = mapping.to_chart(np.moveaxis(nodes, 1, -1).reshape(-1, 2))
    return np.moveaxis(found.reshape(len(grids), _NODES, _NODES, 2), -1, 1)


def _fractions(table: _Array, nodes: _Array, grid: _Grid) -> _Array:
    """(h, w) of `white_fraction` for one grid, the map interpolated by cubic splines, to about 1e-5 px."""
    if np.isnan(nodes).any():
        return np.full(grid.shape, np.nan)
    x, y = (RectBivariateSpline(grid.down, grid.across, node)(grid.ys, grid.xs) for node in nodes)
    height, width = (side - 1 for side in table.shape)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    top, bottom, left, right = grid.top, grid.bottom, grid.left, grid.right
    x, y = np.clip(x, 0, width), np.clip(y, 0, height)
    steps = _steps(x, y)
    sides = _staircase(table, x[top], y[top], x[bottom], y[bottom], steps)
    lids = _staircase(table, x[:, left], y[:, left], x[:, right], y[:, right], steps)
    white = lids[top] + sides[:, right] - lids[bottom] - sides[:, left]
    # The same walk over a pattern of nothing but white gives the area, by the trapezium rule along straight edges.
    upright = (x[bottom] + x[top]) / 2 * (y[bottom] - y[top])
    level = (x[:, right] + x[:, left]) / 2 * (y[:, right] - y[:, left])
    area = level[top] + upright[:, right] - level[bottom] - upright[:, left]
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.clip(white / area, 0.0, 1.0)
    whole = inside[top][:, left] & inside[top][:, right] & inside[bottom][:, left] & inside[bottom][:, right]
    return np.where(whole, fraction, np.nan)


def _edges(places: npt.NDArray[Any], aperture: float) -> tuple[_Array, npt.NDArray[Any], npt.NDArray[Any]]:
    """Coordinates of the squares' edges, and which of them is each square's first and second; shared if they touch."""
    count = len(places)
    first, second = places - aperture / 2, places + aperture / 2
    if count > 1 and np.allclose(first[1:], second[:-1], atol=1e-9):
        return np.append(first, second[-1]), np.arange(count), np.arange(1, count + 1)
    return np.stack([first, second], 1).ravel(), np.arange(0, 2 * count, 2), np.arange(1, 2 * count, 2)


def _steps(x: _Array, y: _Array) -> int:
    """Steps of the staircases: more where edges slope against the chart's axes."""
    changes = [[np.abs(np.diff(at, axis=axis)) for at in (x, y)] for axis in (0, 1)]
    slope = max(np.minimum(*both).max() / max(np.maximum(*both).max(), 1e-12) for both in changes)
    return 1 if slope < 0.01 else 2 if slope < 0.1 else 3


def _staircase(table: _Array, x0: _Array, y0: _Array, x1: _Array, y1: _Array, steps: int) -> _Array:
    """Integral of the pattern's row sums along edges, dy being the measure, each edge walked in so many steps."""
    total = np.zeros_like(x0)
    dx, dy = (x1 - x0) / steps, (y1 - y0) / steps
    for k in range(steps):
        x = x0 + (k + 0.5) * dx
        total += _looked_up(table, x, y0 + (k + 1) * dy) - _looked_up(table, x, y0 + k * dy)
    return total


def _looked_up(table: _Array, x: _Array, y: _Array) -> _Array:
    """The summed-area table, interpolated bilinearly (which is exact: the pattern is constant within a cell)."""
    flat, width = table.ravel(), table.shape[1]
    column, row = x.astype(np.int32), y.astype(np.int32)
    u, v = x - column, y - row
    at = row * width + column
    # The last column and row of the table have no successor; there u or v is 0, and any value will do.
    above, below = (
        flat.take(at + down, mode="clip") * (1 - u) + flat.take(at + down + 1, mode="clip") * u for down in (0, width)
    )
    return np.asarray(above + v * (below - above))


@lru_cache(maxsize=2)
def _summed_area(chart: BernoulliChart) -> _Array:
    """(H + 1, W + 1): entry (r, c) is the sum of the pattern above row r and left of column c."""
    height, width = chart.shape
    table = np.zeros((height + 1, width + 1))
    np.cumsum(chart.pattern, axis=0, dtype=np.float64, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table
