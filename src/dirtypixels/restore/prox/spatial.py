"""What learned proximal operators share that look at neighboring pixels."""

from __future__ import annotations

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
        for name, value, least in (("channels", channels, 1), *((n, m, 1) for n, m in more.items())):
            if value < least:
                raise ValueError(f"{name} must be at least {least}; found {value}")
        if features < 0:
            raise ValueError(f"features must be at least 0; found {features}")
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
