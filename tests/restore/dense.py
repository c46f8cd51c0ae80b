"""Linear operators as explicit matrices, for tests to compare with."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def circular_matrix(taps: Tensor, height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    """The (H W, H W) matrix of a circular correlation, tap by tap."""
    side = taps.shape[-1]
    matrix = np.zeros((height * width, height * width))
    for row in range(height):
        for column in range(width):
            for i in range(side):
                for j in range(side):
                    seen = (row + i - side // 2) % height * width + (column + j - side // 2) % width
                    matrix[row * width + column, seen] += float(taps[i, j])
    return matrix
