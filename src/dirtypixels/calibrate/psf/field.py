"""A lens, measured: captures of a chart to PSFs over the field, with a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf.blocks import Blocks
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.estimates import Estimates, estimate
from dirtypixels.calibrate.psf.measured_field import MeasuredField
from dirtypixels.calibrate.psf.quality import between, block_diagnostics, filled
from dirtypixels.calibrate.psf.shots import Shot, shoot
from dirtypixels.camera import NoiseLevel
from dirtypixels.raw.agreement import check_same_camera, check_same_lens
from dirtypixels.raw.folders import read_frames
from dirtypixels.raw.frames import Frame

Floats = npt.NDArray[np.float64]
Report = Callable[[int, int], object]
Capture = str | Path | Frame | npt.NDArray[Any]

SIZES = (11, 31)
"""Least and largest side of the PSFs that is chosen where none is given."""


def psf_field(
    capture: Capture | Sequence[Capture],
    chart: BernoulliChart,
    *,
    pitch_um: float | None = None,
    size: int | None = None,
    blocks: tuple[int, int] | None = None,
    black: float | tuple[float, float, float, float] | None = None,
    white: float | None = None,
    noise: NoiseLevel | None = None,
    aperture: float = 1.0,
    partial: bool = False,
    progress: Report | None = None,
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
        black: level in DN, one for all or one for each place of the 2 x 2 pattern; None takes the frame's.
        white: level in DN; None takes the frame's.
        noise: of the captures, in units of the signal, floats or one for each color; the residual is judged by it.
            None takes the noise of the chart's flat squares.
        aperture: side of a pixel's light-sensitive square in pixels, in (0, 2].
        partial: take a chart that is cut off by the frame.
        progress: called with steps done and steps in all.

    Raises:
        TypeError: capture is nothing of the kind.
        FileNotFoundError: there is no such file.
        ValueError: an argument is out of range, frames do not belong together, a level is unknown, blocks have too few
            samples, or a capture cannot be used (see `align` and `tone`); the message names it.
        RuntimeError: OpenCV is not installed.

    Source: Delbracio et al. 2012 (least squares against the sharp pattern); Mosleh et al., CVPR 2015 (blocks, colors,
    non-negativity, sum 1); see `solve` for the regularization.
    """
    frames = _frames(capture)
    if pitch_um is not None and not 0 < pitch_um < math.inf:
        raise ValueError(f"pitch_um must be finite and above 0; found {pitch_um}")
    if not 0 < aperture <= 2:
        raise ValueError(f"aperture must be in (0, 2]; found {aperture:g}")
    if size is not None and not (isinstance(size, int | np.integer) and size % 2 == 1 and 5 <= size <= 61):
        raise ValueError(f"size must be an odd integer from 5 to 61; found {size}")
    check_same_camera(frames)
    check_same_lens(frames)
    frame_size, step = (frames[0].values.shape[0], frames[0].values.shape[1]), 1 if frames[0].cfa is None else 2
    if blocks is not None and len(blocks) != 2:
        raise ValueError(f"blocks must be two numbers (rows, columns); found {len(blocks)}")
    grid = None if blocks is None else Blocks(frame_size, *blocks)
    steps = _Steps(progress, len(frames), 1 if grid else 2)
    shots = []
    for number, frame in enumerate(frames):
        steps.of_captures(number)
        shots.append(_shot(frame, chart, black, white, partial, len(frames)))
    wanted = _size_for(shots)
    side = int(np.clip(wanted, *SIZES)) if size is None else int(size)
    grid = grid or Blocks.for_size(frame_size, side, step, _snr_db(shots))
    _check_samples(grid, side, step)
    found = estimate(shots, grid, side, aperture, noise, steps.of_pass(0))
    if blocks is None and (finer := _finer(grid, side, step, found)) != grid:
        grid = finer
        found = estimate(shots, grid, side, aperture, noise, steps.of_pass(1))
    steps.done()
    reasons = found.quality.reasons()
    trusted = reasons == ""
    diagnostics = _capture_diagnostics(shots, frames) + block_diagnostics(found.quality, reasons, found.psfs)
    if size is None and wanted > side:
        diagnostics += (_wider(wanted, side),)
    if not trusted.any():
        raise ValueError(
            f"capture gives no PSF that can be trusted in any of {grid.rows} x {grid.columns} blocks; the first has "
            f"{reasons[0, 0]}"
        )
    return MeasuredField(
        filled(found.psfs, trusted),
        grid,
        found.quality,
        reasons,
        [frame.name for frame in frames],
        [shot.alignment.rms_px for shot in shots],
        diagnostics,
        _source(frames, chart, grid, found, aperture, trusted),
        pitch_um,
    )


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


