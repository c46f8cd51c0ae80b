"""ELD's parameters: the formula, the gains, and what is said of what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.imports.eld import RANGE_DN, eld

FIT = {"slope": np.float64(0.5), "bias": np.float64(1.0), "sigma": np.float64(0.25)}


def parameters(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "Kmin": np.float64(0.25),
        "Kmax": np.float64(16.0),
        "G_shape": np.array([-0.1, 0.14]),
        "color_bias": np.array([[0.5, -2.0, 0.0, 1.0]], np.float32),
        "Profile-1": {"g_scale": FIT, "G_scale": FIT, "R_scale": FIT | {"bias": np.float64(-1.0)}},
    }
    return {k: v for k, v in (content | changes).items() if v is not None}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "MyCamera_params.npy"
    np.save(path, parameters(**changes), allow_pickle=True)  # type: ignore[arg-type]
    return path


class TestFigures:
    def test_alpha_and_sigma_follow_the_formula(self, tmp_path: Path) -> None:
        found = eld(write(tmp_path), base_iso=50, range_dn=4000)
        assert found.name == "MyCamera"
        assert found.iso.tolist() == [50, 100, 200, 400, 800, 1600, 3200]
        for iso, alpha, sigma in zip(found.iso, found.alpha, found.sigma, strict=True):
            gain = 0.25 * iso / 50
            assert alpha == pytest.approx([gain / 4000])
            assert sigma == pytest.approx([np.sqrt(gain) * np.e / 4000])

    def test_gains_that_are_asked_for(self, tmp_path: Path) -> None:
        found = eld(write(tmp_path), base_iso=50, iso=[50, 125, 3200])
        assert found.iso.tolist() == [50, 125, 3200]
        assert found.alpha[1] == pytest.approx([0.25 * 2.5 / RANGE_DN])

    def test_a_range_that_is_no_whole_number_of_stops_ends_below(self, tmp_path: Path) -> None:
        assert eld(write(tmp_path, Kmax=1.1), base_iso=100).iso.tolist() == [100, 200, 400]

    def test_another_profile(self, tmp_path: Path) -> None:
        second = {name: FIT | {"bias": np.float64(0.0)} for name in ("g_scale", "G_scale", "R_scale")}
        path = write(tmp_path, **{"Profile-2": second})
        first = eld(path, base_iso=100)
        found = eld(path, base_iso=100, profile="Profile-2")
        assert first.sigma / found.sigma == pytest.approx(np.full((7, 1), np.e))
        assert [f.message for f in first.diagnostics if f.kind == "other-profile"] == [
            "the file has another fit too, which is not read: 'Profile-2'"
        ]

    def test_the_real_files(self, shared_data: Path) -> None:
        for path in sorted((shared_data / "cameras").glob("*_params.npy")):
            found = eld(path, base_iso=100)
            figures = np.load(path, allow_pickle=True, encoding="latin1").item()
            assert found.iso.tolist() == [100, 200, 400, 800, 1600, 3200, 6400]
            assert found.alpha[[0, -1], 0] * RANGE_DN == pytest.approx([figures["Kmin"], figures["Kmax"]], rel=1e-3)
            line = figures["Profile-1"]["g_scale"]
            expected = line["slope"] * np.log(figures["Kmax"]) + line["bias"]
            assert np.log(found.sigma[-1, 0] * RANGE_DN) == pytest.approx(expected, abs=1e-3)


class TestDiagnostics:
    def test_what_is_left_out_has_its_figures(self, tmp_path: Path) -> None:
        found = {f.kind: f for f in eld(write(tmp_path), base_iso=100).diagnostics}
        assert list(found) == ["spread", "row-noise", "heavy-tails", "black-offset", "quantization", "range"]
        # gains 0.25 and 16: sigma e sqrt(K), rows sqrt(K) / e
        assert found["row-noise"].message.startswith("row noise is left out: 0.18 DN (14% of sigma) and 1.5 DN (14% of")
        assert found["row-noise"].severity == "warning"
        assert "Tukey lambda -0.1 to 0.14" in found["heavy-tails"].message
        assert "up to 2 DN" in found["black-offset"].message
        assert "sigma is 1.4 DN at the smallest gain" in found["quantization"].message
        assert "a factor 1.28 around it" in found["spread"].message

    def test_the_range_that_eld_assumes_is_told_and_one_that_is_given_is_not(self, tmp_path: Path) -> None:
        path = write(tmp_path)
        assert "15583 DN" in eld(path, base_iso=100).diagnostics[-1].message
        assert "range" not in [f.kind for f in eld(path, base_iso=100, range_dn=4031).diagnostics]

    def test_the_source_says_how_gains_became_iso(self, tmp_path: Path) -> None:
        source = eld(write(tmp_path), base_iso=100).source
        assert "K = 0.25 to 16 DN per electron, taken as ISO 100 to 6400" in source
        assert "Wei et al. 2020" in source


class TestException:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "base_iso must be given: ELD's files hold gains in DN per electron and no ISO"),
            ({"base_iso": 0}, "base_iso must be above 0; found 0"),
            ({"base_iso": -1}, "base_iso must be at least 0; found -1"),
            ({"base_iso": 100, "range_dn": 0}, "range_dn must be above 0; found 0"),
            ({"base_iso": 100, "range_dn": np.nan}, "range_dn must be finite"),
            ({"base_iso": 100, "profile": "Profile-3"}, "profile must be one of 'Profile-1'; found 'Profile-3'"),
            ({"base_iso": 100, "iso": [50]}, r"iso must be increasing gains from 100 to 6400; found \[50.0\]"),
            ({"base_iso": 100, "iso": [200, 100]}, "iso must be increasing gains"),
            ({"base_iso": 100, "iso": []}, "iso must be increasing gains"),
        ],
    )
    def test_arguments(self, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            eld(write(tmp_path), **arguments)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"Kmin": None}, "is not a parameter file of ELD: it has no 'Kmin'"),
            ({"Kmin": "a lot"}, "could not convert string"),
            ({"Kmin": 0.0}, "Kmin must be above 0 and finite; found 0"),
            ({"Kmax": 0.25}, "Kmax must be above Kmin 0.25; found 0.25"),
            ({"G_shape": None}, "it has no 'G_shape'"),
            ({"Profile-1": {"g_scale": FIT}}, "it has no 'G_scale'"),
            ({"Profile-1": {"g_scale": FIT | {"bias": np.nan}}}, "a fit must be finite"),
            ({"Profile-1": 3}, "is not a parameter file of ELD"),
        ],
    )
    def test_files(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            eld(write(tmp_path, **changes), base_iso=100)
        with pytest.raises(FileNotFoundError, match="no file"):
            eld(tmp_path / "none.npy", base_iso=100)
