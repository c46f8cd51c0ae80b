"""Frames kept in ordinary files: 16-bit PNG and TIFF of one channel, NumPy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

#: how the names of such files end
PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".npy"})

_MOST_SQUEEZED = 2000  # deflate makes 1032 bytes of one at most; more is a damaged size, and would fill the memory

_EIGHT_BITS = (
    "a raw frame has 10 to 16 bits, linear to light; 8 bits are what a camera writes after a tone curve and denoising, "
    "and that cannot be undone. Record raw files, or save all the sensor's bits as 16-bit PNG or TIFF"
)


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
    raise ValueError(f"it is a PNG with colors ({mode}): {_one_channel()}")


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
        raise ValueError(f"it has the shape {shape}: {_one_channel()}")
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
        raise ValueError(f"it has the shape {values.shape}: {_one_channel()}")
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


def refuse_jpeg() -> None:
    """Say why a JPEG is no raw frame."""
    raise ValueError(f"it is a JPEG: {_EIGHT_BITS}")


def _one_channel() -> str:
    return (
        "a frame has one value a pixel, (H, W), as the sensor measured it; colors at every pixel were interpolated "
        "(demosaicked), and that changes the noise"
    )
