"""A proximal operator that sees far: a residual U-Net over responses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dirtypixels.restore.prox.spatial import Convolution, SpatialProx


class ResidualUNet(SpatialProx):
    """A learned proximal operator: a small residual U-Net over the responses.

    ``r_0 = H v,  s_l = B_l r_l,  r_(l+1) = D_l s_l``
    ``u_depth = B r_depth,  u_l = B'_l (s_l + U_l u_(l+1)),  z = v + T u_0``

    H and T are circular 3 x 3 convolutions from and to the responses. D_l halves height and width by learned weighted
    sums of 2 x 2 pixels, U_l doubles them likewise, and the blocks are ``B x = x + W_2 * relu(W_1 * x + b_1) + b_2``.
    Every level has the same width. An odd height or width is continued by its first row or column before it is halved,
    and cropped after; where both are multiples of 2^depth, z moves with v by such multiples, around the border too.

    Started near the identity: T starts small. The penalty is part of what is learned and is not used. With a context c
    of each image the first biases of the blocks are ``b_1 + S c``; S starts at 0.

    Args:
        channels: responses K, >= 1.
        hidden: width of every level, >= 1.
        depth: halvings, >= 1.
        features: size F of the context, >= 0; 0 for none.

    Raises:
        ValueError: an argument is out of range, v is not (B, K, H, W), or the context has another size.

    Source: Ronneberger et al. 2015; Zhang et al. 2021, sec. 3.1 (residual blocks, additive skips).
    """

    def __init__(self, channels: int = 24, hidden: int = 32, depth: int = 2, features: int = 0) -> None:
        super().__init__(channels, features, hidden=hidden, depth=depth)
        self.head = Convolution(channels, hidden, 3)
        self.before = nn.ModuleList(_Block(hidden, features) for _ in range(depth))
        self.down = nn.ModuleList(_Halve(hidden) for _ in range(depth))
        self.bottom = _Block(hidden, features)
        self.up = nn.ModuleList(_Double(hidden) for _ in range(depth))
        self.after = nn.ModuleList(_Block(hidden, features) for _ in range(depth))
        self.tail = Convolution(hidden, channels, 3)
        with torch.no_grad():
            self.tail.weight.mul_(0.01)

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(v, context)
        x = self.head(v)
        skips = []
        for block, halve in zip(self.before, self.down, strict=True):
            skips.append(block(x, context))
            x = halve(skips[-1])
        x = self.bottom(x, context)
        for double, block in zip(reversed(self.up), reversed(self.after), strict=True):
            skip = skips.pop()
            x = block(skip + double(x)[..., : skip.shape[-2], : skip.shape[-1]], context)
        z: Tensor = v + self.tail(x)
        return z


class _Block(nn.Module):
    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.first = Convolution(width, width, 3, features, math.sqrt(2))
        self.second = Convolution(width, width, 3)
        with torch.no_grad():
            self.second.weight.mul_(0.1)  # so that the mean square does not grow from block to block

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        z: Tensor = x + self.second(self.first(x, context).relu_())
        return z


class _Halve(nn.Module):
    """Learned weighted sums of 2 x 2 pixels that do not overlap."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width, 2, 2) / (4 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        even = torch.nn.functional.pad(x, (0, width % 2, 0, height % 2), mode="circular")
        return torch.nn.functional.conv2d(even, self.weight, stride=2)


class _Double(nn.Module):
    """Each pixel becomes 2 x 2 by learned weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width, 2, 2) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.conv_transpose2d(x, self.weight, stride=2)
