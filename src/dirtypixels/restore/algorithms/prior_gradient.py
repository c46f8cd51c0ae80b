"""Proximal gradient steps that take the gradient of the prior and the prox of the data term."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dirtypixels.restore.algorithms.base import Algorithm
from dirtypixels.restore.algorithms.hqs import Iterate
from dirtypixels.restore.terms import DataTerm


class PriorGradient(Algorithm[Iterate]):
    """Proximal gradient with the gradient of a prior in place of its prox.

    ``d = x - t sum_i C_i^T phi(C_i x),  phi(v) = beta (v - prox(v)),  t = step / (beta |C|^2)``
    ``x = argmin_x lambda f(x) + 1/(2t) |x - d|^2``

    phi is the gradient of the prior's Moreau envelope, so the minimum is that of half-quadratic splitting with the same
    beta; it is reached for steps below 2.

    Source: Diamond et al. 2017, sec. 5.1 and 8; Chen and Pock 2017 (learned gradients of priors).
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
        moved = spectrum + part * (self.prior.pull(x, self.filters, beta, context) - power * spectrum)
        rho = beta / part
        return Iterate(term.near(x).solve(rho * moved, rho, None, weight, x))
