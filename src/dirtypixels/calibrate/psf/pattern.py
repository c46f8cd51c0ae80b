"""Whether a chart's picture is mosaicked as its frame states."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.flat_field import patch_levels

_ALIKE = 0.05
"""By how much of their mean the two greens of a sensor may differ: crosstalk and gains make 1 to 3 %."""

_UNLIKE = 0.1
"""By how much of their mean places under color filters differ at least, where there is no cfa to go by."""

_DIAGONALS = {"GRBG or GBRG": (0, 3), "RGGB or BGGR": (1, 2)}
"""Where the greens lie in the 2 x 2 pattern, in reading order."""


def check_pattern(
    signal: npt.NDArray[Any], cfa: str | None, alignment: Alignment, chart: BernoulliChart, name: str
) -> None:
    """Raise where the steps from black to white of the chart's squares show another mosaic than `cfa`.

    Both greens see the same light, so their steps are alike. That tells on which diagonal they lie, and nothing more:
    red and blue exchanged (BGGR for RGGB) cannot be seen, nor greens on the wrong diagonal under a light in which red
    and blue happen to be alike to 5 %.

    Args:
        signal: (H, W) linear light, mosaicked.
        cfa: that the frame states; None for a monochrome sensor.
        alignment: of the frame.
        chart: that it shows.
        name: of the frame, for the message.

    Raises:
        ValueError: the stated greens are not alike, or a frame without cfa looks mosaicked.
    """
    found = [_step(signal, i // 2, i % 2, alignment, chart) for i in range(4)]
    steps, errors = np.array(found).T
    if not steps.min() > 0:  # too few squares or no contrast, of which others speak
        return

    def apart(diagonal: tuple[int, int]) -> float:
        """By what share of their mean two places differ beyond what noise explains."""
        one, other = steps[list(diagonal)]
        return float((abs(one - other) - 4 * np.hypot(*errors[list(diagonal)])) / ((one + other) / 2))

    alike = [names for names, diagonal in _DIAGONALS.items() if apart(diagonal) < _ALIKE]
    seen = (
        "from black to white the chart's squares step by "
        f"{', '.join(f'{step:.3f}' for step in steps)} of the white level at the four places of the 2 x 2 pattern"
    )
    if cfa is None:
        if alike and np.ptp(steps) - 4 * errors.max() > _UNLIKE * steps.mean():
            raise ValueError(
                f"{name} states no cfa, but {seen}, as under color filters: the cfa must be {' or '.join(alike)}"
            )
        return
    stated = next(names for names in _DIAGONALS if cfa in names)
    if stated in alike:
        return
    one, other = steps[list(_DIAGONALS[stated])]
    likely = (
        f"the others are alike, so the cfa must be {alike[0]}"
        if alike
        else "no other cfa fits: the picture may be scaled, demosaicked, or cropped amid its mosaic"
    )
    raise ValueError(
        f"the cfa {cfa} of {name} does not fit: {seen}, and the two that it calls green, {one:.3f} and "
        f"{other:.3f}, are not alike; {likely}"
    )


def _step(
    signal: npt.NDArray[Any], row: int, column: int, alignment: Alignment, chart: BernoulliChart
) -> tuple[float, float]:
    """Median of white less median of black over the squares at one place of the 2 x 2 pattern, and its standard error.

    NaN where there are no squares.
    """
    height, width = signal.shape
    part, down, across = signal[row::2, column::2], np.arange(row, height, 2), np.arange(column, width, 2)
    patches = patch_levels(part, alignment, chart, down, across, np.inf)[0]
    if not {0.0, 1.0} <= set(patches.share):
        return float("nan"), float("nan")
    black, white = (patches.share == share for share in (0, 1))
    # A median of n figures varies by sqrt(pi / 2) of what their mean does.
    error = np.sqrt(np.pi / 2 * sum((patches.error[which] ** 2).mean() / which.sum() for which in (black, white)))
    return float(np.median(patches.value[white]) - np.median(patches.value[black])), float(error)
