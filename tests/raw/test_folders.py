"""Folders of frames: which files are taken, what is told, and writing and reading them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.raw.folders import find_captures, iter_frames, read_frames, write_frames
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.reading import read_frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three NPY captures with a table."""
    for i, name in enumerate(("b.npy", "a.npy", "c.npy")):
        np.save(tmp_path / name, np.full((2, 4), i, np.uint16))
    (tmp_path / "captures.csv").write_text("file,iso,white\nc.npy,400,4095\nb.npy,100,4095\na.npy,200,\n")
    return tmp_path


class TestRead:
    def test_a_folder_comes_sorted_with_what_its_table_says(self, folder: Path) -> None:
        frames = read_frames(folder)
        assert [frame.name for frame in frames] == ["a.npy", "b.npy", "c.npy"]
        assert [frame.iso for frame in frames] == [200, 100, 400]
        assert [frame.white for frame in frames] == [None, 4095, 4095]
        assert [frame.values[0, 0] for frame in frames] == [1, 0, 2]

    def test_overrides_go_before_the_table(self, folder: Path) -> None:
        frames = read_frames(folder, iso=50, white=None, camera="mine")
        assert [(frame.iso, frame.white, frame.camera) for frame in frames][:2] == [
            (50, None, "mine"),
            (50, 4095, "mine"),
        ]

    def test_files_one_by_one_are_looked_up_in_the_manifest_next_to_them(self, folder: Path) -> None:
        frames = read_frames([folder / "c.npy", str(folder / "a.npy")])
        assert [(frame.name, frame.iso) for frame in frames] == [("a.npy", 200), ("c.npy", 400)]
        assert [frame.iso for frame in read_frames(folder / "b.npy")] == [100]

    def test_without_a_table_every_capture_is_taken_and_nothing_else(self, folder: Path) -> None:
        (folder / "captures.csv").unlink()
        for name in ("notes.txt", "preview.jpg", ".hidden.npy", "a.xmp"):
            (folder / name).touch()
        (folder / "more.npy").mkdir()
        assert [path.name for path, _ in find_captures(folder)] == ["a.npy", "b.npy", "c.npy"]

    def test_progress_and_reading_one_after_the_other(self, folder: Path) -> None:
        seen: list[tuple[int, int]] = []
        read_frames(folder, progress=lambda done, total: seen.append((done, total)))
        assert seen == [(1, 3), (2, 3), (3, 3)]
        frames = iter_frames(folder)
        assert next(frames).name == "a.npy"
        (folder / "c.npy").write_bytes(b"damaged")
        next(frames)
        with pytest.raises(ValueError, match=r"c\.npy"):
            next(frames)


class TestRaises:
    def test_a_file_that_is_listed_and_not_there(self, folder: Path) -> None:
        (folder / "b.npy").unlink()
        with pytest.raises(ValueError, match=r"captures\.csv' lists 'b\.npy', which the folder does not hold"):
            iter_frames(folder)

    def test_files_that_are_there_and_not_listed(self, folder: Path) -> None:
        for i in range(5):
            (folder / f"x{i}.DNG").touch()
        with pytest.raises(
            ValueError, match=r"holds 'x0\.DNG', 'x1\.DNG', 'x2\.DNG' and 2 more, which captures\.csv does not list"
        ):
            read_frames(folder)

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"holds no raw file, PNG, TIFF or NPY$"):
            read_frames(tmp_path)
        (tmp_path / "a.JPG").touch()
        with pytest.raises(ValueError, match=r"NPY; found 'a\.JPG', which the camera has processed: record raw files"):
            read_frames(tmp_path)
        with pytest.raises(ValueError, match="captures must be a folder or at least one file; found none"):
            read_frames([])

    def test_files_that_are_not_there_or_no_files_or_twice(self, folder: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no file or folder '.*nowhere'"):
            read_frames(folder / "nowhere")
        with pytest.raises(FileNotFoundError, match=r"no file or folder '.*x\.npy'"):
            read_frames([folder / "a.npy", folder / "x.npy"])
        with pytest.raises(ValueError, match="must be one folder, or files; found the folder"):
            read_frames([folder, folder / "a.npy"])
        with pytest.raises(ValueError, match=r"must be different files; found '.*a\.npy' twice"):
            read_frames([folder / "a.npy", folder / "a.npy"])


def frames() -> list[Frame]:
    draw = np.random.default_rng(0)
    return [
        Frame(
            draw.integers(0, 4096, (6, 8)).astype(np.uint16),
            "GRBG",
            (64.5, 65.0, 66.0, 67.0),
            4095.0,
            100.0,
            1 / 30,
            "A",
        ),
        Frame(draw.normal(64, 3, (5, 7)).astype(np.float32), None, (64.0,) * 4, 4095.0, 200.0, 0.0),
        Frame(draw.integers(0, 65536, (2, 2)).astype(np.uint16)),
    ]


class TestWrite:
    def test_what_is_written_comes_back_exactly(self, tmp_path: Path) -> None:
        written = frames()
        paths = write_frames(written, tmp_path / "new")
        assert [path.name for path in paths] == ["capture-001.tiff", "capture-002.tiff", "capture-003.tiff"]
        for before, after in zip(written, read_frames(tmp_path / "new"), strict=True):
            assert np.array_equal(before.values, after.values)
            assert before.values.dtype == after.values.dtype
            for name in ("cfa", "black", "white", "iso", "exposure_s", "camera"):
                assert getattr(before, name) == getattr(after, name)

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["a.dng", "b.png", None], ["a", "b", "capture-003"]),
            (["x/a.dng", "y/a.dng", "b.dng"], ["a-001", "a-002", "b"]),
            (["x/a.dng", "y/a.dng", "a-001.dng"], ["capture-001", "capture-002", "capture-003"]),
        ],
    )
    def test_names_follow_the_files_that_frames_came_from(
        self, tmp_path: Path, names: list[str | None], expected: list[str]
    ) -> None:
        values = np.zeros((2, 2), np.uint16)
        written = write_frames([Frame(values, path=None if n is None else Path(n)) for n in names], tmp_path / "new")
        assert [path.stem for path in written] == expected

    def test_a_folder_with_captures_is_refused(self, folder: Path) -> None:
        before = sorted(folder.iterdir())
        with pytest.raises(ValueError, match=r"folder must hold no captures yet; found 'a\.npy' in"):
            write_frames(frames(), folder)
        assert sorted(folder.iterdir()) == before
        with pytest.raises(ValueError, match="frames must hold at least one Frame; found none"):
            write_frames([], folder)

    def test_noise_of_12_bits_in_16_is_smaller_on_disk(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).poisson(1000, (500, 500)).astype(np.uint16)
        (path,) = write_frames([Frame(values)], tmp_path / "new")
        assert path.stat().st_size < 0.7 * values.nbytes

    def test_a_dng_with_a_line_in_the_table(self, write_dng: Any, mosaic: Any, tmp_path: Path) -> None:
        path = write_dng("a.dng", mosaic, tags={50714: (3, [64]), 50717: (3, [4095])})
        (tmp_path / "captures.csv").write_text("file,iso,black\na.dng,800,70\n")
        (found,) = read_frames(tmp_path)
        assert (found.iso, found.black, found.white) == (800, (70.0,) * 4, 4095)
        assert read_frame(path).black == (64.0,) * 4
