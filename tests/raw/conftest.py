"""What tests of raw frames share: small DNG files, written byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

# A tag's kind by TIFF 6.0, its number and the code that packs one value; a ratio is two whole numbers.
BYTE, TEXT, SHORT, LONG, RATIO, DOUBLE = 1, 2, 3, 4, 5, 12
_CODES = {BYTE: "B", SHORT: "H", LONG: "I", RATIO: "I", DOUBLE: "d"}

Tag = tuple[int, Any]
WriteDng = Callable[..., Path]


def _directory(tags: dict[int, Tag], at: int) -> bytes:
    """A TIFF directory that will lie at the offset `at`, with what does not fit into it behind it."""
    entries, behind = b"", b""
    start = at + 2 + 12 * len(tags) + 4
    for number in sorted(tags):
        kind, values = tags[number]
        if kind == TEXT:
            content = values.encode() + b"\0"
            count = len(content)
        else:
            content = struct.pack(f"<{len(values)}{_CODES[kind]}", *values)
            count = len(values) // (2 if kind == RATIO else 1)
        if len(content) > 4:
            content, behind = struct.pack("<I", start + len(behind)), behind + content + b"\0" * (len(content) % 2)
        entries += struct.pack("<HHI", number, kind, count) + content.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + b"\0" * 4 + behind


def write_dng(
    path: Path,
    values: npt.NDArray[Any],
    pattern: str = "RGGB",
    tags: dict[int, Tag] | None = None,
    exif: dict[int, Tag] | None = None,
    photometric: int = 32803,
    pattern_size: Sequence[int] = (2, 2),
    model: str = "Maker One",
) -> Path:
    """An uncompressed 16-bit DNG; `tags` and `exif` go into the first directory and the EXIF one.

    Args:
        values: (H, W) mosaicked (photometric 32803) or linear (34892), or (H, W, 3) linear.
    """
    data = values.astype("<u2").tobytes()
    height, width = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    content: dict[int, Tag] = {
        254: (LONG, [0]), 256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [16] * samples), 259: (SHORT, [1]),
        262: (SHORT, [photometric]), 271: (TEXT, "Maker"), 272: (TEXT, model), 273: (LONG, [8]), 274: (SHORT, [1]),
        277: (SHORT, [samples]), 278: (LONG, [height]), 279: (LONG, [len(data)]), 284: (SHORT, [1]),
        50706: (BYTE, [1, 4, 0, 0]), 50707: (BYTE, [1, 1, 0, 0]), 50708: (TEXT, model),
    }  # fmt: skip
    if photometric == 32803:
        content |= {33421: (SHORT, list(pattern_size)), 33422: (BYTE, ["RGB".index(color) for color in pattern])}
    if exif is not None:
        content[34665] = (LONG, [8 + len(data)])
        data += _directory(exif, 8 + len(data))
        data += b"\0" * (len(data) % 2)
    content |= tags or {}
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + _directory(content, 8 + len(data)))
    return path


@pytest.fixture(name="write_dng")
def write_dng_fixture(tmp_path: Path) -> WriteDng:
    """`write_dng` into the test's folder: `write_dng("a.dng", values, ...)`."""
    return lambda name, values, *rest, **more: write_dng(tmp_path / name, values, *rest, **more)


@pytest.fixture
def mosaic() -> npt.NDArray[np.uint16]:
    """Random 12-bit samples."""
    return np.random.default_rng(0).integers(100, 4000, (60, 80)).astype(np.uint16)
