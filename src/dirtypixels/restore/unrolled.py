"""Algorithms unrolled into a fixed number of iterations, whose filters, prior and weights are learned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.restore.algorithms import ALGORITHMS, Algorithm, AlgorithmName, Color
from dirtypixels.restore.algorithms.color import ONE_EACH
from dirtypixels.restore.border import make_periodic
from dirtypixels.restore.channels import color_filters
from dirtypixels.restore.filters import dct_filters
from dirtypixels.restore.prox import PointwiseCNN, Prox
from dirtypixels.restore.prox.rbf import RBFShrinkage
from dirtypixels.restore.terms import DataTerm, Gaussian

Noise = tuple[Tensor, Tensor]

_LEAST_LEVEL = 1e-6


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


class Unrolled(nn.Module):
    """A fixed number of iterations of an algorithm, all learned.

    ``minimize lambda f(x) + sum_i g_i(C_i x)``

    Circular boundaries are what makes inverse filtering exact; called with an image, that is continued beyond its
    border to a periodic one (see `border.make_periodic`) and cropped afterwards.

    Args:
        algorithm: a name in `ALGORITHMS`, or what makes an `Algorithm` as its classes do, such as
            ``partial(FISTA, inner=2)``.
        layers: iterations, >= 1.
        tied: whether all iterations share their weights.
        filters: (K, 1, k, k) to start from, k odd; the DCT without its constant, filter_size^2 - 1 filters, if None.
        filter_size: side of the filters if they are not given, odd, >= 3.
        prox: makes the proximal operator of a layer, given the number of filters.
        first: makes that of the first layer; as all others if None. Its input is the noisiest.
        beta: starting value of the coupling in the first layer, > 0.
        growth: of the coupling from layer to layer, > 0. Half-quadratic splitting reaches its objective as the coupling
            grows; and a layer with a large one changes little when it comes, while with a coupling of 1 in every layer
            each mixes half of the noisy data back in.
        gap: rows and columns by which an image is continued, at least the filters' size.
        color: "shared" treats the channels one by one with the same weights, "own" each with its own, "merged" sums
            their responses in the prox, "opponent" has own weights for brightness and each opponent color, "coupled"
            filters over all channels (see `ColorPrior`).
        channels: of the images, >= 1; for "own", "opponent" and "coupled", the others take any number.
        features: size of what is known of each image's noise, 0 for nothing: one model for every light. `prox` is then
            called with the number of filters and with features.

    Raises:
        ValueError: an argument is out of range; y is not (B, C, H, W) or smaller than the filters; with "own",
            "opponent" and "coupled", y has another number of channels; noise is missing where features ask for it.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import Unrolled, prox
        >>> solver = Unrolled("admm", layers=4, tied=True, prox=prox.ResidualUNet)
        >>> solver(torch.randn(1, 1, 32, 32)).shape, len(solver.iterations)
        (torch.Size([1, 1, 32, 32]), 1)
    """

    def __init__(
        self,
        algorithm: AlgorithmName | Callable[..., Algorithm[Any]] = "hqs",
        layers: int = 1,
        *,
        tied: bool = False,
        filters: Tensor | None = None,
        filter_size: int = 5,
        prox: Callable[..., Prox] = PointwiseCNN,
        first: Callable[..., Prox] | None = None,
        beta: float = 1.0,
        growth: float = 1.0,
        gap: int = 16,
        color: Color = "shared",
        channels: int = 3,
        features: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(algorithm, str):
            checks.one_of("algorithm", algorithm, ALGORITHMS)
            algorithm = ALGORITHMS[algorithm]
        for name, value, least in (("layers", layers, 1), ("channels", channels, 1), ("features", features, 0)):
            checks.in_range(name, value, least)
        if filters is None:
            if filter_size < 3 or filter_size % 2 == 0:
                raise ValueError(f"filter_size must be odd and at least 3; found {filter_size}")
            filters = dct_filters(filter_size)
        if gap < filters.shape[-1]:
            raise ValueError(f"gap must be at least the filter_size {filters.shape[-1]}; found {gap}")
        checks.has_shape("filters", filters, ("K", 1, filters.shape[-1], filters.shape[-1]))
        checks.above_zero("growth", growth)
        if tied and (growth != 1 or first is not None):
            raise ValueError("tied iterations must all be alike; found a growth other than 1, or another first prior")
        self.layers, self.gap, self.color = layers, gap, color
        known = {"features": features} if features else {}
        self.embedding = NoiseEmbedding(features) if features else None
        self.iterations = nn.ModuleList()
        if color == "coupled":
            filters = color_filters(filters, channels)
        each = color in ONE_EACH
        for i in range(1 if tied else layers):
            make = prox if i or first is None else first
            proxes = [make(len(filters), **known) for _ in range(channels if each else 1)]
            given = proxes if each else proxes[0]
            coupling = beta * growth**i
            self.iterations.append(algorithm(given, filters, beta=coupling, color=color, features=features))

    def forward(self, y: Tensor | DataTerm, noise: Noise | None = None, start: Tensor | None = None) -> Tensor:
        """Restore an image.

        Args:
            y: (B, C, H, W), an image with noise of one variance to be removed; or a data term, for which the result
                is a circular image.
            noise: alpha and sigma of the capture, each (B, 1|C, 1, 1); used with features only.
            start: the first iterate, (B, C, H, W), circular; the data term's own if None.

        Returns:
            (B, C, H, W).
        """
        if not isinstance(y, DataTerm):
            checks.is_tensor("y", y)
            checks.has_shape("y", y, ("B", "C", "H", "W"))
            height, width = y.shape[-2:]
            return self.forward(Gaussian(make_periodic(y, self.gap)), noise, start)[..., :height, :width]
        # Inverse filtering takes full precision: half of it leaves errors that grow with the coupling.
        with torch.autocast(y.y.device.type, enabled=False):
            return self._iterate(y, noise, start)

    def _iterate(self, term: DataTerm, noise: Noise | None, start: Tensor | None) -> Tensor:
        context = None
        if self.embedding is not None:
            if noise is None:
                raise ValueError("noise must be given to a solver with features; found none")
            context = self.embedding(*noise)
        first = self._layer(0)
        first.prior.check(term.y.shape[1], first.filters)
        state = first.start(term.start() if start is None else start)
        for i in range(self.layers):
            state = self._layer(i)(state, term, context)
        image: Tensor = state.x
        return image

    def _layer(self, i: int) -> Algorithm[Any]:
        layer = self.iterations[min(i, len(self.iterations) - 1)]
        assert isinstance(layer, Algorithm)
        return layer


class Arguments(TypedDict, total=False):
    """Arguments of `Unrolled` by name."""

    tied: bool
    filters: Tensor | None
    filter_size: int
    beta: float
    growth: float
    gap: int
    color: Color
    channels: int
    features: int


class ProxArguments(Arguments, total=False):
    """And the prior."""

    prox: Callable[..., Prox]
    first: Callable[..., Prox] | None


class UnrolledHQS(Unrolled):
    """Half-quadratic splitting, unrolled: ``Unrolled("hqs", layers, ...)``, the paper's solver.

    Args:
        layers: iterations, >= 1.
        arguments: as for `Unrolled`.

    Source: Diamond et al. 2017, algorithm 1.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import UnrolledHQS
        >>> solver = UnrolledHQS(layers=2, color="merged")
        >>> solver(torch.randn(1, 3, 32, 32)).shape, sum(p.numel() for p in solver.parameters())
        (torch.Size([1, 3, 32, 32]), 4804)
    """

    def __init__(self, layers: int = 1, **arguments: Unpack[ProxArguments]) -> None:
        super().__init__("hqs", layers, **arguments)


class ShrinkageField(Unrolled):
    """Half-quadratic splitting with learned filters and learned functions of single responses.

    Args:
        layers: iterations, >= 1.
        functions: Gaussians of each filter's function, >= 2.
        reach: of the functions, > 0, in units of the responses, see `RBFShrinkage`.
        arguments: as for `Unrolled`.

    Source: Schmidt and Roth 2014.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import ShrinkageField
        >>> ShrinkageField(layers=1, functions=31)(torch.randn(1, 3, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """

    def __init__(
        self, layers: int = 5, *, functions: int = 53, reach: float = 10.4, **arguments: Unpack[Arguments]
    ) -> None:
        super().__init__("hqs", layers, prox=partial(RBFShrinkage, functions=functions, reach=reach), **arguments)
