"""Filter banks, the patches that they see, and maps of patches to patches in cache-sized blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["PatchMap", "analyze", "dct_filters", "gradient_filters", "map_patches", "power_spectrum", "synthesize"]

# Pixels whose patches and responses stay in a core's cache together: 16384 pixels x 25 values x 4 bytes = 1.6 MB.
_BLOCK_PIXELS = {"cpu": 1 << 14, "cuda": 1 << 21}

PatchMap = Callable[..., Tensor]


def dct_filters(size: int = 5) -> Tensor:
    """Orthonormal two-dimensional DCT-II basis without its constant: (size^2 - 1, 1, size, size), float32.

    Source: Ahmed, Natarajan and Rao 1974; Schmidt and Roth 2014 start from the same basis.

    Example:
        >>> from dirtypixels.restore import filters
        >>> filters.dct_filters(5).shape
        torch.Size([24, 1, 5, 5])
    """
    basis = dct(np.eye(size), norm="ortho", axis=0)
    bank = np.einsum("ui,vj->uvij", basis, basis).reshape(size * size, 1, size, size)
    return torch.tensor(bank[1:], dtype=torch.float32)


def gradient_filters() -> Tensor:
    """Differences to the next row and the next column: (2, 1, 3, 3), float32.

    Example:
        >>> from dirtypixels.restore import filters
        >>> filters.gradient_filters()[1, 0]
        tensor([[ 0.,  0.,  0.],
                [ 0., -1.,  1.],
                [ 0.,  0.,  0.]])
    """
    bank = torch.zeros(2, 1, 3, 3)
    bank[:, 0, 1, 1] = -1
    bank[0, 0, 2, 1] = bank[1, 0, 1, 2] = 1
    return bank


def analyze(x: Tensor, filters: Tensor) -> Tensor:
    """Responses of a circular correlation.

    ``r_k[p] = sum_{c, q} filters_k[c, q] x[c, p + q - m]``, m the filter's center

    Args:
        x: (B, C, H, W).
        filters: (K, C, k, k), k odd.

    Returns:
        (B, K, H, W).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import filters
        >>> filters.analyze(torch.tensor([[[[0.0, 1.0, 4.0]]]]), filters.gradient_filters()[1:])
        tensor([[[[ 1.,  3., -4.]]]])
    """
    half = filters.shape[-1] // 2
    return torch.nn.functional.conv2d(torch.nn.functional.pad(x, (half,) * 4, mode="circular"), filters)


def synthesize(responses: Tensor, filters: Tensor) -> Tensor:
    """Adjoint of `analyze`: (B, K, H, W) to (B, C, H, W).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import filters
        >>> filters.synthesize(torch.tensor([[[[1.0, 0.0, 0.0]]]]), filters.gradient_filters()[1:])
        tensor([[[[-1.,  1.,  0.]]]])
    """
    half = filters.shape[-1] // 2
    full = torch.nn.functional.conv_transpose2d(responses, filters)
    return _wrap(full, half)


def power_spectrum(filters: Tensor, size: tuple[int, int]) -> Tensor:
    """``sum_k |filters_k^|^2`` for a circular image of `size`: (C, H, W // 2 + 1), real.

    Example:
        >>> from dirtypixels.restore import filters
        >>> filters.power_spectrum(filters.gradient_filters(), (4, 4))[0, 0]
        tensor([0., 2., 4.])
    """
    spectrum = torch.fft.rfft2(filters, s=size)
    total: Tensor = (spectrum.real**2 + spectrum.imag**2).sum(0)
    return total


def map_patches(fn: PatchMap, x: Tensor, size: int, *params: Tensor, each: Sequence[Tensor] = ()) -> Tensor:
    """Apply a map to every patch of a circular image and add the results up where the patches lie.

    ``sum_p P_p^T fn(P_p x)`` over all pixels p, P_p taking the patch around p. Patches pass in blocks that fit the
    processor's cache, and the backward pass computes them again, so that memory does not grow with the number of
    responses.

    Args:
        fn: (patches (C size^2, N L), *each, *params) -> (C size^2, N L), each column by itself, differentiable; the
            columns are those of N images, one after another.
        x: (B, C, H, W).
        size: side of a patch, odd, at most H and W.
        params: tensors that fn uses and that take a gradient.
        each: further ones that belong to the images, (B, ...); fn gets those of its N images.

    Raises:
        ValueError: size is even, or larger than the image.

    Example:
        >>> import torch
        >>> from dirtypixels.restore import filters
        >>> x = torch.rand(1, 1, 16, 16)
        >>> torch.equal(filters.map_patches(lambda patches: patches, x, 1), x)
        True
    """
    if size % 2 == 0 or size > min(x.shape[-2:]):
        height, width = x.shape[-2:]
        raise ValueError(f"size must be odd and at most the image's {height} x {width}; found {size}")
    return _MapPatches.apply(fn, size, len(each), x, *each, *params)  # type: ignore[no-any-return]


class _MapPatches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fn: PatchMap, size: int, own: int, x: Tensor, *params: Tensor) -> Tensor:
        ctx.fn, ctx.size, ctx.own = fn, size, own
        ctx.save_for_backward(x, *params)
        padded, total = _pad(x, size), _accumulator(x, size)
        for images, rows in _blocks(x):
            given = [p[images] if i < own else p for i, p in enumerate(params)]
            _add_patches(total, fn(_take_patches(padded, images, rows, size), *given), images, rows, size)
        return _wrap(total, size // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *params = ctx.saved_tensors
        size = ctx.size
        sums = [torch.zeros_like(p) if p.requires_grad else None for p in params]
        padded, padded_grad = _pad(x, size), _pad(grad, size)
        total = _accumulator(x, size) if ctx.needs_input_grad[3] else None
        for images, rows in _blocks(x):
            leaves = [
                (p[images] if i < ctx.own else p).detach().requires_grad_(p.requires_grad) for i, p in enumerate(params)
            ]
            with torch.enable_grad():
                patches = _take_patches(padded, images, rows, size).requires_grad_(total is not None)
                mapped = ctx.fn(patches, *leaves)
            wanted = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
            inputs = ([patches] if total is not None else []) + [leaves[i] for i in wanted]
            above = _take_patches(padded_grad, images, rows, size)
            # A map may leave a parameter unused, as a learned prox does with its penalty.
            found = list(torch.autograd.grad(mapped, inputs, above, allow_unused=True))
            if total is not None and (part := found.pop(0)) is not None:
                _add_patches(total, part, images, rows, size)
            for i, part in zip(wanted, found, strict=True):
                if part is not None:
                    at = sums[i]
                    assert at is not None
                    (at[images] if i < ctx.own else at).add_(part)
        return (None, None, None, None if total is None else _wrap(total, size // 2), *sums)


def _blocks(x: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of images and rows that cover the batch, each of about a block's pixels."""
    batch, channels, height, width = x.shape
    budget = max(1, _BLOCK_PIXELS.get(x.device.type, 1 << 21) // channels)
    if height * width <= budget:
        step = budget // (height * width)
        for first in range(0, batch, step):
            yield slice(first, first + step), slice(0, height)
    else:
        # Blocks of nearly equal height, so that the last is no sliver.
        parts = -(-height * width // budget)
        edges = [height * i // parts for i in range(parts + 1)]
        for image in range(batch):
            for top, bottom in pairwise(edges):
                yield slice(image, image + 1), slice(top, bottom)


def _pad(x: Tensor, size: int) -> Tensor:
    return torch.nn.functional.pad(x, (size // 2,) * 4, mode="circular")


def _accumulator(x: Tensor, size: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.new_zeros(batch, channels, height + size - 1, width + size - 1)


def _take_patches(padded: Tensor, images: slice, rows: slice, size: int) -> Tensor:
    """(C size^2, L) patches of a block, from an image padded on all sides."""
    part = padded[images, :, rows.start : rows.stop + size - 1]
    batch, channels, height, width = part.shape
    shape = (channels, size, size, batch, height - size + 1, width - size + 1)
    b, c, h, w = part.stride()
    return part.as_strided(shape, (c, h, w, b, h, w)).reshape(channels * size * size, -1)


def _add_patches(total: Tensor, patches: Tensor, images: slice, rows: slice, size: int) -> None:
    part = total[images, :, rows.start : rows.stop + size - 1]
    batch, channels, height, width = part.shape
    height, width = height - size + 1, width - size + 1
    values = patches.reshape(channels, size, size, batch, height, width)
    for i in range(size):
        for j in range(size):
            part[:, :, i : i + height, j : j + width] += values[:, i, j].transpose(0, 1)


def _wrap(full: Tensor, half: int) -> Tensor:
    """Add the margins of a full correlation to the opposite sides, as circular boundaries do."""
    if half == 0:
        return full
    for dim in (-2, -1):
        size = full.shape[dim] - 2 * half
        inner = full.narrow(dim, half, size).clone()
        inner.narrow(dim, size - half, half).add_(full.narrow(dim, 0, half))
        inner.narrow(dim, 0, half).add_(full.narrow(dim, size + half, half))
        full = inner
    return full
