"""What all figures share: ink, axes, and how a figure becomes a file, without pyplot's global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import PercentFormatter

from dirtypixels import files

INK = "#222222"
GRAY = "#555555"
DPI = 200
# Okabe and Ito's palette, told apart with every kind of color vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"


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