def _shot(frame: Frame, chart: BernoulliChart, black: Any, white: float | None, partial: bool, count: int) -> Shot:
    try:
        return shoot(frame, chart, black, white, partial)
    except ValueError as error:
        if count == 1:
            raise
        raise ValueError(f"{frame.name}: {error}") from error


def _finer(grid: Blocks, size: int, step: int, found: Estimates) -> Blocks:
    """Finer blocks where the PSF's change within and between these is more than their noise."""
    known = np.asarray(np.isfinite(found.quality.noise).all(-1))
    if not known.any():
        return grid
    # Halfway it is largest; its root mean square over all places between two middles is sqrt(8 / 15) of that.
    apart = math.sqrt(8 / 15) * between(filled(found.psfs, known), found.quality.error)
    change = np.hypot(found.quality.change, apart)[known]
    return grid.refined(size, step, float(np.median(found.quality.noise[known])), float(np.median(change)))


class _Steps:
    """Progress over the captures and then the blocks, once or twice, which take three times as long as the captures."""

    def __init__(self, progress: Report | None, captures: int, passes: int) -> None:
        self.progress, self.captures, self.total = progress, captures, captures * (1 + 3 * passes)

    def of_captures(self, number: int) -> None:
        if self.progress is not None:
            self.progress(number, self.total)

    def of_pass(self, which: int) -> Report | None:
        report, captures, total = self.progress, self.captures, self.total
        if report is None:
            return None
        return lambda done, blocks: report(captures * ((1 + 3 * which) * blocks + 3 * done), total * blocks)

    def done(self) -> None:
        self.of_captures(self.total)


def _size_for(shots: Sequence[Shot]) -> int:
    """Six standard deviations of nearly the widest blur to each side, but 11 at least."""
    widest = max(float(np.percentile(shot.alignment.shifts.blur.max(1), 90)) for shot in shots)
    return max(2 * math.ceil(6 * widest) + 1, SIZES[0])


def _wider(wanted: int, side: int) -> Diagnostic:
    return Diagnostic(
        "psf-size",
        "warning",
        f"the blur seen asks for PSFs of {wanted} x {wanted} pixels, and {side} x {side} is the most that is chosen: "
        f"give a size of {wanted} (which takes longer), or focus again",
    )


def _snr_db(shots: Sequence[Shot]) -> float:
    """20 log10 of white less black over the noise, of the darkest plane of all captures together."""
    worst = min(tone.snr_db for shot in shots for tone in shot.tones.values())
    return worst + 20 * math.log10(2) + 10 * math.log10(len(shots))


def _check_samples(grid: Blocks, size: int, step: int) -> None:
    rows, columns = grid.of((0, 0))
    samples = ((rows.stop - rows.start) // step) * ((columns.stop - columns.start) // step)
    if samples < 4 * size**2:
        raise ValueError(
            f"size and blocks must leave 4 samples of each color for each of the PSF's {size} x {size} taps; found "
            f"{samples} samples in each of {grid.rows} x {grid.columns} blocks. Use fewer blocks or a smaller size"
        )


def _capture_diagnostics(shots: Sequence[Shot], frames: Sequence[Frame]) -> tuple[Diagnostic, ...]:
    if len(shots) == 1:
        return shots[0].diagnostics
    return tuple(
        Diagnostic(f.kind, f.severity, f"{frame.name}: {f.message}")
        for shot, frame in zip(shots, frames, strict=True)
        for f in shot.diagnostics
    )


def _source(
    frames: Sequence[Frame],
    chart: BernoulliChart,
    grid: Blocks,
    found: Estimates,
    aperture: float,
    trusted: npt.NDArray[np.bool_],
) -> str:
    size, bad = found.psfs.shape[-1], np.argwhere(~trusted) + 1
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
