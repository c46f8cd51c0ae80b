"""PSFs over the field as they were measured, with how far each can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels.calibrate.diagnostics import Diagnostic, verdict
from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.quality import Quality
from dirtypixels.camera import PsfField

Floats = npt.NDArray[np.float64]


class MeasuredField(PsfField):
    """PSFs over the field as they were measured, block by block.

    A PSF does not contain the pixels' aperture: the sharp correspondence has it. Each block's PSFs are about the
    centroid of green, as a shift of all of them cannot be told from distortion; lateral color stays. R x C blocks tile
    the frame; the field's nodes are made from their middles by `Blocks.nodes`.

    Args:
        blocks: (R, C, 1|3, k, k) PSF of each block, those that are not trusted filled from their neighbors.
        grid: where the blocks lie.
        quality: of each block's PSF.
        reasons: (R, C) why a block is not trusted; "" where it is.
        captures: the captures.
        alignment_rms_px: root mean square error of each capture's alignment, in pixels.
        diagnostics: what is worth knowing.
        source: where the PSFs come from.
        pitch_um: distance of pixels on the sensor; None where it is not known.
    """

    def __init__(
        self,
        blocks: Floats,
        grid: Blocks,
        quality: Quality,
        reasons: npt.NDArray[np.object_],
        captures: Sequence[str],
        alignment_rms_px: Sequence[float],
        diagnostics: Sequence[Diagnostic],
        source: str,
        pitch_um: float | None,
    ) -> None:
        error = quality.error * np.linalg.norm(blocks, axis=(-2, -1))
        nodes = grid.nodes(blocks, np.where(reasons[..., None] == "", error, np.nan))
        super().__init__(torch.from_numpy(nodes).float(), source, pitch_um)
        self.blocks, self.grid, self.reasons = blocks, grid, reasons
        self.captures, self.alignment_rms_px = tuple(captures), tuple(alignment_rms_px)
        self.residual, self.quality, self.misfit = quality.residual, quality.error, quality.misfit
        self.inside, self.clipped = quality.inside, quality.clipped
        self.diagnostics = tuple(diagnostics)
        self.passed, self.reason = verdict(self.diagnostics)

    @property
    def trusted(self) -> npt.NDArray[np.bool_]:
        """(R, C) whether a block's PSFs are its own."""
        return np.asarray(self.reasons == "")
