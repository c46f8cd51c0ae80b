"""alpha and sigma^2 from the means and variances of groups of pixels, by generalized least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.groups import Groups, Mask
from dirtypixels.calibrate.noise.response import Response
from dirtypixels.calibrate.noise.spread import Spread, covariance, drifting_variance, inverted, shape_variance

Array = npt.NDArray[np.float64]

_UNKNOWABLE = 0.95  # where more than this is clipped, the rest says too little to be weighed by its own mean
_CLOSE = 6.5  # standard deviations from a clipping point within which clipping is reckoned with
_COARSE = 0.9  # steps to the standard deviation below which rounding is
_STEADY = 0.002  # of the noise's variance: less drift does not change what clipping makes of it
_FULL_STEPS = 6
_STEPS = 40
_SMALL = 3e-3  # standard errors: a step that ends the iteration
_AT_KINK = 0.03  # and one that is damped because it goes to and fro about a kink
_RISE = 1e-2  # relative step of theta for derivatives


@dataclass(frozen=True)
class Fit:
    """A fitted noise level; arrays over groups are (G,), NaN where a group says nothing (clipped all through).

    Args:
        theta: (2,) alpha and sigma^2, unconstrained.
        covariance: (2, 2) of theta, from the pixels' own scatter, and no less than the model expects.
        level: mean before clipping.
        expected: temporal variance that theta gives, clipped and rounded.
        variance: of ``temporal - expected`` by chance at this theta.
        slope: (G, 2) derivative of `expected` by theta, the levels following.
        converged: whether the equations were solved.
    """

    theta: Array
    covariance: Array
    level: Array
    expected: Array
    variance: Array
    slope: Array
    converged: bool


@dataclass(frozen=True)
class _State:
    """What one theta makes of every group; (G,).

    `by_mean` and `by_spatial`: how `expected` follows what was measured; `bent`: what the drift of the light adds to
    `expected`, part of it already.
    """

    theta: Array
    level: Array
    spread: Array
    expected: Array
    variance: Array
    by_mean: Array
    by_spatial: Array
    bent: Array

    @property
    def known(self) -> Mask:
        return np.asarray(np.isfinite(self.expected) & (self.variance > 0))


def fitted(groups: Groups, bounds: Range, start: Array) -> Fit:
    """Solve ``sum_g (s_g^2 - v_g(theta)) / var_g(theta) dv_g/dtheta = 0``.

    v_g is the temporal variance that theta gives a group of its measured mean and spatial variance, var_g the variance
    of the difference, by the model's moments up to the fourth. Weights from the measured variances would favor groups
    that came out low.

    Args:
        groups: at least 2 that are not clipped all through.
        bounds: clipping and rounding.
        start: (2,) where to start, alpha > 0 and sigma^2 >= 0.

    Source: generalized method of moments (Hansen 1982), with clipped moments as in Foi et al. 2008, sec. IV.
    """
    near = _near_an_edge(groups, bounds, start)
    here = _state(groups, bounds, start, near)
    converged, damping, last = False, 1.0, np.zeros(2)
    for count in range(_STEPS):
        slope = _slope(groups, bounds, near, here)
        information, score = _equations(groups, here, slope)
        step = _solved(information, score)
        size = math.sqrt(max(float(step @ information @ step), 0.0))
        # Where offsets end and light begins the response has a kink; steps may go to and fro about it for ever.
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
    slope = _slope(groups, bounds, near, here)
    return Fit(here.theta, _sandwich(groups, here, slope), here.level, here.expected, here.variance, slope, converged)


def _near_an_edge(groups: Groups, bounds: Range, theta: Array) -> Mask:
    """Groups for which clipping or coarse rounding matters; of the rest the variance is a straight line."""
    deviation = np.sqrt(np.maximum(groups.temporal, theta[0] * np.maximum(groups.mean, 0.0) + theta[1]))
    reach = _CLOSE * np.sqrt(deviation**2 + np.maximum(groups.spatial, 0.0))
    near = groups.at_edge | (groups.mean - bounds.low < reach) | (bounds.high - groups.mean < reach)
    return np.asarray(near | (np.sqrt(groups.temporal) < _COARSE * bounds.step))


def _state(
    groups: Groups, bounds: Range, theta: Array, near: Mask, guess: _State | None = None, *, bend: bool = True
) -> _State:
    """`theta` made of every group; the solution goes on from a guess, whose `bent` is kept where `bend` is off."""
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
        bent=np.zeros_like(mean),
    )
    if not near.any():
        return state
    response = _response(theta, bounds)
    measured = mean[near], groups.spatial[near]
    solved = inverted(response, *measured, None if guess is None else (guess.level[near], guess.spread[near]))
    usable = solved.found & (groups.clipped[near] <= _UNKNOWABLE)
    chance = covariance(response, solved, frames) / n[near, None, None]
    influence = np.stack([-solved.by_mean, np.ones_like(solved.by_mean), -solved.by_spatial], axis=1)
    if bend:
        state.bent[near] = _of_drift(response, solved, groups, near)
    elif guess is not None:
        state.bent[:] = guess.bent
    state.level[near], state.spread[near] = solved.level, solved.spread
    state.by_mean[near], state.by_spatial[near] = solved.by_mean, solved.by_spatial
    state.expected[near] = np.where(usable, solved.variance + state.bent[near], np.nan)
    error = np.einsum("gi,gij,gj->g", influence, chance, influence) + shape_variance(response, solved)
    state.variance[near] = np.where(usable, error, np.nan)
    return state


def _of_drift(response: Response, solved: Spread, groups: Groups, near: Mask) -> Array:
    """What light that differs between the frames adds to the clipped variance, (G,); 0 where it is steady."""
    means, steady = groups.drifted[:, near], _STEADY * groups.temporal[near]
    moves = solved.found & groups.at_edge[near] & (means.var(0) > steady)
    result = np.zeros(len(moves))
    if moves.any():
        moving = Spread(*(getattr(solved, field.name)[moves] for field in fields(Spread)))
        drifting = drifting_variance(response, moving, means[:, moves], groups.spatial[near][moves])
        result[moves] = drifting - moving.variance
    return result


def _response(theta: Array, bounds: Range) -> Response:
    alpha = max(float(theta[0]), 0.0)
    return Response(alpha, some_variance(alpha, float(theta[1])), bounds)


def some_variance(alpha: float, variance: float) -> float:
    """sigma^2, or the least that the clipped model can be computed with: it needs some Gaussian noise."""
    return max(variance, 1e-6 * alpha**2, 1e-14)


def _slope(groups: Groups, bounds: Range, near: Mask, here: _State) -> Array:
    """(G, 2) derivative of the expected variance by theta."""
    slope = np.stack([groups.mean, np.ones_like(groups.mean)], axis=1)
    if near.any():
        positive = groups.temporal[groups.temporal > 0]
        least = float(positive.min()) if positive.size else 1e-12
        for i, by in enumerate((_RISE * abs(here.theta[0]), max(_RISE * abs(here.theta[1]), _RISE / 10 * least))):
            moved = here.theta.copy()
            moved[i] += max(by, 1e-14)
            there = _state(groups, bounds, moved, near, here, bend=False)
            slope[near, i] = ((there.expected - here.expected) / (moved[i] - here.theta[i]))[near]
    return slope


def _equations(groups: Groups, here: _State, slope: Array) -> tuple[Array, Array]:
    """Information matrix and score."""
    known = here.known & np.isfinite(slope).all(1)
    weighted = slope[known] / here.variance[known, None]
    return weighted.T @ slope[known], weighted.T @ (groups.temporal - here.expected)[known]


def _misfit(groups: Groups, there: _State, weights: _State) -> float:
    """Sum of squares at a theta with the weights of another; a group that cannot be solved there counts as far off."""
    lost = weights.known & ~np.isfinite(there.expected)
    known = weights.known & ~lost
    off = (groups.temporal - there.expected)[known]
    return float((off**2 / weights.variance[known]).sum()) + 1e3 * float(lost.sum())


def _sandwich(groups: Groups, here: _State, slope: Array) -> Array:
    """Covariance of theta from the scatter of what each pixel adds to the equations.

    That sees what the model does not know of, but is itself uncertain where few patches decide, and then intervals that
    happen to come out short miss the truth more often. So no standard error is below that of the model.
    """
    known = here.known & np.isfinite(slope).all(1)
    weighted = slope[known] / here.variance[known, None]
    # Levels that are all alike leave nothing to solve for; what comes out is told by its intervals.
    with np.errstate(over="ignore", invalid="ignore"):
        bread = _solved(weighted.T @ slope[known], np.eye(2))
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
