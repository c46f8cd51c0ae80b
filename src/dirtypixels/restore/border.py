"""What lies beyond the frame, for solvers whose Fourier transforms take the image as periodic."""

from __future__ import annotations

import torch
from torch import Tensor


def make_periodic(x: Tensor, gap: int) -> Tensor:
    """Append `gap` rows and columns that lead smoothly from each border to the opposite one.

    The gap holds the mirror image of both borders, faded into each other by a raised cosine, so the image seen as
    periodic has no jump, and what a filter sees across the border is the mirrored scene.

    Args:
        x: (B, C, H, W).
        gap: width of the strip, >= 0.

    Returns:
        (B, C, H + gap, W + gap); the frame is its first H rows and W columns.
    """
    for dim in (-2, -1):
        size = x.shape[dim]
        t = torch.arange(gap, device=x.device)
        fade = (0.5 + 0.5 * torch.cos(torch.pi * (t + 0.5) / max(gap, 1))).to(x)
        fade = fade[:, None] if dim == -2 else fade
        after = x.index_select(dim, _mirror(size + t, size))
        before = x.index_select(dim, _mirror(t - gap, size))
        x = torch.cat([x, fade * after + (1 - fade) * before], dim)
    return x


def _mirror(index: Tensor, size: int) -> Tensor:
    """Half-sample symmetric continuation of 0 .. size - 1."""
    folded = index.remainder(2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)
