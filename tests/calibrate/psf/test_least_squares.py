"""PSFs from blocks: equations against the dense problem, the solver against brute force, what comes out against what
went in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.optimize
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from dirtypixels.calibrate.psf import least_squares as module
from dirtypixels.calibrate.psf.least_squares import (
    Normal,
    nonnegative,
    normal_equations,
    packed,
    right_side,
    solve,
    unpacked,
)

Floats = npt.NDArray[np.float64]


def noise_pattern(height: int, width: int, seed: int) -> Floats:
    """White shares of pixels on random cells a pixel and a half wide."""
    cells = np.random.default_rng(seed).integers(0, 2, (height, width)).astype(float)
    fine = np.kron(cells, np.ones((6, 6)))[: height * 4, : width * 4]
    return fine.reshape(height, 4, width, 4).mean((1, 3))


def coma(size: int) -> Floats:
    """An asymmetric PSF: a spot and a wider one next to it."""
    spot = np.zeros((size, size))
    spot[size // 2, size // 2] = 1
    psf = 0.7 * gaussian_filter(spot, 0.7) + 0.3 * gaussian_filter(np.roll(spot, (1, -1), (0, 1)), 1.2)
    return psf / psf.sum()


def photographed(
    psf: Floats,
    side: int,
    noise: float,
    seed: int = 0,
    gain: float = 1.0,
    places: tuple[tuple[int, int], ...] = ((0, 1), (1, 0)),
) -> Normal:
    """Normal equations of the samples of one color of a Bayer pattern."""
    size = len(psf)
    sharp = noise_pattern(side + size - 1, side + size - 1, seed)
    blurred = gain * convolve2d(sharp, psf, "valid") + 0.07
    blurred += noise * np.random.default_rng(1000 + seed).standard_normal(blurred.shape)
    total: Normal | None = None
    for place in places:
        one = normal_equations(sharp, blurred[place[0] :: 2, place[1] :: 2], size, place, 2)
        total = one if total is None else total + one
    assert total is not None
    return total


def differences(size: int) -> tuple[Floats, Floats]:
    """Matrices that take the differences down and across of taps in reading order, 0 beyond the border."""
    unit = np.eye(size * size).reshape(-1, size, size)
    down = np.diff(np.pad(unit, ((0, 0), (1, 1), (0, 0))), axis=1).reshape(size * size, -1).T
    across = np.diff(np.pad(unit, ((0, 0), (0, 0), (1, 1))), axis=2).reshape(size * size, -1).T
    return down, across


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


class TestNormalEquations:
    @pytest.mark.parametrize("size", [1, 3, 5])
    @pytest.mark.parametrize(("place", "step"), [((0, 0), 1), ((0, 0), 2), ((0, 1), 2), ((1, 0), 2), ((1, 1), 2)])
    @pytest.mark.parametrize("shape", [(12, 15), (11, 8)])
    def test_the_dense_problem(self, size: int, place: tuple[int, int], step: int, shape: tuple[int, int]) -> None:
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

    def test_residual_and_sum(self) -> None:
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

    def test_the_true_psf_solves_them(self) -> None:
        rng = np.random.default_rng(2)
        sharp, psf = rng.random((24, 24)), rng.random((5, 5))
        blurred = (design(sharp, 5, (1, 0), 2) @ psf.ravel()).reshape(10, 10) + 0.3
        normal = normal_equations(sharp, blurred, 5, (1, 0), 2)
        np.testing.assert_allclose(np.linalg.solve(normal.matrix, normal.vector), psf.ravel(), rtol=1e-8)
        assert normal.residual(psf) == pytest.approx(0.0, abs=1e-10)

    def test_arguments_are_left_as_they_are(self) -> None:
        sharp, measured = np.random.default_rng(0).random((9, 9)), np.random.default_rng(1).random((7, 7))
        before = sharp.copy(), measured.copy()
        normal_equations(sharp, measured, 3)
        np.testing.assert_array_equal(sharp, before[0])
        np.testing.assert_array_equal(measured, before[1])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"size": 4}, "size be odd, .* size 4"),
            (
                {"measured": np.zeros((6, 7))},
                r"measured must have shape \(7, 7\).* for sharp of \(9, 9\).*found \(6, 7\)",
            ),
            ({"measured": np.zeros((7, 0)), "sharp": np.zeros((9, 2))}, r"found \(7, 0\)"),
        ],
    )
    def test_raises_on_shapes(self, change: dict[str, object], message: str) -> None:
        arguments = {"sharp": np.ones((9, 9)), "measured": np.ones((7, 7)), "size": 3} | change
        with pytest.raises(ValueError, match=message):
            normal_equations(**arguments)  # type: ignore[arg-type]

    @pytest.mark.parametrize("side", [1, 2, 9])
    def test_packed_matrices_come_back(self, side: int) -> None:
        half = np.random.default_rng(side).random((side, side))
        matrix = half + half.T
        found = unpacked(packed(matrix))
        assert packed(matrix).shape == (side * (side + 1) // 2,)
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_allclose(found, matrix, rtol=1e-7)


class TestNonnegative:
    @pytest.mark.parametrize("seed", range(8))
    def test_against_lawson_and_hanson(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        columns, samples = rng.standard_normal((60, 30)), rng.standard_normal(60)
        matrix, vector = columns.T @ columns, columns.T @ samples
        expected, _ = scipy.optimize.nnls(columns, samples)
        start = None if seed % 2 else rng.random(30) > 0.5
        x, free, factor = nonnegative(matrix, vector, start)
        np.testing.assert_allclose(x, expected, atol=1e-9)
        assert 0 < free.sum() < 30
        lower = np.tril(factor.numpy())
        np.testing.assert_allclose(lower @ lower.T, matrix[np.ix_(free, free)], atol=1e-9)

    def test_conditions_of_karush_kuhn_tucker(self) -> None:
        normal = photographed(coma(7), 60, 0.05)
        x, free, _ = nonnegative(normal.matrix, normal.vector)
        pull = normal.matrix @ x - normal.vector
        scale = np.abs(normal.vector).max()
        assert (x >= 0).all()
        assert (pull >= -1e-9 * scale).all()
        assert np.abs(x * pull).max() < 1e-9 * scale
        assert ((x > 0) <= free).all()

    def test_where_block_exchanges_go_in_circles(self) -> None:
        # Strong couplings of both signs: exchanging all wrong entries at once need not end.
        rng = np.random.default_rng(3)
        for _ in range(30):
            columns = rng.standard_normal((12, 12)) ** 3
            matrix = columns.T @ columns + 1e-6 * np.eye(12)
            vector = 10 * rng.standard_normal(12)
            x, _, _ = nonnegative(matrix, vector)
            pull = matrix @ x - vector
            assert min(x.min(), pull.min() / np.sqrt(np.diag(matrix)).max()) > -1e-7
            assert np.abs(x * pull).max() < 1e-5

    def test_nothing_to_be_found(self) -> None:
        x, free, _ = nonnegative(np.eye(3), -np.ones(3))
        assert not x.any()
        assert not free.any()

    def test_raises_on_an_indefinite_matrix(self) -> None:
        with pytest.raises(ValueError, match="positive definite"):
            nonnegative(-np.eye(3), np.ones(3))


class TestSolve:
    def test_the_least_of_its_objective(self) -> None:
        # Before any reweighting all differences are expected alike, so that the objective is known in full.
        size, normal = 5, photographed(coma(5), 40, 0.02)
        down, across = differences(size)
        free = np.linalg.solve(normal.matrix, normal.vector)
        variance = normal.residual(free) / (normal.count - size**2)
        smooth = size**2 * (down.T @ down + across.T @ across)

        def objective(k: Floats) -> tuple[float, Floats]:
            off = (k.sum() - 1) / module.GAIN_ERROR**2
            value = normal.residual(k) / variance + k @ smooth @ k + off * (k.sum() - 1)
            return value, 2 * ((normal.matrix @ k - normal.vector) / variance + smooth @ k + off)

        best = scipy.optimize.minimize(
            objective, np.full(size**2, 1 / size**2), jac=True, bounds=[(0, None)] * size**2, method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 25},
        )  # fmt: skip
        found = solve(normal, rounds=0)
        assert objective(found.psf.ravel() * found.gain)[0] <= best.fun * (1 + 1e-9)
        np.testing.assert_allclose(found.psf.ravel() * found.gain, best.x, atol=2e-5)

    def test_expected_squares_are_those_of_the_posterior(self) -> None:
        size = 4
        root = np.random.default_rng(0).standard_normal((size**2, size**2))
        covariance, psf = root @ root.T, np.random.default_rng(1).random((size, size))
        found = module._expected(psf, covariance)
        for matrix, one, shape in zip(differences(size), found, [(size + 1, size), (size, size + 1)], strict=True):
            squares = ((matrix @ psf.ravel()) ** 2 + np.diag(matrix @ covariance @ matrix.T)).reshape(shape)
            expected = gaussian_filter(squares, module.WINDOW, mode="constant")
            np.testing.assert_allclose(one, expected, rtol=1e-6)

    def test_a_psf_is_a_psf(self) -> None:
        found = solve(photographed(coma(9), 80, 0.05))
        assert found.psf.shape == (9, 9)
        assert (found.psf >= 0).all()
        assert found.psf.sum() == pytest.approx(1.0, abs=1e-12)

    def test_noise_free_pictures_give_the_psf_back(self) -> None:
        truth = coma(9)
        found = solve(photographed(truth, 80, 0.0))
        assert np.linalg.norm(found.psf - truth) < 1e-3 * np.linalg.norm(truth)
        assert found.error < 1e-3

    def test_errors_stay_below_those_of_least_squares_and_near_the_predicted(self) -> None:
        # Plain least squares is efficient: its variance s^2 tr(G^-1) is the Cramer-Rao bound of unbiased estimates.
        # What non-negativity and smoothness add must not do worse, and the predicted error must be the true one. Both
        # sides are means over 20 pictures; an error's square is a sum over tens of taps, known to a tenth then.
        truth, noise = coma(11), 0.056
        squares, predicted, bounds = [], [], []
        for seed in range(20):
            normal = photographed(truth, 120, noise, seed)
            found = solve(normal)
            squares.append(((found.psf - truth) ** 2).sum() / (truth**2).sum())
            predicted.append(found.error**2)
            bounds.append(noise**2 * np.trace(np.linalg.inv(normal.matrix)) / (truth**2).sum())
        assert np.mean(squares) < 0.25 * np.mean(bounds)
        assert 0.6 < np.mean(squares) / np.mean(predicted) < 1.4

    def test_the_residual_is_the_noise(self) -> None:
        normal = photographed(coma(7), 120, 0.03)
        # A standard deviation of N samples is known to 1 / sqrt(2 N); four of them.
        assert solve(normal).noise == pytest.approx(0.03, rel=4 / np.sqrt(2 * normal.count))

    def test_more_captures_are_better(self) -> None:
        truth = coma(9)
        one = photographed(truth, 60, 0.056, 0)
        many = one
        for seed in range(1, 9):
            many = many + photographed(truth, 60, 0.056, seed)
        errors = [np.linalg.norm(solve(normal).psf - truth) for normal in (one, many)]
        assert errors[1] < 0.6 * errors[0]

    @pytest.mark.parametrize("gain", [0.98, 1.02])
    def test_a_wrong_tone_bends_the_psf_little(self, gain: float) -> None:
        truth = coma(9)
        plain, scaled = (solve(photographed(truth, 120, 0.01, gain=g)) for g in (1.0, gain))
        # Scaled alone, the taps would be off by the gain.
        assert np.linalg.norm(plain.psf - scaled.psf) < 0.5 * abs(gain - 1) * np.linalg.norm(truth)
        assert scaled.gain == pytest.approx(gain, abs=0.01)

    def test_starting_from_an_estimate_goes_on_with_it(self) -> None:
        normal = photographed(coma(9), 80, 0.03)
        through, half = solve(normal, 2), solve(normal, 1)
        # One round more from where the first ended: the same problem as its second.
        again = solve(normal, 0, half)
        assert np.linalg.norm(again.psf - half.psf) == pytest.approx(0.0, abs=1e-9)
        assert np.linalg.norm(solve(normal, 1, half).psf - through.psf) < 1e-9

    def test_raises_on_too_few_samples(self) -> None:
        with pytest.raises(ValueError, match="at least 242 samples for a PSF of 11 x 11; found 200"):
            solve(photographed(coma(11), 20, 0.01))

    def test_raises_where_the_pattern_explains_nothing(self) -> None:
        sharp = noise_pattern(66, 66, 0)
        other = np.random.default_rng(1).standard_normal((60, 60))
        with pytest.raises(ValueError, match=r"explains \d+\.\d % of what was measured, no more than chance"):
            solve(normal_equations(sharp, other, 7))
