"""What a profile says of its sensor: levels of one gain, never a mean of several, and how they are known."""

from __future__ import annotations

import numpy as np
import pytest

from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.sensor import sensor_of
from dirtypixels.camera.schema import Sensor
from dirtypixels.raw.frames import Frame


def frame(iso: float | None = 100, black: float | None = 256, white: float | None = 4095) -> Frame:
    return Frame(np.zeros((4, 4), np.uint16), "RGGB", None if black is None else (black,) * 4, white, iso=iso)


def found(frames: list[Frame], black: dict[tuple[float, str], BlackLevel] | None = None) -> Sensor:
    sensor = sensor_of(frames, black)
    assert sensor is not None
    return sensor


def test_frames_that_do_not_state_their_levels_describe_no_sensor() -> None:
    assert sensor_of([frame(black=None)]) is None
    assert sensor_of([frame(white=None)]) is None


def test_gains_with_levels_of_their_own_give_that_of_the_lowest() -> None:
    frames = [frame(1600, 512, 16000), frame(100, 256, 15000), frame(100, 256, 15000)]
    measured = {(iso, plane): BlackLevel(b, (b, b), "dark frames") for iso, b in ((100, 256.0), (1600, 512.0))
                for plane in ("R", "Gr", "Gb", "B")}  # fmt: skip
    for black in (None, measured):
        sensor = found(frames, black)
        assert (sensor.cfa, sensor.black_level, sensor.white_level) == ("RGGB", 256, 15000)
        assert "ISO 100, as it differs between gains: 256 DN at ISO 100, 512 DN at ISO 1600" in sensor.source
        assert "15000 DN at ISO 100, 16000 DN at ISO 1600" in sensor.source


def test_gains_that_agree_within_half_a_dn_have_their_mean() -> None:
    measured = {
        (100.0, "Y"): BlackLevel(64.0, None, "dark frames"),
        (200.0, "Y"): BlackLevel(64.4, None, "dark frames"),
    }
    sensor = found([frame()], measured)
    assert sensor.black_level == pytest.approx(64.2)
    assert "differs" not in sensor.source


def test_colors_with_levels_of_their_own_are_told() -> None:
    measured = {(100.0, p): BlackLevel(b, None, "dark frames") for p, b in zip("RGB", (63.0, 64.0, 65.0), strict=True)}
    sensor = found([frame()], measured)
    assert sensor.black_level == 64
    assert "the mean of its colors' 63 to 65 DN" in sensor.source


def test_levels_of_a_range_of_0_to_1_differ_by_less_than_half_a_dn() -> None:
    measured = {(iso, "Y"): BlackLevel(b, (b, b), "dark frames") for iso, b in ((100.0, 0.0), (200.0, 0.3))}
    sensor = found([frame(100, 0, 1), frame(200, 0, 1)], measured)
    assert sensor.black_level == 0
    assert "0 DN at ISO 100, 0.3 DN at ISO 200" in sensor.source


def test_a_level_that_is_doubted_is_not_called_confirmed() -> None:
    sensor = found([frame()], {(100.0, "Y"): BlackLevel(64, (80, 90), "intercept", 64, doubted=True)})
    assert "Black level as stated, which the exposures do not confirm." in sensor.source


def test_a_black_level_below_0_stays() -> None:
    assert found([frame()], {(100.0, "Y"): BlackLevel(-2.5, (-3, -2), "dark frames")}).black_level == -2.5


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (BlackLevel(64.0, None, "given", 64.0), "Black level as stated, not checked. White level as stated."),
        (BlackLevel(64.0, (63.9, 64.1), "dark frames", 64.0), "as stated, confirmed by dark frames."),
        (BlackLevel(64.0, (63.9, 64.1), "intercept", 64.0), "as stated, confirmed by exposures."),
        (BlackLevel(64.0, (63.9, 64.1), "dark frames"), "measured on dark frames."),
        (BlackLevel(64.0, (63.9, 64.1), "intercept"), "extrapolated to no light."),
        (BlackLevel(64.0, (63.9, 64.1), "dark frames", 30.0), "measured on dark frames, though 30 DN is stated."),
    ],
)
def test_the_source_says_what_was_measured(level: BlackLevel, text: str) -> None:
    assert text in found([frame()], {(100.0, "Y"): level}).source
