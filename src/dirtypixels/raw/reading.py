"""A sensor frame from a file: raw files of cameras, and frames kept as PNG, TIFF or NPY."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from dirtypixels.raw.frames import CFA_PATTERNS, Frame
from dirtypixels.raw.metadata import Stated, read_tags, stated_by
from dirtypixels.raw.sensors import read_sensor_file

MONOCHROME = "mono"

#: how the names of such files end
PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy"})

_MOST_SQUEEZED = 2000  # deflate makes 1032 bytes of one at most; more is a damaged size, and would fill the memory

_EIGHT_BITS = (
    "a raw frame has 10 to 16 bits, linear to light; 8 bits are what a camera writes after a tone curve and denoising, "
    "and that cannot be undone. Record raw files, or save all the sensor's bits as 16-bit PNG or TIFF"
)

_ONE_CHANNEL = (
    "a frame has one value a pixel, (H, W), as the sensor measured it; colors at every pixel were interpolated "
    "(demosaicked), and that changes the noise"
)


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

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a.npy", np.full((4, 6), 300, np.uint16))
    ...     frame = read_frame(f"{folder}/a.npy", cfa="RGGB", black=256, white=4095)
    >>> frame.name, frame.black
    ('a.npy', (256.0, 256.0, 256.0, 256.0))
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
        raise ValueError(f"it is a JPEG: {_EIGHT_BITS}")
    if head.startswith(b"\x89PNG"):
        return as_digital_numbers(read_png(file)), Stated()
    if head.startswith(b"\x93NUMPY"):
        return as_digital_numbers(read_npy(file)), Stated()
    tags = read_tags(file)
    if file.suffix.lower() in (".tif", ".tiff") and not (tags is not None and tags.is_sensor_file):
        return as_digital_numbers(read_tiff(file)), stated_by(tags) if tags is not None else Stated()
    return read_sensor_file(file, tags)


def read_png(path: Path) -> npt.NDArray[Any]:
    """Values of a 16-bit PNG of one channel.

    Raises:
        ValueError: it has 8 bits or colors, or is damaged.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            mode = picture.mode
            values = np.asarray(picture) if mode.startswith("I") else None
    except (OSError, SyntaxError, ValueError) as error:  # PIL's errors for damaged files
        raise ValueError(f"it is damaged or incomplete: {error}") from error
    if values is not None:
        return values
    if mode in ("1", "L"):
        raise ValueError(f"it is a PNG of {8 if mode == 'L' else 1} bits: {_EIGHT_BITS}")
    raise ValueError(f"it is a PNG with colors ({mode}): {_ONE_CHANNEL}")


def read_tiff(path: Path) -> npt.NDArray[Any]:
    """Values of a TIFF of one page and one channel, 16 bits or floats.

    Raises:
        ValueError: it has 8 bits, colors or several pages, is compressed as tifffile cannot read, or is damaged.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            pages, shape, kind = len(tiff.pages), page.shape, page.dtype
            if page.nbytes > _MOST_SQUEEZED * path.stat().st_size:
                raise ValueError(f"{shape} samples cannot be in {path.stat().st_size} bytes")
            values = page.asarray() if pages == 1 and len(shape) == 2 else None
    except Exception as error:  # damaged files end in a dozen unrelated types
        raise ValueError(f"it is damaged, incomplete or compressed in a way that is not read: {error}") from error
    if pages != 1:
        raise ValueError(f"it holds {pages} pictures; a frame is a file with one")
    if values is None:
        raise ValueError(f"it has the shape {shape}: {_ONE_CHANNEL}")
    if kind == np.uint8:
        raise ValueError(f"it is a TIFF of 8 bits: {_EIGHT_BITS}")
    return values


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Values of an array of two dimensions.

    Raises:
        ValueError: the file is damaged, holds pickled objects, or an array of another shape.
    """
    try:
        values: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except Exception as error:  # damaged headers end in errors of Python's own parser too
        raise ValueError(f"it is no array that can be read: {error}") from error
    if values.ndim == 3 and values.shape[2] in (3, 4):
        raise ValueError(f"it has the shape {values.shape}: {_ONE_CHANNEL}")
    if values.ndim != 2:
        raise ValueError(f"it must hold one frame, (H, W); found the shape {values.shape}")
    return values


def as_digital_numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same values as uint16 or, where they do not fit, as float32.

    Raises:
        ValueError: they are no real numbers, or whole numbers that float32 does not hold exactly.
    """
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.kind not in "ui":
        raise ValueError(f"values must be whole numbers or floats; found {values.dtype}")
    if not values.size or (values.min() >= 0 and values.max() <= 65535):
        return values.astype(np.uint16)
    if max(-int(values.min()), int(values.max())) > 2**24:
        raise ValueError(f"whole numbers must be at most 2^24 in size; found {values.min()} to {values.max()}")
    return values.astype(np.float32)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
