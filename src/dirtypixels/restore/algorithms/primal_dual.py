"""Algorithms that carry a dual of the filter responses, and take exact steps for the data term and the prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dirtypixels.restore.algorithms.base import Algorithm
from dirtypixels.restore.terms import DataTerm


class Primal(NamedTuple):
    """x, (B, C, H, W), and the dual u of the filter responses, (B, C K, H, W), in units of g over response."""

    x: Tensor
    dual: Tensor


class ADMM(Algorithm[Primal]):
    """The alternating direction method of multipliers with exact steps for both halves.

    ``z_i = prox(C_i x + u_i / beta)``
    ``x   = argmin_x lambda f(x) + beta/2 sum_i |C_i x - z_i + u_i / beta|^2``
    ``u_i = u_i + beta (C_i x - z_i)``

    It reaches the minimum for every beta > 0. The first iteration is that of half-quadratic splitting.

    Source: Gabay and Mercier 1976; Boyd et al. 2011, sec. 3.1.1.

    >>> from dirtypixels.restore import filters, prox, terms
    >>> iteration = ADMM(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> iteration(iteration.start(term.start()), term).x.shape
    torch.Size([1, 3, 16, 16])
    """

    weights = ("lambda", "beta")
    log_beta: nn.Parameter

    def start(self, x: Tensor) -> Primal:
        return Primal(x, self._responses(x))

    def forward(self, state: Primal, term: DataTerm, context: Tensor | None = None) -> Primal:
        (x, dual), context = state, self._context(context)
        weight, beta = self._weights(context)
        scaled = dual / self._wide(beta)
        z = self.prior(self.prior.analyze(x, self.filters) + scaled, beta, x.shape[1], context)
        right = beta * torch.fft.rfft2(self.prior.synthesize(z - scaled, self.filters))
        x = term.near(x).solve(right, beta, self._power(x), weight, x)
        return Primal(x, self._wide(beta) * (scaled + self.prior.analyze(x, self.filters) - z))


class PrimalDual(NamedTuple):
    """x and the point ahead of it, (B, C, H, W), and the dual of the filter responses, (B, C K, H, W)."""

    x: Tensor
    dual: Tensor
    ahead: Tensor


class ChambollePock(Algorithm[PrimalDual]):
    """The primal-dual algorithm, with the data term's prox.

    ``w_i = u_i + beta C_i a,  u_i = w_i - beta prox(w_i / beta)``
    ``x'  = argmin_x lambda f(x) + 1/(2t) |x - (x - t sum_i C_i^T u_i)|^2,  t = step / (beta |C|^2)``
    ``a   = 2 x' - x``

    It reaches the minimum for every beta > 0 and steps of at most 1.

    Source: Chambolle and Pock 2011, algorithm 1; Condat 2013, theorem 3.3 (a step of 1).

    >>> from dirtypixels.restore import filters, prox, terms
    >>> iteration = ChambollePock(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> iteration(iteration.start(term.start()), term).x.shape
    torch.Size([1, 3, 16, 16])
    """

    weights = ("lambda", "beta", "step")
    log_beta: nn.Parameter

    def start(self, x: Tensor) -> PrimalDual:
        return PrimalDual(x, self._responses(x), x)

    def forward(self, state: PrimalDual, term: DataTerm, context: Tensor | None = None) -> PrimalDual:
        (before, dual, ahead), context = state, self._context(context)
        weight, beta, step = self._weights(context)
        wide = self._wide(beta)
        v = dual / wide + self.prior.analyze(ahead, self.filters)
        dual = wide * (v - self.prior(v, beta, before.shape[1], context))
        rho = beta * self._norm(self._power(before)) / step
        down = torch.fft.rfft2(rho * before - self.prior.synthesize(dual, self.filters))
        x = term.near(before).solve(down, rho, None, weight, before)
        return PrimalDual(x, dual, 2 * x - before)
