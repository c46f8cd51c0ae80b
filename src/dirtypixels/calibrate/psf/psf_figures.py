"""A measured PSF field as a picture: the PSFs, and how far each block can be trusted."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dirtypixels.calibrate.psf.field import MeasuredField
from dirtypixels.calibrate.psf.quality import MOST_ERROR, MOST_RESIDUAL
from dirtypixels.drawing import INK, save

DPI = 160
STRETCH = 3  # PSFs are shown to the power 1/3: one thousandth of the peak is a tenth of white
ORANGE = "#D55E00"  # Okabe and Ito's palette
_BLUES = LinearSegmentedColormap.from_list("white to blue", ["#ffffff", "#9ecae1", "#2171b5", "#08306b"])


def draw_quality(field: MeasuredField, path: Path | str) -> None:
    """A mosaic of the blocks' PSFs, maps of the predicted error and of the residual, the untrusted blocks crossed out.

    Args:
        field: as `psf_field` gave it.
        path: of the PNG.
    """
    rows, columns = field.trusted.shape
    aspect = field.grid.frame[0] / field.grid.frame[1]
    figure = Figure(figsize=(13.5, 1.5 + 7.2 * aspect), dpi=DPI, layout="constrained")
    parts = figure.add_gridspec(2, 2, width_ratios=(1.9, 1), wspace=0.02)
    mosaic, error, residual = (figure.add_subplot(part) for part in (parts[:, 0], parts[0, 1], parts[1, 1]))
    _mosaic(mosaic, field, aspect)
    noise = 100 * field.quality.max(-1)
    _map(
        error,
        field,
        noise,
        "predicted error of the PSF, %",
        100 * MOST_ERROR,
        "{:.0f}" if np.nanmax(noise) >= 10 else "{:.1f}",
        aspect,
    )
    _map(
        residual, field, field.residual.max(-1), "residual over the noise expected", 2 * MOST_RESIDUAL, "{:.1f}", aspect
    )
    verdict = "passed" if field.passed else "not passed"
    trusted = f"{int(field.trusted.sum())} of {rows * columns} blocks can be trusted"
    rms = f"alignment {max(field.alignment_rms_px):.3f} px rms"
    figure.suptitle(
        "\n".join(
            [f"PSFs: {verdict}; {trusted}; {rms}"]
            + ([] if field.passed else textwrap.wrap(field.reason, 150, max_lines=2, placeholder=" ..."))
        ),
        fontsize=13,
        color=INK if field.passed else ORANGE,
    )
    save(figure, path)


def _mosaic(axes: Any, field: MeasuredField, aspect: float) -> None:
    blocks = field.blocks
    rows, columns, channels, size = blocks.shape[:4]
    tiles = np.clip(blocks / blocks.max((-3, -2, -1), keepdims=True), 0, None) ** (1 / STRETCH)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, 0), (0, 1), (0, 1)), constant_values=0.35)
    picture = tiles.transpose(0, 3, 1, 4, 2).reshape(rows * (size + 1), columns * (size + 1), channels)
    axes.imshow(
        np.repeat(picture, 3, 2) if channels == 1 else picture,
        extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
        aspect=aspect * columns / rows,
        interpolation="nearest",
    )
    _cross_out(axes, field)
    _label(axes, f"PSFs of the blocks, {size} x {size} px each, cube root of the brightness")


def _map(
    axes: Any, field: MeasuredField, values: npt.NDArray[Any], title: str, most: float, form: str, aspect: float
) -> None:
    rows, columns = values.shape
    axes.imshow(
        values,
        cmap=_BLUES,
        vmin=0,
        vmax=most,
        extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
        aspect=aspect * columns / rows,
    )
    small = max(4.5, min(8.0, 90 / columns))
    for i, j in np.ndindex(rows, columns):
        if np.isfinite(values[i, j]):
            colour = "white" if values[i, j] > 0.55 * most else INK
            axes.text(j + 1, i + 1, form.format(values[i, j]), ha="center", va="center", fontsize=small, color=colour)
    _cross_out(axes, field)
    _label(axes, title)


def _cross_out(axes: Any, field: MeasuredField) -> None:
    for i, j in np.argwhere(~field.trusted):
        axes.add_patch(Rectangle((j + 0.5, i + 0.5), 1, 1, fill=False, edgecolor=ORANGE, lw=1.6, zorder=3))
        axes.plot([j + 0.5, j + 1.5], [i + 1.5, i + 0.5], color=ORANGE, lw=1.2, zorder=3)


def _label(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel("column of blocks", fontsize=8, color=INK)
    axes.set_ylabel("row of blocks", fontsize=8, color=INK)
    axes.tick_params(labelsize=7, colors=INK, length=2)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
