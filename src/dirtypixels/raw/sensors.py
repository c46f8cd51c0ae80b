"""Raw files of cameras, through LibRaw."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import rawpy

from dirtypixels.raw.frames import CFA_PATTERNS
from dirtypixels.raw.metadata import DNG_VERSION, Stated, Tags, black_of_dng, stated_by

#: how the names of raw files end
SENSOR_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("dng", "3fr", "arw", "cr2", "cr3", "crw", "dcr", "erf", "fff", "iiq", "kdc", "mef", "mos", "mrw"),
        *("nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)

_STANDARD_ERROR = 2
_lock = Lock()
_inside = 0  # how many threads want silence
_kept = -1  # where standard error goes otherwise


def read_sensor_file(path: Path, tags: Tags | None) -> tuple[npt.NDArray[np.uint16], Stated]:
    """Digital numbers of the visible area as they were stored, and what the file says of them.

    An odd last row or column is left out where there is a color pattern, so that the pattern is whole.

    Args:
        path: the file.
        tags: its tags where it is a TIFF; what they say goes before what LibRaw says.

    Returns:
        (H, W) values, and what the file says.

    Raises:
        ValueError: LibRaw cannot read it, or its samples are not one value a pixel under a Bayer pattern or none.
    """
    try:
        with quiet(), rawpy.imread(str(path)) as raw:
            return _unpack(raw, tags)
    except rawpy.LibRawFileUnsupportedError as error:
        raise ValueError(
            "it is neither a raw file that LibRaw knows nor a PNG, TIFF or NPY file (or its beginning is damaged)"
        ) from error
    except rawpy.LibRawError as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else error
        raise ValueError(f"it is damaged or incomplete: LibRaw says {str(reason)!r}") from error


def _unpack(raw: Any, tags: Tags | None) -> tuple[npt.NDArray[np.uint16], Stated]:
    if raw.raw_type != rawpy.RawType.Flat:
        raise ValueError(
            "it holds three values a pixel (a linear DNG, a reduced raw file or a Foveon sensor), not one: what was "
            "interpolated or stacked has other noise than the sensor. Record full raw files, and convert them to DNG "
            "without demosaicking"
        )
    values = raw.raw_image_visible.copy()  # unpacks, and some levels are known only then
    top, left = raw.sizes.top_margin, raw.sizes.left_margin
    stated = stated_by(tags) if tags is not None else Stated()
    if stated.iso is None and raw.other.iso_speed > 0:
        stated.iso = float(raw.other.iso_speed)
        # without a gain LibRaw's exposure time is a default too, 1 s for one
        stated.exposure_s = stated.exposure_s or float(raw.other.shutter_speed) or None
    for name, text in (("LensModel", raw.lens.model), ("Artist", raw.other.artist)):
        if text:
            stated.exif.setdefault(name, text)
    colors = [int(raw.raw_color(top + i // 2, left + i % 2)) for i in range(4)] if raw.num_colors > 1 else [0] * 4
    if raw.num_colors > 1:
        stated.cfa = _pattern(raw, colors)
        values = values[: values.shape[0] // 2 * 2, : values.shape[1] // 2 * 2]
    levels = [float(raw.black_level_per_channel[color]) for color in colors]
    stated.black = (levels[0], levels[1], levels[2], levels[3])
    if tags is not None and DNG_VERSION in tags.main:
        stated.black = black_of_dng(tags, top, left) or stated.black
    stated.white = float(raw.white_level)
    return values, stated


def _pattern(raw: Any, colors: list[int]) -> str:
    """Letters of the 2 x 2 pattern at the top left of the visible area."""
    shape = raw.raw_pattern.shape
    letters = "".join(raw.color_desc.decode()[color] for color in colors)
    if shape == (2, 2) and letters in CFA_PATTERNS:
        return letters
    found = "a 6 x 6 pattern (Fujifilm X-Trans)" if shape == (6, 6) else f"a {shape[0]} x {shape[1]} pattern {letters}"
    raise ValueError(f"its color filters must be a Bayer pattern, one of {', '.join(CFA_PATTERNS)}; found {found}")


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is written to the process's standard error within reaches it, from any thread; exceptions do.

    LibRaw says there what it also reports as an error, and a command's refusal is to be one line. Threads may overlap:
    the first one that comes makes it silent, the last one that goes gives it back.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        _flush()
        try:
            _kept = os.dup(_STANDARD_ERROR)
        except OSError:  # there is none, as under a service
            _kept = -1
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STANDARD_ERROR)
        os.close(nowhere)


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside or _kept < 0:
            return
        _flush()
        os.dup2(_kept, _STANDARD_ERROR)
        os.close(_kept)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
