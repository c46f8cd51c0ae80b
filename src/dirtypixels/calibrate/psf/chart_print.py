"""Charts as files: PDF to print at exact size, PNG to show on a screen, both with the chart's parameters inside."""

from __future__ import annotations

import json
import re
import textwrap
import zlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin, UnidentifiedImageError
from PIL.PdfParser import PdfName, PdfParser, pdf_repr

from dirtypixels import files
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

_KEY = "dirtypixels-chart"
"""Name under which a file holds the parameters of its chart."""

_POINT_MM = 25.4 / 72


def write_chart(
    chart: BernoulliChart, path: str | Path, *, dpi: float = 600.0, paper: str | None = None, cell_px: int = 2
) -> None:
    """Write a chart as PDF (to print at exact size) or PNG (to show on a screen), parameters and seed inside.

    Args:
        chart: the chart.
        path: ends in .pdf or .png.
        dpi: dots per inch of the printer, for a PDF; a cell must be a whole number of dots.
        paper: the PDF's page, see `fit_to_paper`; None makes a page as large as is needed.
        cell_px: screen pixels per cell, for a PNG.

    Raises:
        ValueError: another suffix, a cell is no whole number of dots, or the chart does not fit the paper.

    Example:
        >>> import tempfile
        >>> from dirtypixels.calibrate import BernoulliChart, read_chart, write_chart
        >>> chart = BernoulliChart(rows=3, columns=4, block=64, square=16, seed=5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_chart(chart, f"{folder}/chart.pdf", paper="A4")
        ...     read_chart(f"{folder}/chart.pdf") == chart
        True
    """
    target = Path(path)
    if (suffix := target.suffix.lower()) == ".pdf":
        dots, page = _dots(chart, dpi), _page_mm(chart, paper)
        files.write_atomically(target, lambda temporary: _write_pdf(chart, temporary, dots, dpi, page))
    elif suffix == ".png":
        if isinstance(cell_px, bool) or not isinstance(cell_px, int | np.integer) or cell_px < 1:
            raise ValueError(f"cell_px must be a whole number of pixels, at least 1; found {cell_px!r}")
        files.write_atomically(target, lambda temporary: _write_png(chart, temporary, int(cell_px)))
    else:
        raise ValueError(f"a chart is saved as .pdf or .png; found {target.name!r}")


def read_chart(path: str | Path) -> BernoulliChart:
    """The chart that a PDF or PNG of `write_chart` shows, from the parameters in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is neither, says nothing of a chart, or says what does not give the chart it shows.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_chart(BernoulliChart(rows=3, columns=4, block=64, square=16, seed=5), f"{folder}/chart.pdf")
    ...     read_chart(f"{folder}/chart.pdf").seed
    5
    """
    source = Path(path)
    content = source.read_bytes()
    if content.startswith(b"%PDF"):
        found = re.search(rb"/Keywords\s*\(" + _KEY.encode() + rb" (\{(?:\\.|[^\\()])*\})\)", content)
        text = None if found is None else re.sub(r"\\(.)", r"\1", found[1].decode("latin-1"))
    elif content.startswith(b"\x89PNG"):
        try:
            with Image.open(source) as picture:
                text = picture.info.get(_KEY)
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{source.name} cannot be read as PNG: {error}") from error
    else:
        raise ValueError(f"{source.name} is neither a PDF nor a PNG, as charts are")
    if not isinstance(text, str):
        raise ValueError(
            f"{source.name} holds no chart's parameters: it was not written by write_chart, or another program "
            "saved it again without them. Build the chart from the values printed below it instead"
        )
    return _built(text, source.name)


def fit_to_paper(chart: BernoulliChart, paper: str, dpi: float = 600.0) -> BernoulliChart:
    """The same chart as large as a paper allows, each cell a whole number of printer dots; see `BernoulliChart.dots`.

    Args:
        chart: the chart.
        paper: "A4", "A3", "A2", "A1", "A0", "letter", "tabloid", or "WIDTHxHEIGHT" in millimeters; laid upright or
            across, as fits better.
        dpi: dots per inch of the printer.

    Raises:
        ValueError: the paper is unknown, or so small that a cell would be under 2 dots.

    >>> chart = fit_to_paper(BernoulliChart(rows=3, columns=4, block=64, square=16), "A4")
    >>> round(chart.cell_mm, 3)
    0.677
    """
    _check_dpi(dpi)
    across, down = _paper_mm(chart, paper)
    height, width = chart.shape
    room = min((across - 2 * MARGIN_MM) / width, (down - 2 * MARGIN_MM - CAPTION_MM) / height)
    dots = int(room / 25.4 * dpi + 1e-9)
    if dots < 2:
        raise ValueError(
            f"paper {paper} is too small for {width} x {height} cells at {dpi:g} dpi: a cell would be "
            f"{max(room, 0.0) / 25.4 * dpi:.1f} printer dots, at least 2 are needed ({SHARP_DOTS} or more print well)"
        )
    return replace(chart, cell_mm=round(dots * 25.4 / dpi, 9))


