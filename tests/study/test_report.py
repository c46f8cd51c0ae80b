"""The report: one file, nothing asked for from outside, and a headline that says what the numbers say."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_results import synthetic_study

from dirtypixels.study import figures, report
from dirtypixels.study.results import Study

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in order; keeps tags, attributes and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
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


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def duel(joint: float, finetuned: float = 0.7, seeds: tuple[int, ...] = (0,), **more: float) -> Study:
    return synthetic_study(seeds=seeds, chances={"3lux": {"finetuned": finetuned, "joint": joint, **more}})


@pytest.fixture
def page(tmp_path: Path) -> Page:
    study = synthetic_study()
    figures.accuracy_by_method(study, tmp_path / "bars.png")
    report.write_report(study, {"Bars & more": tmp_path / "bars.png"}, tmp_path / "report.html")
    return Page(tmp_path / "report.html")


def test_headline_of_a_joint_model_that_wins() -> None:
    study = duel(0.76)
    gap, joint, tuned = study.cells[1].difference, study.cells[1].top1.value, study.cells[0].top1.value
    assert gap is not None
    assert gap.low > 0
    found = plain(report.headline(study))
    assert found.startswith(
        "On 1,000 photographs (95 % intervals in brackets) the joint model named more photographs right than the "
        f"fine-tuned classifier at 3 lux ({100 * joint:.1f} % against {100 * tuned:.1f} % top-1: "
        f"+{100 * gap.value:.1f} points [+{100 * gap.low:.1f}, +{100 * gap.high:.1f}], p"
    )


def test_headline_of_a_joint_model_that_loses() -> None:
    found = plain(report.headline(duel(0.62)))
    assert "the joint model named fewer photographs right than the fine-tuned classifier at 3 lux" in found
    assert ": −" in found
    assert "more" not in found


@pytest.mark.parametrize("joint", [0.68, 0.71])
def test_headline_where_the_interval_holds_0(joint: float) -> None:
    study = duel(joint)
    gap = study.cells[1].difference
    assert gap is not None
    assert gap.low < 0 < gap.high
    assert (gap.value < 0) == (joint < 0.7)
    found = plain(report.headline(study))
    assert "no difference between the joint model and the fine-tuned classifier is shown at 3 lux" in found
    assert "more" not in found
    assert "fewer" not in found


def test_headline_sorts_conditions_by_what_happened() -> None:
    chances = {
        "clean": {"finetuned": 0.9, "joint": 0.9},
        "6lux": {"finetuned": 0.8, "joint": 0.7},
        "3lux": {"finetuned": 0.7, "joint": 0.8},
    }
    found = plain(report.headline(synthetic_study(chances=chances)))
    parts = found.split("; ")
    assert [part for part in parts if "more photographs right" in part and "at 3 lux" in part] == parts[:1]
    assert [part for part in parts if "fewer photographs right" in part and "at 6 lux" in part] == parts[1:2]
    assert [part for part in parts if "no difference" in part and "on clean photographs" in part] == parts[2:]


def test_headline_over_seeds_wins_only_where_every_seed_does() -> None:
    study = duel(0.76, seeds=(0, 1, 2))
    gaps = [cell.difference for cell in study.cells if cell.difference]
    assert all(gap.low > 0 for gap in gaps)
    found = plain(report.headline(study))
    mean = 100 * sum(gap.value for gap in gaps) / 3
    assert "named more photographs right" in found
    assert f"+{mean:.1f} points, mean of 3 seeds from" in found
    assert "excludes 0 for 3 of them" in found
    mixed = study.model_copy(update={"cells": [*study.cells[:4], *duel(0.7, seeds=(2,)).cells]})
    assert "no difference" in report.headline(mixed)
    assert "excludes 0 for 2 of them" in plain(report.headline(mixed))


def test_headline_without_a_joint_model_names_the_best() -> None:
    study = synthetic_study(chances={"3lux": {"pretrained": 0.3, "bm3d": 0.5}})
    assert "does not compare" in report.headline(study)
    assert report.headline(study).endswith(f"{100 * study.cells[1].top1.value:.1f} % at 3 lux (BM3D + pretrained).")
    assert report.headline(synthetic_study(cells=[])) == "No results yet."


def test_the_page_holds_everything(page: Page) -> None:
    study = synthetic_study()
    for text in (
        study.name, report.headline(study), study.commands, study.hardware, study.notes[0], "Inception-v4",
        "tf_efficientnet_lite0", "2.15.0", "train: 3000", "Each method was trained once", "Fine-tuned",
    ):  # fmt: skip
        assert " ".join(text.split()) in page.text
    cell = next(c for c in study.cells if (c.condition, c.method) == ("3lux", "joint"))
    assert f"{100 * cell.top1.value:.1f} %" in page.text
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
    assert headings == ["h1", *["h2"] * 9]


def test_the_page_asks_for_nothing_from_outside(page: Page, tmp_path: Path) -> None:
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", source))
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tags)
    assert all((attributes.get("src") or "data:").startswith("data:") for _, attributes in page.tags)
    assert "prefers-color-scheme: dark" in source
    policies = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_figures_are_inside_with_size_and_title(page: Page, tmp_path: Path) -> None:
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    content = base64.b64decode((image["src"] or "").removeprefix("data:image/png;base64,"))
    assert content == (tmp_path / "bars.png").read_bytes()
    assert image["alt"] == "Bars & more"
    assert (image["width"], image["height"]) == ("1096", "460")  # half the pixels: 10.96 x 4.6 inches at 200 dpi


def test_tables_scroll_in_their_own_box_and_have_as_many_cells_in_every_row(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    tables = [i for i, tag in enumerate(tags) if tag == "table"]
    assert len(tables) == 2
    assert all("scroll" in (page.tags[i - 1][1].get("class") or "") for i in tables)
    body = tags[tags.index("tbody") : tables[1]]
    assert body.count("td") == 6 * 11
    groups = [int(attributes["colspan"] or 0) for _, attributes in page.tags if "colspan" in attributes]
    assert groups == [3, 4, 4, 2, 2]


def test_everything_from_the_study_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"&"
    figures.pretraining_curve([(0, 1.0), (1, 2.0)], tmp_path / "c.png")
    study = synthetic_study(
        chances={evil: {evil: 0.5, "joint": 0.6}}, name=evil, camera=evil, transfer=evil, data={evil: evil},
        recipe={"a": [evil]}, versions={evil: evil}, hardware=evil, commands=evil, notes=[evil],
    )  # fmt: skip
    report.write_report(study, {evil: tmp_path / "c.png"}, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("alert(") >= 12
    assert next(attributes["alt"] for tag, attributes in page.tags if tag == "img") == evil


def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    study = synthetic_study(chances={"clean": {"joint": 0.9}}, notes=[])
    report.write_report(study, {}, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert not any(name in page.text for name in ("Figures", "Notes", "Beside the paper"))


def test_several_seeds_are_said_to_be_there(tmp_path: Path) -> None:
    report.write_report(duel(0.8, seeds=(0, 1)), {}, tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "the rows show how much training runs differ" in text
    assert "trained once" not in text


def test_what_is_no_png_is_refused_and_leaves_no_report(tmp_path: Path) -> None:
    (tmp_path / "c.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"figures\['curve'\] must be a PNG file"):
        report.write_report(synthetic_study(), {"curve": tmp_path / "c.png"}, tmp_path / "report.html")
    with pytest.raises(FileNotFoundError):
        report.write_report(synthetic_study(), {"curve": tmp_path / "none.png"}, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
