"""Shrinkage by Gaussians: the table against the direct sum, its ends, its gradients, and the blocks it works in."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.func import functional_call

from dirtypixels.restore.filters import analyze, dct_filters, map_patches, synthesize
from dirtypixels.restore.prox import Prox, RBFShrinkage, rbf

ONE = torch.tensor(1.0, dtype=torch.float64)
Array = npt.NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(channels: int = 3, functions: int = 53, reach: float = 10.4, features: int = 0) -> RBFShrinkage:
    """Weights as training could leave them."""
    prox = RBFShrinkage(channels, functions, reach, features).double()
    with torch.no_grad():
        for i, parameter in enumerate(prox.parameters()):
            parameter.copy_((1.0 if i == 0 else 0.3) * random(*parameter.shape, seed=10 + i))
    return prox


def gaussians(prox: RBFShrinkage, v: Array, order: int = 0) -> Array:
    """Derivatives of every Gaussian, (functions, *v.shape), by Hermite's polynomials."""
    functions = prox.weights.shape[1]
    mu = np.linspace(-prox.reach, prox.reach, functions).reshape(-1, *[1] * v.ndim)
    gamma = 2 * prox.reach / (functions - 1)
    t = (v - mu) / gamma
    polynomial = (1, -t, t**2 - 1, 0, t**4 - 6 * t**2 + 3)[order]
    return np.asarray(polynomial * np.exp(-(t**2) / 2) / gamma**order)


def direct(prox: RBFShrinkage, v: Tensor) -> Array:
    """phi of (B, K, ...), as its equation says."""
    inside = v.double().numpy().clip(-prox.reach, prox.reach)
    weights = prox.weights.detach().double().numpy()
    return v.double().numpy() + np.einsum("kj,jbk...->bk...", weights, gaussians(prox, inside))


def largest(prox: RBFShrinkage, order: int) -> float:
    """``max |c^(order)|`` over all responses, on a grid so fine that it misses less than 1%."""
    grid = np.linspace(-prox.reach, prox.reach, 40 * prox.weights.shape[1])
    weights = prox.weights.detach().double().numpy()
    return 1.01 * float(np.abs(weights @ gaussians(prox, grid, order)).max())


def step(prox: RBFShrinkage) -> float:
    return 2 * prox.reach / (prox.weights.shape[1] - 1) / 16


SETTINGS = [(53, 10.4), (53, 0.7), (9, 3.0), (2, 1.0)]


class TestSum:
    @pytest.mark.parametrize(("functions", "reach"), SETTINGS)
    def test_value(self, functions: int, reach: float) -> None:
        prox = trained(3, functions, reach)
        v = torch.linspace(-1.3 * reach, 1.3 * reach, 2001, dtype=torch.float64).expand(2, 3, -1)
        # Hermite's cubic: h^4 / 384 of the fourth derivative.
        bound = step(prox) ** 4 / 384 * largest(prox, 4)
        assert bound < 2e-6  # 3.2e-7 for each unit of weight
        error = np.abs(prox(v, ONE).detach().numpy() - direct(prox, v))
        assert error.max() <= bound
        assert error.max() > 0.2 * bound  # and no better: it is the table that is tested

    def test_bound_for_each_unit_of_weight(self) -> None:
        grid = np.linspace(-1, 1, 4001)
        prox = RBFShrinkage(1, 53, 26)  # spacing 1
        assert np.abs(gaussians(prox, grid, 4)).sum(0).max() / 384 / 16**4 < 3.2e-7

    @pytest.mark.parametrize("reach", [10.4, 0.7])
    def test_value_in_single_precision(self, reach: float) -> None:
        prox = trained(3, reach=reach).float()
        v = (0.5 * reach * random(2, 3, 999)).float()
        error = np.abs(prox(v, ONE.float()).detach().double().numpy() - direct(prox, v))
        # The interpolant's own, the rounding of v / h (two factors), that of a sum of 53 terms of which about 6
        # count (random signs), and that of z.
        eps = torch.finfo(torch.float32).eps
        slope, size = largest(prox, 1), 2.51 * float(prox.weights.detach().abs().max())
        rounding = reach * slope + 6 * size + float(v.abs().max())
        assert error.max() <= step(prox) ** 4 / 384 * largest(prox, 4) + eps * rounding

    @pytest.mark.parametrize(("functions", "reach"), SETTINGS)
    def test_slope(self, functions: int, reach: float) -> None:
        prox = trained(1, functions, reach)
        v = torch.linspace(-0.999 * reach, 0.999 * reach, 2001, dtype=torch.float64)[None, None].requires_grad_()
        (slope,) = torch.autograd.grad(prox(v, ONE).sum(), v)
        expected = 1 + np.einsum(
            "j,jl->l", prox.weights.detach().numpy()[0], gaussians(prox, v.detach().numpy()[0, 0], 1)
        )
        # Hermite's cubic: sqrt(3) / 216 h^3 of the fourth derivative.
        bound = math.sqrt(3) / 216 * step(prox) ** 3 * largest(prox, 4)
        np.testing.assert_allclose(slope.numpy()[0, 0], expected, rtol=0, atol=bound + 1e-12)

    def test_gradient_of_the_weights(self) -> None:
        prox = trained()
        v, above = 6 * random(2, 3, 50), random(2, 3, 50, seed=1)
        (found,) = torch.autograd.grad((prox(v, ONE) * above).sum(), prox.weights)
        inside = v.numpy().clip(-prox.reach, prox.reach)
        expected = np.einsum("jbkl,bkl->kj", gaussians(prox, inside), above.numpy())
        # The fourth derivative of a Gaussian is at most 3 / gamma^4.
        atol = 3 / 384 / 16**4 * float(above.abs().sum((0, 2)).max())
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=atol)

    def test_value_and_slope_go_on_from_cell_to_cell(self) -> None:
        prox = trained(1, 9, 3.0)
        nodes = torch.arange(-63, 64, dtype=torch.float64) * step(prox)
        sides = [(nodes + s * 1e-10)[None, None].requires_grad_() for s in (-1, 1)]
        values = [prox(v, ONE) for v in sides]
        slopes = [torch.autograd.grad(z.sum(), v)[0] for z, v in zip(values, sides, strict=True)]
        steepest, bent = 1 + largest(prox, 1), largest(prox, 2)
        torch.testing.assert_close(values[0], values[1], rtol=0, atol=2.1e-10 * steepest)
        torch.testing.assert_close(slopes[0], slopes[1], rtol=0, atol=2.1e-10 * bent + 1e-12)


