"""Tags of files with changed bytes: what is read is what a frame can have, whatever the change."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.raw.metadata import black_of_dng, read_tags, stated_by


def test_changed_bytes_of_tags_give_what_a_frame_can_have(write_dng: Any, mosaic: npt.NDArray[np.uint16]) -> None:
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