def _built(text: str, name: str) -> BernoulliChart:
    """The chart of a JSON text, if its cells are those of the text's digest."""
    try:
        found = json.loads(text)
        version = found["dirtypixels_chart"]
        wanted = {field.name: found[field.name] for field in fields(BernoulliChart)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name}: the chart's parameters cannot be read ({error})") from error
    if version != VERSION:
        raise ValueError(f"{name} is a chart of version {version!r}; this program reads version {VERSION}")
    try:
        chart = BernoulliChart(**wanted)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
    if chart.parameters()["sha256"] != found.get("sha256"):
        raise ValueError(f"{name}: the parameters do not give the chart that was saved; its values were changed")
    return chart


def _check_dpi(dpi: float) -> None:
    if not 50 <= dpi <= 10_000:
        raise ValueError(f"dpi must be in [50, 10000]; found {dpi:g}")


def _dots(chart: BernoulliChart, dpi: float) -> int:
    """Printer dots per cell: a whole number, because uneven cells would be taken for blur."""
    _check_dpi(dpi)
    exact = chart.cell_mm / 25.4 * dpi
    dots = round(exact)
    if dots < 1 or abs(exact - dots) > 1e-3 * dots:
        nearest = ", ".join(f"{n * 25.4 / dpi:.6g}" for n in sorted({max(1, int(exact)), int(exact) + 1}))
        raise ValueError(
            f"a cell of {chart.cell_mm:g} mm is {exact:.3f} printer dots at {dpi:g} dpi, and must be a whole number; "
            f"cell_mm of {nearest} would be (or use fit_to_paper)"
        )
    return dots


def _paper_mm(chart: BernoulliChart, paper: str) -> tuple[float, float]:
    """(across, down) of a paper laid as the chart lies."""
    sides = {name.lower(): size for name, size in PAPERS_MM.items()}.get(paper.lower())
    if sides is None:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[xX×]\s*(\d+(?:\.\d+)?)(?:\s*mm)?", paper.strip())
        if found is None or min(float(found[1]), float(found[2])) < 30:
            raise ValueError(
                f"paper must be {', '.join(PAPERS_MM)} or WIDTHxHEIGHT in millimeters, at least 30; found {paper!r}"
            )
        sides = (float(found[1]), float(found[2]))
    return (max(sides), min(sides)) if chart.shape[1] >= chart.shape[0] else (min(sides), max(sides))


def _page_mm(chart: BernoulliChart, paper: str | None) -> tuple[float, float]:
    """(across, down) of the page."""
    down, across = chart.size_mm
    needed = (across + 2 * MARGIN_MM, down + 2 * MARGIN_MM + CAPTION_MM)
    if paper is None:
        return needed
    page = _paper_mm(chart, paper)
    if needed[0] > page[0] + 1e-6 or needed[1] > page[1] + 1e-6:
        raise ValueError(
            f"the chart needs {needed[0]:.1f} x {needed[1]:.1f} mm with margins and caption; paper {paper} has "
            f"{page[0]:g} x {page[1]:g} mm. Use a larger paper or fit_to_paper(chart, {paper!r})"
        )
    return page


def _caption(chart: BernoulliChart) -> tuple[str, str]:
    """Two lines for people, to be set below a chart: how to build it again, and how to use it."""
    return (
        f"dirtypixels chart, version {VERSION}: BernoulliChart(rows={chart.rows}, columns={chart.columns}, "
        f"block={chart.block}, square={chart.square}, border={chart.border}, seed={chart.seed}, "
        f"cell_mm={chart.cell_mm:.6g})",
        f"{chart.size_mm[1]:.1f} x {chart.size_mm[0]:.1f} mm. This line is the bottom. Print at 100 %, matt paper, no "
        "smoothing; mount it flat; let it fill the frame; light it evenly; keep white below saturation.",
    )


