"""A study's plots as PNG files: accuracy by method and over PSNR, the grid of light x PSF, a pretraining's course."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

from dirtypixels.plotting import BLUE, DPI, INK, VERMILION, dress, save
from dirtypixels.study import tables
from dirtypixels.study.results import Cell, Study
from dirtypixels.study.styles import colors, markers, reach

ARROW = "unit before and after joint training"
SLOTS = 18  # bars and gaps side by side at most, so that text stays large enough to read


def accuracy_by_method(study: Study, path: Path | str) -> bool:
    """Top-1 as grouped bars, a group per condition, with the 95 % interval of every seed; a bar is the mean over seeds.

    A dot is a single training, where there are several. Groups that do not fit side by side go on in axes below. False
    where there is nothing to draw.
    """
    if not study.part("methods"):
        return False
    methods = tables.methods_of(study)
    groups = {
        key: [method for method in methods if tables.cells_of(study, key, method)]
        for key in tables.conditions_of(study)
    }
    lines: list[list[str]] = [[]]
    for key, present in groups.items():
        if lines[-1] and sum(len(groups[other]) + 1 for other in lines[-1]) + len(present) > SLOTS:
            lines.append([])
        lines[-1].append(key)
    # A fixed width per bar, so that a study of few conditions does not get slabs.
    slots = max(sum(len(groups[key]) + 1 for key in line) for line in lines)
    size = (max(6.0, 1.6 + 0.52 * slots), 3.9 * len(lines) + 0.7)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    bars: dict[str, Any] = {}
    for axes, line in zip(figure.subplots(len(lines), 1, squeeze=False).flatten(), lines, strict=True):
        _groups(axes, study, {key: groups[key] for key in line}, bars)
        middle = (slots - 2) / 2 if len(lines) > 1 else (sum(len(groups[key]) + 1 for key in line) - 2) / 2
        half = max(slots / 2 - 0.1, 4)
        axes.set(ylabel="top-1 accuracy", ylim=(0, 1.06), xlim=(middle - half, middle + half))
        axes.set_yticks(np.arange(0, 1.01, 0.2))
        dress(axes, percent=True)
    _legend(figure, {tables.method_name(method): bars[method] for method in methods})
    save(figure, path)
    return True


def _groups(axes: Any, study: Study, groups: dict[str, list[str]], bars: dict[str, Any]) -> None:
    """Draw groups side by side; notes a bar of every method in `bars`, for the legend."""
    color = colors(tables.methods_of(study))
    left = 0
    ticks: list[float] = []
    for condition, present in groups.items():
        for x, method in enumerate(present, start=left):
            cells = tables.cells_of(study, condition, method)
            found = [cell.top1 for cell in cells]
            mean = sum(one.value for one in found) / len(found)
            bars[method] = axes.bar(x, mean, 0.86, color=color[method], edgecolor=INK, linewidth=0.6, zorder=2)
            for step, one in enumerate(found, start=1):
                at = x - 0.43 + 0.86 * step / (len(found) + 1)
                drawn = axes.errorbar(at, one.value, reach(one), color=INK, lw=1.1, capsize=2.5, zorder=3)
                for line in (*drawn.lines[1], *drawn.lines[2]):  # on a dark bar a dark line needs an edge
                    line.set_path_effects([withStroke(linewidth=2.4, foreground="white")])
            _dots(axes, x, [t.metrics["top1"].value for c in cells for t in c.trainings])
            top = max(
                [one.interval[1] for one in found] + [t.metrics["top1"].value for c in cells for t in c.trainings]
            )
            over = {"ha": "center", "va": "bottom", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
            axes.text(x, top + 0.012, f"{100 * mean:.1f}", fontsize=7.5, color=INK, **over)
        ticks.append(left + (len(present) - 1) / 2)
        left += len(present) + 1
    axes.set_xticks(ticks, list(map(tables.condition_name, groups)))
    axes.tick_params(axis="x", length=0, labelsize=11)


def _dots(axes: Any, x: float, values: Sequence[float]) -> None:
    """Single trainings on a bar, side by side on both sides of its interval."""
    steps = np.linspace(-0.26, 0.26, len(values)) if len(values) > 1 else np.zeros(len(values))
    # Not in the middle, where the interval is.
    steps = np.where(np.abs(steps) < 0.1, 0.1 * np.where(np.arange(len(steps)) % 2, 1, -1), steps)
    axes.plot(x + steps, values, "o", ms=3.6, mfc="white", mec=INK, mew=0.9, ls="none", zorder=4)


def psnr_against_accuracy(study: Study, path: Path | str, metric: str = "psnr") -> bool:
    """Top-1 over the PSNR of the picture that the classifier saw: axes for each condition, a point per method and seed.

    `metric` is "psnr", or "psnr_affine" after the best gain and offset. Small dots are single trainings. Arrows lead
    from the unit as pretrained for PSNR to the unit after joint training. Conditions in which fewer than two methods
    have a PSNR are left out; False where no other is there.
    """
    every: dict[str, list[Cell]] = {}
    for cell in study.part("methods"):
        if metric in cell.metrics:
            every.setdefault(cell.condition, []).append(cell)
    shown = {key: cells for key, cells in every.items() if len({cell.method for cell in cells}) > 1}
    if not shown:
        return False
    across = 1 if len(shown) == 1 else 2
    down = -(-len(shown) // across)
    size = (7.2, 5.0) if across == 1 else (10.4, 3.9 * down + 0.7)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    places = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
    drawn: dict[str, Any] = {}
    for i, (axes, (condition, cells)) in enumerate(zip(places, shown.items(), strict=False)):
        drawn |= _points(axes, study, cells, metric)
        lowest, leftmost = i + across >= len(shown), i % across == 0
        axes.set(xlabel=f"{tables.heading(metric)} of the picture, dB", ylabel="top-1 accuracy")
        axes.set_title(tables.condition_name(condition), fontsize=11, color=INK)
        dress(axes, percent=True)
        axes.margins(0.1)
        axes.xaxis.label.set_visible(lowest)
        axes.yaxis.label.set_visible(leftmost)
        axes.tick_params(labelbottom=lowest, labelleft=leftmost)
    for axes in places[len(shown) :]:
        axes.set_visible(False)
    _legend(figure, {tables.method_name(key): drawn[key] for key in (*tables.methods_of(study), ARROW) if key in drawn})
    save(figure, path)
    return True


def _points(axes: Any, study: Study, cells: list[Cell], metric: str) -> dict[str, Any]:
    """Draw points, intervals and arrows; returns what the legend needs of each method and of the arrows."""
    color, marker = colors(tables.methods_of(study)), markers(tables.methods_of(study))
    drawn, ends = {}, {}
    for cell in cells:
        psnr = cell.metrics[metric]
        x, y = ends[cell.model.method, cell.model.unit, cell.seed] = (psnr.value, cell.top1.value)
        style = {"markerfacecolor": color[cell.method], "markeredgecolor": INK, "ecolor": INK, "elinewidth": 1.0}
        points = axes.errorbar(
            x, y, reach(cell.top1), reach(psnr), fmt=marker[cell.method], markersize=9, zorder=3, **style
        )
        drawn[cell.method] = points.lines[0]
        each = [(t.metrics[metric].value, t.metrics["top1"].value) for t in cell.trainings if metric in t.metrics]
        for at in each:
            axes.plot(*at, marker[cell.method], ms=4, mfc=color[cell.method], mec=INK, mew=0.5, alpha=0.75, zorder=2)
    for (method, unit, seed), start in ends.items():
        if method == "unit" and ("joint", unit, seed) in ends:
            arrow = {"arrowstyle": "-|>", "color": "#777777", "lw": 1.1, "ls": (0, (4, 3)), "shrinkA": 9, "shrinkB": 9}
            axes.annotate("", ends["joint", unit, seed], start, arrowprops=arrow, zorder=1)
            drawn[ARROW] = Line2D([], [], color="#777777", lw=1.1, ls="--")
    return drawn


def _legend(figure: Figure, handles: dict[str, Any]) -> None:
    """Over the axes, in as few lines of equal length as fit."""
    names = list(handles)
    widths = [0.65 + 0.078 * len(name) for name in names]  # inches: the handle with its gaps, and letters of 9 points
    for lines in range(1, len(names) + 1):
        columns = math.ceil(len(names) / lines)
        # Matplotlib fills a legend column by column.
        if sum(max(widths[i : i + lines]) for i in range(0, len(names), lines)) <= figure.get_figwidth():
            break
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper center", ncols=columns, frameon=False, fontsize=9
    )


def heat_map(study: Study, path: Path | str) -> bool:
    """Top-1 and top-5 of the grid, light down and PSF across, with the value in every field; False without a grid."""
    cells = study.part("grid")
    if not cells:
        return False
    lights, places = (list(dict.fromkeys(getattr(cell, axis) for cell in cells)) for axis in ("lux", "position"))
    tops = {
        tables.heading(metric): {(cell.lux, cell.position): cell.metrics[metric].value for cell in cells}
        for metric in ("top1", "top5")
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
        axes.set_xticks(range(len(places)), list(map(tables.place_name, places)))
        axes.set_yticks(range(len(lights)), list(map(tables.light_name, lights)))
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=both, fraction=0.03, pad=0.02)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    bar.outline.set_visible(False)
    save(figure, path)
    return True


def pretraining_curve(
    curve: Sequence[tuple[int, float]], path: Path | str, optimizer: Literal["lbfgs", "adam"] = "lbfgs"
) -> None:
    """The average PSNR over a pretraining: (iteration or step, PSNR in dB), for Adam on held-out captures."""
    iterations, values = zip(*curve, strict=True)
    best = values.index(max(values))
    figure = Figure(figsize=(7.2, 4.0), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(iterations, values, color=BLUE, lw=1.8, zorder=2)
    axes.plot(iterations[best], values[best], "o", color=VERMILION, markeredgecolor=INK, zorder=3)
    start, end = f"start {values[0]:.2f} dB", f"best {values[best]:.2f} dB at {iterations[best]}"
    axes.set_title(f"{start}, {end}", fontsize=10, color=INK, loc="left")
    adam = optimizer == "adam"
    axes.set(
        xlabel="Adam step" if adam else "L-BFGS iteration",
        ylabel="average PSNR on held-out patches, dB" if adam else "average PSNR, dB",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    dress(axes)
    save(figure, path)


def _ink(ground: tuple[float, float, float, float]) -> str:
    """Black or white, whichever has more contrast with the ground (WCAG 2.2, relative luminance)."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in ground[:3])
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"
