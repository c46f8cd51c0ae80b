"""Lines over light, factors and coverage: what is drawn is what the study holds, and its labels can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgb
from PIL import Image

from dirtypixels.study import lines, tables
from dirtypixels.study.results import Study
from tests.study.synthetic import (
    FACTORS,
    LIGHTS,
    SPECIALISTS,
    light_cell,
    light_model,
    synthetic_grid,
    synthetic_light,
    synthetic_study,
)

STUDY = synthetic_light(count=300)
SMALL = synthetic_light(count=60, lights=(3.0, 6.0, 25.0), specialists=(3.0, 25.0))
DRAW = {
    "light": lines.accuracy_over_light, "gap": lines.difference_over_light,
    "factor": lines.accuracy_over_factor, "risk": lines.risk_over_coverage,
}  # fmt: skip


def with_risk_at(study: Study, lights: tuple[float, ...]) -> Study:
    """The study with curves of risk over coverage at some lights only."""
    cells = [cell if cell.lux in lights else cell.model_copy(update={"risk": None}) for cell in study.cells]
    return study.model_copy(update={"cells": cells})


TINY = with_risk_at(
    SMALL.model_copy(update={"cells": [cell for cell in SMALL.cells if cell.sigma_factor == 1]}), (3.0,)
)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """Every figure of STUDY as it was to be saved."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, draw in DRAW.items():
            patch.setattr(lines, "save", lambda figure, path, name=name: found.__setitem__(name, figure))
            draw(STUDY, "unused.png")
    return found


def labels(figure: Any) -> dict[str, Any]:
    """What the legend names, from top to bottom, and how it is drawn there."""
    (legend,) = figure.legends
    return dict(zip((text.get_text() for text in legend.get_texts()), legend.get_lines(), strict=True))


