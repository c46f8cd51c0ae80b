"""Cameras with the record of a calibration, as the commands show and use them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dirtypixels.cli import studies
from dirtypixels.raw import read_capture
from tests.camera.measured import MEASURED, camera


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "bench"
    camera().save(path)
    return path


def test_cameras_shows_the_channels_and_the_record(profile: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    done = command("cameras", profile, "-o", tmp_path)
    assert done.status == 0, done
    flat = " ".join(done.out.split())
    for part in (
        "Noise calibration: PASS, no check failed",
        "Optics calibration: PASS",
        "3 of 4 blocks of the field trusted",
        "note: the light drifted by 0.1 %",
        "2 [1, 3]",
        "green",
    ):
        assert part in flat, done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench-camera-noise.png", "bench-camera-psf.png"]


def test_a_lens_without_noise_is_shown_but_takes_no_pictures(tmp_path: Path, command: Callable[..., Any]) -> None:
    lens = copy.deepcopy(MEASURED)
    del lens["noise"], lens["exposure"], lens["calibration"]["noise"]
    camera(lens).save(tmp_path / "lens")
    done = command("cameras", tmp_path / "lens", "-o", tmp_path / "pictures")
    assert done.status == 0, done
    assert "Noise: none in this profile" in " ".join(done.out.split())
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["bench-camera-psf.png"]
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    refused = command("simulate", tmp_path / "a.png", "-o", tmp_path / "out", "--camera", tmp_path / "lens")
    refused.check_refusal("has no noise figures", "calibrate noise")


def test_captures_note_the_noise_of_every_channel(profile: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(tmp_path / "a.png")
    done = command("simulate", tmp_path / "a.png", "-o", tmp_path / "out", "--camera", profile, "--lux", 1000)
    assert done.status == 0, done
    assert "alpha 0.002, 0.004, 0.006, sigma 0.008, 0.01, 0.012" in " ".join(done.out.split())
    observation, note = read_capture(tmp_path / "out" / "a.tiff")
    assert note.alpha == pytest.approx((2e-3, 4e-3, 6e-3))
    assert observation.alpha.shape == (1, 3, 1, 1)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera whose noise calibration failed."""
    path = tmp_path_factory.mktemp("failed") / "bench"
    record = copy.deepcopy(MEASURED)
    record["calibration"]["noise"] |= {"passed": False, "reason": "the light drifted by 20 %"}
    record["calibration"]["noise"]["diagnostics"][0]["severity"] = "failure"
    camera(record).save(path)
    return path


WARNING = "warning: the noise calibration of 'bench camera' FAILED: the light drifted by 20 %"


def test_who_takes_pictures_with_a_camera_that_failed_is_warned(
    failed: Path, tmp_path: Path, commands: Callable[..., Any]
) -> None:
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(tmp_path / "a.png")
    for done in commands(
        [
            ["simulate", tmp_path / "a.png", "-o", tmp_path / "out", "--camera", failed],
            ["cameras", failed, "-o", tmp_path],
        ]
    ):
        assert done.status == 0, done
        assert done.err.count(WARNING) == 1
        assert "optics calibration" not in done.err


def test_who_trains_and_studies_with_it_is_warned(
    failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    data = "{kind: signs, size: 32, train: 4, test: 2}"
    recipe.write_text(f"{{name: tiny, conditions: [{{name: clean, lux: null}}], methods: [pretrained], data: {data}}}")
    said_before: list[str] = []

    def run(*_: object) -> None:
        said_before.append(capsys.readouterr().err)
        raise SystemExit

    monkeypatch.setattr(studies, "run", run)
    changes = [f"camera={failed}"]
    with pytest.raises(SystemExit):
        studies.run_study(recipe, tmp_path / "study", changes, "dirtypixels study")
    assert WARNING in said_before[0]
    for work in (studies.pretrain_units, studies.train_models):
        work(recipe, tmp_path / work.__name__, changes)
        assert WARNING in capsys.readouterr().err
