"""Records: strict, whole, and named when they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from dirtypixels.study import records


class Kept(records.Record):
    schema_version: Literal[3] = 3
    value: float
    parts: list[float] = []  # noqa: RUF012


def test_what_was_written_is_read(tmp_path: Path) -> None:
    record = Kept(value=0.1, parts=[1 / 3, 2.0])
    records.write(record, tmp_path / "a.json")
    assert records.read(Kept, tmp_path / "a.json", "a file") == record
    assert json.loads((tmp_path / "a.json").read_text())["parts"] == [1 / 3, 2.0]
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_records_are_strict_and_frozen() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Kept(value=1.0, more=2)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="finite number"):
        Kept(value=float("nan"))
    with pytest.raises(ValidationError, match="frozen"):
        Kept(value=1.0).value = 2.0  # type: ignore[misc]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    records.write(Kept(value=1.0), path)
    changed = Kept(value=2.0)
    changed.parts.append(float("inf"))
    with pytest.raises(ValueError, match="finite number"):
        records.write(changed, path)
    assert records.read(Kept, path, "a file").value == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be a study's file; it is not valid JSON"),
        (b"\xff", "not valid JSON.*utf-8"),
        (b"[]", "must hold a JSON object; found list"),
        (b'{"schema_version": NaN}', "NaN is not a JSON number"),
        (b"{}", "must have schema_version 3, the one .* found None"),
        (b'{"schema_version": 1, "value": 1}', "must have schema_version 3.*found 1"),
        (b'{"schema_version": 3}', "does not hold a valid study: value: Field required"),
        (b'{"schema_version": 3, "value": "x", "parts": ["y"]}', r"value: Input should be .* \(and 1 more\)"),
    ],
)
def test_a_corrupt_file_is_named_with_its_fault(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        records.read(Kept, path, "a study's file")
    assert str(path) in str(caught.value)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        records.read(Kept, tmp_path / "a.json", "a file")
