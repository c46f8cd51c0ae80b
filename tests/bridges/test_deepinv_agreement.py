"""The same problem in deepinv and here: the same blur, inverse filter, iterates of HQS and minimum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dirtypixels.blur import Blur, transfer_function
from dirtypixels.bridges.deepinv import DenoiserProx
from dirtypixels.restore.algorithms import HQS
from dirtypixels.restore.minimize import minimize
from dirtypixels.restore.prox import Prox, SoftThreshold
from dirtypixels.restore.terms import Gaussian

deepinv = pytest.importorskip("deepinv")

SIZES = [(16, 18), (17, 19)]
KERNELS = [(3, 3), (5, 7)]
IDENTITY = torch.ones(1, 1, 1, 1, dtype=torch.float64)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def taps(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    found = random(*shape, seed=5, dtype=dtype)
    return found / found.sum((-2, -1), keepdim=True)


def problem(y: Tensor, kernel: tuple[int, int] | None, sigma: float) -> tuple[Any, Gaussian]:
    """``|A x - y|^2 / (2 sigma^2)`` as deepinv's physics and as our term; A is the identity without a kernel."""
    channels, size = y.shape[1], (y.shape[-2], y.shape[-1])
    weight = torch.full((1, 1, 1, 1), sigma**-2, dtype=y.dtype)
    if kernel is None:
        return deepinv.physics.Denoising(), Gaussian(y, weight=weight)
    psf = taps(1, channels, *kernel)
    physics = deepinv.physics.BlurFFT((channels, *size), filter=psf)
    return physics, Gaussian(y, transfer_function(psf, size), weight)


def iterates(prox: Prox, term: Gaussian, coupling: float, iterations: int) -> Tensor:
    """Our HQS with the identity as its only filter, started from y."""
    step = HQS(prox, IDENTITY).double()
    step.log_beta.data.fill_(torch.tensor(coupling, dtype=torch.float64).log())
    state = step.start(term.y)
    with torch.no_grad():
        for _ in range(iterations):
            state = step(state, term)
    return state.x


