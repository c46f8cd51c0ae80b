"""`dirtypixels simulate`: captures of pictures, the same for the same seed, and nothing at all for bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from dirtypixels.camera import Camera, realization
from dirtypixels.data import read_picture
from dirtypixels.raw import read_capture

# Rounding to the nearest of n + 1 levels, and float32.
BOUNDS = {"float": 0.0, "16": 0.5 / 65535 + 2**-23, "8": 0.5 / 255 + 2**-23}


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("a.png", "b.bmp", "deep/er/c.png")):
        picture(folder / name, seed)
    (folder / "note.txt").write_text("no picture")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def out(pictures: Path, command: Callable[..., Any], commands: Callable[..., Any]) -> Path:
    base = pictures.parent / f"{pictures.name}-out"
    found = command("simulate", pictures, "-o", base / "16", "--lux", 6, "--seed", 4)
    assert found.status == 0, found
    assert "3 captures in" in found.out
    assert "nexus-6p-rear, 6 lux, alpha 0.06241, sigma 0.1578, transfer linear" in " ".join(found.out.split())
    several = [
        ["simulate", pictures, "-o", base / "again", "--lux", 6, "--seed", 4],
        ["simulate", pictures, "-o", base / "seed", "--lux", 6, "--seed", 5],
        ["simulate", pictures, "-o", base / "float", "--lux", 6, "--seed", 4, "--format", "float"],
        ["simulate", pictures, "-o", base / "8", "--lux", 6, "--seed", 4, "--format", "8"],
        ["simulate", pictures / "a.png", pictures / "deep" / "er", "-o", base / "alone", "--lux", 6, "--seed", 4],
        ["simulate", pictures, "-o", base / "other", "--lux", 3, "--camera", "semco", "--transfer", "srgb"],
    ]
    for done in commands(several):
        assert done.status == 0, done
    return base


class TestCaptures:
    def test_every_picture_below_the_folder_has_a_capture_and_a_note(self, out: Path) -> None:
        stems = ["a", "b", "deep/er/c"]
        for name, suffix in (("16", "tiff"), ("float", "tiff"), ("8", "png")):
            assert list(contents(out / name)) == sorted(f"{stem}.{kind}" for stem in stems for kind in ("json", suffix))

    @pytest.mark.parametrize("depth", ["16", "float", "8"])
    def test_the_signal_is_what_the_camera_gives(self, out: Path, pictures: Path, depth: str) -> None:
        camera = Camera.load("nexus-6p-rear")
        for key in ("a.png", "b.bmp", "deep/er/c.png"):
            path = (out / depth / key).with_suffix(".png" if depth == "8" else ".tiff")
            found, note = read_capture(path)
            expected = camera.capture(read_picture(pictures / key)[None], 6.0, generator=realization(4, key))
            assert float((found.signal - expected.signal).abs().max()) <= BOUNDS[depth]
            torch.testing.assert_close(found.alpha, expected.alpha)
            torch.testing.assert_close(found.sigma, expected.sigma)
            assert (note.camera, note.camera_hash, note.lux) == (camera.name, camera.hash, 6.0)
            assert (note.seed, note.transfer, note.scene) == (4, "linear", Path(key).name)

    def test_the_files_have_the_depth(self, out: Path) -> None:
        assert tifffile.imread(out / "16" / "a.tiff").dtype == np.uint16
        assert tifffile.imread(out / "float" / "a.tiff").dtype == np.float32
        with Image.open(out / "8" / "a.png") as image:
            assert (image.mode, image.size) == ("RGB", (10, 12))

    def test_a_seed_decides_the_noise(self, out: Path) -> None:
        assert contents(out / "16") == contents(out / "again")
        other = contents(out / "seed")
        assert not any(other[name] == content for name, content in contents(out / "16").items())

    def test_a_picture_has_the_same_noise_in_other_company(self, out: Path) -> None:
        assert contents(out / "alone")["a.tiff"] == contents(out / "16")["a.tiff"]
        # The name is relative to the folder that was given, and so the key.
        assert contents(out / "alone")["c.tiff"] != contents(out / "16")["deep/er/c.tiff"]

    def test_camera_light_and_transfer_are_the_users(self, out: Path, pictures: Path) -> None:
        camera = Camera.load("semco")
        scene = read_picture(pictures / "a.png")[None]
        expected = camera.capture(scene, 3.0, generator=realization(0, "a.png"), transfer="srgb")
        found, note = read_capture(out / "other" / "a.tiff")
        assert float((found.signal - expected.signal).abs().max()) <= BOUNDS["16"]
        assert (note.camera, note.lux, note.transfer) == ("semco", 3.0, "srgb")


# What is given, the options, and words of the message.
BAD: dict[str, tuple[list[str], list[str], list[str]]] = {
    "corrupt": (["corrupt.png"], [], ["corrupt.png", "cannot be read"]),
    "one of several corrupt": (["good", "corrupt.png"], [], ["corrupt.png", "cannot be read"]),
    "no picture": (["good/note.txt"], [], ["note.txt", "cannot be read"]),
    "no light": (["good"], ["--lux", "0"], ["lux must be a number above 0; found 0"]),
    "negative light": (["good"], ["--lux", "-3"], ["lux must be a number above 0; found -3"]),
    "light that is no number": (["good"], ["--lux", "nan"], ["lux must be a number above 0; found nan"]),
    "endless light": (["good"], ["--lux", "inf"], ["lux must be a number above 0; found inf"]),
    "unknown camera": (["good"], ["--camera", "nokia"], ["camera must be a bundled profile", "semco", "'nokia'"]),
    "unknown transfer": (["good"], ["--transfer", "gamma"], ["one of 'linear', 'srgb'; found 'gamma'"]),
    "no such position": (["good"], ["--position", "corner"], ["position", "'corner'"]),
    "unknown format": (["good"], ["--format", "12"], ["format must be one of '16', 'float', '8'; found '12'"]),
    "missing file": (["good/none.png"], [], ["found nothing at", "none.png"]),
    "missing folder": (["good", "none"], [], ["found nothing at", "none"]),
    "empty folder": (["empty"], [], ["must hold pictures", "empty"]),
    "twice the same name": (["good/a.png", "more/a.bmp"], [], ["different names", "'a'"]),
}


@pytest.fixture(scope="module")
def results(commands: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = tmp_path_factory.mktemp("bad")
    picture(base / "good" / "a.png", 0)
    picture(base / "more" / "a.bmp", 1)
    (base / "good" / "note.txt").write_text("no picture")
    (base / "empty").mkdir()
    (base / "corrupt.png").write_bytes((base / "good" / "a.png").read_bytes()[:-60])
    argv = [
        ["simulate", *(base / path for path in given), "-o", base / "out" / name, *options]
        for name, (given, options, _) in BAD.items()
    ]
    found = dict(zip(BAD, commands(argv), strict=True))
    assert not (base / "out").exists(), "nothing may be written"
    return found


class TestRaises:
    @pytest.mark.parametrize("name", BAD)
    def test_one_line_and_nothing_written(self, results: dict[str, Any], name: str) -> None:
        results[name].check_refusal(*BAD[name][2])

    def test_an_output_that_is_a_file(self, command: Callable[..., Any], pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        found = command("simulate", pictures / "a.png", "-o", tmp_path / "out")
        assert found.status == 2
        assert found.err.splitlines()[-1].startswith("dirtypixels: ")
        assert (tmp_path / "out").read_text() == "mine"
