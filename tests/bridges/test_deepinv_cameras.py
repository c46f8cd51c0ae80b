"""A camera as a deepinv physics: the same numbers as its captures, and a linear operator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dirtypixels import Camera
from dirtypixels.bridges import deepinv as bridge
from dirtypixels.camera.profile import Beyond

deepinv = pytest.importorskip("deepinv")

CASES = [
    (None, "mirror", 3),
    ("periphery", "mirror", 1),
    ("periphery", "crop", 3),
    ((0.2, 0.7), "mirror", 3),
    ("field", "mirror", 3),
    ("field", "crop", 1),
]
Place = str | tuple[float, float] | None


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed), dtype=dtype)


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera.load("nexus-6p-rear")


@pytest.mark.parametrize(("position", "beyond", "channels"), CASES)
class TestEverywhere:
    def test_gives_the_numbers_of_a_capture(
        self, camera: Camera, position: Place, beyond: Beyond, channels: int
    ) -> None:
        x = random(2, channels, 40, 44)
        given = {"lux": 6.0} if beyond == "mirror" else {"iso": torch.tensor([400.0, 3000.0])}
        physics = bridge.camera_physics(camera, **given, position=position, generator=seeded(), beyond=beyond)
        obs = camera.capture(x, **given, position=position, generator=seeded(), beyond=beyond)
        assert torch.equal(physics(x), obs.signal)
        assert torch.equal(physics.noise_model.gain.expand(2), obs.alpha.flatten())

    def test_without_noise_it_is_the_blur(self, camera: Camera, position: Place, beyond: Beyond, channels: int) -> None:
        x = random(1, channels, 40, 44)
        physics = bridge.camera_physics(camera, lux=math.inf, position=position, beyond=beyond)
        expected = camera.capture(x, lux=math.inf, position=position, beyond=beyond).signal
        torch.testing.assert_close(physics.A(x).clamp(0, 1), expected, rtol=0, atol=0)
        torch.testing.assert_close(physics(x), expected, rtol=0, atol=0)

    def test_adjoint(self, camera: Camera, position: Place, beyond: Beyond, channels: int) -> None:
        physics = bridge.camera_physics(camera, lux=3, position=position, beyond=beyond)
        x = random(1, channels, 40, 41, dtype=torch.float64) - 0.5
        assert float(physics.adjointness_test(x)) < 1e-12
        blurred = physics.A(x)
        y = torch.randn(blurred.shape, dtype=torch.float64, generator=seeded(3))
        left, right = (blurred * y).sum(), (x * physics.A_adjoint(y)).sum()
        assert float((left - right).abs()) < 1e-12 * float(blurred.norm() * y.norm())


class TestNoise:
    @pytest.mark.parametrize("lux", [3.0, 30.0])
    @pytest.mark.parametrize("level", [0.02, 0.4, 0.9])
    def test_statistics_of_captures_and_of_deepinvs_own_noise(self, camera: Camera, lux: float, level: float) -> None:
        """Three samplers, two of them ours, one deepinv's with its result clipped: the same mean and variance."""
        x = torch.full((1, 1, 500, 600), level)
        physics = bridge.camera_physics(camera, lux=lux, generator=seeded(1))
        model = physics.noise_model
        theirs = deepinv.physics.PoissonGaussianNoise(model.gain, model.sigma, rng=seeded(3))
        samples = [physics(x), camera.capture(x, lux=lux, generator=seeded(2)).signal, theirs(x).clamp(0, 1)]
        for i, one in enumerate(s.double().flatten() for s in samples):
            other = samples[i - 1].double().flatten()
            assert not torch.equal(one, other)
            # Five standard errors of a difference of two means, and of two variances (fourth central moment).
            centered = one - one.mean()
            variance = centered.square().mean()
            assert (one.mean() - other.mean()).abs() < 5 * (2 * variance / one.numel()).sqrt()
            spread = 2 * (centered.square().square().mean() - variance**2) / one.numel()
            assert (one.var() - other.var()).abs() < 5 * spread.sqrt()

    def test_is_a_poisson_gaussian_noise_that_can_be_updated(self, camera: Camera) -> None:
        physics, x = bridge.camera_physics(camera, lux=3, generator=seeded()), random(2, 3, 8, 8)
        assert isinstance(physics.noise_model, deepinv.physics.PoissonGaussianNoise)
        level = camera.noise.at_lux(3.0)
        assert float(physics.noise_model.gain) == pytest.approx(float(level.alpha), rel=1e-6)
        assert float(physics.noise_model.sigma) == pytest.approx(float(level.sigma), rel=1e-6)
        physics.update(gain=0.0, sigma=0.0)
        assert torch.equal(physics(x), x)

    def test_seeds_and_resets(self, camera: Camera) -> None:
        physics, x = bridge.camera_physics(camera, lux=3, generator=seeded()), random(2, 3, 8, 8)
        first = physics(x)
        assert not torch.equal(physics(x), first)
        physics.noise_model.reset_rng()
        assert torch.equal(physics(x), first)
        assert torch.equal(physics(x, seed=4), physics(x, seed=4))

    def test_the_global_generator(self, camera: Camera) -> None:
        x = random(1, 3, 8, 8)
        torch.manual_seed(7)
        signal = bridge.camera_physics(camera, lux=3)(x)
        torch.manual_seed(7)
        assert torch.equal(signal, camera.capture(x, lux=3).signal)

    def test_scenes_brighter_than_white_saturate(self, camera: Camera) -> None:
        signal = bridge.camera_physics(camera, lux=3, generator=seeded())(3 * random(1, 3, 8, 8) - 1)
        assert float(signal.min()) >= 0
        assert float(signal.max()) <= 1

    def test_one_level_for_each_image(self, camera: Camera) -> None:
        physics = bridge.camera_physics(camera, lux=torch.tensor([3.0, 30.0]))
        with pytest.raises(ValueError, match=r"gain of the noise must be a number or one for each of 3 images"):
            physics(random(3, 1, 8, 8))


