"""Figures out of pickles: what np.save wrote comes back, and nothing that a pickle names is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.imports.pickled import read_figures

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


def write(path: Path, content: Any, protocol: int) -> Path:
    """An NPY file of one object, pickled with some protocol; np.save always takes its own."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        array = np.empty((), dtype=object)
        array[()] = content
        stream.write(content if isinstance(content, bytes) else pickle.dumps(array, protocol))
    return path


class TestRead:
    def test_what_np_save_wrote(self, tmp_path: Path) -> None:
        shared = np.arange(4.0)
        content = FIGURES | {"one": shared, "two": shared}
        np.save(tmp_path / "a.npy", content, allow_pickle=True)
        assert same(content, read_figures(tmp_path / "a.npy"))

    @pytest.mark.parametrize("protocol", [2, 3, 4])
    def test_other_protocols(self, tmp_path: Path, protocol: int) -> None:
        content = {k: v for k, v in FIGURES.items() if protocol > 2 or k != "bytes"}
        assert same(content, read_figures(write(tmp_path / "a.npy", content, protocol)))

    def test_the_files_of_eld(self, shared_data: Path) -> None:
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
        path = write(tmp_path / "a.npy", {"a": Runs(Path.touch, marker)}, protocol)
        with pytest.raises(ValueError, match="is not a file of figures that can be read"):
            read_figures(path)
        assert not marker.exists()
        np.load(path, allow_pickle=True)  # what the check guards against is real
        assert marker.exists()

    @pytest.mark.parametrize("function", [eval, getattr, np.load, np.frombuffer, np.dtype])
    def test_names_and_calls(self, tmp_path: Path, function: Any) -> None:
        path = write(tmp_path / "a.npy", {"a": Runs(function, 1, 2)}, 4)
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
            read_figures(write(tmp_path / "a.npy", code, 2))

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


class TestException:
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
