"""X-corners in a picture, and the lattice that they form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_Points = npt.NDArray[np.float64]

_TEMPLATE = 6
"""Side of the detector's quarters in pixels of the reduced picture; even, so that a quarter has a middle."""


@dataclass(frozen=True)
class Lattice:
    """X-corners in rows and columns as they are seen in the picture.

    Args:
        points: (R, C, 2) places (x, y) in pixels; NaN where none was found. Rows go down, columns to the right.
        polarity: (R, C) +1 where the top left and bottom right quarters are dark, -1 where the others are, 0 for none.
        contrast: median score of its corners, see `find_corners`.
    """

    points: _Points
    polarity: npt.NDArray[np.int8]
    contrast: float = 0.0

    @property
    def count(self) -> int:
        """How many corners it has."""
        return int((self.polarity != 0).sum())

    @property
    def plausible(self) -> bool:
        """Whether it looks like a lattice of markers, which a few corners in noise or clutter do not."""
        return self.count >= 9 and self.contrast > 0.25 and self.count >= 0.7 * self.polarity.size


def opencv() -> Any:
    """The module cv2.

    Raises:
        RuntimeError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise RuntimeError("diagnostic a chart needs OpenCV; pip install 'dirtypixels[calibrate]'") from error
    return cv2


def find_corners(image: npt.NDArray[np.float32], square_px: float) -> tuple[_Points, _Points]:
    """Places where two dark and two bright squares meet.

    With a, b, c, d the means of the four quarters around a pixel (a and d on one diagonal),
    ``score = |a + d - b - c| / 2 - max(|a - d|, |b - c|)``, over the local mean. Noise, edges and the corner of a
    single square score low, because one diagonal of theirs is not of one brightness.

    Args:
        image: (H, W) linear light.
        square_px: the quarters' side in pixels, at most the squares' own.

    Returns:
        (N, 2) places (x, y) to about a pixel of the reduced picture, best first; (N,) signed scores, negative where the
        top left quarter is dark.
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

    def moved(dy: int, dx: int) -> _Array:
        return np.asarray(cv2.copyMakeBorder(mean, half, half, half, half, cv2.BORDER_REPLICATE))[
            half + dy * half : half + dy * half + height, half + dx * half : half + dx * half + width
        ]

    a, b, c, d = moved(-1, -1), moved(-1, 1), moved(1, -1), moved(1, 1)
    signed = (a + d - b - c) / 2
    score = np.abs(signed) - np.maximum(np.abs(a - d), np.abs(b - c))
    around = cv2.blur(small, (6 * size + 1, 6 * size + 1), borderType=cv2.BORDER_REFLECT)
    score = score / np.maximum(np.abs(around), 1e-3 * float(np.abs(around).max()) + 1e-12)
    highest = cv2.dilate(score, np.ones((2 * half + 1, 2 * half + 1), np.uint8))
    y, x = np.nonzero((score == highest) & (score > 0.08))
    if not len(x):
        return np.zeros((0, 2)), np.zeros(0)
    values = score[y, x]
    order = np.argsort(-values)[:5000]
    # Noise makes weak corners by the thousand. Markers are within a factor of two of each other, vignetting aside.
    order = order[values[order] > 0.4 * values[order[min(4, len(order) - 1)]]]
    # A corner between reduced pixels i - 1 and i lies at i - 0.5; a reduced pixel i covers factor * i ... + factor - 1.
    places = np.stack([x[order], y[order]], 1).astype(np.float64)
    full = places * factor - 0.5
    return full, values[order] * np.sign(signed[y, x][order])


def refine(image: npt.NDArray[np.float32], points: _Points, half_px: float) -> _Points:
    """X-corners to a fraction of a pixel: where the gradients around are at right angles to the way to them.

    Returns:
        (N, 2); NaN where a place moved by more than half the window or the window leaves the picture.

    Source: Foerstner, Guelch 1987 (the corner as the point of least squares); OpenCV's cornerSubPix.
    """
    cv2 = opencv()
    half = max(3, round(half_px))
    height, width = image.shape
    inside = (points > half + 2).all(1) & (points[:, 0] < width - half - 3) & (points[:, 1] < height - half - 3)
    found = np.full_like(points, np.nan)
    if not inside.any():
        return found
    start = points[inside].astype(np.float32).reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-3)
    moved = cv2.cornerSubPix(image, start.copy(), (half, half), (-1, -1), stop).reshape(-1, 2).astype(np.float64)
    moved[np.hypot(*(moved - points[inside]).T) > 0.7 * half] = np.nan
    found[inside] = moved
    return found


def grow(points: _Points, scores: _Points, pitch: tuple[float, float]) -> Lattice | None:
    """The largest lattice among points: from one point and two steps, each next one is sought where it should be.

    Steps are taken over from the nearest point that is already in, so that perspective and distortion may bend it.

    Args:
        points: (N, 2), best first.
        scores: (N,) signed.
        pitch: least and largest length of a step in pixels.
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
                alike = 0.6 < lengths[i] / lengths[j] < 1.67 and cross > 0.8 * lengths[i] * lengths[j]
                if alike:
                    found = _grown(points, tree, seed, steps[i], steps[j])
                    best = max(best, found, key=len)
    if len(best) < 4:
        return None
    places = np.array(list(best))
    first = places.min(0)
    shape = tuple(places.max(0) - first + 1)
    lattice, polarity = np.full((*shape, 2), np.nan), np.zeros(shape, np.int8)
    for (row, column), k in best.items():
        lattice[row - first[0], column - first[1]] = points[k]
        polarity[row - first[0], column - first[1]] = -1 if scores[k] > 0 else 1
    return Lattice(lattice, polarity, float(np.median(np.abs(scores[list(best.values())]))))


def _grown(points: _Points, tree: Any, seed: int, right: _Points, down: _Points) -> dict[tuple[int, int], int]:
    """Lattice place (row, column) to number of point."""
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
