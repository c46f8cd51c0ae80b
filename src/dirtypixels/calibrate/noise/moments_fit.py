"""alpha and sigma^2 from the means and variances of groups of pixels, by the generalized method of moments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.noise.clipping import ClipRange, Response, some_variance
from dirtypixels.calibrate.noise.groups import Groups, Mask

Array = npt.NDArray[np.float64]

_UNKNOWABLE = 0.95  # where more than this is clipped, the rest says too little to be weighed by its own mean
_NEAR = 6.5  # standard deviations from a clipping point within which clipping is reckoned with
_COARSE = 0.9  # steps to the standard deviation below which rounding is
_FEW_PHOTONS = 1.5  # photons' steps to sigma below which single photons stand out
_FULL_STEPS = 6
_STEPS = 40
_SMALL = 3e-3  # standard errors: a step that ends the iteration
_AT_KINK = 0.03  # and one that is damped because it goes to and fro about a kink
_RISE = 1e-2  # relative step of theta for derivatives

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_NEWTON_STEPS = 25
_CLOSE = 1e-6  # of a standard deviation: a Newton step later the error is far below the tables'


@dataclass(frozen=True)
class _State:
    """What one theta makes of every group; (G,), NaN where a group says nothing (clipped all through).

    Args:
        theta: (2,) alpha and sigma^2, unconstrained.
        level, spread: mean and variance of the pixels' levels before clipping, which are taken as normal; a spread
            below 0, as the measured one may be by chance, goes on linearly.
        expected: temporal variance of a clipped sample, mean over the levels.
        variance: of ``temporal - expected`` by chance.
        by_mean, by_spatial: derivatives of `expected` by the measured mean and spatial variance.
    """

    theta: Array
    level: Array
    spread: Array
    expected: Array
    variance: Array
    by_mean: Array
    by_spatial: Array

    @property
    def known(self) -> Mask:
        return np.asarray(np.isfinite(self.expected) & (self.variance > 0))


@dataclass(frozen=True)
class MomentsFit(_State):
    """What the fitted theta makes of every group.

    Args:
        covariance: (2, 2) of theta, from the pixels' own scatter, and no less than the model expects.
        converged: whether the equations were solved.
    """

    covariance: Array
    converged: bool


def fitted_to_moments(groups: Groups, bounds: ClipRange, start: Array) -> MomentsFit:
    """Solve ``sum_g (s_g^2 - v_g(theta)) / var_g(theta) dv_g/dtheta = 0``.

    v_g is the temporal variance that theta gives a group of its measured mean and spatial variance, var_g the variance
    of the difference, by the model's moments up to the fourth. Weights from the measured variances would favor groups
    that came out low.

    Args:
        groups: at least 2 that are not clipped all through.
        bounds: clip range.
        start: (2,) where to start, alpha > 0 and sigma^2 >= 0.

    Source: generalized method of moments (Hansen 1982), with clipped moments as in Foi et al. 2008, sec. IV.
    """
    near = _near_an_edge(groups, bounds, start)
    here = _state(groups, bounds, start, near)
    converged, damping, last = False, 1.0, np.zeros(2)
    for count in range(_STEPS):
        known, weighted, information = _equations(groups, bounds, near, here)
        step = _solved(information, weighted.T @ (groups.temporal - here.expected)[known])
        size = math.sqrt(max(float(step @ information @ step), 0.0))
        # Where no light ends and light begins the response has a kink; steps may go to and fro about it for ever.
        if count == _FULL_STEPS or (count > _FULL_STEPS and step @ information @ last < 0):
            damping /= 2
        factor, before, last = damping, _misfit(groups, here, here), step
        while True:
            there = _state(groups, bounds, here.theta + factor * step, near, here)
            if factor < 1e-3 or _misfit(groups, there, here) <= 1.1 * before + 1:
                break
            factor /= 2
        here = there
        if size < _SMALL or (damping < 0.5 and damping * size < _AT_KINK):
            converged = True
            break
    covariance = _sandwich(groups, here, *_equations(groups, bounds, near, here))
    return MomentsFit(**vars(here), covariance=covariance, converged=converged)


def _near_an_edge(groups: Groups, bounds: ClipRange, theta: Array) -> Mask:
    """Groups for which clipping or coarse rounding matters; of the rest the variance is a straight line."""
    std = np.sqrt(np.maximum(groups.temporal, theta[0] * np.maximum(groups.mean, 0.0) + theta[1]))
    reach = _NEAR * np.sqrt(std**2 + np.maximum(groups.spatial, 0.0))
    near = groups.at_edge | (groups.mean - bounds.low < reach) | (bounds.high - groups.mean < reach)
    return np.asarray(near | (np.sqrt(groups.temporal) < _COARSE * bounds.step))


def _state(groups: Groups, bounds: ClipRange, theta: Array, near: Mask, guess: _State | None = None) -> _State:
    """`theta` made of every group; the solution goes on from a guess.

    Near white, the spread of a group's levels is one of light, which brings its own Poisson noise; on the dark side of
    the range it is one of the pixels' offsets, which do not. Where single photons stand out of the Gaussian noise, the
    moments bend too sharply at no light for that, and dark groups are taken as of one level.
    """
    alpha, rest = float(theta[0]), float(theta[1]) + bounds.step**2 / 12
    n, frames, mean = groups.pixels, groups.frames, groups.mean
    expected = alpha * mean + rest
    noise = np.maximum(expected, 0.05 * groups.temporal)
    state = _State(
        theta=theta,
        level=mean.copy(),
        spread=groups.spatial.copy(),
        expected=expected,
        variance=2 * noise**2 / (n * (frames - 1)) + alpha**2 * max(rest, 0.0) / (n * frames),
        by_mean=np.full_like(mean, alpha),
        by_spatial=np.zeros_like(mean),
    )
    if not near.any():
        return state
    alpha = max(alpha, 0.0)
    response = Response(alpha, some_variance(alpha, float(theta[1]), bounds.step), bounds)
    dark = mean[near] < (max(bounds.low, -1.0) + bounds.high) / 2
    even = dark & (response.variance < (_FEW_PHOTONS * response.alpha) ** 2)
    spatial = np.where(even, 0.0, groups.spatial[near])
    start = _first_guess(response, mean[near], spatial) if guess is None else (guess.level[near], guess.spread[near])
    level, spread, mixed, found = _levels(response, mean[near], spatial, dark, *start)
    jacobian, slope = mixed[1:, :2], mixed[1:, 2]
    determinant = _determinant(jacobian)
    found &= (np.abs(determinant) > 1e-9) & (groups.clipped[near] <= _UNKNOWABLE)
    by_mean, by_spatial = _cramer(jacobian.transpose(1, 0, 2), slope, np.where(found, determinant, 1.0))
    by_spatial = np.where(even, 0.0, by_spatial)
    chance = _chance(response, level, spread, by_mean, by_spatial, frames) / n[near]
    state.level[near], state.spread[near] = level, spread
    state.by_mean[near], state.by_spatial[near] = by_mean, by_spatial
    state.expected[near] = np.where(found, mixed[0, 2], np.nan)
    state.variance[near] = np.where(found, chance, np.nan)
    return state


def _levels(
    response: Response, mean: Array, spatial: Array, offsets: Mask, level: Array, spread: Array
) -> tuple[Array, Array, Array, Mask]:
    """Solve ``E_z[M(z)] = mean, Var_z[M(z)] = spatial`` for ``z ~ N(level, spread)``, M the clipped mean, by Newton.

    From a level and spread to start with, to those, `_mixed` there, and (G,) whether there are such.
    """
    noise = response.alpha * np.clip(level, 0, None) + response.variance
    unsolved = True
    for count in range(_NEWTON_STEPS + 1):
        mixed = _mixed(response, level, spread, offsets)
        off = np.stack([mean, spatial]) - mixed[0, :2]
        reach = np.sqrt(noise + np.maximum(spread, 0))
        if count == _NEWTON_STEPS or not unsolved:
            break
        unsolved = bool((np.abs(off) > _CLOSE * np.stack([reach, reach**2])).any())
        determinant = _determinant(mixed[1:, :2])
        determinant = np.where(np.abs(determinant) > 1e-12, determinant, 1e-12)
        move, widen = _cramer(mixed[1:, :2], off, determinant)
        level = np.clip(level + np.clip(move, -reach, reach), response.lowest, response.highest)
        spread = np.clip(spread + np.clip(widen, -(reach**2), reach**2), -noise, None)
    found = np.asarray((np.abs(off) < 1e-4 * np.stack([reach, reach**2])).all(0))
    return level, spread, mixed, found


def _determinant(by: Array) -> Array:
    return np.asarray(by[0, 0] * by[1, 1] - by[0, 1] * by[1, 0])


def _cramer(by: Array, right: Array, determinant: Array) -> tuple[Array, Array]:
    """x, y (G,) of ``by[0] x + by[1] y = right``, each of two rows (2, G)."""
    x = (by[1, 1] * right[0] - by[1, 0] * right[1]) / determinant
    return x, (by[0, 0] * right[1] - by[0, 1] * right[0]) / determinant


def _first_guess(response: Response, mean: Array, spatial: Array) -> tuple[Array, Array]:
    """Level from the mean without spread, on a fine grid; spread from the slope there."""
    grid = np.linspace(max(response.lowest, float(mean.min()) - 1.0), response.highest, 4001)
    level = np.interp(mean, np.maximum.accumulate(response(grid)[0]), grid)
    return level, np.maximum(spatial, 0.0) / np.maximum(response(level, 1)[0], 0.1) ** 2


def _mixed(response: Response, level: Array, spread: Array, offsets: Mask) -> Array:
    """Clipped mean, variance of the clipped means, and temporal variance over levels N(level, spread); (3, 3, G): the
    figures, their derivatives by the level, and by the spread."""
    away = np.sqrt(np.abs(spread))[:, None] * _NODES
    f0, f1, f2 = (response(level[:, None] + away, order) for order in (0, 1, 2))
    (here, here_var), (here1, here_var1) = (response(level, order)[:2] for order in (0, 1))
    # An offset o leaves the Poisson noise as it is: f(z) at a variance lower by alpha o.
    less = np.where(offsets, response.alpha, 0.0)[:, None]
    mean, var = f0[:2] - less * away * f0[4:]
    mean1, var1 = f1[:2] - less * away * f1[4:]
    mean_away = f1[0] - less * (f0[4] + away * f1[4])
    mean2, var2 = f2[:2] - less * (2 * f1[4:] + away * f2[4:])
    average = mean @ _WEIGHTS
    off = mean - average[:, None]
    # d/dspread E f(z) = E f''(z) / 2 for a normal z; below 0 it goes on as 2 f(level) - E f at |spread|.
    sign = np.where(spread < 0, -1.0, 1.0)
    keep = 1 - sign
    return np.array(
        [
            [keep * here + sign * average, sign * (off**2 @ _WEIGHTS), keep * here_var + sign * (var @ _WEIGHTS)],
            [
                keep * here1 + sign * (mean1 @ _WEIGHTS),
                sign * 2 * ((off * mean1) @ _WEIGHTS),
                keep * here_var1 + sign * (var1 @ _WEIGHTS),
            ],
            [mean2 @ _WEIGHTS / 2, (mean_away**2 + off * mean2) @ _WEIGHTS, var2 @ _WEIGHTS / 2],
        ]
    )


def _chance(response: Response, level: Array, spread: Array, by_mean: Array, by_spatial: Array, frames: int) -> Array:
    """Variance (G,) of what one pixel adds to ``temporal - expected``: ``t - by_mean e - by_spatial (e^2 - t / F)``.

    t is the variance of a pixel over the F frames, e the deviation of its mean over them from the group's.
    """
    z = level[:, None] + np.sqrt(np.maximum(spread, 0.0))[:, None] * _NODES
    mean, var, third, fourth = response(z)[:4]
    off = mean - (mean @ _WEIGHTS)[:, None]
    f, by_square = frames, by_spatial[:, None]
    by_temporal, by_error = 1 + by_square / f, by_mean[:, None] + 2 * by_square * off
    given_level = (
        by_temporal**2 * (fourth - var**2 * (f - 3) / (f - 1)) / f
        + by_error**2 * var / f
        + by_square**2 * ((fourth + 3 * (f - 1) * var**2) / f**3 - (var / f) ** 2)
        - 2 * by_temporal * by_error * third / f
        - 2 * by_temporal * by_square * (fourth - 3 * var**2) / f**2
        + 2 * by_error * by_square * third / f**2
    )
    over_levels = var - by_mean[:, None] * off - by_square * off**2
    over_levels = over_levels - (over_levels @ _WEIGHTS)[:, None]
    return np.asarray((given_level + over_levels**2) @ _WEIGHTS)


def _equations(groups: Groups, bounds: ClipRange, near: Mask, here: _State) -> tuple[Mask, Array, Array]:
    """Which groups say something, their weighted derivatives (K, 2) of the expected variance by theta, and the
    information matrix."""
    slope = np.stack([groups.mean, np.ones_like(groups.mean)], axis=1)
    if near.any():
        least = float(groups.temporal.min(where=groups.temporal > 0, initial=1.0))
        for i, by in enumerate((_RISE * abs(here.theta[0]), max(_RISE * abs(here.theta[1]), _RISE / 10 * least))):
            moved = here.theta.copy()
            moved[i] += max(by, 1e-14)
            there = _state(groups, bounds, moved, near, here)
            slope[near, i] = ((there.expected - here.expected) / (moved[i] - here.theta[i]))[near]
    known = here.known & np.isfinite(slope).all(1)
    weighted = slope[known] / here.variance[known, None]
    return known, weighted, weighted.T @ slope[known]


def _misfit(groups: Groups, there: _State, weights: _State) -> float:
    """Sum of squares at a theta with the weights of another; a group that cannot be solved there counts as far off."""
    lost = weights.known & ~np.isfinite(there.expected)
    known = weights.known & ~lost
    off = (groups.temporal - there.expected)[known]
    return float((off**2 / weights.variance[known]).sum()) + 1e3 * float(lost.sum())


def _sandwich(groups: Groups, here: _State, known: Mask, weighted: Array, information: Array) -> Array:
    """Covariance of theta from the scatter of what each pixel adds to the equations.

    That sees what the model does not know of, but is itself uncertain where few patches decide, and then intervals that
    happen to come out short miss the truth more often. So no standard error is below that of the model.
    """
    # Levels that are all alike leave nothing to solve for; what comes out is told by its intervals.
    with np.errstate(over="ignore", invalid="ignore"):
        bread = _solved(information, np.eye(2))
        meat = weighted.T @ (weighted * _scatter(groups, here)[known, None])
        found = bread @ meat @ bread.T
    wider = np.sqrt(np.maximum(np.diag(bread) / np.maximum(np.diag(found), 1e-300), 1.0))
    return np.asarray(found * np.outer(wider, wider))


def _scatter(groups: Groups, here: _State) -> Array:
    """Variance of ``temporal - expected`` from the scatter of the pixels within each group."""
    labels = groups.labels.reshape(-1)
    kept = labels >= 0
    g = labels[kept]
    mean, temporal = groups.pixel_mean.reshape(-1)[kept], groups.pixel_temporal.reshape(-1)[kept]
    off = mean - groups.mean[g]
    influence = temporal - here.by_mean[g] * off - here.by_spatial[g] * (off**2 - temporal / groups.frames)
    n = groups.pixels
    center = np.bincount(g, influence, minlength=n.size) / n
    return np.bincount(g, (influence - center[g]) ** 2, minlength=n.size) / (n * np.maximum(n - 1, 1))


def _solved(matrix: Array, right: Array) -> Array:
    """Solve, with the two unknowns brought to one scale first: they differ by many orders of magnitude."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = matrix * np.outer(scale, scale) + 1e-14 * np.eye(2)
    return np.asarray((np.linalg.solve(scaled, (right.T * scale).T).T * scale).T)
