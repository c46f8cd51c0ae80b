"""The target that a camera photographs to have its PSF measured: Bernoulli noise between checkerboard markers."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 1
"""Of the drawing rules. A change that alters one cell of any chart needs a new version, or printed charts are lost."""

BEST_CELL_PX = 1.4
"""Width of a cell in the capture, in pixels, at which PSFs came out best: see `BernoulliChart`."""

USABLE_CELL_PX = (1.2, 1.6)
"""Widths of a cell in the capture, in pixels, between which the noise says most about the PSF."""

SHARP_DOTS = 4
"""Printer dots a cell from which on prints are sharp; on fewer, ink that spreads is a large part of a cell."""

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BernoulliChart:
    """A noise target: rows x columns blocks of black and white cells, with a marker at every corner of a block.

    A marker is two black and two white squares around a point (an X-corner). The point gives the place; the squares
    are the black and white patches that give vignetting and black level. Which diagonal of a marker is black follows a
    code that is the same in no other orientation, mirrored ones included. All else is noise: each cell is white
    with probability 1/2. A quiet white border surrounds it. One cell is the unit of chart coordinates: (x, y), x
    to the right, y down, cell (r, c) covers [c, c + 1] x [r, r + 1].

    How large a cell should be in the capture: the spectrum of the noise falls as sinc(f * cell), to 0 at f = 1 / cell.
    Above 2 px a cell says nothing near the frequency 1 / cell, which the pixels still see; below 1 px the pixel
    averages the noise away. 1.4 px is best and 1.2 to 1.6 px is good: in simulated captures of 960 x 720 pixels at
    40 dB the worst blocks' PSFs were off by 4.9, 5.7, 8.6 and 11.3 % with cells of 1.4, 1.8, 2.5 and 3.5 px. So a
    camera of 4000 x 3000 pixels wants about 2850 x 2150 cells (`for_sensor` chooses). `cell_px` tells what a chart
    gives. The print must be sharp: 4 printer dots a cell or more (`dots` tells), for those cells on A2 at 600 dpi.

    Args:
        rows: number of blocks from top to bottom, >= 2; there are rows + 1 markers.
        columns: number of blocks from left to right, >= 2.
        block: distance of neighboring markers in cells, >= 2 * square + 16.
        square: side of one of a marker's four squares in cells, >= 10. 24 leaves flat black and white of a few pixels
            where a PSF reaches 10 px and a cell is 1.2 px.
        border: width of the quiet white border in cells, >= 4.
        seed: of the noise, 0 to 2^32 - 1.
        cell_mm: side of a cell on paper in millimeters, > 0. The default is 6 dots of a 600 dpi printer.

    Raises:
        TypeError: a number of cells or the seed is not an integer.
        ValueError: a value is out of range.

    Source: Delbracio, Muse, Almansa, Morel, "The non-parametric sub-pixel local point spread function estimation is a
    well posed problem", IJCV 2012 (why Bernoulli noise); Mosleh, Green, Onzon, Begin, Langlois, "Camera intrinsic blur
    kernel estimation: a reliable framework", CVPR 2015 (noise and checkerboard markers over the whole frame).

    Example:
        >>> from dirtypixels.calibrate import BernoulliChart
        >>> chart = BernoulliChart.for_sensor(640, 480, seed=5)
        >>> chart.rows, chart.columns, chart.pattern.shape
        (3, 4, (336, 432))
        >>> round(chart.cell_px(640, 480), 2)  # where it just fills the frame
        1.43
    """

    rows: int = 9
    columns: int = 12
    block: int = 160
    square: int = 24
    border: int = 12
    seed: int = 0
    cell_mm: float = 0.254

    def __post_init__(self) -> None:
        for name, least in (("rows", 2), ("columns", 2), ("square", 10), ("border", 4), ("seed", 0)):
            _whole(name, getattr(self, name), least)
        _whole("block", self.block, 2 * self.square + 16)
        if self.seed >= 2**32:
            raise ValueError(f"seed must be below 2^32; found {self.seed}")
        if not 0 < self.cell_mm < 100:
            raise ValueError(f"cell_mm must be above 0 and below 100 mm; found {self.cell_mm:g}")
        if self.rows * self.columns * self.block**2 > 400_000_000:
            raise ValueError(
                "a chart must have at most 400 million cells; "
                f"found {self.rows} x {self.columns} blocks of {self.block} x {self.block}"
            )

    @classmethod
    def for_sensor(
        cls, width: int, height: int, *, cell_px: float = BEST_CELL_PX, seed: int = 0, cell_mm: float = 0.254
    ) -> BernoulliChart:
        """The chart whose cells are about `cell_px` wide in the capture when it just fills a frame of this size.

        Args:
            width: pixels of the sensor across; at 1.4 px a cell at least 246.
            height: pixels of the sensor down, as many at least.
            cell_px: wanted width of a cell in pixels, in [1, 4].
            seed: of the noise.
            cell_mm: side of a cell on paper; `chart_print.fit_to_paper` sets it from a paper's size.

        Raises:
            ValueError: the sensor is too small for three markers each way, or a value is out of range.
        """
        if not 1 <= cell_px <= 4:
            raise ValueError(f"cell_px must be in [1, 4]; found {cell_px:g}")
        across, down = width / cell_px, height / cell_px
        square, border = (24, 12) if min(across, down) >= 800 else (16, 8)
        edge = 2 * (square + border)
        best: tuple[bool, float, int, int, int] | None = None
        for block in range(2 * square + 32, 161, 4):
            columns, rows = int((across - edge) // block), int((down - edge) // block)
            if min(rows, columns) >= 2:
                # Large blocks leave more room for noise, so of two that fill the frame alike the larger is better.
                used = (columns * block + edge) * (rows * block + edge) / (across * down) + 0.001 * block
                found = (min(rows, columns) >= 3, used, block, rows, columns)
                best = found if best is None else max(best, found)
        if best is None:
            raise ValueError(
                f"a sensor of {width} x {height} pixels is too small for a chart with cells of {cell_px:g} px: "
                f"at least {cell_px * (2 * (2 * square + 32) + edge):.0f} pixels each way are needed"
            )
        _, _, block, rows, columns = best
        return cls(rows, columns, block=block, square=square, border=border, seed=seed, cell_mm=cell_mm)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in cells, border included."""
        edge = 2 * (self.square + self.border)
        return self.rows * self.block + edge, self.columns * self.block + edge

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width on paper, border included."""
        return self.shape[0] * self.cell_mm, self.shape[1] * self.cell_mm

    @cached_property
    def pattern(self) -> npt.NDArray[np.uint8]:
        """(H, W), one entry a cell: 0 black, 1 white. Read-only."""
        height, width = self.shape
        cells = np.ones((height, width), np.uint8)
        inside = cells[self.border : height - self.border, self.border : width - self.border]
        inside[:] = _bits(self.seed, inside.size).reshape(inside.shape)
        s = self.square
        quarters = np.array([[0, 1], [1, 0]], np.uint8).repeat(s, 0).repeat(s, 1)
        for (x, y), way in zip(self.markers.astype(int), self.polarity.ravel(), strict=True):
            cells[y - s : y + s, x - s : x + s] = quarters if way > 0 else 1 - quarters
        cells.setflags(write=False)
        return cells

    @cached_property
    def markers(self) -> _Array:
        """((rows + 1) * (columns + 1), 2) the markers' points (x, y) in chart coordinates, in reading order."""
        first = self.border + self.square
        y, x = np.mgrid[: self.rows + 1, : self.columns + 1]
        return np.stack([x.ravel(), y.ravel()], 1) * float(self.block) + first

    @cached_property
    def polarity(self) -> npt.NDArray[np.int8]:
        """(rows + 1, columns + 1) of +1 (a marker's top left square is black) or -1 (it is white).

        The orientation mark: turned by 90, 180 or 270 degrees or mirrored, at least a quarter of the markers differ.
        The code depends on rows and columns only, so that a chart with another seed is still found, and named.
        """
        return _polarity(self.rows + 1, self.columns + 1)

    def patches(self) -> tuple[_Array, npt.NDArray[np.uint8]]:
        """The flat black and white squares: (N, 4) of x0, y0, x1, y1 in chart coordinates, and (N,) of 0 or 1."""
        corners = self.markers[:, None] + self.square * np.array([(-1.0, -1.0), (0, -1), (-1, 0), (0, 0)])
        white = np.array([False, True, True, False]) != (self.polarity.reshape(-1, 1) < 0)
        return np.concatenate([corners, corners + self.square], 2).reshape(-1, 4), white.ravel().astype(np.uint8)

    def cell_px(self, width: int, height: int) -> float:
        """Pixels per cell when the whole chart just fits a frame of width x height pixels; see `USABLE_CELL_PX`."""
        return min(width / self.shape[1], height / self.shape[0])

    def dots(self, dpi: float = 600.0) -> float:
        """Dots of a printer of so many dots per inch per cell; below `SHARP_DOTS` the print is hardly sharp enough."""
        return round(self.cell_mm / 25.4 * dpi, 6)

    def parameters(self) -> dict[str, Any]:
        """All that is needed to build the chart again, and a digest of its cells, as plain values."""
        digest = hashlib.sha256(np.packbits(self.pattern).tobytes()).hexdigest()
        return {"dirtypixels_chart": VERSION, **asdict(self), "sha256": digest}


