"""Markers in pictures: found to a fraction of a pixel, and what is said of pictures that cannot be used."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.markers import find_markers

pytest.importorskip("cv2")


def error_px(scene: Any, markers: Any) -> np.ndarray:
    """Distance of each marker's place from where the scene has it, in pixels."""
    off = scene.to_chart(markers.image) - markers.chart
    return np.hypot(*off.T) * scene.cell_px


class TestPlaces:
    @pytest.mark.parametrize(
        ("changes", "blur", "snr_db"),
        [
            ({}, 1.0, 40.0),
            ({}, 2.1, 25.0),
            ({"turn_degrees": 15.0, "cell_px": 1.35}, 1.0, 25.0),
            ({"turn_degrees": -15.0, "cell_px": 1.35, "tilt": (0.15, 0.1)}, 2.1, 25.0),
            ({"distortion": (-0.08, 0.02), "turn_degrees": -4.0}, 0.0, 25.0),
        ],
    )
    def test_all_are_found_to_a_fifth_of_a_pixel(
        self, scenes: Any, capture: Any, changes: dict[str, Any], blur: float, snr_db: float
    ) -> None:
        scene = scenes(**changes)
        found = find_markers(capture(scene, blur, snr_db), scene.chart)
        assert len(found.index) == len(scene.chart.markers)
        assert (found.chart == scene.chart.markers[found.index]).all()
        assert error_px(scene, found).max() < 0.2
        assert found.quarters == 0

    def test_brightness_and_type_do_not_matter(self, scene: Any, capture: Any) -> None:
        picture = capture(scene)
        a = find_markers(picture, scene.chart)
        b = find_markers((0.3 * picture).astype(np.float16), scene.chart)
        assert np.abs(a.image - b.image).max() < 0.02

    def test_picture_is_left_alone(self, scene: Any, capture: Any) -> None:
        picture = capture(scene)
        before = picture.copy()
        find_markers(picture, scene.chart)
        assert (picture == before).all()

    def test_without_a_marker_that_is_covered(self, scene: Any, capture: Any) -> None:
        picture = capture(scene)
        whole = find_markers(picture, scene.chart)
        x, y = whole.image[7].astype(int)
        picture[y - 25 : y + 25, x - 25 : x + 25] = 0.3
        found = find_markers(picture, scene.chart)
        assert set(whole.index) - set(found.index) == {7}
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["hidden-markers"]
        assert (
            f"({x}, {y})" in found.diagnostics[0].message
            or "cannot be read, at (x, y) = (" in found.diagnostics[0].message
        )


class TestOrientation:
    @pytest.mark.parametrize(
        ("quarters", "words"), [(1, "90 degrees counter-cl"), (2, "180 degr"), (3, "90 degrees cl")]
    )
    def test_turned_charts_are_recognized(self, scene: Any, capture: Any, quarters: int, words: str) -> None:
        picture = capture(scene)
        upright = find_markers(picture, scene.chart)
        found = find_markers(np.rot90(picture, quarters), scene.chart)
        assert found.quarters == quarters
        assert words in found.diagnostics[0].message
        assert found.diagnostics[0].kind == "turned"
        x, y = upright.image.T
        turned = {1: (y, 639 - x), 2: (639 - x, 479 - y), 3: (479 - y, x)}[quarters]
        assert np.abs(found.image - np.stack(turned, 1)).max() < 0.05

    @pytest.mark.parametrize("axis", [0, 1])
    def test_mirrored_charts_are_refused(self, scene: Any, capture: Any, axis: int) -> None:
        with pytest.raises(ValueError, match="the chart is mirrored in image"):
            find_markers(np.flip(capture(scene), axis), scene.chart)


