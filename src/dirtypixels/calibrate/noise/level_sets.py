"""Level sets of a photograph's smooth parts: mean and robust deviation of each, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from dirtypixels.calibrate.noise.detail_response import MEDIAN, DetailResponse
from dirtypixels.calibrate.noise.details import TOLERANCE, WAVELET, WINDOW, Details

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Relative change of the light in a window that is let pass; compared with the noise's own change.
_SLOPE = 0.15
# Of a window's pixels; beyond it a detail says little of the noise.
MOST_CLIPPED = 0.5
_FEWEST = 100
_MOST_SETS = 64
_STARTING_SETS = 16
# asymptotic relative variance of the median of |N(0, 1)|, times the count
_MEDIAN_VARIANCE = float(1 / (4 * MEDIAN * np.exp(-(MEDIAN**2) / 2) / np.sqrt(2 * np.pi)) ** 2)


@dataclass(frozen=True)
class LevelSets:
    """One entry a set, (S,), in units of the signal.

    Args:
        mean: of the clipped signal.
        deviation: median of the absolute details over that of N(0, 1).
        relative_variance: of `deviation`, by chance: the median's, for as many independent details as these are worth.
        low, high: clipped fractions.
        count: details in the set.
    """

    mean: Array
    deviation: Array
    relative_variance: Array
    low: Array
    high: Array
    count: npt.NDArray[np.int64]


def smooth(details: Details, response: DetailResponse) -> Mask:
    """Where a photograph shows noise alone, if `response` is right.

    The windows' horizontal and vertical details must be quiet, `activity < 1.2 variance`, and their means even; what
    is clipped must be what the noise clips, and at most half.
    """
    variance = response.of(response.deviation, details.level) ** 2
    even = variance / 4 * (1 + 2 * np.sqrt(2) / WINDOW) + (_SLOPE * np.maximum(details.level, 0)) ** 2
    chosen = (details.activity < TOLERANCE * variance) & (details.spread < even)
    pixels = (2 * (WINDOW - 1) + WAVELET.size) ** 2
    for found, values in ((details.low, response.low), (details.high, response.high)):
        some = found > 0
        expected = response.of(values, details.level[some])
        chosen[some] &= found[some] <= expected + 3 * np.sqrt((expected * (1 - expected) + 1 / pixels) / pixels)
    return np.asarray(chosen & (details.low + details.high <= MOST_CLIPPED))


def quiet(planes: Sequence[Details]) -> list[Mask]:
    """The tenth with the least activity among details of like level, or more of a small photograph.

    Where to start while the noise is unknown.
    """
    known = [one.low + one.high <= MOST_CLIPPED for one in planes]
    levels = np.concatenate([one.level[mask] for one, mask in zip(planes, known, strict=True)])
    if not levels.size:
        return known
    share = min(1.0, max(0.1, 10 * _FEWEST / levels.size))
    limits = np.quantile(levels, np.linspace(0, 1, _STARTING_SETS + 1)[1:-1])
    chosen = []
    for one, mask in zip(planes, known, strict=True):
        label = np.searchsorted(limits, one.level)
        bar = [
            np.quantile(one.activity[mask & (label == k)], share) if (mask & (label == k)).any() else 0.0
            for k in range(_STARTING_SETS)
        ]
        chosen.append(mask & (one.activity <= np.array(bar)[label]))
    return chosen


def level_sets(planes: Sequence[Details], chosen: Sequence[Mask], response: DetailResponse) -> LevelSets:
    """Gather chosen details into sets of like level.

    Sets are as wide as is even in the noise's own measure, `int dy / deviation(y)`; one with fewer than 100 details is
    joined with the next.

    Args:
        planes: details of planes of one color.
        chosen: where to take them from.
        response: of the noise as far as it is known; decides the sets' widths only.

    Raises:
        ValueError: fewer than 2 sets.
    """

    def gathered(name: str) -> Array:
        return np.concatenate([getattr(one, name)[mask] for one, mask in zip(planes, chosen, strict=True)])

    edges = _edges(gathered("level"), response)
    labels = []
    for one, mask in zip(planes, chosen, strict=True):
        label = np.searchsorted(edges, one.level, side="right").astype(np.int8)
        label[~mask] = -1
        labels.append(label)
    every = np.concatenate([label[mask] for label, mask in zip(labels, chosen, strict=True)])
    size = edges.size + 1
    count = np.bincount(every, minlength=size)
    mean, low, high = (np.bincount(every, gathered(name), size) / count for name in ("mean", "low", "high"))
    ordered = np.abs(gathered("detail"))[np.argsort(every, kind="stable")]
    deviation = np.array([np.median(part) for part in np.split(ordered, np.cumsum(count)[:-1])]) / MEDIAN
    doubled = np.sum([_doubled(label, size) for label in labels], axis=0) / count
    return LevelSets(mean, deviation, _MEDIAN_VARIANCE * doubled / count, low, high, count)


def _edges(levels: Array, response: DetailResponse) -> Array:
    if levels.size < 2 * _FEWEST:
        raise ValueError(
            f"capture must have smooth parts, worth at least {2 * _FEWEST} details of noise alone in two levels of "
            f"light; found {levels.size} (a larger photograph, or one out of focus, has more)"
        )
    scale = np.concatenate([[0.0], np.cumsum(np.diff(response.mean) / response.deviation[1:])])
    ordered = np.sort(np.interp(levels, response.mean, scale))
    limits = np.linspace(ordered[0], ordered[-1], _MOST_SETS + 1)[1:-1]
    kept: list[float] = []
    start = 0
    for limit, end in zip(limits, np.searchsorted(ordered, limits), strict=True):
        if end - start >= _FEWEST and ordered.size - end >= _FEWEST:
            kept.append(float(limit))
            start = end
    if not kept:  # half and half
        kept = [float(np.median(ordered))]
    return np.asarray(np.interp(kept, scale, response.mean))


def _doubled(labels: npt.NDArray[np.int8], size: int) -> Array:
    """How many details count for one each: 1 + 2 sum over pairs in the same set of their indicators' correlation."""
    result = np.bincount(labels[labels >= 0], minlength=size).astype(np.float64)
    height, width = labels.shape
    for (row, column), weight in _neighbors():
        first = labels[: height - row, max(0, -column) : width - max(0, column)]
        second = labels[row:, max(0, column) : width - max(0, -column)]
        pairs = first[(first == second) & (first >= 0)]
        result += 2 * weight * np.bincount(pairs, minlength=size)
    return np.asarray(result)


@lru_cache(maxsize=1)
def _neighbors() -> tuple[tuple[tuple[int, int], float], ...]:
    """Shifts (half of the plane) at which details are correlated, and the correlation of `|detail| < median`.

    The transforms are orthonormal, so only odd shifts of one against another are.
    """
    reach = WAVELET.size - 1
    line = np.correlate(WAVELET, WAVELET, "full")[reach:]
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x = MEDIAN * nodes
    density = MEDIAN * weights * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    found = []
    for row in range(reach + 1):
        for column in range(-reach, reach + 1):
            rho = line[row] * line[abs(column)]
            if (row, column) > (0, 0) and abs(rho) > 0.02:
                width = np.sqrt(1 - rho**2)
                inside = special.ndtr((MEDIAN - rho * x) / width) - special.ndtr((-MEDIAN - rho * x) / width)
                found.append(((row, column), 4 * (float(density @ inside) - 0.25)))
    return tuple(found)
