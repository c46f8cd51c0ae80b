"""Libraries that write to standard error by themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import tifffile

from dirtypixels.raw.quiet import quiet
from dirtypixels.raw.reading import read_frame


def test_what_is_written_within_is_lost_and_what_comes_after_is_not(capfd: pytest.CaptureFixture[str]) -> None:
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
