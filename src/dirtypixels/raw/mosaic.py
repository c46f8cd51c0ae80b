"""Whether frames are mosaicked as they state."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dirtypixels.raw.frames import Frame

_UNLIKE = 0.2  # of the signal: colours of white light differ by more, places of one colour by a few hundredths
_ALIKE = 0.05


def check_mosaic(frames: Iterable[Frame]) -> None:
    """Raise where the four places of the 2 x 2 pattern show another mosaic than the frame states.

    The greens lie on one diagonal, see the same light and are alike; in a frame of a monochrome sensor all four places
    are. Medians of whole planes are compared. Which of the other two is red cannot be seen.

    Raises:
        ValueError: a frame without cfa looks mosaicked, or the two greens of one with a cfa are not alike.
    """
    for frame in frames:
        if min(frame.values.shape) < 2:
            continue
        black = np.array(frame.black or (0.0,) * 4)
        places = [float(np.median(frame.values[i // 2 :: 2, i % 2 :: 2])) for i in range(4)]
        light = np.array(places) - black
        mean = light.mean()
        if mean < 20:  # DN: too dark to tell
            continue
        # reading order: 1 and 2 are one diagonal, 0 and 3 the other
        apart = {"RGGB or BGGR": abs(light[1] - light[2]) / mean, "GRBG or GBRG": abs(light[0] - light[3]) / mean}
        alike = [patterns for patterns, difference in apart.items() if difference < _ALIKE]
        medians = f"the 2 x 2 places have medians of {' '.join(f'{place:g}' for place in places)} DN"
        if frame.cfa is None and alike and light.max() - light.min() > _UNLIKE * mean:
            raise ValueError(
                f"{frame.name} states no cfa, but {medians}, as under colour filters: give cfa=, "
                f"{' or '.join(alike)} (if there are none, the frame cannot be taken as it is)"
            )
        stated = next((patterns for patterns in apart if frame.cfa is not None and frame.cfa in patterns), None)
        if stated is not None and apart[stated] > _UNLIKE and alike:
            raise ValueError(
                f"{frame.name} states the cfa {frame.cfa}, but {medians}: the two greens are alike, so they lie on the "
                f"other diagonal: give cfa=, {alike[0]}"
            )
