"""A light study as pictures: accuracy over light, over wrong noise figures, and risk over coverage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from dirtypixels.plotting import DPI, INK, dress, save
from dirtypixels.study.labels import End, label_ends
from dirtypixels.study.light_findings import MARGIN
from dirtypixels.study.light_results import LightStudy, Mismatch
from dirtypixels.study.light_tables import WRONG, cells_of, lights_of, mismatch_of, wrong_of
from dirtypixels.study.results import Estimate
from dirtypixels.study.tables import light_name, points

# Okabe and Ito's palette for the models of all light; the specialists are shades of green, from dark light to bright.
KIND_COLORS = {
    "pretrained": "#808080",
    "finetuned": "#E69F00",
    "unconditioned": "#CC79A7",
    "conditioned": "#D55E00",
    "ensemble": "#0072B2",
}
SHADES = ("#00391A", "#56B881")
DASHES = ("-", "--", ":", "-.")
BAND = 0.13  # opacity
DODGE = 1.03  # factor in light between neighboring lines, so that their intervals can be told apart
SCARCE = 0.05  # below this coverage the risk is that of a handful of photographs


class Look(NamedTuple):
    """How a model's line is drawn, the same in every figure."""

    color: str
    width: float
    style: str
    order: int


def accuracy_over_lux(study: LightStudy, path: Path | str) -> None:
    """Top-1 over the judged light on a logarithmic axis, a line for each model with its 95 % band; a ring marks each
    specialist at its own light.

    Raises:
        ValueError: the study has no cells.
    """
    looks = _looks(study)
    figure = Figure(figsize=(9.2, 6.0), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    ends = []
    for model, look in looks.items():
        cells = cells_of(study, model)
        x, y = list(cells), [cell.top1.value for cell in cells.values()]
        _line(axes, x, y, [cell.top1 for cell in cells.values()], look)
        ends.append(End(x[-1], y[-1], model, look.color))
        for lux, cell in cells.items():
            if cell.is_at_home:
                ring = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2.2, "zorder": 30}
                axes.plot(lux, cell.top1.value, "o", markeredgecolor=look.color, label="at home", **ring)
    _light_axis(axes, lights_of(study))
    axes.set(ylabel="top-1 accuracy")
    _dress(axes)
    if any(cell.is_at_home for cell in study.cells):
        axes.set_title("rings: a specialist at the light that it was trained for", fontsize=10, color=INK, loc="left")
    label_ends(figure, {axes: ends})
    save(figure, path)


