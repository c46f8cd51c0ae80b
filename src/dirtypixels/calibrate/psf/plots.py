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

from dirtypixels.calibrate.diagnostics import BLOCK_ERROR, BLOCK_RESIDUAL
from dirtypixels.calibrate.psf.field import MeasuredField
from dirtypixels.plotting import INK, save

DPI = 160
STRETCH = 3  # PSFs are shown to the power 1/3: one thousandth of the peak is a tenth of white
ORANGE = "#D55E00"  # Okabe and Ito's palette
_BLUES = LinearSegmentedColormap.from_list("white to blue", ["#ffffff", "#9ecae1", "#2171b5", "#08306b"])


def plot_quality(field: MeasuredField, path: Path | str) -> None:
    """A mosaic of the blocks' PSFs, and maps of the predicted error and of the residual, as PNG.

    Blocks that are not trusted are framed; the mosaic shows what they were filled with, the maps what was found there.

    Args:
        field: as `psf_field` gave it.
        path: of the PNG.

    Example:
        >>> import tempfile
        >>> from dirtypixels.calibrate.psf.blocks import Blocks
        >>> from dirtypixels.calibrate.psf.estimates import Quality
        >>> one, fine = np.ones((2, 3, 1)), np.full((2, 3), "")
        >>> spots, grid = np.ones((2, 3, 1, 5, 5)) / 25, Blocks((200, 300), 2, 3)
        >>> quality = Quality(noise=0.02 * one, misfit=0 * one, residual=one, failed=fine)
        >>> field = MeasuredField(spots, grid, quality, fine, ["chart.dng"], [0.01], (), "made up", None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_quality(field, Path(folder) / "quality.png")
        ...     (Path(folder) / "quality.png").exists()
        True
    """
    height, width = field.grid.frame
    figure = Figure(figsize=(13.5, 1.5 + 7.6 * height / width), dpi=DPI, layout="constrained")
    parts = figure.add_gridspec(2, 2, width_ratios=(1.9, 1), wspace=0.02)
    mosaic, error, residual = (figure.add_subplot(part) for part in (parts[:, 0], parts[0, 1], parts[1, 1]))
    _mosaic(mosaic, field)
    _map(error, field, 100 * field.quality.max(-1), "predicted relative error of the PSF, %", 100 * BLOCK_ERROR)
    _map(residual, field, field.residual.max(-1), "residual over the noise expected", 2 * BLOCK_RESIDUAL)
    lines = [
        f"PSFs: {'passed' if field.passed else 'not passed'}; "
        f"{int(field.trusted.sum())} of {field.trusted.size} blocks trusted; "
        f"alignment {max(field.alignment_rms_px):.3f} px rms"
    ]
    if not field.passed:
        lines += textwrap.wrap(field.reason, 140, max_lines=2, placeholder=" ...")
    if not field.trusted.all():
        lines.append("orange: not trusted, filled from the nearest trusted blocks")
    figure.suptitle("\n".join(lines), fontsize=12, color=INK if field.passed else ORANGE)
    save(figure, path)


def _mosaic(axes: Any, field: MeasuredField) -> None:
    rows, columns, channels, size = field.blocks.shape[:4]
    tiles = (field.blocks / field.blocks.max((-3, -2, -1), keepdims=True)) ** (1 / STRETCH)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, 0), (0, 1), (0, 1)), constant_values=0.35)
    picture = tiles.transpose(0, 3, 1, 4, 2).reshape(rows * (size + 1), columns * (size + 1), channels)
    place = {**_place(field), "aspect": 1}  # a PSF's pixels are square, whatever the blocks are
    axes.imshow(np.repeat(picture, 3, 2) if channels == 1 else picture, interpolation="nearest", **place)
    _finished(axes, field, f"PSFs of the blocks, {size} x {size} px each, cube root of the brightness")


def _map(axes: Any, field: MeasuredField, values: npt.NDArray[np.float64], title: str, most: float) -> None:
    """Figures of the blocks (R, C) as colors and as text; a block's worst color counts."""
    axes.imshow(values, cmap=_BLUES, vmin=0, vmax=most, **_place(field))
    for i, j in np.argwhere(np.isfinite(values)):
        text = f"{values[i, j]:.1f}" if values[i, j] < 9.95 else f"{values[i, j]:.0f}"
        color = "white" if values[i, j] > 0.5 * most else INK
        size = max(4.5, min(8.0, 90 / values.shape[1]))
        axes.text(j + 1, i + 1, text, ha="center", va="center", fontsize=size, color=color)
    _finished(axes, field, title)


def _place(field: MeasuredField) -> dict[str, Any]:
    """Blocks counted from 1, in the frame's proportions."""
    rows, columns = field.trusted.shape
    height, width = field.grid.frame
    return {"extent": (0.5, columns + 0.5, rows + 0.5, 0.5), "aspect": height / rows / (width / columns)}


def _finished(axes: Any, field: MeasuredField, title: str) -> None:
    for i, j in np.argwhere(~field.trusted):
        axes.add_patch(Rectangle((j + 0.52, i + 0.52), 0.96, 0.96, fill=False, edgecolor=ORANGE, lw=1.8, zorder=3))
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel("column of blocks", fontsize=8, color=INK)
    axes.set_ylabel("row of blocks", fontsize=8, color=INK)
    axes.tick_params(labelsize=7, colors=INK, length=2)
    rows, columns = field.trusted.shape
    axes.set(xticks=range(1, columns + 1), yticks=range(1, rows + 1))