class TestRange:
    def test_starts_as_the_identity(self) -> None:
        v = 20 * random(2, 24, 5, 4)
        assert torch.equal(RBFShrinkage().double()(v, ONE), v)

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_beyond_the_reach_it_goes_on_with_slope_1(self, sign: int) -> None:
        prox = trained(2)
        ends = sign * prox.reach * torch.tensor([1 - 1e-12, 1, 1 + 1e-12, 1.5, 1e3, 1e8], dtype=torch.float64)
        v = ends.expand(1, 2, -1).clone().requires_grad_()
        z = prox(v, ONE)
        (slope,) = torch.autograd.grad(z.sum(), v)
        added = (z - v).detach()
        torch.testing.assert_close(added, added[..., 1:2].expand_as(added), rtol=0, atol=1e-7)
        assert float(added[0, :, 1].abs().min()) > 0.1
        assert bool((slope[..., 2:] == 1).all())

    def test_gaussians_alone_fit_the_identity_less_well(self) -> None:
        prox = RBFShrinkage(1)  # what its docstring says of the form without v
        grid = np.linspace(-prox.reach, prox.reach, 2001)
        basis = gaussians(prox, grid).T
        weights = np.linalg.lstsq(basis, grid, rcond=None)[0]
        assert np.abs(basis @ weights - grid).max() / prox.reach == pytest.approx(0.04, abs=0.005)

    def test_infinite_and_missing_values_are_not_hidden(self) -> None:
        v = torch.tensor([[math.nan, math.inf, -math.inf, 0.5]] * 2, dtype=torch.float64)[None].requires_grad_()
        z = trained(2)(v, ONE)
        assert z[0, 0, 0].isnan()
        assert z[0, 0, 1:3].tolist() == [math.inf, -math.inf]
        assert torch.equal(z[..., 3:], trained(2)(v[..., 3:], ONE))
        (slope,) = torch.autograd.grad(z.sum(), v)
        assert slope[0, 0, 1:3].tolist() == [1, 1]


