"""The manifest `captures.csv`: what it says, and what is wrong with it, by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dirtypixels.raw.frames import Frame
from dirtypixels.raw.manifest import read_manifest, write_manifest


def table(folder: Path, text: str) -> Path:
    path = folder / "captures.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_cells_become_fields_and_empty_ones_are_unknown(tmp_path: Path) -> None:
    text = (
        "\ufefffile, iso,exposure_s,black,white,cfa,camera\n"
        'a.tif,100, 0.02 ,64,4095,RGGB,"Maker, One"\n\n'
        "b.npy,,0,1 2 3 4,,mono,\n"
    )
    assert read_manifest(table(tmp_path, text)) == {
        "a.tif": {"iso": 100, "exposure_s": 0.02, "black": [64], "white": 4095, "cfa": "RGGB", "camera": "Maker, One"},
        "b.npy": {"exposure_s": 0, "black": [1, 2, 3, 4], "cfa": "mono"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a column 'file' and a line for each capture"),
        ("file,iso\n", "must have a column 'file' and a line for each capture"),
        ("iso\n100\n", "must have a column 'file'"),
        ("file,gain\na.tif,2\n", "columns must be some of file, iso, .*, each once; found 'gain'"),
        ("file,iso,iso\na.tif,2,2\n", "each once; found 'iso'"),
        ("file;iso\na.tif;100\n", r"found 'file;iso' \(it must be separated by commas\)"),
        ("file,iso\na.tif,100,3\n", "line 2: must have 2 cells, as the first line; found 3"),
        ("file,iso\n\n,100\n", "line 3: file must be the name of a file in the same folder; found ''"),
        ("file\n../a.tif\n", "line 2: file must be the name of a file in the same folder; found '../a.tif'"),
        ("file\na.tif\nb.tif\na.tif\n", "line 4: 'a.tif' is listed twice"),
        ("file,iso\na.tif,many\n", "line 2: iso must be a number with a decimal point; found 'many'"),
        ('file,exposure_s\na.tif,"0,5"\n', "exposure_s must be a number with a decimal point; found '0,5'"),
        ("file,black\na.tif,1 2\n", "line 2: black must be one number, or four in reading order; found 2"),
        ("file,cfa\na.tif,XTRANS\n", "line 2: cfa must be one of .*, mono; found 'XTRANS'"),
        ('file\n"a.tif\n', "line 2: unexpected end of data"),
    ],
)
def test_raises_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_manifest(table(tmp_path, text))


def test_raises_on_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "captures.csv").write_bytes("file,camera\na.tif,Gerät\n".encode("latin1"))
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        read_manifest(tmp_path / "captures.csv")


def test_what_is_written_reads_as_the_same_numbers(tmp_path: Path) -> None:
    values = np.zeros((2, 2), np.uint16)
    frames = {
        "a.tiff": Frame(values, "RGGB", (60.25, 61.0, 62.0, 1 / 3), 4095.0, 100.0, 1 / 30, 'Maker "One", rear'),
        "b.tiff": Frame(values, None, (64.0,) * 4, 1e5, 51200.0, 0.0),
        "c.tiff": Frame(values),
    }
    write_manifest(tmp_path / "captures.csv", frames.items())
    found = read_manifest(tmp_path / "captures.csv")
    assert found == {
        "a.tiff": {
            "iso": 100.0, "exposure_s": 1 / 30, "black": [60.25, 61.0, 62.0, 1 / 3], "white": 4095.0, "cfa": "RGGB",
            "camera": 'Maker "One", rear',
        },
        "b.tiff": {"iso": 51200.0, "exposure_s": 0.0, "black": [64.0], "white": 1e5, "cfa": "mono"},
        "c.tiff": {"cfa": "mono"},
    }  # fmt: skip