class TestWrongPictures:
    def test_cut_off_says_how_many_and_where(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"cut off: 16 of 20 markers are in the frame, missing are 4 at the left"):
            find_markers(capture(scene)[:, 120:], scene.chart)

    def test_cut_off_at_two_sides(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"\d at the right and \d at the bottom\. Move back"):
            find_markers(capture(scene)[:400, :520], scene.chart)

    def test_cut_off_can_be_allowed(self, scene: Any, capture: Any) -> None:
        found = find_markers(capture(scene)[:, 120:], scene.chart, partial=True)
        assert len(found.index) == 16
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["cut-off"]
        off = scene.to_chart(found.image + np.array([120, 0])) - found.chart
        assert np.hypot(*off.T).max() * scene.cell_px < 0.2

    def test_a_chart_cut_off_on_all_sides_is_not_taken_for_a_covered_one(self, scenes: Any, capture: Any) -> None:
        # Extrapolated with high powers of the radius, markers beyond the frame would come to lie in it again.
        chart = BernoulliChart(6, 7, block=72, square=16, border=8)
        picture = capture(scenes(chart=chart, cell_px=1.9))
        with pytest.raises(
            ValueError, match=r"cut off.*at the left and \d+ at the right and \d+ at the top and \d+ at the"
        ):
            find_markers(picture, chart)
        found = find_markers(picture, chart, partial=True)
        assert 9 <= len(found.index) < 25
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["cut-off", "cell-size"]

    def test_too_little_of_the_chart_is_refused_all_the_same(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"cut off: 8 of 20.*and at least 9 are needed\. Move back") as caught:
            find_markers(capture(scene)[:, 340:], scene.chart, partial=True)
        assert "partial" not in str(caught.value)

    def test_turned_and_cut_off_says_both(self, scenes: Any, capture: Any) -> None:
        scene = scenes(turn_degrees=91.0, cell_px=1.6)
        with pytest.raises(ValueError, match=r"cut off.*turned by 90 degrees clockwise; turn it"):
            find_markers(capture(scene), scene.chart)

    def test_another_seed(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"with other noise .* its seed is not 9"):
            find_markers(capture(scene), replace(scene.chart, seed=9))

    def test_far_out_of_focus(self, scene: Any, capture: Any) -> None:
        y, x = np.mgrid[-9:10, -9:10]
        disk = (x**2 + y**2 <= 81) / (x**2 + y**2 <= 81).sum()
        words = r"^the chart's pattern cannot be recognized: image is out of focus, .* blurred to [01]\.\d %.*Focus on"
        with pytest.raises(ValueError, match=words):
            find_markers(ndimage.convolve(capture(scene), disk), scene.chart)

    def test_so_far_out_of_focus_that_markers_are_lost(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"markers cannot be read although .*: image is out of focus, .*Focus on"):
            find_markers(capture(scene, 10.0), scene.chart)

    @pytest.mark.parametrize("jump", [(0, 5), (7, 0), (-4, 4)])
    def test_a_double_image(self, scene: Any, capture: Any, jump: tuple[int, int]) -> None:
        picture = capture(scene)
        both = (picture + np.roll(picture, jump, (0, 1))) / 2
        with pytest.raises(ValueError, match=r"^image is blurred by movement: .*\((-?\d), (-?\d)\) px aside") as caught:
            find_markers(both, scene.chart)
        x, y = (int(v) for v in re.findall(r"-?\d+", str(caught.value))[:2])
        # One image lies half the jump to one side of their middle, the other half of it to the other.
        assert min(np.hypot(x - sign * jump[1] / 2, y - sign * jump[0] / 2) for sign in (1, -1)) < 1

    def test_more_noise_than_pattern(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"image is too noisy, .* about \d+ % .*Average several frames"):
            find_markers(capture(scene, snr_db=-13.0) / 5, scene.chart)

    @pytest.mark.parametrize("other", [BernoulliChart(3, 5, block=72, square=16, border=8), BernoulliChart()])
    def test_another_chart(self, scene: Any, capture: Any, other: BernoulliChart) -> None:
        with pytest.raises(ValueError, match=rf"another chart: 5 x 4 markers were seen.*of {other.columns + 1} x"):
            find_markers(capture(scene), other)

    def test_no_chart(self) -> None:
        noise = np.random.default_rng(0).random((480, 640))
        with pytest.raises(ValueError, match="image shows no chart"):
            find_markers(noise, BernoulliChart.for_sensor(640, 480))

    def test_no_chart_and_bright(self) -> None:
        bright = np.minimum(np.random.default_rng(0).random((480, 640)) * 2, 1)
        with pytest.raises(ValueError, match=r"no chart.*50 % of the pixels are at saturation"):
            find_markers(bright, BernoulliChart.for_sensor(640, 480))

    def test_saturated(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"overexposed: 100 % of the chart's white is at saturation \(1\)"):
            find_markers(np.minimum(2.5 * capture(scene), 1), scene.chart)

    def test_dark(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match="too dark or without contrast"):
            find_markers(0.01 * capture(scene), scene.chart)

    def test_too_far_away(self, scenes: Any, capture: Any) -> None:
        scene = scenes(cell_px=0.7)
        with pytest.raises(ValueError, match=r"a cell of the chart is 0\.7\d px wide.*Move nearer"):
            find_markers(capture(scene), scene.chart)

    def test_rather_far_away(self, scenes: Any, capture: Any) -> None:
        scene = scenes(cell_px=1.05)
        found = find_markers(capture(scene), scene.chart)
        assert [diagnostic.kind for diagnostic in found.diagnostics] == ["cell-size"]

    def test_too_near(self, capture: Any, scenes: Any) -> None:
        chart = BernoulliChart(2, 2, block=36, square=10, border=4)
        scene = scenes(chart=chart, cell_px=5.4, distortion=(0.0, 0.0), turn_degrees=2.0)
        assert chart.cell_px(640, 480) < 5
        with pytest.raises(ValueError, match=r"a cell of the chart is 5\.\d+ px wide.*Move back"):
            find_markers(capture(scene), chart, partial=True)

    def test_much_of_it_is_covered(self, scene: Any, capture: Any) -> None:
        picture = capture(scene)
        picture[100:330, 150:480] = 0.3
        with pytest.raises(ValueError, match=r"\d of 20 markers cannot be read although.*: something covers"):
            find_markers(picture, scene.chart)

    def test_noise_is_not_taken_for_a_cover(self, scene: Any, capture: Any) -> None:
        with pytest.raises(ValueError, match=r"4 of 20 markers cannot be read .*: image is too noisy, .* about \d\d %"):
            find_markers(capture(scene, snr_db=-9.0) / 5, scene.chart)


class TestRaises:
    @pytest.mark.parametrize(
        ("image", "error", "words"),
        [
            (np.ones((3, 480, 640)), ValueError, r"image must have shape \(H, W\).*found \(3, 480, 640\)"),
            (np.ones((40, 640)), ValueError, "at least 64 x 64"),
            (np.full((64, 64), np.nan), ValueError, "found 4096 NaN or infinite of 4096"),
            (np.ones((64, 64), bool), TypeError, "real numbers; found bool"),
        ],
    )
    def test_images(self, image: np.ndarray, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            find_markers(image, BernoulliChart())

    def test_without_opencv(self, monkeypatch: pytest.MonkeyPatch, scene: Any, capture: Callable[..., Any]) -> None:
        picture = capture(scene)
        monkeypatch.setitem(sys.modules, "cv2", None)
        with pytest.raises(RuntimeError, match=r"pip install 'dirtypixels\[calibrate\]'"):
            find_markers(picture, scene.chart)
