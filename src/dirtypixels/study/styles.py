"""How the study's figures show a method or a model: its color and its marker, and an estimate's interval."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.colors import to_hex, to_rgb

from dirtypixels.plotting import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from dirtypixels.study.results import Difference, Estimate, Model

# Gray for what is not restored at all; a classifier behind a frozen restoration has another shade of its hue.
METHOD_COLORS = {
    "pretrained": "#BBBBBB", "nlm": SKY, "bm3d": BLUE, "hqs": PURPLE, "unit": GREEN, "finetuned": ORANGE,
    "nlm_finetuned": "#BBE3FF", "bm3d_finetuned": "#00285D", "hqs_finetuned": "#9C5073", "unit_finetuned": "#005400",
    "joint": VERMILION,
}  # fmt: skip
METHOD_MARKERS = {
    "pretrained": "o", "nlm": "v", "bm3d": "^", "hqs": "D", "unit": "s", "finetuned": "P",
    "nlm_finetuned": "p", "bm3d_finetuned": "h", "hqs_finetuned": "d", "unit_finetuned": "8", "joint": "X",
}  # fmt: skip
OTHER_COLORS = (BLACK, YELLOW)
OTHER_MARKERS = ("*", "<", ">")
# Models over light; the specialists are shades of green, from dark light to bright.
KIND_COLORS = {
    "pretrained": "#808080", "finetuned": ORANGE, "unconditioned": PURPLE, "conditioned": VERMILION, "ensemble": BLUE,
}  # fmt: skip
SHADES = ("#00391A", "#56B881")
DASHES = ("-", "--", ":", "-.")


class Look(NamedTuple):
    """How a line is drawn, the same in every figure."""

    color: str
    width: float = 1.7
    style: str = "-"
    order: int = 15
    marker: str = "o"


def colors(methods: Sequence[str]) -> dict[str, str]:
    """A color for every method; of several units of one method each next one is paler."""
    found = _with_others(methods, METHOD_COLORS, OTHER_COLORS)
    for method in dict.fromkeys(key.partition(":")[0] for key in methods):
        named = [key for key in methods if key.startswith(f"{method}:")]
        for key, paler in zip(named, np.linspace(0, 0.75, len(named)), strict=True):
            found[key] = to_hex([1 - (1 - part) * (1 - paler) for part in to_rgb(found[method])])
    return found


def markers(methods: Sequence[str]) -> dict[str, str]:
    """A marker for every method, whichever its unit."""
    found = _with_others(methods, METHOD_MARKERS, OTHER_MARKERS)
    return found | {key: found[key.partition(":")[0]] for key in methods}


def looks(models: Mapping[str, Model]) -> dict[str, Look]:
    """How every model over light is drawn, by name: specialists first, then in the order of KIND_COLORS."""
    homes = {
        name: model.trained_lux
        for name, model in models.items()
        if model.kind == "specialist" and isinstance(model.trained_lux, float)
    }
    specialists = sorted(homes, key=lambda name: homes[name])
    found = {name: Look(shade, 1.4) for name, shade in zip(specialists, shades(len(specialists)), strict=True)}
    for kind, color in KIND_COLORS.items():
        # Several models of one kind have its color and differ in dashes.
        names = [name for name, model in models.items() if model.kind == kind]
        width, order = (2.6, 18) if kind == "conditioned" else (1.8, 16)
        found |= {n: Look(color, width, style, order) for n, style in zip(names, itertools.cycle(DASHES), strict=False)}
    return found


def shades(count: int) -> list[str]:
    """Colors of light levels, from dark to bright."""
    ramp = matplotlib.colors.LinearSegmentedColormap.from_list("light", SHADES)
    return [to_hex(ramp(x)) for x in np.linspace(0, 1, max(count, 2))[:count]]


def reach(*estimates: Estimate | Difference) -> list[list[float]]:
    """Intervals as Matplotlib's error bars want them: how far down and how far up."""
    return [[one.value - one.interval[0] for one in estimates], [one.interval[1] - one.value for one in estimates]]


def _with_others(methods: Sequence[str], known: dict[str, str], others: Sequence[str]) -> dict[str, str]:
    unknown = dict.fromkeys(method for key in methods if (method := key.partition(":")[0]) not in known)
    return known | dict(zip(unknown, itertools.cycle(others), strict=False))
