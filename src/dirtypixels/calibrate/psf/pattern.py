"""Whether a chart's picture is mosaicked as its frame states."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.flat_field import patch_levels
from dirtypixels.raw.mosaic import check_cfa


def check_pattern(
    signal: npt.NDArray[Any], cfa: str | None, alignment: Alignment, chart: BernoulliChart, name: str
) -> None:
    """Raise where the steps from black to white of the chart's squares show another mosaic than `cfa`.

    Args:
        signal: (H, W) linear light, mosaicked.
        cfa: that the frame states; None for a monochrome sensor.
        alignment: of the frame.
        chart: that it shows.
        name: of the frame, for the message.

    Raises:
        ValueError: see `raw.mosaic.check_cfa`.
    """
    height, width = signal.shape
    found = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        down, across = np.arange(row, height, 2), np.arange(column, width, 2)
        patches = patch_levels(signal[row::2, column::2], alignment, chart, down, across, np.inf)[0]
        if not {0.0, 1.0} <= set(patches.share):
            return
        black, white = (patches.share == share for share in (0, 1))
        # A median of n figures varies by sqrt(pi / 2) of what their mean does.
        error = np.sqrt(np.pi / 2 * sum((patches.error[which] ** 2).mean() / which.sum() for which in (black, white)))
        found.append((np.median(patches.value[white]) - np.median(patches.value[black]), error))
    steps, errors = np.array(found).T
    if not steps.min() > 0:  # no contrast, of which others speak
        return
    seen = (
        "from black to white the chart's squares step by "
        f"{', '.join(f'{step:.3f}' for step in steps)} of the white level at the four places of the 2 x 2 pattern"
    )
    check_cfa(cfa, steps[None], errors[None], name, seen)
