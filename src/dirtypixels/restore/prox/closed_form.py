"""Priors whose proximal operator has a closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.prox.base import Prox


class _Weighted(Prox):
    """A prior with one weight and a closed form for its prox; with weight 0 that is the identity."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        checks.in_range("weight", weight, low=0.0)
        self.weight = float(weight)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"

    @staticmethod
    def _check(v: Tensor, penalty: Tensor) -> None:
        """Refuse a penalty that would broadcast along other dimensions than those meant, or differ over responses."""
        allowed = v.ndim >= 2 and penalty.ndim == v.ndim and penalty.shape[1] == 1
        if penalty.ndim and not (
            allowed and all(found in (1, size) for found, size in zip(penalty.shape, v.shape, strict=True))
        ):
            raise ValueError(
                f"penalty must be a scalar or have shape (1|B, 1, ...) for v {tuple(v.shape)}; "
                f"found {tuple(penalty.shape)}"
            )


class SoftThreshold(_Weighted):
    """The l1 norm, which prefers few responses that are not 0.

    ``g(z) = weight |z|_1``
    ``prox(v) = sign(v) max(|v| - weight/penalty, 0)``

    Args:
        weight: finite, >= 0; in units of penalty times response.

    Raises:
        ValueError: weight is negative or not finite, or penalty neither a scalar nor (1|B, 1, ...).

    Source: Donoho 1995, eq. 1.6; Parikh and Boyd 2014, sec. 6.5.2.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> prox.SoftThreshold(weight=0.5)(torch.tensor([[-2.0, 0.3, 1.0]]), torch.tensor(1.0))
        tensor([[-1.5000,  0.0000,  0.5000]])
    """

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(v, penalty)
        if self.weight == 0:
            return v
        threshold = self.weight / penalty
        return v - v.clamp(-threshold, threshold)


class IsotropicTV(_Weighted):
    """The l2 norm over the responses of each pixel: total variation without a preferred direction for gradient filters.

    ``g(z) = weight sum_p |z[:, :, p]|_2``
    ``prox(v)[:, :, p] = max(1 - weight / (penalty |v[:, :, p]|_2), 0) v[:, :, p]``

    Args:
        weight: finite, >= 0; in units of penalty times response.

    Raises:
        ValueError: weight is negative or not finite, v has no dimension of responses, or penalty is neither a scalar
            nor (1|B, 1, ...).

    Source: Rudin, Osher and Fatemi 1992 (the prior); Wang et al. 2008, eq. 2.6; Yuan and Lin 2006 (group threshold).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> prox.IsotropicTV(weight=2.5)(torch.tensor([[3.0, 4.0]]), torch.tensor(1.0))
        tensor([[1.5000, 2.0000]])
    """

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        if v.ndim < 2:
            raise ValueError(f"v must have shape (B, K, ...); found {tuple(v.shape)}")
        self._check(v, penalty)
        if self.weight == 0:
            return v
        threshold = self.weight / penalty
        norm: Tensor = torch.linalg.vector_norm(v, dim=1, keepdim=True)
        dead = norm <= threshold
        norm = norm.masked_fill(dead, 1)  # before dividing, so that no gradient is 0 times infinity
        return v * ((norm - threshold) / norm).masked_fill(dead, 0)


class HyperLaplacian(_Weighted):
    """The power p below 1 of each response: nearer to the heavy tails of natural gradients than the l1 norm.

    ``g(z) = weight sum |z|^p,  p = 1/2 or 2/3``
    ``prox(v) = 0 for |v| <= t,  v h(t / |v|) else``

    with m = (2 weight (1 - p) / penalty)^(1 / (2 - p)) and t = m (2 - p) / (2 - 2p). At |v| = t the minima at 0 and at
    m cost the same; 0 is taken. The shrinkage h is the largest root of the stationarity condition
    ``weight p |z|^(p-1) + penalty (z - |v|) = 0`` at z = h |v|, with r = t / |v| in [0, 1):

    p = 1/2: ``h = w^2, w^3 - w + sqrt(2/27) r^(3/2) = 0``, by cosines;
    p = 2/3: ``h = w^3, w^4 - w + (r / 2)^(4/3) = 0``, by Ferrari's resolvent cubic.

    Everything is computed in r, so that neither large nor small responses overflow. Twice differentiable off |v| = t.

    Args:
        p: 1/2 or 2/3.
        weight: finite, >= 0; in units of penalty times response^(2 - p).

    Raises:
        ValueError: p is another power, weight is negative or not finite, or penalty neither a scalar nor (1|B, 1, ...).

    Source: Krishnan and Fergus 2009, sec. 2.1; Xu et al. 2012, theorem 1 (1/2); Cao et al. 2013, sec. 3 (2/3).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> prox.HyperLaplacian(p=2 / 3)(torch.tensor([[1.0, 2.0, 8.0]]), torch.tensor(1.0))
        tensor([[0.0000, 1.4047, 7.6618]])
    """

    def __init__(self, p: float = 2 / 3, weight: float = 1.0) -> None:
        super().__init__(weight)
        checks.one_of("p", p, (1 / 2, 2 / 3))
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p:.3g}, {super().extra_repr()}"

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(v, penalty)
        if self.weight == 0:
            return v
        power = 1 / (2 - self.p)
        scale = (2 * self.weight * (1 - self.p)) ** power * (2 - self.p) / (2 - 2 * self.p)
        threshold = scale * penalty**-power
        size = v.abs()
        dead = size <= threshold
        # Masked before and after dividing, so that no gradient is 0 times infinity.
        ratio = (threshold / size.masked_fill(dead, 1)).masked_fill(dead, 0.5)
        shrinkage = _shrinkage_half(ratio) if self.p == 1 / 2 else _shrinkage_two_thirds(ratio)
        return (v * shrinkage).masked_fill(dead, 0)


def _shrinkage_half(ratio: Tensor) -> Tensor:
    angle = torch.acos(-math.sqrt(0.5) * ratio**1.5)  # 90 to 135 degrees: far from where acos is steep
    return 4 / 3 * (angle / 3).cos().square()


def _shrinkage_two_thirds(ratio: Tensor) -> Tensor:
    # w^4 - w + e = (w^2 + s w + m)(w^2 - s w + n) with y = s^2 from y^3 - 4 e y - 1 = 0; the root is of the second.
    part = (0.5 + (0.25 - 4 / 27 * ratio.square().square()).sqrt()) ** (1 / 3)
    y = part + 4 / 3 * (ratio / 2) ** (4 / 3) / part
    s = y.sqrt()
    w = (s + (2 / s - y).sqrt()) / 2
    return w**3
