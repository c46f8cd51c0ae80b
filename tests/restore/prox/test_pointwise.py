"""Proximal operators: near the identity at their start, pointwise, and the short cut equal to its definition."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import Tensor, nn

from dirtypixels.restore.algorithms import ColorPrior
from dirtypixels.restore.prox import ConvolutionalCNN, PointwiseCNN, Prox

ONE = torch.tensor(1.0, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(channels: int = 6, hidden: int = 5, layers: int = 3, seed: int = 0) -> PointwiseCNN:
    """Weights and biases as training could leave them."""
    prox = PointwiseCNN(channels, hidden, layers).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in prox.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return prox


class SoftThreshold(Prox):
    """The prox of the l1 norm, which the short cut must serve as well."""

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
        return v.sign() * (v.abs() - 1 / penalty).clamp_min(0)


@pytest.mark.parametrize("shape", [(1, 24), (2, 24, 7), (2, 24, 5, 4), (0, 24, 3)])
def test_starts_near_the_identity(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    prox, v = PointwiseCNN().double(), random(*shape)
    z = prox(v, ONE).detach()
    assert z.shape == v.shape
    if v.numel():
        # Inner layers keep the mean square (Kaiming 2015), the last has 0.01 of that and a mean square of 2 x 24/24.
        change = float((z - v).square().mean().sqrt() / v.square().mean().sqrt())
        assert 0 < change < 0.05


@pytest.mark.parametrize("kind", [PointwiseCNN, ConvolutionalCNN])
def test_without_the_skip_it_starts_near_zero_and_is_what_was_added(kind: type[PointwiseCNN]) -> None:
    torch.manual_seed(0)
    with_skip, v = kind().double(), random(2, 24, 5, 4)
    torch.manual_seed(0)
    without = kind(skip=False).double()
    torch.testing.assert_close(without(v, ONE), with_skip(v, ONE) - v, rtol=0, atol=1e-14)
    assert float(without(v, ONE).detach().abs().max()) < 0.05 * float(v.abs().max())


@pytest.mark.parametrize("skip", [False, True])
def test_what_it_pulls_is_the_same_pixel_by_pixel_and_whole(skip: bool) -> None:
    """The short cut over patches against filters, prox and adjoint filters one after another."""
    prox, bank, x = trained(), random(6, 2, 3, 3, seed=1), random(2, 2, 7, 6, seed=2)
    prox.skip = skip
    prior = ColorPrior(prox, "coupled")
    whole = prior.synthesize(prior(prior.analyze(x, bank), ONE, 2), bank)
    found = torch.fft.irfft2(prior.pull(x, bank, ONE), s=(7, 6))
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)


def test_the_start_depends_on_the_global_seed_alone() -> None:
    def start() -> list[Tensor]:
        torch.manual_seed(4)
        return list(PointwiseCNN().parameters())

    for first, second in zip(start(), start(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_is_a_network_of_1x1_convolutions() -> None:
    prox, v = trained(), random(2, 6, 5, 4)
    convolutions: list[nn.Module] = []
    for weight, bias in zip(prox.weights, prox.biases, strict=True):
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1).double()
        layer.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
        convolutions += [layer, nn.ReLU()]
    network = nn.Sequential(*convolutions[:-1])
    torch.testing.assert_close(prox(v, ONE), v + network(v), rtol=1e-12, atol=1e-12)


def test_each_pixel_by_itself() -> None:
    prox, v = trained(), random(1, 6, 5, 4)
    other = v.clone()
    other[..., 2, 3] += 1
    changed = (prox(other, ONE) - prox(v, ONE)).abs().sum((0, 1)) > 0
    assert changed.nonzero().tolist() == [[2, 3]]


@pytest.mark.parametrize(
    "prox", [trained(), trained(6, 9, 2), trained(6, 3, 5), SoftThreshold()], ids=lambda p: type(p).__name__
)
def test_change_equals_its_definition(prox: Prox) -> None:
    analysis, patches = random(6, 9, seed=1), random(9, 40, seed=2)
    v = analysis @ patches
    z = prox(v[None], ONE)[0]
    expected = analysis.T @ (z - v)
    torch.testing.assert_close(prox.change(analysis, patches, ONE), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(Prox.change(prox, analysis, patches, ONE), expected, rtol=1e-12, atol=1e-12)


def test_gradcheck() -> None:
    prox = trained(3, 4, 3)
    names = [name for name, _ in prox.named_parameters()]
    params = [p.detach().clone().requires_grad_() for p in prox.parameters()]
    v, analysis, patches = (t.requires_grad_() for t in (random(1, 3, 4), random(3, 5, seed=1), random(5, 4, seed=2)))

    def forward(v: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(prox, dict(zip(names, values, strict=True)), (v, ONE))

    def change(analysis: Tensor, patches: Tensor, *values: Tensor) -> Tensor:
        changed = copy.deepcopy(prox)
        for i, value in enumerate(values[: len(changed.weights)]):
            changed.weights._parameters[str(i)] = value  # type: ignore[assignment]
        for i, value in enumerate(values[len(changed.weights) :]):
            changed.biases._parameters[str(i)] = value  # type: ignore[assignment]
        return changed.change(analysis, patches, ONE)

    assert torch.autograd.gradcheck(forward, (v, *params))
    assert torch.autograd.gradcheck(change, (analysis, patches, *params))


@pytest.mark.parametrize("name", ["channels", "hidden", "layers"])
def test_raises_for_sizes_out_of_range(name: str) -> None:
    least = 2 if name == "layers" else 1
    with pytest.raises(ValueError, match=f"{name} must be at least {least}; found {least - 1}"):
        PointwiseCNN(**{name: least - 1})


@pytest.mark.parametrize("shape", [(24,), (2, 23), (2, 25, 4, 4)])
def test_raises_for_another_number_of_responses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"v must have shape (B, 24, ...); found {shape}")):
        PointwiseCNN()(torch.zeros(shape), torch.tensor(1.0))


def test_raises_where_a_prox_does_not_say_what_it_does() -> None:
    with pytest.raises(TypeError, match=re.escape("Prox must define forward(v, penalty)")):
        Prox()(torch.zeros(1, 2), torch.tensor(1.0))


def test_a_context_shifts_the_inner_biases_of_each_image() -> None:
    torch.manual_seed(0)
    prox = PointwiseCNN(6, 5, 3, features=2).double()
    plain = PointwiseCNN(6, 5, 3).double()
    with torch.no_grad():
        for parameter in prox.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape))
    v, context, analysis = random(2, 6, 7), random(2, 2, seed=1), random(6, 9, seed=2)
    patches = random(9, 8, seed=3)
    with torch.no_grad():
        for i in range(2):
            plain.load_state_dict({k: p for k, p in prox.state_dict().items() if not k.startswith("shifts")})
            for bias, shift in zip(plain.biases, prox.shifts, strict=False):
                bias.add_(shift @ context[i])
            torch.testing.assert_close(prox(v, ONE, context)[i], plain(v, ONE)[i], rtol=0, atol=1e-12)
        short = prox.change(analysis, patches, ONE, context)
        torch.testing.assert_close(short, Prox.change(prox, analysis, patches, ONE, context), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("features", "found"), [(0, 2), (2, 0), (2, 3)])
def test_raises_for_a_context_of_another_size(features: int, found: int) -> None:
    prox, context = PointwiseCNN(6, features=features), random(1, found).float() if found else None
    with pytest.raises(ValueError, match=f"context must have {features} features; found {found}"):
        prox(random(1, 6, 7).float(), ONE, context)
