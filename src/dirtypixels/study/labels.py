"""Names written next to the ends of lines, pushed apart where they would cover each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

GAP = 1.15  # distance of neighboring labels in heights of a label
AWAY = 16  # points from the end of the longest line to the labels
DARKER = 0.8  # a color that is right for a line is pale for letters


class End(NamedTuple):
    """The end of a line, in the axes' data, and what is written next to it."""

    x: float
    y: float
    text: str
    color: str


def label_ends(figure: Any, ends: Mapping[Any, Sequence[End]], size: float = 9.5) -> None:
    """Write names to the right of lines that end at the right of their axes, each with a thin line from end to name.

    The figure's layout is made final by this, so it comes last, just before saving.

    Args:
        figure: with a layout that leaves room for what is written outside of axes, such as "constrained".
        ends: of lines, by axes.
        size: of the letters in points.
    """
    written = {axes: [_write(axes, end, size) for end in found] for axes, found in ends.items() if found}
    # Labels that are moved ask for other margins, which move the ends of the lines: so twice.
    for engine in (figure.get_layout_engine(), "none"):
        figure.draw_without_rendering()
        figure.set_layout_engine(engine)
        for axes, texts in written.items():
            _place(figure, axes, ends[axes], texts)


def spread(places: npt.NDArray[np.float64], distance: float) -> npt.NDArray[np.float64]:
    """The places nearest to the given ones, by least squares, that are at least so far apart and in the same order.

    ``min sum_i (s_i - p_i)^2`` with ``s_(i+1) - s_i >= distance``: with the distances taken off, the mean of each run
    of places that are not in order (pool adjacent violators).

    Args:
        places: (n,), in any order; equal ones keep theirs.
        distance: at least 0.
    """
    order = np.argsort(places, kind="stable")
    steps = distance * np.arange(len(places))
    runs: list[tuple[float, int]] = []  # mean and length
    for place in (places[order] - steps).tolist():
        mean, length = place, 1
        while runs and runs[-1][0] > mean:
            before, count = runs.pop()
            mean, length = (before * count + mean * length) / (count + length), count + length
        runs.append((mean, length))
    found = np.empty(len(places))
    found[order] = np.repeat([mean for mean, _ in runs], [length for _, length in runs]) + steps
    return found


def _place(figure: Any, axes: Any, ends: Sequence[End], texts: Sequence[Any]) -> None:
    renderer = FigureCanvasAgg(figure).get_renderer()
    height = max(Text.get_window_extent(text, renderer).height for text in texts)  # without the line to it
    pixels = np.array([axes.transData.transform((end.x, end.y)) for end in ends])
    right, up = pixels[:, 0].max(), spread(pixels[:, 1], GAP * height)
    for text, (x, y), to in zip(texts, pixels, up, strict=True):
        text.set_position((AWAY + (right - x) * 72 / figure.dpi, (to - y) * 72 / figure.dpi))


def _write(axes: Any, end: End, size: float) -> Any:
    line = {"arrowstyle": "-", "color": end.color, "lw": 0.7, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
    place = {"xytext": (AWAY, 0), "textcoords": "offset points", "ha": "left", "va": "center"}
    ink = tuple(DARKER * part for part in to_rgb(end.color))
    return axes.annotate(
        end.text, (end.x, end.y), fontsize=size, color=ink, arrowprops=line, annotation_clip=False, **place
    )
