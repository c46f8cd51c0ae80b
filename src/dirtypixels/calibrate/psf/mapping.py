"""The map from a chart's plane to a picture: perspective, lens distortion, a smooth rest, and shifts of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline
from scipy.optimize import least_squares

Points = npt.NDArray[np.float64]

_POINTS_NEEDED = ((30, 7), (16, 4), (10, 1))
"""From how many points on so many distortion coefficients are fitted, in the order of `_ORDER`."""

_ORDER = (0, 1, 3, 4, 2, 5, 6)
"""k1, k2, p1, p2, k3, cx, cy: k3 and the center need many points."""


class ToChart(Protocol):
    """What leads from the picture to the chart."""

    def to_chart(self, points: npt.ArrayLike) -> Points:
        """(N, 2) pixels (x, y) to chart coordinates; NaN where no point of the chart's plane is seen."""


@dataclass(frozen=True, eq=False)
class Mapping:
    """Chart coordinates X to pixels p.

    ``x = (h X) / (h_3 X)``, ``r^2 = |x - m|^2``,
    ``p = c + s * (m + (x - m)(1 + k1 r^2 + k2 r^4 + k3 r^6) + tangential(p1, p2)) + rest(X)``

    with c the middle of the picture, s half its diagonal in pixels, m the center of distortion.

    Args:
        size: (height, width) of the picture in pixels.
        homography: (3, 3), chart coordinates to picture coordinates in units of s about c.
        distortion: (7,) k1, k2, k3, p1, p2, and m = (cx, cy) in units of s.
        rest: a smooth further displacement in pixels, or None.

    Source: Brown, "Decentering distortion of lenses", 1966 (radial and tangential terms).
    """

    size: tuple[int, int]
    homography: Points
    distortion: Points
    rest: Rest | None = None

    def to_image(self, points: npt.ArrayLike) -> Points:
        """(N, 2) chart coordinates to pixels; NaN for points behind the camera."""
        found = as_points(points)
        image = _forward(found, self.homography, self.distortion) * scale_of(self.size) + middle_of(self.size)
        return image if self.rest is None else image + self.rest(found)

    def to_chart(self, points: npt.ArrayLike) -> Points:
        """(N, 2) pixels to chart coordinates by Newton's method, to 1e-7 px; NaN where it finds no such point."""
        wanted = as_points(points)
        start = (wanted - middle_of(self.size)) / scale_of(self.size)
        found = _project(start, np.asarray(np.linalg.inv(self.homography), dtype=np.float64))
        for turn in range(40):
            missed = wanted - self.to_image(found)
            if not (np.abs(missed) > 1e-8).any():
                break
            if turn % 4 == 0:  # slopes change little from step to step and cost four maps
                a, b, c, d = self._slopes(found)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = np.stack([d * missed[:, 0] - b * missed[:, 1], a * missed[:, 1] - c * missed[:, 0]], 1)
                found = found + step / (a * d - b * c)[:, None]
        # Where a polynomial folds back, points beyond the fold are seen mirrored or upside down: solutions, but no
        # places of the chart. Against perspective alone the map must neither mirror (determinant) nor turn (trace).
        a, b, c, d = self._slopes(found)
        e, f, g, h = Mapping(self.size, self.homography, np.zeros(7))._slopes(found)
        plain = e * h - f * g
        upright = ((a * d - b * c) * plain > 0) & ((a * h - b * g - c * f + d * e) * plain > 0)
        with np.errstate(invalid="ignore"):
            found[~((np.abs(wanted - self.to_image(found)) < 1e-6).all(1) & upright)] = np.nan
        return found

    def cell_px(self, points: npt.ArrayLike) -> Points:
        """(N,) width of a cell in pixels at chart coordinates (N, 2): the root of the map's local area."""
        a, b, c, d = self._slopes(as_points(points))
        return np.asarray(np.sqrt(np.abs(a * d - b * c)), dtype=np.float64)

    def _slopes(self, points: Points) -> tuple[Points, Points, Points, Points]:
        """Central differences: dx/dX, dx/dY, dy/dX, dy/dY, each (N,)."""
        right, below = np.array([1e-3, 0.0]), np.array([0.0, 1e-3])
        a, c = ((self.to_image(points + right) - self.to_image(points - right)) / 2e-3).T
        b, d = ((self.to_image(points + below) - self.to_image(points - below)) / 2e-3).T
        return a, b, c, d


