"""Frames of a whole folder, read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Unpack, cast

import tifffile

from dirtypixels.files import write_atomically
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.manifest import MANIFEST, read_manifest, write_manifest
from dirtypixels.raw.reading import PICTURE_SUFFIXES, Overrides, read_frame
from dirtypixels.raw.sensors import SENSOR_SUFFIXES

Progress = Callable[[int, int], object]


def find_captures(source: str | Path | Iterable[str | Path]) -> list[tuple[Path, Overrides]]:
    """The files of captures and what their folder's `captures.csv` says of each, sorted by name.

    Args:
        source: a folder, with all its raw files, PNG, TIFF and NPY; or files.

    Returns:
        Each file and its line of `captures.csv`, empty where there is no such table. For files that are given one by
        one the table next to them is read too.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: there is no capture; the table is not valid, lists a file that is not there, or does not list one
            that is.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> with TemporaryDirectory() as folder:
    ...     files = write_frames([Frame(np.zeros((4, 6), np.uint16), iso=100.0)], folder)
    ...     [(path.name, stated["iso"]) for path, stated in find_captures(folder)]
    [('capture-001.tiff', 100.0)]
    """
    paths = [Path(part) for part in ([source] if isinstance(source, str | Path) else source)]
    return _in_folder(paths[0]) if len(paths) == 1 and paths[0].is_dir() else _of_files(paths)


def iter_frames(
    source: str | Path | Iterable[str | Path], progress: Progress | None = None, **overrides: Unpack[Overrides]
) -> Iterator[Frame]:
    """Frames one after the other, sorted by name, each read when it is asked for; arguments as `read_frames`.

    What is wrong with the folder is told at once, what is wrong with a file when it is read.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> with TemporaryDirectory() as folder:
    ...     files = write_frames([Frame(np.zeros((4, 6), np.uint16))], folder)
    ...     [frame.iso for frame in iter_frames(folder, iso=100.0)]
    [100.0]
    """
    captures = find_captures(source)
    given = cast(Overrides, {name: value for name, value in overrides.items() if value is not None})

    def frames() -> Iterator[Frame]:
        for done, (path, stated) in enumerate(captures, start=1):
            both: Overrides = {**stated, **given}
            yield read_frame(path, **both)
            if progress is not None:
                progress(done, len(captures))

    return frames()


def read_frames(
    source: str | Path | Iterable[str | Path], progress: Progress | None = None, **overrides: Unpack[Overrides]
) -> list[Frame]:
    """All frames of a folder or of some files, sorted by name.

    What is known of a frame comes from the overrides, else from its line in `captures.csv` (see `read_manifest`), else
    from the file.

    Args:
        source: a folder, or files.
        progress: called after each frame with how many are read, and of how many.
        **overrides: what holds for all frames, see `read_frame`.

    Raises:
        FileNotFoundError, ValueError: as `find_captures` and `read_frame`.

    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> frames = [Frame(np.zeros((4, 6), np.uint16), iso=iso) for iso in (100.0, 200.0)]
    >>> with TemporaryDirectory() as folder:
    ...     files = write_frames(frames, folder)
    ...     [(frame.name, frame.iso) for frame in read_frames(folder)]
    [('capture-001.tiff', 100.0), ('capture-002.tiff', 200.0)]
    """
    return list(iter_frames(source, progress, **overrides))


def write_frames(frames: Sequence[Frame], folder: str | Path) -> list[Path]:
    """Write frames as TIFF, 16 bits or floats, compressed without loss, and `captures.csv` next to them.

    Each file is named after the one that the frame came from, or "capture-001.tiff". `Frame.exif` is not kept.

    Returns:
        The files, in the order of the frames.

    Raises:
        ValueError: there is no frame, or the folder holds captures already, which the table would not list.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> with TemporaryDirectory() as folder:
    ...     files = write_frames([Frame(np.zeros((4, 6), np.uint16), iso=100.0)], folder)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['capture-001.tiff', 'captures.csv']
    """
    target = Path(folder)
    if not frames:
        raise ValueError("frames must hold at least one Frame; found none")
    if there := [*_captures_in(target), *target.glob(MANIFEST)]:
        raise ValueError(f"folder must hold no captures yet; found {there[0].name!r} in {str(target)!r}")
    names = _names(frames)
    for name, frame in zip(names, frames, strict=True):
        _write_tiff(target / name, frame)
    write_manifest(target / MANIFEST, zip(names, frames, strict=True))
    return [target / name for name in names]


def _write_tiff(path: Path, frame: Frame) -> None:
    def write(temporary: Path) -> None:
        # level 1: four times as quick as the usual 6, and noise is hardly smaller at any level
        tifffile.imwrite(
            temporary,
            frame.values,
            photometric="minisblack",
            compression="zlib",
            compressionargs={"level": 1},
            metadata=None,
        )

    write_atomically(path, write)


def _names(frames: Sequence[Frame]) -> list[str]:
    """A name for each frame: its file's, numbered where that is unknown or not its alone."""
    stems = ["capture" if frame.path is None else frame.path.stem for frame in frames]
    shared = {stem for stem in stems if stems.count(stem) > 1} | {"capture"}
    names = [f"{stem}-{i:03d}" if stem in shared else stem for i, stem in enumerate(stems, start=1)]
    if len({name.casefold() for name in names}) < len(names):
        names = [f"capture-{i:03d}" for i in range(1, len(names) + 1)]
    return [f"{name}.tiff" for name in names]


