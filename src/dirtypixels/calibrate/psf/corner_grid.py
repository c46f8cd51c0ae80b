"""The corners of a chart's markers in a picture: found, put in rows and columns, and each told which marker it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.psf import mapping as mappings
from dirtypixels.calibrate.psf.chart import BernoulliChart, seen_polarity, turned
from dirtypixels.calibrate.psf.mapping import Mapping, Points

_Array = npt.NDArray[Any]
_Picture = npt.NDArray[np.float32]

LEAST_CORRELATION = 0.06
"""Of picture and noise pattern, below which they are strangers. Blur of 3 px leaves 0.2; chance gives 0.01."""

_TEMPLATE = 6
"""Side of the detector's quarters in pixels of the reduced picture; even, so that a quarter has a middle."""

_SAMPLES = 8000


@dataclass(frozen=True)
class CornerGrid:
    """X-corners in rows and columns as they are seen in the picture.

    Args:
        points: (R, C, 2) places (x, y) in pixels; NaN where none was found. Rows go down, columns to the right.
        polarity: (R, C) +1 where the top left and bottom right quarters are dark, -1 where the others are, 0 for none.
        contrast: median score of its corners, see `find_corners`.
    """

    points: Points
    polarity: npt.NDArray[np.int8]
    contrast: float = 0.0

    @property
    def count(self) -> int:
        """How many corners it has."""
        return int((self.polarity != 0).sum())

    @property
    def plausible(self) -> bool:
        """Whether it looks like a grid of markers, which a few corners in noise or clutter do not."""
        return self.count >= 9 and self.contrast > 0.25 and self.count >= 0.7 * self.polarity.size


