"""PSFs by their parameters: Gaussian, disk and straight motion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SUBSAMPLES = 15  # a side of a pixel, odd, so that one lies at the pixel's center


def gaussian_psf(std: float) -> Tensor:
    """A Gaussian, integrated over each pixel.

    ``psf[i, j] = G(i) G(j),  G(i) = Phi((i + 1/2) / std) - Phi((i - 1/2) / std)``, cut off beyond 4 std

    Args:
        std: standard deviation in pixels, > 0.

    Returns:
        (1, k, k) float32, k odd, sum 1.

    Raises:
        ValueError: std is not above 0, or not finite.

    >>> psf = gaussian_psf(0.5)
    >>> psf.shape, round(float(psf.max()), 2)
    (torch.Size([1, 5, 5]), 0.47)
    """
    _above_zero("std", std)
    half = max(1, math.ceil(4 * std))
    edges = torch.arange(-half, half + 2, dtype=torch.float64) - 0.5
    line = torch.special.ndtr(edges / std).diff()
    return _normalized(line[:, None] * line)


def disk_psf(radius: float) -> Tensor:
    """Defocus of an ideal lens: a uniform disk, with the covered area of each pixel (by 15 x 15 samples).

    Args:
        radius: in pixels, > 0.

    Returns:
        (1, k, k) float32, k odd, sum 1.

    Raises:
        ValueError: radius is not above 0, or not finite.

    >>> disk_psf(2.0).shape
    torch.Size([1, 5, 5])
    """
    _above_zero("radius", radius)
    row, column = _samples(math.ceil(radius))
    return _normalized(_per_pixel((row**2 + column**2 <= radius**2).double()))


def motion_psf(length: float, angle: float = 0.0) -> Tensor:
    """Straight motion at even speed: a line, one pixel wide.

    Args:
        length: of the way in pixels, > 0.
        angle: in degrees; 0 moves along the rows, 90 upwards.

    Returns:
        (1, k, k) float32, k odd, sum 1.

    Raises:
        ValueError: length is not above 0, or a number is not finite.

    >>> (motion_psf(3.0, 90.0)[0].sum(0) > 0).tolist()  # upright: in one column
    [False, False, True, False, False]
    """
    _above_zero("length", length)
    if not math.isfinite(angle):
        raise ValueError(f"angle must be finite; found {angle}")
    half = max(1, math.ceil(length / 2))
    count = max(64, math.ceil(64 * length))
    t = (torch.arange(count, dtype=torch.float64) + 0.5) / count * length - length / 2
    turn = math.radians(angle)
    total = torch.zeros(2 * half + 1, 2 * half + 1, dtype=torch.float64)
    # Each point of the way covers the pixels around it in proportion to the area of its own square.
    row, column = half - t * math.sin(turn), half + t * math.cos(turn)
    for i, u in _shares(row):
        for j, v in _shares(column):
            inside = (i >= 0) & (i <= 2 * half) & (j >= 0) & (j <= 2 * half)
            total.index_put_((i[inside], j[inside]), (u * v)[inside], accumulate=True)
    return _normalized(total)


def _above_zero(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be finite and above 0; found {value}")


def _samples(half: int) -> tuple[Tensor, Tensor]:
    side = 2 * half + 1
    at = (torch.arange(side * _SUBSAMPLES, dtype=torch.float64) + 0.5) / _SUBSAMPLES - side / 2
    return at[:, None], at[None, :]


def _per_pixel(values: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(values[None], _SUBSAMPLES)[0]


def _shares(at: Tensor) -> list[tuple[Tensor, Tensor]]:
    low = at.floor()
    part = at - low
    return [(low.long(), 1 - part), (low.long() + 1, part)]


def _normalized(psf: Tensor) -> Tensor:
    return (psf / psf.sum())[None].float()
