"""A capture of a chart, aligned, its planes on the chart's own scale, taken apart into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf.alignment import Alignment, align
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.coverage import white_fraction
from dirtypixels.calibrate.psf.diagnosis import darkness
from dirtypixels.calibrate.psf.mapping import Mapping
from dirtypixels.calibrate.psf.pattern import check_pattern
from dirtypixels.calibrate.psf.tone import Tone, tone
from dirtypixels.raw.frames import Frame, plane_slices
from dirtypixels.raw.mosaic import full_green

Floats = npt.NDArray[np.float64]

CLIPPED = 0.999
"""From which part of the white level on a pixel counts as saturated."""


class Piece(NamedTuple):
    """What a shot shows of a block.

    Args:
        sharp: (h + size - 1, w + size - 1) white share of every pixel, half a PSF around the part that can be used.
        start: row and column of the part that can be used, in the frame.
        shape: (h, w) of that part.
    """

    sharp: npt.NDArray[np.float32]
    start: tuple[int, int]
    shape: tuple[int, int]


class Samples(NamedTuple):
    """A plane's samples in the part of a block that can be used; `place` and `step` as for `normal_equations`.

    Args:
        plane: name of the plane.
        values: (h', w') 0 where the chart is black and 1 where it is white, at the shot's own light.
        rows, columns: where they lie in the frame.
    """

    plane: str
    values: Floats
    place: tuple[int, int]
    step: int
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shot:
    """One capture, ready to be compared with its chart.

    Args:
        signal: (H, W) (DN - black) / (white - black), mosaicked.
        cfa: of the frame.
        alignment: of the chart.
        tones: black and white of the chart for each plane.
        darkness: what those say of the black level together.
    """

    chart: BernoulliChart
    signal: npt.NDArray[np.float32]
    cfa: str | None
    alignment: Alignment
    tones: dict[str, Tone]
    darkness: tuple[Diagnostic, ...] = ()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Of the alignment and of the tone, each kind once, with the name of its plane."""
        found = [*self.alignment.diagnostics, *self.darkness]
        for name, one in self.tones.items():
            known = {f.kind for f in found}
            found += [
                Diagnostic(f.kind, f.severity, f"plane {name}: {f.message}")
                for f in one.diagnostics
                if f.kind not in known
            ]
        return tuple(found)

    def piece(self, block: tuple[slice, slice], size: int, mapping: Mapping, aperture: float) -> Piece | None:
        """The block's sharp correspondence where the whole of each PSF lies on the chart; None where that is nowhere.

        Light of the pixels beyond the block comes into it, so the correspondence begins half a PSF outside, beyond the
        frame's border too. A block that the chart does not fill is cut down to a rectangle. So is one in which the maps
        of black and white, extrapolated to the chart's rim, say that black is the brighter one.
        """
        half = size // 2
        rows, columns = (np.arange(part.start - half, part.stop + half) for part in block)
        sharp = white_fraction(self.chart, mapping, rows, columns, aperture)
        known = np.isfinite(sharp)
        for one in self.tones.values():
            black, white = one.grids(rows, columns)
            known &= white > black
        inside = _largest(known)
        if inside is None:
            return None
        shape = tuple(part.stop - part.start - 2 * half for part in inside)
        if min(shape) < 2:
            return None
        start = (block[0].start + inside[0].start, block[1].start + inside[1].start)
        return Piece(sharp[inside].astype(np.float32), start, (shape[0], shape[1]))

    def samples(self, piece: Piece, planes: tuple[str, ...] | None = None) -> Iterator[Samples]:
        """The samples of each plane (or of some) in a piece."""
        for name, where in plane_slices(self.cfa).items():
            if planes is not None and name not in planes:
                continue
            step = where[0].step or 1
            place, lines = [], []
            for part, start, length in zip(where, piece.start, piece.shape, strict=True):
                place.append(((part.start or 0) - start) % step)
                lines.append(np.arange(start + place[-1], start + length, step))
            black, white = self.tones[name].grids(*lines)
            values = (self.signal[np.ix_(*lines)] - black) / (white - black)
            yield Samples(name, values, (place[0], place[1]), step, lines[0], lines[1])

    def step_at(self, plane: str, point: tuple[float, float]) -> tuple[float, float]:
        """Signal of black, and of white less black, at a pixel (row, column)."""
        black, white = self.tones[plane].grids([point[0]], [point[1]])
        return float(black[0, 0]), float((white - black)[0, 0])

    def clipped(self, block: tuple[slice, slice]) -> float:
        """Share of the block's pixels at the white level."""
        return float((self.signal[block] >= CLIPPED).mean())


