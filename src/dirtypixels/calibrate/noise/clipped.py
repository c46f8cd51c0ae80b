"""Moments of a clipped, rounded Poisson-Gaussian signal."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

Array = npt.NDArray[np.float64]

_EXACT_COUNTS = 256.0  # up to this mean count the Poisson sum is taken as it is, beyond it by Edgeworth expansion
_REACH = 12.0  # standard deviations beyond which the normal distribution is taken as empty
_FINE = 8.0  # from this many steps to the standard deviation on, rounding adds step^2 / 12 and nothing else
_MOST_CODES = 4096  # beyond it, summing code by code costs more than it tells


class Moments(NamedTuple):
    """Mean, variance, third and fourth central moment; arrays of one shape."""

    mean: Array
    variance: Array
    third: Array
    fourth: Array


class Range(NamedTuple):
    """Where a signal is clipped and how it is rounded, in units of the signal.

    Args:
        low, high: clipping points; low may be -inf.
        step: distance between codes, which start at `low`; 0 where the signal is not rounded.
    """

    low: float = 0.0
    high: float = 1.0
    step: float = 0.0


def unclipped_moments(level: Array, alpha: float, variance: float, step: float = 0.0) -> Moments:
    """Moments without clipping: ``z, alpha z + sigma^2 + step^2/12, alpha^2 z, ...``, from Poisson's and Gauss's."""
    total = alpha * level + variance + step**2 / 12
    return Moments(level, total, alpha**2 * level, 3 * total**2 + alpha**3 * level - step**4 / 120)


def clipped_moments(level: npt.ArrayLike, alpha: float, variance: float, bounds: Range) -> Moments:
    """Moments of what a sensor gives.

    ``round(clip(alpha Poisson(z / alpha) + N(0, sigma^2), low, high))``

    Poisson sum times the clipped normal in closed form up to 256 photons, the fourth-order Edgeworth density beyond.
    Rounding is summed code by code where the noise is below 8 steps. A level below 0 (an offset, or a dark mean that
    came out negative by chance) takes ``alpha |z|`` off the Gaussian variance, a quarter of it at most, which keeps
    estimates near 0 free of bias.

    Args:
        level: (N,) means before clipping, units of the signal.
        alpha: Poisson scale, units of the signal, >= 0.
        variance: sigma^2, > 0.
        bounds: clipping points and step.

    Source: Foi et al. 2008, eq. 1 and sec. IV; Foi 2009, eq. 5 (clipped observations).
    """
    z = np.atleast_1d(np.asarray(level, dtype=float))
    few = (alpha > 0) & (z >= 0) & (z <= _EXACT_COUNTS * alpha)
    result = np.empty((4, z.size))
    if few.any():
        result[:, few] = _by_counts(z[few], alpha, variance, bounds)
    if not few.all():
        result[:, ~few] = _by_expansion(z[~few], alpha, variance, bounds)
    return Moments(*result)


def survival(threshold: Array, level: Array, alpha: float, variance: float) -> Array:
    """P(signal > threshold) before clipping and rounding; (T, N) for thresholds (T,) and levels (N,).

    Exact sum over the counts, for any level >= 0.
    """
    if alpha == 0:
        return np.asarray(ndtr((level - threshold[:, None]) / math.sqrt(variance)))
    rate = level / alpha
    first = math.floor(max(0.0, rate.min() - 10 * math.sqrt(rate.min())))
    counts = np.arange(first, _last_count(float(rate.max())) + 1)
    given_count = ndtr((alpha * counts - threshold[:, None]) / math.sqrt(variance))
    return np.asarray(given_count @ poisson(counts, rate))


def poisson(counts: npt.NDArray[np.int64], rate: Array) -> Array:
    """Poisson probabilities (K, N) of counts (K,) at rates (N,)."""
    log_rate = np.log(np.maximum(rate, 1e-300))
    return np.asarray(np.exp(counts[:, None] * log_rate - rate - gammaln(counts + 1.0)[:, None]))


def _last_count(rate: float) -> int:
    return math.ceil(rate + 10 * math.sqrt(rate) + 25)


def _by_counts(z: Array, alpha: float, variance: float, bounds: Range) -> Array:
    """What a count leaves to the Gaussian is the same for every level, so levels differ in the counts' weights only."""
    counts = np.arange(_last_count(float(z.max()) / alpha) + 1)
    weights = poisson(counts, z / alpha)
    center, sigma = float(z.mean()), math.sqrt(variance)
    spread = math.sqrt(alpha * float(z.max()) + variance)
    codes = _codes(bounds, z.min() - _REACH * spread, z.max() + _REACH * spread, spread)
    if codes is None:
        # A count far beyond a clipping point is as good as one out of the normal distribution's reach of it.
        place = np.clip(alpha * counts, bounds.low - _REACH * sigma, bounds.high + _REACH * sigma)
        low, high = ((v - place) / sigma for v in bounds[:2])
        about = _clipped_normal(low, high, np.zeros_like(low), np.zeros_like(low))  # raw, in sigmas about the count
        shift = place - center
        binomial = [[math.comb(j, i) for i in range(j + 1)] for j in range(5)]
        raw = np.stack(
            [sum(c * shift ** (j - i) * sigma**i * about[i] for i, c in enumerate(binomial[j])) for j in range(5)]
        )
        result = _central(raw @ weights, center)
        return _with_rounding(result, bounds, ndtr(high) - ndtr(low), weights)
    values, thresholds = codes
    above = ndtr((alpha * counts - thresholds[:, None]) / sigma) @ weights
    return _from_codes(values, above, center)


