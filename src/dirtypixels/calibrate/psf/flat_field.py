"""How bright a chart's black and white are over its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import polynomial

from dirtypixels.calibrate import diagnostics as limits
from dirtypixels.calibrate.diagnostics import Diagnostic, Kind
from dirtypixels.calibrate.psf.alignment import Alignment, window_centers, window_px
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import opencv
from dirtypixels.calibrate.psf.coverage import window_fractions
from dirtypixels.calibrate.psf.mapping import as_points, middle_of, scale_of

Floats = npt.NDArray[np.float64]

PSF_REACH_PX = 10.0
"""How far from a square's edge its interior begins, where the square is large enough."""

CLIPPED = 0.999
"""Part of the white level from which a sample counts as saturated."""

_DEGREES = ((150, 6), (45, 4), (20, 3), (0, 2))
"""From how many measurements a map gets so high a degree."""

_SMOOTH = 0.002
"""Of white less black: paper and light are smooth to a few parts in a thousand only."""


class Levels(NamedTuple):
    """Measured levels: places (N, 2), value, white share of what was seen there, standard error; each (N,)."""

    places: Floats
    value: Floats
    share: Floats
    error: Floats


class FlatNoise(NamedTuple):
    """Noise of a sample over its level, ``variance = dark + slope * level``; in units of the picture."""

    dark: float
    slope: float

    def variance(self, level: float) -> float:
        """Of a sample whose level lies between the chart's black and white, or near them; never below 0."""
        return max(self.dark + self.slope * level, 0.0)


