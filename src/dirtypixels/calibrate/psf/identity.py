"""Which corner of a lattice is which marker of a chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf import mapping
from dirtypixels.calibrate.psf.chart import BernoulliChart, turned
from dirtypixels.calibrate.psf.lattice import Lattice, opencv

_Points = npt.NDArray[np.float64]

LEAST_CORRELATION = 0.06
"""Of picture and noise pattern, below which they are strangers. Blur of 3 px leaves 0.2; chance gives 0.01."""

_SAMPLES = 8000


@dataclass(frozen=True)
class Identity:
    """One way to lay a chart onto a lattice.

    Args:
        index: (R, C) number of the marker at each corner of the lattice, -1 for none.
        quarters: quarter turns, counter-clockwise, of the chart in the picture.
        mirrored: whether the chart is seen mirrored.
        agreement: share of the corners whose polarity is the chart's.
        correlation: of the picture with the chart's noise; NaN where not computed.
        mapping: the map from chart to picture that follows; None where not computed.
    """

    index: npt.NDArray[np.int64]
    quarters: int
    mirrored: bool
    agreement: float
    correlation: float = float("nan")
    mapping: mapping.Mapping | None = None


def candidates(lattice: Lattice, chart: BernoulliChart) -> list[Identity]:
    """All ways to lay the chart onto the lattice, best agreement of polarities first."""
    numbers = np.arange(chart.polarity.size).reshape(chart.polarity.shape)
    seen = lattice.polarity != 0
    rows, columns = seen.shape
    found = []
    for quarters in range(4):
        for mirrored in (False, True):
            sign = -1 if (quarters % 2 == 1) != mirrored else 1
            code = sign * turned(chart.polarity, quarters, mirrored)
            index = turned(numbers, quarters, mirrored)
            # Corners beyond the chart, found in what stands around it, are left out; most must be within.
            padded_code = np.pad(code, ((rows, rows), (columns, columns)))
            padded_index = np.pad(index, ((rows, rows), (columns, columns)), constant_values=-1)
            for row in range(code.shape[0] + rows + 1):
                for column in range(code.shape[1] + columns + 1):
                    there = (slice(row, row + rows), slice(column, column + columns))
                    within = seen & (padded_index[there] >= 0)
                    count = int(within.sum())
                    if count < max(4, 0.8 * lattice.count):
                        continue
                    agreement = float((padded_code[there] == lattice.polarity)[within].sum()) / lattice.count
                    numbered = np.where(within, padded_index[there], -1)
                    found.append(Identity(numbered, quarters, mirrored, agreement))
    return sorted(found, key=lambda one: -one.agreement)


def verified(candidate: Identity, lattice: Lattice, image: npt.NDArray[np.float32], chart: BernoulliChart) -> Identity:
    """The same candidate with its map and with the correlation of the picture with the chart's noise."""
    # A corner of the wrong polarity is none of the markers: it would bend the map.
    sign = -1 if (candidate.quarters % 2 == 1) != candidate.mirrored else 1
    right = chart.polarity.ravel()[candidate.index] == sign * lattice.polarity
    where = candidate.index >= 0
    where = where & right if (where & right).sum() >= 4 else where
    chart_points, image_points = chart.markers[candidate.index[where]], lattice.points[where]
    height, width = image.shape
    fitted = mapping.fit(chart_points, image_points, (height, width), outlier_px=2.0)
    correlation = noise_correlation(fitted, image, chart, chart_points)
    return Identity(candidate.index, candidate.quarters, candidate.mirrored, candidate.agreement, correlation, fitted)


def noise_correlation(fitted: mapping.Mapping, image: npt.NDArray[Any], chart: BernoulliChart, near: _Points) -> float:
    """Correlation of the picture's values at the middles of noise cells with black and white.

    Args:
        fitted: map from chart to picture.
        image: (H, W) float32.
        chart: the chart.
        near: (N, 2) chart points; cells are taken from the rectangle around them.
    """
    return _correlation(*noise_cells(fitted, image, chart, near))


def displaced_correlation(
    fitted: mapping.Mapping, image: npt.NDArray[Any], chart: BernoulliChart, near: _Points, reach_px: int = 14
) -> tuple[float, tuple[int, int]]:
    """The largest correlation over whole pixels by which the noise may lie aside of the map, and where (x, y).

    Of a picture that moved by a jump, the markers are found in the middle between both images and the noise is not.
    """
    high, places, signs = noise_cells(fitted, image, chart, near)
    shifts = [(x, y) for y in range(-reach_px, reach_px + 1) for x in range(-reach_px, reach_px + 1)]
    return max((_correlation(high, places + shift, signs), shift) for shift in shifts)


def noise_cells(
    fitted: mapping.Mapping, image: npt.NDArray[Any], chart: BernoulliChart, near: _Points
) -> tuple[npt.NDArray[np.float32], _Points, _Points]:
    """(H, W) picture less the means around its pixels; (N, 2) middles of noise cells; (N,) 1/2 for white, else -1/2.

    N is 0 where so few cells are in the picture that they say nothing.
    """
    cv2 = opencv()
    generator = np.random.default_rng(0)
    low, high = near.min(0), near.max(0)
    cells = np.floor(generator.uniform(low, high, (2 * _SAMPLES, 2))).astype(int)
    to_marker = np.abs((cells + 0.5 - chart.markers[0] + chart.block / 2) % chart.block - chart.block / 2)
    cells = cells[(to_marker > chart.square).any(1)][:_SAMPLES]
    places = fitted.to_image(cells + 0.5)
    height, width = image.shape
    inside = (places > 0).all(1) & (places[:, 0] < width - 1) & (places[:, 1] < height - 1)
    if inside.sum() < 200:
        inside[:] = False
    reach = max(3, int(4 * float(np.median(fitted.cell_px(cells[:200] + 0.5))))) | 1
    around = cv2.blur(image, (reach, reach))
    signs = chart.pattern[cells[inside, 1], cells[inside, 0]] - 0.5
    return image - around, places[inside], signs


def _correlation(high: npt.NDArray[np.float32], places: _Points, signs: _Points) -> float:
    if not len(places):
        return 0.0
    x, y = places.astype(np.float32).T
    # remap takes at most 32767 places along an axis, so a column of them would do as well as a square.
    values = opencv().remap(high, x[:, None], y[:, None], opencv().INTER_LINEAR).ravel().astype(np.float64)
    spread = values.std() * signs.std()
    return float(((values - values.mean()) * (signs - signs.mean())).mean() / spread) if spread > 0 else 0.0
