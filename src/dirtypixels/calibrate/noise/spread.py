"""The level and spread of light before clipping, from the mean and spread after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.noise.response import Response

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_ITERATIONS = 25
_CLOSE = 1e-6  # of a standard deviation: a Newton step later the error is far below the tables'


@dataclass(frozen=True)
class Spread:
    """Groups of pixels whose levels are ``N(level, spread)`` before clipping; arrays (G,).

    Args:
        level: mean before clipping.
        spread: variance of the levels before clipping; below 0 where the measured one came out so by chance, and
            everything goes on linearly there.
        variance: temporal variance of a clipped sample, mean over the levels.
        by_mean, by_spatial: its derivatives by the clipped mean and the variance of the clipped means.
        found: whether there are such a level and spread.
    """

    level: Array
    spread: Array
    variance: Array
    by_mean: Array
    by_spatial: Array
    found: Mask


def inverted(response: Response, mean: Array, spatial: Array, start: tuple[Array, Array] | None = None) -> Spread:
    """Solve ``E_z[M(z)] = mean, Var_z[M(z)] = spatial`` for ``z ~ N(level, spread)``, M the clipped mean, by Newton.

    Near white, z is light, which brings its own Poisson noise; near black it is the pixels' offset, which does not.

    Args:
        response: the moments over the level.
        mean, spatial: (G,) clipped mean and variance of the clipped means.
        start: (G,) level and spread to start from; from the tabulated mean where None.
    """
    level, spread = _guess(response, mean, spatial) if start is None else (v.copy() for v in start)
    noise = response.alpha * np.clip(level, 0, None) + response.variance
    offsets = _offsets(response, mean)
    for _ in range(_ITERATIONS):
        mixed = _mixed(response, level, spread, offsets)
        off_mean, off_spatial = mean - mixed.mean, spatial - mixed.spatial
        (mean_level, mean_spread), (spatial_level, spatial_spread) = mixed.jacobian
        determinant = mean_level * spatial_spread - mean_spread * spatial_level
        determinant = np.where(np.abs(determinant) > 1e-12, determinant, 1e-12)
        move = (spatial_spread * off_mean - mean_spread * off_spatial) / determinant
        widen = (mean_level * off_spatial - spatial_level * off_mean) / determinant
        reach = np.sqrt(noise + np.maximum(spread, 0))
        far = (np.abs(off_mean) > _CLOSE * reach) | (np.abs(off_spatial) > _CLOSE * reach**2)
        level = np.clip(level + np.clip(move, -reach, reach), response.lowest, response.highest)
        spread = np.clip(spread + np.clip(widen, -(reach**2), reach**2), -noise, None)
        if not far.any():
            break
    mixed = _mixed(response, level, spread, offsets)
    reach = np.sqrt(noise + np.maximum(spread, 0))
    found = (np.abs(mean - mixed.mean) < 1e-4 * reach) & (np.abs(spatial - mixed.spatial) < 1e-4 * reach**2)
    (mean_level, mean_spread), (spatial_level, spatial_spread) = mixed.jacobian
    determinant = mean_level * spatial_spread - mean_spread * spatial_level
    found &= np.abs(determinant) > 1e-9
    safe = np.where(found, determinant, 1.0)
    by_level, by_spread = mixed.slope
    by_mean = (by_level * spatial_spread - by_spread * spatial_level) / safe
    by_spatial = (by_spread * mean_level - by_level * mean_spread) / safe
    return Spread(level, spread, mixed.variance, by_mean, by_spatial, found)


def drifting_variance(response: Response, solved: Spread, means: Array, spatial: Array) -> Array:
    """What is measured as temporal variance (G,) where the light differs between the frames.

    ``E_z[mean_f v(z_f)] + E_z[sum_f d_f(z)^2] / (F - 1)``, d_f the part of the clipped light's change in frame f
    that the mean over the group does not share; the levels of each frame are solved for.

    Args:
        response: the moments over the level.
        solved: levels and spreads where the frames are taken as one.
        means: (F, G) clipped mean in each frame.
        spatial: (G,) variance of the pixels' clipped means over the frames.
    """
    offsets = _offsets(response, means.mean(0))
    levels, spread = np.tile(solved.level, (len(means), 1)), solved.spread.copy()
    noise = response.alpha * np.maximum(solved.level, 0) + response.variance
    for _ in range(_ITERATIONS):
        z = _frame_levels(levels, spread, offsets)
        mean, mean1 = (response(z, order)[0] for order in (0, 1))
        off = means - mean @ _WEIGHTS
        clipped = mean.mean(0)
        centered = clipped - (clipped @ _WEIGHTS)[:, None]
        off_spatial = np.where(spread > 0, spatial - centered**2 @ _WEIGHTS, 0.0)
        reach = np.sqrt(noise + np.maximum(spread, 0))
        levels = levels + np.clip(off / np.maximum(mean1 @ _WEIGHTS, 1e-3), -reach, reach)
        levels = np.clip(levels, response.lowest, response.highest)
        slope = np.maximum((mean1.mean(0) ** 2) @ _WEIGHTS, 0.05)
        spread = np.where(spread > 0, np.maximum(spread + off_spatial / slope, spread / 4), spread)
        if (np.abs(off) < _CLOSE * reach).all() and (np.abs(off_spatial) < 1e3 * _CLOSE * reach**2).all():
            break
    mean, var = response(_frame_levels(levels, spread, offsets))[:2]
    change = mean - mean.mean(0)
    change = change - (change @ _WEIGHTS)[..., None]
    total = (var.mean(0) + (change**2).sum(0) / (len(means) - 1)) @ _WEIGHTS
    # A spread below 0, by chance, is none here: what it takes off is taken off as without drift.
    alone = response(solved.level[:, None] + np.sqrt(np.maximum(solved.spread, 0.0))[:, None] * _NODES)[1] @ _WEIGHTS
    return np.asarray(total + solved.variance - alone)


def _frame_levels(levels: Array, spread: Array, offsets: Mask) -> Array:
    """(F, G, Q) levels of the pixels in each frame: light is in proportion to the frame's, offsets are the same."""
    middle = levels.mean(0)
    factor = np.where(offsets | (middle <= 0), 1.0, levels / np.where(middle > 0, middle, 1.0))
    return np.asarray(levels[..., None] + (factor * np.sqrt(np.maximum(spread, 0.0)))[..., None] * _NODES)