class TestPhysics:
    def test_is_linear_physics(self, camera: Camera) -> None:
        physics = bridge.camera_physics(camera, lux=3, position="periphery")
        assert isinstance(physics, deepinv.physics.LinearPhysics)

    def test_its_norm(self, camera: Camera) -> None:
        """A PSF sums to 1: no scene gains, and an even one keeps all but what is cropped."""
        physics = bridge.camera_physics(camera, lux=3, position="offaxis", beyond="crop")
        even = torch.ones(1, 3, 48, 48)
        kept = physics.A(even).square().sum() / even.square().sum()
        norm = physics.A_adjoint_A(even)
        for _ in range(60):
            norm = physics.A_adjoint_A(norm / norm.norm())
        assert float(kept) <= float(norm.norm()) <= 1 + 1e-5
        assert float(physics.compute_sqnorm(even[:1], verbose=False)) == pytest.approx(float(norm.norm()), rel=0.05)

    def test_raises_for_a_scene_that_the_lens_does_not_fit(self, camera: Camera) -> None:
        with pytest.raises(ValueError, match=r"x must have shape \(B, 3, H, W\); found \(1, 2, 40, 40\)"):
            bridge.camera_physics(camera, lux=3, position="center")(random(1, 2, 40, 40))

    def test_is_copied_with_its_lens(self, camera: Camera) -> None:
        physics = bridge.camera_physics(camera, lux=3, position="periphery", generator=seeded())
        x, copy = random(1, 3, 40, 40), physics.clone()
        assert torch.equal(copy(x), physics(x))

    def test_the_lens_moves_with_it(self, camera: Camera) -> None:
        physics = bridge.camera_physics(camera, lux=3, position="periphery")
        assert "psfs" in dict(physics.named_buffers())
        assert physics.to(torch.float64).A(random(1, 3, 40, 40)).dtype == torch.float32

    def test_deepinv_restores_its_captures(self, camera: Camera) -> None:
        """Its own solver runs on the physics: least squares by conjugate gradients undoes the blur."""
        physics = bridge.camera_physics(camera, lux=math.inf, position="offaxis")
        row, column = torch.arange(48.0)[:, None], torch.arange(48.0)
        x = 0.5 + 0.4 * torch.sin(row / 3) * torch.cos(column / 4)
        x = x.expand(1, 3, 48, 48).double()
        y = physics(x)
        restored = physics.prox_l2(y, y, gamma=1e3, max_iter=200, tol=1e-8)
        assert (restored - x).square().mean() < 0.2 * (y - x).square().mean()
