"""Figures: what is drawn is what the study holds, it can be told apart, and nothing outside the file changes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import _pylab_helpers
from matplotlib.colors import to_rgb
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from test_results import synthetic_study

from dirtypixels.study import figures
from dirtypixels.study.figures import PanelRow, Picture

# Full dichromacy, in linear RGB: Machado, Oliveira and Fernandes 2009, table 1, severity 1.
VISION = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The Figure objects as they were saved."""
    kept: list[Any] = []
    save = figures._save

    def keep(figure: Any, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr(figures, "_save", keep)
    return kept


def picture(**changes: Any) -> Picture:
    fields: dict[str, Any] = {
        "image": torch.rand(3, 20, 24), "title": "scene", "label": "road sign", "right": True, "psnr": 21.3,
    }  # fmt: skip
    return Picture(**{**fields, **changes})


def test_bars_and_their_intervals_are_the_studys(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study()
    figures.accuracy_by_method(study, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    order = [(condition, method) for condition in ("clean", "6lux", "3lux") for method in figures.methods_of(study)]
    cells = {(c.condition, c.method): c for c in study.cells}
    expected = [cells[key] for key in order if key in cells]
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    assert [bar.get_height() for bar in bars] == [c.top1.value for c in expected]
    assert [tuple(bar.get_facecolor()[:3]) for bar in bars] == [
        to_rgb(figures.METHOD_COLOURS[c.method]) for c in expected
    ]
    spans = [segment[:, 1] for collection in axes.collections for segment in collection.get_segments()]
    assert np.allclose(spans, [(c.top1.low, c.top1.high) for c in expected])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["clean", "6 lux", "3 lux"]
    assert [text.get_text() for text in axes.texts] == [f"{100 * c.top1.value:.1f}" for c in expected]


def test_bars_of_several_seeds_are_means_with_an_interval_each(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(seeds=(0, 1, 2), chances={"3lux": {"finetuned": 0.7, "joint": 0.75}})
    figures.accuracy_by_method(study, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    means = [np.mean([c.top1.value for c in study.cells if c.method == method]) for method in ("finetuned", "joint")]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(means)
    for bar, spans in zip(axes.patches, (axes.collections[:3], axes.collections[3:]), strict=True):
        across = [float(span.get_segments()[0][0, 0]) for span in spans]
        assert bar.get_x() < min(across) < max(across) < bar.get_x() + bar.get_width()


def test_points_and_their_labels(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study()
    figures.psnr_against_accuracy(study, tmp_path / "p.png")
    axes = drawn[0].axes[0]
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata())}
    shown = [c for c in study.cells if c.psnr]
    assert {(c.psnr.value, c.top1.value) for c in shown if c.psnr} == points
    labels = [text for text in axes.texts if text.get_text()]
    assert sorted(text.get_text() for text in labels) == sorted(figures.method_name(c.method) for c in shown)
    spans = sorted(np.ptp(segment, axis=0).tolist() for part in axes.collections for segment in part.get_segments())
    expected = [[0.0, c.top1.high - c.top1.low] for c in shown]
    expected += [[c.psnr.high - c.psnr.low, 0.0] for c in shown if c.psnr]
    assert np.allclose(spans, sorted(expected))
    assert sum(text.get_text() == "" for text in axes.texts) == 2  # an arrow from unit to joint per condition


@pytest.mark.parametrize("crowd", [{}, {"chances": {"3lux": dict.fromkeys(("nlm", "bm3d", "unit", "joint"), 0.5)}}])
def test_labels_cover_neither_points_nor_each_other(tmp_path: Path, drawn: list[Any], crowd: dict[str, Any]) -> None:
    study = synthetic_study(**crowd)
    figures.psnr_against_accuracy(study, tmp_path / "p.png")
    axes = drawn[0].axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    centres = axes.transData.transform([(c.psnr.value, c.top1.value) for c in study.cells if c.psnr])
    for box in boxes:
        assert not any(box.contains(*centre) for centre in centres)
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1


def test_panels_show_the_pictures_as_they_are(tmp_path: Path, drawn: list[Any]) -> None:
    over = torch.linspace(-0.5, 1.5, 20 * 24).reshape(1, 20, 24)
    gray = picture(image=over, label="speed limit", right=False, psnr=None)
    rows = [PanelRow("6lux", "road sign", (picture(), gray)), PanelRow("3lux", "x" * 60, (picture(), picture()))]
    figures.panels(rows, tmp_path / "panels.png")
    first, second, third, _ = drawn[0].axes
    assert np.array_equal(first.images[0].get_array(), rows[0].pictures[0].image.permute(1, 2, 0).numpy())
    assert np.array_equal(second.images[0].get_array(), over.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy())
    assert first.get_xlabel() == "✓ road sign\n21.3 dB"
    assert second.get_xlabel() == "✗ speed limit"
    assert first.get_ylabel() == "6 lux · road sign"
    assert len(third.get_ylabel()) < 40
    assert first.get_title() == "scene"
    assert third.get_title() == ""


def test_the_curve_is_the_numbers_with_the_best_marked(tmp_path: Path, drawn: list[Any]) -> None:
    figures.pretraining_curve([(0, 20.0), (10, 22.5), (15, 22.0)], tmp_path / "c.png")
    curve, best = drawn[0].axes[0].lines
    assert list(curve.get_xdata()) == [0, 10, 15]
    assert curve.get_ydata().tolist() == [20.0, 22.5, 22.0]
    assert (best.get_xdata(), best.get_ydata()) == ([10], [22.5])
    assert drawn[0].axes[0].get_title(loc="left") == "start 20.00 dB, best 22.50 dB at 10"


@pytest.mark.parametrize("name", ["accuracy_by_method", "psnr_against_accuracy"])
def test_the_same_study_gives_the_same_bytes_and_leaves_matplotlib_alone(tmp_path: Path, name: str) -> None:
    before = dict(matplotlib.rcParams)
    for file in ("one.png", "two.png"):
        getattr(figures, name)(synthetic_study(), tmp_path / file)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "two.png"]
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.figs
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] > 1200
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_method_without_a_colour_gets_one_of_its_own(tmp_path: Path, drawn: list[Any]) -> None:
    figures.accuracy_by_method(
        synthetic_study(chances={"3lux": {"joint": 0.7, "mine": 0.6, "yours": 0.5}}), tmp_path / "a.png"
    )
    assert len({bar.get_facecolor() for bar in drawn[0].axes[0].patches}) == 3


@pytest.mark.parametrize("vision", VISION)
def test_colours_can_be_told_apart(vision: str) -> None:
    # A CIEDE2000 difference of about 1 can just be seen side by side; bars and legend lie apart, so ask for ten.
    rgb = np.array([to_rgb(colour) for colour in figures.METHOD_COLOURS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    assert min(float(deltaE_ciede2000(a, b)) for a, b in itertools.combinations(lab, 2)) > 10


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda path: figures.accuracy_by_method(synthetic_study(cells=[]), path), "at least one cell"),
        (lambda path: figures.psnr_against_accuracy(synthetic_study(cells=[]), path), "PSNR; found none"),
        (lambda path: figures.panels([], path), "rows must hold .*found no rows"),
        (lambda path: figures.panels([PanelRow("a", "b", (picture(),) * n) for n in (1, 2)], path), r"found \[1, 2\]"),
        (lambda path: figures.panels([PanelRow("a", "b", ())], path), r"found \[0\]"),
        (lambda path: figures.pretraining_curve([], path), "curve must hold at least one"),
        (lambda path: figures.pretraining_curve([(0, 20.0), (1, float("inf"))], path), "curve must be finite"),
        (lambda path: picture(image=torch.rand(20, 24)), r"image must have shape \(1\|3, H, W\)"),
        (lambda path: picture(image=torch.full((3, 2, 2), float("nan"))), "image must be finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
