"""Area integration against clipping every quadrilateral by every cell."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.simulate.area import CellIntegral

Point = tuple[float, float]


def clipped(polygon: list[Point], axis: int, line: float, sign: float) -> list[Point]:
    """A convex polygon's part where sign * (coordinate - line) >= 0 (Sutherland and Hodgman 1974)."""
    found: list[Point] = []
    for start, end in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = (sign * (p[axis] - line) for p in (start, end))
        if a >= 0:
            found.append(start)
        if a * b < 0:
            t = a / (a - b)
            found.append((start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])))
    return found


def area(polygon: list[Point]) -> float:
    return 0.5 * abs(
        sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True))
        if polygon
        else 0
    )


def by_clipping(cells: np.ndarray, outside: float, corners: np.ndarray) -> np.ndarray:
    height, width = corners.shape[0] - 1, corners.shape[1] - 1
    means = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            quad = [tuple(corners[p]) for p in ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))]
            light = 0.0
            for (row, column), value in np.ndenumerate(cells):
                part = clipped(quad, 0, column, 1)
                part = clipped(part, 0, column + 1, -1)
                part = clipped(part, 1, row, 1)
                part = clipped(part, 1, row + 1, -1)
                light += (value - outside) * area(part)
            means[i, j] = outside + light / area(quad)
    return means


def grid(height: int, width: int, cell: float, turn: float, bend: float, start: Point) -> np.ndarray:
    """Corners of pixels `cell` cells wide, turned and a little bent."""
    y, x = np.mgrid[: height + 1, : width + 1] * cell
    z = (x + 1j * y) * np.exp(1j * np.radians(turn))
    x, y = z.real + start[0], z.imag + start[1]
    return np.stack([x + bend * x * y, y + bend * (x**2 - y)], -1)


@pytest.mark.parametrize("cell", [0.3, 0.97, 3.7])
@pytest.mark.parametrize(("turn", "bend"), [(0, 0), (90, 0), (3, 0.002), (-130, 0.003), (45, 0)])
def test_means_are_those_of_clipped_polygons(cell: float, turn: float, bend: float) -> None:
    cells = np.random.default_rng(1).random((6, 7))
    corners = grid(7, 8, cell, turn, bend, (1.3, 0.7))
    np.testing.assert_allclose(
        CellIntegral(cells, 0.3).means(corners), by_clipping(cells, 0.3, corners), rtol=0, atol=1e-12
    )


def test_pixels_of_the_cells_size_are_the_cells() -> None:
    cells = np.random.default_rng(2).random((4, 5))
    corners = grid(6, 7, 1.0, 0, 0, (-1, -1))
    np.testing.assert_allclose(CellIntegral(cells, 0.25).means(corners), np.pad(cells, 1, constant_values=0.25))


def test_light_is_kept_where_pixels_cover_the_chart() -> None:
    cells = np.random.default_rng(3).random((40, 50))
    corners = grid(80, 80, 1.37, 30, 0, (15, -40))
    means = CellIntegral(cells, 0.0).means(corners)
    assert means.sum() * 1.37**2 == pytest.approx(cells.sum(), rel=1e-12)


def test_a_place_that_sees_nothing_of_the_plane_has_the_value_outside() -> None:
    corners = grid(2, 2, 1.0, 0, 0, (0, 0))
    corners[0, 0] = np.nan
    np.testing.assert_array_equal(CellIntegral(np.ones((2, 2)), 0.5).means(corners), [[0.5, 1], [1, 1]])


@pytest.mark.parametrize("shape", [(0, 3), (3,), (1, 2, 3)])
def test_cells_must_be_rows_and_columns(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"cells must have shape \(rows, columns\)"):
        CellIntegral(np.zeros(shape), 0.0)
