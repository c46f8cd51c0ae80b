"""Normal equations against the dense problem, window by window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dirtypixels.calibrate.psf.normal import normal_equations, packed, right_side, unpacked

Floats = npt.NDArray[np.float64]


def design(sharp: Floats, size: int, place: tuple[int, int], step: int) -> Floats:
    """(samples, taps): what each tap adds to each sample, written as the sum that defines it."""
    half = size // 2
    height, width = (n - 2 * half for n in sharp.shape)
    rows = [
        [sharp[n + half - a, m + half - b] for a in range(-half, half + 1) for b in range(-half, half + 1)]
        for n in range(place[0], height, step)
        for m in range(place[1], width, step)
    ]
    return np.array(rows)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("place", "step"), [((0, 0), 1), ((0, 0), 2), ((0, 1), 2), ((1, 0), 2), ((1, 1), 2)])
@pytest.mark.parametrize("shape", [(12, 15), (11, 8)])
def test_the_dense_problem(size: int, place: tuple[int, int], step: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(size)
    sharp = rng.random((shape[0] + size - 1, shape[1] + size - 1)) + 3.0
    measured = rng.random((len(range(place[0], shape[0], step)), len(range(place[1], shape[1], step)))) - 5.0
    columns = design(sharp, size, place, step)
    columns = columns - columns.mean(0)
    samples = measured.ravel() - measured.mean()
    found = normal_equations(sharp, measured, size, place, step)
    np.testing.assert_allclose(found.matrix, columns.T @ columns, atol=1e-11)
    np.testing.assert_allclose(found.vector, columns.T @ samples, atol=1e-11)
    assert found.energy == pytest.approx(samples @ samples, rel=1e-12)
    assert found.count == measured.size
    vector, energy = right_side(sharp, measured, size, place, step)
    np.testing.assert_allclose(vector, found.vector, atol=1e-12)
    assert energy == pytest.approx(found.energy)


def test_residual_and_sum() -> None:
    rng = np.random.default_rng(1)
    parts, expected = [], 0.0
    psf = rng.random((3, 3))
    for seed in range(2):
        sharp = np.random.default_rng(seed).random((12, 11))
        measured = rng.random((5, 5)) + 10.0 * seed  # an offset of its own for each part
        parts.append(normal_equations(sharp, measured, 3, (0, 0), 2))
        left = measured.ravel() - design(sharp, 3, (0, 0), 2) @ psf.ravel()
        expected += ((left - left.mean()) ** 2).sum()
    both = parts[0] + parts[1]
    assert both.count == 50
    assert both.residual(psf) == pytest.approx(expected, rel=1e-10)


def test_the_true_psf_solves_them() -> None:
    rng = np.random.default_rng(2)
    sharp, psf = rng.random((24, 24)), rng.random((5, 5))
    blurred = (design(sharp, 5, (1, 0), 2) @ psf.ravel()).reshape(10, 10) + 0.3
    normal = normal_equations(sharp, blurred, 5, (1, 0), 2)
    np.testing.assert_allclose(np.linalg.solve(normal.matrix, normal.vector), psf.ravel(), rtol=1e-8)
    assert normal.residual(psf) == pytest.approx(0.0, abs=1e-10)


def test_arguments_are_left_as_they_are() -> None:
    sharp, measured = np.random.default_rng(0).random((9, 9)), np.random.default_rng(1).random((7, 7))
    before = sharp.copy(), measured.copy()
    normal_equations(sharp, measured, 3)
    np.testing.assert_array_equal(sharp, before[0])
    np.testing.assert_array_equal(measured, before[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 4}, "size must be odd and at least 1; found 4"),
        ({"step": 3}, "step must be 1 or 2"),
        ({"place": (0, 2), "step": 2}, r"place in \[0, step\)"),
        ({"sharp": np.zeros(9)}, r"sharp must have shape \(H, W\); found \(9,\)"),
        ({"measured": np.zeros((6, 7))}, r"measured must have shape \(7, 7\) for sharp of \(9, 9\).*found \(6, 7\)"),
        ({"sharp": np.full((9, 9), np.nan)}, "sharp must be finite; found 81 NaN"),
        ({"measured": np.full((7, 7), np.inf)}, "measured must be finite; found 49 NaN or infinite"),
    ],
)
def test_raises(change: dict[str, object], message: str) -> None:
    arguments = {"sharp": np.ones((9, 9)), "measured": np.ones((7, 7)), "size": 3} | change
    with pytest.raises(ValueError, match=message):
        normal_equations(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [1, 2, 9])
def test_packed_matrices_come_back(side: int) -> None:
    half = np.random.default_rng(side).random((side, side))
    matrix = half + half.T
    found = unpacked(packed(matrix))
    assert packed(matrix).shape == (side * (side + 1) // 2,)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, matrix, rtol=1e-7)
