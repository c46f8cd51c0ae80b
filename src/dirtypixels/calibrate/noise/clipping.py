"""Moments of a clipped, rounded Poisson-Gaussian signal, and the same as smooth functions of the level."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import polynomial
from scipy.interpolate import CubicSpline
from scipy.special import gammaln, ndtr

Array = npt.NDArray[np.float64]

_EXACT_COUNTS = 256.0  # up to this mean count the Poisson sum is taken as it is, beyond it by Edgeworth expansion
_REACH = 12.0  # standard deviations beyond which the normal distribution is taken as empty
_FINE = 8.0  # from this many steps to the standard deviation on, rounding adds step^2 / 12 and nothing else
_MOST_CODES = 4096  # beyond it, summing code by code costs more than it tells
_MARGIN = 7.0  # standard deviations from the clipping points beyond which clipping is taken as absent
_AT_ONCE = 1024  # levels whose moments are computed together: near ones share few codes and counts
_COARSE = 0.9  # steps to the standard deviation below which rounding bends the moments over the level
_MORE = 1.02  # by this factor sigma^2 is raised for the derivatives by it


class ClipRange(NamedTuple):
    """Where a signal is clipped and how it is rounded, in units of the signal.

    Args:
        low, high: clipping points; low may be -inf.
        step: distance between codes, which start at `low`; 0 where the signal is not rounded.
    """

    low: float = 0.0
    high: float = 1.0
    step: float = 0.0


def some_variance(alpha: float, variance: float, step: float = 0.0) -> float:
    """sigma^2, or the least that the clipped model can be computed with: it needs some Gaussian noise.

    A tenth of a step is none in effect: a signal amid a code stays there. Less would need ever finer tables.
    """
    return max(variance, 1e-6 * alpha**2, (step / 10) ** 2, 1e-14)


def unclipped_moments(level: Array, alpha: float, variance: float, step: float = 0.0, derivative: int = 0) -> Array:
    """Mean, variance, third and fourth central moment without clipping (4, ...), or a derivative by the level.

    ``z, alpha z + sigma^2 + step^2/12, alpha^2 z, 3 variance^2 + alpha^3 z - step^4/120``, from Poisson's and Gauss's.
    """
    dark = variance + step**2 / 12
    by_power = [
        [0.0, dark, 0.0, 3 * dark**2 - step**4 / 120],
        [1.0, alpha, alpha**2, 6 * alpha * dark + alpha**3],
        [0.0, 0.0, 0.0, 3 * alpha**2],
    ]
    return np.asarray(polynomial.polyval(level, polynomial.polyder(by_power, derivative)))


def clipped_moments(level: npt.ArrayLike, alpha: float, variance: float, bounds: ClipRange) -> Array:
    """Mean, variance, third and fourth central moment (4, N) of what a sensor gives.

    ``round(clip(alpha Poisson(z / alpha) + N(0, sigma^2), low, high))``

    Poisson sum times the clipped normal in closed form up to 256 photons, the fourth-order Edgeworth density beyond.
    Rounding is summed code by code where the noise is below 8 steps. A level below 0 (an offset, or a dark mean that
    came out negative by chance) takes ``alpha |z|`` off the Gaussian variance, a quarter of it at most, which keeps
    estimates near 0 free of bias.

    Args:
        level: (N,) means before clipping, units of the signal.
        alpha: Poisson scale, units of the signal, >= 0.
        variance: sigma^2, > 0.
        bounds: clip range.

    Source: Foi et al. 2008, eq. 1 and sec. IV; Foi 2009, eq. 5 (clipped observations).
    """
    z = np.atleast_1d(np.asarray(level, dtype=float))
    if z.size > _AT_ONCE:
        parts = np.array_split(z, math.ceil(z.size / _AT_ONCE))
        return np.concatenate([clipped_moments(part, alpha, variance, bounds) for part in parts], axis=1)
    few = (alpha > 0) & (z >= 0) & (z <= _EXACT_COUNTS * alpha)
    result = np.empty((4, z.size))
    if few.any():
        result[:, few] = _by_counts(z[few], alpha, variance, bounds)
    if not few.all():
        result[:, ~few] = _by_expansion(z[~few], alpha, variance, bounds)
    return result


def _by_counts(z: Array, alpha: float, variance: float, bounds: ClipRange) -> Array:
    """What a count leaves to the Gaussian is the same for every level, so levels differ in the counts' weights only."""
    rate = z / alpha
    most = float(rate.max())
    counts = np.arange(math.ceil(most + 10 * math.sqrt(most) + 25) + 1)
    log_rate = np.log(np.maximum(rate, 1e-300))
    weights = np.exp(counts[:, None] * log_rate - rate - gammaln(counts + 1.0)[:, None])
    center, sigma = float(z.mean()), math.sqrt(variance)
    spread = math.sqrt(alpha * float(z.max()) + variance)
    codes = _codes(bounds, z.min() - _REACH * spread, z.max() + _REACH * spread, spread)
    if codes is not None:
        values, thresholds = codes
        return _of_codes(values, ndtr((alpha * counts - thresholds[:, None]) / sigma) @ weights, center)
    # A count far beyond a clipping point is as good as one out of the normal distribution's reach of it.
    place = np.clip(alpha * counts, bounds.low - _REACH * sigma, bounds.high + _REACH * sigma)
    low, high = ((v - place) / sigma for v in bounds[:2])
    nothing = np.zeros_like(low)
    about = _clipped_normal(low, high, nothing, nothing) * sigma ** np.arange(5)[:, None]  # of the count
    shift = place - center
    raw = np.stack([sum(math.comb(j, i) * shift ** (j - i) * about[i] for i in range(j + 1)) for j in range(5)])
    result = _central(raw @ weights, center)
    result[1] += bounds.step**2 / 12 * ((ndtr(high) - ndtr(low)) @ weights)  # Sheppard's, of what is not clipped
    return result