class Rest:
    """A smooth displacement over the chart: a cubic tensor B-spline, about one knot per `spacing` cells.

    Paper that is not flat and lenses that no polynomial describes move points by fractions of a pixel; both do so
    smoothly. A weak penalty on second differences of the coefficients keeps it still where nothing was measured.

    Args:
        chart: (N, 2) chart coordinates of measured displacements.
        displacement: (N, 2) in pixels.
        weight: (N,) weights, >= 0.
        shape: (height, width) of the chart in cells, as is the distance of knots, `spacing`.
    """

    def __init__(
        self, chart: Points, displacement: Points, weight: Points, shape: tuple[int, int], spacing: float
    ) -> None:
        inner = [np.linspace(0.0, side, max(1, round(side / spacing)) + 1) for side in (shape[1], shape[0])]
        self._knots = [np.pad(knots, 3, mode="edge") for knots in inner]
        across, down = self._weights(chart)
        columns, rows = across.shape[1], down.shape[1]
        design = (across[:, :, None] * down[:, None, :]).reshape(len(chart), -1)
        bends = [d.T @ d for d in (np.diff(np.eye(n), 2, axis=0) for n in (columns, rows))]
        bend = np.kron(bends[0], np.eye(rows)) + np.kron(np.eye(columns), bends[1])
        weighted = design * weight[:, None]
        normal = design.T @ weighted + 1e-5 * weight.sum() / (columns * rows) * bend
        found = np.linalg.solve(normal + 1e-12 * np.trace(normal) * np.eye(len(normal)), weighted.T @ displacement)
        self._coefficients = found.reshape(columns, rows, 2)

    def __call__(self, points: Points) -> Points:
        across, down = self._weights(points)
        return np.stack([((across @ self._coefficients[..., i]) * down).sum(1) for i in (0, 1)], 1)

    def _weights(self, points: Points) -> list[Points]:
        # Beyond the chart the displacement of its edge goes on; NaN (a point behind the camera) counts as an edge.
        places = (np.clip(np.nan_to_num(at), 0.0, k[-1]) for at, k in zip(points.T, self._knots, strict=True))
        return [BSpline.design_matrix(at, k, 3).toarray() for at, k in zip(places, self._knots, strict=True)]


@dataclass(frozen=True, eq=False)
class Displaced:
    """A map that shows at pixel p what the plain one shows at ``p + shift(p)``, bilinear between the middles of blocks.

    That is how PSFs are moved onto their centroids c, without interpolating them: for shift = -c the sharp
    correspondence lies c further on, and what the PSF has to move is c less.

    Args:
        plain: the map that is moved.
        rows: (R,) rows of the blocks' middles in pixels, increasing.
        columns: (C,) columns of the blocks' middles.
        shifts: (R, C, 2) shift (x, y) in pixels in each middle; beyond the outermost it stays the same.
    """

    plain: Mapping
    rows: Points
    columns: Points
    shifts: Points

    def to_chart(self, points: npt.ArrayLike) -> Points:
        """(N, 2) pixels (x, y) to chart coordinates; NaN where no point of the chart's plane is seen."""
        found = as_points(points)
        down, across = hats(self.rows, found[:, 1]), hats(self.columns, found[:, 0])
        return self.plain.to_chart(found + np.einsum("nr,nc,rcd->nd", down, across, self.shifts))


def hats(nodes: Points, at: Points) -> Points:
    """(N, nodes) weights of linear interpolation between nodes, constant beyond the outermost."""
    place = np.interp(at, nodes, np.arange(len(nodes)))
    return np.asarray(np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(len(nodes)))))


