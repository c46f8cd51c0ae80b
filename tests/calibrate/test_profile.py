"""Measured figures put into a profile: only where they belong, and each part without harm to the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.profile import ImportedCurve, check_belongs, record, sensor_of, with_noise, with_optics
from dirtypixels.camera import Camera, ExposureRule, NoiseCurve, PsfField, gaussian_psf
from dirtypixels.camera.schema import MeasuredLevel, SeenCamera, Sensor
from dirtypixels.raw.agreement import seen_in
from dirtypixels.raw.frames import Frame

FIELD = PsfField(gaussian_psf(0.5).expand(2, 3, 1, 5, 5).clone(), "measured on a chart", 1.4)
NOTE = Diagnostic("drift", "note", "the light drifted by 0.1 %")
FAILURE = Diagnostic("residual", "failure", "the fit misses what was measured by 12 %")


def frame(**known: object) -> Frame:
    return Frame(
        np.zeros((4, 4), np.uint16), "RGGB", (64, 64, 66, 66), 1023, path=Path("somewhere/a.dng"), sha256="ab",
        iso=100, exposure_s=0.01, exif={"Lens": "f/2"}, **known,
    )  # fmt: skip


def levels(alpha: float = 1e-3) -> list[MeasuredLevel]:
    return [
        MeasuredLevel(
            iso=100, channel="Y", alpha=alpha, alpha_interval=(0, 1), sigma=2e-3, sigma_interval=(0, 1), black=64,
            passed=True, reason="no check failed",
        )
    ]  # fmt: skip


def measured(camera: Camera | None = None, alpha: float = 1e-3) -> Camera:
    kept = record("frame pairs", [NOTE], [frame()], confidence=0.95, levels=levels(alpha))
    return with_noise(camera, "mine", NoiseCurve([100], [alpha], [2e-3]), "measured", kept, sensor=sensor_of([frame()]))


def test_a_new_profile_of_noise(tmp_path: Path) -> None:
    measured().save(tmp_path)
    camera = Camera.load(tmp_path)
    assert camera.noise.at_iso(100) == (1e-3, 2e-3)
    assert camera.profile.sensor is not None
    assert camera.profile.sensor.black_level == 65
    assert camera.sources["Exposure"].startswith("Assumed, not measured")
    assert camera.profile.calibration is not None
    kept = camera.profile.calibration.noise
    assert kept is not None
    assert kept.passed
    assert kept.captures[0].file == "a.dng"
    assert kept.captures[0].exif == {"Lens": "f/2"}
    assert kept.diagnostics[0].message == NOTE.message


def test_noise_and_lens_do_not_harm_each_other() -> None:
    both = with_optics(measured(), "mine", FIELD, record("chart", []))
    assert both.noise.at_iso(100) == (1e-3, 2e-3)
    assert both.optics is not None
    again = measured(both, alpha=4e-3)
    assert again.noise.at_iso(100) == (4e-3, 2e-3)
    assert again.optics is not None
    assert torch.equal(again.optics.psfs, FIELD.psfs)
    assert again.profile.calibration is not None
    assert again.profile.calibration.optics is not None
    assert again.profile.calibration.optics.method == "chart"


def test_a_lens_alone() -> None:
    lens = with_optics(None, "mine", FIELD, record("chart", [NOTE]))
    assert not lens.has_noise
    assert lens.sources["Optics"] == "measured on a chart"


def test_the_sensor_is_that_of_measured_noise_else_of_the_newest_lens() -> None:
    old, new = (sensor_of([replace(frame(), black=(black,) * 4)]) for black in (60, 62))
    assert old is not None
    assert new is not None
    lens = with_optics(None, "mine", FIELD, record("chart", []), sensor=old)
    assert with_optics(lens, "mine", FIELD, record("chart", []), sensor=new).profile.sensor == new
    assert with_optics(lens, "mine", FIELD, record("chart", [])).profile.sensor == old
    imported = with_noise(lens, "mine", NoiseCurve([100], [1e-3], [0.0]), "x", record("imported", []))
    assert with_optics(imported, "mine", FIELD, record("chart", []), sensor=new).profile.sensor == new
    assert with_optics(measured(lens), "mine", FIELD, record("chart", []), sensor=new).profile.sensor == sensor_of(
        [frame()]
    )


def test_the_exposure_rule_is_given_kept_or_assumed() -> None:
    kept = record("imported", [])
    given = with_noise(None, "mine", NoiseCurve([100], [1e-3], [0.0]), "x", kept, exposure=ExposureRule(500, 200))
    assert given.noise.exposure == ExposureRule(500, 200)
    assert given.sources["Exposure"].startswith("As given")
    again = with_noise(given, "mine", NoiseCurve([100], [2e-3], [0.0]), "x", kept)
    assert again.noise.exposure == ExposureRule(500, 200)
    assert with_noise(None, "mine", NoiseCurve([100], [2e-3], [0.0]), "x", kept).noise.exposure == ExposureRule()


def test_a_failed_check_is_the_verdict() -> None:
    kept = record("chart", [NOTE, FAILURE])
    assert not kept.passed
    assert kept.reason == FAILURE.message


def test_raises_on_figures_that_were_not_measured() -> None:
    kept = record("frame pairs", [], levels=levels(3e-3))
    with pytest.raises(ValueError, match=r"noise.gains must be what calibration.noise.levels measured"):
        with_noise(None, "mine", NoiseCurve([100], [1e-3], [2e-3]), "measured", kept)


def test_the_record_keeps_the_camera_that_was_seen() -> None:
    calibration = measured().profile.calibration
    assert calibration is not None
    assert calibration.noise is not None
    assert calibration.noise.camera == SeenCamera(cfa="RGGB", width=4, height=4)
    (capture,) = calibration.noise.captures
    assert (capture.black, capture.white) == (65, 1023)
    imported = record("imported", [], camera=SeenCamera(name="Maker One"))
    assert imported.camera == SeenCamera(name="Maker One")


def shot(camera: str | None = "Bench One", cfa: str | None = "RGGB", size: tuple[int, int] = (4, 6), iso: float = 100,
          black: float | None = 64, white: float | None = 1023) -> Frame:  # fmt: skip
    levels = None if black is None else (black,) * 4
    return Frame(np.zeros(size, np.uint16), cfa, levels, white, iso=iso, camera=camera)


def noise_of(*frames: Frame) -> Camera:
    return with_noise(None, "mine", NoiseCurve([100], [1e-3], [0.0]), "x", record("frame pairs", [NOTE], frames))


def check(camera: Camera | None, *frames: Frame, part: Any = "optics", named: bool = False) -> None:
    check_belongs(camera, part, seen_in(frames), frames, named=named)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (shot("Nikon D850"), "the camera's name 'Bench One' and 'Nikon D850', which name= overrules"),
        (shot(cfa="BGGR"), "the cfa RGGB and BGGR"),
        (shot(cfa=None), "the cfa RGGB and mono"),
        (shot(size=(6, 4)), "frames of 6 x 4 and 4 x 6 pixels"),
        (shot(black=60), "black levels of 64 and 60 DN at ISO 100"),
        (shot(white=4095), "white levels of 1023 and 4095 DN at ISO 100"),
    ],
)
def test_raises_on_another_camera(new: Frame, words: str) -> None:
    with pytest.raises(
        ValueError, match="into must be the profile of the camera that the new optics is of; found"
    ) as e:
        check(noise_of(shot()), new)
    assert words in str(e.value)


@pytest.mark.parametrize(
    "new",
    [
        shot(),
        shot(None),
        shot("BENCH Corporation bench One"),
        shot("One"),
        shot(black=None, white=None),
        shot(black=64.4),
        shot(iso=200, black=128, white=4095),
    ],
)
def test_the_same_camera_is_taken(new: Frame) -> None:
    check(noise_of(shot()), new)
    check(None, new)
    check(noise_of(shot(None)), shot("Nikon D850"))


def test_a_name_by_hand_overrules_names_alone() -> None:
    check(noise_of(shot()), shot("Nikon D850"), named=True)
    with pytest.raises(ValueError, match="the cfa RGGB and BGGR"):
        check(noise_of(shot()), shot("Nikon D850", "BGGR"), named=True)


def test_the_part_that_is_replaced_may_differ_but_for_its_camera() -> None:
    check(noise_of(shot()), shot(cfa="BGGR", size=(6, 4), black=60), part="noise")
    with pytest.raises(ValueError, match="'Bench One' and 'Nikon D850'"):
        check(noise_of(shot()), shot("Nikon D850"), part="noise")


def test_noise_is_compared_with_the_lens() -> None:
    lens = with_optics(None, "mine", FIELD, record("chart", [NOTE], [shot()]))
    with pytest.raises(ValueError, match=r"the new noise is of; .* the cfa RGGB and BGGR"):
        check(lens, shot(cfa="BGGR"), part="noise")
    with pytest.raises(ValueError, match="'Bench One' and 'Nikon D850'"):
        check_belongs(lens, "noise", SeenCamera(name="Nikon D850"))


def stating(iso: float | None = 100, black: float | None = 256, white: float | None = 4095) -> Frame:
    return Frame(np.zeros((4, 4), np.uint16), "RGGB", None if black is None else (black,) * 4, white, iso=iso)


def sensor_in(frames: list[Frame], black: dict[tuple[float, str], BlackLevel] | None = None) -> Sensor:
    sensor = sensor_of(frames, black)
    assert sensor is not None
    return sensor


def test_frames_that_do_not_state_their_levels_describe_no_sensor() -> None:
    assert sensor_of([stating(black=None)]) is None
    assert sensor_of([stating(white=None)]) is None


def test_gains_with_levels_of_their_own_give_that_of_the_lowest() -> None:
    frames = [stating(1600, 512, 16000), stating(100, 256, 15000), stating(100, 256, 15000)]
    measured = {(iso, plane): BlackLevel(b, (b, b), "dark frames") for iso, b in ((100, 256.0), (1600, 512.0))
                for plane in ("R", "Gr", "Gb", "B")}  # fmt: skip
    for black in (None, measured):
        sensor = sensor_in(frames, black)
        assert (sensor.cfa, sensor.black_level, sensor.white_level) == ("RGGB", 256, 15000)
        assert "ISO 100, as it differs between gains: 256 DN at ISO 100, 512 DN at ISO 1600" in sensor.source
        assert "15000 DN at ISO 100, 16000 DN at ISO 1600" in sensor.source


def test_gains_that_agree_within_half_a_dn_have_their_mean() -> None:
    measured = {
        (100.0, "Y"): BlackLevel(64.0, None, "dark frames"),
        (200.0, "Y"): BlackLevel(64.4, None, "dark frames"),
    }
    sensor = sensor_in([stating()], measured)
    assert sensor.black_level == pytest.approx(64.2)
    assert "differs" not in sensor.source


def test_colors_with_levels_of_their_own_are_told() -> None:
    measured = {(100.0, p): BlackLevel(b, None, "dark frames") for p, b in zip("RGB", (63.0, 64.0, 65.0), strict=True)}
    sensor = sensor_in([stating()], measured)
    assert sensor.black_level == 64
    assert "the mean of its colors' 63 to 65 DN" in sensor.source


def test_levels_of_a_range_of_0_to_1_differ_by_less_than_half_a_dn() -> None:
    measured = {(iso, "Y"): BlackLevel(b, (b, b), "dark frames") for iso, b in ((100.0, 0.0), (200.0, 0.3))}
    sensor = sensor_in([stating(100, 0, 1), stating(200, 0, 1)], measured)
    assert sensor.black_level == 0
    assert "0 DN at ISO 100, 0.3 DN at ISO 200" in sensor.source


def test_a_level_that_is_doubted_is_not_called_confirmed() -> None:
    sensor = sensor_in([stating()], {(100.0, "Y"): BlackLevel(64, (80, 90), "intercept", 64, doubted=True)})
    assert "Black level as stated, which the exposures do not confirm." in sensor.source


def test_a_black_level_below_0_stays() -> None:
    assert sensor_in([stating()], {(100.0, "Y"): BlackLevel(-2.5, (-3, -2), "dark frames")}).black_level == -2.5


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
    assert text in sensor_in([stating()], {(100.0, "Y"): level}).source


def test_one_channel_of_imported_noise_is_for_all_colors() -> None:
    found = ImportedCurve(None, [100, 200], [[1e-4], [2e-4]], [[0.0], [1e-3]], "somebody")
    assert (found.channels, found.source, found.name) == (1, "somebody", None)
    assert found.at_iso(200) == (2e-4, 1e-3)


def test_raises_where_imported_noise_is_no_curve() -> None:
    with pytest.raises(ValueError, match="iso must be above 0 and increasing"):
        ImportedCurve(None, [200, 100], [1e-4, 2e-4], [0.0, 0.0], "somebody")