def _by_expansion(z: Array, alpha: float, variance: float, bounds: Range) -> Array:
    """Edgeworth density about the level, whose integrals over powers are closed-form."""
    light = np.maximum(z, 0.0)
    spread = np.sqrt(variance + np.maximum(alpha * z, -variance / 4))
    skew, excess = alpha**2 * light / spread**3, alpha**3 * light / spread**4
    codes = _codes(bounds, (z - _REACH * spread).min(), (z + _REACH * spread).max(), float(spread.min()))
    if codes is None:
        z = np.clip(z, bounds.low - _REACH * spread, bounds.high + _REACH * spread)
        low, high = ((v - z) / spread for v in bounds[:2])
        raw = _clipped_normal(low, high, skew, excess) * spread ** np.arange(5)[:, None]
        result = _central(raw, 0.0)
        result[0] += z
        inside = 1 - _tail(-low, -skew, excess) - _tail(high, skew, excess)
        return _with_rounding(result, bounds, inside, None)
    values, thresholds = codes
    above = _tail((thresholds[:, None] - z) / spread, skew, excess)
    return _from_codes(values, above, float(z.mean()))


def _codes(bounds: Range, lowest: float, highest: float, spread: float) -> tuple[Array, Array] | None:
    """Codes within reach and the thresholds between them; None where rounding is fine enough to be left out."""
    low, high, step = bounds
    if not step or spread > _FINE * step:
        return None
    start = low if math.isfinite(low) else 0.0
    first = max(0, math.floor((lowest - start) / step)) if math.isfinite(low) else math.floor((lowest - start) / step)
    last = min(math.ceil((high - start) / step - 1e-6), math.ceil((highest - start) / step))
    if last - first > _MOST_CODES:
        return None
    values = np.minimum(start + step * np.arange(first, max(first, last) + 1), high)
    return values, (values[1:] + values[:-1]) / 2


def _from_codes(values: Array, above: Array, center: float) -> Array:
    """Central moments of codes, from the probability of lying above each threshold between them."""
    powers = (values - center) ** np.arange(5)[:, None]
    raw = powers[:, :1] + np.diff(powers, axis=1) @ above
    return _central(raw, center)


def _with_rounding(result: Array, bounds: Range, inside: Array, weights: Array | None) -> Array:
    """Adds the variance of rounding for what is not clipped (Sheppard's correction)."""
    if bounds.step:
        result[1] += bounds.step**2 / 12 * (inside if weights is None else inside @ weights)
    return result


def _central(raw: Array, center: float) -> Array:
    """Mean and central moments (4, N) from moments of order 0 to 4 about a center (5, N)."""
    one, two, three, four = raw[1:]
    variance = two - one**2
    third = three - 3 * one * two + 2 * one**3
    fourth = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
    return np.stack([center + one, np.maximum(variance, 0.0), third, np.maximum(fourth, 0.0)])


def _clipped_normal(low: Array, high: Array, skew: Array, excess: Array) -> Array:
    """E[clip(T, low, high)^j], j = 0 to 4, of a nearly normal T (Edgeworth density of fourth order); (5, N)."""
    a, b = np.clip(low, -_REACH, _REACH), np.clip(high, -_REACH, _REACH)
    density = [np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi) for t in (a, b)]
    # Integrals of t^j times the normal density from a to b, by parts.
    integrals = [ndtr(b) - ndtr(a), density[0] - density[1]]
    for j in range(2, 11):
        integrals.append((j - 1) * integrals[j - 2] + a ** (j - 1) * density[0] - b ** (j - 1) * density[1])
    g3, g4, g6 = skew / 6, excess / 24, skew**2 / 72
    # 1 + g3 He3 + g4 He4 + g6 He6, by powers of t
    factors = {0: 1 + 3 * g4 - 15 * g6, 1: -3 * g3, 2: -6 * g4 + 45 * g6, 3: g3, 4: g4 - 15 * g6, 6: g6}
    below, above = _tail(-a, -skew, excess), _tail(b, skew, excess)
    return np.stack(
        [sum(f * integrals[i + j] for i, f in factors.items()) + a**j * below + b**j * above for j in range(5)]
    )


def _tail(t: Array, skew: Array, excess: Array) -> Array:
    """P(T > t) by the Edgeworth expansion."""
    t = np.clip(t, -_REACH, _REACH)
    density = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    he2, he3, he5 = t**2 - 1, t**3 - 3 * t, t**5 - 10 * t**3 + 15 * t
    return np.asarray(ndtr(-t) + density * (skew / 6 * he2 + excess / 24 * he3 + skew**2 / 72 * he5))
