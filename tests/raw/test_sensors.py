"""What is taken from LibRaw where a file has no tags that can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.raw.sensors import read_sensor_file

LEVELS = {50713: (3, [2, 2]), 50714: (3, [60, 61, 62, 63]), 50717: (3, [4095])}


def test_gain_exposure_and_levels(write_dng: Any, mosaic: npt.NDArray[np.uint16]) -> None:
    exif = {33434: (5, [1, 50]), 34855: (3, [400])}
    values, stated = read_sensor_file(write_dng("a.dng", mosaic, "GBRG", tags=LEVELS, exif=exif), None)
    assert np.array_equal(values, mosaic)
    assert (stated.cfa, stated.black, stated.white) == ("GBRG", (60.0, 61.0, 62.0, 63.0), 4095.0)
    assert stated.iso == 400
    assert stated.exposure_s is not None
    assert abs(stated.exposure_s - 0.02) < 1e-8
    assert stated.camera is None


def test_without_a_gain_the_exposure_is_unknown_too(write_dng: Any, mosaic: npt.NDArray[np.uint16]) -> None:
    # LibRaw has a default of its own for it
    _, stated = read_sensor_file(write_dng("a.dng", mosaic, tags=LEVELS, exif={33434: (5, [0, 1000000])}), None)
    assert (stated.iso, stated.exposure_s) == (None, None)


def test_without_levels_a_dng_is_black_at_0_and_saturates_with_its_bits(
    write_dng: Any, mosaic: npt.NDArray[np.uint16]
) -> None:
    _, stated = read_sensor_file(write_dng("a.dng", mosaic), None)
    assert (stated.black, stated.white) == ((0.0,) * 4, 65535.0)
