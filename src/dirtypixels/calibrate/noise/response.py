"""Moments of the clipped signal over its level, as smooth functions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from dirtypixels.calibrate.noise.clipped import Range, clipped_moments, unclipped_moments

Array = npt.NDArray[np.float64]

_MORE = 1.02  # by this factor sigma^2 is raised for the derivatives by it
_OFFSET = 0.3  # standard deviations that an offset is moved by for its slopes
_FEW = 1.5  # photons' steps to the Gaussian deviation below which they stand out
_MARGIN = 7.0  # standard deviations from the clipping points beyond which clipping is taken as absent


class Response:
    """`clipped_moments` over the level at one noise level, as smooth functions for a fit.

    Cubic splines near the clipping points and where rounding is coarse, the unclipped formulas between.

    Args:
        alpha, variance, bounds: as in `clipped_moments`.
    """

    def __init__(self, alpha: float, variance: float, bounds: Range) -> None:
        self.alpha, self.variance, self.bounds = alpha, variance, bounds
        self._moved: tuple[float, Response, Response] | None = None
        self._pieces: list[tuple[float, float, CubicSpline]] = []
        for low, high, grid in self._grids():
            here, more = (np.stack(clipped_moments(grid, alpha, v, bounds)) for v in (variance, _MORE * variance))
            by_variance = (more[:2] - here[:2]) / ((_MORE - 1) * variance)
            self._pieces.append((low, high, CubicSpline(grid, np.concatenate([here, by_variance]).T)))

    def __call__(self, level: Array, derivative: int = 0) -> Array:
        """Moments, or their first or second derivative by the level, at levels of any shape, constant beyond the
        outermost: mean, variance, third and fourth moment, and what sigma^2 adds to mean and variance; (6, ...)."""
        a, step = self.alpha, self.bounds.step
        zero, one = np.zeros_like(level), np.ones_like(level)
        if derivative == 0:
            result = np.stack([*unclipped_moments(level, a, self.variance, step), zero, one])
        elif derivative == 1:
            total = a * level + self.variance + step**2 / 12
            result = np.stack([one, a * one, a**2 * one, 6 * a * total + a**3, zero, zero])
        else:
            result = np.stack([zero, zero, zero, 6 * a**2 * one, zero, zero])
        if self._pieces:
            inside = np.clip(level, self.lowest, self.highest)
            for start, end, spline in self._pieces:
                within = (inside >= start) & (inside <= end)
                if within.any():
                    result[:, within] = spline(inside[within], derivative).T
            if derivative:
                result[:, inside != level] = 0.0
        return result

    def offset(self, level: Array, derivative: int = 0) -> tuple[Array, Array, Array]:
        """Mean and variance (2, ...), and their first and second slope over an offset, which leaves the Poisson noise
        as it is: ``f(level, o) = f(level; low - o, high - o) + o``. Derivatives by the level as of a call."""
        if self._moved is None:
            by, (low, high, step) = _OFFSET * math.sqrt(self.variance), self.bounds
            up, down = (Response(self.alpha, self.variance, Range(low - o, high - o, step)) for o in (by, -by))
            self._moved = by, up, down
        by, up, down = self._moved
        here, above, below = (response(level, derivative)[:2] for response in (self, up, down))
        if derivative == 0:
            above[0] += by
            below[0] -= by
        return here, (above - below) / (2 * by), (above - 2 * here + below) / by**2

    @property
    def few_photons(self) -> bool:
        """Whether single photons stand out of the Gaussian noise next to a clipping point: the moments bend sharply at
        no light."""
        return math.isfinite(self.bounds.low) and self.variance < (_FEW * self.alpha) ** 2

    @property
    def lowest(self) -> float:
        """The lowest level that differs from all lower ones."""
        start = self._pieces[0][0]
        return start if math.isfinite(self.bounds.low) else -math.inf

    @property
    def highest(self) -> float:
        """The highest level that differs from all higher ones."""
        return self._pieces[-1][1]

    def _spread(self, level: float) -> float:
        return math.sqrt(self.alpha * max(level, 0.0) + self.variance)

    def _grids(self) -> list[tuple[float, float, Array]]:
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
        if step and self.variance < (0.9 * step) ** 2:
            coarse = min(((0.9 * step) ** 2 - self.variance) / self.alpha, high) if self.alpha else high
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
