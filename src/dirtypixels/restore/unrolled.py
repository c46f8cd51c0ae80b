"""Half-quadratic splitting, unrolled into layers whose filters, prior and weights are learned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dirtypixels import checks
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.filters import dct_filters, map_patches, power_spectrum
from dirtypixels.restore.prox import PointwiseCNN, Prox


class HQSLayer(nn.Module):
    """One iteration of half-quadratic splitting, with exact inverse filtering.

    ``z_i = prox(C_i x)``
    ``x   = (lambda A^T A + beta sum_i C_i^T C_i)^-1 (lambda A^T y + beta sum_i C_i^T z_i)``

    Args:
        prox: the prior's proximal operator over the filter responses.
        filters: (K, 1, k, k) to start from, k odd; the inverse is exact for one channel at a time.
        beta: starting value of the coupling, > 0; lambda starts at 1.

    Raises:
        ValueError: filters have another shape, or x is smaller than a filter.

    Source: Geman and Yang 1995; Schmidt and Roth 2014; Diamond et al. 2017, algorithm 1.
    """

    def __init__(self, prox: Prox, filters: Tensor, beta: float = 1.0) -> None:
        super().__init__()
        checks.has_shape("filters", filters, ("K", 1, filters.shape[-1], filters.shape[-1]))
        if filters.shape[-1] % 2 == 0:
            raise ValueError(f"filters must have an odd size; found {filters.shape[-1]}")
        self.filters = nn.Parameter(filters.clone())
        self.log_lambda = nn.Parameter(torch.zeros(()))
        self.log_beta = nn.Parameter(torch.tensor(float(beta)).log())
        self.prior = _Change(prox)

    @property
    def prox(self) -> Prox:
        return self.prior.prox

    def forward(self, x: Tensor, data: Tensor) -> Tensor:
        """The next iterate.

        Args:
            x: (B, 1, H, W), circular.
            data: real Fourier transform of A^T y, (B, 1, H, W // 2 + 1).
        """
        height, width = x.shape[-2:]
        weight, beta = self.log_lambda.exp(), self.log_beta.exp()
        names = [name for name, _ in self.prior.named_parameters()]

        def prior(patches: Tensor, analysis: Tensor, penalty: Tensor, *params: Tensor) -> Tensor:
            state = dict(zip(names, params, strict=True))
            mapped: Tensor = functional_call(self.prior, state, (analysis, patches, penalty))
            return mapped

        size = self.filters.shape[-1]
        change = map_patches(prior, x, size, self.filters.flatten(1), beta, *self.prior.parameters())
        power = power_spectrum(self.filters, (height, width))
        # The prior gives C^T (z - C x); what lacks to C^T z is C^T C x, a product in Fourier space.
        pulled = torch.fft.rfft2(change) + power * torch.fft.rfft2(x)
        spectrum = (weight * data + beta * pulled) / (weight + beta * power)
        restored: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
        return restored


class UnrolledHQS(nn.Module):
    """Half-quadratic splitting for Gaussian noise of standard deviation 1, a fixed number of iterations, all learned.

    ``minimise lambda/2 |A x - y|^2 + sum_i g_i(C_i x)`` with A the identity.

    Circular boundaries are what makes inverse filtering exact; the image is therefore continued beyond its border to a
    periodic one (see `border.make_periodic`) and cropped afterwards.

    Args:
        layers: iterations, >= 1.
        tied: whether all iterations share their weights.
        filter_size: side of the learned filters, odd; there are filter_size^2 - 1, started from the DCT.
        prox: makes the proximal operator of a layer, given the number of filters.
        beta: starting value of the coupling in every layer, > 0.
        gap: rows and columns by which the image is continued, >= filter_size.

    Raises:
        ValueError: an argument is out of range, or y is not (B, C, H, W).
    """

    def __init__(
        self,
        layers: int = 1,
        *,
        tied: bool = False,
        filter_size: int = 5,
        prox: Callable[[int], Prox] = PointwiseCNN,
        beta: float = 1.0,
        gap: int = 16,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be at least 1; found {layers}")
        if filter_size < 3 or filter_size % 2 == 0:
            raise ValueError(f"filter_size must be odd and at least 3; found {filter_size}")
        if gap < filter_size:
            raise ValueError(f"gap must be at least the filter_size {filter_size}; found {gap}")
        if beta <= 0:
            raise ValueError(f"beta must be above 0; found {beta}")
        self.layers, self.gap = layers, gap
        bank = dct_filters(filter_size)
        self.iterations = nn.ModuleList(HQSLayer(prox(len(bank)), bank, beta) for _ in range(1 if tied else layers))

    def forward(self, y: Tensor) -> Tensor:
        """Restore y, (B, C, H, W), to the same shape; the channels are treated one by one with the same weights."""
        checks.is_tensor("y", y)
        checks.has_shape("y", y, ("B", "C", "H", "W"))
        batch, channels, height, width = y.shape
        x = make_periodic(y.reshape(batch * channels, 1, height, width), self.gap)
        data = torch.fft.rfft2(x)
        for i in range(self.layers):
            x = self.iterations[min(i, len(self.iterations) - 1)](x, data)
        return x[..., :height, :width].reshape(y.shape)


class _Change(nn.Module):
    """`Prox.change` as the forward of a module, which is what `functional_call` can call."""

    def __init__(self, prox: Prox) -> None:
        super().__init__()
        self.prox = prox

    def forward(self, analysis: Tensor, patches: Tensor, penalty: Tensor) -> Tensor:
        return self.prox.change(analysis, patches, penalty)
