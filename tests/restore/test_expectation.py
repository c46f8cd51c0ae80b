"""The quadrature under the exact inverse, against moments that are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from dirtypixels.restore.expectation import expected_stabilized

# Means on both sides of 32 photons, where the Poisson sum hands over to the Edgeworth expansion.
PHOTONS = torch.tensor([0.0, 0.05, 1.0, 10.0, 31.99, 32.01, 40.0, 100.0], dtype=torch.float64)


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def power(order: int) -> object:
    return lambda y, alpha, sigma: y**order


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("alpha", [1e-6, 1e-2, 1.0])
def test_raw_moments_of_the_signal(alpha: float, ratio: float) -> None:
    sigma, x = ratio * alpha, alpha * PHOTONS
    variance, third = alpha * x + sigma**2, alpha**2 * x
    expected = [torch.ones_like(x), x, variance + x**2, third + 3 * variance * x + x**3]
    for order, moment in enumerate(expected):
        got = expected_stabilized(x, scalar(alpha), scalar(sigma), power(order), clipped=False)  # type: ignore[arg-type]
        # Integrals end at 9 standard deviations, beyond which lies 2e-19; where sigma is 0 a spread of 1e-7 alpha
        # stands in for it, whose square is the error.
        torch.testing.assert_close(got, moment, rtol=1e-10, atol=1e-12 * (alpha + sigma) ** order)


@pytest.mark.parametrize(
    ("alpha", "sigma"), [(0.1248, 0.3155), (0.0624, 0.1578), (0.5, 0.0), (0.02, 0.01), (0.01, 0.05)]
)
def test_mean_of_the_clipped_signal(alpha: float, sigma: float) -> None:
    x = np.linspace(0, 1, 21)
    counts = np.arange(0, 250)
    m = alpha * counts
    if sigma:
        a, b = -m / sigma, (1 - m) / sigma
        inside = m * (stats.norm.cdf(b) - stats.norm.cdf(a)) + sigma * (stats.norm.pdf(a) - stats.norm.pdf(b))
        clipped = inside + stats.norm.sf(b)
    else:
        clipped = m.clip(0, 1)
    expected = stats.poisson.pmf(counts, x[:, None] / alpha) @ clipped
    got = expected_stabilized(torch.from_numpy(x), scalar(alpha), scalar(sigma), power(1), clipped=True).numpy()  # type: ignore[arg-type]
    few = x <= 32 * alpha
    np.testing.assert_allclose(got[few], expected[few], rtol=0, atol=2e-7 * alpha)  # the spread that stands in for 0
    spread = np.sqrt(alpha * x + sigma**2)
    np.testing.assert_array_less(np.abs(got - expected)[~few], 1e-4 * spread[~few])


def test_pure_gaussian() -> None:
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    got = expected_stabilized(x, scalar(0.0), scalar(0.2), power(2), clipped=False)  # type: ignore[arg-type]
    torch.testing.assert_close(got, x**2 + 0.04, rtol=1e-12, atol=1e-12)


def test_a_bend_is_met_exactly_where_it_is_named() -> None:
    # E max(m + s Z, 0) = m cdf(m/s) + s pdf(m/s)
    m, s = PHOTONS[:4], 1.5

    def bent(y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return y.clamp_min(0.0)

    counts = np.arange(0, 100)
    given_count = counts * stats.norm.cdf(counts / s) + s * stats.norm.pdf(counts / s)
    expected = torch.from_numpy(stats.poisson.pmf(counts, m.numpy()[:, None]) @ given_count)
    named = expected_stabilized(m, scalar(1.0), scalar(s), bent, clipped=False, lowest=0.0)
    blind = expected_stabilized(m, scalar(1.0), scalar(s), bent, clipped=False)
    torch.testing.assert_close(named, expected, rtol=0, atol=1e-12)
    assert float((blind - expected).abs().max()) > 1e-6


def test_gradients() -> None:
    x = torch.tensor([0.01, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
    for alpha, sigma, clipped in ((0.1, 0.2, True), (0.1, 0.2, False), (0.01, 0.02, True)):
        level = [scalar(v).requires_grad_() for v in (alpha, sigma)]
        assert torch.autograd.gradcheck(
            lambda *v, clipped=clipped: expected_stabilized(*v, power(3), clipped=clipped),  # type: ignore[arg-type]
            (x, *level),
        )
    black = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    mean = expected_stabilized(black, scalar(0.1), scalar(0.0), power(1), clipped=True)  # type: ignore[arg-type]
    (slope,) = torch.autograd.grad(mean.sum(), black)
    assert math.isfinite(float(slope))
