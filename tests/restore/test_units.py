"""Denoiser: an Observation in, an unbiased image out."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dirtypixels import Camera, Observation
from dirtypixels.camera import realization
from dirtypixels.restore import ClassicalUnit, Denoiser, UnrolledHQS, anscombe, classical
from dirtypixels.restore.prox import PointwiseCNN

CAMERA = Camera.load("nexus-6p-rear")


def observation(batch: int = 2, channels: int = 3, height: int = 12, width: int = 9, lux: float = 6) -> Observation:
    scene = torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return CAMERA.capture(scene, lux=lux, generator=[realization(0, str(i)) for i in range(batch)])


def denoiser(layers: int = 1, **arguments: Any) -> Denoiser:
    """With every parameter moved away from its start, in float64."""
    unit = Denoiser(UnrolledHQS(layers, **arguments)).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return unit


def test_starts_near_the_exact_inverse_of_the_stabilized_signal() -> None:
    torch.manual_seed(0)
    obs, unit = observation(), Denoiser().double()
    stabilized = anscombe.forward(obs.signal, obs.alpha, obs.sigma)
    with torch.no_grad():
        change = float((unit.solver(stabilized) - stabilized).square().mean().sqrt())
        image = unit(obs)
        plain = anscombe.inverse(stabilized, obs.alpha, obs.sigma, clipped=True)
        shifted = anscombe.inverse(stabilized + 0.01, obs.alpha, obs.sigma, clipped=True)
    assert 0 < change < 0.1  # of the noise's standard deviation
    steepest = float((shifted - plain).abs().max()) / 0.01
    assert float((image - plain).square().mean().sqrt()) <= 2 * steepest * change


class Average(nn.Module):
    """The perfect solver for a flat scene."""

    def forward(self, y: Tensor, noise: object) -> Tensor:
        return y.mean((-2, -1), keepdim=True).expand(y.shape)


@pytest.mark.parametrize("lux", [3.0, 6.0, 96.0])
def test_the_picture_of_a_flat_scene_has_no_bias(lux: float) -> None:
    levels = torch.tensor([0.02, 0.2, 0.5, 0.9], dtype=torch.float64)
    scene = levels.view(1, -1, 1, 1).expand(1, 4, 300, 300)
    obs = CAMERA.capture(scene, lux=lux, generator=torch.Generator().manual_seed(1))
    unit = Denoiser(Average())  # type: ignore[arg-type]
    image = unit(obs)[..., 0, 0].flatten()
    stabilized = anscombe.forward(obs.signal, obs.alpha, obs.sigma)
    spread = stabilized.std((-2, -1)).flatten() / math.sqrt(300 * 300)
    center = stabilized.mean((-2, -1), keepdim=True).requires_grad_()
    mapped = anscombe.inverse(center, obs.alpha, obs.sigma, clipped=True)
    (slope,) = torch.autograd.grad(mapped.sum(), center)
    allowed = 4 * spread * slope.flatten() + torch.maximum(0.01 * levels, 0.005 * obs.alpha.flatten())
    assert bool(((image - levels).abs() <= allowed).all())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20), (3, 2), (33, 18)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_image_size(height: int, width: int, channels: int) -> None:
    # An image of one pixel has nothing but itself beyond its border, and is restored like a flat scene.
    obs = observation(2, channels, height, width).to(torch.float32)
    image = Denoiser()(obs)
    assert image.shape == obs.signal.shape
    assert image.dtype == torch.float32
    assert bool(image.isfinite().all())


def test_images_and_channels_do_not_mix() -> None:
    # Different light in one batch, as in training.
    scene = observation(3).signal
    obs = CAMERA.capture(scene, lux=torch.tensor([3.0, 6.0, 96.0]), generator=torch.Generator().manual_seed(2))
    unit = denoiser(2)
    with torch.no_grad():
        together = unit(obs)
        for i in range(3):
            torch.testing.assert_close(unit(obs[i]), together[i : i + 1], rtol=1e-10, atol=1e-10)
        order = [2, 0, 1]
        turned = Observation(obs.signal[:, order], obs.alpha, obs.sigma)
        torch.testing.assert_close(unit(turned), together[:, order], rtol=1e-10, atol=1e-10)


def test_forward_leaves_the_unit_as_it_was() -> None:
    obs, unit = observation(), denoiser()
    before = copy.deepcopy(unit.state_dict())
    first = unit(obs)
    torch.testing.assert_close(unit(obs), first, rtol=0, atol=0)
    for key, value in unit.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_gradcheck_of_the_whole_unit() -> None:
    unit = denoiser(2, filter_size=3, gap=6, prox=lambda channels: PointwiseCNN(channels, 3, 3))
    names = [name for name, _ in unit.named_parameters()]
    params = [p.detach().clone().requires_grad_() for p in unit.parameters()]
    given = observation(1, 1, 3, 2)

    def forward(signal: Tensor, *values: Tensor) -> Tensor:
        obs = Observation(signal, given.alpha, given.sigma)
        return torch.func.functional_call(unit, dict(zip(names, values, strict=True)), (obs,))

    # Away from 0 and 1, where the clipped signal sits on the ends of the inverse's table.
    signal = given.signal.clamp(0.05, 0.95).requires_grad_()
    assert torch.autograd.gradcheck(forward, (signal, *params))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_for_saturated_signals(dtype: torch.dtype) -> None:
    signal = torch.cat([torch.zeros(1, 1, 6, 6), torch.ones(1, 1, 6, 6)]).to(dtype).requires_grad_()
    for alpha, sigma in ((1e-6, 0.0), (0.1248, 0.3155), (1.0, 1.0), (0.0, 0.1)):
        unit = Denoiser().to(dtype)
        level = [torch.full((2, 1, 1, 1), v, dtype=dtype) for v in (alpha, sigma)]
        unit(Observation(signal, *level)).sum().backward()
        assert signal.grad is not None
        assert bool(signal.grad.isfinite().all())
        assert all(bool(p.grad.isfinite().all()) for p in unit.parameters() if p.grad is not None)


def test_every_parameter_learns() -> None:
    unit = Denoiser().double()
    unit(observation()).square().sum().backward()
    assert {name for name, p in unit.named_parameters() if p.grad is None} == set()


@pytest.mark.parametrize("bad", [torch.zeros(1, 3, 8, 8), None, {"signal": 1}])
def test_raises_for_what_is_no_observation(bad: Any) -> None:
    with pytest.raises(TypeError, match=f"obs must be an Observation; found {type(bad).__name__}"):
        Denoiser()(bad)


def test_raises_without_noise() -> None:
    with pytest.raises(ValueError, match="alpha and sigma must not both be 0"):
        Denoiser()(observation(lux=math.inf))


def bayer(height: int, width: int) -> Tensor:
    cfa = torch.zeros(1, 3, height, width)
    cfa[:, 0, ::2, ::2] = cfa[:, 1, ::2, 1::2] = cfa[:, 1, 1::2, ::2] = cfa[:, 2, 1::2, 1::2] = 1
    return cfa


class TestMissingSamples:
    def obs(self, signal: Tensor, cfa: Tensor | None) -> Observation:
        level = torch.full((len(signal), 1, 1, 1), 0.01)
        return Observation(signal, level, level, cfa=cfa)

    def test_a_cfa_with_all_samples_changes_nothing(self) -> None:
        torch.manual_seed(0)
        unit, signal = Denoiser(), torch.rand(2, 3, 20, 24)
        with torch.no_grad():
            complete = unit(self.obs(signal, torch.ones(1, 3, 20, 24)))
            torch.testing.assert_close(complete, unit(self.obs(signal, None)), rtol=0, atol=0)

    def test_what_was_not_measured_does_not_matter(self) -> None:
        torch.manual_seed(0)
        unit, signal, cfa = Denoiser(UnrolledHQS(2, color="merged")), torch.rand(1, 3, 20, 24), bayer(20, 24)
        with torch.no_grad():
            image = unit(self.obs(signal, cfa))
            other = unit(self.obs(torch.where(cfa == 1, signal, torch.rand(1, 3, 20, 24)), cfa))
            torch.testing.assert_close(image, other, rtol=0, atol=1e-4)
            moved = unit(self.obs((signal + 0.2 * cfa).clamp(0, 1), cfa))
        assert float((moved - image).mean()) > 0.05

    def test_fills_in_a_flat_scene(self) -> None:
        torch.manual_seed(0)
        level = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(1, 3, 20, 24)
        cfa = bayer(20, 24)
        with torch.no_grad():
            image = Denoiser(UnrolledHQS(4))(self.obs(level * cfa, cfa))
            expected = Denoiser(UnrolledHQS(4))(self.obs(level.contiguous(), None))
        # An untrained prior changes nothing much, so each channel is smooth between its samples.
        torch.testing.assert_close(image, expected, rtol=0, atol=0.05)

    def test_gradients_reach_every_weight(self) -> None:
        torch.manual_seed(0)
        unit = Denoiser(UnrolledHQS(2))
        unit(self.obs(torch.rand(1, 3, 12, 14), bayer(12, 14))).square().mean().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in unit.parameters())

    def test_raises_for_a_channel_without_samples(self) -> None:
        cfa = bayer(12, 14)
        cfa[:, 1] = 0
        with pytest.raises(ValueError, match="mask must be above 0 somewhere in every image and channel"):
            Denoiser()(self.obs(torch.rand(1, 3, 12, 14), cfa))

    def test_raises_for_samples_that_are_measured_in_part(self) -> None:
        with pytest.raises(ValueError, match="cfa must be 0 or 1 everywhere to fill in missing samples"):
            Denoiser()(self.obs(torch.rand(1, 3, 12, 14), 0.5 * bayer(12, 14)))


class TestClassicalUnit:
    @pytest.mark.parametrize(
        ("method", "function", "position"),
        [
            ("nlm", classical.non_local_means, None),
            ("bm3d", classical.bm3d, None),
            ("hqs", classical.hqs_deconvolution, "offaxis"),
        ],
    )
    def test_it_is_the_method_and_has_no_parameters(
        self, method: Any, function: Callable[[Observation], Tensor], position: Any
    ) -> None:
        scene = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        obs = CAMERA.capture(scene, lux=6, position=position)
        unit = ClassicalUnit(method)
        assert torch.equal(unit(obs), function(obs))
        assert not unit.state_dict()
        assert not list(unit.parameters())

    def test_raises(self) -> None:
        with pytest.raises(ValueError, match="method must be one of 'nlm', 'bm3d', 'hqs'; found 'wiener'"):
            ClassicalUnit("wiener")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="psf"):
            ClassicalUnit("hqs")(observation())
