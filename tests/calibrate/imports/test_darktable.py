"""darktable's profiles: which entries are taken, what is said, and how cameras are found."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.imports.darktable import darktable
from dirtypixels.calibrate.imports.eld import eld

# the package has the function under the module's name
module = import_module("dirtypixels.calibrate.imports.darktable")

A, B = [3e-5, 1e-5, 2e-5], [4e-8, 1e-8, 9e-8]


def entry(iso: float, a: Any = None, b: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": f"iso {iso}", "iso": iso, "a": A if a is None else a, "b": B if b is None else b, **more}


def write(folder: Path, **cameras: list[dict[str, Any]]) -> Path:
    models = [{"model": model.replace("_", " "), "profiles": profiles} for model, profiles in cameras.items()]
    content = {"version": 0, "noiseprofiles": [{"maker": "Maker", "models": models}, {"maker": "Other", "models": []}]}
    path = folder / "noiseprofiles.json"
    path.write_text(json.dumps(content))
    return path


def kinds(diagnostics: Any) -> list[str]:
    return [f.kind for f in diagnostics]


class TestFigures:
    def test_alpha_is_a_and_sigma_the_root_of_b(self, tmp_path: Path) -> None:
        path = write(tmp_path, One=[entry(400, [9e-5, 8e-5, 7e-5]), entry(100)])
        found = darktable("Maker One", path)
        assert found.iso.tolist() == [100, 400]
        assert found.alpha.tolist() == [A, [9e-5, 8e-5, 7e-5]]
        assert found.sigma == pytest.approx(np.sqrt([B, B]))
        assert kinds(found.diagnostics) == ["demosaicked"]
        assert found.diagnostics[0].severity == "warning"
        assert "measured on the demosaicked picture" in found.source
        assert str(path) in found.source

    def test_green_alone(self, tmp_path: Path) -> None:
        found = darktable(
            "Maker One", write(tmp_path, One=[entry(100, [0.0, 1e-5, 0.0], [-1.0, 1e-8, -1.0])]), channels="G"
        )
        assert found.alpha.tolist() == [1e-5]
        assert found.sigma == pytest.approx(np.array([1e-4]))
        assert kinds(found.diagnostics) == ["demosaicked"]

    def test_of_repeated_gains_the_median_is_taken(self, tmp_path: Path) -> None:
        repeated = [entry(100, [x * 1e-5] * 3, [x * 1e-8] * 3) for x in (5, 1, 2)]
        found = darktable("Maker One", write(tmp_path, One=[*repeated, entry(200)]))
        assert found.iso.tolist() == [100, 200]
        assert found.alpha[0] == pytest.approx([2e-5] * 3)
        assert found.sigma[0] == pytest.approx([np.sqrt(2e-8)] * 3)
        assert found.diagnostics[1].message == "1 gains were measured more than once, and the median is taken: ISO 100"

    def test_what_darktable_skips_is_left_out(self, tmp_path: Path) -> None:
        skipped = [entry(100, [1.0] * 3, skip=True), entry(800, skip=True)]
        found = darktable("Maker One", write(tmp_path, One=[entry(100, skip=False), *skipped]))
        assert found.iso.tolist() == [100]
        assert found.alpha.tolist() == [A]
        assert found.diagnostics[1].message == "2 of 3 entries are left out, as darktable does"

    def test_a_negative_variance_is_sigma_0_and_told(self, tmp_path: Path) -> None:
        entries = [entry(100, b=[-1e-8, 1e-8, -1e-9]), entry(200, b=[-1e-8, 1e-8, 0.0]), entry(400)]
        found = darktable("Maker One", write(tmp_path, One=entries))
        assert found.sigma == pytest.approx(np.sqrt([[0, 1e-8, 0], [0, 1e-8, 0], B]))
        assert found.diagnostics[1].kind == "negative-variance"
        assert found.diagnostics[1].severity == "warning"
        assert found.diagnostics[1].message == (
            "the fit gave a negative variance in the dark for 2 of 3 in red, 1 of 3 in blue: sigma is 0 there, which "
            "is too low (ISO 100, 200)"
        )

    def test_a_gain_without_a_measurement_in_a_channel_is_left_out_and_told(self, tmp_path: Path) -> None:
        entries = [entry(100, a=[1e-5, 1e-5, 0.0]), entry(200), entry(400, a=[-1e-5, 1e-5, 1e-5])]
        found = darktable("Maker One", write(tmp_path, One=entries))
        assert found.iso.tolist() == [200]
        assert found.diagnostics[1].message.startswith(
            "2 gains are left out, ISO 100, 400: a of red and blue is not above 0"
        )
        assert found.diagnostics[1].severity == "warning"


class TestNames:
    @pytest.mark.parametrize("name", ["Maker X 5", "maker x 5", "MAKER CORPORATION MAKER X 5", "X 5", "Maker  X  5"])
    def test_names_as_people_and_exif_write_them(self, tmp_path: Path, name: str) -> None:
        assert darktable(name, write(tmp_path, X_5=[entry(100)], X_50=[entry(200)])).name == "Maker X 5"

    def test_an_unknown_camera_gets_the_closest_names(self, tmp_path: Path) -> None:
        path = write(tmp_path, X_5=[entry(100)], X_50=[entry(200)])
        with pytest.raises(
            ValueError, match=r"has no camera 'Maker X 6' among its 2; the closest are 'Maker X 5', 'Maker X"
        ):
            darktable("Maker X 6", path)
        with pytest.raises(ValueError, match=r"has no camera 'phone' among its 2$"):
            darktable("phone", path)


class TestRaises:
    def test_nothing_usable(self, tmp_path: Path) -> None:
        path = write(tmp_path, One=[entry(100, a=[1e-5, 1e-5, 0.0])], Two=[entry(100, skip=True)], Three=[])
        with pytest.raises(
            ValueError, match="no gain of 'Maker One' with all channels; channels=\"G\" takes green for all"
        ):
            darktable("Maker One", path)
        assert darktable("Maker One", path, channels="G").iso.tolist() == [100]
        for name in ("Two", "Three"):
            with pytest.raises(ValueError, match=f"no entry for 'Maker {name}' that darktable does not skip"):
                darktable(f"Maker {name}", path)
        with pytest.raises(ValueError, match="channels must be one of 'RGB', 'G'; found 'B'"):
            darktable("Maker One", path, channels="B")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "is not a noise profile file of darktable: Expecting property name"),
            ("[]", "is not a noise profile file of darktable"),
            ('{"noiseprofiles": []}', "'version' is missing"),
            ('{"version": 1, "noiseprofiles": []}', "version must be 0, the only one so far; found 1"),
            ('{"version": 0}', "'noiseprofiles' is missing"),
        ],
    )
    def test_other_files(self, tmp_path: Path, content: str, message: str) -> None:
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            darktable("Maker One", tmp_path / "a.json")
        with pytest.raises(FileNotFoundError, match="no file"):
            darktable("Maker One", tmp_path / "b.json")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (entry(100, a=[1e-5]), "a and b of an entry must be 3 finite numbers"),
            (entry(100, b=[1e-5, 1e-5, "x"]), "not a noise profile file of darktable"),
            (entry(0), "iso of an entry must be above 0; found 0"),
            ({"iso": 100, "a": A}, "'b' is missing"),
        ],
    )
    def test_wrong_entries(self, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            darktable("Maker One", write(tmp_path, One=[wrong]))


class TestInstalled:
    def test_the_first_place_that_holds_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path, One=[entry(100)])
        monkeypatch.setattr(module, "_places", lambda: [tmp_path / "none.json", path])
        assert module.installed() == path
        assert darktable("Maker One").iso.tolist() == [100]

    def test_next_to_the_program_and_in_the_user_s_flatpak(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "prefix" / "bin" / "darktable"
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)
        monkeypatch.setenv("PATH", str(program.parent))
        monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
        places = module._places()
        assert places[0] == tmp_path / "prefix" / "share" / "darktable" / "noiseprofiles.json"
        flatpak = "app/org.darktable.Darktable/current/active/files/share/darktable/noiseprofiles.json"
        assert tmp_path / "home" / ".local/share/flatpak" / flatpak in places
        assert Path("/usr/share/darktable/noiseprofiles.json") in places

    def test_nowhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_places", lambda: [tmp_path / "none.json"])
        with pytest.raises(
            FileNotFoundError, match=r"found no noiseprofiles.json of darktable: .*looked for .*none\.json"
        ):
            darktable("Maker One")


class TestRealFile:
    @pytest.fixture
    def file(self, shared_data: Path) -> Path:
        return shared_data / "cameras" / "darktable_noiseprofiles.json"

    def test_every_camera_is_read_or_refused_with_what_helps(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cameras = module._read(file)
        monkeypatch.setattr(module, "_read", lambda _: cameras)  # parsed once for all
        assert len(cameras) == 374
        found, refused = None, 0
        for name in cameras:
            with suppress(ValueError):
                found = darktable(name, file)
            if found is None or found.name != name:
                with pytest.raises(ValueError, match='channels="G" takes green for all'):
                    darktable(name, file)
                found = darktable(name, file, channels="G")
                refused += 1
            kept = {p["iso"] for p in cameras[name] if not p.get("skip")}
            assert found.name == name
            assert set(found.iso) <= kept
            assert (set(found.iso) < kept) == ("not-measured" in kinds(found.diagnostics))
        assert refused == 10

    def test_how_far_it_is_from_raw_calibrations(self, file: Path) -> None:
        """The figures of the warning."""
        cameras = {
            "Canon EOS 5D Mark IV": "CanonEOS5D4", "Canon EOS 700D": "CanonEOS700D", "Canon EOS 70D": "CanonEOS70D",
            "Nikon D850": "NikonD850",
        }  # fmt: skip
        alphas, sigmas = [], []
        for name, other in cameras.items():
            raw = eld(file.parent / f"{other}_params.npy", base_iso=100)
            profile = darktable(name, file)
            for i, iso in enumerate(raw.iso):
                if iso in profile.iso:
                    row = int(np.flatnonzero(profile.iso == iso)[0])
                    alphas += (raw.alpha[i] / profile.alpha[row]).tolist()
                    sigmas += (raw.sigma[i] / profile.sigma[row])[profile.sigma[row] > 0].tolist()
        assert (round(min(alphas), 1), round(max(alphas))) == (1.9, 12)
        assert (round(min(sigmas)), round(max(sigmas), 1)) == (1, 5.7)
        assert (round(float(np.median(alphas)), 1), round(float(np.median(sigmas)), 1)) == (6.1, 2.4)
        assert "1.9 to 12 times too low, 6 in the middle" in module._DEMOSAICKED
        assert "sigma 1 to 5.7 times, 2.4 in the middle" in module._DEMOSAICKED

    def test_an_unscaled_haar_coefficient_has_a_quarter_of_the_variance(self) -> None:
        """As darktable's tool takes it: half the difference of columns, then half the difference of rows of those."""
        noise = np.random.default_rng(0).normal(size=(1000, 1000))
        columns = (noise[:, 1::2] - noise[:, ::2]) / 2
        coefficients = (columns[1::2] - columns[::2]) / 2
        # 250,000 coefficients: the variance's relative standard error is sqrt(2 / n)
        assert coefficients.var() == pytest.approx(0.25, rel=4 * np.sqrt(2 / coefficients.size))
