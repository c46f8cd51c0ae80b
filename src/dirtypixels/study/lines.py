"""Lines over what changes from cell to cell: the light, what a model is told of the noise, and the coverage.

Every figure says whether the study holds anything to draw; where not, there is no file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from dirtypixels.plotting import BLACK, BLUE, DPI, GREEN, INK, ORANGE, PURPLE, VERMILION, dress, save
from dirtypixels.study import tables
from dirtypixels.study.findings import MARGIN
from dirtypixels.study.results import Cell, Difference, Estimate, Study
from dirtypixels.study.styles import Look, looks, reach, shades
from dirtypixels.study.tables import WRONG, light_name, over_light, points

GRID_COLORS = (BLACK, BLUE, ORANGE, VERMILION, GREEN, PURPLE)
GRID_MARKERS = ("o", "s", "D", "^", "v", "P")
BAND = 0.26  # opacity
DODGE = 1.025  # factor in light between neighboring lines, so that their intervals can be told apart
SCARCE = 0.05  # below this coverage the risk is that of a handful of photographs


class _Line(NamedTuple):
    """A name, how it is drawn, and values by light level in lux; None is no noise."""

    name: str
    look: Look
    values: Mapping[float | None, Estimate | Difference]


def accuracy_over_grid(study: Study, path: Path | str) -> bool:
    """Top-1 of the grid over the light level, a line per PSF with 95 % intervals; without noise at the right end."""
    grid = tables.over_grid(study)
    if not grid:
        return False
    drawn = []
    for place, color, marker in zip(
        dict.fromkeys(place for cells in grid.values() for place in cells),
        itertools.cycle(GRID_COLORS),
        itertools.cycle(GRID_MARKERS),
        strict=False,
    ):
        values = {lux: cells[place].top1 for lux, cells in grid.items() if place in cells}
        drawn.append(_Line(tables.place_name(place), Look(color, marker=marker), values))
    figure, axes = _over_light(drawn, (8.4, 4.8), _percent)
    none = " (none: no noise)" if None in grid else ""
    axes.set(xlabel=f"light, lux{none}", ylabel="top-1 accuracy")
    save(figure, path)
    return True


def accuracy_over_light(study: Study, path: Path | str) -> bool:
    """Top-1 over the light level, a line for each model over light with its 95 % intervals; a ring marks each
    specialist at its own light.
    """
    models = over_light(study)
    if not models:
        return False
    drawn = [
        _Line(name, look, {lux: cell.top1 for lux, cell in models[name].items()})
        for name, look in _looks(study).items()
    ]
    figure, axes = _over_light(drawn, (9.2, 6.0), _percent)
    for line, x in zip(drawn, _places(drawn), strict=True):
        for lux, cell in models[line.name].items():
            if cell.is_at_home:
                ring = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2.2, "zorder": 30}
                axes.plot(x[lux], cell.top1.value, "o", markeredgecolor=line.look.color, label="at home", **ring)
    axes.set(xlabel="light, lux", ylabel="top-1 accuracy")
    if any(cell.is_at_home for cell in study.part("light")):
        axes.set_title("rings: a specialist at the light that it was trained for", fontsize=10, color=INK, loc="left")
    save(figure, path)
    return True


def difference_over_light(study: Study, path: Path | str) -> bool:
    """Top-1 minus that of the specialist of each light, over the lights that have one, with paired 95 % intervals; a
    line for each model that was trained with noise for more than one light, and the margin of 1 point shaded.
    """
    drawn = [
        _Line(name, look, gaps) for name, look in _looks(study).items() if (gaps := _compared(over_light(study)[name]))
    ]
    if not drawn:
        return False
    figure, axes = _over_light(drawn, (9.2, 4.6), _points)
    axes.axhline(0, color=INK, lw=1.0, zorder=2)
    axes.axhspan(-MARGIN, MARGIN, color="#000000", alpha=0.07, lw=0, zorder=1)
    axes.set(xlabel="light, lux", ylabel="top-1 minus the specialist's, points")
    title = f"each against the specialist of that light; shaded: within {100 * MARGIN:g} point"
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    save(figure, path)
    return True


def accuracy_over_factor(study: Study, path: Path | str) -> bool:
    """Top-1 of models that are told so many times the true alpha or sigma: axes for each model and what is wrong, a
    line for each light level, with the 95 % interval of the paired change added to the accuracy under the truth.
    """
    cells, told = study.part("wrong_noise"), tables.told_wrong(study)
    kinds = [kind for kind in WRONG if set(tables.along(cells, kind)) - {1}]
    if not kinds:
        return False
    models = list(dict.fromkeys(model for model, _ in told))
    size = (4.3 * len(kinds) + 1.2, 3.9 * len(models) + 0.3)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    places = figure.subplots(len(models), len(kinds), sharex=True, sharey=True, squeeze=False)
    every = sorted({lux for _, lux in told})
    factors = sorted({factor for cell in cells for factor in (cell.alpha_factor, cell.sigma_factor)})
    looks = {lux: Look(color, 1.8) for lux, color in zip(every, shades(len(every)), strict=True)}
    for (i, model), (j, kind) in itertools.product(enumerate(models), enumerate(kinds)):
        axes = places[i, j]
        axes.set_xscale("log", base=2)
        for lux, look in looks.items():
            found = tables.along(told.get((model, lux), ()), kind)
            if found:
                _factor_line(axes, found, look)
        axes.set_title(f"{model}: {WRONG[kind]}", fontsize=11, color=INK)
        axes.set(xlabel="told, as a multiple of the truth" if i == len(models) - 1 else "")
        axes.set(ylabel="top-1 accuracy" if j == 0 else "")
        axes.axvline(1, color=INK, lw=0.9, zorder=2)
        _dress(axes, _percent)
        axes.tick_params(axis="x", labelsize=9 if len(factors) < 8 else 7.5)
    places[0, 0].set_xticks(factors, [f"×{f:g}" for f in factors])
    places[0, 0].xaxis.set_minor_locator(NullLocator())
    _legend(figure, {light_name(lux): look for lux, look in reversed(looks.items())})
    save(figure, path)
    return True


def risk_over_coverage(study: Study, path: Path | str) -> bool:
    """The wrong among the answers over the coverage, where models abstain below a threshold on their confidence: axes
    for each light level, a line for each model.
    """
    models = over_light(study)
    curves = {(name, lux): cell.risk for name, cells in models.items() for lux, cell in cells.items() if cell.risk}
    if not curves:
        return False
    lights = sorted({lux for _, lux in curves})
    across = min(2, len(lights))
    down = -(-len(lights) // across)
    figure = Figure(figsize=(5.4 * across, 3.6 * down), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)
    places = figure.subplots(down, across, sharex=True, squeeze=False).flatten()
    drawn = {name for name, _ in curves}
    looks = {name: look._replace(marker="") for name, look in _looks(study).items() if name in drawn}
    for axes, lux in zip(places, lights, strict=False):
        for name, look in looks.items():
            if (name, lux) in curves:
                x, y = np.array(curves[name, lux].coverage), np.array(curves[name, lux].risk)
                seen = x >= min(SCARCE, x[-1])
                axes.plot(x[seen], y[seen], color=look.color, lw=look.width, ls=look.style, zorder=look.order)
        axes.set_title(light_name(lux), fontsize=11, color=INK)
        axes.set(xlabel="coverage: answered", ylabel="risk: wrong among the answers", xlim=(0, 1))
        axes.set_ylim(bottom=0)
        _dress(axes, _percent)
        axes.xaxis.set_major_formatter(_percent)
        axes.xaxis.label.set_visible(axes in places[len(lights) - across :])
        axes.yaxis.label.set_visible(axes in places[::across])
        axes.tick_params(labelbottom=True)
    for axes in places[len(lights) :]:
        axes.set_visible(False)
    _legend(figure, looks)
    save(figure, path)
    return True


def _looks(study: Study) -> dict[str, Look]:
    models = {name: next(iter(cells.values())).model for name, cells in over_light(study).items()}
    return looks(models)


def _compared(cells: Mapping[float, Cell]) -> dict[float | None, Estimate | Difference]:
    """A model's differences to the specialists; none of a specialist and of a model that never saw noise."""
    own = all(cell.model.kind not in ("specialist", "pretrained") for cell in cells.values())
    return {lux: cell.difference for lux, cell in cells.items() if own and cell.difference}


