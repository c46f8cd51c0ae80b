"""The paper's proximal operator: a small network over the responses at each pixel."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.restore.prox.base import Prox, check_context


class PointwiseCNN(Prox):
    """A learned proximal operator: a small network over the responses at each pixel.

    ``z = v + W_n relu(... relu(W_1 v + b_1) ...) + b_n``, kernels of 1 x 1. It sees all responses of a pixel at once,
    which a prior that is separable over responses cannot. Started near the identity, or without the skip (v added) near
    zero, where most responses belong if they are mostly noise: the last layer starts small. The penalty is part of what
    is learned and is not used. With a context c of each image, the inner layers' biases are ``b_i + S_i c``; S starts
    at 0.

    Args:
        channels: responses K, >= 1.
        hidden: width of the inner layers, >= 1.
        layers: number of 1 x 1 convolutions, >= 2.
        features: size F of the context, >= 0; 0 for none.
        skip: whether v is added.

    Raises:
        ValueError: an argument is out of range, v has another number of responses, or the context another size.

    Source: Diamond et al. 2017, sec. 5.3 (three layers of 24 channels).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> learned = prox.PointwiseCNN()
        >>> learned(torch.randn(1, 24, 8, 8), torch.tensor(1.0)).shape, sum(p.numel() for p in learned.parameters())
        (torch.Size([1, 24, 8, 8]), 1800)
    """

    def __init__(
        self, channels: int = 24, hidden: int = 24, layers: int = 3, features: int = 0, *, skip: bool = True
    ) -> None:
        super().__init__()
        self.skip = skip
        for name, value, low in (("channels", channels, 1), ("hidden", hidden, 1), ("layers", layers, 2)):
            checks.in_range(name, value, low)
        checks.in_range("features", features, low=0)
        widths = [channels, *[hidden] * (layers - 1), channels]
        pairs = list(pairwise(widths))
        self.features = features
        self.weights = nn.ParameterList(torch.empty(out, into) for into, out in pairs)
        self.biases = nn.ParameterList(torch.zeros(out) for _, out in pairs)
        self.shifts = nn.ParameterList(torch.zeros(out, features) for _, out in pairs[:-1] if features)
        for weight in self.weights:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        with torch.no_grad():
            self.weights[-1].mul_(0.01)

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        channels = self.weights[0].shape[1]
        if v.ndim < 2 or v.shape[1] != channels:
            raise ValueError(f"v must have shape (B, {channels}, ...); found {tuple(v.shape)}")
        check_context(context, self.features)
        flat = v.reshape(v.shape[0], channels, math.prod(v.shape[2:]))
        inner = flat
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inner = weight @ (inner.relu() if i else inner) + bias[:, None]
            if context is not None and i < len(self.shifts):
                inner = inner + (context @ self.shifts[i].t())[:, :, None]
        return (flat + inner if self.skip else inner).reshape(v.shape)

    def change(self, analysis: Tensor, patches: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        # The filters are linear and so are the outer layers: multiplied together they cost one product, not two.
        check_context(context, self.features)
        first, *inner, last = self.weights
        *biases, last_bias = self.biases
        r = patches
        for i, (weight, bias) in enumerate(zip((first @ analysis, *inner), biases, strict=True)):
            if context is None:
                r = torch.addmm(bias[:, None], weight, r).relu_()
            else:
                shifted = torch.addmm(bias[:, None], self.shifts[i], context.t())
                r = (weight @ r).unflatten(1, (len(context), -1)).add_(shifted[..., None]).relu_().flatten(1)
        return torch.addmm((analysis.t() @ last_bias)[:, None], analysis.t() @ last, r)
