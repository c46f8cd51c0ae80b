"""Simulated captures on disk: what a user would have, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.chart_print import read_chart
from dirtypixels.calibrate.simulate import (
    HANDHELD_POSES,
    ChartCamera,
    Pose,
    View,
    example_camera,
    realistic_camera,
    simulate_captures,
)
from dirtypixels.camera import Camera
from dirtypixels.raw.folders import read_frames

SMALL = {"isos": (100, 800), "exposures": 3}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "out"
    return simulate_captures(folder, realistic_camera(height=256, width=320), **SMALL, chart=CHART, seed=3)


CHART = BernoulliChart(2, 3, block=40, square=10, seed=9)


def test_the_noise_captures_are_all_there_and_say_what_they_are(written: Path) -> None:
    frames = read_frames(written / "noise")
    assert len(frames) == 2 * 3 * 2
    assert {frame.iso for frame in frames} == {100, 800}
    assert {frame.camera for frame in frames} == {"simulated"}
    assert {(frame.cfa, frame.black, frame.white) for frame in frames} == {("RGGB", (256,) * 4, 4095)}
    for iso in (100, 800):
        times = sorted(frame.exposure_s for frame in frames if frame.iso == iso)
        assert times[0] > 0
        assert times[::2] == times[1::2]
        green = [
            np.median(frame.planes()["Gr"][60:68, 76:84])
            for frame in sorted(frames, key=lambda f: f.exposure_s)
            if frame.iso == iso
        ]
        assert green[0] > 256 + 10
        assert green[-1] == 4095
        assert green[::2] == sorted(green[::2])


def test_dark_frames_lie_apart_and_state_an_exposure_time_as_those_of_real_cameras_do(written: Path) -> None:
    darks = read_frames(written / "darks")
    assert len(darks) == 2 * 2
    for dark in darks:
        longest = max(frame.exposure_s for frame in read_frames(written / "noise") if frame.iso == dark.iso)
        assert dark.exposure_s == longest > 0
        assert np.median(dark.values) == pytest.approx(256, abs=1)


def test_the_chart_captures_show_the_chart_in_the_file(written: Path) -> None:
    frames = read_frames(written / "chart")
    assert [frame.path.name for frame in frames] == [f"chart-{i}.tiff" for i in (1, 2, 3)]
    chart = read_chart(written / "chart.png")
    assert chart == CHART
    camera = realistic_camera(height=256, width=320)
    for frame, pose in zip(frames, HANDHELD_POSES, strict=True):
        expected = camera.render(chart, pose)
        measured = (frame.values - 256.0) / 3839
        assert np.corrcoef(expected.ravel(), measured.ravel())[0, 1] > 0.99
        assert frame.iso == 100


def test_the_truth_is_what_went_in(written: Path) -> None:
    truth = json.loads((written / "truth.json").read_text())
    profile = Camera.load(written / "truth")
    assert profile.hash == truth["camera_hash"]
    assert np.allclose(profile.optics.psfs, example_camera().optics.psfs)
    assert [(v["iso"], v["channel"]) for v in truth["noise"]] == [(i, c) for i in (100, 800) for c in "RGB"]
    level = example_camera().noise.at_iso(800)
    assert [v["alpha"] for v in truth["noise"][3:]] == pytest.approx(level.alpha.tolist())
    assert [v["sigma"] for v in truth["noise"][3:]] == pytest.approx(level.sigma.tolist())
    assert truth["sensor"]["black"] == [256] * 4
    lens = truth["lens"]
    for stated, pose in zip(truth["chart_captures"], HANDHELD_POSES, strict=True):
        again = Pose(**stated["pose"])
        view = View(CHART.shape, (256, 320), again, lens["focal"], tuple(lens["distortion"]))
        np.testing.assert_allclose(view.homography, stated["homography"])
        assert again.fill == pose.fill
    assert truth["chart"]["seed"] == 9


def test_a_seed_gives_the_same_files_again(written: Path, tmp_path: Path) -> None:
    camera = realistic_camera(height=256, width=320)
    same = simulate_captures(tmp_path / "same", camera, **SMALL, chart=CHART, seed=3)
    other = simulate_captures(tmp_path / "other", camera, **SMALL, chart=CHART, seed=4)
    for name in ("noise/iso800-flat2-1.tiff", "noise/captures.csv", "chart/chart-2.tiff", "truth.json"):
        assert (same / name).read_bytes() == (written / name).read_bytes()
        assert (other / name).read_bytes() != (written / name).read_bytes() or name.endswith("csv")


def test_noise_alone(tmp_path: Path) -> None:
    camera = ChartCamera(example_camera(), 32, 32, cfa=None, bits=10)
    folder = simulate_captures(tmp_path, camera, isos=[200], exposures=1, frames=1, poses=())
    assert sorted(path.name for path in folder.iterdir()) == ["darks", "noise", "truth", "truth.json"]
    frames = [*read_frames(folder / "noise"), *read_frames(folder / "darks")]
    assert [frame.path.name for frame in frames] == ["iso200-flat1-1.tiff", "iso200-dark-1.tiff"]
    assert frames[0].black == (64,) * 4
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["noise"][0]["channel"] == "Y"
    assert (truth["chart"], truth["chart_captures"]) == (None, [])


def test_a_realistic_camera_takes_its_levels_from_the_profile_and_what_is_known_better() -> None:
    camera = realistic_camera()
    assert (camera.bits, camera.black[0], camera.white) == (12, 256, 4095)
    assert camera.camera.name == "simulated"
    phone = realistic_camera("nexus-6p-rear", 48, 64, bits=10, vignetting=0.1)
    assert (phone.bits, phone.cfa, phone.vignetting) == (10, "RGGB", 0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"isos": ()}, "isos must be different numbers above 0"),
        ({"isos": (100, 100)}, r"found \[100, 100\]"),
        ({"isos": (0,)}, "above 0"),
        ({"frames": 0}, "exposures and frames must be at least 1; found 6 and 0"),
        ({"exposures": 0}, "found 0 and 2"),
    ],
)
def test_counts_are_checked_before_anything_is_written(arguments: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        simulate_captures(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="out must be an empty folder or new"):
        simulate_captures(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
