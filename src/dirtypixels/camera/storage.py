"""Profiles as folders and zips: reading their files, and writing them whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from dirtypixels.files import write_atomically

FILES = ("camera.json", "psf.npz")


def read_files(path: Path, names: list[str]) -> dict[str, bytes]:
    """The files of a profile folder or zip, by name; `camera.json` is among them.

    Args:
        path: of the folder or zip.
        names: the bundled profiles, for the message.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    found: dict[str, bytes] = {}
    name = FILES[0]
    try:
        if path.is_dir():
            for name in FILES:
                if name == FILES[0] or (path / name).is_file():
                    found[name] = (path / name).read_bytes()
            return found
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in FILES:
                    if name == FILES[0] or name in archive.namelist():
                        found[name] = archive.read(name)
                return found
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"camera profile {str(path)!r} cannot be read: {name}: {error}") from error
    raise ValueError(
        f"camera must be a bundled profile ({', '.join(names)}) or the path of a profile folder or zip; "
        f"found {str(path)!r}"
    )


def check_place(path: Path) -> None:
    """Raise where no profile can be written, so that a long measurement can ask before it starts.

    Args:
        path: of the folder or zip.

    Raises:
        FileExistsError: the path is something other than a profile.
        NotADirectoryError, PermissionError: what it would lie in is no folder, or none that can be written to.
        ValueError: it is the current folder or holds it; that would be gone, since profiles are replaced as a whole.
    """
    place = path.resolve()
    if path.suffix == ".zip":
        if path.is_dir():
            raise FileExistsError(f"out must be a file where it ends in .zip; found the folder {str(path)!r}")
        if path.exists() and not _is_profile(path):
            raise FileExistsError(f"out must be a profile or new; found another file at {str(path)!r}")
    elif Path.cwd().is_relative_to(place):
        raise ValueError(
            f"out must not be the current folder nor one that holds it, as profiles are replaced as a whole; "
            f"found {str(path)!r}"
        )
    elif path.exists() and not (path.is_dir() and ((path / FILES[0]).is_file() or not any(path.iterdir()))):
        raise FileExistsError(f"out must be a profile, an empty folder or new; found {str(path)!r}")
    above = next(parent for parent in place.parents if parent.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"out must lie in a folder; found {str(path)!r}, and {str(above)!r} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"out must lie where you may write; found {str(path)!r} in {str(above)!r}")


def _is_profile(path: Path) -> bool:
    """Whether a file is a zip with a profile in it, sound or not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == FILES[0] for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def write_files(path: Path, content: Mapping[str, bytes]) -> None:
    """Write a profile's files: a zip where the path ends in .zip, else a folder, replaced as a whole.

    What else lies in an existing profile folder (pictures, notes) stays.

    Args:
        path: of the folder or zip.
        content: the files' bytes by name; a file of `FILES` that is not among them is gone afterwards.

    Raises:
        ValueError, OSError: see `check_place`.
    """
    check_place(path)
    if path.suffix == ".zip":
        write_atomically(path, lambda temporary: _write_zip(temporary, content))
        return
    path = path.resolve()  # a link stays one, and a path that ends in .. has a name
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = (path.with_name(f".{path.name}.{os.getpid()}.{part}") for part in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    try:
        if path.exists():
            shutil.copytree(path, new)
        else:
            new.mkdir()
        for name in FILES:
            (new / name).unlink(missing_ok=True)
        for name, data in content.items():
            (new / name).write_bytes(data)
        # Two renames: a reader may find no profile for a moment, but never one made of two.
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def packed_psfs(psfs: Tensor) -> bytes:
    """PSFs as the bytes of a `psf.npz`, float32, marked as they are: reading does not scale them once more."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, psf=psfs.float().numpy(), scaled=np.True_)
    return buffer.getvalue()


def _write_zip(path: Path, content: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
