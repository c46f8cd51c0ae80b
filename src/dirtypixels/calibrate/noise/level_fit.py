"""Poisson-Gaussian noise fitted to level sets by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.detail_response import DetailResponse
from dirtypixels.calibrate.noise.level_sets import LevelSets

Array = npt.NDArray[np.float64]

# Of the middle set's variance: alpha y and sigma^2 are kept at least this, since the clipped model needs noise.
_LEAST = 1e-4
_STEPS = 20
# in standard errors
_NEAR = 0.02


@dataclass(frozen=True)
class LevelFit:
    """Noise fitted to level sets.

    Args:
        alpha: Poisson scale, > 0.
        variance: sigma^2, > 0.
        covariance: (2, 2) of both, from the expected information; chance alone.
        response: of the noise fitted.
        fitted: (S,) what the noise makes of the sets' deviations (of their details' medians).
        standard_error: (S,) of `deviation - fitted`, by chance.
        share: (S,) of what is known, sums to 1.
        chi2: sum of squares of `(deviation - fitted) / standard_error`.
    """

    alpha: float
    variance: float
    covariance: Array
    response: DetailResponse
    fitted: Array
    standard_error: Array
    share: Array
    chi2: float


def fit(sets: LevelSets, bounds: Range, start: tuple[float, float] | None = None, above: float = 1.0) -> LevelFit:
    """Maximize the likelihood of (alpha, sigma^2) given the sets' means m and deviations s.

    ``L = prod_i int N(m_i; mean(y), v_m) N(s_i; f(y), v_s) dy = prod_i N(s_i; f(m_i), v_s + f'(m_i)^2 v_m)``

    to first order in the error of the mean, where f is the clipped model's deviation over its mean, and `v_m`, `v_s`
    follow the model, too. By Fisher scoring.

    Args:
        sets: at least 2.
        bounds: clipping points and step.
        start: (alpha, sigma^2) to start from.
        above: weight of sets above the curve; below 1 for a first guess where structure may have been left over, since
            structure only adds.

    Source: Foi et al. 2008, section III.D (likelihood); Foi 2009 (f under clipping).
    """
    middle = float(np.median(sets.deviation)) ** 2
    scale = np.array([middle / max(float(np.median(sets.mean)), 1e-6), middle])
    values = np.array([0.5, 0.5]) if start is None else np.array(start) / scale
    values = np.maximum(values, _LEAST)
    model = _Model(values * scale, sets, bounds)
    for _ in range(_STEPS):
        slope, wider = model.slopes(scale, sets, bounds)
        residual = sets.deviation - model.fitted
        weight = np.where(residual > 0, above, 1.0) / model.variance
        score = slope.T @ (weight * residual)
        score += wider.T @ ((weight * residual**2 - 1) / model.variance) / 2
        information = _information(slope, wider, weight, model.variance)
        # a value that lies at its least and would go below stays there
        free = (values > _LEAST) | (score > 0)
        step = np.zeros(2)
        step[free] = np.linalg.lstsq(information[np.ix_(free, free)], score[free], rcond=None)[0]
        factor, before = 1.0, model.cost(sets, above)
        while True:
            moved = np.maximum(values + factor * step, _LEAST)
            there = _Model(moved * scale, sets, bounds)
            if there.cost(sets, above) <= before or factor < 1e-2:
                break
            factor /= 2
        change = moved - values
        values, model = moved, there
        if change @ information @ change < _NEAR**2:
            break
    slope, wider = model.slopes(scale, sets, bounds)
    information = _information(slope, wider, 1 / model.variance, model.variance)
    covariance = np.asarray(np.linalg.pinv(information, hermitian=True), dtype=np.float64)
    leverage = np.einsum("si,ij,sj->s", slope, covariance, slope) / model.variance
    return LevelFit(
        float(values[0] * scale[0]),
        float(values[1] * scale[1]),
        covariance * np.outer(scale, scale),
        model.response,
        model.fitted,
        np.sqrt(model.variance),
        leverage / leverage.sum(),
        float(((sets.deviation - model.fitted) ** 2 / model.variance).sum()),
    )


class _Model:
    """Deviations that (alpha, sigma^2) give at the sets' means, and the variance of what is measured about them."""

    def __init__(self, values: Array, sets: LevelSets, bounds: Range) -> None:
        self.values = values
        self.response = response = DetailResponse(float(values[0]), float(values[1]), bounds)
        self.fitted: Array = response.of(response.robust, sets.mean)
        nearby = 1e-2 * self.fitted
        ends = (response.of(response.robust, sets.mean + sign * nearby) for sign in (1, -1))
        by_mean = np.subtract(*ends) / (2 * nearby)
        of_mean = response.of(response.deviation, sets.mean) ** 2 / sets.count
        self.variance: Array = self.fitted**2 * sets.relative_variance + by_mean**2 * of_mean

    def cost(self, sets: LevelSets, above: float) -> float:
        residual = sets.deviation - self.fitted
        weight = np.where(residual > 0, above, 1.0)
        return float((weight * residual**2 / self.variance + np.log(self.variance)).sum() / 2)

    def slopes(self, scale: Array, sets: LevelSets, bounds: Range) -> tuple[Array, Array]:
        """Derivatives (S, 2) of `fitted` and of `variance` by (alpha, sigma^2) in units of `scale`."""
        fitted, variance = [], []
        for k in (0, 1):
            moved = self.values.copy()
            by = 0.01 * max(moved[k], 0.01 * scale[k])
            moved[k] += by
            there = _Model(moved, sets, bounds)
            fitted.append((there.fitted - self.fitted) * (scale[k] / by))
            variance.append((there.variance - self.variance) * (scale[k] / by))
        return np.stack(fitted, axis=1), np.stack(variance, axis=1)


def _information(slope: Array, wider: Array, weight: Array, variance: Array) -> Array:
    return np.asarray((slope * weight[:, None]).T @ slope + (wider * (weight / variance)[:, None]).T @ wider / 2)
