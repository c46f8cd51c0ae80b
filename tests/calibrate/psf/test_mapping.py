"""The map from chart to picture: fitted, inverted, bent, moved aside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dirtypixels.calibrate.psf import mapping
from dirtypixels.calibrate.psf.mapping import Displaced, Mapping, Rest

SIZE = (480, 640)
SHAPE = (264, 336)


def lens(distortion: tuple[float, ...] = (0.05, -0.02, 0.004, 0.002, -0.001, 0.02, -0.01)) -> Mapping:
    homography = np.array([[0.0041, 0.0002, -0.7], [-0.0001, 0.0042, -0.55], [0.0001, 0.00005, 1.0]])
    return Mapping(SIZE, homography, np.array(distortion))


def grid(count: int = 20, inset: float = 0.0) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(inset, SHAPE[1] - inset, count), np.linspace(inset, SHAPE[0] - inset, count))
    return np.stack([x.ravel(), y.ravel()], 1)


class TestForward:
    def test_without_distortion_it_is_a_homography(self) -> None:
        true = lens((0.0,) * 7)
        points = grid(5)
        homogeneous = np.concatenate([points, np.ones((25, 1))], 1) @ true.homography.T
        expected = homogeneous[:, :2] / homogeneous[:, 2:] * np.hypot(480, 640) / 2 + [319.5, 239.5]
        assert np.allclose(true.to_image(points), expected, atol=1e-9)

    def test_radial_distortion_moves_points_along_their_radius(self) -> None:
        plain, bent = lens((0.0,) * 7), lens((0.1, 0, 0, 0, 0, 0, 0))
        away = (plain.to_image(grid(7)) - [319.5, 239.5]) / 400
        moved = (bent.to_image(grid(7)) - plain.to_image(grid(7))) / 400
        r2 = (away**2).sum(1)
        assert np.allclose(moved, away * 0.1 * r2[:, None], atol=1e-12)

    def test_cell_px_is_the_root_of_the_area(self) -> None:
        points = np.array([[100.0, 50.0], [300.0, 250.0]])
        e = 1e-4
        for point, cell in zip(points, lens().cell_px(points), strict=True):
            corners = lens().to_image(np.array([point, point + np.array([e, 0]), point + np.array([0, e])]))
            area = np.linalg.det(corners[1:] - corners[0])
            assert cell == pytest.approx(np.sqrt(area) / e, rel=1e-4)

    def test_behind_the_camera_is_nan(self) -> None:
        homography = np.array([[0.004, 0, -0.7], [0, 0.004, -0.5], [-0.004, 0, 1.0]])
        found = Mapping(SIZE, homography, np.zeros(7)).to_image(np.array([[100.0, 100.0], [300.0, 100.0]]))
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()

    def test_shape_is_checked(self) -> None:
        with pytest.raises(ValueError, match=r"points must have shape \(N, 2\); found \(3,\)"):
            lens().to_image(np.zeros(3))


class TestInverse:
    def test_it_undoes_the_map(self) -> None:
        pixels = np.stack([a.ravel() for a in np.meshgrid(np.linspace(0, 639, 30), np.linspace(0, 479, 30))], 1)
        assert np.abs(lens().to_image(lens().to_chart(pixels)) - pixels).max() < 1e-6

    def test_it_undoes_the_map_with_a_rest(self) -> None:
        rest = Rest(grid(), np.sin(grid() / 50), np.ones(400), SHAPE, 40.0)
        bent = replace(lens(), rest=rest)
        points = grid(15, 5.0)
        assert np.abs(bent.to_chart(bent.to_image(points)) - points).max() < 1e-6

    def test_where_no_point_is_seen_it_is_nan(self) -> None:
        # r (1 - r^2) has its largest value 0.385 at 0.577: nothing is imaged farther out.
        folded = lens((-1.0, 0, 0, 0, 0, 0, 0))
        assert np.isnan(folded.to_chart(np.array([[639.0, 479.0]]))).all()
        assert np.isfinite(folded.to_chart(np.array([[330.0, 250.0]]))).all()


class TestFit:
    def test_exact_points_give_the_map_back(self) -> None:
        true, points = lens(), grid(12)
        found = mapping.fit(points, true.to_image(points), SIZE)
        assert np.abs(found.to_image(grid(30)) - true.to_image(grid(30))).max() < 1e-3
        assert found.distortion[:2] == pytest.approx(true.distortion[:2], abs=1e-3)

    def test_noise_is_averaged_as_it_should_be(self) -> None:
        true, points, sigma = lens(), grid(20), 0.05
        off = []
        for seed in range(10):
            noise = np.random.default_rng(seed).normal(0, sigma, points.shape)
            found = mapping.fit(points, true.to_image(points) + noise, SIZE)
            off.append(found.to_image(points) - true.to_image(points))
        # Least squares of p parameters leaves sigma sqrt(p / n) rms of n equations; the mean over 10 seeds of a chi
        # square of 15 degrees has a relative error of sqrt(2 / 150).
        expected = sigma**2 * 15 / points.size
        assert np.mean(np.square(off)) == pytest.approx(expected, rel=4 * np.sqrt(2 / 150))

    def test_a_wrong_point_does_not_pull(self) -> None:
        true, points = lens(), grid(10)
        image = true.to_image(points)
        image[37] += [40.0, -25.0]
        found = mapping.fit(points, image, SIZE, outlier_px=0.1)
        others = np.arange(100) != 37
        assert np.abs(found.to_image(points) - true.to_image(points))[others].max() < 0.05

    def test_few_points_get_no_distortion(self) -> None:
        true = lens((0.0,) * 7)
        points = grid(2)
        found = mapping.fit(points, true.to_image(points), SIZE)
        assert (found.distortion == 0).all()
        assert np.abs(found.to_image(grid()) - true.to_image(grid())).max() < 1e-3


class TestRest:
    def test_a_smooth_displacement_is_kept(self) -> None:
        points = grid(25)
        displacement = np.stack([np.sin(points[:, 0] / 60), np.cos(points[:, 1] / 80)], 1)
        rest = Rest(points, displacement, np.ones(len(points)), SHAPE, 42.0)
        # A cubic spline of knot distance h is off by at most about h^4 max|f''''| / 384 (de Boor).
        assert np.abs(rest(points) - displacement).max() < 2 * 42**4 / 60**4 / 384 + 1e-3

    def test_beyond_the_chart_its_edge_goes_on(self) -> None:
        rest = Rest(grid(), grid() / 100, np.ones(400), SHAPE, 42.0)
        assert np.allclose(rest(np.array([[-50.0, 100.0]])), rest(np.array([[0.0, 100.0]])))


PLAIN = Mapping(
    (100, 160),
    np.array([[0.01, 0.0, -0.8], [0.0005, 0.01, -0.5], [0.0, 1e-5, 1.0]]),
    np.array([-0.05, 0, 0, 0, 0, 0, 0]),
)
ROWS, COLUMNS = np.array([25.0, 75.0]), np.array([40.0, 80.0, 120.0])


def moved() -> tuple[Displaced, np.ndarray]:
    shifts = np.random.default_rng(0).normal(0, 0.7, (2, 3, 2))
    return Displaced(PLAIN, ROWS, COLUMNS, shifts), shifts


def test_in_the_middles_of_blocks() -> None:
    mapping, shifts = moved()
    for i, j in np.ndindex(2, 3):
        point = np.array([[COLUMNS[j], ROWS[i]]])
        np.testing.assert_allclose(mapping.to_chart(point), PLAIN.to_chart(point + shifts[i, j]), atol=1e-9)


def test_bilinear_between_and_constant_beyond() -> None:
    mapping, shifts = moved()
    point = np.array([[60.0, 37.5]])
    expected = 0.75 * (shifts[0, 0] + shifts[0, 1]) / 2 + 0.25 * (shifts[1, 0] + shifts[1, 1]) / 2
    np.testing.assert_allclose(mapping.to_chart(point), PLAIN.to_chart(point + expected), atol=1e-9)
    corner = np.array([[159.0, 0.0]])
    np.testing.assert_allclose(mapping.to_chart(corner), PLAIN.to_chart(corner + shifts[0, 2]), atol=1e-9)


def test_one_block_moves_all() -> None:
    mapping = Displaced(PLAIN, np.array([50.0]), np.array([80.0]), np.array([[[1.0, -2.0]]]))
    points = np.array([[0.0, 0.0], [100.0, 60.0]])
    np.testing.assert_allclose(mapping.to_chart(points), PLAIN.to_chart(points + np.array([1.0, -2.0])), atol=1e-9)
