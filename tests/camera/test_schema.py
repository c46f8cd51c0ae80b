"""Profiles of measured cameras: color channels of their own, a lens without noise, the record of a calibration."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from dirtypixels.camera import Camera, gaussian_psf
from tests.camera.measured import MEASURED, PSFS, camera


def changed(path: str, value: Any) -> dict[str, Any]:
    """MEASURED with one entry set, or taken out where the value is None."""
    profile = copy.deepcopy(MEASURED)
    *way, last = path.split(".")
    part: Any = profile
    for name in way:
        part = part[int(name)] if isinstance(part, list) else part[name]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return profile


@pytest.mark.parametrize("name", ["profile", "profile.zip"])
def test_what_is_saved_loads_as_it_was(tmp_path: Path, name: str) -> None:
    saved = camera()
    saved.save(tmp_path / "new" / name)
    loaded = Camera.load(tmp_path / "new" / name)
    assert loaded.profile == saved.profile
    assert loaded.hash == saved.hash
    assert loaded.optics is not None
    assert torch.equal(loaded.optics.psfs, PSFS)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_saving_replaces_a_profile_and_keeps_the_pictures_next_to_it(tmp_path: Path) -> None:
    camera().save(tmp_path)
    (tmp_path / "noise.png").write_bytes(b"picture")
    blind = copy.deepcopy(MEASURED)
    del blind["optics"], blind["calibration"]["optics"]
    camera(blind, None).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.json", "noise.png"]
    assert Camera.load(tmp_path).optics is None


def test_saving_spares_what_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="out must be a profile, an empty folder or new; found"):
        camera().save(tmp_path)
    with pytest.raises(FileExistsError, match="out must be a profile"):
        camera().save(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_raises_on_bad_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "afile").write_text("years of work")
    (tmp_path / "folder.zip").mkdir()
    monkeypatch.chdir(tmp_path / "folder.zip")
    for place in (".", "..", tmp_path / "folder.zip" / ".."):
        with pytest.raises(ValueError, match="out must not be the current folder nor one that holds it"):
            camera().save(place)
    for place in ("../afile/profile", "../afile/profile.zip", "../afile/deep/profile"):
        with pytest.raises(NotADirectoryError, match=r"out must lie in a folder; found .*afile' is a file"):
            camera().save(place)
    with pytest.raises(FileExistsError, match=r"out must be a file where it ends in \.zip; found the folder"):
        camera().save(tmp_path / "folder.zip")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match="out must lie where you may write"):
        camera().save(tmp_path / "new" / "profile")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["afile", "folder.zip"]


def test_a_link_to_a_profile_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    camera().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "camera.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_failed_write_leaves_the_old_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "profile"
    camera().save(path)
    before = Camera.load(path).hash

    def fail(*_: object, **__: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        camera().save(path)
    monkeypatch.undo()
    assert Camera.load(path).hash == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile"]


def test_a_lens_without_noise_blurs_nothing_it_cannot_expose() -> None:
    profile = {k: v for k, v in MEASURED.items() if k not in ("noise", "exposure", "calibration")}
    lens = camera(profile)
    assert not lens.has_noise
    assert lens.psf("center").shape == (1, 5, 5)
    with pytest.raises(ValueError, match=r"has no noise figures, only optics; .*calibrate noise"):
        lens.capture(torch.zeros(1, 3, 8, 8), lux=3)


def test_each_channel_has_its_noise() -> None:
    bench = camera()
    obs = bench.capture(torch.full((2, 3, 8, 8), 0.5), iso=torch.tensor([100.0, 200.0]))
    expected = torch.tensor([[1e-3, 2e-3, 3e-3], [2e-3, 4e-3, 6e-3]])
    assert torch.allclose(obs.alpha.flatten(1), expected)
    gray = bench.capture(torch.full((2, 1, 8, 8), 0.5), iso=100)
    assert torch.allclose(gray.alpha.flatten(), torch.tensor([2e-3, 2e-3]))
    with pytest.raises(ValueError, match="scene must have 1 or 3 channels for this camera's noise; found 2"):
        bench.capture(torch.zeros(1, 2, 8, 8), iso=100)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("noise.gains.0.alpha", [1e-3, 2e-3], "noise.gains.0.alpha.2: Field required"),
        (
            "noise.gains.0.alpha",
            [1e-3, -2e-3, 1e-3],
            "noise.gains.0.alpha.1: Input should be greater than or equal to 0",
        ),
        ("noise.gains.0.alpha", 1e-3, "alpha and sigma must be one number, or three"),
        ("noise.gains.0.sigma", [4e-3, 5e-3, 7e-3], "they differ at ['ISO 100 B']"),
        ("calibration.noise.levels.1.iso", 200, "they differ at ['ISO 100 G', 'ISO 200 G']"),
        ("calibration.noise.diagnostics.0.severity", "failure", "passed must be false where a diagnostic is a failure"),
        ("calibration.optics.optics.residual", [[1.0, 1.0]], "trusted, residual and quality must be maps of one shape"),
        ("calibration.noise.levels.0.alpha_interval", [5, 1], "alpha_interval must hold alpha 0.001; found [5, 1]"),
        ("calibration.noise.levels.2.sigma_interval", [0, 5e-3], "sigma_interval must hold sigma 0.006; found [0, 0.0"),
        (
            "calibration.noise.levels.0.passed",
            False,
            "calibration.noise: Value error, passed must be false where a level did not pass; found true with ISO 100",
        ),
        ("calibration.noise.passed", False, "passed must be true where no diagnostic is a failure and all levels pass"),
        ("calibration.noise.date", "yesterday", "calibration.noise.date: Value error, must be a date as in ISO 8601"),
        ("schema_version", 1, "calibration needs schema_version 2"),
        ("exposure", None, "noise and exposure belong together"),
        ("optics", None, "calibration.optics describes a lens; found no optics"),
    ],
)
def test_raises_on_an_inconsistent_profile(tmp_path: Path, path: str, value: Any, message: str) -> None:
    camera().save(tmp_path)
    (tmp_path / "camera.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Camera.load(tmp_path)
    assert "is not valid" in str(caught.value)


@pytest.mark.parametrize("levels", [[], MEASURED["calibration"]["noise"]["levels"]])
def test_raises_on_a_record_of_noise_without_noise(levels: list[Any]) -> None:
    lens = changed("calibration.noise.levels", levels)
    del lens["noise"], lens["exposure"]
    with pytest.raises(ValueError, match="describes the noise; found no noise"):
        camera(lens)


def test_a_records_verdict_is_also_that_of_its_levels(tmp_path: Path) -> None:
    failed = copy.deepcopy(MEASURED)
    failed["calibration"]["noise"]["levels"][0]["passed"] = False
    failed["calibration"]["noise"]["passed"] = False
    camera(failed).save(tmp_path)
    loaded = Camera.load(tmp_path).profile.calibration
    assert loaded is not None
    assert loaded.noise is not None
    assert not loaded.noise.passed


def test_what_a_calibration_saw_of_the_camera_is_kept(tmp_path: Path) -> None:
    seen = {"name": "Bench One", "cfa": "mono", "width": 4000, "height": 3000}
    profile = changed("calibration.noise.camera", seen)
    profile["calibration"]["noise"]["captures"][0] |= {"black": -0.5, "white": 4095.0}
    camera(profile).save(tmp_path)
    stored = json.loads((tmp_path / "camera.json").read_text())["calibration"]["noise"]
    assert stored["camera"] == seen
    assert stored["captures"][0]["black"] == -0.5
    assert Camera.load(tmp_path).profile == camera(profile).profile


def test_a_monochrome_sensor_is_saved_and_loaded(tmp_path: Path) -> None:
    mono = copy.deepcopy(MEASURED) | {"sensor": {"cfa": None, "black_level": 64, "white_level": 1023, "source": "test"}}
    camera(mono).save(tmp_path)
    assert Camera.load(tmp_path).profile == camera(mono).profile


def test_the_hash_stays_when_a_profile_is_saved_again(tmp_path: Path) -> None:
    bundled = Camera.load("nexus-6p-rear")
    bundled.save(tmp_path / "once")
    once = Camera.load(tmp_path / "once")
    once.save(tmp_path / "twice")
    assert bundled.hash == once.hash == Camera.load(tmp_path / "twice").hash


def test_the_hash_is_that_of_what_decides_a_capture() -> None:
    before = camera().hash
    records: list[tuple[str, Any]] = [
        ("name", "another name"),
        ("noise.source", "elsewhere"),
        ("calibration.noise.date", "2027-02-03T00:00:00Z"),
        ("calibration.optics", None),
        ("calibration", None),
    ]
    for path, value in records:
        assert camera(changed(path, value)).hash == before, path
    sensor = {"cfa": "RGGB", "black_level": 64.0, "white_level": 1023.0, "source": "test"}
    described = copy.deepcopy(MEASURED) | {"sensor": sensor}
    figures = [
        camera(changed("exposure.reference_lux", 1000)),
        camera(changed("noise.gains.0.iso", 200) | {"calibration": {}}),
        camera(described),
        camera(described | {"sensor": sensor | {"black_level": 63.0}}),
        camera(MEASURED, gaussian_psf(0.49).expand(2, 2, 1, 5, 5).clone()),
    ]
    assert len({before, *(one.hash for one in figures)}) == len(figures) + 1


def test_profiles_measured_when_diagnostics_were_called_findings_load(tmp_path: Path) -> None:
    camera().save(tmp_path)
    file = tmp_path / "camera.json"
    text = file.read_text(encoding="utf-8")
    assert '"diagnostics"' in text
    file.write_text(text.replace('"diagnostics"', '"findings"'), encoding="utf-8")
    assert Camera.load(tmp_path).profile == Camera(camera().profile, PSFS).profile
