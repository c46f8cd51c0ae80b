"""Proximal gradient: a gradient step on the data term, dual steps for the prox of the prior behind its filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.algorithms.base import Algorithm, HasImage
from dirtypixels.restore.algorithms.color import Color
from dirtypixels.restore.algorithms.primal_dual import Primal
from dirtypixels.restore.prox import Prox
from dirtypixels.restore.terms import DataTerm

S = TypeVar("S", bound=HasImage)


class ForwardBackward(Algorithm[S]):
    """What proximal gradient and its accelerated form share.

    Args:
        prox: as for `Algorithm`, and so are filters, beta (which is not used), color and features.
        inner: steps on the dual in an iteration, >= 1.

    Raises:
        ValueError: inner is below 1; and as for `Algorithm`.
    """

    weights = ("lambda", "step")

    def __init__(
        self,
        prox: Prox | Sequence[Prox],
        filters: Tensor,
        beta: float = 1.0,
        *,
        color: Color = "shared",
        features: int = 0,
        inner: int = 1,
    ) -> None:
        super().__init__(prox, filters, beta, color=color, features=features)
        checks.in_range("inner", inner, low=1)
        self.inner = inner

    def _descend(self, x: Tensor, dual: Tensor, term: DataTerm, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The image after a step from x, and the dual with which it ends."""
        context = self._context(context)
        weight, step = self._weights(context)
        norm = self._norm(self._power(x))
        lipschitz = self.prior.joined(term.lipschitz).clamp_min(torch.finfo(x.dtype).tiny)
        down = x - step / lipschitz * term.gradient(x)
        penalty = self.prior.joined(weight * lipschitz / (step * norm))
        v = dual / self._wide(penalty)
        for _ in range(self.inner):
            w = v + self.prior.analyze(down - self.prior.synthesize(v, self.filters) / norm, self.filters)
            v = w - self.prior(w, penalty, x.shape[1], context)
        return down - self.prior.synthesize(v, self.filters) / norm, self._wide(penalty) * v


class ISTA(ForwardBackward[Primal]):
    """Proximal gradient (ISTA), the prox of the prior behind its filters by dual steps that go on where they stood.

    ``d   = x - t lambda A^T W (A x - y),  t = step / (lambda L)``, L the largest eigenvalue of A^T W A
    ``w_i = v_i + C_i (d - sum_j C_j^T v_j / |C|^2),  v_i = w_i - prox(w_i),  penalty = 1 / (t |C|^2)``
    ``x   = d - sum_i C_i^T v_i / |C|^2``

    It reaches the minimum for steps below 2, with one inner step already.

    Source: Loris and Verhoeven 2011; Chen, Huang and Zhang 2013, algorithm 3.

    >>> from dirtypixels.restore import filters, prox, terms
    >>> iteration = ISTA(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> iteration(iteration.start(term.start()), term).x.shape
    torch.Size([1, 3, 16, 16])
    """

    def start(self, x: Tensor) -> Primal:
        return Primal(x, self._responses(x))

    def forward(self, state: Primal, term: DataTerm, context: Tensor | None = None) -> Primal:
        return Primal(*self._descend(*state, term, context))


class Accelerated(NamedTuple):
    """x and the point ahead of it, (B, C, H, W); the dual, (B, C K, H, W); Nesterov's t, (B, 1, 1, 1)."""

    x: Tensor
    dual: Tensor
    ahead: Tensor
    t: Tensor


class FISTA(ForwardBackward[Accelerated]):
    """Proximal gradient with Nesterov's momentum (FISTA).

    ``x' = step of ISTA from a,  t' = (1 + sqrt(1 + 4 t^2)) / 2,  a = x' + (t - 1) / t' (x' - x)``

    Args:
        prox: as for `Algorithm`, and so are filters, beta (which is not used), color and features.
        inner: steps on the dual in an iteration, >= 1; momentum needs more of them than ISTA.
        restart: whether an image loses its momentum where that points uphill, which is what reaches the minimum of a
            problem that is strongly convex soonest.

    Source: Beck and Teboulle 2009, sec. 4; O'Donoghue and Candès 2015, sec. 3.2 (restart).

    >>> from dirtypixels.restore import filters, prox, terms
    >>> iteration = FISTA(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> iteration(iteration.start(term.start()), term).x.shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        prox: Prox | Sequence[Prox],
        filters: Tensor,
        beta: float = 1.0,
        *,
        color: Color = "shared",
        features: int = 0,
        inner: int = 5,
        restart: bool = False,
    ) -> None:
        super().__init__(prox, filters, beta, color=color, features=features, inner=inner)
        self.restart = restart

    def start(self, x: Tensor) -> Accelerated:
        return Accelerated(x, self._responses(x), x, x.new_ones(len(x), 1, 1, 1))

    def forward(self, state: Accelerated, term: DataTerm, context: Tensor | None = None) -> Accelerated:
        before, dual, ahead, t = state
        x, dual = self._descend(ahead, dual, term, context)
        if self.restart:
            uphill = ((ahead - x) * (x - before)).sum((1, 2, 3), keepdim=True) > 0
            t = torch.where(uphill, 1.0, t)
        t_next = 0.5 + (0.25 + t.square()).sqrt()
        return Accelerated(x, dual, x + (t - 1) / t_next * (x - before), t_next)
