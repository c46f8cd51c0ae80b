"""Captures to a camera, as the command does it and more: frames in memory, other cameras, steps told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dirtypixels as dp
from dirtypixels.calibrate import MeasuredCurve, import_noise, measure_noise, measure_optics
from dirtypixels.calibrate.imports import ImportedCurve
from dirtypixels.calibrate.profile import record, with_optics
from dirtypixels.camera import Camera, ExposureRule, PsfField, gaussian_psf
from dirtypixels.raw import Frame, write_frames
from tests.calibrate.imports.test_dng import write as write_dng

ALPHA, SIGMA, BLACK, WHITE = 1e-3, 2e-3, 64, 1023
FIELD = PsfField(gaussian_psf(0.5).expand(2, 3, 1, 5, 5).clone(), "measured on a chart", 1.4)


def flat(seconds: float, rng: np.random.Generator, **known: Any) -> Frame:
    """A flat field of a monochrome sensor with ALPHA and SIGMA."""
    light = np.full((96, 96), 6 * seconds)
    signal = ALPHA * rng.poisson(light / ALPHA) + SIGMA * rng.standard_normal(light.shape)
    values = np.clip(np.rint(BLACK + signal * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)
    return replace(Frame(values, None, (BLACK,) * 4, WHITE, 100, seconds, "Bench One"), **known)


@pytest.fixture(scope="module")
def lit() -> list[Frame]:
    rng = np.random.default_rng(0)
    return [flat(seconds, rng) for seconds in (0.01, 0.04, 0.1) for _ in range(2)]


@pytest.fixture(scope="module")
def dark() -> list[Frame]:
    rng = np.random.default_rng(1)
    return [flat(0.0, rng, exposure_s=0.1) for _ in range(2)]


def test_frames_in_memory_and_files_give_the_same_camera(lit: list[Frame], dark: list[Frame], tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    camera = dp.calibrate.measure_noise(lit, dark_frames=dark, progress=lambda *step: steps.append(step))
    assert camera.name == "Bench One"
    assert isinstance(camera.noise, MeasuredCurve)
    assert camera.noise.passed
    low, high = camera.noise.estimates[100, "Y"].alpha_interval
    assert abs(camera.noise.alpha[0] - ALPHA) < 5 * (high - low) / (2 * 1.96)
    assert camera.sources["Sensor"].startswith("Black level as stated, confirmed by dark frames.")
    assert {step for step, _, _ in steps} == {"measuring"}
    write_frames(lit, tmp_path / "flats")
    files = write_frames(dark, tmp_path / "darks")
    steps.clear()
    again = measure_noise(str(tmp_path / "flats"), dark_frames=files, progress=lambda *step: steps.append(step))
    assert again.hash == camera.hash
    assert list(dict.fromkeys(step for step, _, _ in steps)) == ["reading", "measuring"]
    camera.save(tmp_path / "mine")
    assert Camera.load(tmp_path / "mine").hash == camera.hash


def test_what_is_known_better_goes_before_what_frames_state(lit: list[Frame], dark: list[Frame]) -> None:
    unknown = [replace(frame, iso=None, black=None, white=None) for frame in (*lit, *dark)]
    camera = measure_noise(unknown[:-2], dark_frames=unknown[-2:], iso=400, white=WHITE)
    assert camera.noise.iso.tolist() == [400]
    assert camera.profile.sensor is not None
    assert abs(camera.profile.sensor.black_level - BLACK) < 0.1


def test_the_lens_and_the_rule_of_the_profile_stay(lit: list[Frame]) -> None:
    lens = with_optics(None, "mine", FIELD, record("chart", []))
    camera = measure_noise(lit, into=lens, exposure=ExposureRule(500, 200))
    assert camera.name == "mine"
    assert camera.optics is FIELD
    assert camera.noise.exposure == ExposureRule(500, 200)
    again = measure_noise(lit, into=camera, name="other")
    assert (again.name, again.noise.exposure) == ("other", ExposureRule(500, 200))
    assert torch.equal(again.psf("center"), FIELD.at("center"))


def test_imported_noise_is_not_checked_and_replaced_by_what_is_measured(lit: list[Frame]) -> None:
    found = ImportedCurve("Bench One", [100, 200], [[1e-4], [2e-4]], [[0.0], [1e-3]], "A page on the web.")
    imported = import_noise(found, exposure=ExposureRule(500, 200))
    assert imported.name == "Bench One"
    assert imported.noise.at_lux(500) == (2e-4, 1e-3)
    assert found.exposure == ExposureRule()
    assert imported.profile.calibration is not None
    assert imported.profile.calibration.noise is not None
    assert not imported.profile.calibration.noise.levels
    assert isinstance(measure_noise(lit, into=imported).noise, MeasuredCurve)


def test_the_noise_profile_of_a_dng_is_imported(tmp_path: Path) -> None:
    camera = measure_noise([write_dng(tmp_path, [2e-4, 1e-6], 400)], method="tag", iso=200)
    assert isinstance(camera.noise, ImportedCurve)
    assert (camera.name, camera.noise.at_iso(200)) == ("Maker One", (2e-4, 1e-3))


def test_a_camera_that_nothing_names(lit: list[Frame]) -> None:
    nameless = [replace(frame, camera=None) for frame in lit]
    assert measure_noise(nameless).name == "unnamed"
    assert measure_noise(nameless, unnamed="flats").name == "flats"


class TestRaises:
    def test_another_camera(self, lit: list[Frame]) -> None:
        camera = measure_noise(lit)
        other = ImportedCurve("Nikon D850", [100], [1e-4], [0.0], "A page on the web.")
        for change in (lambda: import_noise(other, into=camera),
                       lambda: measure_noise([replace(f, camera="Nikon D850") for f in lit], into=camera)):  # fmt: skip
            with pytest.raises(ValueError, match="'Bench One' and 'Nikon D850', which name= overrules"):
                change()
        assert import_noise(other, into=camera, name="mine").name == "mine"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"method": "guess"}, "method must be one of 'pairs', 'single-image', 'tag'; found 'guess'"),
            ({"method": "single-image", "dark_frames": "x"}, 'method="single-image" has no use for dark_frames='),
            ({"method": "tag", "black": 64, "confidence": 0.9}, "no use for confidence= and black=: leave it out"),
            ({"confidence": 2}, "confidence must be"),
        ],
    )
    def test_arguments(self, lit: list[Frame], arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            measure_noise(lit, **arguments)

    def test_captures_that_are_none(self, lit: list[Frame], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="found none"):
            measure_noise([])
        with pytest.raises(FileNotFoundError, match="nowhere"):
            measure_noise(tmp_path / "nowhere")
        with pytest.raises(FileNotFoundError, match="chart must be a file that `dirtypixels chart` wrote"):
            measure_optics(lit, tmp_path / "chart.pdf")
