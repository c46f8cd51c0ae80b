"""Shrinkage functions made of Gaussians, one for each filter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dirtypixels import checks
from dirtypixels.restore.prox.base import Prox, check_context

# Cells of the table for each spacing of the Gaussians: the cubics stay within 3.2e-7 max_j |w_j| of the sum.
_CELLS = 16

# Responses at a time, so that what is computed of them stays in a core's cache.
_CHUNK = {"cpu": 1 << 16, "cuda": 1 << 24}


class RBFShrinkage(Prox):
    """A learned function of each response by itself, with Gaussian radial basis functions: that of shrinkage fields.

    ``phi_k(v) = v + c_k(min(max(v, -reach), reach)),  c_k(v) = sum_j w_kj exp(-(v - mu_j)^2 / (2 gamma^2))``

    The mu_j are equidistant from -reach to reach and gamma is their distance. Schmidt and Roth write phi without v and
    start from weights that fit v, which Gaussians do to 4% of the reach at its ends; with v this one starts at the
    identity itself, ``w = 0``. Beyond the reach, where theirs falls to 0, phi goes on with slope 1 from its value at
    the end: what is far above the noise is shifted by a constant at most.

    The sum is read from a table of cubics that agree with it in value and slope at 16 points a gamma; the gradient is
    exactly that of the cubics. The penalty is part of what is learned and is not used. With a context c of each image
    the function is scaled, ``v + h_k c_k(v / r_k)`` with ``log h = S_h c`` and ``log r = S_r c``; S starts at 0.

    Args:
        channels: responses K, >= 1.
        functions: Gaussians for each response, >= 2.
        reach: > 0, in units of the responses. The default is for noise of variance 1; where it has another standard
            deviation, as in pictures in [0, 1], about 10 times that.
        features: size F of the context, >= 0; 0 for none.

    Raises:
        ValueError: an argument is out of range, v has another number of responses, or the context another size.

    Source: Schmidt and Roth 2014, eq. 9; gamma and a reach of 10.4 standard deviations of noise as in their published
    code.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import prox
        >>> v = torch.randn(1, 24, 8, 8)
        >>> torch.equal(prox.RBFShrinkage()(v, torch.tensor(1.0)), v)  # until it has learned something
        True
    """

    def __init__(self, channels: int = 24, functions: int = 53, reach: float = 10.4, features: int = 0) -> None:
        super().__init__()
        checks.in_range("channels", channels, low=1)
        checks.in_range("functions", functions, low=2)
        checks.in_range("features", features, low=0)
        checks.in_range("reach", reach)
        checks.above_zero("reach", reach)
        self.reach, self.features = float(reach), features
        self.weights = nn.Parameter(torch.zeros(channels, functions))
        self.scales = nn.Parameter(torch.zeros(2 * channels, features)) if features else None

    def extra_repr(self) -> str:
        channels, functions = self.weights.shape
        return f"channels={channels}, functions={functions}, reach={self.reach:g}, features={self.features}"

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        channels = len(self.weights)
        if v.ndim < 2 or v.shape[1] != channels:
            raise ValueError(f"v must have shape (B, {channels}, ...); found {tuple(v.shape)}")
        flat = v.reshape(v.shape[0], channels, math.prod(v.shape[2:]))
        return self._evaluate(flat, context, whole=True).reshape(v.shape)

    def change(self, analysis: Tensor, patches: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        # What the prox adds to v is what is computed.
        v = analysis @ patches
        images = 1 if context is None else len(context)
        added = self._evaluate(v.reshape(len(v), images, -1).transpose(0, 1), context, whole=False)
        return analysis.t() @ added.transpose(0, 1).flatten(1)

    def _evaluate(self, v: Tensor, context: Tensor | None, whole: bool) -> Tensor:
        """phi of (B, K, L) responses if whole, else what it adds to them."""
        check_context(context, self.features)
        basis = torch.as_tensor(_cubics(self.weights.shape[1])).to(self.weights)
        coefficients = (self.weights @ basis).reshape(len(self.weights), 4, -1).transpose(0, 1).contiguous()
        if context is None or self.scales is None:
            return _Piecewise.apply(v, coefficients, self.reach, whole)  # type: ignore[no-any-return]
        height, width = (context @ self.scales.t())[..., None].exp().chunk(2, 1)
        added: Tensor = height * _Piecewise.apply(v / width, coefficients, self.reach, False)
        return v + added if whole else added


@lru_cache(maxsize=8)
def _cubics(functions: int) -> npt.NDArray[np.float64]:
    """Each Gaussian as a cubic in every cell: (functions, 4 cells), the powers 0 to 3 of the place in the cell, 0 to 1.

    Source: Hermite's cubic from the values and slopes at both ends.
    """
    nodes = np.arange((functions - 1) * _CELLS + 1) / _CELLS
    away = nodes - np.arange(functions)[:, None]
    value = np.where(np.abs(away) < 12, np.exp(-(away**2) / 2), 0)  # what follows is below 1e-31, and slow in float32
    slope = -away * value / _CELLS  # a cell long
    rise = np.diff(value)
    left, right = slope[:, :-1], slope[:, 1:]
    return np.concatenate([value[:, :-1], left, 3 * rise - 2 * left - right, left + right - 2 * rise], 1)


class _Piecewise(torch.autograd.Function):
    """Piecewise cubics on [-reach, reach], constant beyond, plus v if whole.

    (B, K, L) and coefficients (4, K, cells) to (B, K, L).
    """

    @staticmethod
    def forward(ctx: Any, v: Tensor, coefficients: Tensor, reach: float, whole: bool) -> Tensor:
        ctx.save_for_backward(v, coefficients)
        ctx.reach, ctx.whole = reach, whole
        out = torch.empty_like(v, memory_format=torch.contiguous_format)
        for images, places in _chunks(v):
            part = _channels_first(v[images, :, places])
            cell, u = _place(part, coefficients.shape[-1], reach)
            value = coefficients[3].gather(1, cell)
            for power in (2, 1, 0):
                value.mul_(u).add_(coefficients[power].gather(1, cell))
            out[images, :, places] = _images_first(value.add_(part) if whole else value, out[images, :, places])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        v, coefficients = ctx.saved_tensors
        cells = coefficients.shape[-1]
        below = torch.empty_like(v, memory_format=torch.contiguous_format) if ctx.needs_input_grad[0] else None
        sums = torch.zeros_like(coefficients) if ctx.needs_input_grad[1] else None
        for images, places in _chunks(v):
            part, above = _channels_first(v[images, :, places]), _channels_first(grad[images, :, places])
            cell, u = _place(part, cells, ctx.reach)
            if below is not None:
                slope = coefficients[3].gather(1, cell).mul_(u).mul_(3)
                slope.add_(coefficients[2].gather(1, cell), alpha=2).mul_(u).add_(coefficients[1].gather(1, cell))
                slope.mul_(cells / (2 * ctx.reach)).masked_fill_(part.abs() > ctx.reach, 0).add_(float(ctx.whole))
                below[images, :, places] = _images_first(slope.mul_(above), below[images, :, places])
            if sums is not None:
                moment = above
                for power in range(4):
                    sums[power].scatter_add_(1, cell, moment)
                    moment = moment * u if power < 3 else moment
        return below, sums, None, None


def _chunks(v: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of images and of places that cover (B, K, L), each of about a chunk's responses."""
    batch, channels, length = v.shape
    budget = max(1, _CHUNK.get(v.device.type, 1 << 24) // channels)
    images, places = max(1, budget // max(1, length)), min(budget, length)
    for first in range(0, batch, images):
        for left in range(0, length, max(1, places)):
            yield slice(first, first + images), slice(left, left + places)


def _channels_first(part: Tensor) -> Tensor:
    """(B, K, L) to (K, B L)."""
    return part[0] if len(part) == 1 else part.transpose(0, 1).flatten(1)


def _images_first(part: Tensor, like: Tensor) -> Tensor:
    """(K, B L) to (B, K, L)."""
    return part.reshape(len(part), len(like), -1).transpose(0, 1)


def _place(v: Tensor, cells: int, reach: float) -> tuple[Tensor, Tensor]:
    """The cell of each response and the place in it, 0 to 1."""
    half = cells // 2
    u = v.mul(half / reach).clamp_(-half, half)
    cell = u.floor().int().clamp_(-half, half - 1)  # once more, since NaN becomes some integer
    return cell.add(half).long(), u.sub_(cell)
