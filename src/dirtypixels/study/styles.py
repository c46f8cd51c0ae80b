"""How the study's figures show a method: its color and its marker, and an estimate's interval."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from dirtypixels.study.results import Estimate

# Okabe and Ito's palette, told apart with every kind of color vision; gray for what is not restored at all.
METHOD_COLORS = {
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
OTHER_COLORS = ("#000000", "#F0E442")
OTHER_MARKERS = ("*", "<", ">")


def colors(methods: Sequence[str]) -> dict[str, str]:
    """A color for every method."""
    return _with_others(methods, METHOD_COLORS, OTHER_COLORS)


def markers(methods: Sequence[str]) -> dict[str, str]:
    """A marker for every method."""
    return _with_others(methods, METHOD_MARKERS, OTHER_MARKERS)


def reach(estimate: Estimate) -> list[list[float]]:
    """An estimate's interval as Matplotlib's error bars want it: how far down and how far up."""
    return [[estimate.value - estimate.low], [estimate.high - estimate.value]]


def _with_others(methods: Sequence[str], known: dict[str, str], others: Sequence[str]) -> dict[str, str]:
    unknown = [method for method in methods if method not in known]
    return known | dict(zip(unknown, itertools.cycle(others), strict=False))
