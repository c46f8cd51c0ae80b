"""What every algorithm of this package is: one iteration, a module that maps a state to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.restore.algorithms.color import Color, ColorPrior
from dirtypixels.restore.channels import largest_power
from dirtypixels.restore.prox import Prox
from dirtypixels.restore.terms import DataTerm


class HasImage(Protocol):
    """What all states have: the iterate x, (B, C, H, W)."""

    @property
    def x(self) -> Tensor: ...


S = TypeVar("S", bound=HasImage)


class Algorithm(nn.Module, ABC, Generic[S]):
    """One iteration towards ``min_x lambda f(x) + sum_i g(C_i x)``, C_i circular filters.

    Its filters, the prior and the logarithms of its weights are parameters. Iterations with the same or with different
    ones may follow one another, since a state does not depend on the weights of the iteration that it comes from.

    Args:
        prox: the prior's proximal operator over the filter responses; a sequence of them, one for each channel, for
            color "own" and "opponent".
        filters: (K, 1, k, k) to start from, k odd; (K, C, k, k), see `color_filters`, for color "coupled".
        beta: starting value of the coupling of the algorithms that have one, > 0; the other weights start at 1.
        color: how the prior sees the channels, see `ColorPrior`.
        features: size F of a context c that is known of each image, 0 for none. With it the prox gets the context, and
            the logarithm of each weight has a learned linear term in it, which starts at 0.

    Raises:
        TypeError: prox does not fit the color.
        ValueError: filters have another shape, beta is not above 0, color is unknown, x is smaller than a filter, or
            the context is missing.
    """

    #: names of the weights; each is a parameter log_<name>
    weights: ClassVar[tuple[str, ...]]
    log_lambda: nn.Parameter

    def __init__(
        self,
        prox: Prox | Sequence[Prox],
        filters: Tensor,
        beta: float = 1.0,
        *,
        color: Color = "shared",
        features: int = 0,
    ) -> None:
        super().__init__()
        over = "C" if color == "coupled" else 1
        checks.has_shape("filters", filters, ("K", over, filters.shape[-1], filters.shape[-1]))
        if filters.shape[-1] % 2 == 0:
            raise ValueError(f"filters must have an odd size; found {filters.shape[-1]}")
        checks.above_zero("beta", beta)
        prior = ColorPrior(prox, color)
        each = prior.has_one_each
        self.filters = nn.Parameter(filters.repeat(len(prior.proxes), 1, 1, 1, 1) if each else filters.clone())
        for name in self.weights:
            start = float(beta) if name == "beta" else 1.0
            self.register_parameter(f"log_{name}", nn.Parameter(torch.tensor(start).log()))
        self.prior = prior
        self.weights_by_context = nn.Linear(features, len(self.weights), bias=False) if features else None
        if self.weights_by_context is not None:
            nn.init.zeros_(self.weights_by_context.weight)

    @property
    def prox(self) -> Prox:
        """The prior's proximal operator; of the first channel for "own" and "opponent"."""
        return self.prior.proxes[0]

    @abstractmethod
    def start(self, x: Tensor) -> S:
        """The state of which x, (B, C, H, W), is the iterate."""

    @abstractmethod
    def forward(self, state: S, term: DataTerm, context: Tensor | None = None) -> S:
        """The next state.

        Args:
            state: from `start` or from another iteration of the same algorithm.
            term: f.
            context: (B, 1|C, F), what is known of each image or channel.
        """

    def _context(self, context: Tensor | None) -> Tensor | None:
        """What the prior and the weights see: the mean over channels that depend on each other."""
        if self.weights_by_context is not None and context is None:
            raise ValueError("context must be given to a layer with features; found none")
        if context is None or self.weights_by_context is None:
            return None
        return context.mean(1, keepdim=True) if self.prior.is_mixed else context

    def _weights(self, context: Tensor | None) -> tuple[Tensor, ...]:
        """In the order of their names: scalars, or (B, 1|C, 1, 1) with a context."""
        logs = [getattr(self, f"log_{name}") for name in self.weights]
        if self.weights_by_context is None:
            return tuple(log.exp() for log in logs)
        change = self.weights_by_context(context)[..., None, None]
        return tuple((log + change[:, :, i]).exp() for i, log in enumerate(logs))

    def _power(self, x: Tensor) -> Tensor:
        return self.prior.power(self.filters, (x.shape[-2], x.shape[-1]))

    def _norm(self, power: Tensor) -> Tensor:
        """|C|^2, (1, 1|C, 1, 1)."""
        return largest_power(power)

    def _wide(self, value: Tensor) -> Tensor:
        """A weight for every response: (B, 1|C, 1, 1) to (B, 1|C K, 1, 1)."""
        if value.ndim == 0 or value.shape[1] == 1:
            return value
        return value.repeat_interleave(len(self.prior.bank(self.filters, 0)), 1)

    def _responses(self, x: Tensor) -> Tensor:
        """Zeros in the shape of the filter responses to x."""
        return x.new_zeros(len(x), self.prior.responses(self.filters, x.shape[1]), *x.shape[-2:])
