"""Intensity bins of a photograph's smooth parts, and the Poisson-Gaussian noise fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dirtypixels.calibrate.noise.clipping import ClipRange
from dirtypixels.calibrate.noise.wavelet import (
    MEDIAN,
    QUIET,
    WINDOW,
    WINDOW_PIXELS,
    WaveletCoefficients,
    WaveletResponse,
)

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Of a window's pixels; beyond it a coefficient says little of the noise.
MOST_CLIPPED = 0.5
# Relative change of the light in a window that is let pass; compared with the noise's own change.
_SLOPE = 0.15
_FEWEST = 100
_MOST_BINS = 64
_STARTING_BINS = 16
# Relative variance of the median of |N(0, 1)|, times the count: 1.36 of independent values; coefficients of the four
# transforms are correlated, so that each is worth 0.55 of one (as the test of it measures).
_MEDIAN_VARIANCE = 1.36 / 0.55
# Of the middle bin's variance: alpha y and sigma^2 are kept at least this, since the clipped model needs noise.
_LEAST = 1e-4
_STEPS = 20
_NEAR = 0.02  # standard errors


@dataclass(frozen=True)
class IntensityBins:
    """One entry a bin, (S,), in units of the signal.

    Args:
        mean: of the clipped signal.
        std: median of the absolute coefficients over that of N(0, 1).
        relative_variance: of `std`, by chance: the median's, for as many independent coefficients as these are worth.
        low, high: clipped fractions.
        count: coefficients in the bin.
    """

    mean: Array
    std: Array
    relative_variance: Array
    low: Array
    high: Array
    count: npt.NDArray[np.int64]


def smooth(coefficients: WaveletCoefficients, response: WaveletResponse) -> Mask:
    """Where a photograph shows noise alone, if `response` is right.

    The windows' horizontal and vertical coefficients must be quiet, `activity < 1.2 variance`, and their means even;
    what is clipped must be what the noise clips, and at most half.
    """
    variance = response.of(response.std, coefficients.level) ** 2
    even = variance / 4 * (1 + 2 * np.sqrt(2) / WINDOW) + (_SLOPE * np.maximum(coefficients.level, 0)) ** 2
    chosen = (coefficients.activity < QUIET * variance) & (coefficients.spread < even)
    pixels = WINDOW_PIXELS**2
    for found, values in ((coefficients.low, response.low), (coefficients.high, response.high)):
        some = found > 0
        expected = response.of(values, coefficients.level[some])
        chosen[some] &= found[some] <= expected + 3 * np.sqrt((expected * (1 - expected) + 1 / pixels) / pixels)
    return np.asarray(chosen & (coefficients.low + coefficients.high <= MOST_CLIPPED))


def quiet(planes: Sequence[WaveletCoefficients]) -> list[Mask]:
    """The tenth with the least activity among coefficients of like level, or more of a small photograph.

    Where to start while the noise is unknown.
    """
    known = [one.low + one.high <= MOST_CLIPPED for one in planes]
    levels = np.concatenate([one.level[mask] for one, mask in zip(planes, known, strict=True)])
    if not levels.size:
        return known
    share = min(1.0, max(0.1, 10 * _FEWEST / levels.size))
    limits = np.quantile(levels, np.linspace(0, 1, _STARTING_BINS + 1)[1:-1])
    chosen = []
    for one, mask in zip(planes, known, strict=True):
        label = np.searchsorted(limits, one.level)
        members = (one.activity[mask & (label == k)] for k in range(_STARTING_BINS))
        bar = np.array([np.quantile(each, share) if each.size else 0.0 for each in members])
        chosen.append(mask & (one.activity <= bar[label]))
    return chosen


def binned(planes: Sequence[WaveletCoefficients], chosen: Sequence[Mask], response: WaveletResponse) -> IntensityBins:
    """Sort chosen coefficients into bins of like intensity.

    Bins are as wide as is even in the noise's own measure, `int dy / std(y)`; one with fewer than 100 coefficients is
    joined with the next.

    Args:
        planes: coefficients of planes of one color.
        chosen: where to take them from.
        response: of the noise as far as it is known; decides the bins' widths only.

    Raises:
        ValueError: fewer than 2 bins.
    """

    def gathered(name: str) -> Array:
        return np.concatenate([getattr(one, name)[mask] for one, mask in zip(planes, chosen, strict=True)])

    levels = gathered("level")
    edges = _edges(levels, response)
    label = np.searchsorted(edges, levels, side="right")
    count = np.bincount(label)
    mean, low, high = (np.bincount(label, gathered(name)) / count for name in ("mean", "low", "high"))
    std = ndimage.median(np.abs(gathered("diagonal")), label, np.arange(count.size)) / MEDIAN
    return IntensityBins(mean, std, _MEDIAN_VARIANCE / count, low, high, count)


def _edges(levels: Array, response: WaveletResponse) -> Array:
    if levels.size < 2 * _FEWEST:
        raise ValueError(
            f"capture must have smooth parts, worth at least {2 * _FEWEST} wavelet coefficients of noise alone in two "
            f"levels of light; found {levels.size} (a larger photograph, or one out of focus, has more)"
        )
    scale = np.concatenate([[0.0], np.cumsum(np.diff(response.mean) / response.std[1:])])
    ordered = np.sort(np.interp(levels, response.mean, scale))
    limits = np.linspace(ordered[0], ordered[-1], _MOST_BINS + 1)[1:-1]
    kept: list[float] = []
    start = 0
    for limit, end in zip(limits, np.searchsorted(ordered, limits), strict=True):
        if end - start >= _FEWEST and ordered.size - end >= _FEWEST:
            kept.append(float(limit))
            start = end
    return np.asarray(np.interp(kept or [float(np.median(ordered))], scale, response.mean))


@dataclass(frozen=True)
class BinsFit:
    """Noise fitted to intensity bins.

    Args:
        alpha: Poisson scale, > 0.
        variance: sigma^2, > 0.
        covariance: (2, 2) of both, from the expected information; chance alone.
        response: of the noise fitted.
        fitted: (S,) what the noise makes of the bins' `std`.
        standard_error: (S,) of `std - fitted`, by chance.
        share: (S,) of what is known, sums to 1.
        chi2: sum of squares of `(std - fitted) / standard_error`.
    """

    alpha: float
    variance: float
    covariance: Array
    response: WaveletResponse
    fitted: Array
    standard_error: Array
    share: Array
    chi2: float


def fitted_to_bins(
    bins: IntensityBins, bounds: ClipRange, start: tuple[float, float] | None = None, above: float = 1.0
) -> BinsFit:
    """Maximize the likelihood of (alpha, sigma^2) given the bins' means m and standard deviations s.

    ``L = prod_i int N(m_i; mean(y), v_m) N(s_i; f(y), v_s) dy = prod_i N(s_i; f(m_i), v_s + f'(m_i)^2 v_m)``

    to first order in the error of the mean, where f is the clipped model's standard deviation over its mean, and
    `v_m`, `v_s` follow the model, too. By Fisher scoring.

    Args:
        bins: at least 2.
        bounds: clip range.
        start: (alpha, sigma^2) to start from.
        above: weight of bins above the curve; below 1 for a first guess where structure may have been left over, since
            structure only adds.

    Source: Foi et al. 2008, section III.D (likelihood); Foi 2009 (f under clipping).
    """
    middle = float(np.median(bins.std)) ** 2
    scale = np.array([middle / max(float(np.median(bins.mean)), 1e-6), middle])
    values = np.maximum(np.array([0.5, 0.5]) if start is None else np.array(start) / scale, _LEAST)
    model = _Model(values, scale, bins, bounds)
    for _ in range(_STEPS):
        slope, wider = model.slopes()
        weight = np.where(model.residual > 0, above, 1.0) / model.variance
        score = slope.T @ (weight * model.residual)
        score += wider.T @ ((weight * model.residual**2 - 1) / model.variance) / 2
        information = _information(slope, wider, weight, model.variance)
        # a value that lies at its least and would go below stays there
        free = (model.values > _LEAST) | (score > 0)
        step = np.zeros(2)
        step[free] = np.linalg.lstsq(information[np.ix_(free, free)], score[free], rcond=None)[0]
        factor, before, here = 1.0, model.cost(above), model.values
        while True:
            model = _Model(np.maximum(here + factor * step, _LEAST), scale, bins, bounds)
            if model.cost(above) <= before or factor < 1e-2:
                break
            factor /= 2
        change = model.values - here
        if change @ information @ change < _NEAR**2:
            break
    slope, wider = model.slopes()
    information = _information(slope, wider, 1 / model.variance, model.variance)
    covariance = np.asarray(np.linalg.pinv(information, hermitian=True), dtype=np.float64)
    leverage = np.einsum("si,ij,sj->s", slope, covariance, slope) / model.variance
    alpha, variance = (model.values * scale).tolist()
    return BinsFit(
        alpha,
        variance,
        covariance * np.outer(scale, scale),
        model.response,
        model.fitted,
        np.sqrt(model.variance),
        leverage / leverage.sum(),
        float((model.residual**2 / model.variance).sum()),
    )


class _Model:
    """What (alpha, sigma^2) = `values` x `scale` give at the bins' means, and the variance of what is measured."""

    def __init__(self, values: Array, scale: Array, bins: IntensityBins, bounds: ClipRange) -> None:
        self.values, self._rest = values, (scale, bins, bounds)
        self.response = response = WaveletResponse(float(values[0] * scale[0]), float(values[1] * scale[1]), bounds)
        self.fitted: Array = response.of(response.robust_std, bins.mean)
        self.residual: Array = bins.std - self.fitted
        nearby = 1e-2 * self.fitted
        ends = (response.of(response.robust_std, bins.mean + sign * nearby) for sign in (1, -1))
        by_mean = np.subtract(*ends) / (2 * nearby)
        of_mean = response.of(response.std, bins.mean) ** 2 / bins.count
        self.variance: Array = self.fitted**2 * bins.relative_variance + by_mean**2 * of_mean

    def cost(self, above: float) -> float:
        weight = np.where(self.residual > 0, above, 1.0)
        return float((weight * self.residual**2 / self.variance + np.log(self.variance)).sum() / 2)

    def slopes(self) -> tuple[Array, Array]:
        """Derivatives (S, 2) of `fitted` and of `variance` by `values`."""
        by = 0.01 * np.maximum(self.values, 0.01)
        moved = [_Model(self.values + step, *self._rest) for step in np.diag(by)]
        fitted, variance = ([getattr(m, name) for m in moved] for name in ("fitted", "variance"))
        return (np.stack(fitted, 1) - self.fitted[:, None]) / by, (np.stack(variance, 1) - self.variance[:, None]) / by


def _information(slope: Array, wider: Array, weight: Array, variance: Array) -> Array:
    return np.asarray((slope * weight[:, None]).T @ slope + (wider * (weight / variance)[:, None]).T @ wider / 2)
