"""A lens with everything known: blur that changes over the field, and light lost towards the corners."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels.blur import FieldBlur
from dirtypixels.camera import PsfField

Floats = npt.NDArray[np.float64]


class Lens:
    """Blur and vignetting over a frame.

    Args:
        optics: PSFs over the field, whose samples are taken to be one pixel apart; None for a sharp lens.
        height, width: of the frame, in pixels.
        vignetting: part of the light that is lost in the frame's corners, in [0, 1).

    Raises:
        ValueError: vignetting is out of range.
    """

    def __init__(self, optics: PsfField | None, height: int, width: int, vignetting: float = 0.0) -> None:
        if not 0 <= vignetting < 1:
            raise ValueError(f"vignetting must be in [0, 1); found {vignetting}")
        self.psfs = None if optics is None else optics.psfs
        self.height, self.width, self.vignetting = height, width, vignetting

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns beyond each border of the frame whose light comes into it."""
        return (0, 0) if self.psfs is None else (self.psfs.shape[-2] // 2, self.psfs.shape[-1] // 2)

    def blurred(self, sharp: npt.NDArray[np.float32], channel: int) -> npt.NDArray[np.float32]:
        """What red, green or blue (0, 1, 2) sees of a sharp frame that is larger by `reach` on every side: (H, W)."""
        if self.psfs is None:
            return sharp
        at = channel if self.psfs.shape[2] == 3 else 0
        blur = FieldBlur(self.psfs[:, :, at : at + 1].float(), "crop")
        found = blur.forward(torch.from_numpy(sharp)[None, None])[0, 0].numpy()
        # Fourier transforms round: what was at least 0 before a blur is at least 0 afterwards, but for their errors.
        return np.asarray(np.maximum(found, 0.0, out=found))

    def falloff(self) -> Floats:
        """(H, W), the light that vignetting leaves: 1 in the center.

        ``cos^4 = (1 + t^2 r^2)^-2``, r the distance from the center in half diagonals, t such that the corner loses as
        much as `vignetting` says
        """
        t2 = (1 - self.vignetting) ** -0.5 - 1
        unit = math.hypot(self.height, self.width) / 2
        y = (np.arange(self.height)[:, None] - (self.height - 1) / 2) / unit
        x = (np.arange(self.width) - (self.width - 1) / 2) / unit
        return np.asarray((1 + t2 * (x**2 + y**2)) ** -2)

    def psf_over(self, rows: slice, columns: slice) -> Floats:
        """The true PSF over a block of pixels, (C, kh, kw): the mean of its pixels' PSFs.

        Raises:
            ValueError: the lens is sharp, or the block is empty.
        """
        if self.psfs is None:
            raise ValueError("this camera has no PSF field: its lens is sharp")
        down, across = (
            _node_weights(range(size)[part], size, nodes)
            for part, size, nodes in ((rows, self.height, len(self.psfs)), (columns, self.width, self.psfs.shape[1]))
        )
        return np.asarray(np.einsum("r,c,rckij->kij", down, across, self.psfs.double().numpy()))


def _node_weights(pixels: range, size: int, nodes: int) -> Floats:
    """Mean weight of each node of a field over some of its frame's pixels, by linear interpolation."""
    if not pixels:
        raise ValueError("rows and columns must hold at least one pixel")
    at = (np.asarray(pixels) + 0.5) / size * (nodes - 1)
    return np.asarray(np.maximum(0.0, 1 - np.abs(at - np.arange(nodes)[:, None])).mean(1))
