"""A map moved aside shows what the plain one shows there."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.psf.displaced import Displaced, displaced
from dirtypixels.calibrate.psf.mapping import Mapping

PLAIN = Mapping(
    (100, 160),
    np.array([[0.01, 0.0, -0.8], [0.0005, 0.01, -0.5], [0.0, 1e-5, 1.0]]),
    np.array([-0.05, 0, 0, 0, 0, 0, 0]),
)
ROWS, COLUMNS = np.array([25.0, 75.0]), np.array([40.0, 80.0, 120.0])


def moved() -> tuple[Displaced, np.ndarray]:
    shifts = np.random.default_rng(0).normal(0, 0.7, (2, 3, 2))
    return displaced(PLAIN, ROWS, COLUMNS, shifts), shifts


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
    mapping = displaced(PLAIN, np.array([50.0]), np.array([80.0]), np.array([[[1.0, -2.0]]]))
    points = np.array([[0.0, 0.0], [100.0, 60.0]])
    np.testing.assert_allclose(mapping.to_chart(points), PLAIN.to_chart(points + np.array([1.0, -2.0])), atol=1e-9)


def test_leads_one_way_only() -> None:
    with pytest.raises(NotImplementedError, match="to the chart only"):
        moved()[0].to_image(np.zeros((1, 2)))
