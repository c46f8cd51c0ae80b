"""Light that falls on square pixels from a chart of flat cells, integrated over each pixel's area exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class CellIntegral:
    """Means of a chart over quadrilaterals.

    ``mean = (closed integral of F dy) / (closed integral of x dy)``, F(x, y) the chart's integral from 0 to x at y

    by Green's theorem. F is straight in x within a cell, so that the midpoint rule is exact on every piece of a side
    between two lines of the grid. Sides that neighbors share are integrated once.

    Args:
        cells: (rows, columns), the chart's value in each cell; cell (r, c) covers [c, c + 1] x [r, r + 1].
        outside: the value everywhere else.

    Raises:
        ValueError: cells is not (rows, columns), or empty.
    """

    def __init__(self, cells: npt.ArrayLike, outside: float) -> None:
        given = np.asarray(cells, dtype=np.float64) - outside
        if given.ndim != 2 or not given.size:
            raise ValueError(f"cells must have shape (rows, columns); found {given.shape}")
        self.outside = outside
        # A row of nothing above and below, a column of nothing on the right: places outside need no case of their own.
        self._cells = np.pad(given, ((1, 1), (0, 1)))
        self._sums = np.zeros_like(self._cells)
        self._sums[:, 1:] = np.cumsum(self._cells, axis=1)[:, :-1]

    def means(self, corners: Floats) -> Floats:
        """Mean over each quadrilateral of a grid.

        Args:
            corners: (h + 1, w + 1, 2), (x, y) in cells of the corners that the quadrilaterals share; NaN for a place
                that sees nothing of the chart's plane.

        Returns:
            (h, w); the value outside for a quadrilateral with such a corner.
        """
        seen = np.asarray(np.isfinite(corners).all(-1))
        x, y = (np.where(seen, corners[..., i], -1.0) for i in (0, 1))
        along_rows = self._along(x[:, :-1], y[:, :-1], x[:, 1:], y[:, 1:])
        along_columns = self._along(x[:-1], y[:-1], x[1:], y[1:])
        light, area = (_around(across, down) for across, down in zip(along_rows, along_columns, strict=True))
        whole = seen[:-1, :-1] & seen[:-1, 1:] & seen[1:, :-1] & seen[1:, 1:]
        return self.outside + np.divide(light, area, out=np.zeros_like(light), where=whole)

    def _along(self, x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> tuple[Floats, Floats]:
        """Integrals of F dy and of x dy along straight sides."""
        dx, dy = x1 - x0, y1 - y0
        cuts = _sorted(_crossings(x0, x1) + _crossings(y0, y1))
        total = np.zeros_like(x0)
        before = np.zeros_like(x0)
        for cut in [*cuts, np.ones_like(x0)]:
            middle = (before + cut) / 2
            total += (cut - before) * self._integral(x0 + middle * dx, y0 + middle * dy)
            before = cut
        return total * dy, (x0 + x1) / 2 * dy

    def _integral(self, x: Floats, y: Floats) -> Floats:
        rows, columns = self._cells.shape
        row = np.clip(np.floor(y).astype(np.int64) + 1, 0, rows - 1)
        x = np.clip(x, 0, columns - 1)
        column = x.astype(np.int64)
        at = row * columns + column
        found: Floats = self._sums.ravel()[at] + (x - column) * self._cells.ravel()[at]
        return found


def _around(across: Floats, down: Floats) -> Floats:
    """Sum over a quadrilateral's four sides: top, right, bottom and left, the last two backwards."""
    return across[:-1] + down[:, 1:] - across[1:] - down[:, :-1]


def _crossings(start: Floats, end: Floats) -> list[Floats]:
    """Where on the way from start (0) to end (1) whole numbers are passed; 1 where there are fewer than elsewhere."""
    first, last = np.floor(start), np.floor(end)
    way = end - start
    forward = way > 0
    found = []
    for k in range(int(np.abs(last - first).max(initial=0))):
        line = np.where(forward, first + 1 + k, first - k)
        cut = np.divide(line - start, way, out=np.ones_like(start), where=way != 0)
        found.append(np.clip(cut, 0.0, 1.0))
    return found


def _sorted(cuts: list[Floats]) -> list[Floats]:
    """The same places in rising order, side by side."""
    if len(cuts) < 2:
        return cuts
    if len(cuts) == 2:
        return [np.minimum(*cuts), np.maximum(*cuts)]
    return list(np.sort(np.stack(cuts), axis=0))