def opencv() -> Any:
    """The module cv2.

    Raises:
        RuntimeError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise RuntimeError("finding a chart needs OpenCV; pip install 'dirtypixels[calibrate]'") from error
    return cv2


def within(points: Points, image: _Picture, edge: float = 0.0) -> npt.NDArray[np.bool_]:
    """(N,) whether places (x, y) lie farther inside a picture than `edge`; NaN does not."""
    height, width = image.shape
    with np.errstate(invalid="ignore"):
        return np.asarray(((points > edge) & (points < np.array([width, height]) - 1 - edge)).all(1))


def find_corners(image: _Picture, square_px: float) -> tuple[Points, Points]:
    """Places (N, 2) to about a pixel of the reduced picture where two dark and two bright squares meet, best first.

    With a, b, c, d the means of the four quarters around a pixel (a and d on one diagonal),
    ``score = |a + d - b - c| / 2 - max(|a - d|, |b - c|)``, over the local mean. Noise, edges and the corner of a
    single square score low, because one diagonal of theirs is not of one brightness.

    `square_px` is the quarters' side, at most the squares' own. With the places come signed scores (N,), negative where
    the top left quarter is dark.
    """
    cv2 = opencv()
    factor = max(1, int(square_px / _TEMPLATE))
    size = max(2, 2 * round(square_px / factor / 2))
    height, width = (side // factor for side in image.shape)
    if min(height, width) < 4 * size:
        return np.zeros((0, 2)), np.zeros(0)
    small = cv2.resize(image[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
    # Even box: OpenCV puts the anchor right of the middle, so quarter (0, 0) is the box that ends left of the corner.
    mean = cv2.boxFilter(small, -1, (size, size), anchor=(size // 2, size // 2), borderType=cv2.BORDER_REPLICATE)
    half = size // 2
    padded = cv2.copyMakeBorder(mean, half, half, half, half, cv2.BORDER_REPLICATE)
    a, b, c, d = (padded[i : i + height, j : j + width] for i in (0, size) for j in (0, size))
    signed = (a + d - b - c) / 2
    score = np.abs(signed) - np.maximum(np.abs(a - d), np.abs(b - c))
    around = cv2.blur(small, (6 * size + 1, 6 * size + 1), borderType=cv2.BORDER_REFLECT)
    score = score / np.maximum(np.abs(around), 1e-3 * float(np.abs(around).max()) + 1e-12)
    highest = cv2.dilate(score, np.ones((2 * half + 1, 2 * half + 1), np.uint8))
    y, x = np.nonzero((score == highest) & (score > 0.08))
    values = score[y, x]
    order = np.argsort(-values)[:5000]
    # Noise makes weak corners by the thousand. Markers are within a factor of two of each other, vignetting aside.
    order = order[values[order] > 0.4 * values[order[:5]].min(initial=np.inf)]
    # A corner between reduced pixels i - 1 and i lies at i - 0.5; a reduced pixel i covers factor * i ... + factor - 1.
    places = np.stack([x[order], y[order]], 1).astype(np.float64)
    return places * factor - 0.5, values[order] * np.sign(signed[y, x][order])


def refine(image: _Picture, points: Points, half_px: float) -> Points:
    """X-corners (N, 2) to a fraction of a pixel: where the gradients around are at right angles to the way to them.

    NaN where a place moved by more than half the window or the window leaves the picture.

    Source: Foerstner, Guelch 1987 (the corner as the point of least squares); OpenCV's cornerSubPix.
    """
    cv2 = opencv()
    half = max(3, round(half_px))
    inside = within(points, image, half + 2)
    found = np.full_like(points, np.nan)
    if not inside.any():
        return found
    start = points[inside].astype(np.float32).reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-3)
    moved = cv2.cornerSubPix(image, start.copy(), (half, half), (-1, -1), stop).reshape(-1, 2).astype(np.float64)
    moved[np.hypot(*(moved - points[inside]).T) > 0.7 * half] = np.nan
    found[inside] = moved
    return found


def grow(points: Points, scores: Points, pitch: tuple[float, float]) -> CornerGrid | None:
    """The largest grid among points: from one point and two steps, each next one is sought where it should be.

    Steps, between `pitch` pixels long at first, are taken over from the nearest point that is already in, so that
    perspective and distortion may bend the grid. Points and scores are those of `find_corners`.
    """
    from scipy.spatial import cKDTree

    if len(points) < 4:
        return None
    tree = cKDTree(points)
    best: dict[tuple[int, int], int] = {}
    for seed in range(min(12, len(points))):
        if seed in best.values():
            continue
        near = [k for k in tree.query_ball_point(points[seed], pitch[1]) if k != seed]
        steps = points[near] - points[seed]
        lengths = np.hypot(*steps.T) if len(near) else np.zeros(0)
        order = [i for i in np.argsort(lengths) if lengths[i] >= pitch[0]][:12]
        right = [i for i in order if steps[i][0] > abs(steps[i][1])]
        down = [i for i in order if steps[i][1] >= abs(steps[i][0])]
        for i in right[:4]:
            for j in down[:4]:
                cross = steps[i][0] * steps[j][1] - steps[i][1] * steps[j][0]
                if 0.6 < lengths[i] / lengths[j] < 1.67 and cross > 0.8 * lengths[i] * lengths[j]:
                    best = max(best, _grown(points, tree, seed, steps[i], steps[j]), key=len)
    if len(best) < 4:
        return None
    places = np.array(list(best))
    first = places.min(0)
    shape, at, which = tuple(places.max(0) - first + 1), tuple((places - first).T), list(best.values())
    grid, polarity = np.full((*shape, 2), np.nan), np.zeros(shape, np.int8)
    grid[at], polarity[at] = points[which], np.where(scores[which] > 0, -1, 1)
    return CornerGrid(grid, polarity, float(np.median(np.abs(scores[which]))))


def _grown(points: Points, tree: Any, seed: int, right: Points, down: Points) -> dict[tuple[int, int], int]:
    """Place (row, column) in the grid to number of point."""
    taken = {(0, 0): seed}
    used = {seed}
    steps = {(0, 0): (right, down)}
    queue = [(0, 0)]
    while queue:
        here = queue.pop(0)
        for sign in (1, -1):
            for axis in (0, 1):
                there = (here[0] + sign * (axis == 1), here[1] + sign * (axis == 0))
                if there in taken:
                    continue
                step = steps[here][axis]
                distance, k = tree.query(points[taken[here]] + sign * step)
                if k in used or distance > 0.18 * np.hypot(*step):
                    continue
                taken[there] = int(k)
                used.add(int(k))
                seen = sign * (points[k] - points[taken[here]])
                steps[there] = (seen, steps[here][1]) if axis == 0 else (steps[here][0], seen)
                queue.append(there)
    return taken


@dataclass(frozen=True)
class Candidate:
    """One way to lay a chart onto a grid.

    Args:
        index: (R, C) number of the marker at each corner of the grid, -1 for none.
        agrees: (R, C) whether a corner's polarity is that marker's.
        agreement: share of the grid's corners of which it is.
        quarters, mirrored: how the chart is seen in the picture, see `turned`.
    """

    index: npt.NDArray[np.int64]
    agrees: npt.NDArray[np.bool_]
    agreement: float
    quarters: int
    mirrored: bool


@dataclass(frozen=True)
class Correspondence(Candidate):
    """A candidate that was looked at: the map that follows, and its `noise_correlation`."""

    grid: CornerGrid
    mapping: Mapping
    correlation: float

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(N,) numbers of the markers that were found."""
        return self.index[self.index >= 0]


