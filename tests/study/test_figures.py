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

from dirtypixels.study import figures, lines, styles, tables
from dirtypixels.study.results import Cell, Estimate
from dirtypixels.study.styles import METHOD_COLORS
from tests.study.synthetic import FOUR, FROZEN, synthetic_grid, synthetic_study

DRAW = {
    "bars": figures.accuracy_by_method, "scatter": figures.psnr_against_accuracy, "heat": figures.heat_map,
    "lines": lines.accuracy_over_grid,
}  # fmt: skip


def test_bars_and_their_intervals_are_the_studys(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study()
    figures.accuracy_by_method(study, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    order = [(condition, method) for condition in ("clean", "6lux", "3lux") for method in tables.methods_of(study)]
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


def test_single_trainings_are_dots_on_the_bar_of_their_mean(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(trainings=3, chances={"3lux": {"pretrained": 0.3, "finetuned": 0.7, "joint": 0.75}})
    figures.accuracy_by_method(study, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    for bar, line, cell in zip(axes.patches[1:], dots, study.cells[1:], strict=True):
        assert list(line.get_ydata()) == [one.metrics["top1"].value for one in cell.trainings]
        across, middle = line.get_xdata(), bar.get_x() + bar.get_width() / 2
        assert bar.get_x() < min(across) < max(across) < bar.get_x() + bar.get_width()
        assert min(abs(across - middle)) > 0.05  # the interval is there
    assert [bar.get_height() for bar in axes.patches] == [cell.top1.value for cell in study.cells]


def test_psnr_after_gain_and_offset_has_a_figure_with_every_training(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(trainings=2, chances={"3lux": FROZEN["3lux"]}, affine=True)
    assert figures.psnr_against_accuracy(study, tmp_path / "p.png", "psnr_affine")
    axes = drawn[0].axes[0]
    assert "PSNR after gain and offset" in axes.get_xlabel()
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata())}
    shown = [cell.metrics for cell in study.cells] + [one.metrics for cell in study.cells for one in cell.trainings]
    assert points == {(m["psnr_affine"].value, m["top1"].value) for m in shown if "psnr_affine" in m}
    assert not figures.psnr_against_accuracy(synthetic_study(), tmp_path / "none.png", "psnr_affine")


def test_groups_that_do_not_fit_side_by_side_go_on_below(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(chances=FOUR)
    figures.accuracy_by_method(study, tmp_path / "a.png")
    first, second = drawn[0].axes
    names = [[text.get_text() for text in axes.get_xticklabels()] for axes in (first, second)]
    assert names == [["clean", "6 lux", "3 lux"], ["6 lux + off-axis", "6 lux + periphery"]]
    assert len(first.patches) + len(second.patches) == len(study.cells)
    assert first.get_xlim() == second.get_xlim()  # bars of one width
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == [tables.method_name(method) for method in METHOD_COLORS if "_finetuned" not in method]
    assert drawn[0].get_figwidth() < 12


def test_points_and_their_names(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(chances=FOUR)
    figures.psnr_against_accuracy(study, tmp_path / "p.png")
    assert len(drawn[0].axes) == 4  # the clean condition has no PSNR
    for axes, condition in zip(drawn[0].axes, ("6lux", "3lux", "6lux+offaxis", "6lux+periphery"), strict=True):
        assert axes.get_title() == tables.condition_name(condition)
        shown = [c for c in study.cells if c.condition == condition]
        points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata())}
        assert {(c.psnr.value, c.top1.value) for c in shown if c.psnr} == points
        spans = sorted(np.ptp(segment, axis=0).tolist() for part in axes.collections for segment in part.get_segments())
        expected = [[0.0, c.top1.high - c.top1.low] for c in shown]
        expected += [[c.psnr.high - c.psnr.low, 0.0] for c in shown if c.psnr]
        assert np.allclose(spans, sorted(expected))
        assert [text.get_text() for text in axes.texts] == [""]  # an arrow from unit to joint
    legend = drawn[0].legends[0]
    names = [tables.method_name(key) for key in tables.methods_of(study)]
    assert [text.get_text() for text in legend.get_texts()] == [*names, figures.ARROW]
    handles = [line.get_marker() for line in legend.get_lines()]
    assert handles[:-1] == [styles.METHOD_MARKERS[key] for key in tables.methods_of(study)]


def test_the_legend_covers_no_axes(tmp_path: Path, drawn: list[Any]) -> None:
    figures.psnr_against_accuracy(synthetic_study(chances=FOUR), tmp_path / "p.png")
    drawn[0].draw_without_rendering()
    box = drawn[0].legends[0].get_window_extent()
    assert all(box.y0 > axes.get_tightbbox().y1 for axes in drawn[0].axes if axes.get_visible())
    assert drawn[0].bbox.x0 <= box.x0 < box.x1 <= drawn[0].bbox.x1


def test_conditions_are_drawn_to_one_scale(tmp_path: Path, drawn: list[Any]) -> None:
    figures.psnr_against_accuracy(synthetic_study(chances=FOUR), tmp_path / "p.png")
    assert len({axes.get_xlim() + axes.get_ylim() for axes in drawn[0].axes}) == 1


def test_only_conditions_that_compare_something_are_drawn(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(chances={**FOUR, "6lux": {"pretrained": 0.6}})
    assert figures.psnr_against_accuracy(study, tmp_path / "p.png")
    assert [axes.get_visible() for axes in drawn[0].axes] == [True, True, True, False]
    names = [tables.condition_name(key) for key in ("3lux", "6lux+offaxis", "6lux+periphery")]
    assert [axes.get_title() for axes in drawn[0].axes][:3] == names


@pytest.mark.parametrize("name", DRAW)
def test_where_there_is_nothing_to_draw_there_is_no_file(tmp_path: Path, name: str) -> None:
    study = synthetic_study(chances={"6lux": {"pretrained": 0.6}} if name == "scatter" else {})
    assert not DRAW[name](study, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_the_curve_is_the_numbers_with_the_best_marked(tmp_path: Path, drawn: list[Any]) -> None:
    figures.pretraining_curve([(0, 20.0), (10, 22.5), (15, 22.0)], tmp_path / "c.png")
    curve, best = drawn[0].axes[0].lines
    assert list(curve.get_xdata()) == [0, 10, 15]
    assert list(curve.get_ydata()) == [20.0, 22.5, 22.0]
    assert (best.get_xdata(), best.get_ydata()) == ([10], [22.5])
    assert drawn[0].axes[0].get_title(loc="left") == "start 20.00 dB, best 22.50 dB at 10"


def shuffled() -> list[Cell]:
    """The grid in another order: without noise first, the periphery before the center."""
    return list(reversed(synthetic_grid()))


def test_every_field_of_the_heat_map_has_its_value(tmp_path: Path, drawn: list[Any]) -> None:
    figures.heat_map(synthetic_study(grid=shuffled()), tmp_path / "g.png")
    for axes, field in zip(drawn[0].axes, ("top1", "top5"), strict=False):
        across = [text.get_text() for text in axes.get_xticklabels()]
        down = [text.get_text() for text in drawn[0].axes[0].get_yticklabels()]
        assert across == ["periphery", "off-axis", "center", "no blur"]
        assert down == ["no noise", "96 lux", "48 lux", "24 lux", "12 lux", "6 lux", "3 lux"]
        written = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
        image = axes.images[0]
        for k, cell in enumerate(shuffled()):
            value = cell.metrics[field].value
            assert written[k % 4, k // 4] == f"{100 * value:.1f}"
            assert float(image.get_array()[k // 4, k % 4]) == value
    assert drawn[0].axes[0].images[0].get_clim() == drawn[0].axes[1].images[0].get_clim()


def test_values_can_be_read_on_their_ground(tmp_path: Path, drawn: list[Any]) -> None:
    figures.heat_map(synthetic_study(grid=synthetic_grid()), tmp_path / "g.png")

    def luminance(color: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for axes in drawn[0].axes[:2]:
        image = axes.images[0]
        for text in axes.texts:
            j, i = map(int, text.get_position())
            ground = image.cmap(image.norm(image.get_array()[i, j]))[:3]
            dark, light = sorted((luminance(text.get_color()), luminance(ground)))
            assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2.2, contrast of text, level AA


def test_a_field_that_was_not_evaluated_stays_empty(tmp_path: Path, drawn: list[Any]) -> None:
    cells = synthetic_grid()
    figures.heat_map(synthetic_study(grid=[cells[0], cells[5]]), tmp_path / "g.png")
    assert len(drawn[0].axes[0].texts) == 2
    assert np.isnan(np.asarray(drawn[0].axes[0].images[0].get_array().filled(np.nan))).sum() == 2


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


@pytest.mark.parametrize("name", ["bars", "scatter"])
def test_the_legend_of_all_methods_is_within_the_figure(tmp_path: Path, drawn: list[Any], name: str) -> None:
    psnr = {"psnr": Estimate(value=20.0, unit="dB")}
    cells = [c.model_copy(update={"metrics": c.metrics | psnr}) for c in synthetic_study(chances=FROZEN).cells]
    DRAW[name](synthetic_study(cells=cells), tmp_path / "x.png")
    (legend,) = drawn[0].legends
    assert len(legend.get_texts()) == len(METHOD_COLORS) + (name == "scatter")
    drawn[0].draw_without_rendering()
    box = legend.get_window_extent()
    assert drawn[0].bbox.x0 <= box.x0 < box.x1 <= drawn[0].bbox.x1
    assert all(box.y0 > axes.get_tightbbox().y1 for axes in drawn[0].axes if axes.get_visible())
