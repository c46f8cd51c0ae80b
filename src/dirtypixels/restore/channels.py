"""Color channels that depend on each other: their opponent colors, and a matrix over channels at every frequency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor

__all__ = [
    "apply_power",
    "color_filters",
    "from_opponent",
    "largest_power",
    "opponent_matrix",
    "power_matrix",
    "solve_power",
    "to_opponent",
]


def opponent_matrix(channels: int = 3) -> Tensor:
    """The orthonormal DCT-II over the channels, (C, C) float64.

    For three channels its rows are brightness and two opponent colors, (1, 1, 1), (1, 0, -1) and (1, -2, 1), each of
    norm 1. White noise stays white under it.

    Source: Dabov et al. 2007b (opponent colors in color denoising).

    >>> opponent_matrix()
    tensor([[ 0.5774,  0.5774,  0.5774],
            [ 0.7071,  0.0000, -0.7071],
            [ 0.4082, -0.8165,  0.4082]], dtype=torch.float64)
    """
    return _opponent(channels, torch.float64, torch.device("cpu")).clone()


@lru_cache(maxsize=16)
def _opponent(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Kept, so that no call copies it to a device anew."""
    with torch.inference_mode(False):
        return torch.tensor(dct(np.eye(channels), norm="ortho", axis=0).round(16) + 0.0, dtype=dtype, device=device)


def to_opponent(x: Tensor) -> Tensor:
    """`opponent_matrix` times the channels of x, (B, C, H, W).

    >>> to_opponent(torch.ones(1, 3, 1, 1)).flatten()
    tensor([1.7321, 0.0000, 0.0000])
    """
    return torch.einsum("dc,bchw->bdhw", _opponent(x.shape[1], x.dtype, x.device), x)


def from_opponent(x: Tensor) -> Tensor:
    """Inverse of `to_opponent`, and its adjoint.

    >>> from_opponent(torch.tensor([3**0.5, 0, 0]).view(1, 3, 1, 1)).flatten()
    tensor([1.0000, 1.0000, 1.0000])
    """
    return torch.einsum("cd,bchw->bdhw", _opponent(x.shape[1], x.dtype, x.device), x)


def color_filters(filters: Tensor, channels: int = 3) -> Tensor:
    """Each filter in each opponent color: (K, 1, k, k) to (C K, C, k, k).

    >>> from dirtypixels.restore import filters
    >>> color_filters(filters.dct_filters(5)).shape
    torch.Size([72, 3, 5, 5])
    """
    return torch.einsum("ec,kij->ekcij", opponent_matrix(channels).to(filters), filters[:, 0]).flatten(0, 1)


def power_matrix(filters: Tensor, size: tuple[int, int]) -> Tensor:
    """``C^T C`` of filters over color channels, at each frequency of a circular image of `size`.

    ``M_cd = sum_k F_kc conj(F_kd)``, F_kc the Fourier transform of the part of filter k for channel c. It is that of
    the filters' autocorrelation, which is small.

    Args:
        filters: (K, C, k, k), k odd.
        size: H, W.

    Returns:
        (C, C, H, W // 2 + 1), complex, Hermitian in the channels.

    >>> power_matrix(torch.ones(1, 1, 1, 1), (2, 2))[0, 0].real
    tensor([[1., 1.],
            [1., 1.]])
    """
    reach = filters.shape[-1] - 1
    # In double precision, since filters without a constant must leave none: what is left of it grows with the coupling.
    swapped = filters.double().transpose(0, 1)
    kernel = torch.nn.functional.conv2d(swapped, swapped, padding=reach)
    for dim, length in ((-2, size[0]), (-1, size[1])):
        shape = list(kernel.shape)
        shape[dim] = length
        place = torch.arange(-reach, reach + 1, device=kernel.device) % length
        kernel = kernel.new_zeros(shape).index_add(dim, place, kernel)
    found: Tensor = torch.fft.rfft2(kernel)
    return found.to(filters.dtype.to_complex())


def apply_power(power: Tensor, spectrum: Tensor) -> Tensor:
    """``C^T C x`` in Fourier space.

    Args:
        power: of C, eigenvalues (1|C, H, W // 2 + 1) or matrices over the channels (C, C, H, W // 2 + 1).
        spectrum: real Fourier transform of x, (B, C, H, W // 2 + 1).

    >>> apply_power(2 * torch.eye(3)[..., None, None], torch.ones(1, 3, 1, 1, dtype=torch.complex64)).real.flatten()
    tensor([2., 2., 2.])
    """
    if power.ndim == 3:
        return power * spectrum
    return torch.stack([(power[c] * spectrum).sum(1) for c in range(len(power))], 1)


def largest_power(power: Tensor) -> Tensor:
    """The largest eigenvalue of C^T C, (1, 1|C, 1, 1), for `power` as `apply_power` takes it.

    >>> largest_power(torch.eye(3)[..., None, None]).shape
    torch.Size([1, 1, 1, 1])
    """
    if power.ndim == 3:
        return power.amax((-2, -1), keepdim=True)[None]
    eigenvalues: Tensor = torch.linalg.eigvalsh(power.movedim((0, 1), (-2, -1)))
    return eigenvalues.amax().reshape(1, 1, 1, 1)


def solve_power(diagonal: Tensor | float, rho: Tensor | float, power: Tensor, right: Tensor) -> Tensor:
    """``(D + rho C^T C)^-1 right`` at each frequency, exactly.

    Args:
        diagonal: D, real, >= 0, broadcasts with (B, C, H, W // 2 + 1).
        rho: > 0, a scalar or (B, 1|C, 1, 1); (B, 1, 1, 1) for matrices.
        power: of C, as `apply_power` takes it.
        right: (B, 1|C, H, W // 2 + 1).

    Returns:
        (B, C, H, W // 2 + 1).

    Source: Golub and Van Loan 2013, sec. 4.1.2 (LDL^H, here of every frequency's small matrix).

    >>> solve_power(1.0, 1.0, torch.eye(3)[..., None, None], torch.ones(1, 3, 1, 1, dtype=torch.complex64)).real.mean()
    tensor(0.5000)
    """
    if power.ndim == 3:
        return right / (diagonal + rho * power)
    channels = len(power)
    own = (
        diagonal
        if isinstance(diagonal, Tensor) and diagonal.ndim
        else torch.as_tensor(diagonal).to(right.real).view(1, 1, 1, 1)
    )
    own = own.expand(-1, channels, -1, -1)
    scaled = rho * power[None] if not isinstance(rho, Tensor) or rho.ndim == 0 else rho[:, :, None] * power[None]
    lower: dict[tuple[int, int], Tensor] = {}
    pivots: list[Tensor] = []
    for j in range(channels):
        pivot = own[:, j] + (scaled[:, j, j].real if scaled.is_complex() else scaled[:, j, j])
        for k in range(j):
            pivot = pivot - _square(lower[j, k]) * pivots[k]
        pivots.append(pivot)
        for i in range(j + 1, channels):
            below = scaled[:, i, j]
            for k in range(j):
                below = below - lower[i, k] * lower[j, k].conj() * pivots[k]
            lower[i, j] = below / pivot
    x = list(right.expand(right.shape[0], channels, *right.shape[2:]).unbind(1))
    for i in range(channels):
        for k in range(i):
            x[i] = x[i] - lower[i, k] * x[k]
    x = [one / pivot for one, pivot in zip(x, pivots, strict=True)]
    for i in reversed(range(channels)):
        for k in range(i + 1, channels):
            x[i] = x[i] - lower[k, i].conj() * x[k]
    return torch.stack(x, 1)


def _square(x: Tensor) -> Tensor:
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()
