"""Proximal operators: what a prior does to filter responses, ``prox(v, penalty)`` with the shape of v."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from dirtypixels import checks


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


class PointwiseCNN(Prox):
    """A learned proximal operator: a small network over the responses at each pixel.

    ``z = v + W_n relu(... relu(W_1 v + b_1) ...) + b_n``, kernels of 1 x 1. It sees all responses of a pixel at once,
    which a prior that is separable over responses cannot. Started near the identity: the last layer starts small.
    The penalty is part of what is learned and is not used.

    Args:
        channels: responses K, >= 1.
        hidden: width of the inner layers, >= 1.
        layers: number of 1 x 1 convolutions, >= 2.

    Raises:
        ValueError: an argument is out of range, or v has another number of responses.

    Source: Diamond et al. 2017, sec. 5.3 (three layers of 24 channels).
    """

    def __init__(self, channels: int = 24, hidden: int = 24, layers: int = 3) -> None:
        super().__init__()
        for name, value, least in (("channels", channels, 1), ("hidden", hidden, 1), ("layers", layers, 2)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}; found {value}")
        widths = [channels, *[hidden] * (layers - 1), channels]
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList(torch.empty(out, into) for into, out in pairs)
        self.biases = nn.ParameterList(torch.zeros(out) for _, out in pairs)
        for weight in self.weights:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        with torch.no_grad():
            self.weights[-1].mul_(0.01)

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
        channels = self.weights[0].shape[1]
        if v.ndim < 2 or v.shape[1] != channels:
            raise ValueError(f"v must have shape (B, {channels}, ...); found {tuple(v.shape)}")
        flat = v.reshape(v.shape[0], channels, math.prod(v.shape[2:]))
        inner = flat
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inner = weight @ (inner.relu() if i else inner) + bias[:, None]
        return (flat + inner).reshape(v.shape)

    def change(self, analysis: Tensor, patches: Tensor, penalty: Tensor) -> Tensor:
        # The filters are linear and so are the outer layers: multiplied together they cost one product, not two.
        first, *inner, last = self.weights
        bias, *biases, last_bias = self.biases
        r = torch.addmm(bias[:, None], first @ analysis, patches).relu_()
        for weight, b in zip(inner, biases, strict=True):
            r = torch.addmm(b[:, None], weight, r).relu_()
        return torch.addmm((analysis.t() @ last_bias)[:, None], analysis.t() @ last, r)


class _Weighted(Prox):
    """A prior with one weight and a closed form for its prox; with weight 0 that is the identity."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        checks.in_range("weight", weight, low=0.0)
        self.weight = float(weight)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"


class SoftThreshold(_Weighted):
    """The l1 norm, which prefers few responses that are not 0.

    ``g(z) = weight |z|_1``
    ``prox(v) = sign(v) max(|v| - weight/penalty, 0)``

    Args:
        weight: finite, >= 0; in units of penalty times response.

    Raises:
        ValueError: weight is negative or not finite.

    Source: Donoho 1995, eq. 1.6; Parikh and Boyd 2014, sec. 6.5.2.
    """

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
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
        ValueError: weight is negative or not finite, or v has no dimension of responses.

    Source: Rudin, Osher and Fatemi 1992 (the prior); Wang et al. 2008, eq. 2.6; Yuan and Lin 2006 (group threshold).
    """

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
        if v.ndim < 2:
            raise ValueError(f"v must have shape (B, K, ...); found {tuple(v.shape)}")
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
        ValueError: p is another power, or weight is negative or not finite.

    Source: Krishnan and Fergus 2009, sec. 2.1; Xu et al. 2012, theorem 1 (1/2); Cao et al. 2013, sec. 3 (2/3).
    """

    def __init__(self, p: float = 2 / 3, weight: float = 1.0) -> None:
        super().__init__(weight)
        checks.one_of("p", p, (1 / 2, 2 / 3))
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p:.3g}, {super().extra_repr()}"

    def forward(self, v: Tensor, penalty: Tensor) -> Tensor:
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
