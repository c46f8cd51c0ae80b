"""The paper's proximal operator with kernels that see neighboring pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from dirtypixels.restore.prox.spatial import Convolution, SpatialProx


class ConvolutionalCNN(SpatialProx):
    """A learned proximal operator: a small network over the responses around each pixel.

    ``z = v + W_n * relu(... relu(W_1 * v + b_1) ...) + b_n``, circular convolutions. Started near the identity: the
    last layer starts small. The penalty is part of what is learned and is not used. With a context c of each image, the
    inner layers' biases are ``b_i + S_i c``; S starts at 0.

    Args:
        channels: responses K, >= 1.
        hidden: width of the inner layers, >= 1.
        layers: number of convolutions, >= 2.
        kernel: side of the kernels, odd, >= 3.
        features: size F of the context, >= 0; 0 for none.

    Raises:
        ValueError: an argument is out of range, v is not (B, K, H, W) or smaller than half a kernel, or the context has
            another size.

    Source: Diamond et al. 2017, sec. 5.3 (its kernels are 1 x 1).
    """

    def __init__(
        self, channels: int = 24, hidden: int = 24, layers: int = 3, kernel: int = 3, features: int = 0
    ) -> None:
        super().__init__(channels, features, hidden=hidden)
        if layers < 2:
            raise ValueError(f"layers must be at least 2; found {layers}")
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and at least 3; found {kernel}")
        self.radius = kernel // 2
        inner = [channels, *[hidden] * (layers - 1)]
        self.inner = nn.ModuleList(Convolution(a, b, kernel, features, math.sqrt(2)) for a, b in pairwise(inner))
        self.last = Convolution(hidden, channels, kernel)
        with torch.no_grad():
            self.last.weight.mul_(0.01)

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(v, context)
        if min(v.shape[-2:]) < self.radius:
            height, width = v.shape[-2:]
            raise ValueError(f"v must be at least {self.radius} high and wide; found {height} x {width}")
        inner = v
        for convolution in self.inner:
            inner = convolution(inner, context).relu_()
        z: Tensor = v + self.last(inner)
        return z
