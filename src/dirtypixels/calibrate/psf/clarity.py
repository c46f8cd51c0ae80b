"""How clearly a picture shows a chart: contrast of its noise, and the picture's own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.identity import Identity, noise_cells
from dirtypixels.calibrate.psf.lattice import opencv

_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


class Clarity(NamedTuple):
    """Standard deviations of a picture, as shares of the step from black to white of its markers.

    Args:
        texture: of the noise cells about their surroundings: 0.1 in a sharp picture, a tenth of that far out of focus.
        noise: of a pixel, in the markers' squares.
    """

    texture: float
    noise: float


def clarity(image: npt.NDArray[np.float32], chart: BernoulliChart, identity: Identity) -> Clarity:
    """What a picture with known markers shows between and in them.

    ``noise = sqrt(pi / 2) / 6 mean |L * image|``, L a Laplacian that edges and slopes do not excite

    Its taps are 2 pixels apart, because neighbors in a green that was interpolated are no measurements of their own.
    The texture is what the noise leaves of the deviation.

    Source: Immerkaer, "Fast noise variance estimation", 1996.
    """
    cv2 = opencv()
    assert identity.mapping is not None
    near = chart.markers[identity.index[identity.index >= 0]]
    high, places, _ = noise_cells(identity.mapping, image, chart, near)
    column, row = places.round().astype(int).T
    deviation = float(high[row, column].std())

    apart = np.zeros((5, 5), np.float32)
    apart[::2, ::2] = _LAPLACIAN
    bent = np.abs(cv2.filter2D(image, -1, apart, borderType=cv2.BORDER_REFLECT))
    corners = chart.square / 2 * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    middles = identity.mapping.to_image((near[:, None] + corners).reshape(-1, 2))
    half = max(1, int(0.2 * chart.square * float(np.median(identity.mapping.cell_px(near)))))
    level, noise = (_means(picture, middles, half) for picture in (image, bent))
    a, b, c, d = level.reshape(-1, 4).T
    step = max(float(np.nanmedian(np.abs(a + d - b - c) / 2)), 1e-12)
    spread = float(np.nanmedian(noise)) * np.sqrt(np.pi / 2) / 6
    return Clarity(float(np.sqrt(max(deviation**2 - spread**2, 0.0))) / step, spread / step)


def _means(image: npt.NDArray[np.float32], places: npt.NDArray[np.float64], half: int) -> npt.NDArray[np.float64]:
    """Means of squares of 2 half + 1 pixels; NaN where one leaves the picture."""
    height, width = image.shape
    found = np.full(len(places), np.nan)
    for i, (x, y) in enumerate(np.nan_to_num(places, nan=-1e6).round().astype(int)):
        if half <= x < width - half and half <= y < height - half:
            found[i] = image[y - half : y + half + 1, x - half : x + half + 1].mean()
    return found
