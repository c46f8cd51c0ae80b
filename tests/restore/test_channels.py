"""Matrices over color channels at every frequency, against dense linear algebra."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dirtypixels.restore.channels import (
    apply_power,
    color_filters,
    from_opponent,
    largest_power,
    opponent_matrix,
    power_matrix,
    solve_power,
    to_opponent,
)
from dirtypixels.restore.filters import analyze, dct_filters, synthesize
from tests.restore.iterating import random

SIZES = [(7, 6), (3, 5), (4, 4)]  # the small ones are smaller than the filters' autocorrelation


def whole(power: Tensor) -> Tensor:
    """The matrices (H, Wf, C, C)."""
    return power.movedim((0, 1), (-2, -1))


class TestOpponent:
    def test_rows_are_orthonormal_brightness_and_two_opponent_colors(self) -> None:
        turn = opponent_matrix()
        torch.testing.assert_close(turn @ turn.t(), torch.eye(3).double(), rtol=0, atol=1e-15)
        rows = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]]).double()
        torch.testing.assert_close(turn, rows / rows.norm(dim=1, keepdim=True), rtol=0, atol=1e-15)

    @pytest.mark.parametrize("channels", [1, 2, 4])
    def test_any_number_of_channels(self, channels: int) -> None:
        turn = opponent_matrix(channels)
        torch.testing.assert_close(turn @ turn.t(), torch.eye(channels).double())

    def test_color_filters_see_each_opponent_color(self) -> None:
        bank, x = dct_filters(3).double(), random(2, 3, 7, 6)
        found = analyze(x, color_filters(bank))
        turned = to_opponent(x)
        torch.testing.assert_close(from_opponent(turned), x, rtol=0, atol=1e-12)
        expected = torch.cat([analyze(turned[:, c : c + 1], bank) for c in range(3)], 1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


class TestPower:
    @pytest.mark.parametrize("size", SIZES)
    def test_matrix_is_analysis_and_its_adjoint(self, size: tuple[int, int]) -> None:
        bank, x = random(5, 3, 3, 3), random(2, 3, *size, seed=1)
        power = power_matrix(bank, size)
        found = torch.fft.irfft2(apply_power(power, torch.fft.rfft2(x)), s=size)
        torch.testing.assert_close(found, synthesize(analyze(x, bank), bank), rtol=0, atol=1e-11)
        torch.testing.assert_close(power, power.transpose(0, 1).conj())

    def test_filters_without_a_constant_leave_none_in_single_precision(self) -> None:
        """Else the error would grow with the coupling, 4^i from layer to layer."""
        bank = color_filters(dct_filters(5))
        assert float(power_matrix(bank, (64, 48))[:, :, 0, 0].abs().max()) < 1e-11
        exact = power_matrix(bank.double(), (64, 48))
        torch.testing.assert_close(power_matrix(bank, (64, 48)).to(exact), exact, rtol=0, atol=1e-5)

    def test_largest_eigenvalue(self) -> None:
        power = power_matrix(random(5, 3, 3, 3), (7, 6))
        expected = max(float(torch.linalg.eigvalsh(m).max()) for m in whole(power).flatten(0, 1))
        assert float(largest_power(power)) == pytest.approx(expected)
        eigenvalues = random(3, 7, 4).abs()
        assert torch.equal(largest_power(eigenvalues)[0, :, 0, 0], eigenvalues.flatten(1).amax(1))

    @pytest.mark.parametrize("batched", [False, True])
    @pytest.mark.parametrize("is_complex", [False, True])
    def test_solve_agrees_with_dense_matrices(self, batched: bool, is_complex: bool) -> None:
        power = power_matrix(random(9, 3, 3, 3), (7, 6))
        power = power if is_complex else power.real
        rho = torch.tensor([0.7, 1.9]).double().view(2, 1, 1, 1) if batched else torch.tensor(0.7).double()
        diagonal = random(2 if batched else 1, 3, 7, 4, seed=1).square()
        right = torch.fft.rfft2(random(2, 3, 7, 6, seed=2))
        found = solve_power(diagonal, rho, power, right)
        for b in range(2):
            own = rho[b].reshape(()) if batched else rho
            matrix = torch.diag_embed(diagonal[b % len(diagonal)].movedim(0, -1)) + own * whole(power)
            expected = torch.linalg.solve(matrix.to(right), right[b].movedim(0, -1)[..., None])[..., 0].movedim(-1, 0)
            torch.testing.assert_close(found[b], expected, rtol=1e-10, atol=1e-10)

    def test_scalar_diagonal_and_eigenvalues(self) -> None:
        right, eigenvalues = torch.fft.rfft2(random(2, 3, 7, 6)), random(3, 7, 4, seed=1).abs()
        matrices = torch.diag_embed(eigenvalues.movedim(0, -1)).movedim((-2, -1), (0, 1))
        torch.testing.assert_close(
            solve_power(1.0, 0.5, matrices, right), solve_power(1.0, 0.5, eigenvalues, right), rtol=1e-12, atol=1e-12
        )

    def test_gradients(self) -> None:
        bank, diagonal = random(4, 3, 3, 3).requires_grad_(), random(1, 3, 1, 1, seed=1).abs().requires_grad_()
        right = torch.fft.rfft2(random(1, 3, 4, 5, seed=2))
        rho = torch.tensor(0.7).double().requires_grad_()

        def solved(bank: Tensor, diagonal: Tensor, rho: Tensor) -> Tensor:
            found: Tensor = torch.fft.irfft2(solve_power(diagonal, rho, power_matrix(bank, (4, 5)), right), s=(4, 5))
            return found

        assert torch.autograd.gradcheck(solved, (bank, diagonal, rho))
