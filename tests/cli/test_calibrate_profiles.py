"""What `dirtypixels calibrate` does to a profile that is there: other cameras, failures and bad places are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.camera import Camera
from dirtypixels.camera.schema import Record
from dirtypixels.raw import Frame, write_frames

ALPHA, SIGMA, BLACK, WHITE = 1e-3, 2e-3, 64, 1023
SIDE = 96


def flat(seconds: float, rng: np.random.Generator, bend: float = 0.0) -> Frame:
    light = np.full((SIDE, SIDE), 6 * seconds)
    light = light * (1 - bend * light)
    signal = ALPHA * rng.poisson(light / ALPHA) + SIGMA * rng.standard_normal(light.shape)
    values = np.clip(np.rint(BLACK + signal * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)
    return Frame(values, black=(BLACK,) * 4, white=WHITE, iso=100, exposure_s=seconds, camera="bench")


def write(folder: Path, *, bend: float = 0.0, dark: bool = True, **known: Any) -> Path:
    """Monochrome flat fields of a sensor with ALPHA and SIGMA; `bend` makes its response one that fails."""
    rng = np.random.default_rng(0)
    times = (0.0, 0.01, 0.04, 0.07, 0.1, 0.13) if dark else (0.01, 0.04, 0.07, 0.1, 0.13)
    frames = [replace(flat(seconds, rng, bend), **known) for seconds in times for _ in range(2)]
    write_frames(frames, folder)
    return folder


def capped(folder: Path, **known: Any) -> Path:
    """Dark frames, with the exposure time that a real camera states."""
    rng = np.random.default_rng(1)
    write_frames([replace(flat(0.0, rng), exposure_s=0.13, **known) for _ in range(2)], folder)
    return folder


def record_of(path: Path) -> Record:
    calibration = Camera.load(path).profile.calibration
    assert calibration is not None
    assert calibration.noise is not None
    return calibration.noise


TABLE = {
    "version": 0,
    "noiseprofiles": [
        {"maker": "Bench", "models": [{"model": "One", "profiles": [
            {"name": "Bench One iso 100", "iso": 100, "a": [1e-5, 2e-5, 3e-5], "b": [1e-8, 1e-9, 1e-8]}]}]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("profiles")
    write(base / "flats")
    write(base / "lit", dark=False)
    write(base / "no-black", dark=False, black=None)
    write(base / "other", camera="Nikon D850")
    write(base / "bent", bend=0.5)
    capped(base / "darks")
    capped(base / "dark-of-another", camera="Nikon D850")
    capped(base / "no-black-darks", black=None)
    (base / "afile").write_text("years of work")
    (base / "noiseprofiles.json").write_text(json.dumps(TABLE))
    return base


@pytest.fixture(scope="module")
def said(folder: Path, commands: Callable[..., Any]) -> dict[str, Any]:
    noise = ["calibrate", "noise"]
    darktable = ["calibrate", "darktable", "Bench One", "--file", folder / "noiseprofiles.json"]
    mine, fails, imported = folder / "mine", folder / "fails", folder / "imported"
    argv: dict[str, list[object]] = {
        "darks": [*noise, folder / "lit", "--darks", folder / "darks", "-o", folder / "with-darks"],
        "darks of another": [*noise, folder / "lit", "--darks", folder / "dark-of-another", "-o", folder / "none"],
        "black by darks": [
            *(*noise, folder / "no-black", "-o", folder / "by-darks"),
            *("--darks", folder / "no-black-darks"),
        ],
        "no black": [*noise, folder / "no-black", "-o", folder / "none", "--from", "single-image"],
        "mine": [*noise, folder / "flats", "-o", mine],
        "other": [*noise, folder / "other", "-o", mine],
        "bent": [*noise, folder / "bent", "-o", mine],
        "darktable": [*darktable, "-o", mine],
        "darktable named": [*darktable, "-o", mine, "--name", "both"],
        "bent, new": [*noise, folder / "bent", "-o", fails],
        "imported": [*darktable, "-o", imported, "--name", "by hand"],
        "tag black": [*noise, folder / "flats", "-o", folder / "none", "--from", "tag", "--black", 64],
        "tag darks": [*noise, folder / "flats", "-o", folder / "none", "--from", "tag", "--darks", folder / "darks"],
        "single-image darks": [
            *(*noise, folder / "flats", "-o", folder / "none"),
            *("--from", "single-image", "--darks", folder / "darks"),
        ],
        "here": [*noise, folder / "flats", "-o", "."],
        "in a file": [*noise, folder / "nowhere", "-o", folder / "afile" / "profile"],
        "a file": [*noise, folder / "nowhere", "-o", folder / "afile"],
    }  # fmt: skip
    return dict(zip(argv, commands(list(argv.values())), strict=True))


def test_dark_frames_may_lie_in_a_folder_of_their_own(said: dict[str, Any], folder: Path) -> None:
    assert said["darks"].status == 0, said["darks"]
    camera = Camera.load(folder / "with-darks")
    assert len(record_of(folder / "with-darks").captures) == 12
    assert camera.sources["Sensor"].startswith("Black level as stated, confirmed by dark frames.")
    assert Camera.load(folder / "mine").sources["Sensor"].startswith("Black level as stated, confirmed by dark frames.")


def test_dark_frames_are_of_the_same_camera(said: dict[str, Any]) -> None:
    said["darks of another"].check_refusal("one camera", "bench", "Nikon D850")


def test_a_black_level_that_nobody_states_is_measured(said: dict[str, Any], folder: Path) -> None:
    assert said["black by darks"].status == 0, said["black by darks"]
    camera = Camera.load(folder / "by-darks")
    assert camera.profile.sensor is not None
    assert abs(camera.profile.sensor.black_level - BLACK) < 0.1
    assert "measured on dark frames" in camera.sources["Sensor"]


def test_messages_name_options_and_not_pythons_arguments(said: dict[str, Any]) -> None:
    said["no black"].check_refusal("does not say its black level", "give --black")


def test_another_camera_goes_into_no_profile(said: dict[str, Any], folder: Path) -> None:
    said["other"].check_refusal("'bench'", "'Nikon D850'", "--name")
    said["darktable"].check_refusal("'bench'", "'Bench One'", "--name")
    assert Camera.load(folder / "mine").name == "bench"


def test_what_passed_is_not_replaced_by_what_failed(said: dict[str, Any], folder: Path) -> None:
    done = said["bent"]
    assert done.status == 1, done
    assert "Noise calibration: FAIL" in done.out
    assert "Not written: the noise calibration of" in done.out
    assert "--force" in done.out
    assert "alpha, 1e-3" in done.out, "the figures are shown all the same"
    assert record_of(folder / "mine").passed
    assert said["bent, new"].status == 1
    assert not record_of(folder / "fails").passed
    named = said["darktable named"]
    assert named.status == 1
    assert "Not written" in named.out
    assert (folder / "mine" / "noise-residuals.png").is_file()


def test_by_force_it_is_and_the_picture_of_before_goes(folder: Path, commands: Callable[..., Any], said: Any) -> None:
    target = folder / "forced"
    measure = ["calibrate", "noise", folder / "flats", "-o", target]
    table = ["--file", folder / "noiseprofiles.json"]
    forced = ["calibrate", "darktable", "Bench One", *table, "-o", target, "--name", "x", "--force"]
    first, second = commands([measure, forced])
    assert (first.status, second.status) == (0, 0), (first, second)
    assert Camera.load(target).name == "x"
    assert sorted(path.name for path in target.iterdir()) == ["camera.json"]


def test_imports_are_not_checked_and_say_so(said: dict[str, Any], folder: Path) -> None:
    done = said["imported"]
    assert done.status == 0, done
    assert "Noise calibration: imported, not checked" in done.out
    assert "PASS" not in done.out
    assert Camera.load(folder / "imported").name == "by hand"
    seen = record_of(folder / "imported").camera
    assert seen is not None
    assert seen.name == "Bench One"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tag black", ["--from tag has no use for --black"]),
        ("tag darks", ["--from tag has no use for --darks"]),
        ("single-image darks", ["--from single-image has no use for --darks"]),
        ("here", ["out must not be the current folder", "'.'"]),
        ("in a file", ["out must lie in a folder", "afile"]),
        ("a file", ["out must be a profile, an empty folder or new", "afile"]),
    ],
)
def test_bad_input_is_told_before_anything_is_measured(
    said: dict[str, Any], folder: Path, name: str, words: list[str]
) -> None:
    said[name].check_refusal(*words)
    assert not (folder / "none").exists()
