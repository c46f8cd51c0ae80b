"""What the study's figures share: colours, axes, and how a figure becomes a file, without pyplot's global state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import PercentFormatter

from dirtypixels import files
from dirtypixels.study.results import Estimate

# Okabe and Ito's palette, told apart with every kind of colour vision; grey for what is not restored at all.
METHOD_COLOURS = {
    "pretrained": "#BBBBBB",
    "nlm": "#56B4E9",
    "bm3d": "#0072B2",
    "hqs": "#CC79A7",
    "unit": "#009E73",
    "finetuned": "#E69F00",
    "joint": "#D55E00",
}
METHOD_MARKERS = {
    "pretrained": "o", "nlm": "v", "bm3d": "^", "hqs": "D", "unit": "s", "finetuned": "P", "joint": "X",
}  # fmt: skip
OTHER_COLOURS = ("#000000", "#F0E442")
OTHER_MARKERS = ("*", "<", ">")
INK = "#222222"
DPI = 200


def colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour for every method."""
    return _with_others(methods, METHOD_COLOURS, OTHER_COLOURS)


def markers(methods: Sequence[str]) -> dict[str, str]:
    """A marker for every method."""
    return _with_others(methods, METHOD_MARKERS, OTHER_MARKERS)


def reach(estimate: Estimate) -> list[list[float]]:
    """An estimate's interval as Matplotlib's error bars want it: how far down and how far up."""
    return [[estimate.value - estimate.low], [estimate.high - estimate.value]]


def dress(axes: Any, percent: bool = False) -> None:
    """Axes as all figures have them: a light grid, two spines, and a fraction in percent."""
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(axis="both" if axes.get_xlabel() else "y", color="#dddddd", lw=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)


def save(figure: Any, path: Path | str) -> None:
    """Write a figure as PNG, atomically; with no version in the file, so that the same study gives the same bytes."""
    options = {"format": "png", "facecolor": "white", "metadata": {"Software": None}}
    files.write_atomically(path, lambda temporary: figure.savefig(temporary, **options))


def _with_others(methods: Sequence[str], known: dict[str, str], others: Sequence[str]) -> dict[str, str]:
    unknown = [method for method in methods if method not in known]
    return known | dict(zip(unknown, itertools.cycle(others), strict=False))
