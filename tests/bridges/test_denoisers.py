"""Denoisers as proximal operators, with denoisers that are one by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from dirtypixels.bridges.deepinv import DenoiserProx
from dirtypixels.restore.prox import Prox, SoftThreshold


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ridge(u: Tensor, deviation: Tensor) -> Tensor:
    """``argmin_x |x|^2 / 2 + |x - u|^2 / (2 s^2)``"""
    return u / (1 + deviation.view(-1, 1, 1, 1) ** 2)


def shrink(u: Tensor, variance: Tensor) -> Tensor:
    """``argmin_x |x|_1 + |x - u|^2 / (2 s^2)``"""
    return torch.sign(u) * (u.abs() - variance.view(-1, 1, 1, 1)).clamp_min(0)


SETTINGS = [(w, p, c) for w in (0.2, 3.0) for p in (0.5, 8.0) for c in (1.0, 4.0)]


class TestIsTheProxOfItsPrior:
    @pytest.mark.parametrize(("weight", "penalty", "scale"), SETTINGS)
    def test_deviation_against_brute_force(self, weight: float, penalty: float, scale: float) -> None:
        v = random(1, 2, 2, 3)
        target = v.flatten().numpy()

        def cost(z: np.ndarray) -> float:  # type: ignore[type-arg]
            return float(weight * np.sum((z / scale) ** 2) / 2 + penalty / 2 * np.sum((z - target) ** 2))

        found = DenoiserProx(ridge, weight, scale=scale)(v, torch.tensor(penalty))
        best = minimize(cost, target, method="Powell", options={"xtol": 1e-10, "ftol": 1e-15}).x
        np.testing.assert_allclose(found.flatten().numpy(), best, atol=1e-6)

    @pytest.mark.parametrize(("weight", "penalty", "scale"), SETTINGS)
    def test_variance_against_the_closed_form(self, weight: float, penalty: float, scale: float) -> None:
        v = 3 * random(2, 3, 4, 5)
        found = DenoiserProx(shrink, weight, scale=scale, level="variance")(v, torch.tensor(penalty))
        expected = SoftThreshold(weight / scale)(v, torch.tensor(penalty))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert not torch.equal(found, v)

    def test_each_image_has_its_penalty(self) -> None:
        v, penalty = random(3, 2, 4, 4), torch.tensor([0.5, 2.0, 30.0], dtype=torch.float64)
        prox = DenoiserProx(ridge, 0.7)
        found = prox(v, penalty.view(3, 1, 1, 1))
        for i in range(3):
            torch.testing.assert_close(found[i : i + 1], prox(v[i : i + 1], penalty[i]), rtol=0, atol=0)

    def test_weight_zero_is_the_identity(self) -> None:
        v = random(1, 1, 4, 4)
        assert DenoiserProx(ridge, 0.0)(v, torch.tensor(1.0)) is v


class TestWhatTheDenoiserSees:
    @pytest.mark.parametrize("one_by_one", [False, True])
    def test_shapes(self, one_by_one: bool) -> None:
        seen = []

        def denoiser(u: Tensor, level: Tensor) -> Tensor:
            seen.append((u, level))
            return u * level.view(-1, 1, 1, 1)

        v, penalty = random(2, 3, 4, 5), torch.tensor([4.0, 16.0])
        found = DenoiserProx(denoiser, one_by_one=one_by_one)(v, penalty)
        (u, level), deviation = seen[0], torch.tensor([0.5, 0.25], dtype=torch.float64)
        assert u.shape == ((6, 1, 4, 5) if one_by_one else v.shape)
        torch.testing.assert_close(level, deviation.repeat_interleave(3) if one_by_one else deviation)
        torch.testing.assert_close(found, v * deviation.view(2, 1, 1, 1))

    def test_is_a_prox_that_is_not_pointwise(self) -> None:
        prox = DenoiserProx(ridge)
        assert isinstance(prox, Prox)
        assert not prox.pointwise

    def test_the_context_is_not_used(self) -> None:
        v, penalty = random(2, 1, 4, 4), torch.tensor(2.0)
        assert torch.equal(DenoiserProx(ridge)(v, penalty, torch.ones(2, 5)), DenoiserProx(ridge)(v, penalty))

    def test_a_modules_parameters_are_the_proxs(self) -> None:
        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(1, 1, 3, padding=1)

            def forward(self, u: Tensor, level: Tensor) -> Tensor:
                found: Tensor = self.conv(u)
                return found

        prox = DenoiserProx(Network())
        prox(torch.rand(1, 1, 6, 6), torch.tensor(1.0)).sum().backward()
        assert [p.grad is not None for p in prox.parameters()] == [True, True]

    def test_gradcheck(self) -> None:
        v, penalty = random(2, 2, 3, 3).requires_grad_(), torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(DenoiserProx(ridge, 0.4, scale=2.0), (v, penalty))

    def test_single_precision_stays(self) -> None:
        assert DenoiserProx(ridge)(torch.rand(1, 1, 4, 4), torch.tensor(2.0).double()).dtype == torch.float32

    def test_shown(self) -> None:
        assert "weight=0.5, scale=1, level='variance', one_by_one=True" in repr(
            DenoiserProx(shrink, 0.5, level="variance", one_by_one=True)
        )


class TestRaises:
    def test_arguments(self) -> None:
        with pytest.raises(TypeError, match="denoiser must map pictures and a level to pictures; found str"):
            DenoiserProx("bm3d")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="weight must be at least 0; found -1"):
            DenoiserProx(ridge, -1.0)
        with pytest.raises(ValueError, match="weight must be finite"):
            DenoiserProx(ridge, float("inf"))
        with pytest.raises(ValueError, match="scale must be above 0; found 0"):
            DenoiserProx(ridge, scale=0.0)
        with pytest.raises(ValueError, match="scale must be at least 0; found -2"):
            DenoiserProx(ridge, scale=-2.0)
        with pytest.raises(ValueError, match="level must be one of 'standard_deviation', 'variance'; found 'sigma'"):
            DenoiserProx(ridge, level="sigma")  # type: ignore[arg-type]

    def test_calls(self) -> None:
        prox = DenoiserProx(ridge)
        with pytest.raises(ValueError, match=r"v must have shape \(B, K, H, W\); found \(1, 4, 9\)"):
            prox(torch.zeros(1, 4, 9), torch.tensor(1.0))
        with pytest.raises(
            ValueError, match=r"penalty must be a number or one for each of 2 images; found shape \(3,\)"
        ):
            prox(torch.zeros(2, 1, 4, 4), torch.ones(3))
        with pytest.raises(ValueError, match=r"denoiser must keep the shape \(1, 1, 4, 4\); found \(1, 1, 3, 4\)"):
            DenoiserProx(lambda u, s: u[..., 1:, :])(torch.zeros(1, 1, 4, 4), torch.tensor(1.0))
        with pytest.raises(ValueError, match=r"denoiser must keep the shape \(1, 1, 4, 4\); found tuple"):
            DenoiserProx(lambda u, s: (u, s))(torch.zeros(1, 1, 4, 4), torch.tensor(1.0))  # type: ignore[arg-type,return-value]