def fit(
    chart: Points,
    image: Points,
    size: tuple[int, int],
    start: Mapping | None = None,
    weight: Points | None = None,
    outlier_px: float = 1.0,
    most: int = len(_ORDER),
) -> Mapping:
    """The map that takes chart points to picture points with the least robust sum of squares.

    ``min sum_i w_i^2 rho(|p_i - p(X_i)|^2)``, rho Huber-like (soft l1) beyond `outlier_px`, by Levenberg-Marquardt
    steps in a trust region. A prior far weaker than one point holds the coefficients near 0, because few points leave
    combinations of them undetermined.

    Args:
        chart: (N, 2), N >= 4.
        image: (N, 2) pixels.
        size: (height, width) of the picture.
        start: where to begin; None begins at a homography without distortion.
        weight: (N,) weights; None for all alike.
        outlier_px: distance in pixels from which on a point pulls less.
        most: distortion coefficients that may be fitted; few make a map that may be extrapolated.
    """
    weights = np.ones(len(chart)) if weight is None else weight / np.sqrt((weight**2).mean())
    center, spread = chart.mean(0), max(float(chart.std()), 1e-9)
    inner = np.array([[spread, 0, center[0]], [0, spread, center[1]], [0, 0, 1.0]])
    flat, wanted = (chart - center) / spread, (image - middle_of(size)) / scale_of(size)
    if start is None:
        homography, distortion = _direct_homography(flat, wanted), np.zeros(7)
    else:
        homography, distortion = start.homography @ inner, start.distortion.copy()
        homography = homography / homography[2, 2]
    free = next((count for least, count in _POINTS_NEEDED if len(chart) >= least), 0)
    active = _ORDER[: min(free, most)]
    outlier = outlier_px / scale_of(size)
    prior = np.array([0.5, 0.5, 0.5, 0.02, 0.02, 0.05, 0.05])

    def unpack(values: Points) -> tuple[Points, Points]:
        coefficients = np.zeros(7)
        coefficients[list(active)] = values[8:]
        return np.append(values[:8], 1.0).reshape(3, 3), coefficients

    def misses(values: Points) -> Points:
        matrix, coefficients = unpack(values)
        missed = (_forward(flat, matrix, coefficients) - wanted) / outlier
        length = np.hypot(missed[:, 0], missed[:, 1])
        # sqrt(rho(r^2)) / r turns a robust cost of the distance into an ordinary sum of squares over both coordinates.
        with np.errstate(invalid="ignore", divide="ignore"):
            robust = np.where(length > 1e-9, np.sqrt(2 * (np.sqrt(1 + length**2) - 1)) / length, 1.0)
        # At the size of its prior a coefficient costs as much as one point that is off by a hundredth of outlier_px.
        held = 0.01 * coefficients[list(active)] / prior[list(active)]
        both = np.concatenate([(missed * (robust * weights)[:, None]).ravel(), held])
        return np.asarray(np.nan_to_num(both, nan=1e6), dtype=np.float64)

    begin = np.concatenate([homography.ravel()[:8], distortion[list(active)]])
    found = least_squares(misses, begin, method="trf", x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12, max_nfev=200)
    matrix, coefficients = unpack(found.x)
    return Mapping(size, matrix @ np.linalg.inv(inner), coefficients)


def as_points(points: npt.ArrayLike) -> Points:
    """(N, 2) float64.

    Raises:
        ValueError: another shape.
    """
    found = np.asarray(points, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"points must have shape (N, 2); found {found.shape}")
    return found


def middle_of(size: tuple[int, int]) -> Points:
    """The middle of a picture (x, y) in pixels, pixel centers at integers."""
    return np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])


def scale_of(size: tuple[int, int]) -> float:
    """Half the diagonal of a picture in pixels."""
    return float(np.hypot(*size)) / 2


def _project(points: Points, matrix: Points) -> Points:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = points @ matrix[:, :2].T + matrix[:, 2]
        depth = found[:, 2:]
        return np.asarray(found[:, :2] / np.where(depth * np.sign(matrix[2, 2] or 1.0) > 0, depth, np.nan))


def _forward(points: Points, homography: Points, distortion: Points) -> Points:
    k1, k2, k3, p1, p2, cx, cy = distortion
    x, y = (_project(points, homography) - [cx, cy]).T
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    across = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + cx
    down = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + cy
    return np.stack([across, down], 1)


def _direct_homography(source: Points, target: Points) -> Points:
    """The homography of least algebraic error (direct linear transform); Hartley, Zisserman 2004, algorithm 4.1."""
    points = np.column_stack([source, np.ones(len(source))])
    none = np.zeros_like(points)
    rows = np.block([[points, none, -target[:, :1] * points], [none, points, -target[:, 1:] * points]])
    found = np.linalg.svd(rows)[2][-1].reshape(3, 3)
    return np.asarray(found / found[2, 2], dtype=np.float64)
