"""The mapping between chart and picture against OpenCV's, and the light on pixels against polygons clipped by cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dirtypixels.calibrate.simulate.geometry import CellIntegral, Pose, View, pixel_corners

Point = tuple[float, float]

FRAME = (480, 640)
CHART = (300, 500)
POSE = Pose(fill=0.9, rotation=4.0, tilt=(6.0, -9.0), offset=(0.02, -0.03))


def chart_points() -> np.ndarray:
    y, x = np.mgrid[0 : CHART[0] : 7j, 0 : CHART[1] : 9j]
    return np.stack([x, y], -1)


@pytest.mark.parametrize("distortion", [(0.0, 0.0), (-0.12, 0.02), (0.08, -0.01)])
def test_back_and_forth(distortion: tuple[float, float]) -> None:
    view = View(CHART, FRAME, POSE, 0.8, distortion)
    points = chart_points()
    np.testing.assert_allclose(view.to_chart(view.to_image(points)), points, rtol=0, atol=1e-9)
    pixels = pixel_corners(range(0, 480, 1), range(0, 640, 1))[::60, ::80]
    np.testing.assert_allclose(view.to_image(view.to_chart(pixels)), pixels, rtol=0, atol=1e-9)
    assert view.to_image(points[0, 0]).shape == (2,)


def test_as_opencv_projects() -> None:
    cv2 = pytest.importorskip("cv2")
    k1, k2, focal = -0.1, 0.03, 0.9
    view = View(CHART, FRAME, POSE, focal, (k1, k2))
    diagonal = math.hypot(*FRAME)
    f = focal * diagonal
    lens = np.array([[f, 0, 319.5], [0, f, 239.5], [0, 0, 1.0]])
    # The chart's plane turned first in itself, then about the upright axis (right edge away: a negative rotation in
    # OpenCV's axes), then about the level one (lower edge away).
    turns = [cv2.Rodrigues(np.radians(v))[0] for v in ((6.0, 0, 0), (0, 9.0, 0), (0, 0, 4.0))]
    turn = turns[0] @ turns[1] @ turns[2]
    c, s = math.cos(math.radians(4)), math.sin(math.radians(4))
    scale = 0.9 * min(640 / (c * 500 + s * 300), 480 / (s * 500 + c * 300)) / f
    centered = np.pad((chart_points().reshape(-1, 2) - [250, 150]) * scale, ((0, 0), (0, 1)))
    shift = np.array([0.02 * 640 / f, -0.03 * 480 / f, 1.0])
    # OpenCV counts radii in focal lengths, the view in half diagonals.
    unit = f / (diagonal / 2)
    found, _ = cv2.projectPoints(
        centered, cv2.Rodrigues(turn)[0], shift, lens, np.array([k1 * unit**2, k2 * unit**4, 0.0, 0.0])
    )
    np.testing.assert_allclose(view.to_image(chart_points()).reshape(-1, 2), found[:, 0], rtol=0, atol=1e-8)


def test_fill_is_the_part_of_the_frame() -> None:
    corners = View(CHART, FRAME, Pose(fill=0.9)).to_image([[0, 0], [500, 300]])
    np.testing.assert_allclose(corners, [[319.5 - 288, 239.5 - 172.8], [319.5 + 288, 239.5 + 172.8]])
    turned = View(CHART, FRAME, Pose(fill=0.9, rotation=90)).to_image([[0, 0], [500, 300]])
    # Clockwise: what was the top left corner is at the top right; the chart's width fills the frame's height.
    np.testing.assert_allclose(turned, [[319.5 + 129.6, 239.5 - 216], [319.5 - 129.6, 239.5 + 216]])


def test_tilt_turns_the_right_and_the_lower_edge_away() -> None:
    corners = np.array([[0, 0], [500, 0], [500, 300], [0, 300]])
    (top_left, top_right, low_right, low_left) = View(CHART, FRAME, Pose(tilt=(0, 10))).to_image(corners)
    assert low_right[1] - top_right[1] < low_left[1] - top_left[1]
    (top_left, top_right, low_right, low_left) = View(CHART, FRAME, Pose(tilt=(10, 0))).to_image(corners)
    assert low_right[0] - low_left[0] < top_right[0] - top_left[0]


def test_distortion_shifts_the_corners_by_k1_and_k2() -> None:
    straight, bent = (View(CHART, FRAME, Pose(), 1.0, d) for d in ((0.0, 0.0), (-0.06, 0.01)))
    corner = straight.to_chart(np.array([319.5 + 320, 239.5 + 240]))
    np.testing.assert_allclose(bent.to_image(corner), [319.5 + 0.95 * 320, 239.5 + 0.95 * 240])


def test_what_the_lens_cannot_see_is_nan() -> None:
    view = View(CHART, FRAME, Pose(), 1.0, (-0.12, 0.0))
    assert np.isnan(view.to_image([1e5, 0])).all()  # beyond the place where a barrel folds over
    assert np.isnan(view.to_chart([1e5, 0])).all()
    tilted = View(CHART, FRAME, Pose(tilt=(0, 60)), 0.8)
    assert np.isnan(tilted.to_chart([1e5, 240])).all()  # beyond the horizon
    assert np.isnan(tilted.to_image([-1e5, 150])).all()  # behind the camera


def test_corners_of_pixels_are_half_a_pixel_off_their_centers() -> None:
    corners = pixel_corners(range(2, 4), range(5, 6))
    np.testing.assert_array_equal(corners[..., 0], [[4.5, 5.5]] * 3)
    np.testing.assert_array_equal(corners[..., 1], [[1.5] * 2, [2.5] * 2, [3.5] * 2])


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"fill": 0.0}, "fill must be above 0; found 0"),
        ({"tilt": (0.0, 80.0)}, "tilt must be within 80 degrees"),
        ({"rotation": math.nan}, "must be finite"),
    ],
)
def test_a_pose_is_checked(figures: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pose(**figures)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"focal": 0.0}, "focal must be above 0; found 0.0"),
        ({"distortion": (math.inf, 0.0)}, "distortion must be two finite numbers"),
        ({"distortion": (-0.5, 0.0)}, "folds the picture over"),
        ({"pose": Pose(tilt=(0.0, 79.0)), "focal": 0.4}, "shows the horizon"),
    ],
)
def test_a_view_is_checked(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        View(CHART, FRAME, **{"pose": Pose(), **arguments})  # type: ignore[arg-type]


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
