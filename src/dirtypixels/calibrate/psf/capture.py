"""A capture of a chart, aligned, its planes on the chart's own scale, taken apart into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf.alignment import Alignment, align
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.coverage import white_fraction
from dirtypixels.calibrate.psf.flat_field import CLIPPED, FlatField, flat_field, patch_levels
from dirtypixels.calibrate.psf.mapping import ToChart
from dirtypixels.raw.frames import Frame, plane_slices
from dirtypixels.raw.mosaic import check_cfa, full_green

Block = tuple[slice, slice]
Signal = npt.NDArray[np.float32]

COLORS = {"R": 0, "G": 1, "B": 2, "Y": 0}
"""Channel of a plane, by the first letter of its name."""

_STRIP = 256
"""Rows of a plane that are put on the chart's scale at once, as the maps of it are of double precision."""

_NEUTRAL = 0.15
"""By how much of itself the reflectance of printed black differs between colors."""

_INK = 0.04
"""Reflectance of black over that of paper that is counted with at least."""


class Piece(NamedTuple):
    """What a capture shows of a block.

    Args:
        sharp: (h + size - 1, w + size - 1) white share of every pixel, half a PSF around the part that can be used.
        start: row and column of the part that can be used, in the frame.
        shape: (h, w) of that part.
    """

    sharp: Signal
    start: tuple[int, int]
    shape: tuple[int, int]


class Samples(NamedTuple):
    """A plane's samples in a piece, its rows `place[0]::step` and columns `place[1]::step`.

    Args:
        channel: of the plane.
        values: (h', w') 0 where the chart is black and 1 where it is white.
    """

    channel: int
    values: Signal
    place: tuple[int, int]
    step: int


