"""Figures of a light study: what is drawn is what the study holds, and its labels can be read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from light_synthetic import FACTORS, LIGHTS, SPECIALISTS, synthetic_light
from matplotlib import _pylab_helpers
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from dirtypixels.study import light_figures, light_tables

STUDY = synthetic_light(count=300)
SMALL = synthetic_light(count=60, lights=(3.0, 6.0, 25.0), specialists=(3.0, 25.0))
TINY = SMALL.model_copy(
    update={
        "mismatch": [m for m in SMALL.mismatch if m.sigma_factor == 1],
        "selective": [curve for curve in SMALL.selective if curve.lux == 3],
    }
)
DRAW = {
    "light": light_figures.accuracy_over_lux, "gap": light_figures.difference_over_lux,
    "factor": light_figures.accuracy_over_factor, "risk": light_figures.risk_over_coverage,
}  # fmt: skip


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """Every figure of STUDY as it was to be saved."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, draw in DRAW.items():
            patch.setattr(light_figures, "save", lambda figure, path, name=name: found.__setitem__(name, figure))
            draw(STUDY, "unused.png")
    return found


def labels(axes: Any) -> dict[str, Any]:
    return {text.get_text(): text for text in axes.texts}


def lines(axes: Any) -> list[Any]:
    """The lines through the points of a model: not rules, rings, or the caps of intervals."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2 and line.get_linestyle() != "None"]


class TestAccuracyOverLux:
    def test_lines_bands_and_rings_are_the_studys(self, figures: dict[str, Any]) -> None:
        (axes,) = figures["light"].axes
        assert axes.get_xscale() == "log"
        models = light_tables.models_of(STUDY)
        values = {tuple(line.get_ydata()) for line in lines(axes)}
        cells = {model: light_tables.cells_of(STUDY, model).values() for model in models}
        assert values == {tuple(cell.top1.value for cell in found) for found in cells.values()}
        for band in axes.collections:
            corners = band.get_paths()[0].vertices
            low, high = corners[:, 1].min(), corners[:, 1].max()
            assert any(
                np.isclose(low, min(c.top1.low for c in found)) and np.isclose(high, max(c.top1.high for c in found))
                for found in cells.values()
            )
        assert len(axes.collections) == len(models)
        rings = [line for line in axes.lines if line.get_label() == "at home"]
        places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in rings]
        assert places == [(c.judged_lux, c.top1.value) for c in STUDY.cells if c.is_at_home]
        assert [text.get_text() for text in axes.get_xticklabels()] == [f"{lux:g}" for lux in LIGHTS]

    def test_a_label_has_its_lines_color_and_place_in_the_order(self, figures: dict[str, Any]) -> None:
        (axes,) = figures["light"].axes
        last = {model: list(light_tables.cells_of(STUDY, model).values())[-1].top1.value for model in labels(axes)}
        assert set(last) == set(light_tables.models_of(STUDY))
        heights = {model: Text.get_window_extent(text).y0 for model, text in labels(axes).items()}
        for a, b in itertools.combinations(last, 2):
            if last[a] != last[b]:
                assert (last[a] > last[b]) == (heights[a] > heights[b])
        assert labels(axes)["conditioned"].arrow_patch.get_edgecolor()[:3] == matplotlib.colors.to_rgb("#D55E00")

    def test_models_without_specialists(self, tmp_path: Path, drawn: list[Any]) -> None:
        light_figures.accuracy_over_lux(
            synthetic_light(count=100, lights=(3.0, 6.0, 25.0), specialists=()), tmp_path / "a.png"
        )
        (axes,) = drawn[0].axes
        assert len(lines(axes)) == 5
        assert axes.get_title(loc="left") == ""

    def test_models_of_one_kind_have_its_color_and_other_dashes(self, tmp_path: Path, drawn: list[Any]) -> None:
        more = [
            c.model_copy(update={"model": f"{n}"}) for n in range(5) for c in STUDY.cells if c.kind == "conditioned"
        ]
        light_figures.accuracy_over_lux(STUDY.model_copy(update={"cells": [*STUDY.cells, *more]}), tmp_path / "a.png")
        orange = [line for line in lines(drawn[0].axes[0]) if to_hex(line.get_color()) == "#d55e00"]
        assert len(orange) == 6
        assert len({line.get_linestyle() for line in orange}) == 4


class TestDifferenceOverLux:
    def test_gaps_and_their_intervals(self, figures: dict[str, Any]) -> None:
        (axes,) = figures["gap"].axes
        shown = ("finetuned", "unconditioned", "conditioned", "ensemble")
        gaps = {m: [c.difference for c in light_tables.cells_of(STUDY, m).values() if c.difference] for m in shown}
        assert set(labels(axes)) == set(shown)
        assert {tuple(line.get_ydata()) for line in lines(axes)} == {
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
        assert [axes.get_title() for axes in panels] == [f"conditioned: {k} wrong" for k in ("alpha", "sigma", "both")]
        found = {(m.lux, m.alpha_factor, m.sigma_factor): m for m in STUDY.mismatch}
        for axes, pair in zip(panels, (lambda f: (f, 1.0), lambda f: (1.0, f), lambda f: (f, f)), strict=True):
            assert set(labels(axes)) == {"3 lux", "25 lux"}
            for line, band, lux in zip(lines(axes), axes.collections, (3.0, 25.0), strict=True):
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
        light_figures.accuracy_over_factor(TINY, tmp_path / "a.png")
        assert [axes.get_title() for axes in drawn[0].axes] == ["conditioned: alpha wrong"]


class TestRiskOverCoverage:
    def test_a_panel_for_each_light_and_a_line_for_each_model(self, figures: dict[str, Any]) -> None:
        panels = figures["risk"].axes
        assert [axes.get_title() for axes in panels] == [f"{lux:g} lux" for lux in LIGHTS]
        for axes, lux in zip(panels, LIGHTS, strict=True):
            curves = {curve.model: curve for curve in STUDY.selective if curve.lux == lux}
            assert set(labels(axes)) == set(curves)
            ends = sorted((line.get_xdata()[-1], line.get_ydata()[-1]) for line in lines(axes))
            assert ends == sorted((1.0, curve.risk[-1]) for curve in curves.values())
            for line in lines(axes):
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
        curves = [curve for curve in SMALL.selective if curve.lux in lights]
        light_figures.risk_over_coverage(SMALL.model_copy(update={"selective": curves}), tmp_path / "a.png")
        assert [axes.get_visible() for axes in drawn[0].axes] == visible
        assert [bool(axes.xaxis.label.get_visible()) for axes in drawn[0].axes][-2:] == [True, True][-len(visible) :]


@pytest.mark.parametrize("name", DRAW)
def test_labels_cover_neither_each_other_nor_leave_the_figure(figures: dict[str, Any], name: str) -> None:
    boxes = []
    for axes in figures[name].axes:
        mine = [Text.get_window_extent(text) for text in axes.texts]
        assert all(box.x0 > axes.bbox.x1 for box in mine)
        boxes += mine
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    page = figures[name].bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)


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


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("light", {"cells": []}, "study must hold at least one cell to draw; found none"),
        (
            "gap",
            {"cells": [c for c in SMALL.cells if c.kind == "specialist"]},
            "must compare a model with a specialist",
        ),
        ("factor", {"mismatch": []}, "study must hold a mismatch to draw; found none"),
        ("risk", {"selective": []}, "study must hold curves of risk over coverage to draw; found none"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DRAW[name](SMALL.model_copy(update=changes), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
