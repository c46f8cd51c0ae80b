"""A photograph's finest wavelet coefficients, what surrounds each, and what noise makes of their median."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.special import ndtr, ndtri

from dirtypixels.calibrate.noise.clipping import ClipRange, clipped_moments, unclipped_moments

Array = npt.NDArray[np.float64]

#: Daubechies' scaling filter with three vanishing moments, norm 1 (Daubechies 1992, table 6.1).
SCALING: Array = np.array(
    [
        0.3326705529509569,
        0.8068915093133388,
        0.4598775021193313,
        -0.1350110200103909,
        -0.0854412738822415,
        0.0352262918821007,
    ]
)
WAVELET: Array = SCALING[::-1] * (-1.0) ** np.arange(SCALING.size)
#: Side, in coefficients of one transform, of the window that says what surrounds a coefficient.
WINDOW = 5
#: Side of the window in pixels: `WINDOW` coefficients two pixels apart, each as wide as the filter.
WINDOW_PIXELS = 2 * (WINDOW - 1) + WAVELET.size
#: A window is quiet where its activity is below this many times the noise's variance: one standard deviation of the
#: mean of 2 x 25 squares above it.
QUIET = 1 + WINDOW**-1.0
#: What the first-order transform and the window need, in pixels.
SMALLEST = 32
#: median of |N(0, 1)|
MEDIAN = float(ndtri(0.75))

# Clipping points beyond these, in standard deviations from the light, are tabulated as these.
_NEAR, _FAR = 1.0, 3.5
# Standard deviations from an end beyond which clipping changes nothing.
_REACH = 6.0


@dataclass(frozen=True)
class WaveletCoefficients:
    """One entry a coefficient, on the pixel grid: the four shifted orthonormal transforms interleaved, (h, w) each.

    Args:
        diagonal: of the finest scale; its standard deviation is that of the pixels, and polynomials of degree 2 along
            rows or columns give 0.
        level: average of the pixels in half of the window's places (as on a chessboard), weighted as their variances
            are in the coefficients', so that a slope does no harm.
        mean: the same over the other half. Sorting by `level` picks up its noise; `mean` shares a quarter of that.
        activity: mean square of the horizontal and vertical coefficients in the window; the pixels' variance where
            there is noise alone. It shares no coefficient with `diagonal`, which choosing by it leaves as it is.
        spread: variance over the window of the scaling coefficients over 2; a quarter of the pixels' variance where
            there is noise alone.
        low, high: fractions of the pixels around the window that are clipped.
    """

    diagonal: Array
    level: Array
    mean: Array
    activity: Array
    spread: Array
    low: Array
    high: Array


def wavelet_coefficients(plane: Array, low: float, high: float) -> WaveletCoefficients:
    """Take a plane apart.

    Args:
        plane: (H, W) signal, at least `SMALLEST` each way.
        low: signal at or below which a pixel counts as clipped.
        high: signal at or above which a pixel counts as clipped.

    Returns:
        (H - 21, W - 21) coefficients or one less, those whose windows lie inside of the plane.

    Source: Foi et al. 2008, section III.A, with one transform; all four shifts, as in cycle spinning (Coifman and
    Donoho 1995).
    """
    scaling = _filtered(plane, SCALING, SCALING) / 2
    edges = (_filtered(plane, SCALING, WAVELET) ** 2 + _filtered(plane, WAVELET, SCALING) ** 2) / 2
    level, mean = _halves(_filtered(plane, WAVELET**2, WAVELET**2))
    clipped = [ndimage.uniform_filter(c.astype(np.float64), WINDOW_PIXELS) for c in (plane <= low, plane >= high)]
    corner = SCALING.size // 2
    spread = np.maximum(_windowed(scaling**2) - _windowed(scaling) ** 2, 0.0)
    fractions = (c[corner:, corner:][: mean.shape[0], : mean.shape[1]] for c in clipped)
    parts = (_filtered(plane, WAVELET, WAVELET), level, mean, _windowed(edges), spread, *fractions)
    inside = slice(WINDOW - 1, 1 - WINDOW)
    return WaveletCoefficients(*(np.ascontiguousarray(part[inside, inside]) for part in parts))


def _filtered(plane: Array, rows: Array, columns: Array) -> Array:
    """Correlation with a separable filter where it fits into the plane; entry (0, 0) starts at pixel (0, 0)."""
    found = ndimage.correlate1d(ndimage.correlate1d(plane, rows, axis=0), columns, axis=1)
    before, after = SCALING.size // 2, SCALING.size - SCALING.size // 2 - 1
    return np.asarray(found[before : plane.shape[0] - after, before : plane.shape[1] - after])


def _halves(values: Array) -> tuple[Array, Array]:
    """Means over the places of either color of a chessboard in the window."""
    rows, columns = (np.arange(size) // 2 for size in values.shape)
    color = (rows[:, None] + columns) % 2
    first, second = ((color == k).astype(np.float64) for k in (0, 1))
    return _windowed(values * first) / _windowed(first), _windowed(values * second) / _windowed(second)


def _windowed(values: Array) -> Array:
    """Mean over the window, in each of the four shifted transforms by itself."""
    found = np.empty_like(values)
    for row in (0, 1):
        for column in (0, 1):
            found[row::2, column::2] = ndimage.uniform_filter(values[row::2, column::2], WINDOW)
    return found


class WaveletResponse:
    """Standard deviation of the pixels, and median of their coefficients, over the mean of the clipped signal.

    Args:
        alpha: Poisson scale, >= 0.
        variance: sigma^2 of the Gaussian part, > 0.
        bounds: clip range; rounding adds step^2/12 (Sheppard), as it does from half a step of noise on.

    Attributes:
        light: (N,) mean before clipping, >= 0, increasing; the others are (N,) too.
        mean, std: of the clipped signal.
        robust_std: median of the absolute diagonal coefficients over that of N(0, 1), of coefficients chosen by their
            windows' activity.
        low, high: clipped fractions.
    """

    def __init__(self, alpha: float, variance: float, bounds: ClipRange) -> None:
        variance, bounds = variance + bounds.step**2 / 12, bounds._replace(step=0.0)
        self.light: Array = _lights(alpha, variance, bounds)
        spread = np.sqrt(alpha * self.light + variance)
        moments = unclipped_moments(self.light, alpha, variance)
        clipped = np.minimum(self.light - bounds.low, bounds.high - self.light) < _REACH * spread
        if clipped.any():
            moments[:, clipped] = clipped_moments(self.light[clipped], alpha, variance, bounds)
        mean, second, _, fourth = np.maximum(moments, 1e-30)
        self.mean: Array = np.maximum.accumulate(mean)
        self.std: Array = np.sqrt(second)
        below, above = (bounds.low - self.light) / spread, (self.light - bounds.high) / spread
        self.low, self.high = ndtr(below), ndtr(above)
        near = (np.clip(v, -_FAR, _NEAR) for v in (below, above))
        self.robust_std: Array = self.std * _clipped_ratio()(*near, grid=False) * _chosen(fourth / second**2 - 3)

    def of(self, values: Array, mean: Array) -> Array:
        """One of the attributes at means of the clipped signal."""
        return np.interp(mean, self.mean, values)


def _lights(alpha: float, variance: float, bounds: ClipRange) -> Array:
    """Denser in the dark, where the standard deviation is bent over the light, and where clipping bends it."""
    parts = [bounds.high * np.linspace(0.0, 1.0, 257) ** 2]
    for end in (bounds.low, bounds.high):
        if math.isfinite(end):
            parts.append(end + np.linspace(-_REACH, _REACH, 81) * math.sqrt(variance + alpha * max(end, 0.0)))
    light = np.unique(np.concatenate(parts))
    return np.asarray(light[light >= 0])


def _chosen(excess: Array) -> Array:
    """What choosing quiet windows takes off their coefficients' standard deviation, by the pixels' excess kurtosis.

    Nothing where the noise is Gaussian, since then coefficients of different bands are independent; otherwise their
    squares share the pixels' excess kurtosis, `cov(d^2, e^2) = excess variance^2 sum(psi^2 phi^2)`.
    """
    excess = np.clip(excess, -1.5, 6)
    count = 2 * WINDOW**2
    shifts = range(-2 * (WINDOW // 2), WINDOW, 2)
    padded = [np.pad(f**2, WINDOW) for f in (WAVELET, SCALING)]
    same, other = (sum(float(padded[0] @ np.roll(f, k)) for k in shifts) for f in padded)
    shared = 2 * same * other / count
    # about half of a pixel's energy is in the two bands, so a window's mean square varies by half of the excess of mean
    activity = np.sqrt(np.maximum((2 + excess / 2) / count, 0.1 / count))
    limit = (QUIET - 1) / activity
    shift = np.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi) / ndtr(limit)
    return np.asarray(np.sqrt(1 - excess * shared * shift / activity))


@lru_cache(maxsize=1)
def _clipped_ratio() -> RectBivariateSpline:
    """Median of the absolute coefficients over `MEDIAN` and the standard deviation, for N(0, 1) clipped at both ends.

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
    """Median of the absolute coefficients of pixels clip(N(0, 1), low, high) over those pixels' standard deviation.

    By the characteristic function of a coefficient, the product of its pixels':
    `P(|d| < m) = 2/pi int sin(m t)/t f(t) dt`.
    """
    nodes, weights = np.polynomial.legendre.leggauss(48)
    values = (high - low) / 2 * nodes + (high + low) / 2
    weights = weights * (high - low) / 2 * np.exp(-(values**2) / 2) / math.sqrt(2 * math.pi)
    values, weights = np.append(values, [low, high]), np.append(weights, ndtr([low, -high]))
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
