"""Learned proximal operators that look at neighboring pixels: a small network, and a residual U-Net that sees far."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.restore.prox.base import Prox, check_context


class SpatialProx(Prox):
    """A learned prior whose z at a pixel depends on the responses around it; images are circular.

    Args:
        channels: responses K, >= 1.
        features: size F of the context, >= 0; 0 for none.
        more: further sizes by their names, >= 1.

    Raises:
        ValueError: a size is out of range.
    """

    pointwise: ClassVar[bool] = False

    def __init__(self, channels: int, features: int, **more: int) -> None:
        super().__init__()
        for name, value in {"channels": channels, **more}.items():
            checks.in_range(name, value, low=1)
        checks.in_range("features", features, low=0)
        self.channels, self.features = channels, features

    def change(self, analysis: Tensor, patches: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        """Not to be had: patches know no neighbors.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"change must be called on a pointwise prox; found {type(self).__name__}, which sees neighboring pixels"
        )

    def _check(self, v: Tensor, context: Tensor | None) -> None:
        checks.has_shape("v", v, ("B", self.channels, "H", "W"))
        check_context(context, self.features)


class Convolution(nn.Module):
    """``W * v + b + S c``: a circular convolution whose bias depends on the context c, if there is one.

    Started as in He et al. 2015 for what follows (`gain` for a mean square that does not change); b and S start at 0.

    Args:
        into: channels of v, >= 1.
        out: channels of the result, >= 1.
        kernel: side of the kernels, odd; v must be at least kernel // 2 high and wide.
        features: size F of the context, >= 0.
        gain: sqrt(2) before a ReLU, 1 without.
    """

    def __init__(self, into: int, out: int, kernel: int, features: int = 0, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into, kernel, kernel) * gain / (into * kernel**2) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(out))
        self.shift = nn.Parameter(torch.zeros(out, features)) if features else None

    def forward(self, v: Tensor, context: Tensor | None = None) -> Tensor:
        half = self.weight.shape[-1] // 2
        padded = torch.nn.functional.pad(v, (half,) * 4, mode="circular")
        out = torch.nn.functional.conv2d(padded, self.weight, self.bias)
        if context is None or self.shift is None:
            return out
        return out + (context @ self.shift.t())[..., None, None]


class ConvolutionalCNN(SpatialProx):
    """A learned proximal operator: a small network over the responses around each pixel.

    ``z = v + W_n * relu(... relu(W_1 * v + b_1) ...) + b_n``, circular convolutions. Started near the identity, or
    without the skip (v added) near zero: the last layer starts small. The penalty is part of what is learned and is not
    used. With a context c of each image, the inner layers' biases are ``b_i + S_i c``; S starts at 0.

    Args:
        channels: responses K, >= 1.
        hidden: width of the inner layers, >= 1.
        layers: number of convolutions, >= 2.
        kernel: side of the kernels, odd, >= 3.
        features: size F of the context, >= 0; 0 for none.
        skip: whether v is added.

    Raises:
        ValueError: an argument is out of range, v is not (B, K, H, W) or smaller than half a kernel, or the context has
            another size.

    Source: Diamond et al. 2017, sec. 5.3 (its kernels are 1 x 1).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> learned = prox.ConvolutionalCNN(kernel=3)
        >>> learned(torch.randn(1, 24, 8, 8), torch.tensor(1.0)).shape, sum(p.numel() for p in learned.parameters())
        (torch.Size([1, 24, 8, 8]), 15624)
    """

    def __init__(
        self,
        channels: int = 24,
        hidden: int = 24,
        layers: int = 3,
        kernel: int = 3,
        features: int = 0,
        *,
        skip: bool = True,
    ) -> None:
        super().__init__(channels, features, hidden=hidden)
        checks.in_range("layers", layers, low=2)
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and at least 3; found {kernel}")
        self.radius, self.skip = kernel // 2, skip
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
        z: Tensor = self.last(inner)
        return v + z if self.skip else z


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

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> learned = prox.ResidualUNet(depth=2)
        >>> learned(torch.randn(1, 24, 8, 8), torch.tensor(1.0)).shape, sum(p.numel() for p in learned.parameters())
        (torch.Size([1, 24, 8, 8]), 122744)
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
