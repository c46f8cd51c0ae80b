"""Where each point of a chart lies in its picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic, Severity
from dirtypixels.calibrate.psf import mapping as mappings
from dirtypixels.calibrate.psf import registration
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.mapping import Mapping, Points, Rest
from dirtypixels.calibrate.psf.markers import Markers, find_markers
from dirtypixels.calibrate.psf.registration import Shifts

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


def align(
    image: npt.NDArray[Any], chart: BernoulliChart, *, saturation: float = 1.0, partial: bool = False
) -> Alignment:
    """Find out where a chart lies in its picture, to a few hundredths of a pixel.

    The markers give a first map. Windows all over the frame are then registered with the sharp chart blurred alike, and
    the map is fitted to them; three rounds. What perspective and a lens polynomial leave (paper that is not flat) is
    taken up by a smooth spline, if windows that it was not fitted to agree.

    Args:
        image: (H, W) linear light at full resolution (for a mosaic: `raw.mosaic.full_green`), black about 0.
        chart: the chart that was photographed.
        saturation: the value of `image` at which the sensor saturates.
        partial: take a chart that is cut off by the frame.

    Raises:
        TypeError: image is not an array of numbers.
        ValueError: image has another shape or values that are not finite, or is a picture that cannot be used: see
            `find_markers`; or it is out of focus beyond `MOST_BLUR_PX`, or too noisy for the pattern to be seen.
        RuntimeError: OpenCV is not installed.
    """
    markers = find_markers(image, chart, saturation=saturation, partial=partial)
    picture = np.ascontiguousarray(image, dtype=np.float32)
    size = (picture.shape[0], picture.shape[1])
    current = mappings.fit(markers.chart, markers.image, size)
    spacing, blur = max(size) / 22, 1.0

    def measured(against: Mapping, smooth: float, sparse: float) -> Shifts:
        centers = registration.window_centers(size, against, chart, spacing * sparse, _LEAST_SHARE)
        return _trusted(registration.measure(picture, chart, against, centers, blur, smooth))

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
    rms = left.rms_px
    return Alignment(
        size=size,
        mapping=current,
        markers=markers,
        rms_px=rms,
        shifts=left,
        blur_px=float(np.median(np.hypot(*left.blur.T))),
        diagnostics=markers.diagnostics + diagnostics + _judged(rms),
    )


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
    before = left.rms_px

    def spline(which: Shifts) -> Rest:
        return Rest(which.chart, which.shift, _weights(which) ** 2, chart.shape, max(chart.shape) / 8)

    if not needed:
        half = np.arange(len(left.error)) % 2 == 0
        missed = [left[~one].shift - spline(left[one])(left[~one].chart) for one in (half, ~half)]
        after = float(np.sqrt((np.concatenate(missed) ** 2).sum(1).mean()))
        if before < _WORTH_A_REST_PX or after > 0.7 * before:
            return base, ()
    rest = spline(left)
    most = float(np.hypot(*rest(left.chart).T).max())
    message = (
        f"perspective and lens polynomial leave {before:.3f} px rms, up to {most:.2f} px, that varies smoothly; it is "
        "corrected. The chart is not flat, or the lens distorts in an unusual way"
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
