"""Why a picture of a chart cannot be used, or what is not right with it, in words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf import mapping as mappings
from dirtypixels.calibrate.psf.chart import USABLE_CELL_PX, BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import (
    LEAST_CORRELATION,
    Correspondence,
    noise_cells,
    noise_correlation,
    opencv,
    square_levels,
    within,
)

_Picture = npt.NDArray[np.float32]

POSSIBLE_CELL_PX = (0.8, 5.0)
"""Widths of a cell in the capture between which anything can be measured."""

_LEAST_MARKERS = 9
"""Of a chart that is cut off."""

_MOST_HIDDEN = 0.15
"""Share of the markers that may be unreadable within the frame."""

_DOUBLED = 0.25
"""Correlation with the noise aside of the markers from which on it is the chart's. Chance gives 0.05, disks of 4 px 0.2
where their spectrum is below 0."""

_TOO_NOISY = 0.4
"""Noise of a pixel, as a share of the step from black to white, in which the pattern may be lost."""

_NOISY = 0.2
"""The same, from which on markers cannot be read for noise."""

_NO_TEXTURE = 0.015
"""Contrast of the noise, as a share of the markers' own, below which it is blurred away; sharp pictures have 0.1."""

_MOST_SATURATED = 0.25
"""Share of the white squares at saturation from which on the picture is refused; below it, `tone` reports them."""

_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


def check_exposure(picture: _Picture, saturation: float) -> None:
    """Raise ValueError where no chart could be found for lack of light."""
    if not saturation > 0:
        raise ValueError(f"saturation must be above 0; found {saturation:g}")
    dark, bright = (float(v) for v in np.percentile(picture[::4, ::4], (2, 98)))
    if bright - dark < 0.02 * saturation:
        raise ValueError(
            f"image is too dark or without contrast: 96 % of its pixels lie between {dark:.4g} and {bright:.4g}, and "
            f"it saturates at {saturation:g}. Expose longer"
        )


def check_white(picture: _Picture, chart: BernoulliChart, found: Correspondence, saturation: float) -> None:
    """Raise ValueError where the chart's white is overexposed, as the middles of its white squares show."""
    boxes, colors = chart.patches()
    inside = within(found.mapping.to_image((boxes[:, :2] + boxes[:, 2:]) / 2), picture, -0.5) & (colors == 1)
    levels = square_levels(picture, chart, found.mapping, np.arange(len(chart.markers)), 0).ravel()[inside]
    full = float((levels >= 0.999 * saturation).mean()) if levels.size else 0.0
    if full > _MOST_SATURATED:
        raise ValueError(
            f"image is overexposed: {100 * full:.0f} % of the chart's white is at saturation ({saturation:g}). "
            "Expose so that white stays below 90 % of it"
        )


def no_chart(picture: _Picture, chart: BernoulliChart, saturation: float) -> ValueError:
    """What to raise where there is no grid of markers."""
    message = (
        f"image shows no chart: no grid of {_LEAST_MARKERS} or more checkerboard markers was found. The chart must "
        f"fill most of the frame, {chart.columns + 1} x {chart.rows + 1} markers, upright within 20 degrees, in focus, "
        "well lit and not too noisy"
    )
    full = float((picture >= 0.999 * saturation).mean())
    if full > _MOST_SATURATED:
        message += f"; {100 * full:.0f} % of the pixels are at saturation ({saturation:g}), so it may be overexposed"
    return ValueError(message)


