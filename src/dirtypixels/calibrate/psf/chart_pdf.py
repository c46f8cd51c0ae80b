"""A chart as PDF, to print at its exact size."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.chart_paper import CAPTION_MM, MARGIN_MM, caption

KEY = "dirtypixels-chart"
"""Name under which a file holds the parameters of its chart."""

_POINT_MM = 25.4 / 72


def write(chart: BernoulliChart, path: Path, dots: int, dpi: float, page: tuple[float, float]) -> None:
    """Write one page with the chart at its exact size, a scale and the caption.

    By hand, row by row: Pillow would hold every dot of a poster in memory as a byte, hundreds of megabytes.

    Args:
        chart: the chart.
        path: the file.
        dots: printer dots per cell.
        dpi: dots per inch.
        page: (across, down) of the page in millimeters.
    """
    height, width = chart.shape
    across, down = (side / _POINT_MM for side in page)
    cells = f"/Width {width * dots} /Height {height * dots}"
    with path.open("wb") as file:
        pdf = _Pdf(file)
        pdf.add("<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>")
        pdf.add("<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
        pdf.add(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {across:.4f} {down:.4f}] /Contents 4 0 R "
            "/Resources << /XObject << /Chart 5 0 R >> /Font << /F 6 0 R >> >> >>"
        )
        pdf.add_stream("", _drawing(chart, page, dpi, dots))
        pdf.add_stream(
            f"/Type /XObject /Subtype /Image {cells} /ColorSpace /DeviceGray /BitsPerComponent 1 /Interpolate false "
            "/Filter /FlateDecode",
            _packed_dots(chart, dots),
        )
        pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
        pdf.add(
            f"<< /Title {_literal(f'dirtypixels chart, seed {chart.seed}')} /Subject {_literal(caption(chart)[0])} "
            f"/Keywords {_literal(KEY + ' ' + json.dumps(chart.parameters()))} /Creator (dirtypixels) >>"
        )
        pdf.finish()


class _Pdf:
    """Writes numbered objects one after the other and remembers where they begin. Object 1 is the root, the last Info.

    Source: ISO 32000-1:2008, 7.5 (file structure) and 14.3.3 (document information).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._starts: list[int] = []
        file.write(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n")

    def add(self, body: str) -> None:
        self._starts.append(self._file.tell())
        self._file.write(f"{len(self._starts)} 0 obj\n{body}\nendobj\n".encode("latin-1"))

    def add_stream(self, entries: str, content: bytes) -> None:
        self._starts.append(self._file.tell())
        head = f"{len(self._starts)} 0 obj\n<< {entries} /Length {len(content)} >>\nstream\n"
        self._file.write(head.encode("latin-1") + content + b"\nendstream\nendobj\n")

    def finish(self) -> None:
        start, count = self._file.tell(), len(self._starts)
        rows = "".join(f"{at:010d} 00000 n \n" for at in self._starts)
        self._file.write(
            f"xref\n0 {count + 1}\n0000000000 65535 f \n{rows}trailer\n<< /Size {count + 1} /Root 1 0 R "
            f"/Info {count} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode("latin-1")
        )


def _drawing(chart: BernoulliChart, page: tuple[float, float], dpi: float, dots: int) -> bytes:
    """Page content: the picture at its exact size, the scale, the caption. Millimetres from bottom left."""
    down, across = chart.size_mm
    left = (page[0] - across) / 2
    bottom = MARGIN_MM + CAPTION_MM + (page[1] - down - 2 * MARGIN_MM - CAPTION_MM) / 2
    scale = 100.0 if across >= 150 else 50.0 if across >= 60 else 10.0
    first, second = caption(chart)
    # Helvetica is about 0.5 of its size wide per letter on average; 0.55 keeps the longer line inside the page.
    size = min(8.0, (page[0] - 2 * MARGIN_MM) / _POINT_MM / (0.55 * max(len(first), len(second))))

    def at(x: float, y: float) -> str:
        return f"{x / _POINT_MM:.4f} {y / _POINT_MM:.4f}"

    def text(x: float, y: float, words: str) -> str:
        return f"BT /F {size:.2f} Tf {at(x, y)} Td {_literal(words)} Tj ET"

    rule = bottom - 4.0
    lines = [
        f"q {across / _POINT_MM:.6f} 0 0 {down / _POINT_MM:.6f} {at(left, bottom)} cm /Chart Do Q",
        f"0.5 w {at(left, rule)} m {at(left + scale, rule)} l S",
        *(f"{at(left + x, rule - 1.5)} m {at(left + x, rule + 1.5)} l S" for x in (0.0, scale)),
        text(left + scale + 2, rule - 1, f"must measure {scale:g} mm; a cell is {dots} dots at {dpi:g} dpi"),
        text(MARGIN_MM, bottom - 10.0, first),
        text(MARGIN_MM, bottom - 14.5, second),
    ]
    return "\n".join(lines).encode("latin-1")


def _packed_dots(chart: BernoulliChart, dots: int) -> bytes:
    """The pattern with so many dots per cell, one bit a dot, rows padded to bytes, deflated row by row."""
    packer = zlib.compressobj(6)
    parts: list[bytes] = []
    for row in chart.pattern:
        line = np.packbits(np.repeat(row, dots)).tobytes()
        parts.extend(packer.compress(line) for _ in range(dots))
    return b"".join([*parts, packer.flush()])


def parameters(content: bytes) -> str | None:
    """The text that `write` put among the keywords; None where there is none."""
    found = re.search(rb"/Keywords\s*\(" + KEY.encode() + rb" (\{(?:\\.|[^\\()])*\})\)", content)
    return None if found is None else re.sub(r"\\(.)", r"\1", found[1].decode("latin-1"))


def _literal(text: str) -> str:
    return "(" + re.sub(r"([\\()])", r"\\\1", text) + ")"
