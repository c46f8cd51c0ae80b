"""The chart: its cells, its markers, its orientation."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.psf.chart import BEST_CELL_PX, USABLE_CELL_PX, BernoulliChart
from dirtypixels.calibrate.psf.chart_print import fit_to_paper


@pytest.fixture(scope="module")
def small() -> BernoulliChart:
    return BernoulliChart(3, 4, block=72, square=16, border=8, seed=7)


class TestPattern:
    def test_cells_never_change(self, small: BernoulliChart) -> None:
        # A chart that hangs on a wall must stay readable: this digest may change only together with VERSION.
        digest = hashlib.sha256(small.pattern.tobytes()).hexdigest()
        assert digest.startswith("f3c563a97ea70a4bc6ac")

    def test_shape_is_in_cells(self, small: BernoulliChart) -> None:
        assert small.pattern.shape == small.shape == (3 * 72 + 2 * 24, 4 * 72 + 2 * 24)
        assert small.size_mm == pytest.approx((264 * 0.254, 336 * 0.254))

    def test_noise_is_fair_and_white(self, small: BernoulliChart) -> None:
        # Between the markers of a row there is nothing but noise.
        noise = small.pattern[45:72, 8:-8].astype(float)
        error = 0.5 / np.sqrt(noise.size)
        assert abs(noise.mean() - 0.5) < 4 * error
        signs = 2 * noise - 1
        for other in (signs[:, 1:] * signs[:, :-1], signs[1:] * signs[:-1]):
            assert abs(other.mean()) < 4 / np.sqrt(other.size)

    def test_seeds_differ(self, small: BernoulliChart) -> None:
        other = BernoulliChart(3, 4, block=72, square=16, border=8, seed=8)
        noise = (slice(45, 72), slice(8, -8))
        same = (small.pattern[noise] == other.pattern[noise]).mean()
        assert abs(same - 0.5) < 4 * 0.5 / np.sqrt(27 * 320)

    def test_border_is_white(self, small: BernoulliChart) -> None:
        inner = np.zeros(small.shape, bool)
        inner[8:-8, 8:-8] = True
        assert (small.pattern[~inner] == 1).all()

    def test_pattern_cannot_be_written_to(self, small: BernoulliChart) -> None:
        with pytest.raises(ValueError, match="read-only"):
            small.pattern[0, 0] = 0


class TestMarkers:
    def test_patches_are_flat_and_around_the_markers(self, small: BernoulliChart) -> None:
        boxes, colors = small.patches()
        assert len(boxes) == 4 * len(small.markers) == 4 * 4 * 5
        for (x0, y0, x1, y1), color in zip(boxes.astype(int), colors, strict=True):
            assert (small.pattern[y0:y1, x0:x1] == color).all()
            assert (x1 - x0, y1 - y0) == (16, 16)
        for i, marker in enumerate(small.markers):
            assert np.allclose((boxes[4 * i, 2:], boxes[4 * i + 3, :2]), marker)

    def test_colors_meet_crosswise(self, small: BernoulliChart) -> None:
        for (x, y), way in zip(small.markers.astype(int), small.polarity.ravel(), strict=True):
            around = small.pattern[y - 1 : y + 1, x - 1 : x + 1]
            assert around.tolist() == ([[0, 1], [1, 0]] if way > 0 else [[1, 0], [0, 1]])

    @pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 3), (3, 3), (3, 4), (9, 12), (12, 12)])
    def test_code_tells_every_orientation(self, rows: int, columns: int) -> None:
        chart = BernoulliChart(rows, columns, block=36, square=10, border=4)
        # Brute force: turn and mirror the drawn cells, and read the colors at the markers' places again.
        for quarters in range(4):
            for mirrored in (False, True):
                seen = np.rot90(chart.pattern[:, ::-1] if mirrored else chart.pattern, quarters)
                if seen.shape != chart.shape or (quarters == 0 and not mirrored):
                    continue
                read = np.array([1 - 2 * int(seen[int(y) - 1, int(x) - 1]) for x, y in chart.markers])
                assert (read != chart.polarity.ravel()).mean() >= 0.25

    def test_code_does_not_depend_on_the_seed(self) -> None:
        assert (BernoulliChart(seed=1).polarity == BernoulliChart(seed=2).polarity).all()


class TestSizes:
    def test_twelve_megapixels_get_2850_cells(self) -> None:
        chart = BernoulliChart.for_sensor(4000, 3000)
        assert 2700 < chart.shape[1] < 2900
        assert chart.cell_px(4000, 3000) == pytest.approx(1.4, rel=0.05)

    @pytest.mark.parametrize(("paper", "dots"), [("A4", 2), ("A3", 2), ("A2", 4), ("A1", 6)])
    def test_dots_tell_on_which_paper_they_print_sharp(self, paper: str, dots: int) -> None:
        assert fit_to_paper(BernoulliChart.for_sensor(4000, 3000), paper).dots(600) == dots

    def test_dots_go_with_the_printer(self) -> None:
        chart = BernoulliChart(cell_mm=0.254)
        assert (chart.dots(), chart.dots(1200), chart.dots(150)) == (6, 12, 1.5)

    @pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 720), (6000, 4000)])
    def test_a_chart_fills_the_frame(self, size: tuple[int, int]) -> None:
        chart = BernoulliChart.for_sensor(*size)
        low, high = USABLE_CELL_PX
        assert low < BEST_CELL_PX <= chart.cell_px(*size) < high
        filled = chart.shape[0] * chart.shape[1] * chart.cell_px(*size) ** 2 / (size[0] * size[1])
        assert filled > 0.8

    def test_cell_px_is_the_tighter_side(self, small: BernoulliChart) -> None:
        assert small.cell_px(3360, 264) == 1.0
        assert small.cell_px(336, 2640) == 1.0


class TestRaises:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"rows": 1}, "rows must be at least 2; found 1"),
            ({"columns": 0}, "columns must be at least 2"),
            ({"square": 9}, "square must be at least 10"),
            ({"border": 3}, "border must be at least 4"),
            ({"block": 60}, "block must be at least 64; found 60"),
            ({"seed": -1}, "seed must be at least 0"),
            ({"seed": 2**32}, "seed must be below 2\\^32"),
            ({"cell_mm": 0.0}, "cell_mm must be above 0"),
            ({"cell_mm": float("nan")}, "cell_mm must be above 0"),
            ({"rows": 200, "columns": 100}, "at most 400 million cells"),
        ],
    )
    def test_values_out_of_range(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            BernoulliChart(**changes)

    @pytest.mark.parametrize("value", [3.0, True, "3"])
    def test_numbers_that_are_not_integers(self, value: Any) -> None:
        with pytest.raises(TypeError, match="rows must be an integer"):
            BernoulliChart(rows=value)

    def test_sensor_too_small(self) -> None:
        with pytest.raises(ValueError, match=r"too small for a chart with cells of 1\.4 px: at least 246 pixels"):
            BernoulliChart.for_sensor(320, 240)

    def test_cells_out_of_range(self) -> None:
        with pytest.raises(ValueError, match="cell_px must be in"):
            BernoulliChart.for_sensor(4000, 3000, cell_px=0.5)
