"""Captures through a lens on the command line: simulate at a position, and predict with a model that deblurs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dirtypixels.camera import Camera, realization
from dirtypixels.data.pictures import read_picture
from dirtypixels.deploy import ModelCard, load_model, save_model
from dirtypixels.deploy.units import build_unit
from dirtypixels.raw import read_capture
from dirtypixels.recipe import Deblur
from dirtypixels.restore import Deblurrer
from dirtypixels.tasks import JointModel, classifier

CLASSES = ("n01440764", "n03888257")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    values = np.random.default_rng(0).integers(0, 256, (70, 66, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def captures(pictures: Path, commands: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captures")
    places = ("periphery", "0.9,0.8", "field")
    done = commands(
        [["simulate", pictures, "-o", folder / p, "--lux", 50, "--position", p, "--format", "float"] for p in places]
    )
    for result, place in zip(done, places, strict=True):
        assert result.status == 0, result.err
        assert place in result.out
        assert "simulated from a design" in " ".join(result.out.split()).lower()
    return folder


@pytest.mark.parametrize(
    ("folder", "position"), [("periphery", "periphery"), ("0.9,0.8", (0.9, 0.8)), ("field", "field")]
)
def test_a_capture_carries_its_position_and_its_psf(captures: Path, pictures: Path, folder: str, position: Any) -> None:
    obs, note = read_capture(captures / folder / "photo.tiff")
    camera = Camera.load("nexus-6p-rear")
    scene = read_picture(pictures / "photo.png")[None]
    expected = camera.capture(scene, 50, position, realization(0, "photo.png"))
    torch.testing.assert_close(obs.signal, expected.signal, rtol=0, atol=1e-6)
    assert note.position == position
    if position == "field":
        assert obs.psf is None
    else:
        torch.testing.assert_close(obs.psf, camera.psf(position)[None])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--position", "corner"], ["position", "corner", "periphery"]),
        (["--position", "0.5,1.5"], ["position", "[0, 1]"]),
        (["--position", "0.5"], ["position", "ROW,COLUMN"]),
        (["--position", "center", "--camera", "semco"], ["semco", "no PSF field"]),
        (["--position", "field", "--camera", "semco"], ["semco", "no PSF field"]),
    ],
)
def test_one_line_on_what_cannot_be(
    commands: Callable[..., Any], pictures: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (found,) = commands([["simulate", pictures, "-o", tmp_path / "out", *arguments]])
    found.check_refusal(*words)
    assert not (tmp_path / "out").exists()


def test_a_damaged_psf_in_a_note_is_refused(captures: Path, tmp_path: Path) -> None:
    for name in ("photo.tiff", "photo.json"):
        (tmp_path / name).write_bytes((captures / "periphery" / name).read_bytes())
    note = json.loads((tmp_path / "photo.json").read_text())
    note["psf"][0][0][0] = 5.0
    (tmp_path / "photo.json").write_text(json.dumps(note))
    with pytest.raises(ValueError, match="sum to 1"):
        read_capture(tmp_path / "photo.tiff")


def test_predict_with_a_model_that_deblurs(captures: Path, commands: Callable[..., Any], tmp_path: Path) -> None:
    torch.manual_seed(3)
    described = Deblur(filter_size=3, hidden=4)
    model = JointModel(build_unit(described), classifier("test_efficientnet", None, len(CLASSES)))
    card = ModelCard(
        network="test_efficientnet", classes=CLASSES, image_size=32, unit=described, position="periphery",
        camera="nexus-6p-rear", camera_hash="0123", lux=6.0, transfer="linear", recipe={},
    )  # fmt: skip
    save_model(model.eval(), card, tmp_path / "model")
    found, said = load_model(tmp_path / "model")
    assert said == card
    assert isinstance(found.unit, Deblurrer)
    assert (found.unit.weighting, found.unit.solver.color) == ("image", "merged")
    obs, _ = read_capture(captures / "periphery" / "photo.tiff")
    assert torch.equal(found(obs), model(obs))
    fits, sharp = commands(
        [["predict", tmp_path / "model", captures / place / "photo.tiff"] for place in ("periphery", "field")]
    )
    assert fits.status == 0, fits.err
    sharp.check_refusal("photo.tiff", "must have a psf")


def test_pictures_are_never_replaced_by_their_captures(commands: Callable[..., Any], tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    Image.fromarray(np.full((40, 40, 3), 99, dtype=np.uint8)).save(picture)
    before = picture.read_bytes()
    (found,) = commands([["simulate", tmp_path, "-o", tmp_path, "--format", "8"]])
    found.check_refusal("out", "photo.png")
    assert picture.read_bytes() == before
