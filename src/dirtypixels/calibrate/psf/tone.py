"""How bright a chart's black and white are over its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic, Kind, Severity
from dirtypixels.calibrate.psf.alignment import Alignment
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.levels import FlatNoise, Levels, patch_levels, window_levels
from dirtypixels.calibrate.psf.mapping import as_points, middle_of, scale_of

_Array = npt.NDArray[np.float64]

_DEGREES = ((150, 6), (45, 4), (20, 3), (0, 2))
"""From how many measurements on a map gets so high a degree."""


@dataclass(frozen=True, eq=False)
class Tone:
    """Smooth maps of the signal that black and white of the chart give over the frame.

    ``white(x, y) = sum_{i + j <= n} c_ij x^i y^j``, the same for black; beyond the chart they are extrapolated.

    Args:
        size: (height, width) of the frame in full-resolution pixels.
        white_coefficients: (n + 1, n + 1) of y^j x^i about the middle of the frame, in units of half its diagonal.
        black_coefficients: the same for black.
        noise: in flat squares, over the level.
        snr_db: of the chart: 20 log10 of half of white minus black over the noise halfway between them.
        bend: by how much the noise blocks are brighter than in linear light, as a share of white minus black.
        residual: root mean square of measured minus fitted levels, beyond what noise explains, as a share of white
            minus black.
        diagnostics: what is worth knowing.
    """

    size: tuple[int, int]
    white_coefficients: _Array
    black_coefficients: _Array
    noise: FlatNoise
    snr_db: float
    bend: float
    residual: float
    diagnostics: tuple[Diagnostic, ...]

    def black(self, points: npt.ArrayLike) -> _Array:
        """(N, 2) full-resolution pixels (x, y) to (N,) signal where the chart is black."""
        return _at(self.black_coefficients, *self._units(points))

    def white(self, points: npt.ArrayLike) -> _Array:
        """(N, 2) full-resolution pixels (x, y) to (N,) signal where the chart is white."""
        return _at(self.white_coefficients, *self._units(points))

    def grids(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> tuple[_Array, _Array]:
        """Black and white at the crossings of full-resolution rows (h,) and columns (w,), each (h, w)."""
        middle, scale = middle_of(self.size), scale_of(self.size)
        x = (np.asarray(columns, dtype=np.float64) - middle[0]) / scale
        y = (np.asarray(rows, dtype=np.float64) - middle[1]) / scale
        found = []
        for c in (self.black_coefficients, self.white_coefficients):
            found.append(np.vander(y, len(c), increasing=True) @ c @ np.vander(x, len(c), increasing=True).T)
        return found[0], found[1]

    def _units(self, points: npt.ArrayLike) -> tuple[_Array, _Array]:
        x, y = ((as_points(points) - middle_of(self.size)) / scale_of(self.size)).T
        return x, y


def tone(
    image: npt.NDArray[Any],
    alignment: Alignment,
    chart: BernoulliChart,
    rows: slice = slice(None),
    columns: slice = slice(None),
    *,
    saturation: float = 1.0,
) -> Tone:
    """Black and white maps from a picture, or from one plane of a mosaic.

    ``level = (1 - f) black(p) + f white(p)``

    The insides of the markers' squares give f = 0 and f = 1. The noise in between gives the mean over a window, with f
    the mean of the sharp chart there, whatever the PSF is. That is used where it agrees with the squares to 1 %;
    where it does not, light is not linear in the picture or the print's black has spread, and a diagnostic says so.

    Args:
        image: (h, w) linear light at the full-resolution pixels [rows, columns]: the whole frame, or one color plane
            with the slices that `raw.frames.plane_slices` gives for it.
        alignment: of the frame.
        chart: the chart.
        rows: which full-resolution rows `image` holds.
        columns: which full-resolution columns `image` holds.
        saturation: the value at which `image` is clipped.

    Raises:
        ValueError: image does not fit the frame and the slices, is not finite, or too few patches are in the frame.
    """
    height, width = alignment.size
    down, across = np.arange(height)[rows], np.arange(width)[columns]
    values = np.asarray(image)
    if values.shape != (len(down), len(across)):
        raise ValueError(
            f"image must have shape {(len(down), len(across))}, the frame's [rows, columns]; found {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("image must be finite; found NaN or infinite values")
    patches, noise, clipped = patch_levels(values, alignment, chart, down, across, saturation)
    count = min(int((patches.share == 0).sum()), int((patches.share == 1).sum()))
    if count < 6:
        raise ValueError(f"image must show at least 6 black and 6 white patches of the chart; found {count}")
    black, white = _fitted(patches, alignment.size)
    windows = window_levels(values, alignment, chart, down, across, noise)
    at = _unit_places(windows.places, alignment.size)
    b, w = _at(black, *at), _at(white, *at)
    bend = float(np.median((windows.value - b) / (w - b) - windows.share)) if len(b) else 0.0
    levels = patches
    if abs(bend) < _AGREES:
        levels = patches + windows
        black, white = _fitted(levels, alignment.size)
    at = _unit_places(levels.places, alignment.size)
    b, w = _at(black, *at), _at(white, *at)
    step = float(np.median(w - b))
    missed = (levels.value - b - levels.share * (w - b)) ** 2 - levels.error**2
    residual = float(np.sqrt(max(missed.mean(), 0.0))) / abs(step)
    deviation = np.sqrt(noise.variance(float(np.median(b + w)) / 2))
    snr = float(20 * np.log10(max(step / 2, 1e-12) / max(deviation, 1e-12)))
    lit = _at(white, *_unit_places(patches.places, alignment.size))
    diagnostics = _diagnostics(b, w, lit, clipped, bend, residual, snr, saturation)
    return Tone(alignment.size, white, black, noise, snr, bend, residual, diagnostics)


_AGREES = 0.01
"""Difference of noise and squares, as a share of white minus black, up to which light is linear in the picture."""

_PRINTED = 0.1
"""Black as a share of white: prints have 0.03 to 0.08."""


def _unit_places(places: _Array, size: tuple[int, int]) -> tuple[_Array, _Array]:
    x, y = ((places - middle_of(size)) / scale_of(size)).T
    return x, y


def _powers(x: _Array, y: _Array, degree: int) -> tuple[_Array, list[tuple[int, int]]]:
    pairs = [(j, i) for j in range(degree + 1) for i in range(degree + 1 - j)]
    return np.stack([y**j * x**i for j, i in pairs], 1), pairs


def _at(coefficients: _Array, x: _Array, y: _Array) -> _Array:
    return np.asarray(np.polynomial.polynomial.polyval2d(y, x, coefficients), dtype=np.float64)


def _fitted(levels: Levels, size: tuple[int, int]) -> tuple[_Array, _Array]:
    """Coefficients of black and white by weighted least squares; levels that are off lose weight (Huber, 5 rounds)."""
    x, y = _unit_places(levels.places, size)
    whites, blacks = float(levels.share.sum()), float((1 - levels.share).sum())
    degree_w, degree_b = (next(d for least, d in _DEGREES if n >= least) for n in (whites, blacks))
    # Black is a few per cent of white, so its map may be smoother.
    degree_b = min(degree_b, 4, degree_w)
    white_powers, white_pairs = _powers(x, y, degree_w)
    black_powers, black_pairs = _powers(x, y, degree_b)
    design = np.concatenate([levels.share[:, None] * white_powers, (1 - levels.share)[:, None] * black_powers], 1)
    step = abs(float(np.median(levels.value[levels.share == 1]) - np.median(levels.value[levels.share == 0])))
    # What no noise explains: paper and light are smooth to a few parts in a thousand only.
    error = np.hypot(levels.error, 0.002 * step + 1e-12)
    weight = np.ones_like(error)
    for _ in range(5):
        scaled = np.sqrt(weight) / error
        found = np.linalg.lstsq(design * scaled[:, None], levels.value * scaled, rcond=None)[0]
        off = np.abs(levels.value - design @ found) / error
        spread = max(1.0, 1.4826 * float(np.median(off)))
        weight = 1 / np.maximum(1.0, off / (2 * spread))
    white, black = np.zeros((degree_w + 1,) * 2), np.zeros((degree_b + 1,) * 2)
    for (j, i), c in zip(white_pairs, found, strict=False):
        white[j, i] = c
    for (j, i), c in zip(black_pairs, found[len(white_pairs) :], strict=True):
        black[j, i] = c
    return black, white


def _diagnostics(
    b: _Array, w: _Array, lit: _Array, clipped: float, bend: float, residual: float, snr: float, saturation: float
) -> tuple[Diagnostic, ...]:
    found: list[Diagnostic] = []

    def say(kind: Kind, failure: bool, message: str) -> None:
        severity: Severity = "failure" if failure else "warning"
        found.append(Diagnostic(kind, severity, message))

    black, white = float(np.median(b)), float(np.median(w))
    step = white - black
    if clipped > 0.003:
        say(
            "saturated", clipped > 0.03,
            f"{100 * clipped:.2g} % of the white patches' pixels are saturated (at {saturation:g}), so white is "
            "brighter than measured. Expose so that white stays below 90 % of saturation",
        )  # fmt: skip
    if step < 0.1 * saturation:
        say(
            "too-dark", step < 0.03 * saturation,
            f"white is only {100 * step / saturation:.1f} % of saturation above black. Expose longer",
        )  # fmt: skip
    if black > _PRINTED * white:
        say(
            "low-contrast", black > 0.7 * white,
            f"black is {100 * black / white:.0f} % of white, where prints have 3 to 8 %: the black level that was "
            "subtracted is too low, or there is glare on the chart, or the print is pale",
        )  # fmt: skip
    if black < 0:
        say(
            "black-level", black < -0.1 * step,
            f"the chart's black lies at {100 * black / step:.1f} % of white minus black, below 0, where no light is: "
            "the black level that was subtracted is too high",
        )  # fmt: skip
    if bend > _AGREES:
        say(
            "non-linear", bend > 0.04,
            f"the noise is brighter than the mean of black and white by {100 * bend:.1f} % of their difference: the "
            "picture is not linear in light (gamma, tone curve). Use raw values",
        )  # fmt: skip
    elif bend < -_AGREES:
        say(
            "dot-gain", bend < -0.12,
            f"the noise is darker than the mean of black and white by {-100 * bend:.1f} % of their difference: the "
            "print's black cells are too large (dot gain), or the picture is not linear in light. Print larger cells",
        )  # fmt: skip
    if lit.min() < 0.25 * lit.max():
        say(
            "uneven", False,
            f"white falls to {100 * lit.min() / lit.max():.0f} % of its highest value over the frame; light the chart "
            "evenly",
        )  # fmt: skip
    if residual > 0.015:
        say(
            "uneven", residual > 0.05,
            f"levels differ from a smooth map by {100 * residual:.1f} % rms of white minus black: shadows, reflections "
            "or stains on the chart",
        )  # fmt: skip
    if snr < 15:
        say("noisy", snr < 8, f"the chart's signal to noise ratio is {snr:.0f} dB; average several frames")
    return tuple(found)
