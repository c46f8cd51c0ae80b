"""A lens, measured: captures of a chart to PSFs over the field, with a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels.calibrate import diagnostics as limits
from dirtypixels.calibrate.diagnostics import Diagnostic, Kind, verdict
from dirtypixels.calibrate.psf.blocks import Blocks, between, filled
from dirtypixels.calibrate.psf.capture import ChartCapture
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.estimates import MISFIT_SHARE, Estimates, Quality, estimate
from dirtypixels.calibrate.psf.mapping import hats
from dirtypixels.camera import PsfField
from dirtypixels.raw.agreement import check_same_camera, check_same_lens
from dirtypixels.raw.folders import read_frames
from dirtypixels.raw.frames import Frame

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Capture = str | Path | Frame | npt.NDArray[Any]

SIZES = (11, 31)
"""Least and largest side of the PSFs that is chosen where none is given."""

_STEPS = 100
"""Steps of progress for each capture's alignment; its blocks take three times as long."""


class MeasuredField(PsfField):
    """PSFs over the field as they were measured, block by block.

    A PSF does not contain the pixels' aperture: the sharp correspondence has it. Each block's PSFs are about the
    centroid of green, as a shift of all of them cannot be told from distortion; lateral color stays. R x C blocks tile
    the frame; the field's nodes are made from their middles by `Blocks.nodes`.

    Args:
        blocks: (R, C, 1|3, k, k) PSF of each block, those that are not trusted filled from their neighbors.
        grid: where the blocks lie.
        quality: of each block's PSF; of it the field keeps `quality`, the predicted relative l2 errors (R, C, 1|3), and
            `residual`, the rms of measured - fitted over the noise expected (R, C, 1|3).
        reasons: (R, C) why a block is not trusted; "" where it is.
        captures: the captures.
        alignment_rms_px: root mean square error of each capture's alignment, in pixels.
        diagnostics: what is worth knowing.
        source: where the PSFs come from.
        pitch_um: distance of pixels on the sensor; None where it is not known.

    Example:
        >>> import numpy as np
        >>> from dirtypixels.calibrate.psf.blocks import Blocks
        >>> from dirtypixels.calibrate.psf.estimates import Quality
        >>> one, fine = np.ones((2, 3, 1)), np.full((2, 3), "")
        >>> spots, grid = np.ones((2, 3, 1, 5, 5)) / 25, Blocks((200, 300), 2, 3)
        >>> quality = Quality(noise=0.02 * one, misfit=0 * one, residual=one, failed=fine)
        >>> field = MeasuredField(spots, grid, quality, fine, ["chart.dng"], [0.01], (), "made up", None)
        >>> tuple(field.psfs.shape), field.passed, int(field.trusted.sum())
        ((5, 7, 1, 5, 5), True, 6)
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
        self.quality, self.residual = quality.error, quality.residual
        self.diagnostics = tuple(diagnostics)
        self.passed, self.reason = verdict(self.diagnostics)

    @property
    def trusted(self) -> Bools:
        """(R, C) whether a block's PSFs are its own."""
        return np.asarray(self.reasons == "")


