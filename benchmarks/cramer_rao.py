"""How well alpha and sigma can be known at all from given captures: the yardstick of tests and benchmarks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

from dirtypixels.calibrate.noise.clipping import ClipRange

Array = npt.NDArray[np.float64]

_CELLS = 12  # a standard deviation is divided into so many cells where the signal is not rounded
_REACH = 9.0
_RARE = 1e-8  # of so rare values the sum over the counts is not exact enough, and they tell next to nothing
_BY = 1e-4


def cramer_rao(
    levels: npt.ArrayLike,
    alpha: float,
    sigma: float,
    *,
    samples: int,
    bounds: ClipRange = ClipRange(),  # noqa: B008 (immutable)
) -> Array:
    """Cramér-Rao bound on the covariance of (alpha, sigma^2), from patches of unknown light.

    ``C = (sum_p J_tt - J_tz J_zt / J_zz)^-1``, J the Fisher information of a patch's samples on t = (alpha, sigma^2)
    and on its own level z

    The information is that of the signal itself, clipped and rounded: ``sum_k dp_k dp_k^T / p_k`` over its values, the
    unrounded one in cells of 1/12 standard deviation. An estimator that compares F frames, so that fixed pattern
    cancels, can use (F - 1) / F of it.

    Args:
        levels: (P,) mean of each patch before clipping, >= 0, units of the signal.
        alpha: Poisson scale, > 0.
        sigma: Gaussian standard deviation, > 0.
        samples: number of samples of each patch, pixels times frames.
        bounds: clipping points and step.

    Returns:
        (2, 2) covariance of (alpha, sigma^2).

    Raises:
        ValueError: a value is out of range, or the patches do not tell the two apart.

    Source: Kay 1993, Fundamentals of Statistical Signal Processing, sec. 3.7; Foi 2009 (the clipped signal).
    """
    z = np.atleast_1d(np.asarray(levels, dtype=float))
    if not (alpha > 0 and sigma > 0 and samples >= 1 and np.isfinite(z).all() and (z >= 0).all()):
        raise ValueError(
            f"levels must be >= 0, alpha and sigma above 0, samples at least 1; found {z.tolist()}, {alpha}, {sigma}, "
            f"{samples}"
        )
    information = np.zeros((2, 2))
    for level in z:
        j = samples * _information(float(level), alpha, sigma**2, bounds)
        if j[0, 0] > 0:
            information += j[1:, 1:] - np.outer(j[1:, 0], j[0, 1:]) / j[0, 0]
    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information * np.outer(scale, scale)
    if not np.isfinite(scaled).all() or np.linalg.cond(scaled) > 1e8:
        raise ValueError("levels must differ, and not all be clipped: they do not tell alpha from sigma")
    return np.asarray(np.linalg.inv(scaled) * np.outer(scale, scale))


def _information(level: float, alpha: float, variance: float, bounds: ClipRange) -> Array:
    """(3, 3) Fisher information of one sample on (level, alpha, sigma^2)."""
    spread = math.sqrt(alpha * level + variance)
    thresholds = _thresholds(level, spread, bounds)
    theta = np.array([level, alpha, variance])
    middle = _cells(theta, thresholds)
    by = _BY * np.array([spread, alpha, variance])
    slopes = []
    for i in range(3):
        there, back = theta.copy(), theta.copy()
        there[i] += by[i]
        if i == 0 and level < by[0]:  # a level is never below 0: one-sided there
            slopes.append((_cells(there, thresholds) - middle) / by[i])
            continue
        back[i] -= by[i]
        slopes.append((_cells(there, thresholds) - _cells(back, thresholds)) / (2 * by[i]))
    kept = middle > _RARE
    d = np.stack(slopes)[:, kept]
    return np.asarray((d / middle[kept]) @ d.T)


def _thresholds(level: float, spread: float, bounds: ClipRange) -> Array:
    """Between the values that can be told apart; the outermost are clipping points where those are in reach."""
    low, high, step = bounds
    first, last = max(level - _REACH * spread, low), min(level + _REACH * spread, high)
    if step:
        start = low if math.isfinite(low) else 0.0
        codes = np.arange(math.floor((first - start) / step), math.ceil((last - start) / step), dtype=np.float64)
        return start + step * (codes + 0.5)
    if last <= first:
        return np.array([first])
    cells = max(2, math.ceil((last - first) / spread * _CELLS))
    return np.linspace(first, last, cells + 1, dtype=np.float64)


def _cells(theta: Array, thresholds: Array) -> Array:
    above = _survival(thresholds, *map(float, theta))
    return np.asarray(-np.diff(np.concatenate([[1.0], above, [0.0]])))


def _survival(thresholds: Array, level: float, alpha: float, variance: float) -> Array:
    """P(signal > threshold) before clipping and rounding, by the exact sum over the counts."""
    rate = level / alpha
    reach = 10 * math.sqrt(rate)
    counts = np.arange(math.floor(max(0.0, rate - reach)), math.ceil(rate + reach + 25) + 1)
    weights = np.exp(counts * math.log(max(rate, 1e-300)) - rate - gammaln(counts + 1.0))
    return np.asarray(ndtr((alpha * counts - thresholds[:, None]) / math.sqrt(variance)) @ weights)
