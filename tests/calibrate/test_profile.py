"""Measured figures put into a profile: each part goes in without harm to the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.profile import record, with_noise, with_optics
from dirtypixels.calibrate.sensor import sensor_of
from dirtypixels.camera import Camera, ExposureRule, PsfField, gaussian_psf
from dirtypixels.camera.schema import MeasuredLevel, SeenCamera
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
    return with_noise(camera, "mine", ([100], [alpha], [2e-3]), "measured", kept, sensor=sensor_of([frame()]))


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
    imported = with_noise(lens, "mine", ([100], [1e-3], [0.0]), "x", record("imported", []))
    assert with_optics(imported, "mine", FIELD, record("chart", []), sensor=new).profile.sensor == new
    assert with_optics(measured(lens), "mine", FIELD, record("chart", []), sensor=new).profile.sensor == sensor_of(
        [frame()]
    )


def test_the_exposure_rule_is_given_kept_or_assumed() -> None:
    kept = record("imported", [])
    given = with_noise(None, "mine", ([100], [1e-3], [0.0]), "x", kept, exposure=ExposureRule(500, 200))
    assert given.noise.exposure == ExposureRule(500, 200)
    assert given.sources["Exposure"].startswith("As given")
    again = with_noise(given, "mine", ([100], [2e-3], [0.0]), "x", kept)
    assert again.noise.exposure == ExposureRule(500, 200)
    assert with_noise(None, "mine", ([100], [2e-3], [0.0]), "x", kept).noise.exposure == ExposureRule()


def test_a_failed_check_is_the_verdict() -> None:
    kept = record("chart", [NOTE, FAILURE])
    assert not kept.passed
    assert kept.reason == FAILURE.message


def test_figures_that_were_not_measured_are_refused() -> None:
    kept = record("frame pairs", [], levels=levels(3e-3))
    with pytest.raises(ValueError, match=r"noise.gains must be what calibration.noise.levels measured"):
        with_noise(None, "mine", ([100], [1e-3], [2e-3]), "measured", kept)


def test_the_record_keeps_the_camera_that_was_seen() -> None:
    calibration = measured().profile.calibration
    assert calibration is not None
    assert calibration.noise is not None
    assert calibration.noise.camera == SeenCamera(cfa="RGGB", width=4, height=4)
    (capture,) = calibration.noise.captures
    assert (capture.black, capture.white) == (65, 1023)
    imported = record("imported", [], camera=SeenCamera(name="Maker One"))
    assert imported.camera == SeenCamera(name="Maker One")