@dataclass(frozen=True, eq=False)
class FlatField:
    """Smooth maps of the signal that black and white of the chart give over the frame.

    ``white(x, y) = sum_{i + j <= n} c_ji y^j x^i``, the same for black; beyond the chart they are extrapolated.

    Args:
        size: (height, width) of the frame in full-resolution pixels.
        black: (n + 1, n + 1) c_ji about the middle of the frame, in units of half its diagonal.
        white: the same for white.
        noise: in flat squares, over the level.
        typical: black and white where they were measured, medians.
        snr_db: of the chart: 20 log10 of half of white minus black over the noise halfway between them.
        bend: by how much the noise blocks are brighter than in linear light, as a share of white minus black.
        residual: root mean square of measured minus fitted levels, beyond what noise explains, as a share of white
            minus black.
        diagnostics: what is worth knowing.
    """

    size: tuple[int, int]
    black: Floats
    white: Floats
    noise: FlatNoise
    typical: tuple[float, float]
    snr_db: float
    bend: float
    residual: float
    diagnostics: tuple[Diagnostic, ...]

    def at(self, points: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Black and white, each (N,), at (N, 2) full-resolution pixels (x, y)."""
        return _at((self.black, self.white), as_points(points), self.size)

    def grids(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """Black and white at the crossings of full-resolution rows (h,) and columns (w,), each (h, w)."""
        middle, scale = middle_of(self.size), scale_of(self.size)
        y, x = (rows - middle[1]) / scale, (columns - middle[0]) / scale
        return polynomial.polygrid2d(y, x, self.black), polynomial.polygrid2d(y, x, self.white)


def flat_field(
    signal: npt.NDArray[Any],
    alignment: Alignment,
    chart: BernoulliChart,
    where: tuple[slice, slice] = (slice(None), slice(None)),
) -> FlatField:
    """Black and white maps from a frame, or from one plane of a mosaic.

    ``level = (1 - f) black(p) + f white(p)``

    The insides of the markers' squares give f = 0 and f = 1. The noise in between gives the mean over a window, with f
    the mean of the sharp chart there, whatever the PSF is. That is used where it agrees with the squares to 1 %;
    where it does not, light is not linear in the picture or the print's black has spread, and a diagnostic says so.
    Nothing is said of the black level that was subtracted, except where black is no print's: PSFs do not depend on it.

    Args:
        signal: (H, W) linear light of the frame, finite; the white level is 1.
        alignment, chart: of the frame.
        where: rows and columns of the plane, as `raw.frames.plane_slices` gives them.

    Raises:
        ValueError: too few patches are in the frame, or its white is not brighter than its black in all of them.
    """
    patches, noise, clipped = patch_levels(signal, alignment, chart, where)
    count = min(int((patches.share == 0).sum()), int((patches.share == 1).sum()))
    if count < 6:
        raise ValueError(f"signal must show at least 6 black and 6 white patches of the chart; found {count}")
    windows = _window_levels(signal, alignment, chart, where, noise)
    maps = _fitted(patches, alignment.size)
    b, w = _at(maps, windows.places, alignment.size)
    bend = float(np.median((windows.value - b) / (w - b) - windows.share)) if len(b) else 0.0
    levels = patches
    if abs(bend) < limits.NON_LINEAR_WARNING:
        levels = Levels(*(np.concatenate(both) for both in zip(patches, windows, strict=True)))
        maps = _fitted(levels, alignment.size)
    b, w = _at(maps, patches.places, alignment.size)
    lit = float(w.min() / w.max())
    if not (wrong := w <= b).any():
        b, w = _at(maps, levels.places, alignment.size)
    step, middle = float(np.median(w - b)), float(np.median(b + w)) / 2
    snr = float(20 * np.log10(max(step / 2, 1e-12) / max(np.sqrt(noise.variance(middle)), 1e-12)))
    if wrong.any():
        raise ValueError(
            f"signal must show white brighter than black all over the chart; at {int(wrong.sum())} of {len(wrong)} "
            f"squares its maps of them do not, at a signal to noise ratio of {snr:.0f} dB. Average several frames, or "
            "light the chart more evenly"
        )
    missed = (levels.value - b - levels.share * (w - b)) ** 2 - levels.error**2
    residual = float(np.sqrt(max(missed.mean(), 0.0))) / step
    typical = float(np.median(b)), float(np.median(w))
    found = _diagnostics(*typical, lit, clipped, bend, residual, snr)
    return FlatField(alignment.size, *maps, noise, typical, snr, bend, residual, found)


def patch_levels(
    signal: npt.NDArray[Any], alignment: Alignment, chart: BernoulliChart, where: tuple[slice, slice]
) -> tuple[Levels, FlatNoise, float]:
    """Levels of the squares' insides in a plane, the noise in them, and the clipped share of white pixels."""
    values = signal[where]
    (top, down), (left, across) = ((lines.start or 0, lines.step or 1) for lines in where)
    boxes, colors = chart.patches()
    seen = np.isin(np.arange(len(boxes)) // 4, alignment.markers.index)
    boxes, colors = boxes[seen], colors[seen]
    middle_x, middle_y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    middles, right, below = (
        alignment.mapping.to_image(np.stack(places, 1))
        for places in ((middle_x, middle_y), (boxes[:, 2], middle_y), (middle_x, boxes[:, 3]))
    )
    found, clipped = [], []
    for middle, u, v, color in zip(middles, right - middles, below - middles, colors, strict=True):
        side = 2 * min(np.hypot(*u), np.hypot(*v))
        inset = min(PSF_REACH_PX, 0.35 * side)
        # A square of pixels inside the turned square: its half side is the turned one's over cos + sin of the angle.
        turn = (abs(u[0]) + abs(u[1])) / np.hypot(*u)
        half = (side / 2 - inset) / turn
        i0, i1 = (int(np.ceil((middle[1] + s * half - top) / down)) for s in (-1, 1))
        j0, j1 = (int(np.ceil((middle[0] + s * half - left) / across)) for s in (-1, 1))
        inside = min(i0, j0) >= 0 and i1 <= values.shape[0] and j1 <= values.shape[1]
        if not inside or (i1 - i0) * (j1 - j0) < 4:
            continue
        part = values[i0:i1, j0:j1].astype(np.float64)
        # Scaled so that the median over squares is the variance (Wilson and Hilferty 1931): theirs falls short of it.
        spread = part.var(ddof=1) / (1 - 2 / (9 * (part.size - 1))) ** 3
        found.append((*middle, part.mean(), color, part.size, spread))
        if color:
            clipped.append((part >= CLIPPED).mean())
    table = np.array(found).reshape(-1, 6)
    value, share, size, variance = table[:, 2:].T
    noise = _flat_noise(value, variance, share)
    error = np.sqrt([noise.variance(level) for level in value]) / np.sqrt(size)
    return Levels(table[:, :2], value, share, error), noise, float(np.mean(clipped)) if clipped else 0.0


def _flat_noise(level: Floats, variance: Floats, color: Floats) -> FlatNoise:
    """A line through the medians of black and of white squares."""
    points = [(np.median(level[color == c]), np.median(variance[color == c])) for c in (0, 1) if (color == c).any()]
    if len(points) < 2 or points[1][0] <= points[0][0]:
        return FlatNoise(float(np.median(variance)) if len(variance) else 0.0, 0.0)
    (black, low), (white, high) = points
    slope = (high - low) / (white - black)
    return FlatNoise(float(low - slope * black), float(slope))


def _window_levels(
    signal: npt.NDArray[Any], alignment: Alignment, chart: BernoulliChart, where: tuple[slice, slice], noise: FlatNoise
) -> Levels:
    """Means over windows all over the chart, and the white share that the sharp chart, blurred alike, has there."""
    half = window_px(alignment.size) // 2
    blur = max(alignment.blur_px / np.sqrt(2), 0.3)
    reach = np.arange(-half - int(4 * blur) - 2, half + int(4 * blur) + 3)
    centers = window_centers(alignment.size, alignment.mapping, chart, max(alignment.size) / 18)

    def samples(lines: slice, middle: int) -> npt.NDArray[np.int64]:
        """Full-resolution lines of the plane that lie in a window."""
        first, step = lines.start or 0, lines.step or 1
        return np.arange(middle - half + (first - middle + half) % step, middle + half, step)

    found = []
    for center, fraction in zip(centers, window_fractions(chart, alignment.mapping, centers, reach), strict=True):
        x, y = round(float(center[0])), round(float(center[1]))
        soft = opencv().GaussianBlur(np.nan_to_num(fraction, nan=1.0), (0, 0), blur)
        rows, columns = samples(where[0], y), samples(where[1], x)
        values = signal[np.ix_(rows, columns)]
        share = soft[np.ix_(rows - y - reach[0], columns - x - reach[0])].mean()
        mean = float(values.mean())
        found.append((x, y, mean, share, np.sqrt(noise.variance(mean) / values.size)))
    table = np.array(found).reshape(-1, 5)
    return Levels(table[:, :2], *table[:, 2:].T)


def _fitted(levels: Levels, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Coefficients of black and white by weighted least squares; levels that are off lose weight (Huber, 5 rounds)."""
    x, y = _units(levels.places, size)
    shares = (1 - levels.share, levels.share)
    black, white = (next(degree for least, degree in _DEGREES if share.sum() >= least) for share in shares)
    # Black is a few per cent of white, so its map may be smoother.
    degrees = (min(black, 4, white), white)
    powers = [[(j, i) for j in range(n + 1) for i in range(n + 1 - j)] for n in degrees]
    columns = [share * y**j * x**i for share, pairs in zip(shares, powers, strict=True) for j, i in pairs]
    design = np.stack(columns, 1)
    step = abs(float(np.median(levels.value[levels.share == 1]) - np.median(levels.value[levels.share == 0])))
    error = np.hypot(levels.error, _SMOOTH * step + 1e-12)
    weight = np.ones_like(error)
    for _ in range(5):
        scaled = np.sqrt(weight) / error
        found = np.linalg.lstsq(design * scaled[:, None], levels.value * scaled, rcond=None)[0]
        off = np.abs(levels.value - design @ found) / error
        spread = max(1.0, 1.4826 * float(np.median(off)))
        weight = 1 / np.maximum(1.0, off / (2 * spread))
    maps = (np.zeros((degrees[0] + 1,) * 2), np.zeros((degrees[1] + 1,) * 2))
    for one, pairs, values in zip(maps, powers, np.split(found, [len(powers[0])]), strict=True):
        one[tuple(np.transpose(pairs))] = values
    return maps


def _at(maps: tuple[Floats, Floats], places: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Both maps at places (N, 2) in pixels."""
    x, y = _units(places, size)
    black, white = (np.asarray(polynomial.polyval2d(y, x, one), dtype=np.float64) for one in maps)
    return black, white


def _units(places: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """x and y about the middle of the frame, in units of half its diagonal."""
    x, y = ((places - middle_of(size)) / scale_of(size)).T
    return x, y


def _diagnostics(
    black: float, white: float, lit: float, clipped: float, bend: float, residual: float, snr: float
) -> tuple[Diagnostic, ...]:
    share, dark = white - black, black / max(white, 1e-12)
    judged: tuple[tuple[Kind, bool, bool, str], ...] = (
        (
            "saturated", clipped > limits.SATURATED_WARNING, clipped > limits.SATURATED_FAILURE,
            f"{100 * clipped:.2g} % of the white patches' pixels are saturated, so white is brighter than measured. "
            "Expose so that white stays below 90 % of saturation",
        ),
        (
            "too-dark", share < limits.TOO_DARK_WARNING, share < limits.TOO_DARK_FAILURE,
            f"white is only {100 * share:.1f} % of saturation above black. Expose longer",
        ),
        (
            "low-contrast", dark > limits.LOW_CONTRAST_WARNING, dark > limits.LOW_CONTRAST_FAILURE,
            f"black is {100 * dark:.0f} % of white, where prints have 3 to 8 %: the black level that was subtracted is "
            "too low, or there is glare on the chart, or the print is pale",
        ),
        (
            "non-linear", bend > limits.NON_LINEAR_WARNING, bend > limits.NON_LINEAR_FAILURE,
            f"the noise is brighter than the mean of black and white by {100 * bend:.1f} % of their difference: the "
            "picture is not linear in light (gamma, tone curve). Use raw values",
        ),
        (
            "dot-gain", -bend > limits.DOT_GAIN_WARNING, -bend > limits.DOT_GAIN_FAILURE,
            f"the noise is darker than the mean of black and white by {-100 * bend:.1f} % of their difference: the "
            "print's black cells are too large (dot gain), or the picture is not linear in light. Print larger cells",
        ),
        (
            "uneven", lit < limits.UNEVEN_LIGHT, False,
            f"white falls to {100 * lit:.0f} % of its highest value over the frame; light the chart evenly",
        ),
        (
            "uneven", residual > limits.UNEVEN_WARNING, residual > limits.UNEVEN_FAILURE,
            f"levels differ from a smooth map by {100 * residual:.1f} % rms of white minus black: shadows, reflections "
            "or stains on the chart",
        ),
        (
            "noisy", snr < limits.NOISY_WARNING, snr < limits.NOISY_FAILURE,
            f"the chart's signal to noise ratio is {snr:.0f} dB; average several frames",
        ),
    )  # fmt: skip
    return tuple(
        Diagnostic(kind, "failure" if failed else "warning", message) for kind, told, failed, message in judged if told
    )
