"""deepinv's denoisers as our prox."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dirtypixels import Camera
from dirtypixels.bridges.deepinv import DenoiserProx
from dirtypixels.restore import Denoiser, Unrolled

deepinv = pytest.importorskip("deepinv")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def differences(height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    """(2, H W, H W): to the next row and the next column, 0 at the last."""
    found = np.zeros((2, height * width, height * width))
    for row in range(height):
        for column in range(width):
            here = row * width + column
            for way, there in ((0, (row + 1, column)), (1, (row, column + 1))):
                if there[0] < height and there[1] < width:
                    found[way, here, here] = -1
                    found[way, here, there[0] * width + there[1]] = 1
    return found


def total_variation_prox(v: np.ndarray, threshold: float) -> np.ndarray:  # type: ignore[type-arg]
    """``argmin_z threshold TV(z) + |z - v|^2 / 2`` by projected gradient steps with momentum on the dual."""
    gradient = differences(*v.shape)
    divergence = gradient.reshape(-1, v.size).T
    dual = ahead = np.zeros((2, v.size))
    pace = 1.0
    for _ in range(2000):
        z = v.flatten() - divergence @ ahead.flatten()
        before, dual = dual, ahead + gradient @ z / 8
        dual = dual / np.maximum(np.sqrt((dual**2).sum(0)) / threshold, 1)
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead, pace = dual + (pace - 1) / faster * (dual - before), faster
    found: np.ndarray = v.flatten() - divergence @ dual.flatten()  # type: ignore[type-arg]
    return found.reshape(v.shape)


@pytest.mark.parametrize(("weight", "penalty", "scale"), [(0.2, 2.0, 1.0), (1.5, 3.0, 4.0)])
def test_total_variation_is_its_prox(weight: float, penalty: float, scale: float) -> None:
    """TV(z / scale) = TV(z) / scale, so the threshold is weight / (scale penalty)."""
    v = random(1, 2, 4, 5)
    denoiser = deepinv.models.TVDenoiser(crit=1e-12, n_it_max=1000)
    found = DenoiserProx(denoiser, weight, scale=scale, level="variance")(v, torch.tensor(penalty))
    expected = [[total_variation_prox(picture.numpy(), weight / scale / penalty) for picture in image] for image in v]
    np.testing.assert_allclose(found.numpy(), np.array(expected), atol=1e-5)
    assert float((found - v).abs().max()) > 0.01


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_network_gets_the_deviation(one_by_one: bool) -> None:
    channels = 1 if one_by_one else 3
    torch.manual_seed(0)
    network = deepinv.models.DRUNet(channels, channels, nc=(4, 4, 4, 4), nb=1, pretrained=None).eval()
    v, penalty = random(2, 3, 16, 24).float(), torch.tensor([25.0, 400.0])
    with torch.no_grad():
        found = DenoiserProx(network, 4.0, one_by_one=one_by_one)(v, penalty.view(2, 1, 1, 1))
        for i, deviation in enumerate((0.4, 0.1)):
            one = v[i : i + 1].transpose(0, 1) if one_by_one else v[i : i + 1]
            expected = network(one, deviation)
            torch.testing.assert_close(found[i], (expected.transpose(0, 1) if one_by_one else expected)[0])


def test_a_filter_that_takes_no_level() -> None:
    v = random(1, 2, 8, 8)
    expected = deepinv.models.MedianFilter(3)(v)
    assert torch.equal(DenoiserProx(deepinv.models.MedianFilter(3))(v, torch.tensor(1.0)), expected)


def test_in_a_unit_it_takes_noise_away() -> None:
    """Total variation in the stabilized domain, where the noise has standard deviation 1."""
    scene = random(1, 3, 4, 5).float().repeat_interleave(8, -1).repeat_interleave(8, -2)
    camera = Camera.load("nexus-6p-rear")
    obs = camera.capture(scene, lux=20, generator=torch.Generator().manual_seed(0))
    prior = DenoiserProx(deepinv.models.TVDenoiser(n_it_max=50), weight=2.0, level="variance")
    solver = Unrolled("hqs", layers=3, filters=torch.ones(1, 1, 1, 1), prox=lambda k: prior, beta=4.0)
    with torch.no_grad():
        image = Denoiser(solver)(obs)
    assert (image - scene).square().mean() < 0.3 * (obs.signal - scene).square().mean()
