"""A study's figures as PNG files, drawn without pyplot and its global state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox
from torch import Tensor

from dirtypixels import checks, files
from dirtypixels.study.results import Estimate, Study
from dirtypixels.study.tables import cells_of, condition_name, conditions_of, method_name, methods_of

# Okabe and Ito's palette, told apart with every kind of colour vision; grey for what is not restored at all.
METHOD_COLOURS = {
    "pretrained": "#BBBBBB",
    "nlm": "#56B4E9",
    "bm3d": "#0072B2",
    "unit": "#009E73",
    "finetuned": "#E69F00",
    "joint": "#D55E00",
}
OTHER_COLOURS = ("#CC79A7", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#222222"
DPI = 200
POINT = 9  # size of a marker
ARROW = "#777777"

Point = tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """One picture of a panel and what the classifier made of it.

    Args:
        image: (3|1, H, W), as it is to be shown: 0 black, 1 white; clipped to that for showing.
        title: what it is, e.g. "noisy capture"; shown over the first row of a column.
        label: the name of the class that the classifier gave it.
        right: whether that is the true class.
        psnr: against the scene, in dB; None for the scene itself.

    Raises:
        TypeError: image is not floating point.
        ValueError: image does not have that shape, or is not finite.
    """

    image: Tensor
    title: str
    label: str
    right: bool
    psnr: float | None = None

    def __post_init__(self) -> None:
        checks.is_tensor("image", self.image)
        checks.has_shape("image", self.image, ((1, 3), "H", "W"))
        checks.is_finite("image", self.image)


@dataclass(frozen=True)
class PanelRow:
    """One photograph under one condition: scene, noisy capture, and what each method makes of it.

    Args:
        condition: key such as "3lux".
        truth: the name of the true class.
        pictures: from left to right; as many in every row.
    """

    condition: str
    truth: str
    pictures: tuple[Picture, ...]


def accuracy_by_method(study: Study, path: Path | str) -> None:
    """Top-1 as grouped bars, a group per condition, with the 95 % interval of every seed; a bar is the mean over seeds.

    Raises:
        ValueError: the study has no cells.
    """
    if not study.cells:
        raise ValueError("study must hold at least one cell to draw; found none")
    methods = methods_of(study)
    colours = _colours(methods)
    groups = {key: [method for method in methods if cells_of(study, key, method)] for key in conditions_of(study)}
    # A fixed width per bar, so that a study of few conditions does not get slabs.
    slots = sum(map(len, groups.values())) + len(groups)
    figure = Figure(figsize=(max(6.0, 1.6 + 0.52 * slots), 4.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    left = 0
    ticks: list[float] = []
    bars: dict[str, Any] = {}
    for condition, present in groups.items():
        for x, method in enumerate(present, start=left):
            found = [cell.top1 for cell in cells_of(study, condition, method)]
            mean = sum(one.value for one in found) / len(found)
            bars[method] = axes.bar(x, mean, 0.86, color=colours[method], edgecolor=INK, linewidth=0.6, zorder=2)
            for step, one in enumerate(found, start=1):
                beside = x - 0.43 + 0.86 * step / (len(found) + 1)
                axes.errorbar(beside, one.value, _reach(one), color=INK, lw=1.1, capsize=2.5, zorder=3)
            top = max(one.high for one in found) + 0.012
            over = {"ha": "center", "va": "bottom", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
            axes.text(x, top, f"{100 * mean:.1f}", fontsize=7.5, color=INK, **over)
        ticks.append(left + (len(present) - 1) / 2)
        left += len(present) + 1
    middle, reach = (left - 2) / 2, max(left / 2 - 0.1, 4)
    axes.set_xticks(ticks, list(map(condition_name, groups)))
    axes.tick_params(axis="x", length=0, labelsize=11)
    axes.set(ylabel="top-1 accuracy", ylim=(0, 1.06), xlim=(middle - reach, middle + reach))
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    _dress(axes, percent=True)
    handles = [bars[method] for method in methods]
    columns = min(len(methods), max(2, int(figure.get_figwidth() // 1.7)))
    figure.legend(
        handles, list(map(method_name, methods)), loc="outside upper center", ncols=columns, frameon=False, fontsize=9
    )
    _save(figure, path)


def psnr_against_accuracy(study: Study, path: Path | str) -> None:
    """Top-1 over the PSNR of the picture that the classifier saw, a point per condition, method and seed.

    Arrows lead from the unit as pretrained for PSNR to the unit after joint training.

    Raises:
        ValueError: no cell of the study has a PSNR.
    """
    shown = [(cell, cell.psnr) for cell in study.cells if cell.psnr is not None]
    if not shown:
        raise ValueError("study must hold cells with a PSNR; found none")
    colours = _colours(methods_of(study))
    marks = dict(zip(dict.fromkeys(cell.condition for cell, _ in shown), itertools.cycle(MARKERS), strict=False))
    points = {(cell.condition, cell.method, cell.seed): (psnr.value, cell.top1.value) for cell, psnr in shown}
    figure = Figure(figsize=(7.2, 5.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    obstacles: list[tuple[Point, Point, float]] = []
    for cell, psnr in shown:
        x, y = psnr.value, cell.top1.value
        style = {"markerfacecolor": colours[cell.method], "markeredgecolor": INK, "ecolor": INK, "elinewidth": 1.0}
        mark = {"fmt": marks[cell.condition], "markersize": POINT, **style}
        axes.errorbar(x, y, _reach(cell.top1), _reach(psnr), zorder=3, **mark)
        obstacles += [((x, cell.top1.low), (x, cell.top1.high), 1), ((psnr.low, y), (psnr.high, y), 1)]
        obstacles += [((x, y), (x, y), POINT / 2)]
    trained = [
        (start, points.get((key, "joint", seed))) for (key, method, seed), start in points.items() if method == "unit"
    ]
    for start, end in trained:
        if end is not None:
            arrow = {"arrowstyle": "-|>", "color": ARROW, "lw": 1.1, "ls": (0, (4, 3)), "shrinkA": 9, "shrinkB": 9}
            axes.annotate("", end, start, arrowprops=arrow, zorder=1)
            steps = [tuple(np.add(start, t * np.subtract(end, start))) for t in np.linspace(0, 1, 40)]
            obstacles += [(step, step, 1) for step in steps]
    for key, shape in marks.items():
        axes.plot([], [], shape, color="white", markeredgecolor=INK, markersize=8, label=condition_name(key))
    if any(end is not None for _, end in trained):
        axes.plot([], [], "--", color=ARROW, lw=1.1, label="before and after joint training")
    axes.margins(0.16, 0.14)
    axes.set(xlabel="PSNR of the restored picture, dB", ylabel="top-1 accuracy")
    _dress(axes, percent=True)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=10)
    named = {(condition, method): point for (condition, method, _), point in points.items()}  # one for all seeds
    _label(figure, axes, {point: method_name(method) for (_, method), point in named.items()}, obstacles)
    _save(figure, path)


def panels(rows: Sequence[PanelRow], path: Path | str) -> None:
    """Rows of pictures: scene, noisy capture, restored; under each its label, right or wrong, and its PSNR.

    Raises:
        ValueError: no rows, or rows of different lengths.
    """
    widths = {len(row.pictures) for row in rows}
    if len(widths) != 1 or not min(widths):
        raise ValueError(f"rows must hold the same number of pictures, at least 1; found {sorted(widths) or 'no rows'}")
    columns = widths.pop()
    shape = max(row.pictures[0].image.shape[-2] / row.pictures[0].image.shape[-1] for row in rows)
    figure = Figure(
        figsize=(0.35 + 2.25 * columns, len(rows) * (2.25 * shape + 0.43) + 0.3), dpi=DPI, layout="constrained"
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row.pictures):
            axes = grid[i, j]
            pixels = picture.image.detach().cpu().float().clamp(0, 1)
            axes.imshow(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#bbbbbb", linewidth=0.6)
            mark, colour = ("✓", "#00664d") if picture.right else ("✗", "#a33a00")
            psnr = "" if picture.psnr is None else f"\n{picture.psnr:.1f} dB"
            axes.set_xlabel(f"{mark} {_short(picture.label)}{psnr}", fontsize=9, color=colour, labelpad=3)
            if i == 0:
                axes.set_title(picture.title, fontsize=10.5, color=INK)
        name = f"{condition_name(row.condition)} · {_short(row.truth)}"
        grid[i, 0].set_ylabel(name, fontsize=10, color=INK)
    _save(figure, path)


def pretraining_curve(curve: Sequence[tuple[int, float]], path: Path | str) -> None:
    """The average PSNR over the iterations of the pretraining.

    Args:
        curve: (iteration, PSNR in dB), finite, iterations increasing.
        path: of the PNG.

    Raises:
        ValueError: curve is empty, a PSNR is not finite, or the iterations do not increase.
    """
    if not len(curve):
        raise ValueError("curve must hold at least one point; found none")
    iterations = [iteration for iteration, _ in curve]
    values = torch.tensor([psnr for _, psnr in curve], dtype=torch.float64)
    checks.is_finite("curve", values)
    if any(b <= a for a, b in itertools.pairwise(iterations)):
        raise ValueError(f"curve must have increasing iterations; found {iterations}")
    best = int(values.argmax())
    figure = Figure(figsize=(7.2, 4.0), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(iterations, values.numpy(), color=METHOD_COLOURS["bm3d"], lw=1.8, zorder=2)
    axes.plot(iterations[best], values[best], "o", color=METHOD_COLOURS["joint"], markeredgecolor=INK, zorder=3)
    start, end = f"start {values[0]:.2f} dB", f"best {values[best]:.2f} dB at {iterations[best]}"
    axes.set_title(f"{start}, {end}", fontsize=10, color=INK, loc="left")
    axes.set(xlabel="L-BFGS iteration", ylabel="average PSNR, dB")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _dress(axes)
    _save(figure, path)


def _colours(methods: list[str]) -> dict[str, str]:
    others = [method for method in methods if method not in METHOD_COLOURS]
    return METHOD_COLOURS | dict(zip(others, itertools.cycle(OTHER_COLOURS), strict=False))


def _reach(estimate: Estimate) -> list[list[float]]:
    return [[estimate.value - estimate.low], [estimate.high - estimate.value]]


def _label(figure: Any, axes: Any, labels: dict[Point, str], obstacles: list[tuple[Point, Point, float]]) -> None:
    """Put each label beside its point where it covers the fewest obstacles (corner, corner, margin in points)."""
    figure.draw_without_rendering()  # the layout must be final before extents in pixels mean anything
    figure.set_layout_engine("none")
    taken = []
    for *corners, margin in obstacles:
        (x0, y0), (x1, y1) = axes.transData.transform(corners)
        taken.append(Bbox.from_extents(x0, y0, x1, y1).padded(margin * DPI / 72))
    for point, name in labels.items():
        tried: list[tuple[int, int, Any]] = []
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7)):
            across = "center" if dx == 0 else "left" if dx > 0 else "right"
            up = "center" if dy == 0 else "bottom" if dy > 0 else "top"
            place = {"xytext": (POINT * dx, POINT * dy), "textcoords": "offset points", "ha": across, "va": up}
            text = axes.annotate(name, point, fontsize=9, color=INK, **place)
            box = text.get_window_extent()
            outside = not (axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1)
            tried.append((sum(map(box.overlaps, taken)) + len(taken) * outside, len(tried), text))
        _, _, best = min(tried, key=lambda entry: entry[:2])
        taken.append(best.get_window_extent())
        for _, _, text in tried:
            if text is not best:
                text.remove()


def _short(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _dress(axes: Any, percent: bool = False) -> None:
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(axis="both" if axes.get_xlabel() else "y", color="#dddddd", lw=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)


def _save(figure: Any, path: Path | str) -> None:
    # No version in the file: the same study gives the same bytes.
    options = {"format": "png", "facecolor": "white", "metadata": {"Software": None}}
    files.write_atomically(path, lambda temporary: figure.savefig(temporary, **options))