def their_iterates(prior: Any, y: Tensor, physics: Any, sigma: float, iterations: int, **options: float) -> Tensor:
    """deepinv's HQS, prior first as ours, started from y."""
    model = deepinv.optim.HQS(
        data_fidelity=deepinv.optim.L2(sigma),
        prior=prior,
        max_iter=iterations,
        g_first=True,
        custom_init=lambda y, physics: y,
        **options,
    )
    with torch.no_grad():
        found: Tensor = model(y, physics)
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("channels", [1, 3])
class TestBlurFFT:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_forward_and_adjoint(
        self, size: tuple[int, int], kernel: tuple[int, int], channels: int, dtype: torch.dtype
    ) -> None:
        psf, x = taps(1, channels, *kernel, dtype=dtype), random(2, 3, *size, dtype=dtype)
        theirs, ours = deepinv.physics.BlurFFT((3, *size), filter=psf), Blur(psf, "circular")
        torch.testing.assert_close(theirs.A(x), ours.forward(x), rtol=0, atol=1e-6)
        torch.testing.assert_close(theirs.A_adjoint(x), ours.adjoint(x), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("gamma", [0.1, 5.0])
    def test_inverse_filter(self, size: tuple[int, int], kernel: tuple[int, int], channels: int, gamma: float) -> None:
        """``argmin_x gamma/2 |A x - y|^2 + 1/2 |x - z|^2``"""
        psf, y, z = taps(1, channels, *kernel), random(2, 3, *size), random(2, 3, *size, seed=2)
        theirs = deepinv.physics.BlurFFT((3, *size), filter=psf).prox_l2(z, y, gamma)
        one = torch.ones((), dtype=torch.float64)
        ours = Gaussian(y, transfer_function(psf, size)).solve(torch.fft.rfft2(z), one, weight=gamma)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
        assert (ours - z).abs().max() > 1e-2


@pytest.mark.parametrize("kernel", [None, (5, 7)])
@pytest.mark.parametrize("iterations", [1, 2, 7])
class TestHQS:
    @pytest.mark.parametrize(("weight", "coupling", "sigma"), [(0.05, 2.0, 0.5), (0.3, 0.7, 1.0)])
    def test_l1(
        self, iterations: int, kernel: tuple[int, int] | None, weight: float, coupling: float, sigma: float
    ) -> None:
        """``minimize |A x - y|^2 / (2 sigma^2) + weight |x|_1``, coupled by ``coupling/2 |x - z|^2``."""
        y = random(2, 3, 16, 19) - 0.3
        physics, term = problem(y, kernel, sigma)
        prior = deepinv.optim.L1Prior()
        theirs = their_iterates(prior, y, physics, sigma, iterations, lambda_reg=weight, stepsize=1 / coupling)
        ours = iterates(SoftThreshold(weight), term, coupling, iterations)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        assert (ours - y).abs().max() > 5e-3

    def test_total_variation(self, iterations: int, kernel: tuple[int, int] | None) -> None:
        """With deepinv's own prox of total variation, as its prior and as our prox."""
        weight, coupling, sigma = 0.1, 2.0, 0.5
        y = random(2, 1, 16, 19)
        physics, term = problem(y, kernel, sigma)
        prior = deepinv.optim.TVPrior(n_it_max=30)
        theirs = their_iterates(prior, y, physics, sigma, iterations, lambda_reg=weight, stepsize=1 / coupling)
        prox = DenoiserProx(deepinv.models.TVDenoiser(crit=1e-8, n_it_max=30), weight, level="variance")
        ours = iterates(prox, term, coupling, iterations)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        assert (ours - y).abs().max() > 5e-3

    def test_plug_and_play(self, iterations: int, kernel: tuple[int, int] | None) -> None:
        """A network for noise of every level, as deepinv's plug-and-play prior and as our prox."""
        weight, coupling, sigma = 0.4, 10.0, 0.5
        torch.manual_seed(0)
        network = deepinv.models.DRUNet(1, 1, nc=(4, 4, 4, 4), nb=1, pretrained=None).double().eval()
        y = random(2, 1, 16, 24)
        physics, term = problem(y, kernel, sigma)
        deviation = (weight / coupling) ** 0.5
        theirs = their_iterates(
            deepinv.optim.PnP(network), y, physics, sigma, iterations, stepsize=1 / coupling, g_param=deviation
        )
        ours = iterates(DenoiserProx(network, weight), term, coupling, iterations)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        other = iterates(DenoiserProx(network, 2 * weight), term, coupling, iterations)
        assert (ours - other).abs().max() > 1e-4


@pytest.mark.parametrize(("theirs", "ours"), [("PGD", "admm"), ("FISTA", "fista")])
def test_the_minimum(theirs: str, ours: Any) -> None:
    """``minimize |A x - y|^2 / (2 sigma^2) + weight |x|_1`` with the algorithms of both, run to convergence."""
    weight, sigma = 0.1, 0.7
    y = random(1, 1, 12, 15) - 0.3
    psf = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    psf[0, 0, 1], psf[0, 0, 0, 0] = torch.tensor([0.1, 0.7, 0.1]), 0.1
    size = (12, 15)
    algorithm: Callable[..., Any] = getattr(deepinv.optim, theirs)
    model = algorithm(
        data_fidelity=deepinv.optim.L2(sigma),
        prior=deepinv.optim.L1Prior(),
        lambda_reg=weight,
        stepsize=sigma**2,
        max_iter=400,
    )
    found = model(y, deepinv.physics.BlurFFT((1, *size), filter=psf))
    term = Gaussian(y, transfer_function(psf, size), torch.full((1, 1, 1, 1), sigma**-2, dtype=y.dtype))
    expected = minimize(term, IDENTITY, SoftThreshold(weight), ours, tolerance=1e-8)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert 0.1 < float((expected.abs() < 1e-6).double().mean()) < 0.9
