"""Unrolled half-quadratic splitting against a dense solve, and what happens at the image's border."""

from __future__ import annotations

import copy
import re
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from dirtypixels.restore.algorithms import ALGORITHMS, HQS
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.filters import dct_filters
from dirtypixels.restore.prox import PointwiseCNN, Prox
from dirtypixels.restore.terms import Gaussian
from dirtypixels.restore.unrolled import Unrolled, UnrolledHQS
from tests.restore.dense import circular_matrix

Array = npt.NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scramble(module: torch.nn.Module, scale: float = 0.2, seed: int = 0) -> torch.nn.Module:
    """Move every parameter away from its start, as training would, in float64."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def solver(layers: int = 1, seed: int = 0, **arguments: Any) -> UnrolledHQS:
    unit = UnrolledHQS(layers, **arguments)
    scramble(unit, seed=seed)
    return unit


def pointwise_cnn(prox: PointwiseCNN, v: Array) -> Array:
    """The learned prox in NumPy; v is (K, pixels)."""
    inner = v
    for i, (weight, bias) in enumerate(zip(prox.weights, prox.biases, strict=True)):
        inner = weight.detach().numpy() @ (np.maximum(inner, 0) if i else inner) + bias.detach().numpy()[:, None]
    return v + inner


def dense_step(layer: HQS, x: Tensor, y: Tensor) -> Tensor:
    """One iteration for a single image, (H, W): matrices for the filters and a dense linear solve."""
    height, width = x.shape
    matrices = [circular_matrix(f[0], height, width) for f in layer.filters.detach()]
    weight, beta = layer.log_lambda.detach().exp().item(), layer.log_beta.detach().exp().item()
    assert isinstance(layer.prox, PointwiseCNN)
    z = pointwise_cnn(layer.prox, np.stack([c @ x.flatten().numpy() for c in matrices]))
    left = weight * np.eye(height * width) + beta * sum(c.T @ c for c in matrices)
    right = weight * y.flatten().numpy() + beta * sum(c.T @ zi for c, zi in zip(matrices, z, strict=True))
    return torch.from_numpy(np.linalg.solve(left, right).reshape(height, width))


@pytest.mark.parametrize(("height", "width"), [(9, 8), (8, 9), (5, 7)])
@pytest.mark.parametrize("side", [3, 5])
def test_a_step_agrees_with_a_dense_solve(height: int, width: int, side: int) -> None:
    layer = HQS(PointwiseCNN(6, 5), random(6, 1, side, side, seed=3).mul(0.4), beta=0.7)
    scramble(layer, seed=side)
    x, y = random(2, 1, height, width, seed=1), random(2, 1, height, width, seed=2)  # an iterate is not the data
    with torch.no_grad():
        got = layer(layer.start(x), Gaussian(y)).x
    for i in range(2):
        torch.testing.assert_close(got[i, 0], dense_step(layer, x[i, 0], y[i, 0]), rtol=0, atol=1e-8)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_the_solver_is_its_steps_on_the_continued_image(layers: int, tied: bool) -> None:
    unit = solver(layers, tied=tied, filter_size=3, gap=5)
    y = random(1, 1, 4, 3)
    data = make_periodic(y, 5)[0, 0]
    x = data
    for i in range(layers):
        layer = unit.iterations[0 if tied else i]
        assert isinstance(layer, HQS)
        x = dense_step(layer, x, data)
    with torch.no_grad():
        torch.testing.assert_close(unit(y)[0, 0], x[:4, :3], rtol=0, atol=1e-8)


class Quadratic(Prox):
    """The prox of ``g(z) = |z|^2 / 2``, for which the objective has a minimizer in closed form."""

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
        return v * penalty / (1 + penalty)


def test_many_layers_reach_the_minimizer_of_the_objective() -> None:
    # With z minimized over as well, the objective is lambda/2 |x - y|^2 + beta/(1 + beta)/2 sum |C_i x|^2.
    beta, y = 0.5, random(1, 1, 9, 8)
    layer = HQS(Quadratic(), dct_filters(3), beta).double()
    state, term = layer.start(y), Gaussian(y)
    with torch.no_grad():
        for _ in range(200):
            state = layer(state, term)
    matrices = [circular_matrix(f[0], 9, 8) for f in layer.filters.detach()]
    left = np.eye(72) + beta / (1 + beta) * sum(c.T @ c for c in matrices)
    np.testing.assert_allclose(state.x.flatten().numpy(), np.linalg.solve(left, y.flatten().numpy()), rtol=0, atol=1e-8)


def test_starts_near_the_identity() -> None:
    torch.manual_seed(0)
    y = random(2, 3, 24, 20)
    for layers in (1, 4):
        unit = UnrolledHQS(layers).double()
        with torch.no_grad():
            change = float((unit(y) - y).square().mean().sqrt())
        # A layer passes on at most beta |C| / (lambda + beta |C|^2) <= 1/2 of what the prox adds to the responses,
        # whose root mean square is at most 5 (25 filters of norm 1) times that of y times the 0.05 of test_prox.
        assert 0 < change < layers * 0.5 * 0.05 * 5


def test_parameters_are_counted_once_where_they_are_tied() -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    one = 24 * 25 + 2 + 3 * (24 * 24 + 24)  # filters, lambda and beta, three 1x1 convolutions
    assert count(UnrolledHQS()) == one
    assert count(UnrolledHQS(4)) == 4 * one
    assert count(UnrolledHQS(4, tied=True)) == one
    assert count(UnrolledHQS(filter_size=3)) == 8 * 9 + 2 + 24 * 8 + 24 + 24 * 24 + 24 + 8 * 24 + 8


def test_lambda_and_beta_are_positive_by_construction() -> None:
    unit = UnrolledHQS(beta=0.3)
    layer = unit.iterations[0]
    assert isinstance(layer, HQS)
    assert layer.log_lambda.detach().exp().item() == 1
    assert layer.log_beta.detach().exp().item() == pytest.approx(0.3, rel=1e-6)
    with torch.no_grad():
        layer.log_lambda.fill_(-20.0)
        layer.log_beta.fill_(-20.0)
        assert bool(unit(torch.rand(1, 1, 8, 8)).isfinite().all())


def test_untied_layers_start_with_different_priors() -> None:
    first, second = (layer.prox.weights[0] for layer in UnrolledHQS(2).iterations)  # type: ignore[union-attr,index]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_forward_leaves_module_and_image_as_they_were(layers: int) -> None:
    unit, y = solver(layers, filter_size=3, gap=6), random(1, 2, 7, 6)
    before, given = copy.deepcopy(unit.state_dict()), y.clone()
    first = unit(y)
    first.sum().backward()
    torch.testing.assert_close(unit(y), first, rtol=0, atol=0)
    torch.testing.assert_close(y, given, rtol=0, atol=0)
    after = unit.state_dict()
    assert after.keys() == before.keys()
    for key, value in after.items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert all(p.grad is not None for p in unit.parameters() if p is not None)


def test_channels_and_images_are_separate() -> None:
    unit, y = solver(2, filter_size=3, gap=6), random(3, 4, 9, 8)
    with torch.no_grad():
        together = unit(y)
        torch.testing.assert_close(unit(y[:, [2, 0, 3, 1]]), together[:, [2, 0, 3, 1]], rtol=1e-12, atol=1e-12)
        for i in range(3):
            for c in range(4):
                alone = unit(y[i : i + 1, c : c + 1])
                torch.testing.assert_close(alone[0, 0], together[i, c], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 30), (2, 3), (17, 16), (31, 20)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_size_and_type(height: int, width: int, dtype: torch.dtype) -> None:
    y = random(2, 3, height, width).to(dtype)
    restored = UnrolledHQS().to(dtype)(y)
    assert restored.shape == y.shape
    assert restored.dtype == dtype
    assert bool(restored.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_image_stays_constant(dtype: torch.dtype) -> None:
    # In particular it does not ring at the border, whatever was learned.
    for seed in range(3):
        unit = solver(2, seed=seed).to(dtype)
        with torch.no_grad():
            restored = unit(torch.full((1, 1, 20, 33), 5.0, dtype=dtype))
        assert float(restored.max() - restored.min()) < 1e-5 * 5
    with torch.no_grad():  # the first filters have no constant, so then it keeps its value too
        kept = UnrolledHQS(3).to(dtype)(torch.full((1, 1, 20, 33), 5.0, dtype=dtype))
    torch.testing.assert_close(kept, torch.full_like(kept, 5.0), rtol=1e-5, atol=0)


def smoother() -> UnrolledHQS:
    """A prior that halves all responses: it smooths edges widely, so an edge at the border shows far."""

    class Half(Prox):
        def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
            return v / 2

    return UnrolledHQS(2, prox=lambda channels: Half()).double()


def circular(unit: UnrolledHQS, y: Tensor) -> Tensor:
    """The same layers with nothing done about the border."""
    return unit(Gaussian(y))


def test_the_border_does_not_ring_by_a_step_edge() -> None:
    y = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    y[..., 24:] = 1  # left and right border differ by as much as the edge in the middle
    unit = smoother()
    with torch.no_grad():
        error, naive = (unit(y) - y).abs()[0, 0], (circular(unit, y) - y).abs()[0, 0]
    interior = float(error[:, 16:32].max())
    border = float(error[:, [0, 1, 2, 45, 46, 47]].max())
    # The fade spreads the jump over 16 pixels, so that little of it is felt at the border; a circular image has it all.
    assert border < 0.5 * interior
    assert float(naive[:, [0, 47]].max()) > 0.9 * interior
    # Along the edge nothing changes up to the border.
    torch.testing.assert_close(error, error[:1].expand_as(error), rtol=0, atol=1e-10)


def test_the_border_of_a_ramp() -> None:
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    for y in (ramp, ramp.mT):
        unit = smoother()
        with torch.no_grad():
            error, naive = (unit(y) - y).abs(), (circular(unit, y) - y).abs()
        # A mirrored ramp has a kink in place of the jump from 1 to 0 that a circular one has.
        assert float(error.max()) < 0.5 * float(naive.max())


def influence(power: Array, weight: float, beta: float) -> Array:
    """The kernel of (lambda + beta sum C^T C)^-1 on a circular image, its origin at [0, 0]."""
    return np.asarray(np.fft.ifft2(1 / (weight + beta * power)).real)


def test_cropping_changes_the_interior_by_no_more_than_the_kernels_tail() -> None:
    unit = solver(1, seed=1)
    layer = unit.iterations[0]
    assert isinstance(layer, HQS)
    big = random(1, 1, 120, 120).add(3.0)
    margin, size = 30, 60
    small = big[..., margin : margin + size, margin : margin + size]
    with torch.no_grad():
        weight, beta = float(layer.log_lambda.exp()), float(layer.log_beta.exp())
        difference = (unit(big)[..., margin : margin + size, margin : margin + size] - unit(small))[0, 0].abs()
        # Right-hand sides agree wherever all patches lie inside; the rest reaches p through the kernel's tail alone.
        bound, reach = 0.0, size // 2 - 4
        kernels = []
        for y in (big, small):
            x = make_periodic(y, 16)
            taps = np.zeros((24, *x.shape[-2:]))
            taps[:, :5, :5] = layer.filters[:, 0].numpy()
            kernel = influence((np.abs(np.fft.fft2(taps)) ** 2).sum(0), weight, beta)
            z = pointwise_cnn(layer.prox, _responses(x, layer.filters))  # type: ignore[arg-type]
            pulled = _pull(z, layer.filters, x)
            right = float((weight * x + beta * pulled).abs().max())
            side = np.minimum(np.arange(len(kernel)), len(kernel) - np.arange(len(kernel)))
            far = np.maximum(side[:, None], side[None, :]) > reach
            bound += float(np.abs(kernel[far]).sum()) * right
            near = np.r_[0 : reach + 1, -reach:0]
            kernels.append((kernel[np.ix_(near, near)], right))
        bound += float(np.abs(kernels[0][0] - kernels[1][0]).sum()) * max(kernels[0][1], kernels[1][1])
    middle = float(difference[size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1].max())
    assert middle <= bound
    assert bound < 0.3  # in units of the noise: the bound says something
    assert float(difference.max()) > middle  # the crop is felt at its border


def _responses(x: Tensor, bank: Tensor) -> Array:
    padded = torch.nn.functional.pad(x, (2,) * 4, mode="circular")
    return torch.nn.functional.conv2d(padded, bank)[0].flatten(1).numpy()


def _pull(z: Array, bank: Tensor, x: Tensor) -> Tensor:
    responses = torch.from_numpy(z).view(1, -1, *x.shape[-2:])
    padded = torch.nn.functional.pad(responses, (2,) * 4, mode="circular")
    return torch.nn.functional.conv2d(padded, bank.flip(-1, -2).transpose(0, 1))


def test_gradcheck() -> None:
    unit = solver(2, filter_size=3, gap=3, prox=lambda channels: PointwiseCNN(channels, 3, 2))
    names = [name for name, _ in unit.named_parameters()]
    params = [p.detach().clone().requires_grad_() for p in unit.parameters()]
    y = random(1, 1, 3, 2).requires_grad_()

    def forward(y: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(unit, dict(zip(names, values, strict=True)), (y,))

    assert torch.autograd.gradcheck(forward, (y, *params))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers must be at least 1; found 0"),
        ({"filter_size": 4}, "filter_size must be odd and at least 3; found 4"),
        ({"filter_size": 1}, "filter_size must be odd and at least 3; found 1"),
        ({"gap": 4}, "gap must be at least the filter_size 5; found 4"),
        ({"beta": 0.0}, "beta must be above 0; found 0"),
    ],
)
def test_raises_for_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        UnrolledHQS(**arguments)


def test_raises_for_inputs_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=re.escape("y must have shape (B, C, H, W); found (3, 4, 4)")):
        UnrolledHQS()(torch.zeros(3, 4, 4))
    with pytest.raises(TypeError, match=r"y must be a floating-point tensor; found torch\.uint8"):
        UnrolledHQS()(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=re.escape("filters must have shape (K, 1, 3, 3); found (2, 3, 3, 3)")):
        HQS(PointwiseCNN(2), torch.zeros(2, 3, 3, 3))
    with pytest.raises(ValueError, match="filters must have an odd size; found 4"):
        HQS(PointwiseCNN(2), torch.zeros(2, 1, 4, 4))
    layer, x = HQS(PointwiseCNN(24), dct_filters(5)), torch.zeros(1, 1, 4, 9)
    with pytest.raises(ValueError, match="size must be odd and at most the image's 4 x 9; found 5"):
        layer(layer.start(x), Gaussian(x))


def conditioned(layers: int = 2, **arguments: Any) -> UnrolledHQS:
    torch.manual_seed(1)
    unit = solver(layers, filter_size=3, gap=5, features=3, **arguments)
    assert unit.embedding is not None
    return unit


NOISE = (torch.tensor([0.1, 0.003]).view(2, 1, 1, 1).double(), torch.tensor([0.05, 0.0]).view(2, 1, 1, 1).double())


@pytest.mark.parametrize("color", ["shared", "merged"])
def test_each_image_of_a_batch_is_restored_by_its_own_noise(color: Any) -> None:
    unit, y = conditioned(color=color), random(2, 3, 9, 8)
    with torch.no_grad():
        together = unit(y, NOISE)
        for i in range(2):
            alone = unit(y[i : i + 1], (NOISE[0][i : i + 1], NOISE[1][i : i + 1]))
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-10)
        other = unit(y, (NOISE[0].flip(0), NOISE[1].flip(0)))
    assert float((together - other).abs().amax((1, 2, 3)).min()) > 1e-3


def test_channels_may_differ_in_their_noise() -> None:
    unit, y = conditioned(), random(1, 2, 9, 8)
    noise = (torch.tensor([0.1, 0.003]).view(1, 2, 1, 1).double(), torch.tensor(0.01).view(1, 1, 1, 1).double())
    with torch.no_grad():
        both = unit(y, noise)
        for c in range(2):
            alone = unit(y[:, c : c + 1], (noise[0][:, c : c + 1], noise[1]))
            torch.testing.assert_close(both[:, c : c + 1], alone, rtol=0, atol=1e-10)


def test_before_training_the_noise_makes_no_difference() -> None:
    torch.manual_seed(0)
    with_features = UnrolledHQS(2, features=4)
    plain = UnrolledHQS(2)
    plain.load_state_dict({k: v for k, v in with_features.state_dict().items() if k in plain.state_dict()})
    y = random(2, 3, 20, 24).float()
    noise = (NOISE[0].float(), NOISE[1].float())
    with torch.no_grad():
        torch.testing.assert_close(with_features(y, noise), plain(y), rtol=0, atol=1e-5)


@pytest.mark.parametrize("color", ["shared", "merged"])
def test_gradcheck_with_features(color: Any) -> None:
    small = partial(PointwiseCNN, hidden=3)  # each parameter is moved, so their number is the time that this takes
    unit, y = conditioned(1, color=color, prox=small), random(2, 2, 6, 5)
    names, values = zip(*unit.named_parameters(), strict=True)

    def restored(y: Tensor, alpha: Tensor, sigma: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(unit, state, (y, (alpha, sigma)))

    alpha, sigma = (torch.tensor(level, dtype=torch.float64).view(2, 1, 1, 1) for level in ([0.1, 0.03], [0.05, 0.02]))
    inputs = [t.detach().clone().requires_grad_() for t in (y, alpha, sigma, *values)]
    assert torch.autograd.gradcheck(restored, inputs)


def test_raises_where_a_solver_with_features_lacks_the_noise() -> None:
    with pytest.raises(ValueError, match="noise must be given to a solver with features; found none"):
        conditioned()(random(1, 1, 9, 8))


def test_the_coupling_grows_from_layer_to_layer_and_the_first_prior_can_be_another() -> None:
    made = UnrolledHQS(3, beta=0.5, growth=4, color="opponent", first=partial(PointwiseCNN, skip=False))
    couplings = [float(layer.log_beta.detach().exp()) for layer in made.iterations]
    assert couplings == pytest.approx([0.5, 2, 8])
    assert [[p.skip for p in layer.prior.proxes] for layer in made.iterations] == [[False] * 3, [True] * 3, [True] * 3]
    with pytest.raises(ValueError, match="growth must be above 0; found 0"):
        UnrolledHQS(growth=0)


def test_a_new_layer_with_a_large_coupling_changes_little() -> None:
    """With a coupling of 1 it mixes the noisy data in again: that is why depth needs continuation."""
    torch.manual_seed(0)
    y = random(1, 1, 16, 16)
    term = Gaussian(y)
    x = torch.zeros_like(y)  # an iterate far from the data
    changes = []
    for beta in (1.0, 64.0):
        layer = HQS(PointwiseCNN(), dct_filters(5), beta).double()
        changes.append(float((layer(layer.start(x), term).x - x).square().mean().detach()))
    constant = float(y.mean()) ** 2  # the filters have no constant, so that the data alone decide on it
    assert changes[1] - constant < 0.01 * (changes[0] - constant)


@pytest.mark.parametrize("color", ["opponent", "coupled", "own"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_number_of_channels_is_refused(algorithm: Any, color: Any) -> None:
    with pytest.raises(ValueError, match=r"x must have 3 channels.*; found 1"):
        Unrolled(algorithm, color=color)(torch.randn(1, 1, 16, 16))


def test_raises_for_tied_layers_that_differ_and_for_filters_over_colors() -> None:
    for arguments in ({"growth": 4.0}, {"first": PointwiseCNN}):
        with pytest.raises(ValueError, match="tied iterations must all be alike"):
            UnrolledHQS(2, tied=True, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="filters must have shape"):
        UnrolledHQS(color="coupled", filters=torch.zeros(8, 3, 5, 5))


@pytest.mark.parametrize("color", ["shared", "opponent", "coupled"])
def test_mixed_precision_leaves_inverse_filtering_exact(color: Any) -> None:
    torch.manual_seed(0)
    solver, y = UnrolledHQS(4, color=color, growth=4), torch.randn(1, 3, 24, 24)
    plain = solver(y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = solver(y)
    mixed.square().mean().backward()
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, plain, rtol=0, atol=1e-6)


def test_eight_layers_agree_with_double_precision() -> None:
    torch.manual_seed(0)
    solver, y = UnrolledHQS(8, color="opponent", growth=4), torch.randn(1, 3, 24, 24)
    single = solver(y)
    # The last layer weighs the prior 4^7 times as much as the data, and rounding with it.
    rounding = 4**7 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(single, solver.double()(y.double()).float(), rtol=0, atol=rounding)
