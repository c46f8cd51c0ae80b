"""How far small windows of a picture are from where a map puts them, measured on the noise pattern."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import opencv
from dirtypixels.calibrate.psf.coverage import window_fractions
from dirtypixels.calibrate.psf.mapping import Mapping

_Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shifts:
    """What was measured in N windows.

    Args:
        chart: (N, 2) chart coordinates of the middles of the windows' pixels, by the map that was measured against.
        image: (N, 2) where these points of the chart really are, in pixels.
        shift: (N, 2) by how much that is displaced against the map, in pixels.
        error: (N,) standard error of a coordinate of the shift, from the residual.
        blur: (N, 2) standard deviation of the blur along x and y in pixels, from second derivatives.
        explained: (N,) share of the window's variance that the model explains.
    """

    chart: _Points
    image: _Points
    shift: _Points
    error: _Points
    blur: _Points
    explained: _Points

    def __getitem__(self, which: npt.NDArray[Any]) -> Shifts:
        return Shifts(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def rms_px(self) -> float:
        """Root mean square length of the shifts in pixels."""
        return float(np.sqrt((self.shift**2).sum(1).mean()))

    def against(self, fitted: Mapping) -> Shifts:
        """The same measurements as displacements against another map."""
        return replace(self, shift=self.image - fitted.to_image(self.chart))


def window_px(size: tuple[int, int]) -> int:
    """Side of a window in pixels, even: small against the bend of a lens, large enough for a shift to 0.002 px.

    In a small picture it is smaller, so that windows reach near the corners, where the map would be extrapolated.
    """
    return 2 * int(np.clip(min(size) / 24, 16, 32))


def window_centers(
    size: tuple[int, int], mapping: Mapping, chart: BernoulliChart, spacing: float, share: float = 1.0
) -> _Points:
    """(N, 2) middles of windows, about `spacing` pixels apart, that lie in the picture and on the chart.

    `share` is the part of a window that must be on the chart. Windows that hang over its edge keep the map from being
    extrapolated there.
    """
    height, width = size
    reach = window_px(size) // 2 + 1

    def places(length: int) -> _Points:
        count = max(2, round((length - 2 * reach) / spacing) + 1)
        return np.round(np.linspace(reach, length - 1 - reach, count))

    grid = np.stack([a.ravel() for a in np.meshgrid(places(width), places(height))], 1)
    steps = np.linspace(-reach - 4, reach + 4, 5)
    probes = np.stack([a.ravel() for a in np.meshgrid(steps, steps)], 1)
    on_chart = mapping.to_chart((grid[:, None] + probes).reshape(-1, 2))
    with np.errstate(invalid="ignore"):
        inside = (on_chart > 0).all(1) & (on_chart[:, 0] < chart.shape[1]) & (on_chart[:, 1] < chart.shape[0])
    return np.asarray(grid[inside.reshape(len(grid), -1).mean(1) >= share], dtype=np.float64)


def measure(
    picture: npt.NDArray[np.float32],
    chart: BernoulliChart,
    mapping: Mapping,
    centers: _Points,
    blur: float,
    smooth: float = 0.0,
) -> Shifts:
    """Shifts of windows by linear least squares.

    ``I = c0 + c1 B - c1 (d . grad B) + c4 B_xx + c5 B_yy + c6 B_xy + (a . x) + (b . x) B``,
    B the sharp chart blurred by a Gaussian, x the place in the window

    The last terms are the light's and the lens's falloff across the window; left out, they cost 0.01 px. The second
    derivatives take up what the true blur is wider, narrower or longer than the Gaussian; being even, they do not mix
    with the gradient, so that for every symmetric PSF the shift is unbiased where it is small.

    Args:
        picture: (H, W) linear light.
        chart: the chart.
        mapping: where the chart is thought to be.
        centers: (N, 2) whole pixels.
        blur: standard deviation of the Gaussian in pixels.
        smooth: standard deviation of a further Gaussian over both pictures, which widens the reach to larger shifts.
    """
    cv2 = opencv()
    width = float(np.hypot(blur, smooth))
    margin = int(np.ceil(4 * width)) + 2
    height, across = picture.shape
    half = window_px((height, across)) // 2
    reach = np.arange(-half - margin, half + margin + 1)
    inner = slice(margin, -margin)
    ramp_y, ramp_x = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1) / half
    far = 2 * int(np.ceil(2.5 * width)) + 1

    def one(center: _Points, sharp: _Points) -> tuple[float, ...]:
        x, y = round(float(center[0])), round(float(center[1]))
        # Beyond the chart there is paper or wall; pixels that it reaches through the Gaussian are left out.
        unknown = cv2.dilate(np.isnan(sharp).astype(np.uint8), np.ones((far, far), np.uint8))
        used = unknown[inner, inner].ravel() == 0
        if used.sum() < 200:
            return (np.nan,) * 8
        sharp = np.nan_to_num(sharp, nan=1.0)
        model = cv2.GaussianBlur(sharp, (0, 0), width) if width > 0 else sharp
        down, right = (np.gradient(model, axis=axis) for axis in (0, 1))
        xy = np.gradient(right, axis=0)
        # second differences, wrong at the border, which the margin holds
        xx, yy = (np.roll(model, 1, axis) + np.roll(model, -1, axis) - 2 * model for axis in (1, 0))
        rows = np.clip(y + reach, 0, height - 1)
        columns = np.clip(x + reach, 0, across - 1)
        seen = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if smooth:
            seen = cv2.GaussianBlur(seen, (0, 0), smooth, borderType=cv2.BORDER_REPLICATE)
        top, left = y - half - rows[0], x - half - columns[0]
        values = seen[top : top + 2 * half + 1, left : left + 2 * half + 1].astype(np.float64).ravel()[used]
        b, *slopes = (a[inner, inner].ravel()[used] for a in (model, right, down, xx, yy, xy))
        across_x, down_y = ramp_x[used], ramp_y[used]
        design = np.stack([b, *slopes, across_x, down_y, across_x * b, down_y * b])
        # Centered on their means, the columns need no constant among them.
        design -= design.mean(1, keepdims=True)
        centered = values - values.mean()
        try:
            inverse = np.linalg.inv(design @ design.T)
        except np.linalg.LinAlgError:
            return (np.nan,) * 8
        found = inverse @ (design @ centered)
        residual = centered - found @ design
        noise = float(residual @ residual) / (len(values) - len(design) - 1)
        gain = found[0]
        spread = float(inverse[1, 1] + inverse[2, 2])
        if not spread > 0:  # paper alone: all columns are alike but for rounding
            return (np.nan,) * 8
        error = np.sqrt(noise * spread / 2) / max(abs(gain), 1e-12)
        explained = 1 - float(residual @ residual) / max(float(centered @ centered), 1e-30)
        wider = blur**2 + 2 * found[3:5] / gain
        return (
            x + half * float(across_x.mean()),
            y + half * float(down_y.mean()),
            -found[1] / gain,
            -found[2] / gain,
            float(error),
            *(float(np.sqrt(max(v, 0.0))) for v in wider),
            explained if gain > 0 else 0.0,
        )

    windows = zip(centers, window_fractions(chart, mapping, centers, reach), strict=True)
    table = np.array([one(center, sharp) for center, sharp in windows]).reshape(-1, 8)
    table = table[~np.isnan(table).any(1)]
    middle, shift = table[:, :2], table[:, 2:4]
    return Shifts(mapping.to_chart(middle), middle + shift, shift, table[:, 4], table[:, 5:7], table[:, 7])
