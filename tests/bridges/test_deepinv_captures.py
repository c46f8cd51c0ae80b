"""deepinv's captures as Observations and our units as its reconstructors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dirtypixels import Camera, Observation
from dirtypixels.blur import Blur
from dirtypixels.bridges import deepinv as bridge
from dirtypixels.camera import motion_psf
from dirtypixels.restore import Deblurrer, Denoiser

deepinv = pytest.importorskip("deepinv")
dip = deepinv.physics

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def same_units() -> None:
    torch.manual_seed(0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(*shape: int) -> Tensor:
    """A smooth picture, so that blur and border matter and noise can be taken away."""
    batch, channels, height, width = shape
    row, column = torch.arange(height)[:, None] / height, torch.arange(width) / width
    phases = torch.arange(batch * channels).view(batch, channels, 1, 1)
    return 0.5 + 0.4 * torch.sin(5 * row + phases) * torch.cos(9 * column * row + phases)


def taps(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    found = torch.rand(*shape, generator=seeded(5), dtype=dtype)
    return found / found.sum((-2, -1), keepdim=True)


NOISE = {
    "gaussian": lambda: dip.GaussianNoise(0.05, rng=seeded()),
    "poisson": lambda: dip.PoissonNoise(0.02, rng=seeded()),
    "counts": lambda: dip.PoissonNoise(0.02, normalize=False, rng=seeded()),
    "both": lambda: dip.PoissonGaussianNoise(0.02, 0.05, rng=seeded()),
    "camera": lambda: bridge.camera_physics(Camera.load("nexus-6p-rear"), lux=100, generator=seeded()).noise_model,
}


class TestNoise:
    @pytest.mark.parametrize("kind", NOISE)
    @pytest.mark.parametrize("level", [0.3, 0.6])
    def test_mean_and_variance_are_those_that_alpha_and_sigma_say(self, kind: str, level: float) -> None:
        count = 400_000
        light = torch.full((1, 1, 400, 1000), level, dtype=torch.float64)
        physics = dip.Denoising(NOISE[kind]())
        obs = bridge.observation(physics(light), physics, clip=False)
        variance = float(obs.alpha) * level + float(obs.sigma) ** 2
        assert variance > 0
        error = obs.signal - level
        assert abs(float(error.mean())) < 5 * (variance / count) ** 0.5
        # Poisson-Gaussian: fourth central moment 3 v^2 + alpha^3 x, hence the standard error of the mean square.
        spread = (2 * variance**2 + float(obs.alpha) ** 3 * level) / count
        assert abs(float((error**2).mean()) - variance) < 5 * spread**0.5

    def test_each_image_has_its_own(self) -> None:
        gain, sigma = torch.tensor([0.01, 0.03]), torch.tensor([0.1, 0.2])
        y = torch.rand(2, 3, 5, 4)
        obs = bridge.observation(y, dip.Denoising(dip.PoissonGaussianNoise(gain, sigma)))
        assert torch.equal(obs.alpha, gain.view(2, 1, 1, 1))
        assert torch.equal(obs.sigma, sigma.view(2, 1, 1, 1))
        counts = bridge.observation(y, dip.Denoising(dip.PoissonNoise(gain, normalize=False)))
        torch.testing.assert_close(counts.signal, y * gain.view(2, 1, 1, 1))

    def test_none(self) -> None:
        obs = bridge.observation(torch.rand(2, 1, 5, 4), dip.Denoising(dip.ZeroNoise()))
        assert obs.alpha.shape == obs.sigma.shape == (2, 1, 1, 1)
        assert not obs.alpha.any()
        assert not obs.sigma.any()

    def test_a_gain_that_deepinv_takes_for_none_is_none(self) -> None:
        noise = dip.PoissonGaussianNoise(0.0, 0.1)
        assert float(bridge.observation(torch.rand(1, 1, 5, 4), dip.Denoising(noise)).alpha) == 0

    def test_clips_as_an_observation_is(self) -> None:
        y, physics = torch.tensor([-0.5, 0.4, 1.5]).view(1, 1, 1, 3), dip.Denoising(dip.GaussianNoise(0.1))
        assert bridge.observation(y, physics).signal.flatten().tolist() == pytest.approx([0.0, 0.4, 1.0])
        assert torch.equal(bridge.observation(y, physics, clip=False).signal, y)


class TestLens:
    @pytest.mark.parametrize("size", [(3, 5), (4, 3), (5, 6), (4, 2)])
    @pytest.mark.parametrize("make", ["fft", "circular", "circular_fft", "valid"])
    def test_the_psf_blurs_as_the_physics_does(self, size: tuple[int, int], make: str) -> None:
        x, filter = torch.rand(2, 3, 11, 12, dtype=torch.float64, generator=seeded()), taps(1, 3, *size)
        physics = {
            "fft": lambda: dip.BlurFFT((3, 11, 12), filter=filter),
            "circular": lambda: dip.Blur(filter=filter, padding="circular"),
            "circular_fft": lambda: dip.Blur(filter=filter, padding="circular", use_fft=True),
            "valid": lambda: dip.Blur(filter=filter, padding="valid"),
        }[make]()
        y = physics.A(x)
        psf = bridge.observation(y, physics).psf
        assert psf is not None
        blurred = Blur(psf, "circular").forward(x)
        if make == "valid":
            top, left = size[0] - 1 - size[0] // 2, size[1] - 1 - size[1] // 2
            blurred = blurred[..., top : top + y.shape[-2], left : left + y.shape[-1]]
        torch.testing.assert_close(y, blurred, rtol=0, atol=1e-12)

    def test_inpainting_is_a_cfa(self) -> None:
        mask = (torch.rand(1, 6, 7, generator=seeded()) > 0.5).float()
        physics = dip.Inpainting((3, 6, 7), mask=mask, noise_model=dip.GaussianNoise(0.1))
        obs = bridge.observation(physics(torch.rand(2, 3, 6, 7)), physics)
        assert obs.cfa is not None
        assert torch.equal(obs.cfa, mask.expand(1, 3, 6, 7))

    @pytest.mark.parametrize("position", [None, "periphery", "field"])
    def test_a_cameras_capture_is_its_observation(self, position: str | None) -> None:
        camera, x = Camera.load("nexus-6p-rear"), scene(2, 3, 24, 30)
        physics = bridge.camera_physics(camera, lux=torch.tensor([3.0, 50.0]), position=position, generator=seeded())
        expected = camera.capture(x, lux=torch.tensor([3.0, 50.0]), position=position, generator=seeded())
        obs = bridge.observation(physics(x), physics)
        for name in ("signal", "alpha", "sigma"):
            assert torch.equal(getattr(obs, name), getattr(expected, name)), name
        assert (obs.psf is None) == (expected.psf is None)
        if obs.psf is not None and expected.psf is not None:
            assert torch.equal(obs.psf, expected.psf)


class TestReconstructor:
    def test_is_one(self) -> None:
        assert isinstance(bridge.reconstructor(Denoiser()), deepinv.models.Reconstructor)

    def test_denoiser(self) -> None:
        unit, physics = Denoiser(), dip.Denoising(dip.PoissonGaussianNoise(0.02, 0.05, rng=seeded()))
        y = physics(scene(2, 3, 24, 30))
        alpha, sigma = (torch.full((2, 1, 1, 1), level) for level in (0.02, 0.05))
        expected = unit(Observation(y.clamp(0, 1), alpha, sigma))
        assert torch.equal(bridge.reconstructor(unit)(y, physics), expected)

    @pytest.mark.parametrize("padding", ["replicate", "reflect", "constant"])
    def test_deblurrer(self, padding: str) -> None:
        filter, unit = taps(1, 1, 5, 5, dtype=torch.float32), Deblurrer()
        physics = dip.Blur(filter=filter, padding=padding, noise_model=dip.GaussianNoise(0.02, rng=seeded()))
        y = physics(scene(2, 3, 40, 36))
        level = torch.full((2, 1, 1, 1), 0.02)
        expected = unit(Observation(y.clamp(0, 1), 0 * level, level, filter))
        torch.testing.assert_close(bridge.reconstructor(unit)(y, physics), expected, rtol=0, atol=1e-6)

    def test_a_circular_blur_is_undone_as_one(self) -> None:
        """A circular shift of the capture shifts the image; nothing of the kind holds for an unknown border."""
        psf, unit = motion_psf(7.0, 30.0)[None], Deblurrer()
        x = scene(1, 3, 48, 56)
        physics = dip.BlurFFT((3, 48, 56), filter=psf.float(), noise_model=dip.GaussianNoise(0.01, rng=seeded()))
        y, model = physics(x), bridge.reconstructor(unit)
        unknown = unit(bridge.observation(y, physics))
        image = model(y, physics)
        assert image.shape == x.shape

        def moved(restore: Any) -> float:
            back = restore(y.roll((20, 31), (-2, -1))).roll((-20, -31), (-2, -1))
            return float((back - restore(y)).detach().square().mean().sqrt())

        assert moved(lambda y: model(y, physics)) < 0.1 * moved(lambda y: unit(bridge.observation(y, physics)))
        assert (image - x).square().mean() < 0.8 * (unknown - x).square().mean()

    @pytest.mark.parametrize("size", [(5, 3), (4, 6)])
    def test_a_capture_that_is_smaller_gives_an_image_that_the_physics_takes(self, size: tuple[int, int]) -> None:
        physics = dip.Blur(filter=taps(1, 1, *size, dtype=torch.float32), padding="valid")
        physics.noise_model = dip.GaussianNoise(1e-3, rng=seeded())
        x = scene(1, 3, 40, 44)
        y = physics(x)
        assert y.shape != x.shape
        image = bridge.reconstructor(Deblurrer())(y, physics).detach()
        assert image.shape == x.shape
        assert physics.A(image).shape == y.shape
        # In place, not shifted: nearer to the scene than any neighboring placing of it.
        inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
        errors = {
            (i, j): float((image - x.roll((i, j), (-2, -1)))[inner].square().mean())
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        }
        assert min(errors, key=errors.__getitem__) == (0, 0)

    def test_a_cropped_camera(self) -> None:
        camera, x = Camera.load("nexus-6p-rear"), scene(1, 3, 64, 70)
        physics = bridge.camera_physics(camera, lux=500, position="periphery", beyond="crop", generator=seeded())
        y = physics(x)
        unit = Deblurrer()
        image = bridge.reconstructor(unit)(y, physics)
        assert y.shape != x.shape
        assert image.shape == x.shape
        top, left = (x.shape[-2] - y.shape[-2]) // 2, (x.shape[-1] - y.shape[-1]) // 2
        inside = image[..., top : top + y.shape[-2], left : left + y.shape[-1]]
        assert torch.equal(inside, unit(bridge.observation(y, physics)))

    def test_trains(self) -> None:
        unit, physics = Denoiser(), dip.Denoising(dip.PoissonGaussianNoise(0.05, 0.05, rng=seeded()))
        x = scene(2, 1, 16, 16)
        y, model = physics(x), bridge.reconstructor(unit)
        assert {id(p) for p in model.parameters()} == {id(p) for p in unit.parameters()}
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(8):
            loss = (model(y, physics) - x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]

    def test_clip_is_passed_on(self) -> None:
        seen: list[Observation] = []

        def unit(obs: Observation) -> Tensor:
            seen.append(obs)
            return obs.signal

        y, physics = torch.full((1, 1, 4, 4), 1.5), dip.Denoising(dip.GaussianNoise(0.1))
        for clip in (True, False):
            bridge.reconstructor(unit, clip=clip)(y, physics)
        assert [float(obs.signal.max()) for obs in seen] == [1.0, 1.5]

    def test_takes_what_its_trainer_passes(self) -> None:
        y, physics = torch.rand(1, 1, 16, 16), dip.Denoising(dip.GaussianNoise(0.1))
        bridge.reconstructor(Denoiser())(y, physics, compute_metrics=False)


class TestRaises:
    def test_physics(self) -> None:
        y = torch.rand(1, 1, 8, 8)
        with pytest.raises(ValueError, match=r"physics must be Denoising, Blur, .* found Downsampling"):
            bridge.observation(y, dip.Downsampling((1, 16, 16), filter=None))
        with pytest.raises(ValueError, match=r"physics must be Denoising, Blur, .* found NoneType"):
            bridge.observation(y, None)
        with pytest.raises(ValueError, match="physics must have its filter set; found BlurFFT without"):
            bridge.observation(y, dip.BlurFFT((1, 8, 8)))
        with pytest.raises(ValueError, match="physics must have its mask set; found Inpainting without"):
            bridge.observation(y, dip.Inpainting((1, 8, 8)))
        with pytest.raises(ValueError, match="psf must sum to 1"):
            bridge.observation(y, dip.Blur(filter=torch.ones(1, 1, 3, 3), padding="circular"))
        with pytest.raises(ValueError, match=r"cfa must be in \[0, 1\]"):
            bridge.observation(y, dip.Inpainting((1, 8, 8), mask=torch.full((1, 8, 8), 2.0)))

    def test_noise(self) -> None:
        y = torch.rand(2, 1, 8, 8)
        with pytest.raises(ValueError, match=r"noise of the physics must be GaussianNoise, .* found UniformNoise"):
            bridge.observation(y, dip.Denoising(dip.UniformNoise(0.1)))
        with pytest.raises(ValueError, match="sigma of the noise must be a number or one for each of 2 images"):
            bridge.observation(y, dip.Denoising(dip.GaussianNoise(torch.ones(3))))
        with pytest.raises(ValueError, match="gain of the noise must be a number or one for each of 2 images"):
            bridge.observation(y, dip.Denoising(dip.PoissonNoise(torch.ones(3))))

    def test_y(self) -> None:
        physics = dip.Denoising(dip.GaussianNoise(0.1))
        with pytest.raises(TypeError, match="y must be a floating-point tensor"):
            bridge.observation(torch.zeros(1, 1, 4, 4, dtype=torch.int64), physics)
        with pytest.raises(ValueError, match=r"y must have shape \(B, C, H, W\); found \(4, 4\)"):
            bridge.observation(torch.zeros(4, 4), physics)

    def test_units(self) -> None:
        physics = dip.Denoising(dip.GaussianNoise(0.1))
        y = torch.rand(1, 1, 8, 8)
        with pytest.raises(ValueError, match=r"image of the signal's shape \(1, 1, 8, 8\); found \(1, 1, 4, 8\)"):
            bridge.reconstructor(lambda obs: obs.signal[..., :4, :])(y, physics)
        with pytest.raises(ValueError, match=r"image of the signal's shape \(1, 1, 8, 8\); found Observation"):
            bridge.reconstructor(lambda obs: replace(obs))(y, physics)
