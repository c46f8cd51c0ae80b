"""Charts as files: exact size, exact cells, and back again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.PdfParser import PdfParser

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.chart_print import MARGIN_MM, fit_to_paper, read_chart, write_chart

POINT_MM = 25.4 / 72


@pytest.fixture(scope="module")
def chart() -> BernoulliChart:
    return fit_to_paper(BernoulliChart.for_sensor(640, 480, seed=5), "A4")


@pytest.fixture(scope="module")
def pdf(chart: BernoulliChart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("charts") / "chart.pdf"
    write_chart(chart, path, paper="A4")
    return path


@pytest.fixture(scope="module")
def png(chart: BernoulliChart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("charts") / "chart.png"
    write_chart(chart, path, cell_px=3)
    return path


class TestPdf:
    def test_it_gives_the_chart_back(self, chart: BernoulliChart, pdf: Path) -> None:
        assert read_chart(pdf) == chart

    def test_another_reader_understands_its_structure(self, chart: BernoulliChart, pdf: Path) -> None:
        with PdfParser(str(pdf)) as parser:
            page = parser.read_indirect(parser.pages[0])
            assert [float(v) * POINT_MM for v in page[b"MediaBox"]] == pytest.approx([0, 0, 297, 210], abs=1e-3)
            assert json.loads(parser.info.Keywords.split(" ", 1)[1])["seed"] == 5
            assert f"seed={chart.seed}" in parser.info.Subject
            # Else viewers shrink a page to what they think that the printer reaches, and cells are uneven.
            assert parser.root[b"ViewerPreferences"][b"PrintScaling"] == b"None"

    def test_cells_are_whole_dots_at_their_exact_size(self, chart: BernoulliChart, pdf: Path) -> None:
        with PdfParser(str(pdf)) as parser:
            page = parser.read_indirect(parser.pages[0])
            drawing = parser.read_indirect(page[b"Contents"]).decode()
            picture = parser.read_indirect(page[b"Resources"][b"XObject"][b"Chart"])
            width, height = picture.dictionary[b"Width"], picture.dictionary[b"Height"]
            rows = np.frombuffer(picture.decode(2**25), np.uint8).reshape(height, -1)
        drawn = re.search(rb"q ([\d.]+) 0 0 ([\d.]+) ([\d.]+) ([\d.]+) cm /Chart Do", drawing)
        assert drawn is not None
        across, down, left, bottom = (float(v) * POINT_MM for v in drawn.groups())
        assert (down, across) == pytest.approx(chart.size_mm, abs=1e-4)
        assert left == pytest.approx((297 - across) / 2, abs=1e-3)
        assert bottom >= MARGIN_MM
        assert bottom + down <= 210 - MARGIN_MM + 1e-6
        dots = np.unpackbits(rows, axis=1)[:, :width]
        each = width // chart.shape[1]
        assert chart.cell_mm * 600 / 25.4 == pytest.approx(each)
        assert (dots == np.kron(chart.pattern, np.ones((each, each), np.uint8))).all()

    def test_the_page_grows_with_the_chart(self, chart: BernoulliChart, tmp_path: Path) -> None:
        write_chart(chart, tmp_path / "free.pdf")
        with PdfParser(str(tmp_path / "free.pdf")) as parser:
            box = parser.read_indirect(parser.pages[0])[b"MediaBox"]
        assert float(box[2]) * POINT_MM == pytest.approx(chart.size_mm[1] + 2 * MARGIN_MM, abs=1e-3)

    def test_the_same_chart_gives_the_same_file(self, chart: BernoulliChart, pdf: Path, tmp_path: Path) -> None:
        write_chart(chart, tmp_path / "again.pdf", paper="A4")
        assert (tmp_path / "again.pdf").read_bytes() == pdf.read_bytes()


class TestPng:
    def test_it_gives_the_chart_back(self, chart: BernoulliChart, png: Path) -> None:
        assert read_chart(png) == chart

    def test_cells_are_whole_pixels_and_words_are_below(self, chart: BernoulliChart, png: Path) -> None:
        with Image.open(png) as picture:
            pixels = np.asarray(picture).astype(np.uint8)
        height = 3 * chart.shape[0]
        assert (pixels[:height] == np.kron(chart.pattern, np.ones((3, 3), np.uint8))).all()
        assert 0.01 < (pixels[height:] == 0).mean() < 0.3

    def test_read_refuses_a_picture_without_parameters(self, png: Path, tmp_path: Path) -> None:
        with Image.open(png) as picture:
            picture.save(tmp_path / "bare.png", pnginfo=PngImagePlugin.PngInfo())
        with pytest.raises(ValueError, match=r"bare\.png holds no chart's parameters"):
            read_chart(tmp_path / "bare.png")


class TestPapers:
    @pytest.mark.parametrize(("paper", "dots"), [("A2", 6), ("a1", 8), ("594x420", 6), ("420 x 594 mm", 6)])
    def test_a_cell_is_as_many_dots_as_fit(self, paper: str, dots: int) -> None:
        assert fit_to_paper(BernoulliChart(), paper).cell_mm == pytest.approx(dots * 25.4 / 600)

    def test_what_fits_a_paper_can_be_saved_and_the_next_size_cannot(self, tmp_path: Path) -> None:
        chart = fit_to_paper(BernoulliChart.for_sensor(640, 480), "letter", dpi=300)
        write_chart(chart, tmp_path / "fits.pdf", dpi=300, paper="letter")
        larger = BernoulliChart.for_sensor(640, 480, cell_mm=chart.cell_mm + 25.4 / 300)
        with pytest.raises(ValueError, match="Use a larger paper"):
            write_chart(larger, tmp_path / "large.pdf", dpi=300, paper="letter")

    def test_a_tall_chart_lies_upright(self, tmp_path: Path) -> None:
        write_chart(fit_to_paper(BernoulliChart.for_sensor(480, 640), "A4"), tmp_path / "tall.pdf", paper="A4")
        with PdfParser(str(tmp_path / "tall.pdf")) as parser:
            box = [float(v) for v in parser.read_indirect(parser.pages[0])[b"MediaBox"]]
        assert box[3] > box[2]


class TestRaises:
    def test_uneven_cells(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"7\.087 printer dots at 600 dpi.*0\.296333, 0\.338667"):
            write_chart(BernoulliChart(cell_mm=0.3), tmp_path / "chart.pdf")
        assert not list(tmp_path.iterdir())

    def test_another_suffix(self, tmp_path: Path, chart: BernoulliChart) -> None:
        with pytest.raises(ValueError, match=r"saved as \.pdf or \.png; found 'chart.jpg'"):
            write_chart(chart, tmp_path / "chart.jpg")

    @pytest.mark.parametrize("cell_px", [0, 1.5, True])
    def test_parts_of_pixels(self, tmp_path: Path, chart: BernoulliChart, cell_px: float) -> None:
        with pytest.raises(ValueError, match="cell_px must be a whole number"):
            write_chart(chart, tmp_path / "chart.png", cell_px=cell_px)  # type: ignore[arg-type]

    @pytest.mark.parametrize("dpi", [0, 20_000, float("nan")])
    def test_dpi_out_of_range(self, chart: BernoulliChart, dpi: float) -> None:
        with pytest.raises(ValueError, match="dpi must be in"):
            fit_to_paper(chart, "A4", dpi)

    @pytest.mark.parametrize("paper", ["B7", "10x10", "x", ""])
    def test_unknown_paper(self, chart: BernoulliChart, paper: str) -> None:
        with pytest.raises(ValueError, match="paper must be A4, A3"):
            fit_to_paper(chart, paper)

    def test_paper_too_small(self) -> None:
        with pytest.raises(ValueError, match="paper 100x80 is too small for 1992 x 1512 cells"):
            fit_to_paper(BernoulliChart(), "100x80")

    def test_neither_pdf_nor_png(self, tmp_path: Path) -> None:
        (tmp_path / "chart.pdf").write_bytes(b"hello")
        with pytest.raises(ValueError, match="neither a PDF nor a PNG"):
            read_chart(tmp_path / "chart.pdf")

    def test_broken_png(self, tmp_path: Path) -> None:
        (tmp_path / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 50)
        with pytest.raises(ValueError, match="cannot be read as PNG"):
            read_chart(tmp_path / "chart.png")

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (b'"seed": 5', b'"seed": 6', "do not give the chart that was saved"),
            (b'"rows": 3', b'"rows": 1', "rows must be at least 2"),
            (b'"dirtypixels_chart": 1', b'"dirtypixels_chart": 9', "reads version 1"),
            (b'"columns"', b'"collumn"', "parameters cannot be read"),
            (b"dirtypixels-chart", b"dirtypixels-cards", "holds no chart's parameters"),
        ],
    )
    def test_changed_parameters(
        self, tmp_path: Path, chart: BernoulliChart, before: bytes, after: bytes, words: str
    ) -> None:
        path = tmp_path / "chart.pdf"
        write_chart(chart, path)
        content = path.read_bytes()
        assert before in content
        path.write_bytes(content.replace(before, after))
        with pytest.raises(ValueError, match=words):
            read_chart(path)
