"""ELD's parameters: the formula, the gains, what is said of what is left out, and that no pickle is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.imports.eld import RANGE_DN, eld, read_figures

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
            assert alpha == pytest.approx(gain / 4000)
            assert sigma == pytest.approx(np.sqrt(gain) * np.e / 4000)

    def test_gains_that_are_asked_for(self, tmp_path: Path) -> None:
        found = eld(write(tmp_path), base_iso=50, iso=[50, 125, 3200])
        assert found.iso.tolist() == [50, 125, 3200]
        assert found.alpha[1] == pytest.approx(0.25 * 2.5 / RANGE_DN)

    def test_a_range_that_is_no_whole_number_of_stops_ends_below(self, tmp_path: Path) -> None:
        assert eld(write(tmp_path, Kmax=1.1), base_iso=100).iso.tolist() == [100, 200, 400]

    def test_another_profile(self, tmp_path: Path) -> None:
        second = {name: FIT | {"bias": np.float64(0.0)} for name in ("g_scale", "G_scale", "R_scale")}
        path = write(tmp_path, **{"Profile-2": second})
        first = eld(path, base_iso=100)
        found = eld(path, base_iso=100, profile="Profile-2")
        assert first.sigma / found.sigma == pytest.approx(np.full(7, np.e))
        assert [f.message for f in first.diagnostics if f.kind == "other-profile"] == [
            "the file has another fit too, which is not read: 'Profile-2'"
        ]

    def test_the_real_files(self, shared_data: Path) -> None:
        for path in sorted((shared_data / "cameras").glob("*_params.npy")):
            found = eld(path, base_iso=100)
            figures = np.load(path, allow_pickle=True, encoding="latin1").item()
            assert found.iso.tolist() == [100, 200, 400, 800, 1600, 3200, 6400]
            assert found.alpha[[0, -1]] * RANGE_DN == pytest.approx([figures["Kmin"], figures["Kmax"]], rel=1e-3)
            line = figures["Profile-1"]["g_scale"]
            expected = line["slope"] * np.log(figures["Kmax"]) + line["bias"]
            assert np.log(found.sigma[-1] * RANGE_DN) == pytest.approx(expected, abs=1e-3)


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


class TestRaises:
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


FIGURES: dict[str, Any] = {
    "number": np.float64(1.5),
    "small": np.float32(0.1),
    "whole": 7,
    "large": 2**40,
    "float": 0.25,
    "text": "K",
    "bytes": b"K",
    "nothing": None,
    "flags": [True, False],
    "empty": (),
    "pair": (1, 2, 3, 4),
    "array": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">f8"),
    "deeper": {"slope": np.float64(-0.5), "shared": None},
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray | np.generic):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    return type(one) is type(other) and bool(one == other)


def pickled(path: Path, content: Any, protocol: int) -> Path:
    """An NPY file of one object, pickled with some protocol; np.save always takes its own."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        array = np.empty((), dtype=object)
        array[()] = content
        stream.write(content if isinstance(content, bytes) else pickle.dumps(array, protocol))
    return path


class TestReadFigures:
    def test_what_np_save_wrote(self, tmp_path: Path) -> None:
        shared = np.arange(4.0)
        content = FIGURES | {"one": shared, "two": shared}
        np.save(tmp_path / "a.npy", content, allow_pickle=True)
        assert same(content, read_figures(tmp_path / "a.npy"))

    @pytest.mark.parametrize("protocol", [2, 3, 4])
    def test_other_protocols(self, tmp_path: Path, protocol: int) -> None:
        content = {k: v for k, v in FIGURES.items() if protocol > 2 or k != "bytes"}
        assert same(content, read_figures(pickled(tmp_path / "a.npy", content, protocol)))

    def test_the_real_files(self, shared_data: Path) -> None:
        files = sorted((shared_data / "cameras").glob("*_params.npy"))
        assert len(files) == 5
        for file in files:
            assert same(np.load(file, allow_pickle=True, encoding="latin1").item(), read_figures(file))


