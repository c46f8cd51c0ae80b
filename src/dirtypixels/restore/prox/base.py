"""What every proximal operator of this package is."""

from __future__ import annotations

from torch import Tensor, nn


class Prox(nn.Module):
    """``prox(v) = argmin_z g(z) + penalty/2 |z - v|^2`` for one prior g.

    Subclasses are pointwise: each pixel by itself, over its K responses. `forward` takes (B, K, ...) responses and
    the penalty, a positive scalar tensor, and returns the shape of v.
    """

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(v, penalty)")

    def change(self, analysis: Tensor, patches: Tensor, penalty: Tensor) -> Tensor:
        """``analysis^T (prox(v) - v)`` for the responses ``v = analysis @ patches``.

        Patches are (P, L) and analysis (K, P); gives (P, L). Subclasses may do the same with less arithmetic.
        """
        v = (analysis @ patches)[None]
        z: Tensor = self(v, penalty)
        return analysis.t() @ (z - v)[0]