def check_correspondence(picture: _Picture, chart: BernoulliChart, found: Correspondence) -> None:
    """Raise ValueError where the corners are no picture of this chart, saying of what else."""
    rows, columns = found.grid.polarity.shape
    if found.correlation > LEAST_CORRELATION:
        if found.mirrored:
            raise ValueError(
                "the chart is mirrored in image: the file was flipped after it was taken (front cameras often do "
                "that). PSFs would be mirrored too; use the unflipped raw file"
            )
        return
    if found.agreement < 0.9 or found.grid.count < 9:
        raise ValueError(
            f"image shows another chart: {columns} x {rows} markers were seen, {100 * found.agreement:.0f} % of them "
            f"as in this chart of {chart.columns + 1} x {chart.rows + 1}. Its values are printed below it"
        )
    # The markers are the chart's, and the noise between them cannot be recognized.
    correlation, (x, y) = _displaced_correlation(picture, chart, found)
    if correlation > _DOUBLED:
        raise ValueError(
            f"image is blurred by movement: the chart's pattern lies ({x}, {y}) px aside of its markers, as in a "
            "double image. The camera or the chart moved while the shutter was open; mount both, and expose shorter"
        )
    if unclear := _unclear(picture, chart, found, _TOO_NOISY):
        raise ValueError(f"the chart's pattern cannot be recognized: {unclear}")
    raise ValueError(
        f"image shows a chart with the markers of this one, but with other noise (correlation "
        f"{found.correlation:.3f}, at least {LEAST_CORRELATION:g} is needed): its seed is not {chart.seed}, or its "
        "blocks are of another size. The chart's values are printed below it"
    )


def _displaced_correlation(
    picture: _Picture, chart: BernoulliChart, found: Correspondence, reach_px: int = 14
) -> tuple[float, tuple[int, int]]:
    """The largest correlation over whole pixels by which the noise may lie aside of the map, and where (x, y).

    Of a picture that moved by a jump, the markers are found in the middle between both images and the noise is not.
    """
    high, places, signs = noise_cells(found.mapping, picture, chart, chart.markers[found.numbers])
    shifts = [(x, y) for y in range(-reach_px, reach_px + 1) for x in range(-reach_px, reach_px + 1)]
    return max((noise_correlation(high, places + shift, signs), shift) for shift in shifts)


def _unclear(picture: _Picture, chart: BernoulliChart, found: Correspondence, most_noise: float) -> str:
    """Why nothing is seen clearly in a picture; empty where that has other reasons."""
    texture, noise = _contrast(picture, chart, found)
    if noise > most_noise:
        return (
            f"image is too noisy, a pixel's noise is about {100 * noise:.0f} % of the step from black to white. "
            "Average several frames, or use more light at a lower ISO"
        )
    if texture < _NO_TEXTURE:
        return (
            f"image is out of focus, the pattern between the markers is blurred to {100 * texture:.1f} % of their "
            "contrast. Focus on the chart"
        )
    return ""


def _contrast(picture: _Picture, chart: BernoulliChart, found: Correspondence) -> tuple[float, float]:
    """Standard deviations, as shares of the markers' step from black to white: of the noise cells, and of a pixel.

    ``noise = sqrt(pi / 2) / 6 mean |L * picture|``, L a Laplacian that edges and slopes do not excite

    Its taps are 2 pixels apart, because neighbors in a green that was interpolated are no measurements of their own.
    The cells' deviation about their surroundings, less what the noise makes of it, is 0.1 in a sharp picture, and a
    tenth of that far out of focus.

    Source: Immerkaer, "Fast noise variance estimation", 1996.
    """
    cv2 = opencv()
    near = chart.markers[found.numbers]
    high, places, _ = noise_cells(found.mapping, picture, chart, near)
    column, row = places.round().astype(int).T
    deviation = float(high[row, column].std())
    apart = np.zeros((5, 5), np.float32)
    apart[::2, ::2] = _LAPLACIAN
    bent = np.abs(cv2.filter2D(picture, -1, apart, borderType=cv2.BORDER_REFLECT))
    half = max(1, int(0.2 * chart.square * float(np.median(found.mapping.cell_px(near)))))
    level, noise = (square_levels(values, chart, found.mapping, found.numbers, half) for values in (picture, bent))
    a, b, c, d = level.T
    step = max(float(np.median(np.abs(a + d - b - c) / 2)), 1e-12)
    spread = float(np.median(noise)) * np.sqrt(np.pi / 2) / 6
    return float(np.sqrt(max(deviation**2 - spread**2, 0.0))) / step, spread / step


