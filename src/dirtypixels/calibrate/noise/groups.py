"""Pixels of nearly the same light, and their statistics over the frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from dirtypixels.calibrate.noise.clipping import ClipRange

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_FEWEST = 128  # pixels of a group, unless its patch has fewer
_WINDOW = 5
_FILLINGS = 10


@dataclass(frozen=True)
class Groups:
    """Statistics of groups of pixels; arrays (G,), a patch being one group or several.

    Args:
        patch: index of the patch.
        pixels: how many pixels, n.
        mean: of all samples.
        temporal: variance of a pixel from frame to frame, mean over the pixels; drift of the light taken out.
        spatial: variance of the pixels' true means, i.e. of light and offset: that of the measured means less
            temporal / F, so it may be negative by chance.
        clipped: fraction of the samples at either clipping point.
        at_edge: whether any sample is at a clipping point.
        labels: (P, n) group of each pixel; -1 where it is left out.
        pixel_mean, pixel_temporal: (P, n) what each pixel adds to `mean` and `temporal`.
    """

    frames: int
    patch: npt.NDArray[np.int64]
    pixels: Array
    mean: Array
    temporal: Array
    spatial: Array
    clipped: Array
    at_edge: Mask
    labels: npt.NDArray[np.int64]
    pixel_mean: Array
    pixel_temporal: Array


def grouped(signal: Array, used: Mask, bounds: ClipRange) -> Groups:
    """Groups and their statistics.

    The variance of clipped samples depends on the light in a bent way, so the patches that are partly clipped are split
    by the mean of each pixel's neighbors, itself left out: that follows smooth shading and knows nothing of the
    pixel's own noise. The drift of the light is taken out by regressing what each frame has beyond the pixels' mean
    over the frames on that mean: light that drifts is in proportion to it, noise is not. In groups with clipped samples
    a constant alone is taken out: there the noise of a frame depends on its light, and is in proportion to it, too.

    Args:
        signal: (F, P, H, W) in units of the signal, F >= 2.
        used: (P, H, W) pixels that are not left out.
        bounds: clip range.
    """
    frames, patches, height, width = signal.shape
    mean = signal.mean(0)
    low, high = signal <= bounds.low + bounds.step / 4, signal >= bounds.high - bounds.step / 4
    edge = (low | high).mean(0)
    labels, patch = _labels(mean, low.mean(0), high.mean(0), used)
    count = len(patch)
    flat, keep = labels.reshape(-1), labels.reshape(-1) >= 0
    kept = flat[keep]

    def total(values: Array) -> Array:
        return np.bincount(kept, values.reshape(-1)[keep], minlength=count).astype(np.float64)

    n = np.bincount(kept, minlength=count).astype(float)
    center = total(mean) / n
    off = np.where(labels >= 0, mean - center[labels], 0.0)
    scatter = total(off**2)
    at_edge = total(edge) > 0
    by_scatter = np.where(at_edge | (scatter <= 0), 0.0, 1 / np.where(scatter > 0, scatter, 1.0))
    square = np.zeros_like(mean)
    for frame in signal:
        moved = frame - mean
        constant, slope = total(moved) / n, total(moved * off) * by_scatter
        square += (moved - constant[labels] - slope[labels] * off) ** 2
    # What the regression takes off each pixel's variance is its leverage, largest where clipped pixels vary most.
    leverage = 1 / n[labels] + off**2 * by_scatter[labels]
    square /= (frames - 1) * np.maximum(1 - leverage, 0.1)
    temporal = total(square) / n
    return Groups(
        frames=frames,
        patch=patch,
        pixels=n,
        mean=center,
        temporal=temporal,
        spatial=scatter / np.maximum(n - 1, 1) - temporal / frames,
        clipped=total(edge) / n,
        at_edge=at_edge,
        labels=labels.reshape(patches, height * width),
        pixel_mean=mean.reshape(patches, -1),
        pixel_temporal=square.reshape(patches, -1),
    )


def _labels(mean: Array, low: Array, high: Array, used: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Group of each pixel (P, H, W) and patch of each group (G,)."""
    labels = np.full(mean.shape, -1, dtype=np.int64)
    patch: list[int] = []
    for p, usable in enumerate(used):
        count, clipped = int(usable.sum()), float((low[p] + high[p])[usable].mean())
        parts = 1
        if 0 < clipped < 1 and count >= 2 * _FEWEST:
            smooth = smoothed(mean[p], low[p] > 0, high[p] > 0, usable)[usable]
            parts = _parts(mean[p][usable], smooth, count)
        if parts == 1:
            labels[p][usable] = len(patch)
        else:
            order = np.empty(count, dtype=np.int64)
            order[np.argsort(smooth, kind="stable")] = np.arange(count)
            labels[p][usable] = len(patch) + order * parts // count
        patch += [p] * parts
    return labels, np.array(patch)


def smoothed(mean: Array, low: Mask, high: Mask, usable: Mask) -> Array:
    """The light on a patch without the pixels' own noise: a quadratic surface, and the mean residual of neighbors.

    Where samples are clipped at the high end the light is at least what was measured, so the surface goes on there
    (expectation maximization, as for censored data); likewise at the low end.

    Args:
        mean: (H, W) over the frames.
        low, high: (H, W) pixels with a sample clipped there.
        usable: (H, W) pixels that are not left out.
    """
    v, u = np.meshgrid(*(np.linspace(-1, 1, size) for size in mean.shape), indexing="ij")
    surface = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)
    solve = np.linalg.pinv(surface[usable])
    filled = mean.copy()
    for _ in range(_FILLINGS):
        fit = surface @ (solve @ filled[usable])
        filled = np.where(high, np.maximum(mean, fit), np.where(low, np.minimum(mean, fit), mean))
    residual = np.where(usable, filled - fit, 0.0)
    weight = uniform_filter(usable.astype(float), _WINDOW, mode="constant") * _WINDOW**2
    total = uniform_filter(residual, _WINDOW, mode="constant") * _WINDOW**2
    return np.asarray(fit + (total - residual) / np.maximum(weight - usable, 1.0))


def _parts(values: Array, smooth: Array, count: int) -> int:
    """So many that within each, light spreads less than what smoothing takes off."""
    left = float((values - smooth).var())
    shading = max(float(smooth.var()) - left / _WINDOW**2, 0.0)
    if shading <= 0 or left <= 0:
        return 1
    return int(np.clip(math.ceil(5 * math.sqrt(shading / left)), 1, min(count // _FEWEST, 16)))
