"""The PSF of a block and color: least squares with non-negative taps, smooth where the PSF itself is smooth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from torch import Tensor

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GAIN_ERROR = 0.005
"""Relative error of white less black as the flat field says it: so far from 1 the sum of the taps may be."""

WINDOW = 0.8
"""Standard deviation, in taps, of the window that averages the squares of differences."""

FLOOR = 1e-4
"""Least expected difference, as a part of the largest; only keeps divisions finite, as results do not depend on it."""


@dataclass(frozen=True)
class Normal:
    """What the samples of one color in one block say of its PSF, about their means; of several captures, the sum.

    ``sum_n (y(n) - o - sum_m k(m) x(n - m))^2 = energy - 2 <k, vector> + <k, matrix k>``, least over the offset o

    An offset of its own for each summand takes up what a wrong black level leaves.

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
    sharp: npt.ArrayLike, measured: npt.ArrayLike, size: int, place: tuple[int, int] = (0, 0), step: int = 1
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
        ValueError: shapes do not fit, or size is even.
    """
    x, y = _checked(sharp, measured, size, place, step)
    matrix = _gram(x, y.shape, size, place, step)
    vector, sums = _correlations(x, [y, np.ones_like(y)], size, place, step)
    matrix -= np.outer(sums, sums) / y.size
    # From the windows' order to the taps': the tap m sees the image displaced by -m.
    return Normal(matrix[::-1, ::-1], vector[::-1], float((y**2).sum()), y.size)


def right_side(
    sharp: npt.ArrayLike, measured: npt.ArrayLike, size: int, place: tuple[int, int] = (0, 0), step: int = 1
) -> tuple[Floats, float]:
    """`vector` and `energy` alone of the normal equations, see there; for other samples behind the same matrix."""
    x, y = _checked(sharp, measured, size, place, step)
    return _correlations(x, [y], size, place, step)[0][::-1], float((y**2).sum())


@dataclass(frozen=True)
class Estimate:
    """A PSF and what is known of it.

    Args:
        psf: (size, size), >= 0, sum 1.
        gain: sum of the taps before they were scaled to 1: measured contrast over expected contrast.
        noise: standard deviation of measured - fitted, in the unit of the samples.
        signal: standard deviation of the samples.
        error: predicted relative l2 error, ``sqrt(E |psf - truth|^2) / |psf|`` over the posterior.
        free: (size^2,) which taps are above 0.
        expected: mean squares of the PSF's differences, down (size + 1, size) and across (size, size + 1).
    """

    psf: Floats
    gain: float
    noise: float
    signal: float
    error: float
    free: Bools
    expected: tuple[Floats, Floats]


def solve(normal: Normal, rounds: int = 2, start: Estimate | None = None) -> Estimate:
    """The PSF that the normal equations of a block and color ask for.

    ``min over k >= 0 of sum_n (y(n) - o - (k * x)(n))^2 / s^2 + sum_d (D k)_d^2 / e_d^2 + (sum k - 1)^2 / gain^2``

    D takes differences of neighboring taps, with 0 beyond the border. No strength is chosen by hand. The variance s^2
    is that of the residual without constraints and prior, ``RSS / (count - size^2)``, which holds whatever the PSF is.
    The expected squares e^2 start at 1 / size^2 and then follow from the PSF: ``e^2 = window * E (D k)^2``, the mean
    over the posterior around the last estimate; they are small where the PSF is flat and large where it is steep. That
    the posterior's variance counts keeps the PSF from being shrunk further in each round.

    The sum is held at 1 within `GAIN_ERROR` and scaled to 1 exactly at the end.

    Args:
        normal: of the block and color.
        rounds: how often e^2 is taken from the posterior, >= 0; 2 is near the limit.
        start: an earlier estimate to start from, in place of an even e^2.

    Raises:
        ValueError: fewer than 2 size^2 samples, or nothing was seen: the pattern explains none of the variance.

    Source: MacKay, "Bayesian interpolation", Neural Computation 1992 (noise and prior variances from the data, here one
    for each difference).
    """
    size = round(np.sqrt(len(normal.vector)))
    if normal.count < 2 * size**2:
        raise ValueError(
            f"normal must hold at least {2 * size**2} samples for a PSF of {size} x {size}; found {normal.count}"
        )
    taps, variance = _unconstrained(normal)
    even = np.full((size + 1, size), size**-2.0)
    free, expected = (taps > 0, (even, even.T)) if start is None else (start.free, start.expected)
    held = variance / GAIN_ERROR**2
    vector = normal.vector + held
    for more in range(rounds, -1, -1):
        taps, free, factor = nonnegative(_with_prior(normal.matrix, expected, variance, held), vector, free)
        covariance = np.zeros_like(normal.matrix)  # taps at 0 have none
        covariance[np.ix_(free, free)] = variance * torch.cholesky_inverse(factor).numpy()
        if more:
            expected = _expected(taps.reshape(size, size), covariance)
    left = normal.residual(taps)
    if normal.energy - left < 2 * variance * free.sum():
        raise ValueError(
            f"the chart's pattern explains {100 * max(1 - left / normal.energy, 0.0):.1f} % of what was measured, no "
            "more than chance: this is not the chart, or it is not aligned"
        )
    total = float(taps.sum())
    return Estimate(
        (taps / total).reshape(size, size),
        total,
        float(np.sqrt(left / (normal.count - free.sum()))),
        float(np.sqrt(normal.energy / normal.count)),
        float(np.sqrt(np.trace(covariance)) / np.linalg.norm(taps)),
        free,
        expected,
    )


def nonnegative(matrix: Floats, vector: Floats, start: Bools | None = None) -> tuple[Floats, Bools, Tensor]:
    """``min over x >= 0 of x^T matrix x / 2 - vector^T x`` by block principal pivoting.

    Entries are exchanged between the set of free ones and the set of those at 0 until the conditions of Karush, Kuhn
    and Tucker hold: ``x >= 0, matrix x - vector >= 0, x (matrix x - vector) = 0``; exact up to rounding.

    `start` (K,) are the entries thought to be above 0, None for all. Returned are x (K,); which entries are free (K,);
    the lower Cholesky factor of the matrix of those.

    Raises:
        ValueError: the matrix is not positive definite.

    Source: Kim, Park, "Fast nonnegative matrix factorization: an active-set-like method and comparisons", SIAM J. Sci.
    Comput. 2011, algorithm 2 (after Judice and Pires, 1994).
    """
    free = np.ones(len(vector), dtype=bool) if start is None or not start.any() else start.copy()
    fewest, patience = len(vector) + 1, 3
    if not (np.diag(matrix) > 0).all():
        raise ValueError("matrix must be positive definite; found an entry of its diagonal that is not above 0")
    scale = np.sqrt(np.diag(matrix))
    slack = 1e-11 * float(np.abs(vector / scale).max(initial=0.0))
    while True:
        factor = _factor(matrix[free][:, free])
        x = np.zeros_like(vector)
        x[free] = _solved(factor, vector[free])
        # In units of the diagonal, so that both tests have one scale.
        wrong = np.where(free, x * scale, (matrix[:, free] @ x[free] - vector) / scale) < -slack
        count = int(wrong.sum())
        if count == 0:
            return np.maximum(x, 0.0), free, factor
        if count < fewest:
            fewest, patience = count, 3
        elif patience > 0:
            patience -= 1
        else:
            # One exchange at a time ends for certain, where many at a time may go in circles.
            wrong = np.arange(len(wrong)) == np.flatnonzero(wrong)[-1]
        free = free ^ wrong


def _factor(matrix: npt.NDArray[Any]) -> Tensor:
    """The lower Cholesky factor, by torch, which lets go of the interpreter: threads solve several blocks at once."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(matrix))
    if int(failed):
        raise ValueError("matrix must be positive definite")
    return factor


