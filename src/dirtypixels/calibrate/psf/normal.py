"""The normal equations of a block's PSF, assembled by correlations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Normal:
    """What the samples of one color in one block say of its PSF, about their means; of several captures, the sum.

    ``sum_n (y(n) - o - sum_m k(m) x(n - m))^2 = energy - 2 <k, vector> + <k, matrix k>``, least over the offset o

    An offset of its own for each summand takes up what a wrong black level leaves. Sums of two are those of the
    samples of both.

    Args:
        matrix: (K, K), K = size^2, the taps k(m) in reading order.
        vector: (K,).
        energy: sum of the squares of the samples about their mean.
        count: number of samples.
    """

    matrix: Floats
    vector: Floats
    energy: float
    count: int

    def __add__(self, other: Normal) -> Normal:
        return Normal(
            self.matrix + other.matrix, self.vector + other.vector, self.energy + other.energy, self.count + other.count
        )

    def residual(self, psf: Floats) -> float:
        """Sum of the squares of measured - fitted, for taps (K,) or (size, size); never below 0."""
        taps = psf.ravel()
        return max(float(self.energy - 2 * taps @ self.vector + taps @ self.matrix @ taps), 0.0)


def packed(matrix: Floats) -> npt.NDArray[np.float32]:
    """The lower triangle of a symmetric matrix (K, K), row by row, in single precision: a quarter of its memory."""
    return matrix[np.tril_indices(len(matrix))].astype(np.float32)


def unpacked(values: npt.NDArray[np.float32]) -> Floats:
    """The symmetric matrix that was `packed`."""
    side = (math.isqrt(8 * len(values) + 1) - 1) // 2
    found = np.zeros((side, side))
    found[np.tril_indices(side)] = values
    return found + np.tril(found, -1).T


def normal_equations(
    sharp: npt.ArrayLike,
    measured: npt.ArrayLike,
    size: int,
    place: tuple[int, int] = (0, 0),
    step: int = 1,
) -> Normal:
    """Normal equations of `measured(n) = o + sum_m k(m) sharp(n - m)`, over the samples of one color.

    Two columns of the problem are the same image seen through windows that differ by a shift. So all entries follow
    from those of few taps, which are correlations (made in the frequency domain), and from the rows and columns that
    enter and leave the window as it moves. It is exact: nothing wraps around, and no border is neglected.

    Args:
        sharp: (h + size - 1, w + size - 1) the sharp correspondence at full resolution of a block of (h, w) pixels,
            which begins half = size // 2 pixels beyond it on each side.
        measured: (h', w') the samples of this color in the block: its rows `place[0]::step`, columns `place[1]::step`.
        size: side of the PSF, odd, in full-resolution pixels.
        place: row and column of the first sample in the block, each in [0, step).
        step: distance of samples: 2 for a plane of a Bayer sensor, 1 for a monochrome one.

    Raises:
        ValueError: shapes do not fit, size is even, or a number is not finite.
    """
    x, y = _checked(sharp, measured, size, place, step)
    # About a middle value, so that sums of squares lose no digits to the mean.
    x -= x.mean()
    matrix = _gram(x, y.shape, size, place, step)
    vector, sums = _correlations(x, [y - y.mean(), np.ones_like(y)], size, place, step)
    matrix -= np.outer(sums, sums) / y.size
    # From the windows' order to the taps': the tap m sees the image displaced by -m.
    return Normal(matrix[::-1, ::-1], vector[::-1], float(y.var() * y.size), y.size)


def right_side(
    sharp: npt.ArrayLike, measured: npt.ArrayLike, size: int, place: tuple[int, int] = (0, 0), step: int = 1
) -> tuple[Floats, float]:
    """`vector` and `energy` alone of the normal equations, see there; for other samples behind the same matrix."""
    x, y = _checked(sharp, measured, size, place, step)
    vector = _correlations(x - x.mean(), [y - y.mean()], size, place, step)[0]
    return vector[::-1], float(y.var() * y.size)


def _checked(
    sharp: npt.ArrayLike, measured: npt.ArrayLike, size: int, place: tuple[int, int], step: int
) -> tuple[Floats, Floats]:
    x, y = np.array(sharp, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size must be odd and at least 1; found {size}")
    if step not in (1, 2) or not all(0 <= p < step for p in place):
        raise ValueError(f"step must be 1 or 2, and place in [0, step); found step {step}, place {place}")
    if x.ndim != 2:
        raise ValueError(f"sharp must have shape (H, W); found {x.shape}")
    wanted = tuple(len(range(p, n - size + 1, step)) for p, n in zip(place, x.shape, strict=True))
    if y.shape != wanted or not y.size:
        raise ValueError(
            f"measured must have shape {wanted} for sharp of {x.shape}, size {size} and place {place}; found {y.shape}"
        )
    for name, values in (("sharp", x), ("measured", y)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite; found {int((~np.isfinite(values)).sum())} NaN or infinite values")
    return x, y


def _windows(x: Floats, shape: tuple[int, ...], size: int, place: tuple[int, int], step: int) -> npt.NDArray[Any]:
    """(size, size, h', w') view: [c, d] is what the samples see of x through a window that begins at (c, d)."""
    reach = [step * (n - 1) + 1 for n in shape]
    view = np.lib.stride_tricks.sliding_window_view(x[place[0] :, place[1] :], reach)
    return view[:size, :size, ::step, ::step]


def _gram(x: Floats, shape: tuple[int, ...], size: int, place: tuple[int, int], step: int) -> Floats:
    """(K, K) inner products of all windows of `_windows`."""
    k, s = size, min(step, size)
    (h, w), windows = shape, _windows(x, shape, size, place, step)
    # Windows that begin in the first rows, with all others.
    first = np.empty((s, k, k, k))
    corner = [windows[i, j] for i in range(s) for j in range(s)]
    first[:, :s] = _correlations(x, corner, k, place, step).reshape(s, s, k, k)
    first[:, :, :, :s] = _inner(windows[:s], windows[:, :s])
    if k > s:
        enters, leaves = (_line(x, k, place, s, 1, at * s, h) for at in (w, 0))
        change = _inner(enters[:s], enters) - _inner(leaves[:s], leaves)
        for j in range(s, k):
            first[:, j, :, s:] = first[:, j - s, :, : k - s] + change[:, j - s]
    # And from them, row by row, the windows that begin further down.
    found = np.empty((k, k, k, k))
    found[:s] = first
    if k > s:
        enters, leaves = (_line(x, k, place, s, 0, at * s, w) for at in (h, 0))
        change = _inner(enters, enters) - _inner(leaves, leaves)
        for i in range(s, k):
            found[i, :, :s] = first[:, :, i].transpose(2, 0, 1)
            found[i, :, s:] = found[i - s, :, : k - s] + change[i - s]
    return found.reshape(k * k, k * k)


def _line(x: Floats, size: int, place: tuple[int, int], step: int, axis: int, at: int, length: int) -> Floats:
    """The line of samples at `at` along an axis, through every window that still has it; (rows, columns, length)."""
    counts = [size, size]
    counts[axis] = size - step
    starts = [place[0], place[1]]
    starts[axis] += at
    reach = step * (length - 1) + 1
    stops = [start + count for start, count in zip(starts, counts, strict=True)]
    stops[1 - axis] += reach - 1
    part = x[starts[0] : stops[0], starts[1] : stops[1]]
    return np.lib.stride_tricks.sliding_window_view(part, reach, 1 - axis)[..., ::step]


def _inner(one: Floats, other: Floats) -> Floats:
    """All inner products over samples of windows (a, b, samples...) and (c, d, samples...): (a, b, c, d)."""
    left = np.ascontiguousarray(one).reshape(one.shape[0] * one.shape[1], -1)
    right = np.ascontiguousarray(other).reshape(other.shape[0] * other.shape[1], -1)
    return np.asarray(left @ right.T).reshape(*one.shape[:2], *other.shape[:2])


def _correlations(x: Floats, images: list[Floats], size: int, place: tuple[int, int], step: int) -> Floats:
    """(images, K) inner products of images given at the samples with all windows."""
    shape = [scipy.fft.next_fast_len(n, real=True) for n in x.shape]
    spread = np.zeros((len(images), *x.shape))
    for k, image in enumerate(images):
        spread[k, place[0] :: step, place[1] :: step][: image.shape[0], : image.shape[1]] = image
    product = scipy.fft.rfft2(x, shape) * scipy.fft.rfft2(spread, shape).conj()
    return np.asarray(scipy.fft.irfft2(product, shape)[:, :size, :size]).reshape(len(images), -1)