def turned(array: _Array, quarters: int, mirrored: bool) -> _Array:
    """An array as it is seen when its chart is mirrored left to right (or not) and then turned counter-clockwise."""
    return np.rot90(array[:, ::-1] if mirrored else array, quarters)


def _bits(seed: int, count: int) -> npt.NDArray[np.uint8]:
    """Independent fair bits. NumPy promises that this raw stream stays as it is, which it does not of `Generator`."""
    words = np.random.PCG64(seed).random_raw(-(-count // 64)).astype("<u8")
    return np.unpackbits(words.view(np.uint8), count=count)


def _polarity(rows: int, columns: int) -> npt.NDArray[np.int8]:
    """The first code in a fixed sequence that differs enough from all its turned and mirrored versions."""
    for seed in itertools.count(1_000_003):
        code = (2 * _bits(seed, rows * columns).astype(np.int8) - 1).reshape(rows, columns)
        balanced = abs(int(code.sum())) <= max(2, rows * columns // 6)
        if balanced and _orientation_distance(code) >= rows * columns / 4:
            break
    code.setflags(write=False)
    return code


def seen_polarity(code: npt.NDArray[np.int8], quarters: int, mirrored: bool) -> npt.NDArray[np.int8]:
    """Markers' polarity as it is seen when their chart is turned or mirrored, see `turned`.

    The sign changes as well as the place: a quarter turn or a mirror brings the other diagonal to the top.
    """
    return np.asarray(turned(code, quarters, mirrored) * (-1 if (quarters % 2 == 1) != mirrored else 1), dtype=np.int8)


def _orientation_distance(code: npt.NDArray[np.int8]) -> int:
    """The least number of markers in which a code differs from itself seen turned or mirrored."""
    ways = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)][1:]
    seen = [seen_polarity(code, *way) for way in ways]
    return min(int((one != code).sum()) for one in seen if one.shape == code.shape)


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer; found {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; found {value}")
