"""Files with changed bytes: a frame comes back or one clear error, whatever the change."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from dirtypixels.raw.metadata import black_of_dng, read_tags, stated_by
from dirtypixels.raw.pictures import as_digital_numbers, read_npy, read_png, read_tiff

READERS = {".png": read_png, ".tiff": read_tiff, ".npy": read_npy}


@pytest.mark.parametrize("suffix", READERS)
def test_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    values = np.random.default_rng(0).integers(0, 4096, (9, 7)).astype(np.uint16)
    if suffix == ".png":
        Image.fromarray(values).save(path)
    elif suffix == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values, compression="zlib")
    content, draw, refused = path.read_bytes(), Random(1), 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            changed[draw.randrange(min(len(changed), 300))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            as_digital_numbers(READERS[suffix](path))
        except ValueError:
            refused += 1
    assert refused > 30


def test_tags(write_dng: Any, mosaic: npt.NDArray[np.uint16]) -> None:
    exif = {33434: (5, [1, 50]), 34855: (3, [400])}
    path = write_dng("a.dng", mosaic[:4, :4], tags={50713: (3, [2, 2]), 50714: (3, [60, 61, 62, 63])}, exif=exif)
    content, draw, read = path.read_bytes(), Random(1), 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.randint(1, 3)):
            changed[draw.randrange(40, len(changed))] = draw.randrange(256)
        path.write_bytes(changed)
        tags = read_tags(path)
        if tags is not None:
            stated = stated_by(tags)
            assert stated.iso is None or stated.iso > 0
            assert stated.exposure_s is None or stated.exposure_s > 0
            black_of_dng(tags, 0, 0)
            read += 1
    assert read > 100
