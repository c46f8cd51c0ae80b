"""Green at full resolution: nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.psf.green import full_green

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


def mosaic(green: np.ndarray, cfa: str, red: float = 0.3, blue: float = 3.0) -> np.ndarray:
    found = green.copy()
    for i, color in enumerate(cfa):
        found[i // 2 :: 2, i % 2 :: 2] *= {"R": red, "G": 1.0, "B": blue}[color]
    return found


@pytest.mark.parametrize("cfa", PATTERNS)
def test_a_slope_stays_a_slope(cfa: str) -> None:
    # Bilinear interpolation gives a plane back exactly, and only if it is centered on the pixel.
    y, x = np.mgrid[:16, :20].astype(float)
    plane = 1 + 0.01 * x + 0.02 * y
    found = full_green(mosaic(plane, cfa), cfa)
    # Gr and Gb are scaled to one mean, which their different places on the slope change a little, alike everywhere.
    inner = (found / plane)[1:-1, 1:-1]
    assert np.abs(inner - 1).max() < 0.02
    even = full_green(mosaic(np.full((16, 20), 0.5), cfa), cfa)
    assert np.allclose(even, 0.5, atol=1e-6)


@pytest.mark.parametrize("cfa", PATTERNS)
def test_a_spot_stays_where_it_is(cfa: str) -> None:
    y, x = np.mgrid[:40, :40].astype(float)
    spot = np.exp(-((x - 19.3) ** 2 + (y - 20.6) ** 2) / (2 * 3.0**2))
    found = full_green(mosaic(spot, cfa), cfa).astype(float)
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
def test_exceptions(shape: tuple[int, ...], cfa: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        full_green(np.ones(shape), cfa)
