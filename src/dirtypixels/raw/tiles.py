"""A plane in square blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SIDE = 16
"""Samples a side: 256 give a median that noise moves by 8 % of its deviation."""

MANY = 4096
"""Blocks of a plane, spread evenly: a million samples, looked at in a fraction of a second."""


def tiles(values: npt.NDArray[Any], most: int | None = None) -> npt.NDArray[Any]:
    """(rows, side, columns, side) view of a plane (H, W) in blocks; what does not fill a block is left out.

    Args:
        values: the plane.
        most: about how many blocks at most, every n-th down and across; None for all.
    """
    side = min(SIDE, *values.shape)
    rows, columns = (length // side for length in values.shape)
    whole = values[: rows * side, : columns * side].reshape(rows, side, columns, side)
    step = 1 if most is None else max(1, int(np.ceil(np.sqrt(rows * columns / most))))
    return whole[::step, :, ::step]
