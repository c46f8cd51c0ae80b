"""The alternating direction method of multipliers."""

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