def difference_over_lux(study: LightStudy, path: Path | str) -> None:
    """Top-1 minus that of the specialist of each light, over the lights that have one, with paired 95 % intervals; a
    line for each model that was trained with noise for more than one light, and the margin of 1 point shaded.

    Raises:
        ValueError: no model was compared with a specialist at that specialist's light.
    """
    looks = {
        model: look
        for model, look in _looks(study).items()
        if all(cell.kind not in ("specialist", "pretrained") for cell in cells_of(study, model).values())
        and any(cell.difference for cell in cells_of(study, model).values())
    }
    if not looks:
        raise ValueError("study must compare a model with a specialist at its light to draw; found none")
    figure = Figure(figsize=(9.2, 4.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color=INK, lw=1.0, zorder=2)
    axes.axhspan(-MARGIN, MARGIN, color="#000000", alpha=0.07, lw=0, zorder=1)
    ends, lights = [], []
    for k, (model, look) in enumerate(looks.items()):
        gaps = {lux: cell.difference for lux, cell in cells_of(study, model).items() if cell.difference}
        lights += list(gaps)
        x = [lux * DODGE ** (k - (len(looks) - 1) / 2) for lux in gaps]
        y = [gap.value for gap in gaps.values()]
        reach = [[gap.value - gap.low for gap in gaps.values()], [gap.high - gap.value for gap in gaps.values()]]
        axes.plot(x, y, color=look.color, lw=look.width, ls=look.style, zorder=look.order)
        axes.errorbar(x, y, reach, fmt="o", color=look.color, markersize=5, capsize=2.5, elinewidth=1.1, zorder=20)
        ends.append(End(x[-1], y[-1], model, look.color))
    _light_axis(axes, sorted(set(lights)))
    axes.set(ylabel="top-1 minus the specialist's, points")
    dress(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(_points))
    title = f"each against the specialist of that light; shaded: within {100 * MARGIN:g} point"
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    label_ends(figure, {axes: ends})
    save(figure, path)


def accuracy_over_factor(study: LightStudy, path: Path | str) -> None:
    """Top-1 of models that are told so many times the true alpha or sigma: axes for each model and what is wrong, a
    line for each light level, with the 95 % interval of the paired change added to the accuracy under the truth.

    Raises:
        ValueError: the study has no mismatch.
    """
    if not study.mismatch:
        raise ValueError("study must hold a mismatch to draw; found none")
    kinds = [kind for kind in WRONG if any(_is_axis(m, kind) and not m.is_true for m in study.mismatch)]
    models = list(dict.fromkeys(m.model for m in study.mismatch))
    size = (4.3 * len(kinds) + 1.2, 3.9 * len(models) + 0.3)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    places = figure.subplots(len(models), len(kinds), sharex=True, sharey=True, squeeze=False)
    every = sorted({m.lux for m in study.mismatch})
    factors = sorted({f for m in study.mismatch for f in (m.alpha_factor, m.sigma_factor)})
    shades = dict(zip(every, _shades(len(every)), strict=True))
    ends: dict[Any, list[End]] = {}
    for i, model in enumerate(models):
        for j, kind in enumerate(kinds):
            axes = places[i, j]
            axes.set_xscale("log", base=2)
            for lux in every:
                found = {_factor(m, kind): m for m in mismatch_of(study, model, lux) if _is_axis(m, kind)}
                if found:
                    ends.setdefault(axes, []).append(_mismatch_line(axes, found, shades[lux], lux))
            axes.set_title(f"{model}: {WRONG[kind]}", fontsize=11, color=INK)
            axes.set(xlabel="told, as a multiple of the truth" if i == len(models) - 1 else "")
            axes.set(ylabel="top-1 accuracy" if j == 0 else "")
            axes.axvline(1, color=INK, lw=0.9, zorder=2)
            _dress(axes)
            axes.tick_params(axis="x", labelsize=9 if len(factors) < 8 else 7.5)
    places[0, 0].set_xticks(factors, [f"×{f:g}" for f in factors])
    places[0, 0].xaxis.set_minor_locator(NullLocator())
    label_ends(figure, ends)
    save(figure, path)


def risk_over_coverage(study: LightStudy, path: Path | str) -> None:
    """The wrong among the answers over the coverage, where models abstain below a threshold on their confidence: axes
    for each light level, a line for each model.

    Raises:
        ValueError: the study has no curves.
    """
    if not study.selective:
        raise ValueError("study must hold curves of risk over coverage to draw; found none")
    looks = _looks(study)
    lights = sorted({curve.lux for curve in study.selective})
    across = min(2, len(lights))
    down = -(-len(lights) // across)
    figure = Figure(figsize=(5.4 * across, 3.6 * down), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)
    places = figure.subplots(down, across, sharex=True, squeeze=False).flatten()
    ends: dict[Any, list[End]] = {}
    for axes, lux in zip(places, lights, strict=False):
        found = {curve.model: curve for curve in study.selective if curve.lux == lux}
        for model in (model for model in looks if model in found):
            curve, look = found[model], looks[model]
            x, y = np.array(curve.coverage), np.array(curve.risk)
            seen = x >= min(SCARCE, x[-1])
            axes.plot(x[seen], y[seen], color=look.color, lw=look.width, ls=look.style, zorder=look.order)
            ends.setdefault(axes, []).append(End(1.0, curve.risk[-1], model, look.color))
        axes.set_title(light_name(lux), fontsize=11, color=INK)
        axes.set(xlabel="coverage: answered", ylabel="risk: wrong among the answers", xlim=(0, 1))
        axes.set_ylim(bottom=0)
        _dress(axes)
        axes.xaxis.set_major_formatter(_percent)
        axes.xaxis.label.set_visible(axes in places[len(lights) - across :])
        axes.yaxis.label.set_visible(axes in places[::across])
        axes.tick_params(labelbottom=True)
    for axes in places[len(lights) :]:
        axes.set_visible(False)
    label_ends(figure, ends, size=8.5)
    save(figure, path)


def _mismatch_line(axes: Any, found: dict[float, Mismatch], color: str, lux: float) -> End:
    factors = sorted(found)
    y = [found[f].top1.value for f in factors]
    # The paired change is known far better than the accuracy itself; the truth's own value has no change.
    gaps = [found[f].difference for f in factors]
    low = [top - (gap.value - gap.low if gap else 0.0) for top, gap in zip(y, gaps, strict=True)]
    high = [top + (gap.high - gap.value if gap else 0.0) for top, gap in zip(y, gaps, strict=True)]
    axes.fill_between(factors, low, high, color=color, alpha=2 * BAND, lw=0, zorder=3)
    axes.plot(factors, y, "o-", color=color, lw=1.8, markersize=4.5, zorder=4)
    return End(factors[-1], y[-1], light_name(lux), color)


def _is_axis(cell: Mismatch, kind: str) -> bool:
    """Whether a cell belongs to the line along which only `kind` is wrong; the truth belongs to all."""
    if kind == "both":
        return cell.alpha_factor == cell.sigma_factor
    return wrong_of(cell) in (kind, "none")


def _factor(cell: Mismatch, kind: str) -> float:
    return cell.sigma_factor if kind == "sigma" else cell.alpha_factor


def _line(axes: Any, x: Sequence[float], y: Sequence[float], spread: Sequence[Estimate], look: Look) -> None:
    low, high = [one.low for one in spread], [one.high for one in spread]
    axes.fill_between(x, low, high, color=look.color, alpha=BAND, lw=0, zorder=look.order - 10)
    axes.plot(x, y, color=look.color, lw=look.width, ls=look.style, marker="o", markersize=3.5, zorder=look.order)


def _dress(axes: Any) -> None:
    dress(axes)
    axes.grid(axis="both", color="#dddddd", lw=0.7)
    axes.yaxis.set_major_formatter(_percent)


def _percent(fraction: float, _: object = None) -> str:
    """As many digits as there are, so that ticks 2.5 % apart are not rounded to others."""
    return f"{round(100 * fraction, 6):g} %"


def _points(difference: float, _: object = None) -> str:
    return points(difference).removesuffix(".0") if round(difference, 6) else "0"


def _light_axis(axes: Any, lights: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(lights, [f"{lux:g}" for lux in lights])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(lights[0] / 1.12, lights[-1] * 1.1)
    axes.set(xlabel="light, lux")


def _looks(study: LightStudy) -> dict[str, Look]:
    """How every model is drawn, those of all light in the order of KIND_COLORS last."""
    if not study.cells:
        raise ValueError("study must hold at least one cell to draw; found none")
    kinds = {cell.model: cell for cell in study.cells}
    homes = {m: c.trained_lux for m, c in kinds.items() if c.kind == "specialist" and isinstance(c.trained_lux, float)}
    specialists = sorted(homes, key=lambda model: homes[model])
    looks = {
        model: Look(shade, 1.4, "-", 15) for model, shade in zip(specialists, _shades(len(specialists)), strict=True)
    }
    for kind, color in KIND_COLORS.items():
        # Several models of one kind have its color and differ in dashes.
        for model, style in zip((m for m in kinds if kinds[m].kind == kind), itertools.cycle(DASHES), strict=False):
            looks[model] = Look(
                color, 2.6 if kind == "conditioned" else 1.8, style, 18 if kind == "conditioned" else 16
            )
    return looks


def _shades(count: int) -> list[str]:
    ramp = matplotlib.colors.LinearSegmentedColormap.from_list("light", SHADES)
    return [to_hex(ramp(x)) for x in np.linspace(0, 1, max(count, 2))[:count]]
