"""What noise makes of a photograph's details: their median over the mean of the clipped signal."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.interpolate import CubicSpline, RectBivariateSpline

from dirtypixels.calibrate.noise.clipped import Range, clipped_moments, unclipped_moments
from dirtypixels.calibrate.noise.details import SCALING, TOLERANCE, WAVELET, WINDOW

Array = npt.NDArray[np.float64]

#: median of |N(0, 1)|
MEDIAN = float(special.ndtri(0.75))
# Sums of powers of the two-dimensional wavelet: how much of the pixels' skewness and excess kurtosis a detail keeps.
_THIRD = float((WAVELET**3).sum() ** 2)
_FOURTH = float((WAVELET**4).sum() ** 2)
# Clipping points beyond these, in standard deviations from the light, are tabulated as these.
_NEAR, _FAR = 1.0, 3.5
# Standard deviations from an end beyond which clipping changes nothing.
_REACH = 6.0


class DetailResponse:
    """Deviation of the pixels, and median of their details, over the mean of the clipped signal.

    Args:
        alpha: Poisson scale, >= 0.
        variance: sigma^2 of the Gaussian part, > 0.
        bounds: clipping points and step; rounding adds step^2/12 (Sheppard), as it does from half a step of noise on.

    Attributes:
        light: (N,) mean before clipping, >= 0, increasing; the others are (N,) too.
        mean, deviation: of the clipped signal.
        robust: median of the absolute details over that of N(0, 1), of details chosen by their windows' activity.
        low, high: clipped fractions.
    """

    def __init__(self, alpha: float, variance: float, bounds: Range) -> None:
        variance, bounds = variance + bounds.step**2 / 12, bounds._replace(step=0.0)
        self.light: Array = _lights(alpha, variance, bounds)
        spread = np.sqrt(alpha * self.light + variance)
        moments = np.stack(unclipped_moments(self.light, alpha, variance))
        clipped = np.minimum(self.light - bounds.low, bounds.high - self.light) < _REACH * spread
        if clipped.any():
            moments[:, clipped] = clipped_moments(self.light[clipped], alpha, variance, bounds)
        mean, second, _, fourth = np.maximum(moments, 1e-30)
        self.mean: Array = np.maximum.accumulate(mean)
        self.deviation: Array = np.sqrt(second)
        below, above = (bounds.low - self.light) / spread, (self.light - bounds.high) / spread
        self.low, self.high = special.ndtr(below), special.ndtr(above)
        # of the Poisson part where it is not clipped: excess kurtosis alpha^3 y / v^2, skewness^2 alpha^4 y^2 / v^3
        excess = (1 - self.low - self.high) ** 2 * alpha**3 * self.light / spread**4
        skewness = excess * alpha * self.light / spread**2
        change = _THIRD**2 * skewness * (MEDIAN**4 - 10 * MEDIAN**2 + 15) / 72
        change += _FOURTH * excess * (MEDIAN**2 - 3) / 24
        near = (np.clip(v, -_FAR, _NEAR) for v in (below, above))
        self.robust: Array = self.deviation * _clipped_ratio()(*near, grid=False) * (1 + change)
        self.robust *= _chosen(fourth / second**2 - 3)

    def of(self, values: Array, mean: Array) -> Array:
        """One of the attributes at means of the clipped signal."""
        return np.interp(mean, self.mean, values)


def _lights(alpha: float, variance: float, bounds: Range) -> Array:
    """Denser in the dark, where the deviation is a bent function of the light, and where clipping bends the curves."""
    parts = [bounds.high * np.linspace(0.0, 1.0, 257) ** 2]
    for end in (bounds.low, bounds.high):
        if math.isfinite(end):
            parts.append(end + np.linspace(-_REACH, _REACH, 81) * math.sqrt(variance + alpha * max(end, 0.0)))
    light = np.unique(np.concatenate(parts))
    return np.asarray(light[light >= 0])


def _chosen(excess: Array) -> Array:
    """What choosing quiet windows takes off their details' deviation, by the pixels' excess kurtosis.

    Nothing where the noise is Gaussian, since then details of different bands are independent; otherwise their squares
    share the pixels' excess kurtosis, `cov(d^2, e^2) = excess variance^2 sum(psi^2 phi^2)`.
    """
    excess = np.clip(excess, -1.5, 6)
    count = 2 * WINDOW**2
    shifts = range(-2 * (WINDOW // 2), WINDOW, 2)
    padded = [np.pad(f**2, WINDOW) for f in (WAVELET, SCALING)]
    same, other = (sum(float(padded[0] @ np.roll(f, k)) for k in shifts) for f in padded)
    shared = 2 * same * other / count
    # about half of a pixel's energy is in the two bands, so a window's mean square varies by half of the excess of mean
    activity = np.sqrt(np.maximum((2 + excess / 2) / count, 0.1 / count))
    limit = (TOLERANCE - 1) / activity
    shift = np.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi) / special.ndtr(limit)
    return np.asarray(np.sqrt(1 - excess * shared * shift / activity))


@lru_cache(maxsize=1)
def _clipped_ratio() -> RectBivariateSpline:
    """Median of the absolute details over `MEDIAN` and the deviation, for N(0, 1) clipped below and above.

    Tabulated over the clipping points, both as distances outwards: -3.5 is far away, 1 cuts off 84 %.
    """
    ends = np.linspace(-_FAR, _NEAR, 10)
    table = np.ones((ends.size, ends.size))
    for i, low in enumerate(ends):
        for j, high in enumerate(ends[: i + 1]):
            if low < -high:  # else nothing lies between them
                table[i, j] = table[j, i] = _median(low, -high) / MEDIAN
    return RectBivariateSpline(ends, ends, table)


def _median(low: float, high: float) -> float:
    """Median of the absolute details of pixels clip(N(0, 1), low, high) over those pixels' deviation.

    By the characteristic function of a detail, the product of its pixels': `P(|d| < m) = 2/pi int sin(m t)/t f(t) dt`.
    """
    nodes, weights = np.polynomial.legendre.leggauss(48)
    values = (high - low) / 2 * nodes + (high + low) / 2
    weights = weights * (high - low) / 2 * np.exp(-(values**2) / 2) / math.sqrt(2 * math.pi)
    values, weights = np.append(values, [low, high]), np.append(weights, special.ndtr([low, -high]))
    values = values - weights @ values
    values /= math.sqrt(weights @ values**2)
    taps = np.outer(WAVELET, WAVELET).ravel()
    frequency = np.linspace(0, 40, 401)
    grid = np.linspace(0, frequency[-1] * np.abs(taps).max(), 512)
    one = CubicSpline(grid, np.exp(1j * np.outer(grid, values)) @ weights)
    product = np.ones(frequency.size)
    for tap in taps:
        factor = one(abs(tap) * frequency)
        product = product * (factor if tap > 0 else factor.conj())
    medians = np.linspace(0.2, 0.8, 121)
    integrand = np.sinc(np.outer(medians, frequency) / np.pi) * medians[:, None] * product.real
    below = 2 / np.pi * np.trapezoid(integrand, frequency, axis=1)
    return float(np.interp(0.5, below, medians))
