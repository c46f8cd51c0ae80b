"""The PSF of a block and color: least squares with non-negative taps, smooth where the PSF itself is smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dirtypixels.calibrate.psf.normal import Normal

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GAIN_ERROR = 0.005
"""Relative error of white less black as the tone says it: so far from 1 the sum of the taps may be."""

WINDOW = 0.8
"""Standard deviation, in taps, of the window that averages the squares of differences."""

FLOOR = 1e-4
"""Least expected difference, as a part of the largest; only keeps divisions finite, as results do not depend on it."""


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
    if start is None:
        free = taps > 0
        expected = (np.full((size + 1, size), size**-2.0), np.full((size, size + 1), size**-2.0))
    else:
        free, expected = start.free, start.expected
    held = variance / GAIN_ERROR**2
    vector = normal.vector + held
    for more in range(rounds, -1, -1):
        taps, free, factor = nonnegative(_with_prior(normal.matrix, expected, variance, held), vector, free)
        covariance = _covariance(factor, free, variance)
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

    Args:
        matrix: (K, K), symmetric, positive definite.
        vector: (K,).
        start: (K,) the entries thought to be above 0; None for all.

    Returns:
        x (K,); which entries are free (K,); the lower Cholesky factor of the matrix of those.

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
    """The lower Cholesky factor. By torch: it lets go of the interpreter, so that threads solve blocks side by side."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(matrix))
    if int(failed):
        raise ValueError("matrix must be positive definite")
    return factor


def _solved(factor: Tensor, vector: Floats) -> Floats:
    found: Floats = torch.cholesky_solve(torch.from_numpy(np.array(vector))[:, None], factor)[:, 0].numpy()
    return found


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


def _covariance(factor: Tensor, free: Bools, variance: float) -> Floats:
    """(K, K) of the taps; those at 0 have none."""
    found = np.zeros((len(free), len(free)))
    found[np.ix_(free, free)] = variance * torch.cholesky_inverse(factor).numpy()
    return found


def _expected(psf: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Local mean squares of the differences over the posterior, down (size + 1, size) and across (size, size + 1)."""
    found = []
    for axis, values, both in ((0, psf, covariance), (1, psf.T, _transposed(covariance, len(psf)))):
        size = len(values)
        rows = np.arange(size * size).reshape(size, size)
        variance = np.pad(np.diag(both).reshape(size, size), ((1, 1), (0, 0)))
        squares = np.diff(np.pad(values, ((1, 1), (0, 0))), axis=0) ** 2 + variance[1:] + variance[:-1]
        squares[1:-1] -= 2 * both[rows[1:], rows[:-1]]
        local = gaussian_filter(np.maximum(squares, 0.0), WINDOW, mode="constant")
        found.append(local if axis == 0 else local.T)
    floor = FLOOR**2 * max(float(f.max()) for f in found)
    return found[0] + floor, found[1] + floor


def _transposed(covariance: Floats, size: int) -> Floats:
    """The covariance of the taps in the order of columns."""
    return covariance.reshape(size, size, size, size).transpose(1, 0, 3, 2).reshape(size * size, -1)
