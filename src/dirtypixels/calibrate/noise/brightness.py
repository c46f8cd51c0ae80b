"""How bright a frame is, whatever it shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.raw.tiles import MANY, tiles


class Brightness(NamedTuple):
    """Of one plane, DN.

    Args:
        level: median over blocks of their means, so that hot pixels, edges and rounding are of little matter.
        error: of it, by noise.
        uneven: by how much blocks differ (from the 5th to the 95th percentile) beyond noise.
    """

    level: float
    error: float
    uneven: float


def brightness(values: npt.NDArray[Any]) -> Brightness:
    """Of a plane (H, W) or of a mosaic, from blocks spread over it."""
    parts = tiles(values, MANY).astype(np.float32)
    means, noise = parts.mean((1, 3), dtype=np.float64), float(np.median(parts.std((1, 3)))) / parts.shape[1]
    low, high = np.quantile(means, (0.05, 0.95))
    return Brightness(
        float(np.median(means)), noise / float(np.sqrt(means.size)), max(float(high - low) - 4 * noise, 0.0)
    )
