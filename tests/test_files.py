"""Atomic writing: the whole file or none of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dirtypixels.files import write_atomically, write_text


def test_writes_text_in_utf8_and_makes_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "notes.txt"
    write_text(target, "Mäkitalo σ\n")
    assert target.read_bytes() == "Mäkitalo σ\n".encode()
    assert list(target.parent.iterdir()) == [target]


def test_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    write_text(target, "a long first text")
    write_text(str(target), "short")
    assert target.read_text() == "short"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    write_text(target, "old")
    seen = []

    def write(temporary: Path) -> None:
        assert temporary.parent == target.parent  # a rename across file systems would not be atomic
        assert temporary.suffix == target.suffix
        temporary.write_text("half")
        seen.append(target.read_text())
        temporary.write_text("whole")

    write_atomically(target, write)
    assert seen == ["old"]
    assert target.read_text() == "whole"


def test_raises_and_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    write_text(target, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("the disk said no")

    with pytest.raises(RuntimeError, match="the disk said no"):
        write_atomically(target, fail)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_raises_for_a_writer_that_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "notes.txt", lambda temporary: None)
    assert list(tmp_path.iterdir()) == []
