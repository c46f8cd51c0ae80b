"""What every data term of this package is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from dirtypixels import checks


class DataTerm(ABC):
    """``f(x) = 1/2 sum_p w_p |(A x - y)_p|^2`` over circular images, A a blur or the identity.

    Args:
        y: (B, C, H, W), what was measured.
        otf: transfer function of A, (1|B, 1|C, H, W // 2 + 1), see `blur.transfer_function`; the identity if None.

    Raises:
        TypeError: y is not a floating-point tensor.
        ValueError: y has another shape, or otf does not fit it.
    """

    def __init__(self, y: Tensor, otf: Tensor | None = None) -> None:
        checks.is_tensor("y", y)
        checks.has_shape("y", y, ("B", "C", "H", "W"))
        batch, channels, height, width = y.shape
        if otf is not None:
            checks.has_shape("otf", otf, ((1, batch), (1, channels), height, width // 2 + 1))
        self.y, self.otf = y, otf

    @property
    def size(self) -> tuple[int, int]:
        return self.y.shape[-2], self.y.shape[-1]

    def blur(self, x: Tensor) -> Tensor:
        """``A x``."""
        return x if self.otf is None else self.image(self.otf * torch.fft.rfft2(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """``A^T y``."""
        return y if self.otf is None else self.image(self.otf.conj() * torch.fft.rfft2(y))

    def image(self, spectrum: Tensor) -> Tensor:
        """The circular image with this real Fourier transform."""
        found: Tensor = torch.fft.irfft2(spectrum, s=self.size)
        return found

    def start(self) -> Tensor:
        """A first iterate, (B, C, H, W)."""
        return self.y

    def near(self, x: Tensor) -> DataTerm:
        """What stands for the term in an exact solve by an algorithm whose iterate is x."""
        return self

    @property
    @abstractmethod
    def lipschitz(self) -> Tensor:
        """At least the largest eigenvalue of A^T W A, (B|1, C|1, 1, 1)."""

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """f of each image, (B,)."""

    @abstractmethod
    def gradient(self, x: Tensor) -> Tensor:
        """``A^T W (A x - y)``, (B, C, H, W)."""

    @abstractmethod
    def solve(
        self,
        right: Tensor,
        rho: Tensor,
        power: Tensor | None = None,
        weight: Tensor | float = 1.0,
        guess: Tensor | None = None,
    ) -> Tensor:
        """``argmin_x weight f(x) + rho/2 x^T Q x - <right, x>``, differentiable in all but the guess.

        Args:
            right: real Fourier transform of an image, (B, 1|C, H, W // 2 + 1).
            rho: > 0, a scalar or (B, 1|C, 1, 1).
            power: of the circulant Q, eigenvalues, >= 0, (1|C, H, W // 2 + 1), or Hermitian matrices over the channels,
                (C, C, H, W // 2 + 1); Q is the identity if None.
            weight: > 0, as rho.
            guess: (B, C, H, W), near the solution; saves an iterative solve some steps.

        Returns:
            (B, C, H, W).
        """
