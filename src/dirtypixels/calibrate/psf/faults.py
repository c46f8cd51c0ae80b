"""What is wrong with a picture of a chart, in words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.findings import Finding
from dirtypixels.calibrate.psf import mapping as mappings
from dirtypixels.calibrate.psf.chart import USABLE_CELL_PX, BernoulliChart
from dirtypixels.calibrate.psf.identity import LEAST_CORRELATION, Identity
from dirtypixels.calibrate.psf.lattice import Lattice

POSSIBLE_CELL_PX = (0.8, 5.0)
"""Widths of a cell in the capture between which anything can be measured."""

_MOST_HIDDEN = 0.15
"""Share of the markers that may be unreadable within the frame."""


_MOST_SATURATED = 0.25
"""Share of the white squares at saturation from which on the picture is refused; below it, `tone` reports them."""


def check_exposure(picture: npt.NDArray[np.float32], saturation: float) -> None:
    """Raise ValueError where no chart could be found for lack of light."""
    if not saturation > 0:
        raise ValueError(f"saturation must be above 0; found {saturation:g}")
    dark, bright = (float(v) for v in np.percentile(picture[::4, ::4], (2, 98)))
    if bright - dark < 0.02 * saturation:
        raise ValueError(
            f"image is too dark or without contrast: 96 % of its pixels lie between {dark:.4g} and {bright:.4g}, and "
            f"it saturates at {saturation:g}. Expose longer"
        )


def check_white(values: npt.NDArray[np.float64], saturation: float) -> None:
    """Raise ValueError where the chart's white is overexposed; `values` are pixels in white squares."""
    full = float((values >= 0.999 * saturation).mean()) if values.size else 0.0
    if full > _MOST_SATURATED:
        raise ValueError(
            f"image is overexposed: {100 * full:.0f} % of the chart's white is at saturation ({saturation:g}). "
            "Expose so that white stays below 90 % of it"
        )


def no_chart(picture: npt.NDArray[np.float32], chart: BernoulliChart, saturation: float) -> ValueError:
    """What to raise where there is no lattice of markers."""
    message = (
        "image shows no chart: no lattice of checkerboard markers was found. The chart must fill most of the frame, "
        f"{chart.columns + 1} x {chart.rows + 1} markers, upright within 25 degrees, in focus and well lit"
    )
    full = float((picture >= 0.999 * saturation).mean())
    if full > _MOST_SATURATED:
        message += f"; {100 * full:.0f} % of the pixels are at saturation ({saturation:g}), so it may be overexposed"
    return ValueError(message)


def check_identity(grid: Lattice, identity: Identity, chart: BernoulliChart) -> None:
    """Raise ValueError where the lattice is no picture of this chart, saying of what else."""
    rows, columns = grid.polarity.shape
    if identity.correlation > LEAST_CORRELATION:
        if identity.mirrored:
            raise ValueError(
                "the chart is mirrored in image: the file was flipped after it was taken (front cameras often do "
                "that). PSFs would be mirrored too; use the unflipped raw file"
            )
        return
    if identity.agreement >= 0.9 and grid.count >= 9:
        raise ValueError(
            f"image shows a chart with the markers of this one, but with other noise (correlation "
            f"{identity.correlation:.3f}, at least {LEAST_CORRELATION:g} is needed): the seed is not {chart.seed}, or "
            "the picture is too blurred to tell. The chart's values are printed below it"
        )
    raise ValueError(
        f"image shows another chart: {columns} x {rows} markers were seen, {100 * identity.agreement:.0f} % of them as "
        f"in this chart of {chart.columns + 1} x {chart.rows + 1}. Its values are printed below it"
    )


def check_cell(scale: float) -> None:
    """Raise ValueError where cells are too small or too large in the picture."""
    if not POSSIBLE_CELL_PX[0] <= scale <= POSSIBLE_CELL_PX[1]:
        raise ValueError(
            f"a cell of the chart is {scale:.2f} px wide in image; {POSSIBLE_CELL_PX[0]:g} to {POSSIBLE_CELL_PX[1]:g} "
            f"px can be measured, {USABLE_CELL_PX[0]:g} to {USABLE_CELL_PX[1]:g} px is good. "
            + ("Move nearer or use a chart of fewer cells" if scale < 1 else "Move back or use a chart of more cells")
        )


def completeness(
    size: tuple[int, int],
    chart: BernoulliChart,
    identity: Identity,
    index: npt.NDArray[np.int64],
    points: npt.NDArray[np.float64],
    scale: float,
    half: float,
    partial: bool,
) -> tuple[Finding, ...]:
    """Which markers are missing and why, and how the chart lies.

    Raises:
        ValueError: the chart is cut off though `partial` is not set, or too much of it is hidden.
    """
    height, width = size
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
    turn = ("", "90 degrees counter-clockwise", "180 degrees", "90 degrees clockwise")[identity.quarters]
    found: list[Finding] = []
    if cut.any():
        where = " and ".join(f"{int(here.sum())} at the {side}" for side, here in sides.items() if here.any())
        text = f"the chart is cut off: {len(index)} of {total} markers are in the frame, missing are {where}"
        if identity.quarters % 2:
            text += f" (the chart is turned by {turn}; turn it, or the camera, back)"
        if not partial or len(index) < 9:
            raise ValueError(f"{text}. Move back or aim again, or pass partial=True (--partial; at least 9 markers)")
        found.append(Finding("cut-off", "warning", text))
    hidden = int((~cut).sum())
    if hidden > _MOST_HIDDEN * total:
        raise ValueError(
            f"{hidden} of {total} markers cannot be read although they should be in the frame: something covers the "
            "chart, or parts of it are far out of focus or overexposed"
        )
    if hidden:
        nearest = ", ".join(f"({a:.0f}, {b:.0f})" for a, b in places[~cut][:5])
        found.append(
            Finding("hidden-markers", "warning", f"{hidden} of {total} markers cannot be read, at (x, y) = {nearest}")
        )
    if identity.quarters:
        text = f"the chart is turned by {turn}, which is taken into account"
        found.append(Finding("turned", "warning" if identity.quarters % 2 else "note", text))
    if not USABLE_CELL_PX[0] <= scale <= USABLE_CELL_PX[1]:
        text = (
            f"a cell is {scale:.2f} px wide; {USABLE_CELL_PX[0]:g} to {USABLE_CELL_PX[1]:g} px tells most about the PSF"
        )
        found.append(Finding("cell-size", "warning", text))
    return tuple(found)