class TestLocality:
    def test_each_response_by_itself(self) -> None:
        prox, v = trained(4), random(1, 4, 5, 4)
        other = v.clone()
        other[0, 1, 2, 3] += 1
        assert (prox(other, ONE) != prox(v, ONE)).nonzero().tolist() == [[0, 1, 2, 3]]

    def test_each_response_has_its_own_function(self) -> None:
        prox, v = trained(4), random(1, 1, 9).expand(1, 4, 9)
        z = prox(v, ONE)[0].detach()
        assert min(float((z[i] - z[j]).abs().max()) for i in range(4) for j in range(i)) > 0.1

    @pytest.mark.parametrize("chunk", [1, 7, 50, 200, 10**6])
    @pytest.mark.parametrize("shape", [(1, 3), (2, 3, 1), (3, 3, 5, 4), (7, 3, 4), (1, 3, 40), (0, 3, 4), (2, 3, 0)])
    def test_chunks_do_not_show(self, shape: tuple[int, ...], chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
        prox = trained()
        v, above = (5 * random(*shape)).requires_grad_(), random(*shape, seed=1)
        monkeypatch.setitem(rbf._CHUNK, "cpu", chunk)
        z = prox(v, ONE)
        slopes, weights = torch.autograd.grad((z * above).sum(), (v, prox.weights))
        np.testing.assert_allclose(z.detach().numpy(), direct(prox, v.detach()), rtol=0, atol=2e-6)
        monkeypatch.undo()
        expected = torch.autograd.grad((prox(v, ONE) * above).sum(), (v, prox.weights))
        assert torch.equal(slopes, expected[0])
        torch.testing.assert_close(weights, expected[1], rtol=1e-12, atol=1e-12)

    def test_any_memory_layout(self) -> None:
        prox, v = trained(), random(2, 6, 5, 3).permute(0, 3, 2, 1)
        assert torch.equal(prox(v, ONE), prox(v.contiguous(), ONE))
        leaf = v.detach().requires_grad_()
        turned = random(2, 6, 5, 3, seed=1).permute(0, 3, 2, 1)
        (found,) = torch.autograd.grad(prox(leaf, ONE), leaf, turned)
        (expected,) = torch.autograd.grad(prox(leaf, ONE), leaf, turned.contiguous())
        assert torch.equal(found, expected)

    def test_only_the_responses_are_kept_for_the_gradient(self) -> None:
        prox, kept = trained(), 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        def total(length: int) -> int:
            nonlocal kept
            kept = 0
            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                prox(random(1, 3, length).requires_grad_(), ONE)
            return kept

        assert total(2000) - total(1000) == 3 * 1000


class TestGradient:
    def test_gradcheck(self) -> None:
        prox = trained(2, 5, 2.0, features=2)
        names = [name for name, _ in prox.named_parameters()]
        params = [p.detach().clone().requires_grad_() for p in prox.parameters()]
        v, context = (3 * random(2, 2, 4)).requires_grad_(), random(2, 2, seed=1).requires_grad_()
        assert 0 < int((v.abs() > 2).sum()) < v.numel()

        def forward(v: Tensor, context: Tensor, *values: Tensor) -> Tensor:
            return functional_call(prox, dict(zip(names, values, strict=True)), (v, ONE, context))

        assert torch.autograd.gradcheck(forward, (v, context, *params))

    def test_gradcheck_of_the_change(self) -> None:
        prox = trained(2, 5, 2.0)

        class Change(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.prox = prox

            def forward(self, analysis: Tensor, patches: Tensor) -> Tensor:
                return self.prox.change(analysis, patches, ONE)

        def change(analysis: Tensor, patches: Tensor, weights: Tensor) -> Tensor:
            return functional_call(Change(), {"prox.weights": weights}, (analysis, patches))

        leaves = (random(2, 5, seed=1), random(5, 4, seed=2), prox.weights.detach().clone())
        assert torch.autograd.gradcheck(change, [leaf.requires_grad_() for leaf in leaves])

    def test_gradients_only_where_they_are_wanted(self) -> None:
        prox, v = trained(), random(1, 3, 8)
        prox(v, ONE).sum().backward()
        assert prox.weights.grad is not None
        prox.requires_grad_(False)
        leaf = v.clone().requires_grad_()
        (slope,) = torch.autograd.grad(prox(leaf, ONE).sum(), leaf)
        assert bool((slope != 1).any())

    def test_an_image_seen_without_gradients_first(self) -> None:
        rbf._cubics.cache_clear()
        prox, v = trained(), random(1, 3, 8).requires_grad_()
        with torch.inference_mode():
            expected = prox(v, ONE)
        z = prox(v, ONE)
        assert torch.equal(z, expected)
        z.sum().backward()
        assert v.grad is not None

    def test_in_blocks_of_patches(self) -> None:
        prox, bank, x = trained(8), dct_filters(3).double(), 4 * random(2, 1, 12, 11)
        above, results = random(2, 1, 12, 11, seed=1), []

        class Change(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.prox = prox

            def forward(self, analysis: Tensor, patches: Tensor) -> Tensor:
                return self.prox.change(analysis, patches, ONE)

        def block(patches: Tensor, analysis: Tensor, weights: Tensor) -> Tensor:
            return functional_call(Change(), {"prox.weights": weights}, (analysis, patches))

        for fused in (True, False):
            leaves = [x.clone().requires_grad_(), bank.clone().requires_grad_(), prox.weights]
            if fused:
                out = map_patches(block, leaves[0], 3, leaves[1].flatten(1), leaves[2])
            else:
                v = analyze(leaves[0], leaves[1])
                out = synthesize(prox(v, ONE) - v, leaves[1])
            results.append([out.detach(), *torch.autograd.grad((out * above).sum(), leaves)])
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)

    def test_learns_a_soft_threshold(self) -> None:
        prox, v = RBFShrinkage(2).double(), 4 * random(1, 2, 600)
        target = v - v.clamp(-1.5, 1.5)

        def loss(weights: Array) -> tuple[float, Array]:
            leaf = torch.from_numpy(weights).reshape(2, -1).requires_grad_()
            error = (functional_call(prox, {"weights": leaf}, (v, ONE)) - target).square().mean()
            return error.item(), torch.autograd.grad(error, leaf)[0].flatten().numpy()

        start = np.zeros(prox.weights.numel())
        solved = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 40})
        # The kinks are not in the family: Gaussians 0.4 apart round them off.
        assert solved.fun < 1e-3 * loss(start)[0]


