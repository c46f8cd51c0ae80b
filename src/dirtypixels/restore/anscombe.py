"""The generalized Anscombe transform: Poisson-Gaussian noise to noise of variance 1, and back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.expectation import expected_stabilized

__all__ = ["Kind", "forward", "inverse", "stabilize"]

Kind = Literal["exact", "closed_form", "algebraic"]

_CACHED_TABLES = 4096


class _Table(NamedTuple):
    """A function by its values and slopes at increasing nodes; each (N,)."""

    nodes: Tensor
    values: Tensor
    slopes: Tensor

    def to(self, other: Tensor) -> _Table:
        return _Table(*(t.to(other) for t in self))


_tables: OrderedDict[tuple[float, float, bool], _Table] = OrderedDict()


def forward(signal: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Stabilize the variance of Poisson-Gaussian noise to 1.

    ``f(y) = 2/alpha sqrt(alpha y + 3/8 alpha^2 + sigma^2) - 2 sigma/alpha``

    The constant ``2 sigma/alpha`` that the textbook form lacks changes no variance and no difference; with it the
    transform is accurate in single precision for every alpha, and tends to ``y / sigma`` as alpha tends to 0, which
    is what alpha = 0 (pure Gaussian noise) gives.

    Args:
        signal: (B, C, H, W), linear, white level 1. Where the root's argument is negative it is taken as 0.
        alpha: (B, 1|C, 1, 1) or any shape that broadcasts, >= 0, in units of the signal.
        sigma: as alpha, >= 0, in units of the signal.

    Returns:
        (B, C, H, W), noise of standard deviation 1.

    Raises:
        ValueError: alpha or sigma is negative or not finite, or both are 0 (there is no noise to stabilize).

    Source: Murtagh, Starck and Bijaoui 1995; Mäkitalo and Foi 2013, eq. 3.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import anscombe
        >>> alpha, sigma = torch.tensor(0.01), torch.tensor(0.02)
        >>> signal = alpha * torch.poisson(torch.full((100_000,), 50.0)) + sigma * torch.randn(100_000)
        >>> print(f"{signal.std():.2f} {anscombe.forward(signal, alpha, sigma).std():.1f}")
        0.07 1.0
    """
    _check_noise(alpha, sigma)
    return stabilize(signal, alpha, sigma)


def inverse(stabilized: Tensor, alpha: Tensor, sigma: Tensor, kind: Kind = "exact", *, clipped: bool = False) -> Tensor:
    """Undo the transform.

    Args:
        stabilized: (B, C, H, W), as `forward` gives it, or an estimate of its mean.
        alpha: (B, 1|C, 1, 1) or any shape that broadcasts, >= 0, in units of the signal.
        sigma: as alpha.
        kind: "exact" gives the x for which ``E[f(y) | x]`` is the argument, so that a denoised picture has no bias;
            "closed_form" is Mäkitalo and Foi's approximation of it; "algebraic" is the plain inverse of f.
        clipped: for "exact" only: the signal was clipped to [0, 1], so invert ``E[f(clip(y, 0, 1)) | x]``.

    Returns:
        (B, C, H, W), linear. Arguments that no x in range has as its mean continue along the algebraic inverse, so
        the result can lie outside [0, 1] there, increases with its argument and keeps its gradient, down to
        -2 sigma/alpha, below which `forward` gives nothing and the result is constant.

    Raises:
        ValueError: alpha or sigma is negative or not finite, or both are 0; kind is unknown; clipped with another
            kind than "exact".

    Source: Mäkitalo and Foi 2013, sec. III (exact), eq. 10 (closed form); Foi 2009 (clipping).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import anscombe
        >>> alpha, sigma, stabilized = torch.tensor(0.01), torch.tensor(0.02), torch.tensor([2.0, 10.0])
        >>> anscombe.inverse(stabilized, alpha, sigma)
        tensor([0.0489, 0.4488])
        >>> anscombe.inverse(stabilized, alpha, sigma, kind="algebraic")
        tensor([0.0462, 0.4462])
    """
    _check_noise(alpha, sigma)
    checks.one_of("kind", kind, get_args(Kind))
    if clipped and kind != "exact":
        raise ValueError(f"clipped is for kind 'exact'; found kind {kind!r}")
    plain = _algebraic(stabilized, alpha, sigma)
    if kind == "algebraic":
        return plain
    if kind == "closed_form":
        least = 1.5**0.5  # the textbook transform of 0 without read noise
        # 1/D for D = stabilized + 2 sigma/alpha, written so that alpha = 0 gives 0.
        r = alpha / torch.maximum(alpha * stabilized + 2 * sigma, alpha * least)
        r = torch.where(alpha > 0, r, torch.zeros_like(r))
        bias: Tensor = alpha * (0.25 + r * (0.25 * least + r * (-11 / 8 + r * (5 / 8) * least)))
        return plain + bias
    return plain + _correction(stabilized, alpha, sigma, clipped)