def _solved(factor: Tensor, vector: Floats) -> Floats:
    return np.asarray(torch.cholesky_solve(torch.from_numpy(np.array(vector))[:, None], factor)[:, 0].numpy())


def _unconstrained(normal: Normal) -> tuple[Floats, float]:
    """Taps without constraints or prior, and the noise variance: each tap takes up one sample's residual."""
    ridge = np.array(normal.matrix, dtype=np.float64)
    ridge[np.diag_indices_from(ridge)] += 1e-9 * np.trace(ridge) / len(ridge)
    taps = _solved(_factor(ridge), normal.vector)
    variance = normal.residual(taps) / (normal.count - len(taps))
    # A picture without any noise would leave nothing to weigh the prior with.
    return taps, max(variance, 1e-10 * normal.energy / normal.count, 1e-30)


def _with_prior(matrix: npt.NDArray[Any], expected: tuple[Floats, Floats], variance: float, held: float) -> Floats:
    """matrix + variance D^T diag(1 / e^2) D + held 1 1^T."""
    down, across = (variance / e for e in expected)
    size = across.shape[0]
    found = matrix + held
    taps = np.arange(size * size).reshape(size, size)
    found[taps, taps] += down[1:] + down[:-1] + across[:, 1:] + across[:, :-1]
    for one, other, weight in ((taps[1:], taps[:-1], down[1:-1]), (taps[:, 1:], taps[:, :-1], across[:, 1:-1])):
        found[one, other] -= weight
        found[other, one] -= weight
    return np.asarray(found, dtype=np.float64)