def covariance(response: Response, solved: Spread, frames: int) -> Array:
    """(G, 3, 3) of what one pixel adds: its mean over the frames, its temporal variance, and the squared deviation of
    that mean from the group's less temporal variance / frames."""
    z = solved.level[:, None] + np.sqrt(np.maximum(solved.spread, 0.0))[:, None] * _NODES
    mean, var, third, fourth = response(z)[:4]
    off = mean - (mean @ _WEIGHTS)[:, None]
    f = frames
    pure = fourth - 3 * var**2  # fourth cumulant
    mean_var = third / f
    var_var = (fourth - var**2 * (f - 3) / (f - 1)) / f
    square_mean = 2 * off * var / f + third / f**2
    square_var = 2 * off * third / f + pure / f**2
    square_square = (
        4 * off**2 * var / f + 4 * off * third / f**2 + (fourth + 3 * (f - 1) * var**2) / f**3 - (var / f) ** 2
    )
    given_level = {
        (0, 0): var / f,
        (0, 1): mean_var,
        (1, 1): var_var,
        (0, 2): square_mean - mean_var / f,
        (1, 2): square_var - var_var / f,
        (2, 2): square_square - 2 * square_var / f + var_var / f**2,
    }
    center = np.stack([off, var, off**2])
    center = center - (center @ _WEIGHTS)[..., None]
    result = np.empty((len(z), 3, 3))
    for (i, j), values in given_level.items():
        result[:, i, j] = result[:, j, i] = (values + center[i] * center[j]) @ _WEIGHTS
    return result


def shape_variance(response: Response, solved: Spread) -> Array:
    """Variance (G,) of the temporal variance, given the mean and the spatial variance, for want of the levels' shape.

    They are taken as normal; their skewness may as well be 0.5, their excess kurtosis 1 (a ramp has -1.2).
    """
    z = solved.level[:, None] + np.sqrt(np.maximum(solved.spread, 0.0))[:, None] * _NODES
    mean, var = response(z)[:2]
    off = mean - (mean @ _WEIGHTS)[:, None]
    total = np.zeros_like(solved.level)
    for like, order, size in ((0.5, _NODES**3 - 3 * _NODES, 6), (1.0, _NODES**4 - 6 * _NODES**2 + 3, 24)):
        tilt = _WEIGHTS * order * like / size  # Gram-Charlier
        total += (var @ tilt - solved.by_mean * (off @ tilt) - solved.by_spatial * (off**2 @ tilt)) ** 2
    return total


