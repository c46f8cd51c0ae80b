"""A photograph's finest diagonal details, and what surrounds each: level, structure, clipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float64]

# Daubechies' scaling filter with three vanishing moments, norm 1 (Daubechies 1992, table 6.1).
SCALING: Array = np.array(
    [
        0.3326705529509569,
        0.8068915093133388,
        0.4598775021193313,
        -0.1350110200103909,
        -0.0854412738822415,
        0.0352262918821007,
    ]
)
WAVELET: Array = SCALING[::-1] * (-1.0) ** np.arange(SCALING.size)
# Side, in coefficients of one transform, of the window that says what surrounds a coefficient.
WINDOW = 5
# A window is quiet where its activity is below this many times the noise's variance: one standard deviation of the mean
# of 2 x 25 squares above it.
TOLERANCE = 1 + WINDOW**-1.0
# What the first-order transform and the window need, in pixels.
SMALLEST = 32


@dataclass(frozen=True)
class Details:
    """One entry a coefficient, on the pixel grid: the four shifted orthonormal transforms interleaved, (h, w) each.

    Args:
        detail: diagonal detail; its standard deviation is that of the pixels, and polynomials of degree 2 along rows or
            columns give 0.
        level: average of the pixels in half of the window's places (as on a chessboard), weighted as their variances
            are in the details', so that a slope does no harm.
        mean: the same over the other half. Sorting by `level` picks up its noise; `mean` shares a quarter of that.
        activity: mean square of the horizontal and vertical details in the window; the pixels' variance where there is
            noise alone. It shares no coefficient with `detail`, so that choosing by it leaves `detail` as it is.
        spread: variance over the window of the scaling coefficients over 2; a quarter of the pixels' variance where
            there is noise alone.
        low, high: fractions of the pixels around the window that are clipped.
    """

    detail: Array
    level: Array
    mean: Array
    activity: Array
    spread: Array
    low: Array
    high: Array


def details(plane: Array, low: float, high: float) -> Details:
    """Take a plane apart.

    Args:
        plane: (H, W) signal, at least `SMALLEST` each way.
        low: signal at or below which a pixel counts as clipped.
        high: signal at or above which a pixel counts as clipped.

    Returns:
        Details of (H - 21, W - 21) coefficients or one less, those whose windows lie inside of the plane.

    Source: Foi et al. 2008, section III.A, with one transform; all four shifts, as in cycle spinning (Coifman and
    Donoho 1995).
    """
    approximation = _filtered(plane, SCALING, SCALING) / 2
    diagonal = _filtered(plane, WAVELET, WAVELET)
    edges = (_filtered(plane, SCALING, WAVELET) ** 2 + _filtered(plane, WAVELET, SCALING) ** 2) / 2
    spread = np.maximum(_windowed(approximation**2) - _windowed(approximation) ** 2, 0.0)
    level, mean = _halves(_filtered(plane, WAVELET**2, WAVELET**2))
    # the window's own pixels: WINDOW coefficients two pixels apart, each as wide as the filter
    side = 2 * (WINDOW - 1) + SCALING.size
    clipped = [ndimage.uniform_filter(c.astype(np.float64), side) for c in (plane <= low, plane >= high)]
    corner = SCALING.size // 2
    clipped = [c[corner:, corner:][: mean.shape[0], : mean.shape[1]] for c in clipped]
    inside = slice(WINDOW - 1, 1 - WINDOW)
    parts = (diagonal, level, mean, _windowed(edges), spread, *clipped)
    return Details(*(np.ascontiguousarray(part[inside, inside]) for part in parts))


def _filtered(plane: Array, rows: Array, columns: Array) -> Array:
    """Correlation with a separable filter where it fits into the plane; entry (0, 0) starts at pixel (0, 0)."""
    found = ndimage.correlate1d(ndimage.correlate1d(plane, rows, axis=0), columns, axis=1)
    before, after = SCALING.size // 2, SCALING.size - SCALING.size // 2 - 1
    return np.asarray(found[before : plane.shape[0] - after, before : plane.shape[1] - after])


def _halves(values: Array) -> tuple[Array, Array]:
    """Means over the places of either color of a chessboard in the window."""
    rows, columns = (np.arange(size) // 2 for size in values.shape)
    color = (rows[:, None] + columns) % 2
    first, second = ((color == k).astype(np.float64) for k in (0, 1))
    return _windowed(values * first) / _windowed(first), _windowed(values * second) / _windowed(second)


def _windowed(values: Array) -> Array:
    """Mean over the window, in each of the four shifted transforms by itself."""
    found = np.empty_like(values)
    for row in (0, 1):
        for column in (0, 1):
            found[row::2, column::2] = ndimage.uniform_filter(values[row::2, column::2], WINDOW)
    return found