def check_cell(scale: float) -> None:
    """Raise ValueError where cells are too small or too large in the picture."""
    if not POSSIBLE_CELL_PX[0] <= scale <= POSSIBLE_CELL_PX[1]:
        raise ValueError(
            f"a cell of the chart is {scale:.2f} px wide in image; {POSSIBLE_CELL_PX[0]:g} to {POSSIBLE_CELL_PX[1]:g} "
            f"px can be measured, {USABLE_CELL_PX[0]:g} to {USABLE_CELL_PX[1]:g} px is good. "
            + ("Move nearer or use a chart of fewer cells" if scale < 1 else "Move back or use a chart of more cells")
        )


def completeness(
    picture: _Picture,
    chart: BernoulliChart,
    found: Correspondence,
    index: npt.NDArray[np.int64],
    points: npt.NDArray[np.float64],
    scale: float,
    half: float,
    partial: bool,
) -> tuple[Diagnostic, ...]:
    """Which markers are missing and why, and how the chart lies.

    Raises:
        ValueError: the chart is cut off though `partial` is not set, or too much of it is hidden.
    """
    height, width = size = picture.shape[0], picture.shape[1]
    total = len(chart.markers)
    missing = np.setdiff1d(np.arange(total), index)
    # Where the missing ones should be is extrapolated, and high powers of the radius fold back into the frame.
    places = mappings.fit(chart.markers[index], points, size, outlier_px=2.0, most=1).to_image(chart.markers[missing])
    x, y = places.T
    edge = half + 3
    with np.errstate(invalid="ignore"):
        sides = {
            "left": x < edge,
            "right": ~(x < width - edge),
            "top": y < edge,
            "bottom": ~(y < height - edge),
        }
    cut = np.any(list(sides.values()), axis=0)
    turn = ("", "90 degrees counter-clockwise", "180 degrees", "90 degrees clockwise")[found.quarters]
    diagnostics: list[Diagnostic] = []
    if cut.any():
        where = " and ".join(f"{int(here.sum())} at the {side}" for side, here in sides.items() if here.any())
        text = f"the chart is cut off: {len(index)} of {total} markers are in the frame, missing are {where}"
        if found.quarters % 2:
            text += f" (the chart is turned by {turn}; turn it, or the camera, back)"
        if len(index) < _LEAST_MARKERS:
            raise ValueError(f"{text}, and at least {_LEAST_MARKERS} are needed. Move back or aim again")
        if not partial:
            raise ValueError(f"{text}. Move back or aim again, or pass partial=True (--partial)")
        diagnostics.append(Diagnostic("cut-off", "warning", text))
    hidden = int((~cut).sum())
    if hidden > _MOST_HIDDEN * total:
        unclear = _unclear(picture, chart, found, _NOISY)
        raise ValueError(
            f"{hidden} of {total} markers cannot be read although they should be in the frame: "
            + (unclear or "something covers the chart, or parts of it are far out of focus or overexposed")
        )
    if hidden:
        nearest = ", ".join(f"({a:.0f}, {b:.0f})" for a, b in places[~cut][:5])
        diagnostics.append(
            Diagnostic(
                "hidden-markers", "warning", f"{hidden} of {total} markers cannot be read, at (x, y) = {nearest}"
            )
        )
    if found.quarters:
        text = f"the chart is turned by {turn}, which is taken into account"
        diagnostics.append(Diagnostic("turned", "warning" if found.quarters % 2 else "note", text))
    if not USABLE_CELL_PX[0] <= scale <= USABLE_CELL_PX[1]:
        text = (
            f"a cell is {scale:.2f} px wide; {USABLE_CELL_PX[0]:g} to {USABLE_CELL_PX[1]:g} px tells most about the PSF"
        )
        diagnostics.append(Diagnostic("cell-size", "warning", text))
    return tuple(diagnostics)
