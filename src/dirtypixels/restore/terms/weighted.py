"""Data terms with a weight for every sample: noise that varies over the image, and samples that are missing."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.channels import apply_power, solve_power
from dirtypixels.restore.terms.base import DataTerm
from dirtypixels.restore.terms.conjugate_gradients import conjugate_gradients, implicit
from dirtypixels.restore.terms.gaussian import Gaussian


class Weighted(DataTerm):
    """``f(x) = 1/2 sum_p w_p |(A x - y)_p|^2``.

    Without blur and with Q = identity it is solved exactly, otherwise by conjugate gradients, preconditioned by the
    same problem with the mean weight; gradients come from solving the same system once more, so memory does not grow
    with the iterations.

    Args:
        y: (B, C, H, W).
        weight: w, (1|B, 1|C, H, W), >= 0, somewhere above 0 in every image and channel.
        otf: transfer function of A, (1|B, 1|C, H, W // 2 + 1); the identity if None.
        tolerance: residual of the iterative solve relative to its right-hand side, > 0; eps^(2/3) of the
            floating-point type if None.
        iterations: of the iterative solve, at most, >= 1.

    Raises:
        TypeError: y or weight is not a floating-point tensor.
        ValueError: a shape does not fit; weight is negative, not finite or 0 all over an image; tolerance or iterations
            are out of range.
        ConvergenceError: in `solve` and in its backward pass, where the tolerance is not reached.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import terms
        >>> y, alpha = torch.ones(1, 1, 4, 4), torch.full((1, 1, 1, 1), 0.1)
        >>> term = terms.Weighted.poisson_gaussian(y, alpha, 0 * alpha, estimate=y)
        >>> term.value(torch.zeros_like(y))  # 16 samples of variance 0.1
        tensor([80.])
    """

    def __init__(
        self,
        y: Tensor,
        weight: Tensor,
        otf: Tensor | None = None,
        *,
        tolerance: float | None = None,
        iterations: int = 500,
    ) -> None:
        super().__init__(y, otf)
        self._check_weight("weight", weight)
        checks.in_range("iterations", iterations, low=1)
        if tolerance is None:
            tolerance = torch.finfo(y.dtype).eps ** (2 / 3)
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance must be above 0 and below 1; found {tolerance:g}")
        self.weight, self.tolerance, self.iterations = weight, tolerance, iterations

    @classmethod
    def poisson_gaussian(
        cls,
        y: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        estimate: Tensor,
        otf: Tensor | None = None,
        *,
        tolerance: float | None = None,
        iterations: int = 500,
    ) -> Weighted:
        """Weights ``1 / (alpha max(s, 0) + sigma^2)`` for the noise of a camera.

        Args:
            y: (B, C, H, W).
            alpha: (B, 1|C, 1, 1), >= 0, in units of the signal.
            sigma: as alpha.
            estimate: s, of the signal without noise, (1|B, 1|C, H, W), such as the smoothed signal.
            otf: as for the class, and so are tolerance and iterations.

        Raises:
            ValueError: the variance is 0 somewhere (a small sigma keeps it above).

        Source: Foi et al. 2008, eq. 3 (variance).
        """
        variance = alpha * estimate.clamp_min(0) + sigma**2
        if not bool((variance > 0).all()):
            raise ValueError("alpha and sigma must give every sample a variance above 0; found 0 where the signal is 0")
        return cls(y, 1 / variance, otf, tolerance=tolerance, iterations=iterations)

    def _check_weight(self, name: str, weight: Tensor) -> None:
        batch, channels, height, width = self.y.shape
        checks.is_tensor(name, weight)
        checks.has_shape(name, weight, ((1, batch), (1, channels), height, width))
        checks.in_range(name, weight, low=0.0)
        if not bool((weight.amax((-2, -1)) > 0).all()):
            raise ValueError(f"{name} must be above 0 somewhere in every image and channel; found one of 0 only")

    def start(self) -> Tensor:
        """y, and where nothing was measured the mean of what was, within 3 x 3 pixels or the whole image."""
        if not bool((self.weight == 0).any()):
            return self.y
        weight = self.weight.expand(self.y.shape)
        total, seen = _box(weight * self.y), _box(weight)
        whole = (weight * self.y).sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True)
        alone = seen <= 0
        around = torch.where(alone, whole, total / seen.masked_fill(alone, 1))
        return torch.where(weight > 0, self.y, around)

    @property
    def lipschitz(self) -> Tensor:
        most = self.weight.amax((-2, -1), keepdim=True)
        return most if self.otf is None else most * (self.otf.abs() ** 2).amax((-2, -1), keepdim=True)

    def value(self, x: Tensor) -> Tensor:
        return 0.5 * (self.weight * (self.blur(x) - self.y).square()).sum((1, 2, 3))

    def gradient(self, x: Tensor) -> Tensor:
        return self.adjoint(self.weight * (self.blur(x) - self.y))

    def solve(
        self,
        right: Tensor,
        rho: Tensor,
        power: Tensor | None = None,
        weight: Tensor | float = 1.0,
        guess: Tensor | None = None,
    ) -> Tensor:
        above = weight * self._pulled + self.image(right)
        if power is None and self.otf is None:
            return above / (weight * self.weight + rho)
        with torch.no_grad():
            gram = 1.0 if self.otf is None else self.otf.abs() ** 2
            mean = weight * self.weight.mean((-2, -1), keepdim=True)
            average = mean * gram

        def near(spectrum: Tensor) -> Tensor:
            with torch.no_grad():
                every = spectrum / (average + rho) if power is None else solve_power(average, rho, power, spectrum)
                return self.image(every)

        def inverse(b: Tensor, guess: Tensor) -> Tensor:
            with torch.no_grad():
                return conjugate_gradients(
                    lambda x: self._normal(x, rho, power, weight),
                    b,
                    lambda r: near(torch.fft.rfft2(r)),
                    guess,
                    self.tolerance,
                    self.iterations,
                    coupled=power is not None and power.ndim == 4,
                )

        x = inverse(above.detach(), near(torch.fft.rfft2(above)) if guess is None else guess).detach()
        residual = above - self._normal(x, rho, power, weight)
        return implicit(residual, x, lambda b: inverse(b, torch.zeros_like(b))) if residual.requires_grad else x

    @cached_property
    def _pulled(self) -> Tensor:
        return self.adjoint(self.weight * self.y)

    def _normal(self, x: Tensor, rho: Tensor, power: Tensor | None, weight: Tensor | float) -> Tensor:
        """``(weight A^T W A + rho Q) x``."""
        if self.otf is None:
            curved = x if power is None else self.image(apply_power(power, torch.fft.rfft2(x)))
            return weight * self.weight * x + rho * curved
        spectrum = torch.fft.rfft2(x)
        seen = torch.fft.rfft2(self.weight * self.image(self.otf * spectrum))
        curved = spectrum if power is None else apply_power(power, spectrum)
        return self.image(weight * self.otf.conj() * seen + rho * curved)


class Majorized(Weighted):
    """A `Weighted` whose exact solves, near an iterate x', are by inverse filtering.

    ``f(x) <= max(w)/2 |A x - y'|^2 + constant,  y' = A x' + w / max(w) (y - A x')``, with equality at x'

    Each solve is as cheap as that of `Gaussian` and decreases the objective, but the algorithms need more of them.

    Source: Lange 2016, sec. 4.6 (quadratic upper bound).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import terms
        >>> term = terms.Majorized(torch.ones(1, 1, 2, 2), torch.tensor([[[[1.0, 2.0], [2.0, 4.0]]]]))
        >>> term.near(torch.zeros(1, 1, 2, 2)).y
        tensor([[[[0.2500, 0.5000],
                  [0.5000, 1.0000]]]])
    """

    def near(self, x: Tensor) -> Gaussian:
        most = self.weight.amax((-2, -1), keepdim=True)
        seen = self.blur(x)
        return Gaussian(seen + self.weight / most * (self.y - seen), self.otf, most)


class Masked(Weighted):
    """A `Weighted` that counts only what was measured: ``f(x) = 1/2 sum_p m_p |(A x - y)_p|^2``.

    Args:
        y: (B, C, H, W); what it holds where nothing was measured does not matter.
        mask: m, (1|B, 1|C, H, W), 1 where measured and 0 elsewhere, such as the cfa of an Observation, or 0 beyond a
            frame.
        otf: as for `Weighted`, and so are tolerance and iterations.

    Raises:
        TypeError: y or mask is not a floating-point tensor.
        ValueError: as for `Weighted`, or mask has other values than 0 and 1.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import terms
        >>> y, mask = torch.tensor([[[[1.0, 9.0], [3.0, 2.0]]]]), torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
        >>> terms.Masked(y, mask).start()
        tensor([[[[1.0000, 2.2500],
                  [3.0000, 2.0000]]]])
    """

    def __init__(
        self,
        y: Tensor,
        mask: Tensor,
        otf: Tensor | None = None,
        *,
        tolerance: float | None = None,
        iterations: int = 500,
    ) -> None:
        DataTerm.__init__(self, y, otf)
        self._check_weight("mask", mask)
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("mask must be 0 or 1 everywhere; found values between")
        super().__init__(y, mask, otf, tolerance=tolerance, iterations=iterations)


def _box(x: Tensor) -> Tensor:
    """The mean over 3 x 3 pixels of a circular image."""
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1,) * 4, mode="circular"), 3, 1)
