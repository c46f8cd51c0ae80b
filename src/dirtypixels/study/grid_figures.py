"""Table 1 as pictures: accuracy over light x PSF as a heat map, and over light as lines."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dirtypixels.plotting import DPI, INK, dress, save
from dirtypixels.study.results import Study
from dirtypixels.study.styles import reach
from dirtypixels.study.tables import light_name, lights_of, place_name, places_of

LINE_COLORS = ("#000000", "#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito
LINE_MARKERS = ("o", "s", "D", "^", "v", "P")
DODGE = 1.025  # factor in light between neighboring lines, so that their intervals can be told apart


def heat_map(study: Study, path: Path | str) -> None:
    """Top-1 and top-5 of the grid, light down and PSF across, with the value in every field.

    Raises:
        ValueError: the study has no grid.
    """
    lights, places = _axes_of(study)
    tops = {
        "top-1": {(cell.lux, cell.position): cell.top1.value for cell in study.grid},
        "top-5": {(cell.lux, cell.position): cell.top5.value for cell in study.grid},
    }
    values = [value for found in tops.values() for value in found.values()]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    colors = matplotlib.colormaps["cividis"]  # perceptually uniform, and for every kind of color vision
    size = (2 * (0.95 * len(places)) + 2.3, 0.5 * len(lights) + 1.5)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    for axes, (name, found) in zip(both, tops.items(), strict=True):
        table = np.array([[found.get((lux, place), np.nan) for place in places] for lux in lights])
        image = axes.imshow(table, cmap=colors, vmin=low, vmax=max(high, low + 0.1), aspect="auto")
        for (i, j), value in np.ndenumerate(table):
            if np.isfinite(value):
                ink = _ink(colors(image.norm(value)))
                axes.text(j, i, f"{100 * value:.1f}", ha="center", va="center", color=ink)
        axes.set_title(f"{name}, %", fontsize=11, color=INK)
        axes.set_xticks(range(len(places)), list(map(place_name, places)))
        axes.set_yticks(range(len(lights)), list(map(light_name, lights)))
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=both, fraction=0.03, pad=0.02)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    bar.outline.set_visible(False)
    save(figure, path)


def accuracy_over_light(study: Study, path: Path | str) -> None:
    """Top-1 of the grid over the light level on a logarithmic axis, a line per PSF with 95 % intervals; without noise
    at the right end.

    Raises:
        ValueError: the study has no grid.
    """
    lights, places = _axes_of(study)
    levels = sorted(lux for lux in lights if lux is not None)
    # "No noise" has no place on a logarithmic axis; it stands apart at the right.
    infinity = 1.8 * levels[-1] if levels else 1.0
    figure = Figure(figsize=(7.6, 4.8), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for k, (place, color, marker) in enumerate(
        zip(places, itertools.cycle(LINE_COLORS), itertools.cycle(LINE_MARKERS), strict=False)
    ):
        dodge = DODGE ** (k - (len(places) - 1) / 2)
        cells = sorted((cell for cell in study.grid if cell.position == place), key=lambda cell: cell.lux or math.inf)
        x = np.array([(cell.lux or infinity) * dodge for cell in cells])
        y = np.array([cell.top1.value for cell in cells])
        spread = np.hstack([reach(cell.top1) for cell in cells])
        noisy = np.array([cell.lux is not None for cell in cells])
        style = {"color": color, "marker": marker, "markersize": 6, "markeredgecolor": INK, "markeredgewidth": 0.6}
        axes.errorbar(x, y, spread, ls="none", capsize=2.5, elinewidth=1.1, label=place_name(place), zorder=3, **style)
        axes.plot(x[noisy], y[noisy], color=color, lw=1.7, zorder=2)
        axes.plot(x[noisy.sum() - 1 :], y[noisy.sum() - 1 :], ":", color=color, lw=1.3, zorder=2)
    ticks = [*levels, *([infinity] if None in lights else [])]
    axes.set_xticks(ticks, [f"{lux:g}" for lux in levels] + (["none"] if None in lights else []))
    axes.minorticks_off()
    axes.set_xlim(min(ticks) / 1.25, max(ticks) * 1.25)
    axes.set(xlabel="light, lux (none: no noise)", ylabel="top-1 accuracy")
    dress(axes, percent=True)
    figure.legend(loc="outside upper center", ncols=min(len(places), 4), frameon=False, fontsize=10)
    save(figure, path)


def _ink(ground: tuple[float, float, float, float]) -> str:
    """Black or white, whichever has more contrast with the ground (WCAG 2.2, relative luminance)."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in ground[:3])
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"


def _axes_of(study: Study) -> tuple[list[float | None], list[str | None]]:
    if not study.grid:
        raise ValueError("study must hold a grid to draw; found none")
    return lights_of(study), places_of(study)