class Runs:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class TestNothingIsRun:
    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
    def test_calls_are_refused_and_not_made(self, tmp_path: Path, protocol: int) -> None:
        marker = tmp_path / "was-run"
        path = pickled(tmp_path / "a.npy", {"a": Runs(Path.touch, marker)}, protocol)
        with pytest.raises(ValueError, match="is not a file of figures that can be read"):
            read_figures(path)
        assert not marker.exists()
        np.load(path, allow_pickle=True)  # what the check guards against is real
        assert marker.exists()

    @pytest.mark.parametrize("function", [eval, getattr, np.load, np.frombuffer, np.dtype])
    def test_names_and_calls(self, tmp_path: Path, function: Any) -> None:
        path = pickled(tmp_path / "a.npy", {"a": Runs(function, 1, 2)}, 4)
        with pytest.raises(ValueError, match="it holds more than figures: "):
            read_figures(path)

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", r"it names 'os\.system'"),
            (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"it names 'os\.system'"),
            (b"(X\x02\x00\x00\x00lsios\nsystem\n.", "opcode INST is not followed"),
            (b"(cos\nsystem\nX\x02\x00\x00\x00lso.", "it names 'os.system'"),
            (b"\x80\x02\x82\x01.", "opcode EXT1 is not followed"),
            (b"Pa\n.", "opcode PERSID is not followed"),
            (b"\x80\x02cnumpy\nndarray\n)\x81.", "opcode NEWOBJ is not followed"),
            (b"\x80\x02cnumpy\nndarray\n}b.", "_Name where _Unfinished belongs"),
            (b"\x80\x02cnumpy\nndarray\n)R.", r"a call of 'numpy\.ndarray'"),
            (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\n\x85R.", "a call of 'numpy.core.multi"),
            (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.", r"a call of '_codecs\.encode'"),
            (b"\x80\x02]}b.", "list where _Unfinished belongs"),
            (b"\x80\x02}K\x01a.", "dict where list belongs"),
            (b"\x80\x02K\x01K\x02K\x03s.", "int where dict belongs"),
            (b"\x80\x020.", "opcode POP is not followed"),
            (b"\x80\x02\x86.", "its stack runs empty"),
            (b"\x80\x02K\x01.", "it must hold one dictionary"),
            (b"\x80\x02}", "damaged|ends early|exhausted"),
        ],
    )  # fmt: skip
    def test_opcodes(self, tmp_path: Path, code: bytes, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            read_figures(pickled(tmp_path / "a.npy", code, 2))

    def test_changed_bytes(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", FIGURES, allow_pickle=True)
        content, draw, refused = (tmp_path / "a.npy").read_bytes(), Random(1), 0
        for _ in range(500):
            changed = bytearray(content)
            for _ in range(draw.randint(1, 3)):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            (tmp_path / "a.npy").write_bytes(changed)
            try:
                read_figures(tmp_path / "a.npy")
            except ValueError:
                refused += 1
        assert refused > 100


class TestReadFiguresRaises:
    def test_other_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no file"):
            read_figures(tmp_path / "a.npy")
        np.save(tmp_path / "a.npy", np.zeros(3))
        with pytest.raises(ValueError, match=r"must hold one dictionary; found an array of float64, shape \(3,\)"):
            read_figures(tmp_path / "a.npy")
        np.save(tmp_path / "a.npy", np.array([{}, {}]), allow_pickle=True)
        with pytest.raises(ValueError, match=r"found an array of object, shape \(2,\)"):
            read_figures(tmp_path / "a.npy")
        (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00" + b"\0" * 100)
        with pytest.raises(ValueError, match=r"must be an NPY file of version 1\.0"):
            read_figures(tmp_path / "a.npy")
        (tmp_path / "a.npy").write_bytes(b"\0" * (2**20 + 1))
        with pytest.raises(ValueError, match="must be at most 1048576 bytes; found 1048577"):
            read_figures(tmp_path / "a.npy")

    @pytest.mark.parametrize("value", [np.array(["a"]), np.zeros(2, np.complex128), np.zeros(2, bool)])
    def test_arrays_of_something_else(self, tmp_path: Path, value: Any) -> None:
        np.save(tmp_path / "a.npy", {"a": np.zeros(1), "b": value}, allow_pickle=True)
        with pytest.raises(ValueError, match=r"numbers must be one of f4, f8, i4, i8, u1; found '(U1|c16|b1)'"):
            read_figures(tmp_path / "a.npy")
