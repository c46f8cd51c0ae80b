"""Closed-form proximal operators: against their definition, against other solvers, at their thresholds and kinks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from dirtypixels.restore.prox import HyperLaplacian, IsotropicTV, Prox, SoftThreshold

POWERS = (1 / 2, 2 / 3)
SETTINGS = [(weight, penalty) for weight in (0.05, 1.0, 4.0) for penalty in (0.3, 1.0, 25.0)]
KINDS: list[Callable[..., Prox]] = [
    SoftThreshold,
    IsotropicTV,
    lambda weight: HyperLaplacian(1 / 2, weight),
    lambda weight: HyperLaplacian(2 / 3, weight),
]
NAMES = ["soft", "tv", "half", "two_thirds"]
every = pytest.mark.parametrize("kind", KINDS, ids=NAMES)
separable = pytest.mark.parametrize("kind", [KINDS[i] for i in (0, 2, 3)], ids=[NAMES[i] for i in (0, 2, 3)])
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def tensor(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def power_of(prox: Prox) -> float:
    return prox.p if isinstance(prox, HyperLaplacian) else 1.0


def objective(prox: Prox, weight: float, penalty: float, z: Tensor, v: Tensor) -> Tensor:
    """weight |z|^p + penalty/2 |z - v|^2 of one response."""
    return weight * z.abs() ** power_of(prox) + penalty / 2 * (z - v) ** 2


def threshold(p: float, weight: float, penalty: float) -> float:
    """Where the cost of 0 equals the cost of the other minimum, by bisection on the definition."""

    def best(v: float) -> float:
        # The largest root of the derivative lies between the inflection of the cost and v.
        low, high = (weight * p * (1 - p) / penalty) ** (1 / (2 - p)), v
        if low >= v or weight * p * low ** (p - 1) + penalty * (low - v) > 0:
            return math.inf
        for _ in range(200):
            middle = (low + high) / 2
            if weight * p * middle ** (p - 1) + penalty * (middle - v) > 0:
                high = middle
            else:
                low = middle
        return weight * low**p + penalty / 2 * (low - v) ** 2 - penalty / 2 * v**2

    low, high = 0.0, 1e3
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if best(middle) < 0 else (middle, high)
    return low


class TestDefinition:
    @dtypes
    @separable
    @pytest.mark.parametrize(("weight", "penalty"), SETTINGS)
    def test_brute_force(self, kind: Callable[..., Prox], weight: float, penalty: float, dtype: torch.dtype) -> None:
        prox = kind(weight=weight)
        v = torch.linspace(-4, 4, 83, dtype=dtype)
        z = prox(v[None, None], tensor(penalty, dtype))
        assert z.dtype == dtype
        z = z[0, 0].double()
        v = v.double()
        grid = torch.linspace(-4, 4, 16001, dtype=torch.float64)
        costs = objective(prox, weight, penalty, grid, v[:, None])
        found = objective(prox, weight, penalty, z, v)
        least, where = costs.min(1)
        # Nothing on the grid is cheaper but for rounding; the cost is largest at the ends, where rounding enters.
        assert bool((found <= least + 4 * torch.finfo(dtype).eps * costs.abs().max()).all())
        # Where 0 and the other minimum cost about the same, either may be nearest on the grid.
        zero = objective(prox, weight, penalty, torch.zeros_like(v), v)
        others = costs.masked_fill(grid.abs() < 0.05, math.inf).min(1).values
        clear = ((zero - others).abs() > 1e-2 * zero) | (power_of(prox) == 1)
        assert int(clear.sum()) > 60
        assert float((z - grid[where])[clear].abs().max()) <= 5e-4

    @dtypes
    @pytest.mark.parametrize(("weight", "penalty"), SETTINGS[::4])
    def test_brute_force_of_a_group(self, weight: float, penalty: float, dtype: torch.dtype) -> None:
        v = 2 * random(1, 2, 6).to(dtype)
        z = IsotropicTV(weight)(v, tensor(penalty, dtype)).double()
        side = torch.linspace(-5, 5, 401, dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(side, side, indexing="ij")).reshape(2, -1)
        for pixel in range(6):
            at = v[0, :, pixel, None].double()

            def cost(z: Tensor, at: Tensor = at) -> Tensor:
                return weight * z.norm(dim=0) + penalty / 2 * (z - at).square().sum(0)

            costs = cost(grid)
            found = cost(z[0, :, pixel, None])
            assert float(found) <= float(costs.min() + 4 * torch.finfo(dtype).eps * costs.max())
            # Strong convexity: penalty/2 |z - z*|^2 is at most what the nearest grid point costs more.
            near = cost(grid[:, costs.argmin(), None]) - found
            reach = float((2 * near.clamp_min(0) / penalty).sqrt())
            assert float((grid[:, costs.argmin()] - z[0, :, pixel]).norm()) <= reach + 1e-6


class TestIndependent:
    @pytest.mark.parametrize(("weight", "penalty"), SETTINGS)
    @pytest.mark.parametrize("p", POWERS)
    def test_hyper_laplacian_by_numpy_roots(self, p: float, weight: float, penalty: float) -> None:
        v = 4 * random(1, 1, 60)
        z = HyperLaplacian(p, weight)(v, tensor(penalty))[0, 0]
        # Stationary |z| as polynomial: of u = sqrt|z| for p = 1/2, of u = cbrt|z| for p = 2/3.
        n = 2 if p == 1 / 2 else 3
        for response, found in zip(v.flatten().tolist(), z.tolist(), strict=True):
            coefficients = [penalty, 0, -penalty * abs(response), weight * p]
            if n == 3:
                coefficients.insert(1, 0)
            roots = np.roots(coefficients)
            real = [0.0, *(r.real**n for r in roots if abs(r.imag) < 1e-9 and r.real > 0)]
            costs = [weight * r**p + penalty / 2 * (r - abs(response)) ** 2 for r in real]
            expected = math.copysign(real[int(np.argmin(costs))], response)
            assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)

    @pytest.mark.parametrize(("weight", "penalty"), SETTINGS)
    def test_tv_by_descent(self, weight: float, penalty: float) -> None:
        v = 3 * random(1, 5, 6)
        z = IsotropicTV(weight)(v, tensor(penalty))
        for pixel in range(6):
            at = v[0, :, pixel].numpy()

            # Smoothed by 1e-9, which moves the minimum by less than the square root of what it adds.
            def cost(z: np.ndarray, at: np.ndarray = at) -> tuple[float, np.ndarray]:
                norm = math.sqrt(float(z @ z) + 1e-18)
                return weight * norm + penalty / 2 * float((z - at) @ (z - at)), weight * z / norm + penalty * (z - at)

            options = {"maxiter": 2000, "ftol": 0.0, "gtol": 1e-10}
            solved = minimize(cost, at, jac=True, method="L-BFGS-B", options=options).x
            np.testing.assert_allclose(z[0, :, pixel].numpy(), solved, atol=1e-6)

    @pytest.mark.parametrize(("weight", "penalty"), SETTINGS)
    def test_soft_threshold_by_line_search(self, weight: float, penalty: float) -> None:
        v = 4 * random(1, 3, 10)
        z = SoftThreshold(weight)(v, tensor(penalty))
        for response, found in zip(v.flatten().tolist(), z.flatten().tolist(), strict=True):

            def cost(z: float, at: float = response) -> float:
                return weight * abs(z) + penalty / 2 * (z - at) ** 2

            solved = minimize_scalar(cost, bounds=(-20, 20), method="bounded", options={"xatol": 1e-10}).x
            assert found == pytest.approx(solved, abs=1e-6)


class TestThreshold:
    @pytest.mark.parametrize(("weight", "penalty"), SETTINGS)
    @pytest.mark.parametrize("p", POWERS)
    def test_hyper_laplacian_jumps_where_both_minima_cost_as_much(
        self, p: float, weight: float, penalty: float
    ) -> None:
        at = threshold(p, weight, penalty)
        v = torch.tensor([1 - 1e-9, 1 + 1e-9], dtype=torch.float64)[None, None] * at
        below, above = HyperLaplacian(p, weight)(v, tensor(penalty))[0, 0].tolist()
        assert below == 0
        # h(1) = 2/3 and 1/2: the double root of the cubic and of the quartic at the threshold.
        assert above / at == pytest.approx(2 / 3 if p == 1 / 2 else 1 / 2, rel=1e-8)

    def test_soft_and_group_threshold(self) -> None:
        ends = torch.tensor([0.5, -0.5, 0.5 + 1e-6, -0.5 - 1e-6], dtype=torch.float64)
        expected = [0, 0, 1e-6, -1e-6]
        assert SoftThreshold(2.0)(ends[None, None], tensor(4.0))[0, 0].tolist() == pytest.approx(expected, abs=1e-15)
        unit = torch.tensor([0.6, 0.8], dtype=torch.float64)[None, :, None]
        z = IsotropicTV(2.0)(ends * unit, tensor(4.0))
        torch.testing.assert_close(z, torch.tensor(expected, dtype=torch.float64) * unit, rtol=0, atol=1e-15)

    @every
    def test_nothing_is_left_of_what_is_small(self, kind: Callable[..., Prox]) -> None:
        z = kind(weight=1.0)(random(2, 3, 4, 4) * 1e-3, tensor(1.0))
        assert int(z.count_nonzero()) == 0


class TestInvariance:
    @every
    @dtypes
    def test_odd(self, kind: Callable[..., Prox], dtype: torch.dtype) -> None:
        prox, v = kind(weight=0.7), (2 * random(2, 4, 9, 3)).to(dtype)
        penalty = tensor(1.3, dtype)
        assert torch.equal(prox(-v, penalty), -prox(v, penalty))

    @every
    def test_scale(self, kind: Callable[..., Prox]) -> None:
        # g is of degree p: prox of s v under penalty s^(p - 2) is s times prox of v.
        prox, v = kind(weight=0.7), 2 * random(2, 4, 9)
        for scale in (1e-3, 7.0):
            scaled = prox(scale * v, tensor(1.3 * scale ** (power_of(prox) - 2)))
            torch.testing.assert_close(scaled, scale * prox(v, tensor(1.3)), rtol=1e-12, atol=0)

    @every
    def test_weight_and_penalty_enter_as_their_ratio(self, kind: Callable[..., Prox]) -> None:
        v = 2 * random(2, 4, 9)
        torch.testing.assert_close(kind(weight=3.0)(v, tensor(6.0)), kind(weight=0.5)(v, tensor(1.0)))

    @every
    def test_without_weight_nothing_changes(self, kind: Callable[..., Prox]) -> None:
        v = random(1, 3, 5)
        assert torch.equal(kind(weight=0)(v, tensor(2.0)), v)

    def test_tv_prefers_no_direction(self) -> None:
        prox, v = IsotropicTV(0.8), random(2, 3, 5, 4)
        rotation = torch.linalg.qr(random(3, 3, seed=1))[0]
        turned = torch.einsum("jk,bkhw->bjhw", rotation, v)
        expected = torch.einsum("jk,bkhw->bjhw", rotation, prox(v, tensor(1.0)))
        torch.testing.assert_close(prox(turned, tensor(1.0)), expected, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(SoftThreshold(0.8)(turned, tensor(1.0)), expected, atol=1e-2)


class TestPenaltyOfEachImage:
    PENALTIES = (0.3, 1.1, 25.0)

    @every
    @dtypes
    @pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 30), (3, 4)])
    @pytest.mark.parametrize("weight", [0.0, 0.7])
    def test_each_image_as_if_alone(
        self, kind: Callable[..., Prox], dtype: torch.dtype, shape: tuple[int, ...], weight: float
    ) -> None:
        prox, v = kind(weight=weight), (2 * random(*shape)).to(dtype)
        penalty = torch.tensor(self.PENALTIES, dtype=dtype).reshape(3, *[1] * (len(shape) - 1))
        z = prox(v, penalty)
        assert z.shape == v.shape
        assert z.dtype == dtype
        for i, value in enumerate(self.PENALTIES):
            torch.testing.assert_close(z[i : i + 1], prox(v[i : i + 1], tensor(value, dtype)), rtol=1e-6, atol=0)

    @separable
    def test_brute_force(self, kind: Callable[..., Prox]) -> None:
        prox, v = kind(weight=0.7), 2 * random(3, 2, 10)
        z = prox(v, torch.tensor(self.PENALTIES, dtype=torch.float64).reshape(3, 1, 1))
        grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
        for i, penalty in enumerate(self.PENALTIES):
            least = objective(prox, 0.7, penalty, grid, v[i, ..., None]).amin(-1)
            assert bool((objective(prox, 0.7, penalty, z[i], v[i]) <= least + 1e-12).all())

    def test_brute_force_of_a_group(self) -> None:
        prox, v = IsotropicTV(0.7), 2 * random(3, 2, 4)
        z = prox(v, torch.tensor(self.PENALTIES, dtype=torch.float64).reshape(3, 1, 1))
        side = torch.linspace(-7, 7, 281, dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(side, side, indexing="ij")).reshape(2, -1, 1)
        for i, penalty in enumerate(self.PENALTIES):

            def cost(z: Tensor, at: Tensor = v[i, :, None], penalty: float = penalty) -> Tensor:
                return 0.7 * z.norm(dim=0) + penalty / 2 * (z - at).square().sum(0)

            assert bool((cost(z[i, :, None])[0] <= cost(grid).amin(0) + 1e-12).all())

    @every
    def test_each_pixel_may_have_its_own(self, kind: Callable[..., Prox]) -> None:
        prox, v, penalty = kind(weight=0.7), 2 * random(2, 3, 4), 0.3 + random(2, 1, 4, seed=1).abs()
        z = prox(v, penalty)
        for i in range(2):
            for p in range(4):
                alone = prox(v[i : i + 1, :, p], penalty[i, 0, p])
                torch.testing.assert_close(z[i : i + 1, :, p], alone, rtol=1e-12, atol=0)

    @every
    def test_gradcheck(self, kind: Callable[..., Prox]) -> None:
        prox = kind(weight=0.4)
        size = torch.tensor([0.05, 1.6, 0.02, 3.0], dtype=torch.float64)  # far from every threshold, on both sides
        v = (size * torch.tensor([[[1.0], [-1.0]], [[-1.0], [1.0]]], dtype=torch.float64)).requires_grad_()
        penalty = torch.tensor([[[0.8]], [[1.3]]], dtype=torch.float64, requires_grad=True)
        assert int(prox(v, penalty).count_nonzero()) == v.numel() // 2
        assert torch.autograd.gradcheck(prox, (v, penalty))
        assert torch.autograd.gradgradcheck(prox, (v, penalty))

    @every
    def test_change_follows_its_definition(self, kind: Callable[..., Prox]) -> None:
        prox, penalty = kind(weight=0.4), torch.tensor(self.PENALTIES, dtype=torch.float64).reshape(3, 1, 1)
        analysis, patches = random(6, 9, seed=1), random(9, 30, seed=2)
        v = analysis @ patches
        each = [prox(part[None], value)[0] - part for part, value in zip(v.chunk(3, 1), penalty.flatten(), strict=True)]
        expected = analysis.T @ torch.cat(each, 1)
        torch.testing.assert_close(prox.change(analysis, patches, penalty), expected, rtol=1e-12, atol=1e-12)

    @every
    @pytest.mark.parametrize("weight", [0.0, 1.0])
    @pytest.mark.parametrize(
        ("shape", "found"),
        [
            ((3, 4, 5), (3,)),
            ((3, 4, 5), (3, 1)),
            ((3, 4, 5), (3, 1, 1, 1)),
            ((3, 4, 5), (2, 1, 1)),
            ((1, 4, 5), (3, 1, 1)),
            ((3, 4, 5), (3, 4, 1)),
            ((3, 4, 5), (3, 1, 4)),
        ],
    )
    def test_raises_for_other_shapes(
        self, kind: Callable[..., Prox], shape: tuple[int, ...], found: tuple[int, ...], weight: float
    ) -> None:
        message = f"penalty must be a scalar or have shape (1|B, 1, ...) for v {shape}; found {found}"
        with pytest.raises(ValueError, match=re.escape(message)):
            kind(weight=weight)(torch.zeros(shape), torch.ones(found))


class TestRange:
    @pytest.mark.parametrize("p", POWERS)
    def test_float32_keeps_its_precision_over_its_range(self, p: float) -> None:
        # A chain of about 15 roundings, of which the worst conditioned step, 2/s - y at the threshold, weighs 10 / 2.
        for exponent in (-20, -8, 0, 8, 20):
            scale = 10.0**exponent
            penalty = scale ** (p - 2)
            v = torch.linspace(1.6, 400, 999, dtype=torch.float64)[None, None]
            exact = HyperLaplacian(p, 0.5)(v, tensor(1.0)) * scale
            found = HyperLaplacian(p, 0.5)((v * scale).float(), tensor(penalty, torch.float32)).double()
            assert float((found / exact - 1).abs().max()) < 16 * torch.finfo(torch.float32).eps

    @every
    def test_infinite_and_missing_values_are_not_hidden(self, kind: Callable[..., Prox]) -> None:
        v = torch.tensor([math.nan, 1.0], dtype=torch.float64)[None, None]
        assert kind(weight=0.1)(v, tensor(1.0)).isnan().tolist() == [[[True, False]]]

    @every
    def test_empty(self, kind: Callable[..., Prox]) -> None:
        assert kind(weight=1.0)(torch.zeros(0, 3, 4), tensor(1.0)).shape == (0, 3, 4)


class TestGradient:
    @every
    def test_gradcheck(self, kind: Callable[..., Prox]) -> None:
        prox = kind(weight=0.4)
        # Far from every threshold (at most 0.9 for these weights): half of the pixels below, half above.
        size = torch.tensor([0.05, 0.1, 1.2, 2.0, 3.0, 0.02], dtype=torch.float64)
        v = (size * torch.tensor([1, -1], dtype=torch.float64)[None, :, None]).requires_grad_()
        penalty = tensor(1.1).requires_grad_()
        assert 0 < int(prox(v, penalty).count_nonzero()) < v.numel()
        assert torch.autograd.gradcheck(prox, (v, penalty))
        assert torch.autograd.gradgradcheck(prox, (v, penalty))

    @every
    @dtypes
    def test_finite_everywhere(self, kind: Callable[..., Prox], dtype: torch.dtype) -> None:
        prox = kind(weight=0.4)
        at = [0.0, 1e-30, 1.0, 1e6, 1e15, *(threshold(p, 0.4, 1.0) for p in POWERS), 0.4]
        v = torch.tensor([at, [0.0] * len(at)], dtype=dtype)[None].requires_grad_()
        penalty = tensor(1.0, dtype).requires_grad_()
        gradients = torch.autograd.grad(prox(v, penalty).sum(), (v, penalty))
        assert all(bool(g.isfinite().all()) for g in gradients)
        assert gradients[0][0, 0, :2].tolist() == [0, 0]  # 0 is a minimum that stays

    @every
    def test_change_follows_its_definition(self, kind: Callable[..., Prox]) -> None:
        prox, penalty = kind(weight=0.4), tensor(1.1)
        analysis, patches = random(6, 9, seed=1), random(9, 40, seed=2)
        v = analysis @ patches
        expected = analysis.T @ (prox(v[None], penalty)[0] - v)
        torch.testing.assert_close(prox.change(analysis, patches, penalty), expected, rtol=1e-12, atol=1e-12)


class TestRaises:
    @every
    @pytest.mark.parametrize(
        ("weight", "message"),
        [(-0.5, "weight must be at least 0; found -0.5"), (math.nan, "weight must be finite"), (math.inf, "finite")],
    )
    def test_weight(self, kind: Callable[..., Prox], weight: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            kind(weight=weight)

    @pytest.mark.parametrize("p", [0.0, 0.6667, 1.0, 2])
    def test_power(self, p: float) -> None:
        with pytest.raises(ValueError, match=re.escape(f"p must be one of 0.5, {2 / 3!r}; found {p!r}")):
            HyperLaplacian(p)

    def test_responses_of_a_group(self) -> None:
        with pytest.raises(ValueError, match=re.escape("v must have shape (B, K, ...); found (5,)")):
            IsotropicTV()(torch.zeros(5), tensor(1.0))
