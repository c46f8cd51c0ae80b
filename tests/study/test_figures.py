"""Plots: what is drawn is what the study holds, and nothing outside the file changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.colors import to_rgb
from PIL import Image
from test_results import FOUR, synthetic_grid, synthetic_study

from dirtypixels.study import figures, grid_figures, scatter
from dirtypixels.study.styles import METHOD_COLORS

DRAW = {
    "bars": figures.accuracy_by_method, "scatter": scatter.psnr_against_accuracy, "heat": grid_figures.heat_map,
    "lines": grid_figures.accuracy_over_light,
}  # fmt: skip


def test_bars_and_their_intervals_are_the_studys(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study()
    figures.accuracy_by_method(study, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    order = [(condition, method) for condition in ("clean", "6lux", "3lux") for method in figures.methods_of(study)]
    cells = {(c.condition, c.method): c for c in study.cells}
    expected = [cells[key] for key in order if key in cells]
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    assert [bar.get_height() for bar in bars] == [c.top1.value for c in expected]
    assert [tuple(bar.get_facecolor()[:3]) for bar in bars] == [to_rgb(METHOD_COLORS[c.method]) for c in expected]
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


def test_groups_that_do_not_fit_side_by_side_go_on_below(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(chances=FOUR)
    figures.accuracy_by_method(study, tmp_path / "a.png")
    first, second = drawn[0].axes
    names = [[text.get_text() for text in axes.get_xticklabels()] for axes in (first, second)]
    assert names == [["clean", "6 lux", "3 lux"], ["6 lux + off-axis", "6 lux + periphery"]]
    assert len(first.patches) + len(second.patches) == len(study.cells)
    assert first.get_xlim() == second.get_xlim()  # bars of one width
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == [figures.method_name(method) for method in METHOD_COLORS]
    assert drawn[0].get_figwidth() < 12


def test_the_curve_is_the_numbers_with_the_best_marked(tmp_path: Path, drawn: list[Any]) -> None:
    figures.pretraining_curve([(0, 20.0), (10, 22.5), (15, 22.0)], tmp_path / "c.png")
    curve, best = drawn[0].axes[0].lines
    assert list(curve.get_xdata()) == [0, 10, 15]
    assert curve.get_ydata().tolist() == [20.0, 22.5, 22.0]
    assert (best.get_xdata(), best.get_ydata()) == ([10], [22.5])
    assert drawn[0].axes[0].get_title(loc="left") == "start 20.00 dB, best 22.50 dB at 10"


@pytest.mark.parametrize("name", DRAW)
def test_the_same_study_gives_the_same_bytes_and_leaves_matplotlib_alone(tmp_path: Path, name: str) -> None:
    before = dict(matplotlib.rcParams)
    for file in ("one.png", "two.png"):
        DRAW[name](synthetic_study(chances=FOUR, grid=synthetic_grid()), tmp_path / file)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "two.png"]
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.figs
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] > 1200
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_method_without_a_color_gets_one_of_its_own(tmp_path: Path, drawn: list[Any]) -> None:
    figures.accuracy_by_method(
        synthetic_study(chances={"3lux": {"joint": 0.7, "mine": 0.6, "yours": 0.5}}), tmp_path / "a.png"
    )
    assert len({bar.get_facecolor() for bar in drawn[0].axes[0].patches}) == 3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda path: figures.accuracy_by_method(synthetic_study(cells=[]), path), "at least one cell"),
        (lambda path: figures.pretraining_curve([], path), "curve must hold at least one"),
        (lambda path: figures.pretraining_curve([(0, 20.0), (1, float("inf"))], path), "curve must be finite"),
        (lambda path: figures.pretraining_curve([(1, 20.0), (1, 21.0)], path), "increasing iterations"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
