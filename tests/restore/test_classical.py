"""Classical denoisers: better than the measurement, sample by sample, and clear about what they need."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from skimage import data
from torch import Tensor

from dirtypixels.observation import Observation
from dirtypixels.restore import anscombe, classical

LUX = {3: (0.1248, 0.3155), 6: (0.0624, 0.1578)}

needs_bm3d = pytest.mark.skipif(
    importlib.util.find_spec("bm3d") is None, reason="bm3d is not installed (pip install dirtypixels[bm3d])"
)
methods = pytest.mark.parametrize(
    "method",
    [pytest.param(classical.non_local_means, id="nlm"), pytest.param(classical.bm3d, id="bm3d", marks=needs_bm3d)],
)


def scene(channels: int = 3, side: int = 48) -> Tensor:
    photograph = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None].float() / 255
    small = torch.nn.functional.interpolate(photograph[..., :300], (side, side), mode="area")
    return small[:, :channels]


def capture(clean: Tensor, alpha: float | Tensor, sigma: float | Tensor, seed: int = 0) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    a, s = (torch.as_tensor(v).expand(len(clean), 1, 1, 1) for v in (alpha, sigma))
    counts = torch.poisson(clean / a, generator=generator)
    return Observation((a * counts + s * torch.randn(clean.shape, generator=generator)).clamp(0, 1), a, s)


def psnr(image: Tensor, clean: Tensor) -> float:
    return float(-10 * (image - clean).square().mean().log10())


@methods
@pytest.mark.parametrize("lux", LUX)
@pytest.mark.parametrize("channels", [1, 3])
def test_denoises_a_photograph(method: Callable[[Observation], Tensor], lux: int, channels: int) -> None:
    clean = scene(channels)
    obs = capture(clean, *LUX[lux])
    image = method(obs)
    assert image.shape == clean.shape
    assert image.min() >= 0
    assert image.max() <= 1
    assert psnr(image, clean) > psnr(obs.signal, clean) + 7  # measured: 8.6 to 12.0 dB


@methods
def test_brightness_has_no_bias(method: Callable[[Observation], Tensor]) -> None:
    """Clipping lifts a dark patch; the inverse takes that back, so the mean comes out right."""
    clean = torch.full((1, 3, 64, 64), 0.05)
    obs = capture(clean, *LUX[3])
    assert obs.signal.mean() > 0.15
    assert abs(float(method(obs).mean()) - 0.05) < 0.02


@methods
def test_every_sample_by_its_own_noise(method: Callable[[Observation], Tensor]) -> None:
    noise = torch.tensor([LUX[3], (0.002, 0.005)])[..., None, None, None]
    obs = capture(scene().expand(2, -1, -1, -1), noise[:, 0], noise[:, 1])
    together = method(obs)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], method(obs[i]))
    swapped = method(Observation(obs.signal, obs.alpha.flip(0), obs.sigma.flip(0)))
    assert psnr(together[1:], scene()) > psnr(swapped[1:], scene()) + 3


@methods
def test_noise_of_each_channel(method: Callable[[Observation], Tensor]) -> None:
    obs = capture(scene(), *LUX[6])
    per_channel = Observation(obs.signal, obs.alpha.expand(1, 3, 1, 1), obs.sigma)
    torch.testing.assert_close(method(per_channel), method(obs))


@methods
def test_same_result_every_time_and_argument_untouched(method: Callable[[Observation], Tensor]) -> None:
    obs = capture(scene(), *LUX[3])
    before = obs.signal.clone()
    torch.testing.assert_close(method(obs), method(obs), rtol=0, atol=0)
    torch.testing.assert_close(obs.signal, before, rtol=0, atol=0)


@methods
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_type(method: Callable[[Observation], Tensor], dtype: torch.dtype) -> None:
    assert method(capture(scene(side=16), *LUX[6]).to(dtype)).dtype == dtype


@methods
def test_pure_gaussian_noise(method: Callable[[Observation], Tensor]) -> None:
    clean = scene()
    obs = Observation(
        (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1),
        torch.zeros(1, 1, 1, 1),
        torch.full((1, 1, 1, 1), 0.1),
    )
    assert psnr(method(obs), clean) > psnr(obs.signal, clean) + 3


@pytest.mark.parametrize(("alpha", "sigma"), [*LUX.values(), (0.001, 0.002), (0.0, 0.2)])
def test_remaining_std_is_what_sampling_gives(alpha: float, sigma: float) -> None:
    """The standard error of a standard deviation below 1 from N draws is about 1 / sqrt(2 N), so that of the mean over
    33 levels of 32,000 draws is below 0.0007; four of them are allowed."""
    levels = torch.linspace(0, 1, 33).repeat(32000, 1)
    generator = torch.Generator().manual_seed(1)
    signal = sigma * torch.randn(levels.shape, generator=generator)
    signal += alpha * torch.poisson(levels / alpha, generator=generator) if alpha else levels
    drawn = anscombe.forward(signal.clamp(0, 1), torch.tensor(alpha), torch.tensor(sigma)).std(0).mean()
    assert abs(classical._remaining_std(alpha, sigma) - float(drawn)) < 0.0028


@methods
def test_raises_for_what_is_no_observation(method: Callable[..., Tensor]) -> None:
    with pytest.raises(TypeError, match="obs must be an Observation; found Tensor"):
        method(torch.rand(1, 3, 16, 16))


@methods
def test_raises_for_missing_samples(method: Callable[[Observation], Tensor]) -> None:
    obs, cfa = capture(scene(side=16), *LUX[6]), torch.ones(1, 3, 16, 16)
    method(Observation(obs.signal, obs.alpha, obs.sigma, cfa=cfa))
    cfa[0, 1, ::2] = 0
    with pytest.raises(ValueError, match="every sample measured"):
        method(Observation(obs.signal, obs.alpha, obs.sigma, cfa=cfa))


@methods
def test_raises_without_noise(method: Callable[[Observation], Tensor]) -> None:
    none = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="alpha and sigma must not both be 0"):
        method(Observation(scene(side=16), none, none))


@methods
@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan")])
def test_raises_unless_strength_is_above_zero(method: Callable[..., Tensor], strength: float) -> None:
    with pytest.raises(ValueError, match="strength must be above 0; found"):
        method(capture(scene(side=16), *LUX[6]), strength=strength)


@pytest.mark.parametrize("name", ["patch_size", "patch_distance"])
def test_raises_for_patches_without_a_size(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1; found 0"):
        classical.non_local_means(capture(scene(side=16), *LUX[6]), **{name: 0})  # type: ignore[arg-type]


@needs_bm3d
def test_raises_where_no_block_of_bm3d_fits() -> None:
    with pytest.raises(ValueError, match="signal must be at least 8 x 8 pixels for BM3D; found 7 x 7"):
        classical.bm3d(capture(scene(side=7), *LUX[6]))


@needs_bm3d
def test_exact_variances_differ_a_little() -> None:
    clean = scene(side=32)
    obs = capture(clean, *LUX[3])
    fast, exact = classical.bm3d(obs), classical.bm3d(obs, exact_variances=True)
    assert not torch.equal(fast, exact)
    assert abs(psnr(fast, clean) - psnr(exact, clean)) < 1.5


def test_raises_without_the_package_bm3d_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, *rest: Any) -> Any:
        if name == "bm3d":
            raise ModuleNotFoundError("No module named 'bm3d'", name="bm3d")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ImportError, match=r"non-commercial use only.*`pip install dirtypixels\[bm3d\]`"):
        classical.bm3d(capture(scene(side=16), *LUX[6]))
