"""What is taken from LibRaw where a file has no tags that can be read, and that LibRaw itself says nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from dirtypixels.raw.reading import read_frame
from dirtypixels.raw.sensors import quiet, read_sensor_file

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


def test_what_is_written_while_quiet_is_lost_and_what_comes_after_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stderr.write("before ")
    with quiet():
        os.write(2, b"within ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_exceptions_come_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), quiet():
        _ = 1 / 0
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_threads_that_overlap_give_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = Event(), Event()

    def early() -> None:
        with quiet():
            first.set()
            second.wait(5)

    def late() -> None:
        first.wait(5)
        with quiet():
            second.set()
            os.write(2, b"within ")

    threads = [Thread(target=one) for one in (early, late)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_no_files_are_left_open() -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        with quiet():
            pass
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


def test_a_truncated_raw_file_is_told_by_the_exception_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.dng"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 4095, (192, 256)).astype(np.uint16))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be taken as a raw frame"):
        read_frame(path)
    assert capfd.readouterr().err == ""