class TestChange:
    @pytest.mark.parametrize("features", [0, 2])
    def test_equals_its_definition(self, features: int) -> None:
        prox, context = trained(6, features=features), random(4, 2, seed=3) if features else None
        analysis, patches = random(6, 9, seed=1), random(9, 40, seed=2)
        expected = Prox.change(prox, analysis, patches, ONE, context)
        torch.testing.assert_close(prox.change(analysis, patches, ONE, context), expected, rtol=1e-12, atol=1e-12)


class TestContext:
    def test_scales_the_function_of_each_image(self) -> None:
        prox, v, context = trained(3, features=2), 3 * random(2, 3, 5, 4), random(2, 2, seed=1)
        assert prox.scales is not None
        plain = trained(3)
        z, (height, width) = prox(v, ONE, context), (context @ prox.scales.T).exp()[..., None, None].chunk(2, 1)
        scaled = v / width
        torch.testing.assert_close(z, v + height * (plain(scaled, ONE) - scaled), rtol=1e-12, atol=1e-12)
        assert float((z - plain(v, ONE)).detach().abs().max()) > 0.1

    def test_changes_nothing_at_the_start(self) -> None:
        prox, v = trained(3, features=2), random(2, 3, 7)
        assert prox.scales is not None
        with torch.no_grad():
            prox.scales.zero_()
        torch.testing.assert_close(prox(v, ONE, random(2, 2)), trained(3)(v, ONE), rtol=0, atol=1e-12)


class TestRaises:
    @pytest.mark.parametrize(("name", "least"), [("channels", 1), ("functions", 2), ("features", 0)])
    def test_sizes(self, name: str, least: int) -> None:
        with pytest.raises(ValueError, match=f"{name} must be at least {least}; found {least - 1}"):
            RBFShrinkage(**{name: least - 1})

    @pytest.mark.parametrize(
        ("reach", "message"),
        [(0.0, "reach must be above 0; found 0"), (-1.0, "reach must be above 0; found -1"), (math.nan, "finite")],
    )
    def test_reach(self, reach: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            RBFShrinkage(reach=reach)

    @pytest.mark.parametrize("shape", [(24,), (2, 23), (2, 25, 4, 4)])
    def test_responses(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=re.escape(f"v must have shape (B, 24, ...); found {shape}")):
            RBFShrinkage()(torch.zeros(shape), torch.tensor(1.0))

    @pytest.mark.parametrize(("features", "found"), [(0, 2), (2, 0), (2, 3)])
    def test_context(self, features: int, found: int) -> None:
        prox, context = RBFShrinkage(6, features=features), torch.zeros(1, found) if found else None
        with pytest.raises(ValueError, match=f"context must have {features} features; found {found}"):
            prox(torch.zeros(1, 6, 7), ONE, context)
        with pytest.raises(ValueError, match=f"context must have {features} features; found {found}"):
            prox.change(torch.zeros(6, 9), torch.zeros(9, 7), ONE, context)
