"""PSNR against accuracy: whether the better picture is the one that the classifier reads better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from dirtypixels.plotting import DPI, INK, dress, save
from dirtypixels.study.results import Cell, Study
from dirtypixels.study.styles import colors, markers, reach
from dirtypixels.study.tables import condition_name, methods_of, short_name

POINT = 9  # size of a marker
ARROW = "#777777"

Point = tuple[float, float]
Obstacle = tuple[Point, Point, float]  # corner, corner, margin in points


def compared(study: Study) -> dict[str, list[Cell]]:
    """The cells with a PSNR by condition, for the conditions in which more than one method has one."""
    found: dict[str, list[Cell]] = {}
    for cell in study.part("methods"):
        if cell.psnr is not None:
            found.setdefault(cell.condition, []).append(cell)
    return {key: cells for key, cells in found.items() if len({cell.method for cell in cells}) > 1}


def psnr_against_accuracy(study: Study, path: Path | str) -> None:
    """Top-1 over the PSNR of the picture that the classifier saw: axes for each condition, a point per method and seed.

    Arrows lead from the unit as pretrained for PSNR to the unit after joint training.

    Raises:
        ValueError: in no condition of the study does more than one method have a PSNR.
    """
    shown = compared(study)
    if not shown:
        raise ValueError("study must hold a condition in which several methods have a PSNR; found none")
    across = 1 if len(shown) == 1 else 2
    down = -(-len(shown) // across)
    size = (7.2, 5.0) if across == 1 else (10.4, 3.9 * down + 0.4)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    places = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
    drawn = []
    for axes, (condition, cells) in zip(places, shown.items(), strict=False):
        axes.margins(0.16, 0.14)
        obstacles = _points(axes, study, cells)
        axes.set_title(condition_name(condition), fontsize=11, color=INK)
        drawn.append((axes, _labels(cells), obstacles))
    for axes in places[len(shown) :]:
        axes.set_visible(False)
    for i, (axes, _, _) in enumerate(drawn):
        lowest, leftmost = i + across >= len(drawn), i % across == 0
        axes.set(xlabel="PSNR of the picture, dB", ylabel="top-1 accuracy")
        dress(axes, percent=True)
        axes.xaxis.label.set_visible(lowest)
        axes.yaxis.label.set_visible(leftmost)
        axes.tick_params(labelbottom=lowest, labelleft=leftmost)
    if any(arrow for cells in shown.values() for arrow in _arrows(cells)):
        drawn[0][0].plot([], [], "--", color=ARROW, lw=1.1, label="the unit before and after joint training")
        figure.legend(loc="outside upper center", frameon=False, fontsize=10)
    figure.draw_without_rendering()  # the layout must be final before extents in pixels mean anything
    figure.set_layout_engine("none")
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes, labels, obstacles in drawn:
        _write(renderer, axes, labels, obstacles)
    save(figure, path)


def _points(axes: Any, study: Study, cells: list[Cell]) -> list[Obstacle]:
    """Draw points, intervals and arrows; returns what a label should not cover."""
    color, marker = colors(methods_of(study)), markers(methods_of(study))
    obstacles: list[Obstacle] = []
    for cell in cells:
        assert cell.psnr is not None
        psnr, top1 = cell.psnr, cell.top1
        x, y = psnr.value, top1.value
        style = {"markerfacecolor": color[cell.method], "markeredgecolor": INK, "ecolor": INK, "elinewidth": 1.0}
        axes.errorbar(x, y, reach(top1), reach(psnr), fmt=marker[cell.method], markersize=POINT, zorder=3, **style)
        (low, high), (left, right) = top1.interval, psnr.interval
        obstacles += [((x, low), (x, high), 1), ((left, y), (right, y), 1)]
        obstacles += [((x, y), (x, y), POINT / 2)]
    for start, end in _arrows(cells):
        arrow = {"arrowstyle": "-|>", "color": ARROW, "lw": 1.1, "ls": (0, (4, 3)), "shrinkA": 9, "shrinkB": 9}
        axes.annotate("", end, start, arrowprops=arrow, zorder=1)
        steps: list[list[float]] = np.linspace(start, end, 40).tolist()
        obstacles += [((x, y), (x, y), 1) for x, y in steps]
    return obstacles


def _arrows(cells: list[Cell]) -> list[tuple[Point, Point]]:
    """From each unit as pretrained to the same unit after joint training."""
    found = {
        (cell.model.method, cell.model.unit, cell.seed): (cell.psnr.value, cell.top1.value)
        for cell in cells
        if cell.psnr is not None
    }
    return [
        (start, found["joint", unit, seed])
        for (method, unit, seed), start in found.items()
        if method == "unit" and ("joint", unit, seed) in found
    ]


def _labels(cells: list[Cell]) -> dict[Point, str]:
    """Names by the point that they belong to: one for all seeds of a method."""
    last = {cell.method: (cell.psnr.value, cell.top1.value) for cell in cells if cell.psnr is not None}
    return {point: short_name(method) for method, point in last.items()}


def _write(renderer: Any, axes: Any, labels: dict[Point, str], obstacles: list[Obstacle]) -> None:
    """Put each label next to its point where it covers the fewest obstacles."""
    taken = []
    for *corners, margin in obstacles:
        (x0, y0), (x1, y1) = axes.transData.transform(corners)
        taken.append(Bbox.from_extents(x0, y0, x1, y1).padded(margin * DPI / 72))
    pixels: dict[Point, Point] = {point: tuple(axes.transData.transform(point)) for point in labels}
    for point, name in labels.items():
        text = axes.annotate(name, point, fontsize=9.5, color=INK, xytext=(0, 0), textcoords="offset points")
        tried: list[tuple[int, int, Bbox, dict[str, Any]]] = []
        for far in (1, 1.8):
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7)):
                across = "center" if dx == 0 else "left" if dx > 0 else "right"
                up = "center" if dy == 0 else "bottom" if dy > 0 else "top"
                place = {"position": (far * POINT * dx, far * POINT * dy), "ha": across, "va": up}
                text.set(**place)
                box = text.get_window_extent(renderer)
                outside = not (axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1)
                covered = sum(map(box.overlaps, taken)) + len(taken) * outside
                # A label that lies nearer to another point would be read as that one's.
                nearest = min(pixels, key=lambda one: _distance(box, pixels[one]))
                tried.append((covered + (nearest != point), len(tried), box, place))
        _, _, box, place = min(tried, key=lambda one: one[:2])
        text.set(**place)
        taken.append(box)


def _distance(box: Bbox, point: Point) -> float:
    x, y = (max(low - at, 0.0, at - high) for low, high, at in zip(box.min, box.max, point, strict=True))
    return float(np.hypot(x, y))
