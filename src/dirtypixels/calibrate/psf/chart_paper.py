"""Paper, printer dots and the words below a chart."""

from __future__ import annotations

import re

from dirtypixels.calibrate.psf.chart import SHARP_DOTS, VERSION, BernoulliChart

PAPERS_MM = {
    "A4": (210.0, 297.0),
    "A3": (297.0, 420.0),
    "A2": (420.0, 594.0),
    "A1": (594.0, 841.0),
    "A0": (841.0, 1189.0),
    "letter": (215.9, 279.4),
    "tabloid": (279.4, 431.8),
}
"""Short and long side of a paper."""

MARGIN_MM = 8.0
"""Left free on all sides: most printers leave 5 mm or less unprinted."""

CAPTION_MM = 16.0
"""Height below the chart for the scale and two lines of text."""


def largest_cell_mm(chart: BernoulliChart, paper: str, dpi: float) -> float:
    """Side of the largest cell of whole printer dots with which a chart fits a paper; see `BernoulliChart.on_paper`."""
    _check_dpi(dpi)
    across, down = _oriented(chart, _paper_mm(paper))
    height, width = chart.shape
    room = min((across - 2 * MARGIN_MM) / width, (down - 2 * MARGIN_MM - CAPTION_MM) / height)
    dots = int(room / 25.4 * dpi + 1e-9)
    if dots < 2:
        raise ValueError(
            f"paper {paper} is too small for {width} x {height} cells at {dpi:g} dpi: a cell would be "
            f"{max(room, 0.0) / 25.4 * dpi:.1f} printer dots, at least 2 are needed ({SHARP_DOTS} or more print well)"
        )
    return round(dots * 25.4 / dpi, 9)


def caption(chart: BernoulliChart) -> tuple[str, str]:
    """Two lines for people, to be set below a chart: how to build it again, and how to use it."""
    return (
        f"dirtypixels chart, version {VERSION}: BernoulliChart(rows={chart.rows}, columns={chart.columns}, "
        f"block={chart.block}, square={chart.square}, border={chart.border}, seed={chart.seed}, "
        f"cell_mm={chart.cell_mm:.6g})",
        f"{chart.size_mm[1]:.1f} x {chart.size_mm[0]:.1f} mm. This line is the bottom. Print at 100 %, matt paper, no "
        "smoothing; mount it flat; let it fill the frame; light it evenly; keep white below saturation.",
    )


def _check_dpi(dpi: float) -> None:
    if not 50 <= dpi <= 10_000:
        raise ValueError(f"dpi must be in [50, 10000]; found {dpi:g}")


def dots_of(chart: BernoulliChart, dpi: float) -> int:
    """Printer dots per cell: a whole number, because uneven cells would be taken for blur."""
    _check_dpi(dpi)
    exact = chart.cell_mm / 25.4 * dpi
    dots = round(exact)
    if dots < 1 or abs(exact - dots) > 1e-3 * dots:
        nearest = ", ".join(f"{n * 25.4 / dpi:.6g}" for n in sorted({max(1, int(exact)), int(exact) + 1}))
        raise ValueError(
            f"a cell of {chart.cell_mm:g} mm is {exact:.3f} printer dots at {dpi:g} dpi, and must be a whole number; "
            f"cell_mm of {nearest} would be (or use on_paper)"
        )
    return dots


def _paper_mm(paper: str) -> tuple[float, float]:
    sizes = {name.lower(): size for name, size in PAPERS_MM.items()}
    if paper.lower() in sizes:
        return sizes[paper.lower()]
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[xX×]\s*(\d+(?:\.\d+)?)(?:\s*mm)?", paper.strip())
    if found is None or min(float(found[1]), float(found[2])) < 30:
        raise ValueError(
            f"paper must be {', '.join(PAPERS_MM)} or WIDTHxHEIGHT in millimeters, at least 30; found {paper!r}"
        )
    short, long = sorted((float(found[1]), float(found[2])))
    return short, long


def _oriented(chart: BernoulliChart, sides: tuple[float, float]) -> tuple[float, float]:
    """(across, down) of a paper laid as the chart lies."""
    short, long = sides
    return (long, short) if chart.shape[1] >= chart.shape[0] else (short, long)


def page_of(chart: BernoulliChart, paper: str | None) -> tuple[float, float]:
    """(across, down) of the page in millimeters."""
    down, across = chart.size_mm
    needed = (across + 2 * MARGIN_MM, down + 2 * MARGIN_MM + CAPTION_MM)
    if paper is None:
        return needed
    page = _oriented(chart, _paper_mm(paper))
    if needed[0] > page[0] + 1e-6 or needed[1] > page[1] + 1e-6:
        raise ValueError(
            f"the chart needs {needed[0]:.1f} x {needed[1]:.1f} mm with margins and caption; paper {paper} has "
            f"{page[0]:g} x {page[1]:g} mm. Use a larger paper or chart.on_paper({paper!r})"
        )
    return page