def _by_expansion(z: Array, alpha: float, variance: float, bounds: ClipRange) -> Array:
    """Edgeworth density about the level, whose integrals over powers are closed-form."""
    light = np.maximum(z, 0.0)
    spread = np.sqrt(variance + np.maximum(alpha * z, -variance / 4))
    skew, excess = alpha**2 * light / spread**3, alpha**3 * light / spread**4
    codes = _codes(bounds, (z - _REACH * spread).min(), (z + _REACH * spread).max(), float(spread.min()))
    if codes is not None:
        values, thresholds = codes
        return _of_codes(values, _tail((thresholds[:, None] - z) / spread, skew, excess), float(z.mean()))
    z = np.clip(z, bounds.low - _REACH * spread, bounds.high + _REACH * spread)
    low, high = ((v - z) / spread for v in bounds[:2])
    result = _central(_clipped_normal(low, high, skew, excess) * spread ** np.arange(5)[:, None], 0.0)
    result[0] += z
    result[1] += bounds.step**2 / 12 * (1 - _tail(-low, -skew, excess) - _tail(high, skew, excess))
    return result


def _codes(bounds: ClipRange, lowest: float, highest: float, spread: float) -> tuple[Array, Array] | None:
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


def _of_codes(values: Array, above: Array, center: float) -> Array:
    """Central moments of codes, from the probability of lying above each threshold between them."""
    powers = (values - center) ** np.arange(5)[:, None]
    return _central(powers[:, :1] + np.diff(powers, axis=1) @ above, center)


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


class Response:
    """`clipped_moments` over the level at one noise level, as smooth functions for a fit.

    Cubic splines near the clipping points and where rounding is coarse, the unclipped formulas between.

    Args:
        alpha, variance, bounds: as in `clipped_moments`.
    """

    def __init__(self, alpha: float, variance: float, bounds: ClipRange) -> None:
        self.alpha, self.variance, self.bounds = alpha, variance, bounds
        self._pieces: list[tuple[float, float, CubicSpline]] = []
        for low, high, grid in self._grids():
            here, more = (clipped_moments(grid, alpha, v, bounds) for v in (variance, _MORE * variance))
            by_variance = (more[:2] - here[:2]) / ((_MORE - 1) * variance)
            self._pieces.append((low, high, CubicSpline(grid, np.concatenate([here, by_variance]).T)))

    def __call__(self, level: Array, derivative: int = 0) -> Array:
        """Moments, or a derivative by the level, at levels of any shape, constant beyond the outermost: mean, variance,
        third and fourth moment, and what sigma^2 adds to mean and variance; (6, ...)."""
        result = np.zeros((6, *level.shape))
        result[:4] = unclipped_moments(level, self.alpha, self.variance, self.bounds.step, derivative)
        result[5] = float(derivative == 0)
        if self._pieces:
            inside = np.clip(level, self.lowest, self.highest)
            for start, end, spline in self._pieces:
                within = (inside >= start) & (inside <= end)
                if within.any():
                    result[:, within] = spline(inside[within], derivative).T
            if derivative:
                result[:, inside != level] = 0.0
        return result

    @property
    def lowest(self) -> float:
        """The lowest level that differs from all lower ones."""
        return self._pieces[0][0] if math.isfinite(self.bounds.low) else -math.inf

    @property
    def highest(self) -> float:
        """The highest level that differs from all higher ones."""
        return self._pieces[-1][1]

    def _spread(self, level: float) -> float:
        return math.sqrt(self.alpha * max(level, 0.0) + self.variance)

    def _grids(self) -> list[tuple[float, float, Array]]:
        """Where the moments are tabulated: from, to, and the levels between; cut where the moments have a kink."""
        low, high, step = self.bounds
        reach = _MARGIN**2 * self.alpha
        zones = []
        for edge in (low, high):
            if math.isfinite(edge):
                spread = self._spread(edge)
                # Upwards the noise grows with the level: edge + d with d = margin * spread(edge + d).
                up = (reach + math.sqrt(reach**2 + (2 * _MARGIN * spread) ** 2)) / 2
                zones.append((edge - _MARGIN * spread, edge + up))
        coarse = -math.inf
        if step and self.variance < (_COARSE * step) ** 2:
            coarse = min(((_COARSE * step) ** 2 - self.variance) / self.alpha, high) if self.alpha else high
            zones.append((-_MARGIN * self._spread(0.0), max(coarse, 0.0)))
        kinks = [-self.variance / (4 * self.alpha), 0.0] if self.alpha else []
        grids = []
        for start, end in _merged(zones):
            cuts = [start, *(kink for kink in kinks if start < kink < end), end]
            for left, right in itertools.pairwise(cuts):
                nodes = [left]
                while nodes[-1] < right:
                    spacing = self._spread(nodes[-1]) / 4
                    nodes.append(nodes[-1] + (min(spacing, step / 8) if nodes[-1] <= coarse + step else spacing))
                count = max(len(nodes), 6)
                grid = np.interp(np.linspace(0, len(nodes) - 1, count), np.arange(len(nodes)), nodes)
                grids.append((left, right, left + (grid - left) * (right - left) / (grid[-1] - left)))
        return grids


def _merged(zones: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(zones):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged
