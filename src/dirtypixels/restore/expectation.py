"""The mean of a stabilized signal, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_EXACT_PHOTONS = 32.0  # up to this mean count the Poisson sum is taken as it is, beyond it by Edgeworth expansion
_COUNTS = 97  # terms of the sum; the rest has probability below 1e-20 at a mean of 32
_REACH = 9.0  # integrals run over this many standard deviations
_NODES = 64

Stabilizer = Callable[[Tensor, Tensor, Tensor], Tensor]


def expected_stabilized(
    x: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    transform: Stabilizer,
    *,
    clipped: bool,
    lowest: Tensor | float = -math.inf,
) -> Tensor:
    """Mean of a transform of the Poisson-Gaussian signal.

    ``E[f(c(alpha P + sigma N))],  P ~ Poisson(x / alpha), N ~ N(0, 1)``, with ``c(y) = clip(y, 0, 1)`` or ``c(y) = y``.

    Poisson sum times Gauss-Legendre quadrature up to 32 photons; above, quadrature of the fourth-order Edgeworth
    density, which is within 1e-4 of a standard deviation there.

    Args:
        x: (N,) mean signals, >= 0, float64.
        alpha, sigma: scalars, float64, in units of the signal; not both 0.
        transform: f(y, alpha, sigma), defined for every real y.
        clipped: whether the signal is clipped to [0, 1].
        lowest: below it the transform is constant; quadrature starts there, since it is blind to a bend inside.

    Returns:
        (N,) means, differentiable in x, alpha and sigma.

    Source: Mäkitalo and Foi 2013, eq. 7; Foi 2009, eq. 5 (clipped observations).
    """

    def clipped_transform(y: Tensor) -> Tensor:
        return transform(y.clamp(0.0, 1.0) if clipped else y, alpha, sigma)

    ends = (0.0, 1.0) if clipped else (lowest, math.inf)
    limits = (torch.as_tensor(ends[0]).to(x), torch.as_tensor(ends[1]).to(x))
    has_counts = bool(alpha > 0)
    few = (x <= _EXACT_PHOTONS * alpha) if has_counts else torch.zeros_like(x, dtype=torch.bool)
    result = torch.zeros_like(x)
    if bool(few.any()):
        counts = torch.arange(_COUNTS, dtype=x.dtype, device=x.device)
        spread = torch.maximum(sigma, 1e-7 * alpha)
        given_count = _gaussian_mean(alpha * counts, spread * torch.ones_like(counts), clipped_transform, limits)
        rate = (x / alpha)[few][:, None].clamp_min(1e-30)  # keeps the gradient finite where x is 0
        log_p = counts * rate.log() - rate - torch.lgamma(counts + 1)
        result = result.masked_scatter(few, log_p.exp() @ given_count)
    if not bool(few.all()):
        mean = x[~few]
        spread = (alpha * mean + sigma**2).sqrt()
        skew, excess = alpha**2 * mean / spread**3, alpha**3 * mean / spread**4
        many = _gaussian_mean(mean, spread, clipped_transform, limits, skew, excess)
        result = result.masked_scatter(~few, many)
    return result


def _gaussian_mean(
    mean: Tensor,
    spread: Tensor,
    f: Callable[[Tensor], Tensor],
    limits: tuple[Tensor, Tensor],
    skew: Tensor | None = None,
    excess: Tensor | None = None,
) -> Tensor:
    """E[f(mean + spread Z)] for nearly Gaussian Z and an f that is constant outside of the limits; all (N,)."""
    # Limits far off are drawn in first: divided by a small spread they would overflow, and their gradient be NaN.
    reach = _REACH * spread
    near = torch.maximum(limits[0], mean - reach), torch.minimum(limits[1], mean + reach)
    low, high = (((limit - mean) / spread).clamp(-_REACH, _REACH) for limit in near)
    nodes, weights = (torch.as_tensor(v, dtype=mean.dtype, device=mean.device) for v in _gauss_legendre(_NODES))
    half = (high - low)[:, None] / 2
    z = low[:, None] + half * (1 + nodes)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below, above = _normal_cdf(low), _normal_cdf(-high)
    if skew is not None and excess is not None:
        g1, g2 = skew[:, None] / 6, excess[:, None] / 24
        density = density * (1 + g1 * _he(z, 3) + g2 * _he(z, 4) + g1**2 / 2 * _he(z, 6))
        below = below - _tail(low, skew, excess)
        above = above + _tail(high, skew, excess)
    inside = (density * f(mean[:, None] + spread[:, None] * z) * weights).sum(1) * half[:, 0]
    return inside + below * f(mean + spread * low) + above * f(mean + spread * high)


def _tail(z: Tensor, skew: Tensor, excess: Tensor) -> Tensor:
    """What the Edgeworth terms take off the normal distribution function at z."""
    phi = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return phi * (skew / 6 * _he(z, 2) + excess / 24 * _he(z, 3) + skew**2 / 72 * _he(z, 5))


def _he(z: Tensor, order: int) -> Tensor:
    """Probabilists' Hermite polynomial."""
    before, now = torch.ones_like(z), z
    for n in range(1, order):
        before, now = now, z * now - n * before
    return now


def _normal_cdf(z: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-z / math.sqrt(2))


@lru_cache
def _gauss_legendre(count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights
