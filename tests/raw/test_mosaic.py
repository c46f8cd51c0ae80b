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
    for i, colour in enumerate(pattern):
        values[i // 2 :: 2, i % 2 :: 2] = black + draw.poisson(light[colour], (size // 2, size // 2))
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


def test_red_and_blue_alike_leave_all_patterns_open() -> None:
    light = {"R": 400.0, "G": 900.0, "B": 400.0}
    with pytest.raises(ValueError, match="give cfa=, RGGB or BGGR or GRBG or GBRG"):
        check_mosaic([frame("RGGB", None, light)])


def test_nothing_to_say_of_one_colour_of_darkness_or_of_a_single_row() -> None:
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
