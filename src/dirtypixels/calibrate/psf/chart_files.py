"""Charts as files: PDF to print, PNG to show on a screen, both with the parameters inside."""

from __future__ import annotations

import json
import textwrap
from dataclasses import fields
from pathlib import Path

import numpy as np

from dirtypixels import files
from dirtypixels.calibrate.psf import chart_pdf
from dirtypixels.calibrate.psf.chart import VERSION, BernoulliChart
from dirtypixels.calibrate.psf.chart_paper import caption, dots_of, page_of
from dirtypixels.calibrate.psf.chart_pdf import KEY


def save(chart: BernoulliChart, path: str | Path, *, dpi: float, paper: str | None, cell_px: int) -> None:
    """Write a chart; see `BernoulliChart.save`."""
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix == ".pdf":
        dots = dots_of(chart, dpi)
        page = page_of(chart, paper)
        files.write_atomically(target, lambda temporary: chart_pdf.write(chart, temporary, dots, dpi, page))
    elif suffix == ".png":
        if isinstance(cell_px, bool) or not isinstance(cell_px, int | np.integer) or cell_px < 1:
            raise ValueError(f"cell_px must be a whole number of pixels, at least 1; found {cell_px!r}")
        files.write_atomically(target, lambda temporary: _write_png(chart, temporary, int(cell_px)))
    else:
        raise ValueError(f"a chart is saved as .pdf or .png; found {target.name!r}")


def read(path: str | Path) -> BernoulliChart:
    """Build a chart from its file; see `BernoulliChart.read`."""
    source = Path(path)
    content = source.read_bytes()
    if content.startswith(b"%PDF"):
        text = chart_pdf.parameters(content)
    elif content.startswith(b"\x89PNG"):
        text = _png_text(source)
    else:
        raise ValueError(f"{source.name} is neither a PDF nor a PNG, as charts are")
    if text is None:
        raise ValueError(
            f"{source.name} holds no chart's parameters: it was not written by BernoulliChart.save, or another program "
            "saved it again without them. Build the chart from the values printed below it instead"
        )
    return _built(text, source.name)


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


def _write_png(chart: BernoulliChart, path: Path, cell_px: int) -> None:
    from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

    dots = np.kron(chart.pattern, np.ones((cell_px, cell_px), np.uint8))
    lines = [line for text in caption(chart) for line in _wrapped(text, dots.shape[1] // 8)]
    picture = Image.new("1", (dots.shape[1], dots.shape[0] + 18 * len(lines) + 8), 1)
    picture.paste(Image.fromarray(dots * np.uint8(255)).convert("1", dither=Image.Dither.NONE), (0, 0))
    pen = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        pen.text((8, dots.shape[0] + 4 + 18 * i), line, fill=0, font=ImageFont.load_default(13))
    info = PngImagePlugin.PngInfo()
    info.add_text(KEY, json.dumps(chart.parameters()))
    info.add_text("Description", caption(chart)[0])
    picture.save(path, format="PNG", pnginfo=info, dpi=(25.4 * cell_px / chart.cell_mm,) * 2)


def _wrapped(text: str, letters: int) -> list[str]:
    return textwrap.wrap(text, max(letters, 20))


def _png_text(path: Path) -> str | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            found = picture.info.get(KEY)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read as PNG: {error}") from error
    return found if isinstance(found, str) else None