def stabilize(signal: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """`forward` without its checks of the arguments' values, for use inside of loops.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import anscombe
        >>> anscombe.stabilize(torch.tensor([0.0, 0.5]), torch.tensor(0.01), torch.tensor(0.02))
        tensor([ 0.1833, 10.7479])
    """
    tiny = torch.finfo(signal.dtype).tiny
    root = (alpha * signal + 0.375 * alpha**2 + sigma**2).clamp_min(tiny).sqrt()
    # The same as (root - sigma) 2 / alpha, without its cancellation.
    return 2 * (torch.maximum(signal, _lowest(alpha, sigma)) + 0.375 * alpha) / (root + sigma)


def _lowest(alpha: Tensor, sigma: Tensor) -> Tensor:
    """The signal at which the root's argument is 0."""
    return -(0.375 * alpha + sigma**2 / alpha.clamp_min(torch.finfo(alpha.dtype).tiny))


def _algebraic(stabilized: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    lowest = -2 * sigma / alpha.clamp_min(torch.finfo(alpha.dtype).tiny)
    d = torch.maximum(stabilized, lowest)
    return d * (0.25 * alpha * d + sigma) - 0.375 * alpha


def _check_noise(alpha: Tensor, sigma: Tensor) -> None:
    for name, value in (("alpha", alpha), ("sigma", sigma)):
        checks.is_tensor(name, value)
        checks.in_range(name, value, low=0.0)
    if bool(((alpha == 0) & (sigma == 0)).any()):
        raise ValueError("alpha and sigma must not both be 0: a signal without noise has no variance to stabilize")


def _correction(stabilized: Tensor, alpha: Tensor, sigma: Tensor, clipped: bool) -> Tensor:
    """x minus the algebraic inverse, read from one table for each different (alpha, sigma)."""
    shape: torch.Size = torch.broadcast_shapes(alpha.shape, sigma.shape)  # type: ignore[no-untyped-call]
    alphas, sigmas = alpha.expand(shape).reshape(-1), sigma.expand(shape).reshape(-1)
    if (alphas.requires_grad or sigmas.requires_grad) and torch.is_grad_enabled():
        tables = [_table(a, s, clipped) for a, s in zip(alphas, sigmas, strict=True)]
    else:
        tables = [_cached_table(a, s, clipped) for a, s in zip(alphas.tolist(), sigmas.tolist(), strict=True)]
    if all(table is tables[0] for table in tables):
        return _interpolate(stabilized, tables[0].to(stabilized))
    full: torch.Size = torch.broadcast_shapes(stabilized.shape, shape)  # type: ignore[no-untyped-call]
    padded = (1,) * (len(full) - len(shape)) + tuple(shape)
    # Rows that share a table: everything behind the last dimension in which alpha or sigma changes.
    rows = full[: max(i for i, size in enumerate(padded) if size > 1) + 1]
    index = torch.arange(len(tables)).reshape(padded[: len(rows)]).expand(rows).reshape(-1)
    each = _Table(*(torch.stack(values).to(stabilized)[index] for values in zip(*tables, strict=True)))
    return _interpolate(stabilized.expand(full).reshape(len(index), -1), each).reshape(full)


def _cached_table(alpha: float, sigma: float, clipped: bool) -> _Table:
    key = (alpha, sigma, clipped)
    if key not in _tables:
        # Made as an ordinary tensor even inside of inference mode, because a later backward pass may need it.
        with torch.inference_mode(False), torch.no_grad():
            a, s = torch.tensor([alpha, sigma], dtype=torch.float64).unbind()
            _tables[key] = _table(a, s, clipped)
        if len(_tables) > _CACHED_TABLES:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    return _tables[key]


def _table(alpha: Tensor, sigma: Tensor, clipped: bool) -> _Table:
    """x minus the algebraic inverse over the mean stabilized value, in float64."""
    alpha, sigma = alpha.double(), sigma.double()
    highest = torch.ones_like(alpha) if clipped else 256 * alpha + 8 * sigma
    low, high = (stabilize(v, alpha, sigma) for v in (torch.zeros_like(alpha), highest))
    # Close nodes where clipping and few photons bend the curve, within 6 standard deviations of either end.
    edge = torch.minimum(torch.full_like(low, 6.0), (high - low) / 3)
    steps = torch.linspace(0, 1, 33, dtype=torch.float64, device=alpha.device)[:-1]
    nodes = torch.cat(
        [low + edge * steps, low + edge + (high - low - 2 * edge) * steps, high - edge + edge * steps, high[None]]
    )
    x = (_algebraic(nodes, alpha, sigma)).clamp_min(0.0)
    mean = expected_stabilized(x, alpha, sigma, stabilize, clipped=clipped, lowest=_lowest(alpha, sigma))
    correction = x - _algebraic(mean, alpha, sigma)
    gap = mean.diff()
    slope = correction.diff() / gap
    inner = (slope[:-1] * gap[1:] + slope[1:] * gap[:-1]) / (gap[:-1] + gap[1:])
    return _Table(mean, correction, torch.cat([slope[:1], inner, slope[-1:]]))


def _interpolate(at: Tensor, table: _Table) -> Tensor:
    """Cubic Hermite interpolation, constant outside of the nodes; (M, L) at M tables (M, N), or any shape at one."""
    rows = at.reshape(-1, at.shape[-1]) if table.nodes.ndim > 1 else at.reshape(1, -1)
    nodes, values, slopes = (v.reshape(-1, v.shape[-1]) for v in table)
    inside = torch.maximum(torch.minimum(rows, nodes[:, -1:]), nodes[:, :1])
    left = (torch.searchsorted(nodes.detach(), inside.detach().contiguous()) - 1).clamp(0, nodes.shape[1] - 2)
    start, end, y0, y1, m0, m1 = (v.gather(1, left + i) for v in (nodes, values, slopes) for i in (0, 1))
    # Nodes that single precision cannot tell apart get a gap that does no harm.
    h = (end - start).clamp_min(torch.finfo(at.dtype).tiny)
    t = (inside - start) / h
    m0, m1 = m0 * h, m1 * h
    found = y0 + t * (m0 + t * (3 * (y1 - y0) - 2 * m0 - m1 + t * (2 * (y0 - y1) + m0 + m1)))
    return found.reshape(at.shape)