def _expected(psf: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Local mean squares of the differences over the posterior, down (size + 1, size) and across (size, size + 1)."""
    size = len(psf)

    def down(values: Floats, taps: npt.NDArray[Any]) -> Floats:
        variance = np.pad(np.diag(covariance)[taps], ((1, 1), (0, 0)))
        squares = np.diff(np.pad(values, ((1, 1), (0, 0))), axis=0) ** 2 + variance[1:] + variance[:-1]
        squares[1:-1] -= 2 * covariance[taps[1:], taps[:-1]]
        return np.asarray(gaussian_filter(np.maximum(squares, 0.0), WINDOW, mode="constant"))

    taps = np.arange(size * size).reshape(size, size)
    found = down(psf, taps), down(psf.T, taps.T).T
    floor = FLOOR**2 * max(float(f.max()) for f in found)
    return found[0] + floor, found[1] + floor


def _checked(
    sharp: npt.ArrayLike, measured: npt.ArrayLike, size: int, place: tuple[int, int], step: int
) -> tuple[Floats, Floats]:
    """Sharp image about its mean, so that sums of squares lose no digits to it, and samples about theirs."""
    x, y = np.array(sharp, dtype=np.float64), np.array(measured, dtype=np.float64)
    wanted = tuple(len(range(p, n - size + 1, step)) for p, n in zip(place, x.shape, strict=True))
    if size % 2 == 0 or y.shape != wanted or not y.size:
        raise ValueError(
            f"measured must have shape {wanted}, not 0, and size be odd, for sharp of {x.shape}, size {size} and place "
            f"{place}; found {y.shape}"
        )
    return x - x.mean(), y - y.mean()


def _gram(x: Floats, shape: tuple[int, ...], size: int, place: tuple[int, int], step: int) -> Floats:
    """(K, K) inner products of what the samples see of x through all windows."""
    k, s = size, min(step, size)
    (h, w), reach = shape, [step * (n - 1) + 1 for n in shape]
    # (k, k, h', w') view: [c, d] is what is seen through the window that begins at (c, d)
    windows = sliding_window_view(x[place[0] :, place[1] :], reach)[:k, :k, ::step, ::step]
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
    reach = step * (length - 1) + 1
    across, along = place[axis] + at, place[1 - axis]
    part = np.moveaxis(x, axis, 0)[across : across + size - step, along : along + size + reach - 1]
    return sliding_window_view(np.moveaxis(part, 0, axis), reach, 1 - axis)[..., ::step]


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
