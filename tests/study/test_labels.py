"""Names next to lines: in order, apart, and as near to their lines as that allows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import optimize

from dirtypixels.study.labels import End, label_ends, spread

NAMES = ("pretrained", "specialist 200 lux", "conditioned", "ensemble", "a", "finetuned, glyphs (gpqy)")


def by_optimization(places: npt.NDArray[np.float64], distance: float) -> npt.NDArray[np.float64]:
    """The same problem for a general solver: the distances between neighbors in the given order."""
    order = np.argsort(places, kind="stable")
    apart = [{"type": "ineq", "fun": lambda s, i=i: s[i + 1] - s[i] - distance} for i in range(len(places) - 1)]
    start = places[order] + distance * np.arange(len(places))
    done = optimize.minimize(lambda s: ((s - places[order]) ** 2).sum(), start, constraints=apart, tol=1e-12)
    found = np.empty(len(places))
    found[order] = done.x
    return found


class TestSpread:
    @pytest.mark.parametrize("seed", range(5))
    def test_against_a_general_solver(self, seed: int) -> None:
        places = np.random.default_rng(seed).uniform(0, 5, 7)
        found = spread(places, 1.0)
        assert np.allclose(found, by_optimization(places, 1.0), atol=1e-4)
        assert np.diff(np.sort(found)).min() >= 1 - 1e-9
        assert np.array_equal(np.argsort(found), np.argsort(places))

    def test_places_far_apart_stay(self) -> None:
        places = np.array([3.0, 0.0, 10.0])
        assert np.allclose(spread(places, 2.0), places)

    def test_equal_places_part_evenly_in_their_order(self) -> None:
        assert spread(np.zeros(3), 2.0).tolist() == [-2, 0, 2]

    def test_one_and_none(self) -> None:
        assert spread(np.array([4.0]), 1.0).tolist() == [4]
        assert spread(np.array([]), 1.0).tolist() == []


def drawn(values: list[float], size: tuple[float, float] = (5, 3)) -> tuple[Any, Any, list[Any]]:
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ends = [End(1.0 - 0.01 * k, y, NAMES[k], "#E69F00") for k, y in enumerate(values)]
    label_ends(figure, {axes: ends})
    figure.draw_without_rendering()
    return figure, axes, list(axes.texts)


class TestLabelEnds:
    @pytest.mark.parametrize("values", [[0.5] * 6, [0.9, 0.91, 0.3, 0.31, 0.32, 0.6], [0.0, 0.01, 0.99, 1.0, 1.0, 0.5]])
    def test_labels_are_apart_in_order_right_of_the_axes_and_within_the_figure(self, values: list[float]) -> None:
        figure, axes, texts = drawn(values)
        assert [text.get_text() for text in texts] == list(NAMES)
        boxes = [Text.get_window_extent(text) for text in texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert all(box.x0 > axes.bbox.x1 and box.x1 <= figure.bbox.x1 for box in boxes)
        assert np.ptp([box.x0 for box in boxes]) < 1
        middles = np.array([(box.y0 + box.y1) / 2 for box in boxes])
        order = np.argsort(values, kind="stable")
        assert (np.diff(middles[order]) > 0).all()

    def test_a_label_alone_is_level_with_its_line(self) -> None:
        _, axes, (text,) = drawn([0.37])
        box = Text.get_window_extent(text)
        assert (box.y0 + box.y1) / 2 == pytest.approx(axes.transData.transform((1, 0.37))[1], abs=1.5)

    def test_axes_without_lines_have_no_labels(self) -> None:
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        label_ends(figure, {axes: []})
        assert not axes.texts
