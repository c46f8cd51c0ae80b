"""Whether frames are mosaicked as they state."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import rounding
from dirtypixels.raw.tiles import tiles

_UNLIKE = 0.2  # of the signal: colors of white light differ by more, places of one color by a few hundredths
_ALIKE = 0.05
_NO_GREENS = 0.1  # greens differ by less even where light strikes the sensor aslant
_SURE = 5.0  # and by so many times less than the places that are said to be green and are not
_DARK = 5e-3  # of the range: too dark to tell


def check_mosaic(frames: Iterable[Frame]) -> None:
    """Raise where the four places of the 2 x 2 pattern show another mosaic than the frame states.

    The greens lie on one diagonal, see the same light and are alike in every part of the frame; in a frame of a
    monochrome sensor all four places are. Which of the other two is red cannot be seen. Where all are alike, as under
    gray light of a camera whose channels are scaled, nothing speaks against a pattern.

    Raises:
        ValueError: a frame without cfa looks mosaicked, or the two greens of one with a cfa are not alike.
    """
    for frame in frames:
        if min(frame.values.shape) < 2:
            continue
        black = np.array(frame.black or (0.0,) * 4)
        places = [frame.values[i // 2 :: 2, i % 2 :: 2] for i in range(4)]
        middle = [float(np.median(place)) for place in places]
        light = np.array(middle) - black
        mean = float(light.mean())
        white = float(frame.values.max()) if frame.white is None else frame.white
        if mean < max(_DARK * (white - float(black.min())), 40 * rounding(frame, white)):
            continue
        # reading order: 1 and 2 are one diagonal, 0 and 3 the other
        apart = {"RGGB or BGGR": abs(light[1] - light[2]) / mean, "GRBG or GBRG": abs(light[0] - light[3]) / mean}
        alike = [patterns for patterns, difference in apart.items() if difference < _ALIKE]
        medians = f"the 2 x 2 places have medians of {' '.join(f'{place:g}' for place in middle)} DN"
        if frame.cfa is None and alike and light.max() - light.min() > _UNLIKE * mean:
            raise ValueError(
                f"{frame.name} states no cfa, but {medians}, as under color filters: give cfa=, "
                f"{' or '.join(alike)} (if there are none, the frame cannot be taken as it is)"
            )
        if frame.cfa is None:
            continue
        blocks = [_means(place) - level for place, level in zip(places, black, strict=True)]
        differ = {
            patterns: float(np.sqrt(np.mean((blocks[i] - blocks[j]) ** 2))) / max((light[i] + light[j]) / 2, 1e-9)
            for patterns, (i, j) in zip(apart, ((1, 2), (0, 3)), strict=True)
        }
        stated = next(patterns for patterns in differ if frame.cfa in patterns)
        other = next(patterns for patterns in differ if patterns != stated)
        if differ[stated] > max(_NO_GREENS, _SURE * differ[other]):
            raise ValueError(
                f"{frame.name} states the cfa {frame.cfa}, but {medians}: the two greens are alike, so they lie on the "
                f"other diagonal: give cfa=, {other}"
            )


def _means(place: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Means over blocks; what does not fill a block is left out."""
    return np.asarray(tiles(place).mean((1, 3), dtype=np.float64))
