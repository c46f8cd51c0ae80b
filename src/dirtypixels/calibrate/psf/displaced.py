"""A map from chart to picture that is moved aside a little, by other amounts in other places."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf.mapping import Mapping, Points, as_points

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Displaced(Mapping):
    """A map that shows at pixel p what the plain one shows at ``p + shift(p)``, bilinear between the middles of blocks.

    That is how PSFs are moved onto their centroids c, without interpolating them: for shift = -c the sharp
    correspondence lies c further on, and what the PSF has to move is c less.

    Args:
        plain: the map that is moved.
        rows: (R,) rows of the blocks' middles in pixels, increasing.
        columns: (C,) columns of the blocks' middles.
        shifts: (R, C, 2) shift (x, y) in pixels in each middle; beyond the outermost it stays the same.
    """

    plain: Mapping = field(kw_only=True)
    rows: Floats = field(kw_only=True)
    columns: Floats = field(kw_only=True)
    shifts: Floats = field(kw_only=True)

    def to_chart(self, points: npt.ArrayLike) -> Points:
        """(N, 2) pixels (x, y) to chart coordinates; NaN where no point of the chart's plane is seen."""
        found = as_points(points)
        down, across = hats(self.rows, found[:, 1]), hats(self.columns, found[:, 0])
        return self.plain.to_chart(found + np.einsum("nr,nc,rcd->nd", down, across, self.shifts))

    def to_image(self, points: npt.ArrayLike) -> Points:
        """Not there: nothing here needs it, and the plain map's would be another one's inverse."""
        raise NotImplementedError("a displaced map leads from the picture to the chart only")


def displaced(mapping: Mapping, rows: Floats, columns: Floats, shifts: Floats) -> Displaced:
    """A map moved aside, see `Displaced`."""
    parts = (mapping.size, mapping.homography, mapping.distortion, mapping.rest)
    return Displaced(*parts, plain=mapping, rows=rows, columns=columns, shifts=shifts)


def hats(nodes: Floats, at: Floats) -> Floats:
    """(N, nodes) weights of linear interpolation between nodes, constant beyond the outermost."""
    place = np.interp(at, nodes, np.arange(len(nodes)))
    return np.asarray(np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(len(nodes)))))
