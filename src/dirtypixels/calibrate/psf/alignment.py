"""Where each point of a chart lies in its picture: a map fitted to windows that are registered on the noise pattern."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic, Severity
from dirtypixels.calibrate.psf import mapping as mappings
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import opencv
from dirtypixels.calibrate.psf.coverage import window_fractions
from dirtypixels.calibrate.psf.mapping import Mapping, Points, Rest
from dirtypixels.calibrate.psf.markers import Markers, find_markers

MOST_BLUR_PX = 4.0
"""RMS radius of the blur, over the frame's median, beyond which a picture is refused as out of focus."""

GOAL_PX = 0.05
"""Error of alignment that costs the PSFs less than their own noise does."""

_MARKER_PX = 0.1
"""Error of a marker's place: it may be this far off where the PSF is not symmetric."""

_LEAST_SHARE = 0.4
"""Of a window that is on the chart."""

_WORTH_A_REST_PX = 0.01

_FLOOR_PX = 0.003
"""Error of a window's shift that its residual does not show: the PSF is not quite symmetric, the lens no polynomial."""


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

    chart: Points
    image: Points
    shift: Points
    error: Points
    blur: Points
    explained: Points

    def __getitem__(self, which: npt.NDArray[Any]) -> Shifts:
        return Shifts(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def rms_px(self) -> float:
        """Root mean square length of the shifts in pixels."""
        return float(np.sqrt((self.shift**2).sum(1).mean()))

    def against(self, fitted: Mapping) -> Shifts:
        """The same measurements as displacements against another map."""
        return replace(self, shift=self.image - fitted.to_image(self.chart))


@dataclass(frozen=True, eq=False)
class Alignment:
    """A map between chart and picture, and how good it is.

    A shift that all PSFs of a neighborhood have in common (coma has one) cannot be told from distortion: it is in
    this map, not in the PSFs.

    Args:
        size: (height, width) of the picture in pixels.
        mapping: the map: perspective, distortion, and a smooth rest where it is needed.
        markers: the markers that were found.
        rms_px: root mean square distance of measured and fitted places over all windows, in pixels.
        shifts: what was left to measure in windows all over the frame after the last fit.
        blur_px: median over the frame of the blur's RMS radius in pixels, the pixel aperture not counted.
        diagnostics: what is worth knowing, those of the markers included.
    """

    size: tuple[int, int]
    mapping: Mapping
    markers: Markers
    rms_px: float
    shifts: Shifts
    blur_px: float
    diagnostics: tuple[Diagnostic, ...]


def align(image: npt.NDArray[Any], chart: BernoulliChart, *, partial: bool = False) -> Alignment:
    """Find out where a chart lies in its picture, to a few hundredths of a pixel.

    The markers give a first map. Windows all over the frame are then registered with the sharp chart blurred alike, and
    the map is fitted to them; three rounds. What perspective and a lens polynomial leave (paper that is not flat) is
    taken up by a smooth spline, if windows that it was not fitted to agree.

    Args:
        image: (H, W) linear light at full resolution (for a mosaic: `raw.mosaic.full_green`), black about 0, white 1.
        chart: the chart that was photographed.
        partial: take a chart that is cut off by the frame.

    Raises:
        TypeError: image is not an array of numbers.
        ValueError: image has another shape or values that are not finite, or is a picture that cannot be used: see
            `find_markers`; or it is out of focus beyond `MOST_BLUR_PX`, or too noisy for the pattern to be seen.
        RuntimeError: OpenCV is not installed.
    """
    markers = find_markers(image, chart, partial=partial)
    picture = np.ascontiguousarray(image, dtype=np.float32)
    size = (picture.shape[0], picture.shape[1])
    current = mappings.fit(markers.chart, markers.image, size)
    spacing, blur = max(size) / 22, 1.0

    def measured(against: Mapping, smooth: float, sparse: float) -> Shifts:
        centers = window_centers(size, against, chart, spacing * sparse, _LEAST_SHARE)
        return _trusted(window_shifts(picture, chart, against, centers, blur, smooth))

    for smooth, sparse in ((2.0, 2.0), (0.7, 1.4), (0.0, 1.0)):
        shifts = measured(current, smooth, sparse)
        blur = float(np.clip(np.median(shifts.blur), 0.3, MOST_BLUR_PX))
        current = _refitted(current, shifts, markers)
    if (radius := blur * np.sqrt(2)) > MOST_BLUR_PX:
        raise ValueError(
            f"image is out of focus: the blur's RMS radius is {radius:.1f} px or more, at most {MOST_BLUR_PX:g} px can "
            "be measured. Focus on the chart"
        )
    current, diagnostics = _with_rest(current, shifts, chart)
    if current.rest is not None:
        shifts = measured(current, 0.0, 1.0)
        current = _with_rest(current, shifts, chart, needed=True)[0]
    left = shifts.against(current)
    blur_px = float(np.median(np.hypot(*left.blur.T)))
    diagnostics = markers.diagnostics + diagnostics + _judged(left.rms_px)
    return Alignment(size, current, markers, left.rms_px, left, blur_px, diagnostics)


def _trusted(shifts: Shifts) -> Shifts:
    """Windows that show the pattern: what covers the chart, or a scratch, explains little and would pull at the map.

    Windows over the chart's edge that hold little but paper are left out as well.

    Raises:
        ValueError: too few windows are left.
    """
    with np.errstate(invalid="ignore"):
        usual = float(np.nanmedian(shifts.explained)) if len(shifts.explained) else 0.0
        good = (shifts.explained > 0.5 * usual) & (np.abs(shifts.shift).max(1, initial=0.0) < 4.0)
        good &= shifts.error < 4 * np.median(shifts.error[good]) if good.any() else False
    if usual < 0.02 or good.sum() < 6:
        raise ValueError(
            f"the chart's noise cannot be seen in image ({100 * usual:.1f} % of its variance is the pattern's, in "
            f"{int(good.sum())} windows): it is far out of focus, too dark, or too noisy; average several frames"
        )
    return shifts[good]


def _refitted(current: Mapping, shifts: Shifts, markers: Markers) -> Mapping:
    """The map fitted to where the windows' middles really are; the markers hold it where there are no windows."""
    chart = np.concatenate([shifts.chart, markers.chart])
    image = np.concatenate([shifts.image, markers.image])
    weight = np.concatenate([_weights(shifts), np.full(len(markers.index), 1 / _MARKER_PX)])
    return mappings.fit(chart, image, current.size, current, weight, outlier_px=0.3)


def _weights(shifts: Shifts) -> Points:
    return np.asarray(1 / np.hypot(shifts.error, _FLOOR_PX), dtype=np.float64)


def _with_rest(
    current: Mapping, shifts: Shifts, chart: BernoulliChart, needed: bool = False
) -> tuple[Mapping, tuple[Diagnostic, ...]]:
    """The map with a spline for what it leaves, if that predicts windows which the spline has not seen."""
    base = replace(current, rest=None)
    left = shifts.against(base)

    def spline(which: Shifts) -> Rest:
        return Rest(which.chart, which.shift, _weights(which) ** 2, chart.shape, max(chart.shape) / 8)

    if not needed:
        half = np.arange(len(left.error)) % 2 == 0
        missed = [left[~one].shift - spline(left[one])(left[~one].chart) for one in (half, ~half)]
        after = float(np.sqrt((np.concatenate(missed) ** 2).sum(1).mean()))
        if left.rms_px < _WORTH_A_REST_PX or after > 0.7 * left.rms_px:
            return base, ()
    rest = spline(left)
    most = float(np.hypot(*rest(left.chart).T).max())
    message = (
        f"perspective and lens polynomial leave {left.rms_px:.3f} px rms, up to {most:.2f} px, that varies smoothly; "
        "it is corrected. The chart is not flat, or the lens distorts in an unusual way"
    )
    severity: Severity = "warning" if most > 0.5 else "note"
    return replace(base, rest=rest), (Diagnostic("not-flat", severity, message),)


def _judged(rms: float) -> tuple[Diagnostic, ...]:
    if rms <= GOAL_PX:
        return ()
    # No failure: what it costs shows in the blocks, whose misfit is judged.
    message = (
        f"the alignment leaves {rms:.3f} px rms, more than {GOAL_PX:g} px: the chart is not flat, or the PSF is far "
        "from symmetric and changes over the field (then each block's centroid makes up for it). What it costs is in "
        "the predicted errors"
    )
    return (Diagnostic("alignment", "warning", message),)


def window_px(size: tuple[int, int]) -> int:
    """Side of a window in pixels, even: small against the bend of a lens, large enough for a shift to 0.002 px.

    In a small picture it is smaller, so that windows reach near the corners, where the map would be extrapolated.
    """
    return 2 * int(np.clip(min(size) / 24, 16, 32))


def window_centers(
    size: tuple[int, int], mapping: Mapping, chart: BernoulliChart, spacing: float, share: float = 1.0
) -> Points:
    """(N, 2) middles of windows, about `spacing` pixels apart, that lie in the picture and on the chart.

    `share` is the part of a window that must be on the chart. Windows that hang over its edge keep the map from being
    extrapolated there.
    """
    height, width = size
    reach = window_px(size) // 2 + 1

    def places(length: int) -> Points:
        count = max(2, round((length - 2 * reach) / spacing) + 1)
        return np.round(np.linspace(reach, length - 1 - reach, count))

    grid = np.stack([a.ravel() for a in np.meshgrid(places(width), places(height))], 1)
    steps = np.linspace(-reach - 4, reach + 4, 5)
    probes = np.stack([a.ravel() for a in np.meshgrid(steps, steps)], 1)
    on_chart = mapping.to_chart((grid[:, None] + probes).reshape(-1, 2))
    with np.errstate(invalid="ignore"):
        inside = (on_chart > 0).all(1) & (on_chart[:, 0] < chart.shape[1]) & (on_chart[:, 1] < chart.shape[0])
    return np.asarray(grid[inside.reshape(len(grid), -1).mean(1) >= share], dtype=np.float64)


def window_shifts(
    picture: npt.NDArray[np.float32],
    chart: BernoulliChart,
    mapping: Mapping,
    centers: Points,
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
        chart, mapping: where the chart is thought to be.
        centers: (N, 2) whole pixels; half a window or more inside the picture.
        blur: standard deviation of the Gaussian in pixels.
        smooth: standard deviation of a further Gaussian over both pictures, which widens the reach to larger shifts.
    """
    cv2 = opencv()
    width = float(np.hypot(blur, smooth))
    margin = int(np.ceil(4 * width)) + 2
    half = window_px((picture.shape[0], picture.shape[1])) // 2
    reach = np.arange(-half - margin, half + margin + 1)
    inner = slice(margin, -margin)
    ramp_y, ramp_x = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1) / half
    far = 2 * int(np.ceil(2.5 * width)) + 1
    if smooth:
        picture = cv2.GaussianBlur(picture, (0, 0), smooth, borderType=cv2.BORDER_REPLICATE)

    def one(center: Points, sharp: Points) -> tuple[float, ...]:
        x, y = round(float(center[0])), round(float(center[1]))
        # Beyond the chart there is paper or wall; pixels that it reaches through the Gaussian are left out.
        unknown = cv2.dilate(np.isnan(sharp).astype(np.uint8), np.ones((far, far), np.uint8))
        used = unknown[inner, inner].ravel() == 0
        if used.sum() < 200:
            return (np.nan,) * 8
        model = cv2.GaussianBlur(np.nan_to_num(sharp, nan=1.0), (0, 0), width)
        down, right = (np.gradient(model, axis=axis) for axis in (0, 1))
        xy = np.gradient(right, axis=0)
        # second differences, wrong at the border, which the margin holds
        xx, yy = (np.roll(model, 1, axis) + np.roll(model, -1, axis) - 2 * model for axis in (1, 0))
        values = picture[y - half : y + half + 1, x - half : x + half + 1].astype(np.float64).ravel()[used]
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
