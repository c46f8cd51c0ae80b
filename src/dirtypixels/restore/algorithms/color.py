"""Priors over filter responses of color images: the one place that knows how the channels share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dirtypixels import checks
from dirtypixels.restore.channels import apply_power, from_opponent, opponent_matrix, power_matrix, to_opponent
from dirtypixels.restore.filters import analyze, map_patches, power_spectrum, synthesize
from dirtypixels.restore.prox import Prox

Color = Literal["shared", "own", "merged", "opponent", "coupled"]

ONE_EACH = ("own", "opponent")  # a prox, and filters, for each channel or opponent color
_MIXED = ("merged", "opponent", "coupled")  # channels that depend on each other


class ColorPrior(nn.Module):
    """The prox of a prior for the channels of an image, and the filters before and after it.

    "shared": ``G(v) = sum_c g(v_c)``: the channels one by one with the same filters and prox;
    "own": ``G(v) = sum_c g_c(v_c)``: each channel with its own filters and prox;
    "merged": ``G(v) = g(sum_c v_c) / C`` where all v_c are equal, infinite elsewhere: the prox sees the sum of the
    channels' responses, and each channel gets a copy of what it gives, divided by C;
    "opponent": ``G(v) = sum_e g_e(v_e)``: as "own", for brightness and opponent colors, see `opponent_matrix`, in which
    the channels of photographs depend less on each other;
    "coupled": ``G(v) = g(v)``: each filter is one over all channels, and one prox sees all responses.

    Responses are (B, C K, H, W), for "coupled" (B, K, H, W). Filters are (K, 1, k, k), for "own" and "opponent"
    (C, K, 1, k, k), for "coupled" (K, C, k, k).

    Args:
        prox: of g; one for each channel for "own" and "opponent".
        color: one of these.

    Raises:
        TypeError: prox is no Prox, or for "own" and "opponent" no sequence of them.
        ValueError: color is none of these; for "own" and "opponent", x has another number of channels than there are
            proxes.

    Source: Diamond et al. 2017, sec. 5.3 (merging); Dabov et al. 2007b (opponent colors).

    >>> from dirtypixels.restore import prox
    >>> ColorPrior(prox.SoftThreshold(), "merged").color
    'merged'
    """

    def __init__(self, prox: Prox | Sequence[Prox], color: Color = "shared") -> None:
        super().__init__()
        checks.one_of("color", color, get_args(Color))
        given = [prox] if isinstance(prox, Prox) else list(prox) if isinstance(prox, Sequence) else []
        if not given or not all(isinstance(p, Prox) for p in given) or (color in ONE_EACH) == isinstance(prox, Prox):
            wanted = "a sequence of Prox, one for each channel," if color in ONE_EACH else "one Prox"
            raise TypeError(f"prox must be {wanted} for color {color!r}; found {type(prox).__name__}")
        self.color = color
        self.prox: nn.Module = nn.ModuleList(given) if color in ONE_EACH else given[0]

    @property
    def proxes(self) -> list[Prox]:
        """The one prox, or that of each channel."""
        return list(self.prox) if isinstance(self.prox, nn.ModuleList) else [self.prox]  # type: ignore[list-item,arg-type]

    @property
    def has_one_each(self) -> bool:
        """Whether there are filters and a prox for each channel or opponent color."""
        return self.color in ONE_EACH

    @property
    def is_mixed(self) -> bool:
        """Whether the channels depend on each other, so that weights must be the same for all."""
        return self.color in _MIXED

    def check(self, channels: int, filters: Tensor) -> None:
        """Raise ValueError unless images of so many channels are what this, and filters, are for."""
        if self.color in ONE_EACH and channels != len(self.proxes):
            raise ValueError(f"x must have {len(self.proxes)} channels, each with its own prox; found {channels}")
        if self.color == "coupled" and channels != filters.shape[1]:
            raise ValueError(f"x must have {filters.shape[1]} channels for color 'coupled'; found {channels}")

    def joined(self, value: Tensor) -> Tensor:
        """The largest value of the channels where they must have the same one; (B, C, 1, 1) or (B, 1|C, 1, 1)."""
        return value.amax(1, keepdim=True) if self.is_mixed else value

    def power(self, filters: Tensor, size: tuple[int, int]) -> Tensor:
        """Of C^T C at each frequency: eigenvalues (1|C, H, W // 2 + 1), for "opponent" and "coupled" matrices over the
        channels (C, C, H, W // 2 + 1)."""
        if self.color == "coupled":
            return power_matrix(filters, size)
        if self.color == "opponent":
            turn = opponent_matrix(len(filters)).to(filters)
            each = torch.stack([power_matrix(bank, size)[0, 0].real for bank in filters])
            return torch.einsum("ec,ehw,ed->cdhw", turn, each, turn)
        return power_spectrum(filters[:, :, 0].transpose(0, 1) if self.color == "own" else filters, size)

    def bank(self, filters: Tensor, c: int) -> Tensor:
        """The filters of channel c, (K, 1, k, k); for "coupled" those of all channels, (K, C, k, k)."""
        return filters[c] if self.color in ONE_EACH else filters

    def responses(self, filters: Tensor, channels: int) -> int:
        """How many responses there are to an image of so many channels."""
        return len(filters) if self.color == "coupled" else channels * len(self.bank(filters, 0))

    def analyze(self, x: Tensor, filters: Tensor) -> Tensor:
        """Responses of every channel to its filters, (B, C, H, W) to (B, C K, H, W)."""
        self.check(x.shape[1], filters)
        if self.color == "coupled":
            return analyze(x, filters)
        x = to_opponent(x) if self.color == "opponent" else x
        found = self._each(lambda c, v: analyze(v, self.bank(filters, c)), x[:, :, None])
        return found.flatten(1, 2)

    def synthesize(self, responses: Tensor, filters: Tensor) -> Tensor:
        """Adjoint of `analyze`."""
        if self.color == "coupled":
            return synthesize(responses, filters)
        each = responses.reshape(len(responses), -1, len(self.bank(filters, 0)), *responses.shape[-2:])
        found = self._each(lambda c, v: synthesize(v, self.bank(filters, c)), each)[:, :, 0]
        return from_opponent(found) if self.color == "opponent" else found

    def forward(self, v: Tensor, penalty: Tensor, channels: int, context: Tensor | None = None) -> Tensor:
        """``argmin_z G(z) + penalty/2 |z - v|^2``.

        Args:
            v: (B, C K, H, W).
            penalty: > 0, a scalar or (1|B, 1|C, 1, 1), (1|B, 1, 1, 1) where the channels depend on each other.
            channels: C.
            context: (B, 1|C, F), what is known of each image, for a prox that learned to use it.
        """
        if self.color == "coupled":
            return _apply(self.proxes[0], v, penalty, None if context is None else context.mean(1))
        each = v.reshape(len(v), channels, -1, *v.shape[-2:])
        if self.color == "merged":
            merged = _apply(self.proxes[0], each.sum(1), penalty, None if context is None else context.mean(1))
            return (merged / channels).repeat(1, channels, 1, 1)
        return self._each(lambda c, v, *known: _apply(self.proxes[c], v, *known), each, penalty, context).flatten(1, 2)

    def pull(self, x: Tensor, filters: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        """Real Fourier transform of ``C^T prox(C x)``, (B, 1|C, H, W // 2 + 1).

        A pointwise prox works in blocks that fit the cache, so that responses are never all in memory.

        Args:
            x: (B, C, H, W).
            filters: of C.
            penalty: as for `forward`, and so is context.
        """
        self.check(x.shape[1], filters)
        if self.color in ("merged", "coupled"):
            known = None if context is None else context.mean(1)
            if self.color == "coupled":
                return _pull(self.proxes[0], filters, x, penalty, known)
            # The filters are linear: the sum of the channels' responses is the response to their sum.
            merged = x.sum(1, keepdim=True) if x.shape[1] > 1 else x
            return _pull(self.proxes[0], filters, merged, penalty, known) / x.shape[1]
        x = to_opponent(x) if self.color == "opponent" else x
        each = self._each(
            lambda c, v, *known: _pull(self.proxes[c], self.bank(filters, c), v, *known),
            x[:, :, None],
            penalty,
            context,
        )[:, :, 0]
        return from_opponent(each) if self.color == "opponent" else each

    def _each(self, fn: Callable[..., Tensor], v: Tensor, *known: Tensor | None) -> Tensor:
        """`fn` of the channels one by one, v being (B, C, K, H, W), with what is known of each: (1|B, 1|C, ...)."""
        batch, channels = v.shape[:2]
        spread = [t if t is None or t.ndim == 0 else t.expand(batch, channels, *t.shape[2:]) for t in known]
        if self.color in ONE_EACH:
            parts = [
                fn(c, v[:, c], *(t if t is None or t.ndim == 0 else t[:, c] for t in spread)) for c in range(channels)
            ]
            return torch.stack(parts, 1)
        alike = (t if t is None or t.ndim == 0 else t.flatten(0, 1) for t in spread)
        found = fn(0, v.flatten(0, 1), *alike)
        return found.reshape(batch, channels, *found.shape[1:])


class _Change(nn.Module):
    """`Prox.change` as the forward of a module, which is what `functional_call` can call."""

    def __init__(self, prox: Prox) -> None:
        super().__init__()
        self.prox = prox

    def forward(self, analysis: Tensor, patches: Tensor, penalty: Tensor, context: Tensor | None) -> Tensor:
        return self.prox.change(analysis, patches, penalty, context)


def _apply(prox: Prox, v: Tensor, penalty: Tensor, context: Tensor | None) -> Tensor:
    """z for v (N, K, H, W), penalty a scalar or N values, context (N, F) or None."""
    penalty = penalty.reshape(-1, 1, 1, 1) if penalty.ndim else penalty
    z: Tensor = prox(v, penalty) if context is None else prox(v, penalty, context)
    return z


def _pull(prox: Prox, filters: Tensor, x: Tensor, penalty: Tensor, context: Tensor | None) -> Tensor:
    """`ColorPrior.pull` for x (N, 1|C, H, W), penalty a scalar or N values, context (N, F) or None."""
    size = x.shape[-2], x.shape[-1]
    if not prox.pointwise:
        plain: Tensor = torch.fft.rfft2(synthesize(_apply(prox, analyze(x, filters), penalty, context), filters))
        return plain
    module = _Change(prox)
    names = [name for name, _ in module.named_parameters()]
    each = (() if context is None else (context,)) + ((penalty.reshape(-1, 1, 1),) if penalty.ndim else ())

    def change(patches: Tensor, *given: Tensor) -> Tensor:
        known, rest = (None, given) if context is None else (given[0], given[1:])
        here, analysis, *params = rest
        mapped: Tensor = functional_call(
            module, dict(zip(names, params, strict=True)), (analysis, patches, here, known)
        )
        return mapped

    alike = () if penalty.ndim else (penalty,)
    changed = map_patches(change, x, filters.shape[-1], *alike, filters.flatten(1), *module.parameters(), each=each)
    # Of a prior that adds to v this is C^T (z - C x); what lacks to C^T z is C^T C x, a product in Fourier space.
    pulled: Tensor = torch.fft.rfft2(changed)
    if not prox.skip:
        return pulled
    power = power_spectrum(filters, size) if x.shape[1] == 1 else power_matrix(filters, size)
    return pulled + apply_power(power, torch.fft.rfft2(x))
