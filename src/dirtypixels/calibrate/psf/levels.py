"""Brightness of a chart's picture where its share of white is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf import registration
from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import opencv
from dirtypixels.calibrate.psf.coverage import window_fractions

PSF_REACH_PX = 10.0
"""How far from a patch's edge its interior begins, where the patch is large enough."""

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """Measured levels: places (N, 2), value, white share of what was seen there, standard error."""

    places: _Array
    value: _Array
    share: _Array
    error: _Array

    def __add__(self, other: Levels) -> Levels:
        pairs = ((getattr(self, n), getattr(other, n)) for n in ("places", "value", "share", "error"))
        return Levels(*(np.concatenate(pair) for pair in pairs))


class FlatNoise(NamedTuple):
    """Noise of a sample over its level, ``variance = dark + slope * level``; in units of the picture."""

    dark: float
    slope: float

    def variance(self, level: float) -> float:
        """Of a sample whose level lies between the chart's black and white, or near them; never below 0."""
        return max(self.dark + self.slope * level, 0.0)


def patch_levels(
    values: npt.NDArray[Any],
    alignment: Alignment,
    chart: BernoulliChart,
    down: npt.NDArray[Any],
    across: npt.NDArray[Any],
    saturation: float,
) -> tuple[Levels, FlatNoise, float]:
    """Levels of the squares' insides, the noise in them, and the clipped share of white pixels."""
    boxes, colors = chart.patches()
    seen = np.isin(np.arange(len(boxes)) // 4, alignment.markers.index)
    boxes, colors = boxes[seen], colors[seen]
    middles = alignment.to_image((boxes[:, :2] + boxes[:, 2:]) / 2)
    right = alignment.to_image(np.stack([boxes[:, 2], boxes[:, 1:4:2].mean(1)], 1)) - middles
    below = alignment.to_image(np.stack([boxes[:, 0:3:2].mean(1), boxes[:, 3]], 1)) - middles
    found, clipped = [], []
    spreads = []
    row_step, column_step = down[1] - down[0], across[1] - across[0]
    for middle, u, v, color in zip(middles, right, below, colors, strict=True):
        side = 2 * min(np.hypot(*u), np.hypot(*v))
        inset = min(PSF_REACH_PX, 0.35 * side)
        # A square of pixels inside the turned square: its half side is the turned one's over cos + sin of the angle.
        turn = (abs(u[0]) + abs(u[1])) / np.hypot(*u)
        half = (side / 2 - inset) / turn
        i0, i1 = (int(np.ceil((middle[1] + s * half - down[0]) / row_step)) for s in (-1, 1))
        j0, j1 = (int(np.ceil((middle[0] + s * half - across[0]) / column_step)) for s in (-1, 1))
        inside = i0 >= 0 and j0 >= 0 and i1 <= len(down) and j1 <= len(across)
        if not inside or (i1 - i0) * (j1 - j0) < 4:
            continue
        part = values[i0:i1, j0:j1].astype(np.float64)
        found.append((middle[0], middle[1], part.mean(), color, part.size))
        # Scaled so that the median over squares is the variance (Wilson and Hilferty 1931): theirs falls short of it.
        spreads.append(part.var(ddof=1) / (1 - 2 / (9 * (part.size - 1))) ** 3)
        if color:
            clipped.append((part >= 0.999 * saturation).mean())
    table = np.array(found).reshape(-1, 5)
    noise = _flat_noise(table[:, 2], np.array(spreads), table[:, 3])
    error = np.sqrt([noise.variance(level) for level in table[:, 2]]) / np.sqrt(np.maximum(table[:, 4], 1))
    share_clipped = float(np.mean(clipped)) if clipped else 0.0
    return Levels(table[:, :2], table[:, 2], table[:, 3], error), noise, share_clipped


def _flat_noise(level: _Array, variance: _Array, color: _Array) -> FlatNoise:
    """A line through the medians of black and of white squares."""
    points = [(np.median(level[color == c]), np.median(variance[color == c])) for c in (0, 1) if (color == c).any()]
    if len(points) < 2 or points[1][0] <= points[0][0]:
        return FlatNoise(float(np.median(variance)) if len(variance) else 0.0, 0.0)
    (black, low), (white, high) = points
    slope = (high - low) / (white - black)
    return FlatNoise(float(low - slope * black), float(slope))


def window_levels(
    values: npt.NDArray[Any],
    alignment: Alignment,
    chart: BernoulliChart,
    down: npt.NDArray[Any],
    across: npt.NDArray[Any],
    noise: FlatNoise,
) -> Levels:
    """Means over windows all over the chart, and the white share that the sharp chart, blurred alike, has there."""
    cv2 = opencv()
    half = registration.window_px(alignment.size) // 2
    blur = max(alignment.blur_px / np.sqrt(2), 0.3)
    reach = np.arange(-half - int(4 * blur) - 2, half + int(4 * blur) + 3)
    centers = registration.window_centers(alignment.size, alignment.mapping, chart, max(alignment.size) / 18)
    row_step, column_step = int(down[1] - down[0]), int(across[1] - across[0])

    def one(center: _Array, fraction: _Array) -> tuple[float, ...]:
        x, y = (round(float(c)) for c in center)
        soft = cv2.GaussianBlur(np.nan_to_num(fraction, nan=1.0), (0, 0), blur)
        i = slice(-(-(y - half - int(down[0])) // row_step), -(-(y + half - int(down[0])) // row_step))
        j = slice(-(-(x - half - int(across[0])) // column_step), -(-(x + half - int(across[0])) // column_step))
        seen = values[i, j]
        model = soft[np.ix_(down[i] - y - reach[0], across[j] - x - reach[0])]
        mean = float(seen.mean())
        return x, y, mean, float(model.mean()), np.sqrt(noise.variance(mean) / seen.size)

    windows = zip(centers, window_fractions(chart, alignment.mapping, centers, reach), strict=True)
    table = np.array([one(center, fraction) for center, fraction in windows]).reshape(-1, 5)
    return Levels(table[:, :2], table[:, 2], table[:, 3], table[:, 4])