@dataclass(frozen=True, eq=False)
class ChartCapture:
    """One capture, ready to be compared with its chart.

    Args:
        chart: that it shows.
        cfa: of the frame.
        light: (H, W) 0 where the chart is black and 1 where it is white, mosaicked; NaN where the maps of black and
            white, extrapolated beyond the chart, say that black is the brighter one.
        clipped: (H, W) which pixels are at the white level.
        alignment: of the chart.
        flat_fields: black and white of the chart for each plane.
        diagnostics: of the alignment and of the flat fields, each kind once, with the name of its plane.
    """

    chart: BernoulliChart
    cfa: str | None
    light: Signal
    clipped: npt.NDArray[np.bool_]
    alignment: Alignment
    flat_fields: dict[str, FlatField]
    diagnostics: tuple[Diagnostic, ...]

    @classmethod
    def of(cls, frame: Frame, chart: BernoulliChart, *, partial: bool = False) -> ChartCapture:
        """Align a frame with its chart and find out how bright black and white of the chart are in each plane.

        `partial` takes a chart that the frame cuts off.

        Raises:
            ValueError: a level is not known; the picture shows another mosaic than the cfa, as far as `check_pattern`
                can tell; or what `align` and `flat_field` raise.
        """
        if frame.black is None or frame.white is None:
            name = "black" if frame.black is None else "white"
            raise ValueError(f"{name} must be given for {frame.name}: the file does not say its {name} level")
        signal = np.empty(frame.values.shape, dtype=np.float32)
        for i, dark in enumerate(frame.black):
            at = (slice(i // 2, None, 2), slice(i % 2, None, 2))
            signal[at] = (frame.values[at] - dark) / (frame.white - dark)
        alignment = align(full_green(signal, frame.cfa), chart, partial=partial)
        check_pattern(signal, frame.cfa, alignment, chart, frame.name)
        fields, diagnostics = {}, list(alignment.diagnostics)
        for name, where in plane_slices(frame.cfa).items():
            try:
                fields[name] = flat_field(signal, alignment, chart, where)
            except ValueError as error:
                raise ValueError(f"plane {name}: {error}") from error
        black, white = ({name: one.typical[i] for name, one in fields.items()} for i in (0, 1))
        diagnostics += darkness(black, white, frame.white - float(np.mean(frame.black)))
        for name, one in fields.items():
            known = {f.kind for f in diagnostics}
            new = [f for f in one.diagnostics if f.kind not in known]
            diagnostics += [replace(f, message=f"plane {name}: {f.message}") for f in new]
        clipped = signal >= CLIPPED
        _on_scale(signal, frame.cfa, fields)
        return cls(chart, frame.cfa, signal, clipped, alignment, fields, tuple(diagnostics))

    def piece(self, block: Block, size: int, mapping: ToChart, aperture: float) -> Piece | None:
        """The block's sharp correspondence where the whole of each PSF lies on the chart; None where that is nowhere.

        Light of the pixels beyond the block comes into it, so the correspondence begins half a PSF outside, beyond the
        frame's border too. A block that the chart does not fill, or its light is unknown, is cut down to a rectangle.
        """
        half = size // 2
        rows, columns = (np.arange(part.start - half, part.stop + half) for part in block)
        sharp = white_fraction(self.chart, mapping, rows, columns, aperture)
        known = np.isfinite(sharp)
        known[half:-half, half:-half] &= np.isfinite(self.light[block])
        inside = _largest(known)
        if inside is None:
            return None
        height, width = (part.stop - part.start - 2 * half for part in inside)
        if min(height, width) < 2:
            return None
        start = (block[0].start + inside[0].start, block[1].start + inside[1].start)
        return Piece(sharp[inside].astype(np.float32), start, (height, width))

    def samples(self, piece: Piece, planes: tuple[str, ...] | None = None) -> Iterator[Samples]:
        """The samples of each plane (or of some) in a piece."""
        (top, left), (height, width) = piece.start, piece.shape
        light = self.light[top : top + height, left : left + width]
        for name, where in plane_slices(self.cfa).items():
            if planes is None or name in planes:
                step = where[0].step or 1
                row, column = (((lines.start or 0) - at) % step for lines, at in zip(where, piece.start, strict=True))
                yield Samples(COLORS[name[0]], light[row::step, column::step], (row, column), step)

    def noise_variances(self, channel: int, place: tuple[float, float]) -> list[float]:
        """Variance of `light` at (row, column), halfway from black to white, in each plane of a color."""
        found = []
        for one in (one for name, one in self.flat_fields.items() if COLORS[name[0]] == channel):
            (black,), (white,) = one.at([place[::-1]])
            found.append(float(one.noise.variance((black + white) / 2) / (white - black) ** 2))
        return found


def check_pattern(
    signal: npt.NDArray[Any], cfa: str | None, alignment: Alignment, chart: BernoulliChart, name: str
) -> None:
    """Raise ValueError where the steps from black to white of the chart's squares show another mosaic than `cfa`.

    See `raw.mosaic.check_cfa`; `name` is the frame's, for the message.
    """
    found = []
    for row, column in np.ndindex(2, 2):
        places = (slice(row, None, 2), slice(column, None, 2))
        patches = patch_levels(signal, alignment, chart, places)[0]
        if not {0.0, 1.0} <= set(patches.share):
            return
        black, white = (patches.share == share for share in (0, 1))
        # A median of n figures varies by sqrt(pi / 2) of what their mean does.
        error = np.sqrt(np.pi / 2 * sum((patches.error[which] ** 2).mean() / which.sum() for which in (black, white)))
        found.append((np.median(patches.value[white]) - np.median(patches.value[black]), error))
    steps, errors = np.array(found).T
    if not steps.min() > 0:  # no contrast, of which others speak
        return
    seen = (
        "from black to white the chart's squares step by "
        f"{', '.join(f'{step:.3f}' for step in steps)} of the white level at the four places of the 2 x 2 pattern"
    )
    check_cfa(cfa, steps[None], errors[None], name, seen)


def darkness(black: dict[str, float], white: dict[str, float], step_dn: float) -> tuple[Diagnostic, ...]:
    """A warning where the chart's black does not fall to 0 with its white from one color of the sensor to another.

    ``black_c = offset (1 - r) + r white_c``, r the reflectance of black ink over that of paper

    Ink and the glare of an even surround are gray: of the light of each color, black has the same share. A black level
    that is wrong adds as much to every color. So the line through the colors meets 0 at the offset. It cannot be
    told on a monochrome sensor, nor where the colors are about as bright as each other, nor if it is below what
    ink that is not quite gray would make (some 3 % of the white level). PSFs do not depend on it.

    `black` and `white` are the signals of the chart in each plane, `step_dn` DN from the stated black level to the
    white level.
    """
    colors: dict[str, list[str]] = {}
    for plane in black:
        colors.setdefault(plane[0], []).append(plane)
    if len(colors) < 3:
        return ()
    b, w = (np.array([np.mean([of[p] for p in planes]) for planes in colors.values()]) for of in (black, white))
    away = w - w.mean()
    spread = float(away @ away)
    if not spread > 0:
        return ()
    # Weights of the colors in the least-squares line's value at white = 0, and its slope.
    weights = 1 / len(w) - w.mean() * away / spread
    start, slope = float(weights @ b), float(away @ b) / spread
    error = float(np.linalg.norm(weights * _NEUTRAL * np.maximum(b - start, _INK * w)))
    if abs(start) < 2 * error or not slope < 0.5:
        return ()
    offset = start / (1 - slope)
    seen = ", ".join(f"{name} {x:.3f} and {y:.3f}" for name, x, y in zip(colors, b, w, strict=True))
    message = (
        f"the stated black level seems to be {abs(offset) * step_dn:.0f} DN too {'low' if offset > 0 else 'high'} "
        f"(or there is colored glare on the chart): its black and white have a signal of {seen}, and a line "
        f"through them begins at {start:.3f}. PSFs do not depend on the level; what a profile says of it does"
    )
    return (Diagnostic("black-offset", "warning", message),)


def _on_scale(signal: Signal, cfa: str | None, fields: dict[str, FlatField]) -> None:
    """Put a signal on the chart's scale, in place: it is as large as the frame, and not needed any more."""
    height, width = signal.shape
    for name, where in plane_slices(cfa).items():
        rows, columns = np.arange(height)[where[0]], np.arange(width)[where[1]]
        for first in range(0, len(rows), _STRIP):
            part = slice(first, first + _STRIP)
            black, white = fields[name].grids(rows[part], columns)
            contrast = np.where(white > black, white - black, np.nan)
            signal[where][part] = (signal[where][part] - black) / contrast


def _largest(inside: npt.NDArray[np.bool_]) -> Block | None:
    """A rectangle without any False in it, made by taking away the side that has most of them again and again."""
    top, left = 0, 0
    bottom, right = inside.shape
    while top < bottom and left < right:
        part = inside[top:bottom, left:right]
        missing = [1 - side.mean() for side in (part[0], part[-1], part[:, 0], part[:, -1])]
        worst = int(np.argmax(missing))
        if missing[worst] == 0:
            return (slice(top, bottom), slice(left, right)) if part.all() else None
        top, bottom = top + (worst == 0), bottom - (worst == 1)
        left, right = left + (worst == 2), right - (worst == 3)
    return None
