"""A sensor frame from a file: raw files of cameras, and frames kept as PNG, TIFF or NPY."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from dirtypixels.raw.frames import CFA_PATTERNS, Frame
from dirtypixels.raw.metadata import Stated, read_tags, stated_by
from dirtypixels.raw.pictures import as_digital_numbers, read_npy, read_png, read_tiff, refuse_jpeg
from dirtypixels.raw.sensors import read_sensor_file

MONOCHROME = "mono"


class Overrides(TypedDict, total=False):
    """What is known of a frame better than its file says; None leaves it to the file.

    `cfa` is a pattern or "mono"; `black` one number in DN, or four, one a place of the 2 x 2 pattern in reading order.
    """

    cfa: str | None
    black: float | Sequence[float] | None
    white: float | None
    iso: float | None
    exposure_s: float | None
    camera: str | None


def read_frame(path: str | Path, **overrides: Unpack[Overrides]) -> Frame:
    """One sensor frame from a file.

    Raw files (DNG and what else LibRaw reads): the visible area as stored, and the levels, the color pattern and the
    gain that they state. 16-bit PNG and TIFF of one channel and NPY arrays (H, W): the values; what they mean comes
    from the overrides, and without a cfa they are monochrome.

    Args:
        path: the file.
        **overrides: cfa, black, white, iso, exposure_s and camera that go before what the file says, see `Overrides`.

    Returns:
        The frame, with the file's path and SHA-256.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no raw frame (a JPEG or another picture of 8 bits, or one with colors at every pixel), an
            X-Trans or Foveon raw file or a linear DNG, empty, damaged or not finite, or an override does not fit.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{str(file)!r} is a folder; a frame is one file (read_frames takes folders)")
    if not file.is_file():
        raise FileNotFoundError(f"no file {str(file)!r}")
    given = checked_overrides(overrides)
    try:
        values, stated = _read(file)
        return Frame(values, **(vars(stated) | given), path=file, sha256=_digest(file))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(file)!r} cannot be taken as a raw frame: {error}") from error


def checked_overrides(overrides: Overrides) -> dict[str, Any]:
    """Overrides as a frame's fields, without those that are None.

    Raises:
        TypeError: there is no such field.
        ValueError: the cfa is neither a pattern nor "mono", or black is neither one number nor four.
    """
    unknown = sorted(set(overrides) - set(Overrides.__annotations__))
    if unknown:
        raise TypeError(f"overrides must be some of {', '.join(Overrides.__annotations__)}; found {', '.join(unknown)}")
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    if "cfa" in given:
        if given["cfa"] not in (*CFA_PATTERNS, MONOCHROME):
            raise ValueError(f"cfa must be one of {', '.join(CFA_PATTERNS)}, {MONOCHROME}; found {given['cfa']!r}")
        given["cfa"] = None if given["cfa"] == MONOCHROME else given["cfa"]
    if "black" in given:
        levels = np.asarray(given["black"], dtype=np.float64).ravel().tolist()
        if len(levels) not in (1, 4):
            raise ValueError(f"black must be one number, or four in reading order; found {len(levels)}")
        given["black"] = tuple(levels * (4 // len(levels)))
    return given


def _read(file: Path) -> tuple[npt.NDArray[Any], Stated]:
    """Values and what the file says, by what the file begins with; its name decides only between kinds of TIFF."""
    with file.open("rb") as stream:
        head = stream.read(16)
    if not head:
        raise ValueError("it is empty")
    if head.startswith(b"\xff\xd8\xff"):
        refuse_jpeg()
    if head.startswith(b"\x89PNG"):
        return as_digital_numbers(read_png(file)), Stated()
    if head.startswith(b"\x93NUMPY"):
        return as_digital_numbers(read_npy(file)), Stated()
    tags = read_tags(file)
    if file.suffix.lower() in (".tif", ".tiff") and not (tags is not None and tags.is_sensor_file):
        return as_digital_numbers(read_tiff(file)), stated_by(tags) if tags is not None else Stated()
    return read_sensor_file(file, tags)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
