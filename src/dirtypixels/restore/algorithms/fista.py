"""Accelerated proximal gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dirtypixels.restore.algorithms.color import Color
from dirtypixels.restore.algorithms.ista import ForwardBackward
from dirtypixels.restore.prox import Prox
from dirtypixels.restore.terms import DataTerm


class Accelerated(NamedTuple):
    """x and the point ahead of it, (B, C, H, W); the dual, (B, C K, H, W); Nesterov's t, (B, 1, 1, 1)."""

    x: Tensor
    dual: Tensor
    ahead: Tensor
    pace: Tensor


class FISTA(ForwardBackward[Accelerated]):
    """Proximal gradient with Nesterov's momentum (FISTA).

    ``x' = step of ISTA from a,  t' = (1 + sqrt(1 + 4 t^2)) / 2,  a = x' + (t - 1) / t' (x' - x)``

    Args:
        prox: as for `Algorithm`, and so are filters, beta (which is not used), color and features.
        inner: steps on the dual in an iteration, >= 1; momentum needs more of them than ISTA.
        restart: whether an image loses its momentum where that points uphill, which is what reaches the minimum of a
            problem that is strongly convex soonest.

    Source: Beck and Teboulle 2009, sec. 4; O'Donoghue and Candès 2015, sec. 3.2 (restart).
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
        before, dual, ahead, pace = state
        x, dual = self._descend(ahead, dual, term, context)
        if self.restart:
            uphill = ((ahead - x) * (x - before)).sum((1, 2, 3), keepdim=True) > 0
            pace = torch.where(uphill, 1.0, pace)
        faster = 0.5 + (0.25 + pace.square()).sqrt()
        return Accelerated(x, dual, x + (pace - 1) / faster * (x - before), faster)
