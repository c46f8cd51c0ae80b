"""`dirtypixels cameras`: the list, one camera, and a name that is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dirtypixels.camera import Camera
from dirtypixels.camera.plots import rms_radius
from dirtypixels.cli.cameras import show_camera
from dirtypixels.cli.main import app
from tests.camera.test_plots import SOURCE, field
from tests.camera.test_plots import camera as measured


def test_the_list_names_every_bundled_profile(command: Callable[..., Any]) -> None:
    found = command("cameras")
    assert (found.status, found.err) == (0, "")
    for name in Camera.available():
        assert name in found.out
    assert "0.0001872" in found.out  # alpha of the Nexus 6P's rear camera at ISO 100


@pytest.fixture(scope="module")
def results(commands: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    damaged = tmp_path_factory.mktemp("profile")
    (damaged / "camera.json").write_text('{"schema_version": 1, "name": "mine"}')
    profile = Path(__file__).parents[2] / "src" / "dirtypixels" / "camera" / "profiles" / "semco"
    pictures, file = tmp_path_factory.mktemp("pictures"), damaged / "camera.json"
    given = [("nexus-6p-rear", pictures), (profile, pictures), ("nexus-7", pictures), (damaged, pictures)]
    refused = [["cameras", "semco", "-o", file], ["cameras", "-o", pictures]]
    found: list[Any] = commands([*(["cameras", name, "-o", out] for name, out in given), *refused])
    return found


class TestOne:
    def test_noise_over_light(self, results: list[Any]) -> None:
        found = results[0]
        assert (found.status, found.err) == (0, "")
        rows = {
            cells[0]: cells[1:] for line in found.out.splitlines() if len(cells := re.findall(r"[\d.,]+", line)) > 4
        }
        # The paper's figures at 3 and 6 lux; ISO = 100 * 2000 / lux.
        assert rows["3"][:3] == ["66,667", "0.1248", "0.3155"]
        assert rows["6"][:3] == ["33,333", "0.06241", "0.1578"]
        camera = Camera.load("nexus-6p-rear")
        assert camera.hash in found.out
        flat = " ".join(found.out.split())
        assert camera.profile.noise.source in flat
        assert camera.profile.exposure.source in flat

    def test_a_profile_by_its_path(self, results: list[Any]) -> None:
        assert results[1].status == 0
        assert "semco" in results[1].out
        assert Camera.load("semco").hash in results[1].out

    def test_an_unknown_name(self, results: list[Any]) -> None:
        results[2].check_refusal("camera must be a bundled profile", *Camera.available(), "'nexus-7'")

    def test_a_damaged_profile(self, results: list[Any]) -> None:
        results[3].check_refusal("is not valid", "noise", "exposure")

    def test_a_folder_that_cannot_be_one(self, results: list[Any]) -> None:
        results[4].check_refusal("exists", "camera.json")

    def test_a_folder_and_no_camera_to_draw(self, results: list[Any]) -> None:
        results[5].check_refusal("out needs the name of a camera")


class TestPictures:
    @pytest.fixture
    def profile(self, tmp_path: Path) -> Path:
        """A profile with a PSF field, as a folder, whose name is no file name."""
        folder = tmp_path / "profile"
        folder.mkdir()
        shown = measured(field(), name="../my [lens] 2")
        (folder / "camera.json").write_text(json.dumps(shown.profile.model_dump(mode="json")))
        np.savez(folder / "psf.npz", psf=field().numpy())
        return folder

    def test_tables_sources_and_files(
        self, profile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "100")
        show_camera(str(profile), profile.parent / "new" / "pictures")
        out = capsys.readouterr().out
        assert f"Optics: {SOURCE}" in " ".join(out.split())
        shown = Camera.load(profile)
        for place in ("center", "offaxis", "periphery"):
            radii = rms_radius(shown.psf(place))
            row = next(line for line in out.splitlines() if place in line)
            assert ", ".join(f"{r:.2f}" for r in radii) in row
            assert ", ".join(f"{1.4 * r:.2f}" for r in radii) in row
        written = [Path(path) for path in re.findall(r"^Wrote (.+)$", out, re.MULTILINE)]
        folder = profile.parent / "new" / "pictures"
        assert written == [folder / "my-lens-2-noise.png", folder / "my-lens-2-psf.png"]
        assert sorted(folder.iterdir()) == written
        for path in written:
            with Image.open(path) as picture:
                picture.load()
                assert picture.format == "PNG"
                assert min(picture.size) > 700

    def test_pictures_go_into_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        app(["cameras", "semco"], standalone_mode=False)
        parts = ["noise", "psf"] if Camera.load("semco").optics else ["noise"]
        names = [f"semco-{part}.png" for part in parts]
        assert sorted(path.name for path in tmp_path.iterdir()) == names
        assert capsys.readouterr().out.splitlines()[-len(names) :] == [f"Wrote {name}" for name in names]
