"""Frames whose mosaic is not what they state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dirtypixels.raw.frames import Frame
from dirtypixels.raw.mosaic import check_mosaic

LIGHT = {"R": 400.0, "G": 900.0, "B": 600.0}


def frame(pattern: str, cfa: str | None, light: dict[str, float] = LIGHT, size: int = 32, black: float = 64.0) -> Frame:
    """A frame under a pattern that states another one."""
    draw = np.random.default_rng(0)
    values = np.empty((size, size))
    for i, color in enumerate(pattern):
        values[i // 2 :: 2, i % 2 :: 2] = black + draw.poisson(light[color], (size // 2, size // 2))
    return Frame(values.astype(np.uint16), cfa, (black,) * 4, 4095.0, path=Path("a.tif"))


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_no_cfa_stated(pattern: str) -> None:
    check_mosaic([frame(pattern, pattern)])
    expected = "RGGB or BGGR" if pattern[0] != "G" else "GRBG or GBRG"
    with pytest.raises(ValueError, match=rf"a\.tif states no cfa, but the 2 x 2 places .*: give cfa=, {expected} \("):
        check_mosaic([frame(pattern, None)])


@pytest.mark.parametrize(("pattern", "stated"), [("RGGB", "GRBG"), ("GBRG", "BGGR")])
def test_greens_on_the_other_diagonal(pattern: str, stated: str) -> None:
    expected = "RGGB or BGGR" if pattern[0] != "G" else "GRBG or GBRG"
    with pytest.raises(ValueError, match=rf"states the cfa {stated}, but .*the other diagonal: give cfa=, {expected}"):
        check_mosaic([frame(pattern, stated)])


@pytest.mark.parametrize("light", [{"R": 590.0, "G": 984.0, "B": 738.0}, {"R": 540.0, "G": 984.0, "B": 590.0}])
def test_red_and_blue_that_differ_by_little_are_no_greens(light: dict[str, float]) -> None:
    """By 22 % and by 9 %, which could be greens under oblique light."""
    check_mosaic([frame("RGGB", "RGGB", light)])
    stated = frame("RGGB", "GRBG", light)
    if light["R"] == 590:
        with pytest.raises(ValueError, match=r"states the cfa GRBG, .*give cfa=, RGGB or BGGR"):
            check_mosaic([stated])
    else:
        check_mosaic([stated])


def test_a_colorful_scene_tells_though_its_medians_do_not() -> None:
    """Red and blue swap half-way, so that their medians over the frame are alike."""
    halves = [
        frame("RGGB", "GRBG", {"R": red, "G": 800.0, "B": blue}, size=64) for red, blue in ((700, 400), (400, 700))
    ]
    values = np.concatenate([half.values for half in halves])
    with pytest.raises(ValueError, match="the other diagonal: give cfa=, RGGB or BGGR"):
        check_mosaic([Frame(values, "GRBG", (64.0,) * 4, 4095.0)])
    check_mosaic([Frame(values, "RGGB", (64.0,) * 4, 4095.0)])


@pytest.mark.parametrize("imbalance", [0.03, 0.09])
def test_greens_that_differ_somewhat_are_greens(imbalance: float) -> None:
    """As of oblique light, while red and blue are alike."""
    values = frame("RGGB", None, {"R": 600.0, "G": 900.0, "B": 600.0}).values.astype(float)
    values[1::2, ::2] = 64 + (values[1::2, ::2] - 64) * (1 + imbalance)
    check_mosaic([Frame(values.astype(np.uint16), "RGGB", (64.0,) * 4, 4095.0)])


def test_units_of_the_signal() -> None:
    values = ((frame("RGGB", None).values - 64.0) / 4031).astype(np.float32)
    check_mosaic([Frame(values, "RGGB", (0.0,) * 4, 1.0)])
    with pytest.raises(ValueError, match=r"states the cfa GRBG, .*medians of 0\.0\d+ 0\.2"):
        check_mosaic([Frame(values, "GRBG", (0.0,) * 4, 1.0)])
    with pytest.raises(ValueError, match="states no cfa"):
        check_mosaic([Frame(values, None, (0.0,) * 4, 1.0)])


def test_red_and_blue_alike_leave_all_patterns_open() -> None:
    light = {"R": 400.0, "G": 900.0, "B": 400.0}
    with pytest.raises(ValueError, match="give cfa=, RGGB or BGGR or GRBG or GBRG"):
        check_mosaic([frame("RGGB", None, light)])


def test_nothing_to_say_of_one_color_of_darkness_or_of_a_single_row() -> None:
    white = {"R": 500.0, "G": 500.0, "B": 500.0}
    check_mosaic([frame("RGGB", None, white), frame("RGGB", "GRBG", white)])
    dark = {"R": 1.0, "G": 15.0, "B": 1.0}
    check_mosaic([frame("RGGB", None, dark)])
    check_mosaic([Frame(np.array([[0, 100, 0, 100]], np.uint16))])


def test_a_real_file(shared_data: Path) -> None:
    from dirtypixels.raw.reading import read_frame

    path = shared_data / "raw" / "colorchart.dng"
    check_mosaic([read_frame(path)])
    with pytest.raises(ValueError, match="states no cfa, but the 2 x 2 places have medians of 2370 2657 2662 2368 DN"):
        check_mosaic([read_frame(path, cfa="mono")])