def candidates(grid: CornerGrid, chart: BernoulliChart) -> list[Candidate]:
    """All ways to lay the chart onto the grid, best agreement of polarities first."""
    numbers = np.arange(chart.polarity.size).reshape(chart.polarity.shape)
    seen = grid.polarity != 0
    rows, columns = seen.shape
    found = []
    for quarters in range(4):
        for mirrored in (False, True):
            # Corners beyond the chart, found in what stands around it, are left out; most must be within.
            around = ((rows,) * 2, (columns,) * 2)
            code = np.pad(seen_polarity(chart.polarity, quarters, mirrored), around)
            index = np.pad(turned(numbers, quarters, mirrored), around, constant_values=-1)
            for row in range(code.shape[0] - rows + 1):
                for column in range(code.shape[1] - columns + 1):
                    there = (slice(row, row + rows), slice(column, column + columns))
                    inside = seen & (index[there] >= 0)
                    if int(inside.sum()) >= max(4, 0.8 * grid.count):
                        agrees = inside & (code[there] == grid.polarity)
                        share = float(agrees.sum()) / grid.count
                        found.append(Candidate(np.where(inside, index[there], -1), agrees, share, quarters, mirrored))
    return sorted(found, key=lambda one: -one.agreement)


def correspond(candidate: Candidate, grid: CornerGrid, image: _Picture, chart: BernoulliChart) -> Correspondence:
    """A candidate with its map, and with the correlation of the picture with the chart's noise."""
    # A corner of the wrong polarity is none of the markers: it would bend the map.
    where = candidate.agrees if candidate.agrees.sum() >= 4 else candidate.index >= 0
    chart_points = chart.markers[candidate.index[where]]
    mapping = mappings.fit(chart_points, grid.points[where], (image.shape[0], image.shape[1]), outlier_px=2.0)
    correlation = noise_correlation(*noise_cells(mapping, image, chart, chart_points))
    return Correspondence(**vars(candidate), grid=grid, mapping=mapping, correlation=correlation)


def noise_cells(
    mapping: Mapping, image: _Picture, chart: BernoulliChart, near: Points
) -> tuple[_Picture, Points, Points]:
    """Cells of the chart's noise from the rectangle around chart points `near` (N, 2), as the picture shows them.

    Returns:
        (H, W) picture less the means around its pixels; (n, 2) middles of cells in it; (n,) 1/2 for white, -1/2 for
        black. n is 0 where so few cells are in the picture that they say nothing.
    """
    cv2 = opencv()
    generator = np.random.default_rng(0)
    low, high = near.min(0), near.max(0)
    cells = np.floor(generator.uniform(low, high, (2 * _SAMPLES, 2))).astype(int)
    to_marker = np.abs((cells + 0.5 - chart.markers[0] + chart.block / 2) % chart.block - chart.block / 2)
    cells = cells[(to_marker > chart.square).any(1)][:_SAMPLES]
    places = mapping.to_image(cells + 0.5)
    inside = within(places, image)
    if inside.sum() < 200:
        inside[:] = False
    reach = max(3, int(4 * float(np.median(mapping.cell_px(cells[:200] + 0.5))))) | 1
    around = cv2.blur(image, (reach, reach))
    return image - around, places[inside], chart.pattern[cells[inside, 1], cells[inside, 0]] - 0.5


def noise_correlation(high: _Picture, places: Points, signs: Points) -> float:
    """Correlation of the picture's values at the middles of noise cells with black and white, see `noise_cells`."""
    if not len(places):
        return 0.0
    x, y = places.astype(np.float32).T
    # remap takes at most 32767 places along an axis, so a column of them would do as well as a square.
    values = opencv().remap(high, x[:, None], y[:, None], opencv().INTER_LINEAR).ravel().astype(np.float64)
    spread = values.std() * signs.std()
    return float(((values - values.mean()) * (signs - signs.mean())).mean() / spread) if spread > 0 else 0.0


def square_levels(image: _Picture, chart: BernoulliChart, mapping: Mapping, numbers: Any, half: int) -> _Array:
    """(N, 4) means in the middles of markers' squares: top left, top right, bottom left, bottom right.

    `numbers` (N,) are the markers', `half` is half the side in pixels of what is averaged; beyond the picture its
    border goes on.
    """
    middles = chart.markers[numbers][:, None] + chart.square / 2 * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    mean = opencv().blur(image, (2 * half + 1, 2 * half + 1), borderType=opencv().BORDER_REPLICATE)
    x, y = np.nan_to_num(mapping.to_image(middles.reshape(-1, 2)), nan=-1e6).round().astype(int).T
    at = (np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1))
    return np.asarray(mean[at], dtype=np.float64).reshape(-1, 4)
