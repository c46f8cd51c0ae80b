"""Profiles: reading them, what is wrong with a bad one, and `Camera.capture`."""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from dirtypixels import Camera
from dirtypixels.camera import realization
from dirtypixels.camera.optics import digest_of
from tests.camera.measured import MEASURED, OPTICS, PSFS
from tests.camera.measured import camera as measured

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "name": "bench camera",
    "noise": {"gains": [{"iso": 100, "alpha": 1e-3, "sigma": 2e-3}], "source": "made up for this test"},
    "exposure": {"reference_lux": 2000, "base_iso": 100, "source": "made up for this test"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one entry set, or taken out where the value is None; `path` as in "noise.gains.0.alpha"."""
    profile = json.loads(json.dumps(GOOD))
    *way, last = path.split(".")
    part = profile
    for name in way:
        part = part[int(name)] if isinstance(part, list) else part[name]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return profile


def folder_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "camera.json").write_text(text, encoding="utf-8")
    return tmp_path


def test_bundled_profiles_load_and_name_their_sources() -> None:
    names = Camera.available()
    assert names == ["nexus-6p-front", "nexus-6p-rear", "ov2740", "semco"]
    for name in names:
        camera = Camera.load(name)
        assert camera.name == name
        assert "Diamond" in camera.profile.noise.source
        assert camera.profile.exposure.source
        assert repr(camera) == f"Camera({name!r}, NoiseCurve(1 gain, ISO 100))"


def test_a_profile_loads_from_a_folder_and_from_a_zip(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, json.dumps(GOOD))
    archive = tmp_path / "profile.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(folder / "camera.json", "camera.json")
    for path in (folder, str(folder), archive, str(archive)):
        camera = Camera.load(path)
        assert camera.name == "bench camera"
        assert camera.noise.at_iso(200) == pytest.approx((2e-3, 4e-3))


def test_the_hash_follows_the_figures_and_not_the_layout_of_the_file(tmp_path: Path) -> None:
    first = Camera.load(folder_with(tmp_path, json.dumps(GOOD))).hash
    again = Camera.load(folder_with(tmp_path, json.dumps(GOOD, indent=7, sort_keys=True))).hash
    other = Camera.load(folder_with(tmp_path, json.dumps(changed("noise.gains.0.alpha", 1.001e-3)))).hash
    assert first == again
    assert first != other
    assert re.fullmatch("[0-9a-f]{16}", first)
    hashes = {Camera.load(name).hash for name in Camera.available()}
    assert len(hashes) == len(Camera.available())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 3, "schema_version: Input should be 1 or 2"),
        ("noise", None, "noise must be given; found none"),
        ("name", "", "name: String should have at least 1 character"),
        ("name", None, "name: Field required"),
        ("lens", "sharp", "lens: Extra inputs are not permitted"),
        ("noise.gains", [], "noise.gains: Tuple should have at least 1 item"),
        ("noise.gains.0.alpha", -1e-4, "noise.gains.0.alpha: Input should be greater than or equal to 0"),
        ("noise.gains.0.sigma", math.nan, "noise.gains.0.sigma: Input should be"),
        ("noise.gains.0.iso", 0, "noise.gains.0.iso: Input should be greater than 0"),
        ("noise.gains.0.alpha", "much", "noise.gains.0.alpha: Input should be a valid number"),
        ("noise.gains.0.gain", 2, "noise.gains.0.gain: Extra inputs are not permitted"),
        ("noise.source", None, "noise.source: Field required"),
        ("exposure.reference_lux", math.inf, "exposure.reference_lux: Input should be a finite number"),
        ("exposure.base_iso", -100, "exposure.base_iso: Input should be greater than 0"),
        (
            "noise.gains",
            [GOOD["noise"]["gains"][0]] * 2,
            "iso must be above 0 and increasing; found [100.0, 100.0]",
        ),
        (
            "sensor",
            {"cfa": "RGGB", "black_level": 64, "white_level": 64, "source": "test"},
            "sensor: Value error, black_level must be below white_level 64; found 64",
        ),
        (
            "sensor",
            {"cfa": "RGB", "black_level": 64, "white_level": 1023, "source": "test"},
            "sensor.cfa: Input should be 'RGGB', 'BGGR', 'GRBG' or 'GBRG'",
        ),
    ],
)
def test_a_bad_entry_is_named(tmp_path: Path, path: str, value: Any, message: str) -> None:
    folder = folder_with(tmp_path, json.dumps(changed(path, value)))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Camera.load(folder)
    assert repr(str(folder)) in str(caught.value)


@pytest.mark.parametrize("text", ["{not json", "", "[1, 2]", '"a name"'])
def test_raises_on_what_is_no_profile(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"camera profile .* is not valid"):
        Camera.load(folder_with(tmp_path, text))


def test_a_sensor_may_be_described(tmp_path: Path) -> None:
    sensor = {"cfa": None, "black_level": 64, "white_level": 1023, "source": "test"}
    camera = Camera.load(folder_with(tmp_path, json.dumps(GOOD | {"sensor": sensor})))
    assert camera.profile.sensor is not None
    assert camera.profile.sensor.white_level == 1023


def test_raises_on_unknown_names_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"camera must be a bundled profile \(nexus-6p-front, .*; found 'holga'"):
        Camera.load("holga")
    with pytest.raises(ValueError, match=r"cannot be read: camera.json: .*No such file"):
        Camera.load(tmp_path)
    (tmp_path / "camera.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=r"is not valid: .*utf-8"):
        Camera.load(tmp_path)
    (tmp_path / "note.txt").write_text("no profile")
    with pytest.raises(ValueError, match=r"camera must be a bundled profile .* found '.*note.txt'"):
        Camera.load(tmp_path / "note.txt")


def test_raises_on_damaged_zips(tmp_path: Path) -> None:
    archive = tmp_path / "profile.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("other.json", json.dumps(GOOD))
    with pytest.raises(ValueError, match=r"cannot be read: camera.json: .*camera.json"):
        Camera.load(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("camera.json", json.dumps(GOOD))
    good = archive.read_bytes()
    start = 30 + len("camera.json")  # the compressed data follow the local header
    for first in range(start, start + 40):
        archive.write_bytes(good[:first] + bytes(b ^ 0xFF for b in good[first : first + 8]) + good[first + 8 :])
        with pytest.raises(ValueError, match=r"cannot be read: camera\.json"):
            Camera.load(archive)


CAMERA = Camera.load("nexus-6p-rear")


def scene(batch: int = 3, channels: int = 3, height: int = 8, width: int = 6) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("batch", "channels", "height", "width"), [(1, 1, 1, 1), (3, 3, 8, 6), (2, 4, 5, 7), (0, 3, 4, 4)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_capture_gives_an_observation(batch: int, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
    obs = CAMERA.capture(scene(batch, channels, height, width).to(dtype), lux=6)
    assert obs.signal.shape == (batch, channels, height, width)
    assert obs.alpha.shape == obs.sigma.shape == (batch, 1, 1, 1)
    assert {obs.signal.dtype, obs.alpha.dtype, obs.sigma.dtype} == {dtype}
    assert obs.psf is None
    assert obs.cfa is None
    assert bool(((obs.signal >= 0) & (obs.signal <= 1)).all())


def test_every_image_may_have_its_own_light() -> None:
    lux = torch.tensor([3.0, 6.0, math.inf])
    generators = [realization(0, str(i)) for i in range(3)]
    obs = CAMERA.capture(scene(), lux, generator=generators)
    for i in range(3):
        alone = CAMERA.capture(scene()[i : i + 1], float(lux[i]), generator=[realization(0, str(i))])
        for name in ("signal", "alpha", "sigma"):
            torch.testing.assert_close(getattr(obs, name)[i : i + 1], getattr(alone, name), rtol=0, atol=0)
    torch.testing.assert_close(obs.alpha.flatten(), CAMERA.noise.at_lux(lux).alpha)  # type: ignore[arg-type]


def test_gain_in_place_of_light() -> None:
    by_lux = CAMERA.capture(scene(), lux=20, generator=torch.Generator().manual_seed(5))
    by_iso = CAMERA.capture(scene(), iso=10_000, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(by_iso.signal, by_lux.signal, rtol=0, atol=0)
    torch.testing.assert_close(by_iso.alpha, by_lux.alpha, rtol=0, atol=0)


@pytest.mark.parametrize("light", [{"lux": math.inf}, {"lux": torch.tensor([math.inf])}, {"iso": 0}])
def test_without_noise_the_scene_comes_back(light: dict[str, Any]) -> None:
    obs = CAMERA.capture(scene(), **light)
    torch.testing.assert_close(obs.signal, scene(), rtol=0, atol=0)
    assert float(obs.alpha.max()) == float(obs.sigma.max()) == 0.0


def test_srgb_pictures_are_made_linear_first() -> None:
    dark = CAMERA.capture(torch.full((1, 1, 2, 2), 0.5), lux=math.inf, transfer="srgb")
    torch.testing.assert_close(dark.signal, torch.full((1, 1, 2, 2), 0.21404114), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"scene": [[0.5]], "lux": 3}, TypeError, "scene must be a torch.Tensor; found list"),
        (
            {"scene": torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "lux": 3},
            TypeError,
            "scene must be a floating-point tensor; found torch.uint8",
        ),
        ({"scene": torch.zeros(3, 2, 2), "lux": 3}, ValueError, "scene must have shape (B, C, H, W); found (3, 2, 2)"),
        ({"scene": 2 * torch.ones(1, 1, 2, 2), "lux": 3}, ValueError, "scene must be in [0, 1]; found 2"),
        ({"scene": torch.full((1, 1, 2, 2), math.nan), "lux": 3}, ValueError, "scene must be finite"),
        ({"scene": scene()}, ValueError, "give exactly one of lux and iso; found lux=None, iso=None"),
        ({"scene": scene(), "lux": 3, "iso": 100}, ValueError, "give exactly one of lux and iso; found lux=3, iso=100"),
        ({"scene": scene(), "lux": 0}, ValueError, "lux must be above 0 (infinity for no noise); found 0"),
        ({"scene": scene(), "lux": torch.ones(2)}, ValueError, "lux must be a number or have shape (3,); found (2,)"),
        (
            {"scene": scene(), "iso": torch.ones(3, 1)},
            ValueError,
            "iso must be a number or have shape (3,); found (3, 1)",
        ),
        ({"scene": scene(), "iso": -1}, ValueError, "iso must be at least 0; found -1"),
        (
            {"scene": scene(), "lux": 3, "transfer": "gamma"},
            ValueError,
            "transfer must be one of 'linear', 'srgb'; found 'gamma'",
        ),
        (
            {"scene": scene(), "lux": 3, "position": "edge"},
            ValueError,
            "position must be one of 'center', 'offaxis', 'periphery'; found 'edge'",
        ),
        (
            {"scene": scene(), "lux": 3, "generator": [torch.Generator()]},
            ValueError,
            "generator must hold one for each of 3 images; found 1",
        ),
    ],
)
def test_raises_where_nothing_can_be_captured(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        CAMERA.capture(**arguments)


def test_capture_leaves_the_scene_as_it_was() -> None:
    given = scene()
    CAMERA.capture(given, lux=3, transfer="srgb")
    torch.testing.assert_close(given, scene(), rtol=0, atol=0)


def test_a_zip_that_is_no_profile_stays(tmp_path: Path) -> None:
    note = tmp_path / "thesis.zip"
    note.write_text("years of work")
    with pytest.raises(FileExistsError, match="out must be a profile or new; found another file"):
        Camera.load("ov2740").save(note)
    assert note.read_text() == "years of work"
    Camera.load("ov2740").save(tmp_path / "mine.zip")
    Camera.load("semco").save(tmp_path / "mine.zip")  # a profile may be replaced
    assert Camera.load(tmp_path / "mine.zip").name == "semco"


def test_raises_on_psfs_that_were_not_measured(tmp_path: Path) -> None:
    optics = {**OPTICS, "psf_sha256": digest_of(PSFS)}
    records = MEASURED["calibration"]
    profile = {**MEASURED, "calibration": {**records, "optics": {**records["optics"], "optics": optics}}}
    measured(profile).save(tmp_path / "mine")
    assert Camera.load(tmp_path / "mine").hash == measured(profile).hash
    with pytest.raises(ValueError, match=r"psf\.npz must hold the PSFs that calibration\.optics measured"):
        measured(profile, PSFS.flip(-1) * 0.5 + PSFS.roll(1, -1) * 0.5)
