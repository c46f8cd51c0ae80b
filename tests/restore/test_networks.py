"""Networks to compare an unrolled unit with: any size, no mixing, near the identity at first, and clear refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dirtypixels import Camera, Observation
from dirtypixels.camera import realization
from dirtypixels.restore import ProximalGradient, ResidualCNN, SignalUNet
from dirtypixels.train import psnr

CAMERA = Camera.load("nexus-6p-rear")
DOUBLE = torch.float64

SMALL: dict[str, Callable[..., nn.Module]] = {
    "unet": lambda **more: SignalUNet(width=3, depth=2, **more),
    "unet with maps": lambda **more: SignalUNet(width=3, depth=2, noise_maps=True, **more),
    "residual_cnn": lambda **more: ResidualCNN(width=4, depth=3, **more),
    "proximal_gradient": lambda **more: ProximalGradient(iterations=2, width=3, depth=2, **more),
    "proximal_gradient with blur": lambda **more: ProximalGradient(iterations=2, width=3, depth=2, blur=True, **more),
}
each = pytest.mark.parametrize("name", SMALL)


def scene(batch: int, channels: int, height: int, width: int) -> Tensor:
    """Smooth, with different colors."""
    rows, columns = torch.linspace(0, 3, height, dtype=DOUBLE), torch.linspace(0, 2, width, dtype=DOUBLE)
    phase = torch.arange(batch * channels, dtype=DOUBLE).view(batch, channels, 1, 1)
    return 0.5 + 0.3 * torch.sin(rows[:, None] + columns + phase)


def observation(name: str, batch: int = 2, channels: int = 3, height: int = 12, width: int = 9, **more: Any) -> Any:
    """As the unit of this name needs it."""
    generator = [realization(0, str(i)) for i in range(batch)]
    obs = CAMERA.capture(scene(batch, channels, height, width), **({"lux": 6} | more), generator=generator)
    if "blur" not in name:
        return obs
    psf = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=DOUBLE).view(1, 1, 3, 3) / 16
    return Observation(obs.signal, obs.alpha, obs.sigma, psf)


def unit(name: str, **more: Any) -> nn.Module:
    """With every parameter moved away from its start, in float64."""
    torch.manual_seed(0)
    made = SMALL[name](**more).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@each
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20), (7, 5), (33, 18)])
def test_any_image_size(name: str, height: int, width: int) -> None:
    obs = observation(name, height=height, width=width).to(torch.float32)
    image = SMALL[name]()(obs)
    assert image.shape == obs.signal.shape
    assert image.dtype == torch.float32
    assert bool(image.isfinite().all())


@each
def test_starts_near_the_signal(name: str) -> None:
    torch.manual_seed(0)
    clean = scene(1, 3, 24, 20)
    level = torch.full((1, 1, 1, 1), 1e-4, dtype=DOUBLE)
    psf = torch.ones(1, 1, 1, 1, dtype=DOUBLE) if "blur" in name else None
    with torch.no_grad():
        image = SMALL[name]().double()(Observation(clean, level, level, psf))
    assert 0 < float((image - clean).square().mean().sqrt()) < 0.02


@each
def test_images_do_not_mix(name: str) -> None:
    # Different light in one batch, as in training.
    obs, tested = observation(name, 3, lux=torch.tensor([3.0, 6.0, 96.0])), unit(name)
    with torch.no_grad():
        together = tested(obs)
        for i in range(3):
            torch.testing.assert_close(tested(obs[i]), together[i : i + 1], rtol=1e-9, atol=1e-9)


@each
def test_the_channels_are_restored_together(name: str) -> None:
    obs, tested = observation(name), unit(name)
    changed = obs.signal.clone()
    changed[:, 2] = 0.5
    with torch.no_grad():
        other = tested(Observation(changed, obs.alpha, obs.sigma, obs.psf))
        assert float((tested(obs) - other)[:, 0].abs().max()) > 1e-4


@each
def test_gradcheck(name: str) -> None:
    given, tested = observation(name, 1, 1, 3, 2), unit(name, channels=1)
    names = [key for key, _ in tested.named_parameters()]
    params = [p.detach().clone().requires_grad_() for p in tested.parameters()]

    def forward(signal: Tensor, *values: Tensor) -> Tensor:
        obs = Observation(signal, given.alpha, given.sigma, given.psf)
        image: Tensor = torch.func.functional_call(tested, dict(zip(names, values, strict=True)), (obs,))
        return image

    # Away from 0 and 1, where the clipped signal sits on the ends of the inverse's table.
    signal = given.signal.clamp(0.05, 0.95).requires_grad_()
    assert torch.autograd.gradcheck(forward, (signal, *params), fast_mode=True)


@each
def test_learns_to_restore(name: str) -> None:
    torch.manual_seed(0)
    obs, clean, tested = observation(name, 4, height=16, width=16), scene(4, 3, 16, 16), SMALL[name]().double()
    optimizer = torch.optim.Adam(tested.parameters(), lr=0.01)
    before = psnr(tested(obs), clean).mean()
    for _ in range(30):
        optimizer.zero_grad()
        loss = -psnr(tested(obs), clean).mean()
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in tested.parameters())
    assert float(-loss.detach() - before.detach()) > 1


def test_the_noise_level_is_known_where_maps_are_given() -> None:
    obs = observation("unet")
    louder = Observation(obs.signal, 4 * obs.alpha, 2 * obs.sigma)
    with torch.no_grad():
        told, untold = unit("unet with maps"), unit("unet")
        assert float((told(obs) - told(louder)).abs().max()) > 1e-4
        torch.testing.assert_close(untold(obs), untold(louder), rtol=0, atol=0)


def test_gradient_steps_undo_the_blur_that_is_known() -> None:
    # With networks that do nothing, what is left is gradient descent on the data term.
    sharp = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    psf = torch.tensor([[0.0, 1, 0], [1, 6, 1], [0, 1, 0]], dtype=DOUBLE).view(1, 1, 3, 3) / 10
    seen = torch.nn.functional.conv2d(sharp, psf.expand(3, 1, 3, 3), groups=3)
    clean = sharp[..., 1:-1, 1:-1]
    level = torch.full((1, 1, 1, 1), 1e-3, dtype=DOUBLE)
    found = []
    for steps in (1, 20):
        tested = ProximalGradient(iterations=steps, width=1, depth=1, blur=True).double()
        with torch.no_grad():
            tested.log_steps.zero_()
            for network in tested.networks:
                network.last.weight.zero_()
            found.append(float(psnr(tested(Observation(seen, level, level, psf)), clean)))
    # measured: 17.7 dB blurred, 19.2 after 1 step, 29.6 after 20
    assert found[1] > max(found[0], float(psnr(seen, clean))) + 5


@each
class TestRaises:
    @pytest.mark.parametrize("bad", [torch.zeros(1, 3, 8, 8), None])
    def test_for_what_is_no_observation(self, name: str, bad: Any) -> None:
        with pytest.raises(TypeError, match=f"obs must be an Observation; found {type(bad).__name__}"):
            SMALL[name]()(bad)

    def test_for_missing_samples(self, name: str) -> None:
        obs = observation(name)
        cfa = torch.ones_like(obs.signal)
        cfa[..., ::2, ::2] = 0
        with pytest.raises(ValueError, match="obs must have every sample measured"):
            SMALL[name]().double()(Observation(obs.signal, obs.alpha, obs.sigma, obs.psf, cfa))

    def test_for_other_channels(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"signal must have shape \(B, 3, H, W\); found \(2, 1, 12, 9\)"):
            SMALL[name]().double()(observation(name, channels=1))


def test_raises_without_a_psf() -> None:
    with pytest.raises(ValueError, match="obs must have a psf to deblur by"):
        ProximalGradient(blur=True).double()(observation("denoise"))


@pytest.mark.parametrize("made", [ResidualCNN(width=2, depth=2), ProximalGradient(iterations=1, width=1, depth=1)])
def test_raises_without_noise_to_stabilize(made: nn.Module) -> None:
    with pytest.raises(ValueError, match="alpha and sigma must not both be 0"):
        made.double()(observation("denoise", lux=math.inf))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (SignalUNet, {"width": 0}, "width must be at least 1; found 0"),
        (SignalUNet, {"depth": 0}, "depth must be at least 1; found 0"),
        (SignalUNet, {"channels": 0}, "channels must be at least 1; found 0"),
        (ResidualCNN, {"depth": 1}, "depth must be at least 2; found 1"),
        (ResidualCNN, {"width": 0}, "width must be at least 1; found 0"),
        (ProximalGradient, {"iterations": 0}, "iterations must be at least 1; found 0"),
    ],
)
def test_raises_for_wrong_sizes(kind: type[nn.Module], arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)