def _places(lines: Sequence[_Line]) -> list[dict[float | None, float]]:
    """Where each line has its points: by the light, with neighboring lines a little apart."""
    infinity = _beyond([lux for line in lines for lux in line.values if lux is not None])
    middle = (len(lines) - 1) / 2
    return [
        {lux: (lux or infinity) * DODGE ** (k - middle) for lux in sorted(line.values, key=lambda lux: lux or math.inf)}
        for k, line in enumerate(lines)
    ]


def _over_light(
    lines: Sequence[_Line], size: tuple[float, float], text: Callable[[float, object], str]
) -> tuple[Figure, Any]:
    """A figure with the lines over a logarithmic axis of light, with intervals; dotted to where there is no noise."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    places = _places(lines)
    for line, place in zip(lines, places, strict=True):
        look, x = line.look, list(place.values())
        values = [line.values[lux] for lux in place]
        y = [value.value for value in values]
        style = {"markeredgecolor": INK, "markeredgewidth": 0.6, "capsize": 2.5, "elinewidth": 1.1}
        axes.errorbar(x, y, reach(*values), fmt=look.marker, color=look.color, markersize=5, zorder=look.order, **style)
        noisy = len([lux for lux in place if lux is not None])
        axes.plot(x[:noisy], y[:noisy], color=look.color, lw=look.width, ls=look.style, zorder=look.order - 10)
        if noisy < len(x):
            last = max(noisy - 1, 0)
            axes.plot(x[last:], y[last:], ":", color=look.color, lw=1.3, zorder=look.order - 10)
    every = {lux for line in lines for lux in line.values}
    levels = sorted(lux for lux in every if lux is not None)
    apart = [_beyond(levels)] if None in every else []
    axes.set_xticks([*levels, *apart], [f"{lux:g}" for lux in levels] + ["none"] * len(apart))
    axes.minorticks_off()
    drawn = [x for place in places for x in place.values()]
    axes.set_xlim(min(drawn) / 1.06, max(drawn) * 1.04)
    _dress(axes, text)
    # In the order in which the lines end at the right.
    ends = {line.name: line.values[list(place)[-1]].value for line, place in zip(lines, places, strict=True)}
    _legend(figure, {one.name: one.look for one in sorted(lines, key=lambda one: -ends[one.name])})
    return figure, axes


def _beyond(levels: Sequence[float]) -> float:
    """Where "no noise" is on a logarithmic axis: apart, at the right."""
    return 1.8 * max(levels) if levels else 1.0


def _legend(figure: Figure, looks: Mapping[str, Look]) -> None:
    style = {"markeredgecolor": INK, "markeredgewidth": 0.6, "markersize": 5}
    handles = [
        Line2D([], [], color=look.color, lw=look.width, ls=look.style, marker=look.marker, **style)
        for look in looks.values()
    ]
    figure.legend(handles, list(looks), loc="outside right center", frameon=False, fontsize=9.5, handlelength=3)


def _factor_line(axes: Any, found: dict[float, Cell], look: Look) -> None:
    factors = sorted(found)
    y = [found[f].top1.value for f in factors]
    # The paired change is known far better than the accuracy itself; the truth's own value has no change.
    gaps = [found[f].difference for f in factors]
    low = [top - (gap.value - gap.low if gap else 0.0) for top, gap in zip(y, gaps, strict=True)]
    high = [top + (gap.high - gap.value if gap else 0.0) for top, gap in zip(y, gaps, strict=True)]
    axes.fill_between(factors, low, high, color=look.color, alpha=BAND, lw=0, zorder=3)
    axes.plot(factors, y, "o-", color=look.color, lw=look.width, markersize=4.5, zorder=4)


def _dress(axes: Any, text: Callable[[float, object], str]) -> None:
    dress(axes)
    axes.grid(axis="both", color="#dddddd", lw=0.7)
    axes.yaxis.set_major_formatter(FuncFormatter(text))


def _percent(fraction: float, _: object = None) -> str:
    """As many digits as there are, so that ticks 2.5 % apart are not rounded to others."""
    return f"{round(100 * fraction, 6):g} %"


def _points(difference: float, _: object = None) -> str:
    return points(difference).removesuffix(".0") if round(difference, 6) else "0"
