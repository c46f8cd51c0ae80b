"""`dirtypixels calibrate` and `chart`: profiles from captures and from others' files, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dirtypixels.calibrate.psf import read_chart
from dirtypixels.camera import Camera
from dirtypixels.cli.calibrate import as_options, names_options
from dirtypixels.raw import Frame, write_frames
from tests.camera.measured import MEASURED
from tests.camera.measured import camera as measured_camera

ALPHA, SIGMA, BLACK, WHITE = 1e-3, 2e-3, 64, 1023


def flats(folder: Path, frames: int = 2, black: float = BLACK) -> Path:
    """Monochrome flat fields of a sensor with ALPHA and SIGMA, and dark frames."""
    rng = np.random.default_rng(0)
    made = []
    for seconds in (0.0, 0.01, 0.04, 0.1):
        light = np.full((96, 96), 6 * seconds)
        for _ in range(frames):
            signal = ALPHA * rng.poisson(light / ALPHA) + SIGMA * rng.standard_normal(light.shape)
            values = np.clip(np.rint(BLACK + signal * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)
            made.append(
                Frame(values, black=(black,) * 4, white=WHITE, iso=100, exposure_s=seconds, camera="bench")
            )  # fmt: skip
    write_frames(made, folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("calibrate")
    flats(base / "flats")
    flats(base / "alone", frames=1)
    flats(base / "wrong-black", black=30)
    (base / "jpeg").mkdir()
    Image.fromarray(np.full((32, 32), 99, np.uint8)).save(base / "jpeg" / "a.jpg")
    (base / "thesis").mkdir()
    (base / "thesis" / "thesis.tex").write_text("years of work")
    return base


PROFILES = {
    "version": 0,
    "noiseprofiles": [
        {
            "maker": "Bench",
            "models": [
                {
                    "model": "One",
                    "profiles": [
                        {"name": "Bench One iso 100", "iso": 100, "a": [1e-5, 2e-5, 3e-5], "b": [1e-8, -1e-9, 1e-8]},
                        {"name": "Bench One iso 200", "iso": 200, "a": [2e-5, 4e-5, 6e-5], "b": [4e-8, 1e-9, 4e-8]},
                    ],
                }
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def said(folder: Path, commands: Callable[..., Any]) -> dict[str, Any]:
    (folder / "noiseprofiles.json").write_text(json.dumps(PROFILES))
    calibration = {"optics": MEASURED["calibration"]["optics"]}
    lens = {k: v for k, v in MEASURED.items() if k not in ("noise", "exposure")} | {"calibration": calibration}
    measured_camera(lens).save(folder / "lens")
    noise = ["calibrate", "noise"]
    table = folder / "noiseprofiles.json"
    argv: dict[str, list[object]] = {
        "noise": [*noise, folder / "flats", "-o", folder / "mine"],
        "zip": [*noise, folder / "flats", "-o", folder / "mine.zip", "--name", "zipped", "--reference-lux", 500],
        "darktable": ["calibrate", "darktable", "Bench One", "--file", table, "-o", folder / "dark"],
        "darktable unknown": ["calibrate", "darktable", "Bench Two", "--file", table, "-o", folder / "none"],
        "chart": ["chart", "-o", folder / "chart.pdf", "--sensor", "640x480", "--paper", "A4", "--seed", 5],
        "chart png": ["chart", "-o", folder / "chart.png", "--sensor", "640x480"],
        "chart fine": ["chart", "-o", folder / "fine.pdf", "--sensor", "4000x3000", "--paper", "A4"],
        "chart png paper": ["chart", "-o", folder / "none.png", "--sensor", "640x480", "--paper", "A4"],
        "chart pdf screen": ["chart", "-o", folder / "none.pdf", "--sensor", "640x480", "--screen-px", 3],
        "chart suffix": ["chart", "-o", folder / "chart.doc"],
        "chart sensor": ["chart", "-o", folder / "none.pdf", "--sensor", "640"],
        "compare": ["calibrate", "compare", "nexus-6p-rear", "nexus-6p-front"],
        "compare nothing": ["calibrate", "compare", "ov2740", folder / "lens"],
        "alone": [*noise, folder / "alone", "-o", folder / "none"],
        "wrong black": [*noise, folder / "wrong-black", "-o", folder / "none"],
        "jpeg": [*noise, folder / "jpeg" / "a.jpg", "-o", folder / "none"],
        "no folder": [*noise, folder / "nowhere", "-o", folder / "none"],
        "method": [*noise, folder / "flats", "-o", folder / "none", "--from", "guess"],
        "lux": [*noise, folder / "flats", "-o", folder / "none", "--reference-lux", -3],
        "no profile": [*noise, folder / "flats", "-o", folder / "thesis"],
        "no tag": [*noise, folder / "flats", "-o", folder / "none", "--from", "tag"],
        "no chart": ["calibrate", "psf", folder / "flats", "--chart", folder / "a.png", "--pitch-um", 1, "-o", "none"],
    }
    return dict(zip(argv, commands(list(argv.values())), strict=True))


def test_noise_goes_into_a_profile(said: dict[str, Any], folder: Path) -> None:
    done = said["noise"]
    assert done.status == 0, done
    assert "Noise calibration: PASS" in done.out
    camera = Camera.load(folder / "mine")
    assert camera.name == "bench"
    assert camera.profile.calibration is not None
    record = camera.profile.calibration.noise
    assert record is not None
    assert len(record.captures) == 8
    (level,) = record.levels
    # 8 blocks of 32 x 32 and more at three levels: five standard errors, as the estimate gives them
    for name, true in (("alpha", ALPHA), ("sigma", SIGMA)):
        low, high = getattr(level, f"{name}_interval")
        assert abs(getattr(level, name) - true) < 5 * (high - low) / (2 * 1.96)
    assert (folder / "mine" / "noise-residuals.png").stat().st_size > 10_000


def test_a_zip_and_a_rule_for_the_light(said: dict[str, Any], folder: Path) -> None:
    assert said["zip"].status == 0, said["zip"]
    camera = Camera.load(folder / "mine.zip")
    assert camera.name == "zipped"
    assert camera.noise.exposure == (500, 100)
    assert (folder / "mine-noise-residuals.png").is_file()


def test_darktables_profiles_say_what_they_are(said: dict[str, Any], folder: Path) -> None:
    done = said["darktable"]
    assert done.status == 0, done
    assert "demosaick" in done.out
    camera = Camera.load(folder / "dark")
    assert np.allclose(camera.noise.alpha, [[1e-5, 2e-5, 3e-5], [2e-5, 4e-5, 6e-5]])
    assert camera.noise.sigma[0, 1] == 0
    said["darktable unknown"].check_refusal("'Bench Two'", "'Bench One'")


def test_the_chart_has_its_seed_inside(said: dict[str, Any], folder: Path) -> None:
    assert said["chart"].status == 0, said["chart"]
    assert "100 %" in said["chart"].out
    assert read_chart(folder / "chart.pdf").seed == 5
    assert "warning" not in said["chart"].out
    assert "2 printer dots, fewer than 4" in said["chart fine"].out
    assert said["chart png"].status == 0
    assert replace(read_chart(folder / "chart.png"), seed=5, cell_mm=1.0) == replace(
        read_chart(folder / "chart.pdf"), cell_mm=1.0
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chart suffix", [".pdf", ".png", "chart.doc"]),
        ("chart png paper", ["paper is for a PDF", "A4", "none.png"]),
        ("chart pdf screen", ["screen-px is for a PNG", "3", "none.pdf"]),
        ("chart sensor", ["sensor must be WIDTHxHEIGHT", "'640'"]),
        ("alone", ["two frames"]),
        ("wrong black", ["black", "30", "64"]),
        ("jpeg", ["a.jpg", "8 bits"]),
        ("no folder", ["nowhere"]),
        ("method", ["from must be one of", "'single-image'", "'guess'"]),
        ("lux", ["reference-lux must be above 0", "-3"]),
        ("no profile", ["out must be a profile, an empty folder or new", "thesis"]),
        ("no tag", ["DNG"]),
        ("no chart", ["a.png"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    said: dict[str, Any], folder: Path, name: str, words: list[str]
) -> None:
    said[name].check_refusal(*words)
    assert not (folder / "none").exists()
    assert [path.name for path in (folder / "thesis").iterdir()] == ["thesis.tex"]


def test_two_profiles_next_to_each_other(said: dict[str, Any]) -> None:
    done = said["compare"]
    assert done.status == 0, done
    assert "Noise, difference" in done.out
    assert "PSFs, relative l2 error" in done.out
    assert "periphery" in done.out
    said["compare nothing"].check_refusal("both have noise or both have PSFs", "found noise in", "and PSFs in")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("give black= in digital numbers", "give --black in digital numbers"),
        ("give black=63.5, unless light reached it", "give --black 63.5, unless light reached it"),
        ("so give white=4095", "so give --white 4095"),
        ("give cfa=, RGGB or BGGR", "give --cfa, RGGB or BGGR"),
        ("a curve needs it: give iso=", "a curve needs it: give --iso"),
        ('none; channels="G" takes green for all', "none; --channels G takes green for all"),
        (
            'method="tag" has no use for dark_frames= and black=: leave it out',
            "--from tag has no use for --darks and --black: leave it out",
        ),
        ("method must be one of 'pairs'", "from must be one of 'pairs'"),
        (
            "into must be the profile of; found 'A' and 'B', which name= overrules",
            "out must be the profile of; found 'A' and 'B', which --name overrules",
        ),
        ("base_iso=100 means that y = black = 3", "base_iso=100 means that y = black = 3"),
    ],
)
def test_arguments_become_options(text: str, expected: str) -> None:
    assert as_options(text) == expected


def test_a_command_that_refuses_names_options() -> None:
    @names_options
    def command(text: str, *, fails: bool) -> str:
        if fails:
            raise ValueError(text)
        return text

    assert command("give iso=", fails=False) == "give iso="
    with pytest.raises(ValueError, match=r"^give --iso$"):
        command("give iso=", fails=True)
