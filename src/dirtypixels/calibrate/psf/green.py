"""One picture at full resolution from a mosaic, without moving an edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels import checks
from dirtypixels.raw.frames import CFA_PATTERNS, plane_slices


def full_green(signal: npt.NDArray[Any], cfa: str | None) -> npt.NDArray[np.float32]:
    """Green at every pixel: measured where it was, elsewhere the mean of its four neighbors.

    The filter is symmetric about each pixel, so nothing moves; it only blurs every second pixel a little. Gr and Gb are
    scaled to their common mean first, as a difference in gain between them would leave a checkerboard.

    Args:
        signal: (H, W) linear light of a mosaic, black level removed; or of a monochrome sensor.
        cfa: colors of the top left 2 x 2 pixels, e.g. "RGGB"; None returns the signal itself.

    Raises:
        ValueError: the signal is not of two dimensions, or of odd size though there is a cfa, or the cfa is unknown.
    """
    found = np.asarray(signal)
    if found.ndim != 2:
        raise ValueError(f"signal must have shape (H, W); found {found.shape}")
    green = np.array(found, dtype=np.float32)
    if cfa is None:
        return green
    checks.one_of("cfa", cfa, (None, *CFA_PATTERNS))
    if found.shape[0] % 2 or found.shape[1] % 2:
        raise ValueError(f"signal of a mosaic must have an even height and width; found {found.shape}")
    where = plane_slices(cfa)
    means = {name: float(green[where[name]].mean()) for name in ("Gr", "Gb")}
    both = (means["Gr"] + means["Gb"]) / 2
    for name, mean in means.items():
        # A plane whose mean is about 0 or below (a black frame) tells no gain.
        if mean > 0 and both > 0:
            green[where[name]] *= np.float32(both / mean)
    padded = np.pad(green, 1, mode="reflect")
    neighbors = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    for name in ("R", "B"):
        green[where[name]] = neighbors[where[name]]
    return green
