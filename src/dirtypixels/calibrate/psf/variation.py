"""What the change of a PSF within a block does to its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.fft

from dirtypixels.calibrate.psf.shots import Piece, Samples

Floats = npt.NDArray[np.float64]


def slopes(own: tuple[Floats, Floats], beside: list[tuple[tuple[Floats, Floats] | None, ...]]) -> Floats:
    """How a PSF changes with each pixel down and across the frame.

    ``(k_next - k_last) / (place_next - place_last)``, where there is no neighbor with the block itself in its place

    Args:
        own: the block's (row, column) and its PSF (k, k).
        beside: for each axis the next and the last block's, or None.

    Returns:
        (2, k, k): each pixel down, each pixel across.
    """
    found = []
    for axis, (after, before) in enumerate(beside):
        (later, one), (earlier, other) = after or own, before or own
        distance = later[axis] - earlier[axis]
        found.append((one - other) / distance if distance > 0 else np.zeros_like(own[1]))
    return np.stack(found)


def blurred(sharp: npt.NDArray[np.float32], kernels: Floats) -> Floats:
    """(N, h, w) the part of a sharp picture's convolutions with kernels (N, k, k) that it determines."""
    size = kernels.shape[-1]
    shape = [scipy.fft.next_fast_len(n, real=True) for n in sharp.shape]
    spectrum = scipy.fft.rfft2(sharp.astype(np.float64), shape)
    found = scipy.fft.irfft2(spectrum * scipy.fft.rfft2(kernels, shape), shape)
    return np.asarray(found[:, size - 1 : sharp.shape[0], size - 1 : sharp.shape[1]])


def change(steps: Floats, samples: Samples, piece: Piece, middle: tuple[float, float]) -> Floats:
    """What a PSF's linear change away from a place adds to samples.

    ``v(n) = (n - middle)_down (slope_down * sharp)(n) + (n - middle)_across (slope_across * sharp)(n)``

    Args:
        steps: (2, h, w) the piece's sharp picture blurred by both slopes.
        samples: of one plane in the piece.
        piece: of the block.
        middle: (row, column) in the frame where the change is 0.
    """
    at = np.ix_(samples.rows - piece.start[0], samples.columns - piece.start[1])
    down, across = samples.rows - middle[0], samples.columns - middle[1]
    return np.asarray(down[:, None] * steps[0][at] + across * steps[1][at])
