"""The picture of a measured field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.estimates import Quality
from dirtypixels.calibrate.psf.field import MeasuredField
from dirtypixels.calibrate.psf.plots import plot_quality


def field(channels: int, untrusted: bool, diagnostics: tuple[Diagnostic, ...] = ()) -> MeasuredField:
    psfs = np.random.default_rng(0).random((3, 4, channels, 7, 7))
    psfs /= psfs.sum((-2, -1), keepdims=True)
    reasons = np.full((3, 4), "", dtype=object)
    error = np.full((3, 4, channels), 0.03)
    if untrusted:
        reasons[1, 2], error[1, 2] = "no part of it lies on the chart", np.nan
    quality = Quality(error, 0 * error, 40 * error, reasons.copy())
    return MeasuredField(psfs, Blocks((300, 400), 3, 4), quality, reasons, ["a"], [0.01], diagnostics, "made up", 1.0)


def orange(path: Path) -> int:
    """Pixels in the color of what is wrong."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - [0xD5, 0x5E, 0x00]).sum(-1) < 30).sum())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_written_and_marks_untrusted_blocks(channels: int, tmp_path: Path) -> None:
    for name, untrusted in (("good.png", False), ("bad.png", True)):
        plot_quality(field(channels, untrusted), tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1500
    assert orange(tmp_path / "good.png") == 0
    assert orange(tmp_path / "bad.png") > 500


def test_a_field_that_failed_is_said_in_color(tmp_path: Path) -> None:
    failed = field(1, False, (Diagnostic("alignment", "failure", "the alignment leaves 0.3 px rms"),))
    assert not failed.passed
    plot_quality(failed, tmp_path / "failed.png")
    assert orange(tmp_path / "failed.png") > 500
