"""Learned priors over neighboring pixels: against SciPy's circular correlation, moved around, at every size."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import correlate
from torch import Tensor, nn
from torch.func import functional_call

from dirtypixels.restore import prox as family
from dirtypixels.restore.prox import ConvolutionalCNN, Prox, ResidualUNet

ONE = torch.tensor(1.0, dtype=torch.float64)
KINDS = [ConvolutionalCNN, ResidualUNet]
every = pytest.mark.parametrize("kind", KINDS)

Array = npt.NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(prox: Prox) -> Prox:
    """Weights and biases as training could leave them: some of all, none small."""
    with torch.no_grad():
        for i, parameter in enumerate(prox.double().parameters()):
            parameter.copy_(0.2 * random(*parameter.shape, seed=i))
    return prox


def convolve(module: Any, v: Array, context: Array | None = None) -> Array:
    """A circular convolution of (K, H, W), by SciPy."""
    weight, bias = (t.detach().numpy() for t in (module.weight, module.bias))
    out = [sum(correlate(x, w, mode="wrap") for x, w in zip(v, row, strict=True)) for row in weight]
    shift = 0 if context is None else module.shift.detach().numpy() @ context
    return np.stack(out) + (bias + shift)[:, None, None]


def relu(v: Array) -> Array:
    return np.maximum(v, 0)


def cnn(prox: Any, v: Array, context: Array | None) -> Array:
    inner = v
    for module in prox.inner:
        inner = relu(convolve(module, inner, context))
    return v + convolve(prox.last, inner)


def unet(prox: Any, v: Array, context: Array | None) -> Array:
    def block(module: Any, x: Array) -> Array:
        return x + convolve(module.second, relu(convolve(module.first, x, context)))

    def halve(module: Any, x: Array) -> Array:
        height, width = (np.arange(n + n % 2) % n for n in x.shape[1:])
        x = x[:, height][:, :, width]
        weight = module.weight.detach().numpy()
        return sum(np.einsum("oc,chw->ohw", weight[:, :, i, j], x[:, i::2, j::2]) for i in (0, 1) for j in (0, 1))

    def double(module: Any, x: Array, like: Array) -> Array:
        weight = module.weight.detach().numpy()
        out = np.zeros((weight.shape[1], 2 * x.shape[1], 2 * x.shape[2]))
        for i in (0, 1):
            for j in (0, 1):
                out[:, i::2, j::2] = np.einsum("co,chw->ohw", weight[:, :, i, j], x)
        return out[:, : like.shape[1], : like.shape[2]]

    def level(x: Array, i: int) -> Array:
        if i == len(prox.down):
            return block(prox.bottom, x)
        skip = block(prox.before[i], x)
        return block(prox.after[i], skip + double(prox.up[i], level(halve(prox.down[i], skip), i + 1), skip))

    return v + convolve(prox.tail, level(convolve(prox.head, v), 0))


CASES: list[tuple[Callable[..., Prox], dict[str, int], Callable[..., Array]]] = [
    (ConvolutionalCNN, {"hidden": 4}, cnn),
    (ConvolutionalCNN, {"hidden": 2, "layers": 2, "kernel": 5}, cnn),
    (ConvolutionalCNN, {"hidden": 3, "layers": 4, "features": 2}, cnn),
    (ResidualUNet, {"hidden": 4}, unet),
    (ResidualUNet, {"hidden": 2, "depth": 1}, unet),
    (ResidualUNet, {"hidden": 3, "depth": 3, "features": 2}, unet),
]
cases = pytest.mark.parametrize(("kind", "sizes", "reference"), CASES)


class TestDefinition:
    @cases
    @pytest.mark.parametrize("shape", [(8, 8), (7, 10), (5, 3), (13, 6)])
    def test_by_scipy(
        self, kind: Callable[..., Prox], sizes: dict[str, int], reference: Callable[..., Array], shape: tuple[int, int]
    ) -> None:
        prox, v = trained(kind(3, **sizes)), random(2, 3, *shape)
        context = random(2, sizes["features"], seed=1) if "features" in sizes else None
        z = prox(v, ONE, context).detach().numpy()
        for i in range(2):
            expected = reference(prox, v[i].numpy(), None if context is None else context[i].numpy())
            np.testing.assert_allclose(z[i], expected, rtol=1e-10, atol=1e-10)
            assert np.abs(expected - v[i].numpy()).max() > 0.01

    @every
    @pytest.mark.parametrize("shape", [(1, 24, 16, 12), (2, 24, 1, 1), (2, 24, 1, 6), (1, 24, 3, 5), (0, 24, 4, 4)])
    def test_starts_near_the_identity(self, kind: type[Prox], shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        prox, v = kind().double(), random(*shape)
        z = prox(v, ONE).detach()
        assert z.shape == v.shape
        if v.numel():
            # The layers keep the mean square but for that of small images, whose neighbors are one pixel often; the
            # last has 0.01 of its input's.
            change = float((z - v).square().mean().sqrt() / v.square().mean().sqrt())
            assert 0 < change < (0.05 if min(shape[2:]) > 2 else 0.2)

    @every
    def test_keeps_the_mean_square_inside(self, kind: type[Prox]) -> None:
        # What makes the start near the identity: the last layer sees a mean square of about 1 (at most 1 + depth).
        torch.manual_seed(0)
        prox = kind().double()
        seen: list[Tensor] = []
        last = prox.last if isinstance(prox, ConvolutionalCNN) else prox.tail
        assert isinstance(last, nn.Module)
        last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        prox(random(2, 24, 32, 32), ONE)
        assert 0.3 < float(seen[0].detach().square().mean()) < 4.5

    def test_default_sizes(self) -> None:
        assert sum(p.numel() for p in ConvolutionalCNN().parameters()) == 3 * (24 * 24 * 9 + 24)
        blocks, outer, steps = 5 * 2 * (32 * 32 * 9 + 32), 24 * 32 * 9 * 2 + 32 + 24, 4 * 32 * 32 * 4
        assert sum(p.numel() for p in ResidualUNet().parameters()) == blocks + outer + steps

    @every
    def test_the_start_depends_on_the_global_seed_alone(self, kind: type[Prox]) -> None:
        starts = []
        for _ in range(2):
            torch.manual_seed(4)
            starts.append(torch.cat([p.detach().flatten() for p in kind().parameters()]))
        assert torch.equal(*starts)


class TestCircular:
    @pytest.mark.parametrize("shift", [(1, 0), (3, 5), (-2, 7)])
    def test_convolutions_move_with_the_image(self, shift: tuple[int, int]) -> None:
        prox, v = trained(ConvolutionalCNN(3, 4)), random(1, 3, 9, 8)
        moved = prox(v.roll(shift, (2, 3)), ONE)
        torch.testing.assert_close(moved, prox(v, ONE).roll(shift, (2, 3)), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("depth", [1, 2])
    def test_the_net_moves_with_the_image_by_its_coarsest_pixels(self, depth: int) -> None:
        prox, v = trained(ResidualUNet(3, 4, depth)), random(1, 3, 8, 12)
        z = prox(v, ONE)
        shift = (2**depth, -(2**depth))
        torch.testing.assert_close(prox(v.roll(shift, (2, 3)), ONE), z.roll(shift, (2, 3)), rtol=1e-12, atol=1e-12)
        assert float((prox(v.roll(1, 2), ONE) - z.roll(1, 2)).detach().abs().max()) > 1e-3

    @pytest.mark.parametrize(("kind", "far"), [(ConvolutionalCNN, 3), (ResidualUNet, 10)])
    def test_how_far_it_sees(self, kind: type[Prox], far: int) -> None:
        prox, v = trained(kind(2)), random(1, 2, 64, 64).requires_grad_()
        (slope,) = torch.autograd.grad(prox(v, ONE)[0, :, 32, 32].sum(), v)
        rows, columns = slope.abs().sum((0, 1)).nonzero().T
        reach = int(torch.stack([rows - 32, columns - 32]).abs().max())
        assert reach == far if kind is ConvolutionalCNN else reach > far


class TestGradient:
    @cases
    def test_gradcheck(self, kind: Callable[..., Prox], sizes: dict[str, int], reference: Callable[..., Array]) -> None:
        prox = trained(kind(2, **sizes))
        names = [name for name, _ in prox.named_parameters()]
        params = [p.detach().clone().requires_grad_() for p in prox.parameters()]
        v, features = random(2, 2, 5, 4).requires_grad_(), sizes.get("features", 0)
        context = random(2, features, seed=1).requires_grad_() if features else None

        def forward(v: Tensor, context: Tensor | None, *values: Tensor) -> Tensor:
            return functional_call(prox, dict(zip(names, values, strict=True)), (v, ONE, context))

        assert torch.autograd.gradcheck(forward, (v, context, *params), fast_mode=True)

    @every
    def test_every_weight_learns(self, kind: type[Prox]) -> None:
        torch.manual_seed(0)
        prox = kind(3, features=2).double()
        prox(random(2, 3, 8, 8), ONE, random(2, 2)).square().sum().backward()
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in prox.parameters())

    @every
    def test_the_argument_is_left_as_it_was(self, kind: type[Prox]) -> None:
        v = random(1, 24, 6, 6)
        before = v.clone()
        with torch.no_grad():
            kind().double()(v, ONE)
        assert torch.equal(v, before)


class TestContext:
    @every
    def test_changes_nothing_at_the_start(self, kind: type[Prox]) -> None:
        torch.manual_seed(0)
        prox, v = kind(3, features=2).double(), random(2, 3, 6, 6)
        assert torch.equal(prox(v, ONE, random(2, 2)), prox(v, ONE, torch.zeros(2, 2, dtype=torch.float64)))

    @every
    def test_belongs_to_its_image(self, kind: type[Prox]) -> None:
        prox, v = trained(kind(3, features=2)), random(1, 3, 6, 6).expand(2, -1, -1, -1)
        context = random(2, 2, seed=1)
        z = prox(v, ONE, context)
        for i in range(2):
            alone = prox(v[i : i + 1], ONE, context[i : i + 1])
            torch.testing.assert_close(z[i : i + 1], alone, rtol=1e-12, atol=1e-12)
        assert float((z[0] - z[1]).detach().abs().max()) > 1e-3


class TestRaises:
    @every
    def test_which_are_pointwise(self, kind: type[Prox]) -> None:
        assert not kind.pointwise
        others = {getattr(family, name) for name in family.__all__} - set(KINDS)
        assert len(others) == 6
        assert all(other.pointwise for other in others)

    @every
    def test_there_is_no_change_of_patches(self, kind: type[Prox]) -> None:
        message = f"change must be called on a pointwise prox; found {kind.__name__}, which sees neighboring pixels"
        with pytest.raises(TypeError, match=message):
            kind().change(torch.zeros(24, 25), torch.zeros(25, 7), ONE)

    @pytest.mark.parametrize(
        ("kind", "name", "least"),
        [
            *((k, name, least) for k in KINDS for name, least in (("channels", 1), ("hidden", 1), ("features", 0))),
            (ConvolutionalCNN, "layers", 2),
            (ResidualUNet, "depth", 1),
        ],
    )
    def test_sizes(self, kind: Callable[..., Prox], name: str, least: int) -> None:
        with pytest.raises(ValueError, match=f"{name} must be at least {least}; found {least - 1}"):
            kind(**{name: least - 1})

    @pytest.mark.parametrize("kernel", [1, 4])
    def test_kernel(self, kernel: int) -> None:
        with pytest.raises(ValueError, match=f"kernel must be odd and at least 3; found {kernel}"):
            ConvolutionalCNN(kernel=kernel)

    @every
    @pytest.mark.parametrize("shape", [(24, 5, 5), (2, 24, 9), (2, 23, 4, 4), (1, 24, 4, 4, 4)])
    def test_shapes(self, kind: type[Prox], shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=re.escape(f"v must have shape (B, 24, H, W); found {shape}")):
            kind()(torch.zeros(shape), torch.tensor(1.0))

    def test_images_smaller_than_half_a_kernel(self) -> None:
        prox = ConvolutionalCNN(2, kernel=7)
        with pytest.raises(ValueError, match="v must be at least 3 high and wide; found 2 x 5"):
            prox(torch.zeros(1, 2, 2, 5), torch.tensor(1.0))
        assert prox(torch.zeros(1, 2, 3, 3), torch.tensor(1.0)).shape == (1, 2, 3, 3)

    @every
    @pytest.mark.parametrize(("features", "found"), [(0, 2), (2, 0), (2, 3)])
    def test_context(self, kind: type[Prox], features: int, found: int) -> None:
        context = torch.zeros(1, found) if found else None
        with pytest.raises(ValueError, match=f"context must have {features} features; found {found}"):
            kind(2, features=features)(torch.zeros(1, 2, 7, 7), torch.tensor(1.0), context)