def _captures_in(folder: Path) -> list[Path]:
    """Files in a folder that can be captures, by their suffix; hidden ones are none."""
    kinds = SENSOR_SUFFIXES | PICTURE_SUFFIXES
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(f for f in files if f.suffix.lower() in kinds and not f.name.startswith(".") and f.is_file())


def _in_folder(folder: Path) -> list[tuple[Path, Overrides]]:
    files = _captures_in(folder)
    table = folder / MANIFEST
    if table.is_file():
        listed = read_manifest(table)
        if missing := sorted(name for name in listed if not (folder / name).is_file()):
            raise ValueError(f"{str(table)!r} lists {_some(missing)}, which the folder does not hold")
        if unlisted := [file.name for file in files if file.name not in listed]:
            raise ValueError(
                f"{str(folder)!r} holds {_some(unlisted)}, which {MANIFEST} does not list: list what belongs to the "
                "calibration, move away what does not"
            )
        return [(folder / name, listed[name]) for name in sorted(listed)]
    if not files:
        pictures = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".heic"))
        hint = f"; found {_some(pictures)}, which the camera has processed: record raw files" if pictures else ""
        raise ValueError(f"folder {str(folder)!r} holds no raw file, PNG, TIFF or NPY{hint}")
    return [(file, {}) for file in files]


def _of_files(files: list[Path]) -> list[tuple[Path, Overrides]]:
    if not files:
        raise ValueError("captures must be a folder or at least one file; found none")
    if missing := sorted(str(file) for file in files if not file.exists()):
        raise FileNotFoundError(f"no file or folder {_some(missing)}")
    if folders := sorted(str(file) for file in files if file.is_dir()):
        raise ValueError(f"captures must be one folder, or files; found the folder {folders[0]!r} among several")
    if len(set(files)) < len(files):
        twice = sorted(str(file) for file in files if files.count(file) > 1)
        raise ValueError(f"captures must be different files; found {twice[0]!r} twice")
    tables = {folder: folder / MANIFEST for folder in {file.parent for file in files}}
    listed = {folder: read_manifest(table) if table.is_file() else {} for folder, table in tables.items()}
    return [(file, listed[file.parent].get(file.name, {})) for file in sorted(files, key=lambda f: (f.name, str(f)))]


def _some(names: Sequence[str]) -> str:
    """The first three of some names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