def psf_field(
    capture: Capture | Sequence[Capture],
    chart: BernoulliChart,
    *,
    pitch_um: float | None = None,
    size: int | None = None,
    blocks: tuple[int, int] | None = None,
    aperture: float = 1.0,
    partial: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> MeasuredField:
    """The PSFs of a lens over its field, from one capture of a chart or several.

    ``measured(n) = o + sum_m k(m) sharp(n - m)`` at the samples of one color in one block, several captures together

    Each capture is aligned with the chart, and its planes are put on the chart's own scale (0 black, 1 white), which
    takes away vignetting and black level. A first look at green in every block gives its centroid, by which the sharp
    correspondence is moved, so that PSFs need not be. Then every block and color is solved; and solved again with what
    the PSF's change within the block does taken away, as far as the neighbors tell it: linear, by central differences.

    Args:
        capture: one or several of one camera with the same focus and aperture: frames, files, a folder of files (see
            `read_frames`), or arrays (H, W) of a monochrome sensor's linear signal, black 0 and white 1. The chart
            should fill the frame, its cells 1.2 to 1.6 pixels wide.
        chart: that was photographed.
        pitch_um: distance of the sensor's pixels in micrometers, > 0, which people may want to see sizes in; None where
            it is not known.
        size: side of the PSFs in full-resolution pixels, odd, 5 to 61; None chooses 11 to 31 by the blur seen.
        blocks: (rows, columns) of blocks; None chooses by size and noise, up to 9 x 12, and once more, up to 12 x 16,
            where that shows that the PSF changes fast over the field.
        aperture: side of a pixel's light-sensitive square in pixels, in (0, 2].
        partial: take a chart that is cut off by the frame.
        progress: called with steps done and steps in all.

    Raises:
        TypeError: capture is nothing of the kind.
        FileNotFoundError: there is no such file.
        ValueError: an argument is out of range, frames do not belong together, a level is unknown, blocks have too few
            samples, or a capture cannot be used (see `align` and `flat_field`); the message names it.
        RuntimeError: OpenCV is not installed.

    Source: Delbracio et al. 2012 (least squares against the sharp pattern); Mosleh et al., CVPR 2015 (blocks, colors,
    non-negativity, sum 1); see `solve` for the regularization.

    Example:
        >>> import torch
        >>> from dirtypixels.calibrate.simulate import Pose, realistic_camera
        >>> chart = BernoulliChart.for_sensor(360, 270, cell_px=1.4)
        >>> camera = realistic_camera(height=270, width=360, cfa=None)
        >>> frame = camera.photograph(chart, generator=torch.Generator().manual_seed(0), pose=Pose(fill=1.04))
        >>> field = psf_field(frame, chart, size=9, blocks=(2, 3), partial=True)
        >>> field.passed, tuple(field.psfs.shape), bool(field.quality.max() < 0.05)
        (True, (5, 7, 1, 9, 9), True)
    """
    frames = _frames(capture)
    if pitch_um is not None and not 0 < pitch_um < math.inf:
        raise ValueError(f"pitch_um must be finite and above 0; found {pitch_um}")
    if not 0 < aperture <= 2:
        raise ValueError(f"aperture must be in (0, 2]; found {aperture:g}")
    if size is not None and not (isinstance(size, int | np.integer) and size % 2 == 1 and 5 <= size <= 61):
        raise ValueError(f"size must be an odd integer from 5 to 61; found {size}")
    if blocks is not None and len(blocks) != 2:
        raise ValueError(f"blocks must be two numbers (rows, columns); found {len(blocks)}")
    check_same_camera(frames)
    check_same_lens(frames)
    height, width = frames[0].values.shape
    step = 1 if frames[0].cfa is None else 2
    grid = None if blocks is None else Blocks((height, width), *blocks)
    total = len(frames) * (1 + 3 * (1 if grid else 2))

    def report(done: float) -> None:
        if progress is not None:
            progress(round(_STEPS * done), _STEPS * total)

    captures, diagnostics = [], []
    for number, frame in enumerate(frames):
        report(number)
        whose = f"{frame.name}: " if len(frames) > 1 else ""
        try:
            captures.append(ChartCapture.of(frame, chart, partial=partial))
        except ValueError as error:
            raise ValueError(f"{whose}{error}") from error
        diagnostics += [replace(one, message=whose + one.message) for one in captures[-1].diagnostics]
    # Six standard deviations of nearly the widest blur to each side.
    widest = max(float(np.percentile(one.alignment.shifts.blur.max(1), 90)) for one in captures)
    wanted = max(2 * math.ceil(6 * widest) + 1, SIZES[0])
    side = min(wanted, SIZES[1]) if size is None else int(size)
    if grid is None:
        # 20 log10 of white less black over the noise, of the darkest plane of all captures together
        worst = min(plane.snr_db for one in captures for plane in one.flat_fields.values())
        snr_db = worst + 20 * math.log10(2) + 10 * math.log10(len(captures))
        grid = Blocks.for_size((height, width), side, step, snr_db)
    rows, columns = grid.of((0, 0))
    samples = ((rows.stop - rows.start) // step) * ((columns.stop - columns.start) // step)
    if samples < 4 * side**2:
        raise ValueError(
            f"size and blocks must leave 4 samples of each color for each of the PSF's {side} x {side} taps; found "
            f"{samples} samples in each of {grid.rows} x {grid.columns} blocks. Use fewer blocks or a smaller size"
        )

    def estimated(grid: Blocks, begin: int, centroids: Floats | None = None) -> Estimates:
        return estimate(
            captures, grid, side, aperture, centroids, lambda share: report(len(frames) * (begin + 3 * share))
        )

    found = estimated(grid, 1)
    if blocks is None and (finer := _finer(grid, side, step, found)) != grid:
        down, across = (hats(old, new) for old, new in zip(grid.middles, finer.middles, strict=True))
        grid, found = finer, estimated(finer, 4, np.einsum("ir,jc,rcd->ijd", down, across, found.centroids))
    report(total)
    reasons = found.quality.reasons()
    trusted = np.asarray(reasons == "")
    if not trusted.any():
        raise ValueError(
            f"capture gives no PSF that can be trusted in any of {grid.rows} x {grid.columns} blocks; the first has "
            f"{reasons[0, 0]}"
        )
    diagnostics += block_diagnostics(found.quality, reasons, found.psfs)
    if size is None and wanted > side:
        message = (
            f"the blur seen asks for PSFs of {wanted} x {wanted} pixels, and {side} x {side} is the most that is "
            f"chosen: give a size of {wanted} (which takes longer), or focus again"
        )
        diagnostics.append(Diagnostic("psf-size", "warning", message))
    return MeasuredField(
        filled(found.psfs, trusted),
        grid,
        found.quality,
        reasons,
        [frame.name for frame in frames],
        [one.alignment.rms_px for one in captures],
        diagnostics,
        _source(frames, chart, grid, side, aperture, trusted),
        pitch_um,
    )


def block_diagnostics(quality: Quality, reasons: npt.NDArray[np.object_], psfs: Floats) -> list[Diagnostic]:
    """What the blocks say together.

    Args:
        quality: of the blocks.
        reasons: (R, C), of `Quality.reasons`.
        psfs: (R, C, channels, k, k) before any was filled.
    """
    trusted = np.asarray(reasons == "")
    found = []
    if bad := int((~trusted).sum()):
        listed = "; ".join(f"({i + 1}, {j + 1}) {reasons[i, j]}" for i, j in np.argwhere(~trusted)[:6])
        more = f"; and {bad - 6} more" if bad > 6 else ""
        message = (
            f"{bad} of {trusted.size} blocks cannot be trusted and were filled from their neighbors: "
            f"(row, column) {listed}{more}"
        )
        failed = bad > limits.UNTRUSTED_FAILURE * trusted.size
        found.append(Diagnostic("untrusted-blocks", "failure" if failed else "warning", message))
    if not trusted.any():
        return found
    error, misfit = (each[trusted].max(-1) for each in (quality.error, quality.misfit))
    message = (
        f"predicted relative error of the PSFs: median {100 * np.median(error):.1f} %, worst of a trusted block "
        f"{100 * error.max():.1f} %"
    )
    found.append(Diagnostic("psf-error", "warning" if np.median(error) > limits.PSF_ERROR else "note", message))
    apart = between(filled(psfs, trusted), np.where(trusted[..., None], quality.error, np.nan)).max(-1)
    rim = 1 - psfs[trusted][..., 1:-1, 1:-1].sum((-2, -1)).min(-1)
    size, cut = psfs.shape[-1], int((rim > limits.PSF_CUT_OFF).sum())
    judged: tuple[tuple[Kind, bool, str], ...] = (
        (
            "psf-changes", MISFIT_SHARE * np.median(misfit) > limits.PSF_CHANGES,
            f"{100 * np.median(misfit):.0f} % of the chart's contrast are neither noise nor what the PSFs explain: "
            "they change fast over the field (more blocks follow it, several captures make up for the noise of small "
            "ones), or something moved",
        ),
        (
            "psf-between", np.median(apart) > limits.PSF_BETWEEN,
            "between the blocks, where PSFs are interpolated, they may be off by another "
            f"{100 * np.median(apart):.0f} % (median; up to {100 * apart.max():.0f} %), as they change fast from block "
            "to block; more blocks follow them better",
        ),
        (
            "psf-cut-off", cut > 0,
            f"{cut} blocks have more than {100 * limits.PSF_CUT_OFF:.0f} % of their light in the outermost taps (up to "
            f"{100 * rim.max():.0f} %): PSFs are larger than {size} x {size} pixels; measure with a size of {size + 8} "
            "or more",
        ),
    )  # fmt: skip
    return found + [Diagnostic(kind, "warning", message) for kind, told, message in judged if told]


def _frames(capture: Capture | Sequence[Capture]) -> list[Frame]:
    frames: list[Frame] = []
    for one in [capture] if isinstance(capture, Frame | str | Path | np.ndarray) else capture:
        if isinstance(one, Frame):
            frames.append(one)
        elif isinstance(one, np.ndarray) and one.dtype.kind == "f":
            frames.append(Frame(one.astype(np.float32), black=(0.0, 0.0, 0.0, 0.0), white=1.0))
        elif isinstance(one, str | Path):
            frames.extend(read_frames(one))
        else:
            kind = f"array of {one.dtype}" if isinstance(one, np.ndarray) else type(one).__name__
            raise TypeError(
                f"capture must be a Frame, a file or folder, an array of floats (H, W), or several; found {kind}"
            )
    if not frames:
        raise TypeError("capture must be a Frame or frames, at least one; found none")
    return frames


def _finer(grid: Blocks, size: int, step: int, found: Estimates) -> Blocks:
    """Finer blocks where the PSF's change within and between these is more than their noise."""
    known = np.asarray(np.isfinite(found.quality.noise).all(-1))
    if not known.any():
        return grid
    # Halfway it is largest; its root mean square over all places between two middles is sqrt(8 / 15) of that.
    apart = math.sqrt(8 / 15) * between(filled(found.psfs, known), found.quality.error)
    change = np.hypot(found.quality.change, apart)[known]
    return grid.refined(size, step, float(np.median(found.quality.noise[known])), float(np.median(change)))


def _source(
    frames: Sequence[Frame], chart: BernoulliChart, grid: Blocks, size: int, aperture: float, trusted: Bools
) -> str:
    bad = np.argwhere(~trusted) + 1
    colors = "monochrome" if frames[0].cfa is None else "red, green and blue"
    whose = "" if frames[0].camera is None else f" of {frames[0].camera}"
    said = [
        f"Measured{whose} from {len(frames)} capture{'s' * (len(frames) > 1)} of a Bernoulli chart with dirtypixels",
        f"The chart has {chart.rows} x {chart.columns} fields and seed {chart.seed}",
        f"Least squares with non-negative taps for {size} x {size} pixels, {colors}, in each of {grid.rows} x "
        f"{grid.columns} blocks; each block's PSFs are about the centroid of green, lateral color stays",
        f"They do not contain the pixel's aperture (a square of {aperture:g} pixels)",
        "Nodes lie at the middles of the blocks, between them and at the border, from a parabola through the blocks; "
        "beyond the outermost middles the change from block to block goes on",
    ]
    if len(bad):
        places = ", ".join(f"({i}, {j})" for i, j in bad)
        said.append(
            f"{len(bad)} blocks could not be trusted and are distance-weighted means of the nearest trusted ones: "
            f"(row, column) {places}"
        )
    return ". ".join(said) + "."
