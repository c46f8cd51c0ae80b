"""Light x PSF: every value in its field, and every line through its points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from test_results import synthetic_grid, synthetic_study

from dirtypixels.study import grid_figures
from dirtypixels.study.results import Cell

DRAW = [grid_figures.heat_map, grid_figures.accuracy_over_light]


def shuffled() -> list[Cell]:
    """The grid in another order: without noise first, the periphery before the center."""
    return list(reversed(synthetic_grid()))


def test_every_field_of_the_heat_map_has_its_value(tmp_path: Path, drawn: list[Any]) -> None:
    grid_figures.heat_map(synthetic_study(grid=shuffled()), tmp_path / "g.png")
    for axes, field in zip(drawn[0].axes, ("top1", "top5"), strict=False):
        across = [text.get_text() for text in axes.get_xticklabels()]
        down = [text.get_text() for text in drawn[0].axes[0].get_yticklabels()]
        assert across == ["periphery", "off-axis", "center", "no blur"]
        assert down == ["no noise", "96 lux", "48 lux", "24 lux", "12 lux", "6 lux", "3 lux"]
        written = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
        image = axes.images[0]
        for k, cell in enumerate(shuffled()):
            value = getattr(cell, field).value
            assert written[k % 4, k // 4] == f"{100 * value:.1f}"
            assert float(image.get_array()[k // 4, k % 4]) == value
    assert drawn[0].axes[0].images[0].get_clim() == drawn[0].axes[1].images[0].get_clim()


def test_values_can_be_read_on_their_ground(tmp_path: Path, drawn: list[Any]) -> None:
    grid_figures.heat_map(synthetic_study(grid=synthetic_grid()), tmp_path / "g.png")

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


def test_a_field_that_was_not_judged_stays_empty(tmp_path: Path, drawn: list[Any]) -> None:
    cells = synthetic_grid()
    grid_figures.heat_map(synthetic_study(grid=[cells[0], cells[5]]), tmp_path / "g.png")
    assert len(drawn[0].axes[0].texts) == 2
    assert np.isnan(np.asarray(drawn[0].axes[0].images[0].get_array().filled(np.nan))).sum() == 2


def test_lines_go_through_the_grids_points(tmp_path: Path, drawn: list[Any]) -> None:
    cells = synthetic_grid()
    grid_figures.accuracy_over_light(synthetic_study(grid=shuffled()), tmp_path / "l.png")
    axes = drawn[0].axes[0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "6", "12", "24", "48", "96", "none"]
    lines = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "None"]
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    for line, tail, place in zip(lines, dotted, ("periphery", "offaxis", "center", None), strict=True):
        mine = [cell for cell in cells if cell.position == place]
        assert line.get_ydata().tolist() == [cell.top1.value for cell in mine if cell.lux]
        lux = np.array([cell.lux for cell in mine if cell.lux])
        assert np.all(np.abs(line.get_xdata() / lux - 1) < 0.06)
        assert tail.get_ydata().tolist() == [mine[-2].top1.value, mine[-1].top1.value]
        assert tail.get_xdata()[1] > 1.5 * 96
    spans = sorted(tuple(s[:, 1]) for part in axes.collections for s in part.get_segments())
    assert np.allclose(spans, sorted((cell.top1.low, cell.top1.high) for cell in cells))
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["periphery", "off-axis", "center", "no blur"]
    colors = np.array([to_rgb(line.get_color()) for line in lines])
    assert len({tuple(color) for color in rgb_to_hsv(colors)}) == 4


@pytest.mark.parametrize("keep", [[None], [6.0], [3.0, 6.0]])
def test_a_grid_of_few_light_levels(tmp_path: Path, drawn: list[Any], keep: list[float | None]) -> None:
    cells = [cell for cell in synthetic_grid() if cell.lux in keep]
    grid_figures.accuracy_over_light(synthetic_study(grid=cells), tmp_path / "l.png")
    ticks = [text.get_text() for text in drawn[0].axes[0].get_xticklabels()]
    assert ticks == ["none" if lux is None else f"{lux:g}" for lux in keep]


@pytest.mark.parametrize("draw", DRAW)
def test_without_a_grid_there_is_nothing_to_draw(tmp_path: Path, draw: Any) -> None:
    with pytest.raises(ValueError, match="must hold a grid to draw; found none"):
        draw(synthetic_study(), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