def shoot(
    frame: Frame, chart: BernoulliChart, black: tuple[float, ...] | float | None, white: float | None, partial: bool
) -> Shot:
    """Align a frame with its chart and find out how bright black and white of the chart are in each plane.

    Args:
        frame: the capture.
        chart: that it shows.
        black: in place of the frame's, in DN.
        white: in place of the frame's, in DN.
        partial: take a chart that the frame cuts off.

    Raises:
        ValueError: a level is not known or the levels do not fit; the picture shows another mosaic than the cfa, as
            far as `check_pattern` can tell; or what `align` and `tone` raise.
    """
    dark, top = _levels(frame, black, white)
    signal = _linear(frame.values, dark, top)
    alignment = align(full_green(signal, frame.cfa), chart, partial=partial)
    check_pattern(signal, frame.cfa, alignment, chart, frame.name)
    tones = {name: tone(signal[where], alignment, chart, *where) for name, where in plane_slices(frame.cfa).items()}
    places = _squares(alignment, chart)
    levels: tuple[dict[str, float], dict[str, float]] = {}, {}
    for name, one in tones.items():
        maps = one.black(places), one.white(places)
        wrong = int((maps[1] <= maps[0]).sum())
        if wrong:
            raise ValueError(
                f"plane {name} of {frame.name} must show white brighter than black all over the chart; at {wrong} of "
                f"{len(places)} squares its maps of them do not, at a signal to noise ratio of {one.snr_db:.0f} dB. "
                "Average several frames, or light the chart more evenly"
            )
        for of_plane, one_map in zip(levels, maps, strict=True):
            of_plane[name] = float(np.median(one_map))
    return Shot(chart, signal, frame.cfa, alignment, tones, darkness(*levels, top - float(dark.mean())))


def _squares(alignment: Alignment, chart: BernoulliChart) -> Floats:
    """(N, 2) middles of the black and white squares that are seen, in pixels: where the maps of both are measured."""
    boxes, _ = chart.patches()
    middles = alignment.to_image((boxes[:, :2] + boxes[:, 2:]) / 2)
    seen = np.isin(np.arange(len(boxes)) // 4, alignment.markers.index)
    last = np.array(alignment.size[::-1]) - 1
    return middles[seen & (middles >= 0).all(1) & (middles <= last).all(1)]


def _levels(frame: Frame, black: tuple[float, ...] | float | None, white: float | None) -> tuple[Floats, float]:
    """Black of the four places of the 2 x 2 pattern, and white, in DN."""
    levels = frame.black if black is None else black
    top = frame.white if white is None else white
    if levels is None or top is None:
        name = "black" if levels is None else "white"
        raise ValueError(f"{name} must be given for {frame.name}: the file does not say its {name} level")
    given = np.asarray(levels, dtype=np.float64).ravel()
    if given.size not in (1, 4):
        raise ValueError(
            "black must be one number, or four for the places of the 2 x 2 pattern in reading order; "
            f"found {given.size}"
        )
    if not (np.isfinite(given).all() and given.max() < top < np.inf):
        raise ValueError(f"black must be below white, both finite; found black {levels} and white {top}")
    return np.broadcast_to(given, (4,)), float(top)


def _linear(values: npt.NDArray[Any], dark: Floats, top: float) -> npt.NDArray[np.float32]:
    """The signal: 0 at black, 1 at white."""
    signal = np.empty(values.shape, dtype=np.float32)
    for i in range(4):
        at = (slice(i // 2, None, 2), slice(i % 2, None, 2))
        signal[at] = (values[at] - dark[i]) / (top - dark[i])
    return signal


def _largest(inside: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
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
