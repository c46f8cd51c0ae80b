"""Half-quadratic splitting, unrolled into layers whose filters, prior and weights are learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dirtypixels import checks
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.filters import dct_filters, map_patches, power_spectrum
from dirtypixels.restore.prox import PointwiseCNN, Prox

Colour = Literal["shared", "merged"]
Data = Callable[[Tensor], Tensor]
Noise = tuple[Tensor, Tensor]

_LEAST_LEVEL = 1e-6


class HQSLayer(nn.Module):
    """One iteration of half-quadratic splitting, with exact inverse filtering.

    ``z_i = prox(C_i x)``
    ``x   = (lambda A^T A + beta sum_i C_i^T C_i)^-1 (lambda A^T y + beta sum_i C_i^T z_i)``, A circular

    Several channels are merged in the prox: their responses are summed, z is the prox of the sum divided by their
    number, and each channel gets a copy of it and inverts its own filters.

    Args:
        prox: the prior's proximal operator over the filter responses.
        filters: (K, 1, k, k) to start from, k odd; the inverse is exact for one channel at a time.
        beta: starting value of the coupling, > 0; lambda starts at 1.
        features: size F of a context c that is known of each image, 0 for none. With it the prox gets the context, and
            ``log lambda`` and ``log beta`` have a learned linear term in it, which starts at 0.

    Raises:
        ValueError: filters have another shape, or x is smaller than a filter.

    Source: Geman and Yang 1995; Schmidt and Roth 2014; Diamond et al. 2017, algorithm 1 and sec. 5.3 (merging).
    """

    def __init__(self, prox: Prox, filters: Tensor, beta: float = 1.0, features: int = 0) -> None:
        super().__init__()
        checks.has_shape("filters", filters, ("K", 1, filters.shape[-1], filters.shape[-1]))
        if filters.shape[-1] % 2 == 0:
            raise ValueError(f"filters must have an odd size; found {filters.shape[-1]}")
        self.filters = nn.Parameter(filters.clone())
        self.log_lambda = nn.Parameter(torch.zeros(()))
        self.log_beta = nn.Parameter(torch.tensor(float(beta)).log())
        self.prior = _Change(prox)
        self.weights_by_context = nn.Linear(features, 2, bias=False) if features else None
        if self.weights_by_context is not None:
            nn.init.zeros_(self.weights_by_context.weight)

    @property
    def prox(self) -> Prox:
        return self.prior.prox

    def forward(self, x: Tensor, data: Tensor, gram: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """The next iterate.

        Args:
            x: (B, C, H, W), circular.
            data: real Fourier transform of A^T y, (B, C, H, W // 2 + 1).
            gram: eigenvalues of A^T A, real, broadcasting with data; 1 if None.
            context: (B, F), what is known of each image.
        """
        height, width = x.shape[-2:]
        channels = x.shape[1]
        weight, beta = self._weights(context)
        names = [name for name, _ in self.prior.named_parameters()]
        each = () if context is None else (context, beta.flatten(1, -2))
        alike = (beta,) if context is None else ()

        def prior(patches: Tensor, *given: Tensor) -> Tensor:
            known, (penalty, analysis, *params) = (given[0], given[1:]) if each else (None, given)
            state = dict(zip(names, params, strict=True))
            mapped: Tensor = functional_call(self.prior, state, (analysis, patches, penalty, known))
            return mapped

        # The filters are linear: the sum of the channels' responses is the response to their sum.
        merged = x.sum(1, keepdim=True) if channels > 1 else x
        size = self.filters.shape[-1]
        change = map_patches(prior, merged, size, *alike, self.filters.flatten(1), *self.prior.parameters(), each=each)
        power = power_spectrum(self.filters, (height, width))
        # The prior gives C^T (z - C x); what lacks to C^T z is C^T C x, a product in Fourier space.
        pulled = (torch.fft.rfft2(change) + power * torch.fft.rfft2(merged)) / channels
        spectrum = (weight * data + beta * pulled) / (weight * (1 if gram is None else gram) + beta * power)
        restored: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
        return restored

    def _weights(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Lambda and beta: scalars, or (B, 1, 1, 1) with a context."""
        if self.weights_by_context is None:
            return self.log_lambda.exp(), self.log_beta.exp()
        if context is None:
            raise ValueError("context must be given to a layer with features; found none")
        change = self.weights_by_context(context)[..., None, None]
        return (self.log_lambda + change[:, :1]).exp(), (self.log_beta + change[:, 1:]).exp()


class UnrolledHQS(nn.Module):
    """Half-quadratic splitting for Gaussian noise, a fixed number of iterations, all learned.

    ``minimise lambda/2 |A x - y|^2 + sum_i g_i(C_i x)``; called with y alone, A is the identity.

    Circular boundaries are what makes inverse filtering exact; the image is therefore continued beyond its border to a
    periodic one (see `border.make_periodic`) and cropped afterwards.

    Args:
        layers: iterations, >= 1.
        tied: whether all iterations share their weights.
        filter_size: side of the learned filters, odd; there are filter_size^2 - 1, started from the DCT.
        prox: makes the proximal operator of a layer, given the number of filters.
        beta: starting value of the coupling in every layer, > 0.
        gap: rows and columns by which the image is continued, >= filter_size.
        colour: "shared" treats the channels one by one with the same weights, "merged" sums their responses in the
            prox (see `HQSLayer`).
        features: size of what is known of each image's noise, 0 for nothing: one model for every light. `prox` is then
            called with the number of filters and with features.

    Raises:
        ValueError: an argument is out of range, y is not (B, C, H, W), or noise is missing where features ask for it.
    """

    def __init__(
        self,
        layers: int = 1,
        *,
        tied: bool = False,
        filter_size: int = 5,
        prox: Callable[..., Prox] = PointwiseCNN,
        beta: float = 1.0,
        gap: int = 16,
        colour: Colour = "shared",
        features: int = 0,
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
        checks.one_of("colour", colour, get_args(Colour))
        self.layers, self.gap, self.colour = layers, gap, colour
        bank = dct_filters(filter_size)
        known = {"features": features} if features else {}
        self.embedding = NoiseEmbedding(features) if features else None
        self.iterations = nn.ModuleList(
            HQSLayer(prox(len(bank), **known), bank, beta, features) for _ in range(1 if tied else layers)
        )

    def forward(self, y: Tensor, noise: Noise | None = None) -> Tensor:
        """Denoise y, (B, C, H, W), to the same shape; noise as for `iterate`."""
        checks.is_tensor("y", y)
        checks.has_shape("y", y, ("B", "C", "H", "W"))
        height, width = y.shape[-2:]
        x = make_periodic(y, self.gap)
        return self.iterate(x, torch.fft.rfft2(x), noise=noise)[..., :height, :width]

    def iterate(self, x: Tensor, data: Tensor | Data, gram: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """All layers, one after another, on a circular image.

        Args:
            x: (B, C, H, W), where to start.
            data: real Fourier transform of A^T y, (B, C, H, W // 2 + 1), or what gives it for an iterate.
            gram: eigenvalues of A^T A, real, (1|B, 1|C, H, W // 2 + 1); 1 if None.
            noise: alpha and sigma of the capture, each (B, 1|C, 1, 1); used with features only.

        Returns:
            (B, C, H, W).
        """
        context = self._context(x, noise)
        for i in range(self.layers):
            layer = self.iterations[min(i, len(self.iterations) - 1)]
            now = data if isinstance(data, Tensor) else data(x)
            if self.colour == "merged":
                x = layer(x, now, gram, context)
                continue
            batch, channels, height, width = x.shape
            alike = (batch * channels, 1)
            one_by_one = None if gram is None else gram.expand(now.shape).reshape(*alike, *now.shape[-2:])
            x = layer(x.reshape(*alike, height, width), now.reshape(*alike, *now.shape[-2:]), one_by_one, context)
            x = x.reshape(batch, channels, height, width)
        return x

    def _context(self, x: Tensor, noise: Noise | None) -> Tensor | None:
        """(B, F) for merged channels, (B C, F) for channels one by one."""
        if self.embedding is None:
            return None
        if noise is None:
            raise ValueError("noise must be given to a solver with features; found none")
        context: Tensor = self.embedding(*noise)
        if self.colour == "merged":
            return context.mean(1)
        return context.expand(-1, x.shape[1], -1).flatten(0, 1)


class NoiseEmbedding(nn.Module):
    """Features of a noise level: a small network on log10 alpha and log10 sigma.

    Args:
        features: F, >= 1.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(2, 2 * features), nn.Tanh(), nn.Linear(2 * features, features), nn.Tanh()
        )

    def forward(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(B, 1|C, 1, 1) each, to (B, 1|C, F). Levels below 1e-6 count as 1e-6."""
        both = torch.stack([level + torch.zeros_like(alpha + sigma) for level in (alpha, sigma)], -1).flatten(2)
        found: Tensor = self.network(2 + both.clamp_min(_LEAST_LEVEL).log10())
        return found


class _Change(nn.Module):
    """`Prox.change` as the forward of a module, which is what `functional_call` can call."""

    def __init__(self, prox: Prox) -> None:
        super().__init__()
        self.prox = prox

    def forward(self, analysis: Tensor, patches: Tensor, penalty: Tensor, context: Tensor | None) -> Tensor:
        return self.prox.change(analysis, patches, penalty, context)
