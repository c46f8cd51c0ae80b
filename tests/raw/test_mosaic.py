"""Frames whose mosaic is not what they state; and green at full resolution: nothing moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dirtypixels.raw.frames import Frame
from dirtypixels.raw.mosaic import check_mosaic, full_green

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


PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


def mosaicked(green: np.ndarray, cfa: str, red: float = 0.3, blue: float = 3.0) -> np.ndarray:
    found = green.copy()
    for i, color in enumerate(cfa):
        found[i // 2 :: 2, i % 2 :: 2] *= {"R": red, "G": 1.0, "B": blue}[color]
    return found


@pytest.mark.parametrize("cfa", PATTERNS)
def test_a_slope_stays_a_slope(cfa: str) -> None:
    # Bilinear interpolation gives a plane back exactly, and only if it is centered on the pixel.
    y, x = np.mgrid[:16, :20].astype(float)
    plane = 1 + 0.01 * x + 0.02 * y
    found = full_green(mosaicked(plane, cfa), cfa)
    # Gr and Gb are scaled to one mean, which their different places on the slope change a little, alike everywhere.
    inner = (found / plane)[1:-1, 1:-1]
    assert np.abs(inner - 1).max() < 0.02
    even = full_green(mosaicked(np.full((16, 20), 0.5), cfa), cfa)
    assert np.allclose(even, 0.5, atol=1e-6)


@pytest.mark.parametrize("cfa", PATTERNS)
def test_a_spot_stays_where_it_is(cfa: str) -> None:
    y, x = np.mgrid[:40, :40].astype(float)
    spot = np.exp(-((x - 19.3) ** 2 + (y - 20.6) ** 2) / (2 * 3.0**2))
    found = full_green(mosaicked(spot, cfa), cfa).astype(float)
    assert (found * x).sum() / found.sum() == pytest.approx(19.3, abs=1e-3)
    assert (found * y).sum() / found.sum() == pytest.approx(20.6, abs=1e-3)


def test_unequal_greens_are_made_equal() -> None:
    signal = np.full((8, 8), 0.5)
    signal[1::2, ::2] *= 1.1
    assert np.allclose(full_green(signal, "RGGB"), 0.525, atol=1e-6)


def test_monochrome_is_left_alone() -> None:
    signal = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    found = full_green(signal, None)
    assert (found == signal).all()
    assert not np.shares_memory(found, signal)


@pytest.mark.parametrize(
    ("shape", "cfa", "words"),
    [
        ((4, 4, 3), None, "signal must have shape"),
        ((5, 4), "RGGB", "even height and width"),
        ((4, 4), "RGBG", "cfa must be one of None, 'RGGB'"),
        ((4, 4), "GGRB", "cfa must be one of None, 'RGGB'"),
        ((4, 4), "RGB", "cfa must be one of None, 'RGGB'"),
    ],
)
def test_raises_where_there_is_no_mosaic(shape: tuple[int, ...], cfa: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        full_green(np.ones(shape), cfa)
