"""A study's plots as PNG files: accuracy by method, and the course of a pretraining."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from dirtypixels import checks
from dirtypixels.plotting import DPI, INK, dress, save
from dirtypixels.study.results import Study
from dirtypixels.study.styles import METHOD_COLORS, colors, reach
from dirtypixels.study.tables import cells_of, condition_name, conditions_of, method_name, methods_of

SLOTS = 18  # bars and gaps side by side at most, so that text stays large enough to read


def accuracy_by_method(study: Study, path: Path | str) -> None:
    """Top-1 as grouped bars, a group per condition, with the 95 % interval of every seed; a bar is the mean over seeds.

    Groups that do not fit side by side go on in axes below.

    Raises:
        ValueError: the study has no cells.
    """
    if not study.cells:
        raise ValueError("study must hold at least one cell to draw; found none")
    methods = methods_of(study)
    groups = {key: [method for method in methods if cells_of(study, key, method)] for key in conditions_of(study)}
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
    handles = [bars[method] for method in methods]
    fitting = max(2, int(figure.get_figwidth() // 1.7))
    columns = math.ceil(len(methods) / math.ceil(len(methods) / fitting))  # lines of equal length
    figure.legend(
        handles, list(map(method_name, methods)), loc="outside upper center", ncols=columns, frameon=False, fontsize=9
    )
    save(figure, path)


def _groups(axes: Any, study: Study, groups: dict[str, list[str]], bars: dict[str, Any]) -> None:
    """Draw groups side by side; notes a bar of every method in `bars`, for the legend."""
    color = colors(methods_of(study))
    left = 0
    ticks: list[float] = []
    for condition, present in groups.items():
        for x, method in enumerate(present, start=left):
            found = [cell.top1 for cell in cells_of(study, condition, method)]
            mean = sum(one.value for one in found) / len(found)
            bars[method] = axes.bar(x, mean, 0.86, color=color[method], edgecolor=INK, linewidth=0.6, zorder=2)
            for step, one in enumerate(found, start=1):
                at = x - 0.43 + 0.86 * step / (len(found) + 1)
                axes.errorbar(at, one.value, reach(one), color=INK, lw=1.1, capsize=2.5, zorder=3)
            top = max(one.high for one in found) + 0.012
            over = {"ha": "center", "va": "bottom", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}
            axes.text(x, top, f"{100 * mean:.1f}", fontsize=7.5, color=INK, **over)
        ticks.append(left + (len(present) - 1) / 2)
        left += len(present) + 1
    axes.set_xticks(ticks, list(map(condition_name, groups)))
    axes.tick_params(axis="x", length=0, labelsize=11)


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
    axes.plot(iterations, values.numpy(), color=METHOD_COLORS["bm3d"], lw=1.8, zorder=2)
    axes.plot(iterations[best], values[best], "o", color=METHOD_COLORS["joint"], markeredgecolor=INK, zorder=3)
    start, end = f"start {values[0]:.2f} dB", f"best {values[best]:.2f} dB at {iterations[best]}"
    axes.set_title(f"{start}, {end}", fontsize=10, color=INK, loc="left")
    axes.set(xlabel="L-BFGS iteration", ylabel="average PSNR, dB")
    axes.xaxis.get_major_locator().set_params(integer=True)
    dress(axes)
    save(figure, path)