def _write_png(chart: BernoulliChart, path: Path, cell_px: int) -> None:
    dots = np.kron(chart.pattern, np.ones((cell_px, cell_px), np.uint8))
    height, width = dots.shape
    lines = [line for text in _caption(chart) for line in textwrap.wrap(text, max(width // 8, 20))]
    picture = Image.new("1", (width, height + 18 * len(lines) + 8), 1)
    picture.paste(Image.fromarray(dots * np.uint8(255)).convert("1", dither=Image.Dither.NONE), (0, 0))
    pen = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        pen.text((8, height + 4 + 18 * i), line, fill=0, font=ImageFont.load_default(13))
    info = PngImagePlugin.PngInfo()
    info.add_text(_KEY, json.dumps(chart.parameters()))
    info.add_text("Description", _caption(chart)[0])
    picture.save(path, format="PNG", pnginfo=info, dpi=(25.4 * cell_px / chart.cell_mm,) * 2)


def _write_pdf(chart: BernoulliChart, path: Path, dots: int, dpi: float, page: tuple[float, float]) -> None:
    """One page (across, down in millimeters) with the chart at its exact size, a scale and the caption.

    Of Pillow its writer of PDF objects, not of pictures: that makes the page a picture of whole dots with the caption
    in it, cannot ask viewers to print at 100 %, and takes half a gigabyte and four times the file for an A0 at 600 dpi.
    """
    height, width = chart.shape
    with PdfParser(str(path), mode="w+b") as pdf:
        pdf.write_header()
        picture = pdf.write_obj(
            None,
            # One bit a dot, rows padded to bytes; packed before rows are repeated, which is an eighth of the memory.
            stream=zlib.compress(np.packbits(np.repeat(chart.pattern, dots, 1), axis=1).repeat(dots, axis=0).tobytes()),
            Type=PdfName("XObject"),
            Subtype=PdfName("Image"),
            Width=width * dots,
            Height=height * dots,
            ColorSpace=PdfName("DeviceGray"),
            BitsPerComponent=1,
            Interpolate=False,
            Filter=PdfName("FlateDecode"),
        )
        helvetica = {"BaseFont": PdfName("Helvetica"), "Encoding": PdfName("WinAnsiEncoding")}
        font = pdf.write_obj(None, Type=PdfName("Font"), Subtype=PdfName("Type1"), **helvetica)
        pages = pdf.next_object_id(0)
        of_page = {
            "MediaBox": [0, 0, *(round(side / _POINT_MM, 4) for side in page)],
            "Contents": pdf.write_obj(None, stream=_drawing(chart, page, dpi, dots)),
            "Resources": {"XObject": {"Chart": picture}, "Font": {"F": font}},
        }
        pdf.write_obj(pages, Type=PdfName("Pages"), Count=1, Kids=[pdf.write_page(None, Parent=pages, **of_page)])
        preferences = {"PrintScaling": PdfName("None")}
        root = pdf.write_obj(None, Type=PdfName("Catalog"), Pages=pages, ViewerPreferences=preferences)
        words = {
            "Title": f"dirtypixels chart, seed {chart.seed}",
            "Subject": _caption(chart)[0],
            "Keywords": f"{_KEY} {json.dumps(chart.parameters())}",
            "Creator": "dirtypixels",
        }
        pdf.info.update({name: text.encode("ascii") for name, text in words.items()})
        pdf.write_xref_and_trailer(root)


def _drawing(chart: BernoulliChart, page: tuple[float, float], dpi: float, dots: int) -> bytes:
    """Page content: the picture at its exact size, the scale, the caption. Millimeters from bottom left."""
    down, across = chart.size_mm
    left = (page[0] - across) / 2
    bottom = MARGIN_MM + CAPTION_MM + (page[1] - down - 2 * MARGIN_MM - CAPTION_MM) / 2
    scale = 100.0 if across >= 150 else 50.0 if across >= 60 else 10.0
    first, second = _caption(chart)
    # Helvetica is about 0.5 of its size wide per letter on average; 0.55 keeps the longer line inside the page.
    size = min(8.0, (page[0] - 2 * MARGIN_MM) / _POINT_MM / (0.55 * max(len(first), len(second))))

    def at(x: float, y: float) -> str:
        return f"{x / _POINT_MM:.4f} {y / _POINT_MM:.4f}"

    def text(x: float, y: float, words: str) -> str:
        return f"BT /F {size:.2f} Tf {at(x, y)} Td {pdf_repr(words.encode('ascii')).decode('ascii')} Tj ET"

    rule = bottom - 4.0
    lines = [
        f"q {across / _POINT_MM:.6f} 0 0 {down / _POINT_MM:.6f} {at(left, bottom)} cm /Chart Do Q",
        f"0.5 w {at(left, rule)} m {at(left + scale, rule)} l S",
        *(f"{at(left + x, rule - 1.5)} m {at(left + x, rule + 1.5)} l S" for x in (0.0, scale)),
        text(left + scale + 2, rule - 1, f"must measure {scale:g} mm; a cell is {dots} dots at {dpi:g} dpi"),
        text(MARGIN_MM, bottom - 10.0, first),
        text(MARGIN_MM, bottom - 14.5, second),
    ]
    return "\n".join(lines).encode("ascii")
