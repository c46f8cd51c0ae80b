"""What a perfectly sharp camera would have measured of a chart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.coverage import white_fraction
from dirtypixels.calibrate.psf.tone import Tone


def sharp(
    chart: BernoulliChart,
    alignment: Alignment,
    tone: Tone | None,
    rows: slice = slice(None),
    columns: slice = slice(None),
    *,
    aperture: float = 1.0,
) -> npt.NDArray[np.float64]:
    """The sharp correspondence: the chart integrated over each pixel's aperture, in the units of the picture.

    ``s(n) = black(n) + (white(n) - black(n)) * f(n)``, f the white fraction of the pixel's square

    Args:
        chart: the chart.
        alignment: of the frame.
        tone: of one channel of the frame; None gives f alone, in [0, 1].
        rows: rows of full-resolution pixels wanted, a slice of the frame's rows; steps above 0 allowed.
        columns: the same for columns.
        aperture: side of the light-sensitive square of a pixel in full-resolution pixels, in (0, 2].

    Returns:
        (h, w); NaN where a pixel's square leaves the chart, as what is there is not known.

    Raises:
        ValueError: aperture is out of range, a step is not above 0, or the slices are empty.
    """
    if not 0 < aperture <= 2:
        raise ValueError(f"aperture must be in (0, 2]; found {aperture:g}")
    wanted = []
    for name, part, length in (("rows", rows, alignment.size[0]), ("columns", columns, alignment.size[1])):
        places = np.arange(length)[part]
        if not len(places) or (part.step or 1) < 0:
            raise ValueError(
                f"{name} must be a slice of {length} pixels that is not empty and steps ahead; found {part}"
            )
        wanted.append(places)
    fraction = white_fraction(chart, alignment.mapping, wanted[0], wanted[1], aperture)
    if tone is None:
        return fraction
    black, white = tone.grids(wanted[0], wanted[1])
    found: npt.NDArray[np.float64] = black + (white - black) * fraction
    return found
