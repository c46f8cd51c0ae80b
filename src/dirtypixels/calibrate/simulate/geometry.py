"""Where a chart lies in a picture, and the light that falls from its cells on each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """How a flat chart stands before the camera.

    Args:
        fill: part of the frame that the chart spans, width or height, whichever is tighter; above 1 it reaches beyond
            the frame. Measured before the chart is tilted.
        rotation: in degrees in the plane of the chart, clockwise in the picture.
        tilt: (about the horizontal, about the vertical axis) in degrees; positive turns the chart's lower and its
            right edge away from the camera.
        offset: (x, y) of the chart's center from the frame's, in widths and heights of the frame.

    Raises:
        ValueError: fill is not above 0, a tilt is 80 degrees or more, or a figure is not finite.
    """

    fill: float = 0.95
    rotation: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        figures = (self.fill, self.rotation, *self.tilt, *self.offset)
        if not all(map(math.isfinite, figures)):
            raise ValueError(f"fill, rotation, tilt and offset must be finite; found {figures}")
        if self.fill <= 0:
            raise ValueError(f"fill must be above 0; found {self.fill:g}")
        if max(map(abs, self.tilt)) >= 80:
            raise ValueError(f"tilt must be within 80 degrees; found {self.tilt}")


class View:
    """The mapping between a chart and a picture of it, both ways.

    ``p = K [R | t] X`` without distortion, then ``d = c + (p - c) (1 + k1 r^2 + k2 r^4)``, ``r = |p - c| / h``, with c
    the frame's center and h half its diagonal. Pixel centers are at integers; cell (row, column) of the chart covers
    [column, column + 1] x [row, row + 1].

    Args:
        chart: (rows, columns) of the chart, in cells.
        frame: (height, width) of the picture, in pixels.
        pose: how the chart stands.
        focal: focal length of the lens, in diagonals of the frame (1: a "normal" lens).
        distortion: (k1, k2); k1 + k2 is the relative shift in the frame's corners, below 0 for a barrel.

    Raises:
        ValueError: focal is not above 0, the distortion folds the picture over, or the picture shows the horizon of
            the chart's plane.
    """

    def __init__(
        self,
        chart: tuple[int, int],
        frame: tuple[int, int],
        pose: Pose,
        focal: float = 1.0,
        distortion: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        if not (math.isfinite(focal) and focal > 0):
            raise ValueError(f"focal must be above 0; found {focal}")
        if len(distortion) != 2 or not all(map(math.isfinite, distortion)):
            raise ValueError(f"distortion must be two finite numbers (k1, k2); found {distortion}")
        self.chart, self.frame, self.pose, self.distortion = chart, frame, pose, distortion
        self.center = np.array([(frame[1] - 1) / 2, (frame[0] - 1) / 2])
        self.half_diagonal = math.hypot(*frame) / 2
        self.homography = self._homography(2 * self.half_diagonal * focal)
        height, width = frame
        corners = np.array([[x, y] for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
        if not np.isfinite(self.to_chart(corners)).all():
            raise ValueError(f"pose {pose} shows the horizon of the chart's plane; tilt it less or fill less")

    def to_image(self, points: npt.ArrayLike) -> Floats:
        """Chart (x, y) in cells, (..., 2), to picture (x, y) in pixels; NaN behind the camera or beyond the lens."""
        straight = _projected(self.homography, np.asarray(points, dtype=np.float64)) - self.center
        radius = np.hypot(straight[..., 0], straight[..., 1]) / self.half_diagonal
        with np.errstate(invalid="ignore"):
            scale = np.where(radius < self._one_to_one[0][-1], self._scale(radius**2), np.nan)
        found: Floats = self.center + straight * scale[..., None]
        return found

    def to_chart(self, points: npt.ArrayLike) -> Floats:
        """Picture (x, y) in pixels, (..., 2), to chart (x, y) in cells; NaN where the picture shows no such plane."""
        bent = np.asarray(points, dtype=np.float64) - self.center
        return _projected(self._inverse, bent * self._straightened(bent)[..., None] + self.center)

    @cached_property
    def _inverse(self) -> Floats:
        found = np.linalg.inv(self.homography)
        # The sign that makes the frame's center, which looks at the plane from the front, positive.
        found *= np.sign(found[2] @ [*self.center, 1.0])
        return np.asarray(found)

    def _homography(self, focal_px: float) -> Floats:
        rows, columns = self.chart
        height, width = self.frame
        down, aside = self.pose.tilt
        turned = Rotation.from_euler("XYZ", (down, -aside, self.pose.rotation), degrees=True).as_matrix()
        flat = np.abs(Rotation.from_euler("Z", self.pose.rotation, degrees=True).as_matrix()[:2, :2])
        cell = self.pose.fill * min(np.array([width, height]) / (flat @ [columns, rows])) / focal_px
        plane = turned[:, :2] * cell
        shift = [self.pose.offset[0] * width / focal_px, self.pose.offset[1] * height / focal_px, 1.0]
        pose = np.column_stack([plane, np.array(shift) - plane @ [columns / 2, rows / 2]])
        lens = np.array([[focal_px, 0, self.center[0]], [0, focal_px, self.center[1]], [0, 0, 1]])
        return np.asarray(lens @ pose)

    def _scale(self, squared: Floats) -> Floats:
        return 1 + squared * (self.distortion[0] + squared * self.distortion[1])

    def _slope(self, squared: Floats) -> Floats:
        return 1 + squared * (3 * self.distortion[0] + squared * 5 * self.distortion[1])

    @cached_property
    def _one_to_one(self) -> tuple[Floats, Floats]:
        """Radii up to which the distortion is one to one, and where they land, in half diagonals."""
        radius = np.linspace(0, 8, 8001)  # farther out nothing is asked of it
        radius = radius[np.logical_and.accumulate(self._slope(radius**2) > 0)]
        lands = radius * self._scale(radius**2)
        if lands[-1] < 1.05:
            raise ValueError(f"distortion {self.distortion} folds the picture over inside the frame; make it smaller")
        return radius, lands

    def _straightened(self, bent: Floats) -> Floats:
        """The factor from a distorted place to the straight one, both counted from the center."""
        if self.distortion == (0.0, 0.0):
            return np.ones(bent.shape[:-1])
        wanted = np.hypot(bent[..., 0], bent[..., 1]) / self.half_diagonal
        radii, lands = self._one_to_one
        radius = np.interp(wanted, lands, radii, right=np.nan)
        for _ in range(4):  # Newton's steps: from a thousandth, the error is squared by each
            error = radius * self._scale(radius**2) - wanted
            radius = np.clip(radius - error / np.maximum(self._slope(radius**2), 1e-3), 0, radii[-1])
        return np.divide(radius, wanted, out=np.ones_like(wanted), where=wanted != 0)


def _projected(matrix: Floats, points: Floats) -> Floats:
    x, y = points[..., 0], points[..., 1]
    u, v, w = ((row[0] * x + row[1] * y + row[2]) for row in matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        w = np.where(w > 0, w, np.nan)
    return np.stack([u / w, v / w], -1)


def pixel_corners(rows: range, columns: range) -> Floats:
    """Picture coordinates (x, y) of the corners of a rectangle of pixels, (len(rows) + 1, len(columns) + 1, 2)."""
    x = np.arange(columns.start, columns.stop + 1) - 0.5
    y = np.arange(rows.start, rows.stop + 1) - 0.5
    return np.stack(np.meshgrid(x, y), -1)


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
        light, area = (  # over the four sides: top, right, bottom and left, the last two backwards
            across[:-1] + down[:, 1:] - across[1:] - down[:, :-1]
            for across, down in zip(along_rows, along_columns, strict=True)
        )
        whole = seen[:-1, :-1] & seen[:-1, 1:] & seen[1:, :-1] & seen[1:, 1:]
        return self.outside + np.divide(light, area, out=np.zeros_like(light), where=whole)

    def _along(self, x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> tuple[Floats, Floats]:
        """Integrals of F dy and of x dy along straight sides."""
        dx, dy = x1 - x0, y1 - y0
        total, before = np.zeros_like(x0), np.zeros_like(x0)
        for cut in np.sort([*_crossings(x0, x1), *_crossings(y0, y1), np.ones_like(x0)], axis=0):
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


def _crossings(start: Floats, end: Floats) -> list[Floats]:
    """Where on the way from start (0) to end (1) whole numbers are passed; 1 where there are fewer than elsewhere."""
    first, last = np.floor(start), np.floor(end)
    way = end - start
    forward = way > 0
    found = []
    for k in range(int(np.abs(last - first).max(initial=0))):
        line = np.where(forward, first + 1 + k, first - k)
        found.append(np.clip(np.divide(line - start, way, out=np.ones_like(start), where=way != 0), 0.0, 1.0))
    return found