@dataclass(frozen=True)
class _Mixed:
    """Moments over the levels, derivatives of mean and spatial variance by (level, spread), and of the variance."""

    mean: Array
    spatial: Array
    variance: Array
    jacobian: tuple[tuple[Array, Array], tuple[Array, Array]]
    slope: tuple[Array, Array]


def _mixed(response: Response, level: Array, spread: Array, offsets: Mask) -> _Mixed:
    few = offsets if response.few_photons else np.zeros_like(offsets)
    parts = []
    if not few.all():
        parts.append((~few, _by_nodes(response, level[~few], spread[~few], offsets[~few])))
    if few.any():
        parts.append((few, _by_slopes(response, level[few], spread[few])))
    values = np.empty((9, len(level)))
    for where, part in parts:
        values[:, where] = [part.mean, part.spatial, part.variance, *part.jacobian[0], *part.jacobian[1], *part.slope]
    mean, spatial, variance, a, b, c, d, by_level, by_spread = values
    return _Mixed(mean, spatial, variance, ((a, b), (c, d)), (by_level, by_spread))


def _by_slopes(response: Response, level: Array, spread: Array) -> _Mixed:
    """Offsets where single photons stand out, to first order in their spread: `_by_nodes` takes them for light that is
    less noisy, which goes wrong about no light, where the moments of light bend and those of an offset do not."""
    (mean, var), (mean_o, _), (mean_oo, var_oo) = response.offset(level)
    (mean1, var1), (mean_o1, _), (mean_oo1, var_oo1) = response.offset(level, 1)
    return _Mixed(
        mean=mean + spread / 2 * mean_oo,
        spatial=spread * mean_o**2,
        variance=var + spread / 2 * var_oo,
        jacobian=((mean1 + spread / 2 * mean_oo1, mean_oo / 2), (2 * spread * mean_o * mean_o1, mean_o**2)),
        slope=(var1 + spread / 2 * var_oo1, var_oo / 2),
    )


def _by_nodes(response: Response, level: Array, spread: Array, offsets: Mask) -> _Mixed:
    off_level = np.sqrt(np.abs(spread))[:, None] * _NODES
    f0, f1, f2 = (response(level[:, None] + off_level, order) for order in (0, 1, 2))
    here, here1 = (response(level, order)[:2] for order in (0, 1))
    # An offset o leaves the Poisson noise as it is: f(z) at a variance lower by alpha o.
    less = np.where(offsets, response.alpha, 0.0)[:, None]
    (mean, var), g = f0[:2] - less * off_level * f0[4:], f0[4:]
    (mean1, var1), g1 = f1[:2] - less * off_level * f1[4:], f1[4:]
    mean_o = f1[0] - less * (g[0] + off_level * g1[0])
    mean_oo, var_oo = f2[:2] - less * (2 * g1 + off_level * f2[4:])
    average = mean @ _WEIGHTS
    off = mean - average[:, None]
    # d/dspread E f(z) = E f''(z) / 2 for a normal z; below 0 it goes on as 2 f(level) - E f at |spread|.
    sign = np.where(spread < 0, -1.0, 1.0)
    keep = np.where(spread < 0, 2.0, 0.0)
    return _Mixed(
        mean=keep * here[0] + sign * average,
        spatial=sign * (off**2 @ _WEIGHTS),
        variance=keep * here[1] + sign * (var @ _WEIGHTS),
        jacobian=(
            (keep * here1[0] + sign * (mean1 @ _WEIGHTS), (mean_oo @ _WEIGHTS) / 2),
            (sign * 2 * ((off * mean1) @ _WEIGHTS), (mean_o**2 + off * mean_oo) @ _WEIGHTS),
        ),
        slope=(keep * here1[1] + sign * (var1 @ _WEIGHTS), (var_oo @ _WEIGHTS) / 2),
    )


def _offsets(response: Response, mean: Array) -> Mask:
    """Where the spread is one of offsets, not of light: on the dark side of the range."""
    return np.asarray(mean < (max(response.bounds.low, -1.0) + response.bounds.high) / 2)


def _guess(response: Response, mean: Array, spatial: Array) -> tuple[Array, Array]:
    """Level from the mean without spread, on a fine grid; spread from the slope there."""
    low, high = max(response.lowest, float(mean.min()) - 1.0), response.highest
    grid = np.linspace(low, high, 4001)
    tabulated = np.maximum.accumulate(response(grid)[0])
    level = np.interp(mean, tabulated, grid)
    slope = np.maximum(response(level, 1)[0], 0.1)
    return level, np.maximum(spatial, 0.0) / slope**2