def lines_of(axes: Any) -> list[Any]:
    """The lines through the points of a model: not rules, rings, or the caps of intervals."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2 and line.get_linestyle() != "None"]


class TestAccuracyOverLight:
    def test_lines_intervals_and_rings_are_the_studys(self, figures: dict[str, Any]) -> None:
        (axes,) = figures["light"].axes
        assert axes.get_xscale() == "log"
        cells = {model: list(found.values()) for model, found in tables.over_light(STUDY).items()}
        values = {tuple(line.get_ydata()) for line in lines_of(axes)}
        assert values == {tuple(cell.top1.value for cell in found) for found in cells.values()}
        spans = sorted(tuple(s[:, 1]) for part in axes.collections for s in part.get_segments())
        assert np.allclose(spans, sorted(cell.top1.interval for found in cells.values() for cell in found))
        rings = [line for line in axes.lines if line.get_label() == "at home"]
        homes = [cell for cell in STUDY.part("light") if cell.is_at_home]
        assert [line.get_ydata()[0] for line in rings] == [cell.top1.value for cell in homes]
        assert [line.get_xdata()[0] for line in rings] == pytest.approx([cell.lux for cell in homes], rel=0.12)
        assert [text.get_text() for text in axes.get_xticklabels()] == [f"{lux:g}" for lux in LIGHTS]

    def test_the_legend_has_the_lines_colors_and_their_order_at_the_right(self, figures: dict[str, Any]) -> None:
        named = labels(figures["light"])
        cells = {model: list(found.values()) for model, found in tables.over_light(STUDY).items()}
        assert set(named) == set(cells)
        last = [cells[model][-1].top1.value for model in named]
        assert last == sorted(last, reverse=True)
        drawn = {tuple(line.get_ydata()): line for line in lines_of(figures["light"].axes[0])}
        for model, line in named.items():
            mine = drawn[tuple(cell.top1.value for cell in cells[model])]
            assert (line.get_color(), line.get_linestyle()) == (mine.get_color(), mine.get_linestyle())

    def test_models_without_specialists(self, tmp_path: Path, drawn: list[Any]) -> None:
        lines.accuracy_over_light(
            synthetic_light(count=100, lights=(3.0, 6.0, 25.0), specialists=()), tmp_path / "a.png"
        )
        (axes,) = drawn[0].axes
        assert len(lines_of(axes)) == 5
        assert axes.get_title(loc="left") == ""

    def test_models_of_one_kind_have_its_color_and_other_dashes(self, tmp_path: Path, drawn: list[Any]) -> None:
        more = [
            light_cell(light_model("conditioned").model_copy(update={"rounds": n}), lux, 300, 200)
            for n in range(2, 7)
            for lux in LIGHTS
        ]
        lines.accuracy_over_light(STUDY.model_copy(update={"cells": [*STUDY.cells, *more]}), tmp_path / "a.png")
        orange = [line for line in lines_of(drawn[0].axes[0]) if to_hex(line.get_color()) == "#d55e00"]
        assert len(orange) == 6
        assert len({line.get_linestyle() for line in orange}) == 4


class TestDifferenceOverLight:
    def test_gaps_and_their_intervals(self, figures: dict[str, Any]) -> None:
        (axes,) = figures["gap"].axes
        shown = ("finetuned", "unconditioned", "conditioned", "ensemble")
        gaps = {m: [c.difference for c in tables.over_light(STUDY)[m].values() if c.difference] for m in shown}
        assert set(labels(figures["gap"])) == set(shown)
        assert {tuple(line.get_ydata()) for line in lines_of(axes)} == {
            tuple(gap.value for gap in found) for found in gaps.values()
        }
        spans = sorted(tuple(s[:, 1]) for part in axes.collections for s in part.get_segments())
        assert np.allclose(spans, sorted((gap.low, gap.high) for found in gaps.values() for gap in found))
        margin = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        assert (margin.y0, margin.y1) == pytest.approx((-0.01, 0.01))
        assert [text.get_text() for text in axes.get_xticklabels()] == [f"{lux:g}" for lux in SPECIALISTS]
        ticks = [text.get_text() for text in axes.get_yticklabels()]
        assert "0" in ticks
        assert not any(text.startswith(("+0", "−0")) and len(text) == 2 for text in ticks)


class TestAccuracyOverFactor:
    def test_a_panel_for_each_wrong_figure_and_a_line_for_each_light(self, figures: dict[str, Any]) -> None:
        panels = figures["factor"].axes
        assert list(labels(figures["factor"])) == ["25 lux", "3 lux"]
        assert [axes.get_title() for axes in panels] == [f"conditioned: {k} wrong" for k in ("alpha", "sigma", "both")]
        found = {(m.lux, m.alpha_factor, m.sigma_factor): m for m in STUDY.part("wrong_noise")}
        for axes, pair in zip(panels, (lambda f: (f, 1.0), lambda f: (1.0, f), lambda f: (f, f)), strict=True):
            for line, band, lux in zip(lines_of(axes), axes.collections, (3.0, 25.0), strict=True):
                cells = [found[lux, *pair(f)] for f in FACTORS]
                assert list(line.get_xdata()) == list(FACTORS)
                assert list(line.get_ydata()) == [m.top1.value for m in cells]
                # The band is that of the paired change, so that it has no width at the truth.
                truth = found[lux, 1.0, 1.0].top1.value
                low = [truth + m.difference.low if m.difference else truth for m in cells]
                corners = band.get_paths()[0].vertices
                for factor, least in zip(FACTORS, low, strict=True):
                    here = corners[np.isclose(corners[:, 0], factor), 1]
                    assert here.min() == pytest.approx(least)
        assert [text.get_text() for text in panels[0].get_xticklabels()] == [f"×{f:g}" for f in FACTORS]

    def test_one_wrong_figure_has_one_panel(self, tmp_path: Path, drawn: list[Any]) -> None:
        lines.accuracy_over_factor(TINY, tmp_path / "a.png")
        assert [axes.get_title() for axes in drawn[0].axes] == ["conditioned: alpha wrong"]


class TestRiskOverCoverage:
    def test_a_panel_for_each_light_and_a_line_for_each_model(self, figures: dict[str, Any]) -> None:
        panels = figures["risk"].axes
        assert [axes.get_title() for axes in panels] == [f"{lux:g} lux" for lux in LIGHTS]
        for axes, lux in zip(panels, LIGHTS, strict=True):
            curves = {cell.model.name: cell.risk for cell in STUDY.part("light") if cell.lux == lux and cell.risk}
            assert set(labels(figures["risk"])) == set(curves)
            ends = sorted((line.get_xdata()[-1], line.get_ydata()[-1]) for line in lines_of(axes))
            assert ends == sorted((1.0, curve.risk[-1]) for curve in curves.values())
            for line in lines_of(axes):
                assert line.get_xdata()[0] >= 0.05
                points = set(zip(line.get_xdata(), line.get_ydata(), strict=True))
                assert any(points <= set(zip(c.coverage, c.risk, strict=True)) for c in curves.values())

    def test_ticks_say_what_they_are(self, figures: dict[str, Any]) -> None:
        for axes in figures["risk"].axes:
            for place, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
                assert float(text.get_text().removesuffix(" %")) == pytest.approx(100 * place)

    @pytest.mark.parametrize(("lights", "visible"), [((3.0,), [True]), ((3.0, 6.0, 25.0), [True, True, True, False])])
    def test_an_odd_number_of_lights(
        self, tmp_path: Path, drawn: list[Any], lights: tuple[float, ...], visible: list[bool]
    ) -> None:
        lines.risk_over_coverage(with_risk_at(SMALL, lights), tmp_path / "a.png")
        assert [axes.get_visible() for axes in drawn[0].axes] == visible
        assert [bool(axes.xaxis.label.get_visible()) for axes in drawn[0].axes][-2:] == [True, True][-len(visible) :]


@pytest.mark.parametrize("name", DRAW)
def test_the_legend_covers_no_axes_and_does_not_leave_the_figure(figures: dict[str, Any], name: str) -> None:
    figures[name].draw_without_rendering()
    page, box = figures[name].bbox, figures[name].legends[0].get_window_extent()
    assert all(box.x0 > axes.bbox.x1 for axes in figures[name].axes)
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1


@pytest.mark.parametrize("name", DRAW)
def test_the_same_study_gives_the_same_bytes_and_leaves_matplotlib_alone(tmp_path: Path, name: str) -> None:
    before = dict(matplotlib.rcParams)
    for file in ("one.png", "two.png"):
        DRAW[name](TINY, tmp_path / file)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "two.png"]
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.figs
    with Image.open(tmp_path / "one.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


NOTHING_TO_DRAW = {
    "light": [],
    "gap": [c for c in SMALL.part("light") if c.model.kind == "specialist"],
    "factor": SMALL.part("light"),
    "risk": with_risk_at(SMALL, ()).cells,
}


@pytest.mark.parametrize("name", DRAW)
def test_where_there_is_nothing_to_draw_there_is_no_file(tmp_path: Path, name: str) -> None:
    assert not DRAW[name](SMALL.model_copy(update={"cells": NOTHING_TO_DRAW[name]}), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


class TestAccuracyOverGrid:
    def test_lines_go_through_the_grids_points(self, tmp_path: Path, drawn: list[Any]) -> None:
        cells = synthetic_grid()
        lines.accuracy_over_grid(synthetic_study(grid=list(reversed(synthetic_grid()))), tmp_path / "l.png")
        axes = drawn[0].axes[0]
        assert axes.get_xscale() == "log"
        assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "6", "12", "24", "48", "96", "none"]
        whole = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "None"]
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        for line, tail, place in zip(whole, dotted, ("periphery", "offaxis", "center", None), strict=True):
            mine = [cell for cell in cells if cell.position == place]
            assert line.get_ydata().tolist() == [cell.top1.value for cell in mine if cell.lux]
            lux = np.array([cell.lux for cell in mine if cell.lux])
            assert np.all(np.abs(line.get_xdata() / lux - 1) < 0.06)
            assert tail.get_ydata().tolist() == [mine[-2].top1.value, mine[-1].top1.value]
            assert tail.get_xdata()[1] > 1.5 * 96
        spans = sorted(tuple(s[:, 1]) for part in axes.collections for s in part.get_segments())
        assert np.allclose(spans, sorted((cell.top1.low, cell.top1.high) for cell in cells))
        assert list(labels(drawn[0])) == ["no blur", "center", "off-axis", "periphery"]
        colors = np.array([to_rgb(line.get_color()) for line in whole])
        assert len({tuple(color) for color in rgb_to_hsv(colors)}) == 4

    @pytest.mark.parametrize("keep", [[None], [6.0], [3.0, 6.0]])
    def test_a_grid_of_few_light_levels(self, tmp_path: Path, drawn: list[Any], keep: list[float | None]) -> None:
        cells = [cell for cell in synthetic_grid() if cell.lux in keep]
        lines.accuracy_over_grid(synthetic_study(grid=cells), tmp_path / "l.png")
        ticks = [text.get_text() for text in drawn[0].axes[0].get_xticklabels()]
        assert ticks == ["none" if lux is None else f"{lux:g}" for lux in keep]
