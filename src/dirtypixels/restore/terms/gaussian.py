"""Gaussian noise with one variance for each image and channel: everything is a product in Fourier space."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.channels import solve_power
from dirtypixels.restore.terms.base import DataTerm


class Gaussian(DataTerm):
    """``f(x) = w/2 |A x - y|^2``, solved exactly by inverse filtering.

    Args:
        y: (B, C, H, W).
        otf: transfer function of A, (1|B, 1|C, H, W // 2 + 1); the identity if None.
        weight: w, (1|B, 1|C, 1, 1), >= 0, such as 1 / variance; 1 if None.

    Raises:
        TypeError: y is not a floating-point tensor.
        ValueError: a shape does not fit, or weight is negative or not finite.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import terms
        >>> term = terms.Gaussian(torch.ones(1, 1, 4, 4), weight=torch.full((1, 1, 1, 1), 4.0))
        >>> term.value(torch.zeros(1, 1, 4, 4)), term.lipschitz.item()
        (tensor([32.]), 4.0)
    """

    def __init__(self, y: Tensor, otf: Tensor | None = None, weight: Tensor | None = None) -> None:
        super().__init__(y, otf)
        if weight is not None:
            batch, channels = y.shape[:2]
            checks.has_shape("weight", weight, ((1, batch), (1, channels), 1, 1))
            checks.in_range("weight", weight, low=0.0)
        self.weight = weight

    @cached_property
    def data(self) -> Tensor:
        """Real Fourier transform of A^T W y."""
        spectrum: Tensor = torch.fft.rfft2(self.y)
        if self.otf is not None:
            return (self.otf.conj() if self.weight is None else self.weight * self.otf.conj()) * spectrum
        return spectrum if self.weight is None else self.weight * spectrum

    @cached_property
    def gram(self) -> Tensor | float:
        """Eigenvalues of A^T W A."""
        if self.otf is None:
            return 1.0 if self.weight is None else self.weight
        gram = self.otf.abs() ** 2
        return gram if self.weight is None else self.weight * gram

    @property
    def lipschitz(self) -> Tensor:
        gram = self.y.new_ones(1, 1, 1, 1) if isinstance(self.gram, float) else self.gram
        return gram.amax((-2, -1), keepdim=True)

    def value(self, x: Tensor) -> Tensor:
        squares = (self.blur(x) - self.y).square()
        return 0.5 * (squares if self.weight is None else self.weight * squares).sum((1, 2, 3))

    def gradient(self, x: Tensor) -> Tensor:
        if self.otf is None:
            return x - self.y if self.weight is None else self.weight * (x - self.y)
        return self.image(self.gram * torch.fft.rfft2(x) - self.data)

    def solve(
        self,
        right: Tensor,
        rho: Tensor,
        power: Tensor | None = None,
        weight: Tensor | float = 1.0,
        guess: Tensor | None = None,
    ) -> Tensor:
        above = weight * self.data + right
        if power is None:
            return self.image(above / (weight * self.gram + rho))
        return self.image(solve_power(weight * self.gram, rho, power, above))
