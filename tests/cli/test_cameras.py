"""`dirtypixels cameras`: the list, one camera, and a name that is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dirtypixels.camera import Camera


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
