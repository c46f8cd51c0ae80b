"""Algorithms that split the prior off by a quadratic penalty and remember nothing but their iterate."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dirtypixels.restore.algorithms.base import Algorithm
from dirtypixels.restore.channels import apply_power
from dirtypixels.restore.terms import DataTerm


class Iterate(NamedTuple):
    """The state of algorithms that remember nothing but their iterate."""

    x: Tensor


class HQS(Algorithm[Iterate]):
    """Half-quadratic splitting.

    ``z_i = prox(C_i x)``
    ``x   = (lambda A^T W A + beta sum_i C_i^T C_i)^-1 (lambda A^T W y + beta sum_i C_i^T z_i)``

    It minimizes ``lambda f(x) + sum_i min_z g(z) + beta/2 |z - C_i x|^2``, which tends to the objective as beta grows.

    Source: Geman and Yang 1995; Schmidt and Roth 2014; Diamond et al. 2017, algorithm 1.

    >>> from dirtypixels.restore import filters, prox, terms
    >>> iteration = HQS(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> iteration(iteration.start(term.start()), term).x.shape
    torch.Size([1, 3, 16, 16])
    """

    weights = ("lambda", "beta")
    log_beta: nn.Parameter

    def start(self, x: Tensor) -> Iterate:
        return Iterate(x)

    def forward(self, state: Iterate, term: DataTerm, context: Tensor | None = None) -> Iterate:
        x, context = state.x, self._context(context)
        weight, beta = self._weights(context)
        pulled = self.prior.pull(x, self.filters, beta, context)
        return Iterate(term.near(x).solve(beta * pulled, beta, self._power(x), weight, x))


class PriorGradient(Algorithm[Iterate]):
    """Proximal gradient with the gradient of a prior in place of its prox.

    ``d = x - t sum_i C_i^T phi(C_i x),  phi(v) = beta (v - prox(v)),  t = step / (beta |C|^2)``
    ``x = argmin_x lambda f(x) + 1/(2t) |x - d|^2``

    phi is the gradient of the prior's Moreau envelope, so the minimum is that of half-quadratic splitting with the same
    beta; it is reached for steps below 2.

    Source: Diamond et al. 2017, sec. 5.1 and 8; Chen and Pock 2017 (learned gradients of priors).

    >>> from dirtypixels.restore import filters, prox, terms
    >>> iteration = PriorGradient(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> iteration(iteration.start(term.start()), term).x.shape
    torch.Size([1, 3, 16, 16])
    """

    weights = ("lambda", "beta", "step")
    log_beta: nn.Parameter

    def start(self, x: Tensor) -> Iterate:
        return Iterate(x)

    def forward(self, state: Iterate, term: DataTerm, context: Tensor | None = None) -> Iterate:
        x, context = state.x, self._context(context)
        weight, beta, step = self._weights(context)
        power, spectrum = self._power(x), torch.fft.rfft2(x)
        part = step / self._norm(power)
        moved = spectrum + part * (self.prior.pull(x, self.filters, beta, context) - apply_power(power, spectrum))
        rho = beta / part
        return Iterate(term.near(x).solve(rho * moved, rho, None, weight, x))
