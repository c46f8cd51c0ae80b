"""The report: one file, nothing asked for from outside, and a headline that says what the numbers say."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dirtypixels.study import figures, report
from dirtypixels.study.findings import controls, findings, light_findings, quality_and_accuracy
from dirtypixels.study.report import Shown
from dirtypixels.study.results import Study
from tests.study.synthetic import FOUR, FROZEN, synthetic_grid, synthetic_light, synthetic_study

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in order; keeps tags, attributes and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def full_study() -> Study:
    return synthetic_study(chances=FOUR, grid=synthetic_grid(), optics="simulated from a design")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    tmp_path = tmp_path_factory.mktemp("report")
    study = full_study()
    figures.accuracy_by_method(study, tmp_path / "bars.png")
    shown = [Shown("Bars & more", tmp_path / "bars.png", "Chosen by <rule>.")]
    report.write_report(study, shown, tmp_path / "report.html")
    return Page(tmp_path / "report.html")


def test_the_page_holds_everything(page: Page) -> None:
    study = full_study()
    for text in (
        study.name, *quality_and_accuracy(study), study.commands, study.hardware, study.notes[0], "Inception-v4",
        "tf_efficientnet_lite0", "2.15.0", "train: 3000", "Each method was trained once", "Fine-tuned",
        "Chosen by <rule>.", "HQS + pretrained", "The lens's PSFs: simulated from a design.", "paper 45.5 %",
    ):  # fmt: skip
        assert " ".join(text.split()) in page.text
    cell = next(c for c in study.cells if (c.condition, c.method) == ("3lux", "joint"))
    assert f"{100 * cell.top1.value:.1f} %" in page.text
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
    assert headings == ["h1", *["h2"] * 11]
    for details in findings(study)[1].values():
        assert all(" ".join(text.split()) in page.text for text in details)


def test_the_page_asks_for_nothing_from_outside(page: Page) -> None:
    source = page.path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", source))
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tags)
    assert all((attributes.get("src") or "data:").startswith("data:") for _, attributes in page.tags)
    assert "prefers-color-scheme: dark" in source
    policies = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_figures_are_inside_with_size_and_title(page: Page) -> None:
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    content = base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,"))
    assert content == (page.path.parent / "bars.png").read_bytes()
    assert image["alt"] == "Bars & more"
    assert (image["width"], image["height"]) == ("1096", "850")  # half the pixels: 10.96 x 8.5 inches at 200 dpi


def test_tables_scroll_in_their_own_box_and_have_as_many_cells_in_every_row(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    tables = [i for i, tag in enumerate(tags) if tag == "table"]
    # One for each condition, next to the paper where there is no blur, and for top-1 and top-5 of the grid.
    assert len(tables) == 5 + 2 + 2
    assert all("scroll" in (page.tags[i - 1][1].get("class") or "") for i in tables)
    assert all(page.tags[i - 1][1].get("tabindex") == "0" for i in tables)
    bodies = [i for i, tag in enumerate(tags) if tag == "tbody"]
    for start, end in zip(bodies, [*tables[1:], len(tags)], strict=True):
        body = tags[start:end]
        assert body.count("th") == body.count("tr") > 1
        assert body.count("td") == 4 * body.count("tr")
    groups = [int(attributes["colspan"] or 0) for _, attributes in page.tags if "colspan" in attributes]
    assert groups == [2, 2] * 2


def test_everything_from_the_study_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"&"
    figures.pretraining_curve([(0, 1.0), (1, 2.0)], tmp_path / "c.png")
    study = synthetic_study(
        chances={evil: {evil: 0.5, "joint": 0.6}}, name=evil, camera=evil, transfer=evil, data={evil: evil},
        optics=evil, recipe={"a": [evil]}, versions={evil: evil}, hardware=evil, commands=evil, notes=[evil],
    )  # fmt: skip
    report.write_report(study, [Shown(evil, tmp_path / "c.png", evil)], tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("alert(") >= 14
    assert next(attributes["alt"] for tag, attributes in page.tags if tag == "img") == evil


def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    study = synthetic_study(chances={"clean": {"joint": 0.9}}, notes=[])
    report.write_report(study, [], tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    absent = ("Figures", "Notes", "Compared", "Light and lens", "PSNR and accuracy", "Pretraining", "The lens")
    assert not [name for name in absent if name in page.text]


def test_several_seeds_are_said_to_be_there(tmp_path: Path) -> None:
    study = synthetic_study(seeds=(0, 1))
    report.write_report(study, [], tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "the rows show how much training runs differ" in text
    assert "trained once" not in text


def test_what_is_no_png_is_refused_and_leaves_no_report(tmp_path: Path) -> None:
    (tmp_path / "c.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="figures: 'curve' must be a PNG file"):
        report.write_report(synthetic_study(), [Shown("curve", tmp_path / "c.png")], tmp_path / "report.html")
    with pytest.raises(FileNotFoundError):
        report.write_report(synthetic_study(), [Shown("curve", tmp_path / "none.png")], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


class TestFiles:
    def test_a_study_over_light_leaves_all_that_was_found(self, tmp_path: Path) -> None:
        study = synthetic_light(count=60, lights=(3.0, 25.0), specialists=(3.0, 25.0))
        report.write_figures_and_tables(study, tmp_path)
        page = (tmp_path / "report.md").read_text(encoding="utf-8")
        tables = report.tables_of(study)
        assert set(tables) == {"light", "light-difference", "light-wrong", "light-cost", "light-confidence"}
        for text in (*light_findings(study), *(table.caption for table in tables.values()), study.commands):
            assert text in page
        drawn = {"light-accuracy.png", "light-difference.png", "light-wrong.png", "light-risk.png"}
        written = {"results.csv", "report.md", "report.html", *(f"{name}.tex" for name in tables)}
        assert {file.name for file in tmp_path.iterdir()} == drawn | written
        assert all(f"({name})" in page for name in drawn)
        assert (tmp_path / "results.csv").read_text().count("\n") == 1 + len(study.cells)
        html = Page(tmp_path / "report.html").text
        assert all(" ".join(text.split()) in html for text in light_findings(study))

    def test_what_has_nothing_to_show_is_not_drawn(self, tmp_path: Path) -> None:
        study = synthetic_light(count=60, lights=(3.0,), specialists=(3.0, 25.0))
        alone = [c.model_copy(update={"risk": None}) for c in study.part("light") if c.model.kind == "specialist"]
        shown = report.draw(study.model_copy(update={"cells": alone}), tmp_path)
        assert [one.path.name for one in shown] == ["light-accuracy.png"]

    def test_a_study_of_several_trainings(self, tmp_path: Path) -> None:
        study = synthetic_study(count=80, chances=FROZEN, trainings=2, affine=True)
        report.write_figures_and_tables(study, tmp_path)
        assert list(report.tables_of(study)) == ["methods", "trainings", "paper"]
        page = (tmp_path / "report.md").read_text(encoding="utf-8")
        html = Page(tmp_path / "report.html").text
        for text in (*controls(study), "What is trained for a condition was trained 2 times"):
            assert text in page
            assert " ".join(text.split()) in html
        assert "Small marks are single trainings" in page
        drawn = {"accuracy.png", "psnr.png", "psnr-affine.png"}
        assert {file.name for file in tmp_path.glob("*.png")} == drawn
        assert "Ours is the mean over 2 trainings" in page

    def test_every_table_of_methods_and_grid(self, tmp_path: Path) -> None:
        assert list(report.tables_of(full_study())) == ["methods", "paper", "grid"]
