"""A small simulated capture of a chart, made in another way than the package reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from dirtypixels.calibrate.psf.alignment import Alignment, align
from dirtypixels.calibrate.psf.chart import BernoulliChart

Array = npt.NDArray[Any]

BLACK, WHITE, WALL = 0.04, 0.8, 0.45
"""Signals of the chart's black and white and of what stands around it, in the middle of the frame."""

FALLOFF = 0.4
"""By how much the corners of the frame are darker."""


@dataclass(frozen=True)
class Scene:
    """A chart before a lens. The map goes from picture to chart, in closed form: undistort, then perspective.

    Its distortion is a polynomial the other way round than the package's, so that the package fits another family.
    """

    chart: BernoulliChart = field(default_factory=lambda: BernoulliChart.for_sensor(640, 480, cell_px=1.8))
    size: tuple[int, int] = (480, 640)
    cell_px: float = 1.6
    turn_degrees: float = 3.0
    tilt: tuple[float, float] = (0.03, 0.02)
    distortion: tuple[float, float] = (0.05, 0.01)
    center: tuple[float, float] = (0.02, -0.01)
    bow_px: float = 0.0

    def to_chart(self, points: Array) -> Array:
        """(N, 2) pixels to chart coordinates."""
        height, width = self.size
        half = np.hypot(height, width) / 2
        x, y = ((points - [(width - 1) / 2, (height - 1) / 2]) / half).T
        u, v = x - self.center[0], y - self.center[1]
        r2 = u * u + v * v
        grown = 1 + self.distortion[0] * r2 + self.distortion[1] * r2 * r2
        x, y = self.center[0] + u * grown, self.center[1] + v * grown
        depth = 1 + self.tilt[0] * x + self.tilt[1] * y
        angle = np.deg2rad(self.turn_degrees)
        x, y = x / depth * half, y / depth * half
        # Paper that bulges: points move along x by a smooth amount that no perspective and no lens makes.
        x = x + self.bow_px * np.cos(2.5 * y / half) * np.sin(4.0 * x / half)
        across, down = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        middle = np.array(self.chart.shape[::-1]) / 2
        return np.stack([across, down], 1) / self.cell_px + middle

    @cached_property
    def sharp(self) -> Array:
        """(H, W) white fraction of each pixel by 5 x 5 points; beyond the chart the wall's level as one."""
        n = 5
        offsets = (np.arange(n) + 0.5) / n - 0.5
        total = np.zeros(self.size)
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        for dy in offsets:
            for dx in offsets:
                total += self.seen(np.stack([(x + dx).ravel(), (y + dy).ravel()], 1)).reshape(self.size)
        return total / n**2

    def seen(self, points: Array) -> Array:
        """White fraction at picture points, 0 or 1 on the chart."""
        found = np.floor(self.to_chart(points)).astype(int)
        height, width = self.chart.shape
        column, row = found.T
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        values = self.chart.pattern[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return np.where(inside, values, (WALL - BLACK) / (WHITE - BLACK))

    @cached_property
    def falloff(self) -> Array:
        """(H, W) vignetting."""
        height, width = self.size
        y, x = np.mgrid[:height, :width]
        r2 = ((x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2) / (height**2 + width**2) * 4
        return 1 - FALLOFF * r2

    def on_chart(self, inset_cells: float = 0.0, count: int = 40) -> Array:
        """(N, 2) pixels on a grid over the frame that see the chart, at least so many cells from its edge."""
        grid = np.meshgrid(np.linspace(0, self.size[1] - 1, count), np.linspace(0, self.size[0] - 1, count))
        points = np.stack([a.ravel() for a in grid], 1)
        found = self.to_chart(points)
        last = np.array(self.chart.shape[::-1]) - inset_cells
        return points[(found > inset_cells).all(1) & (found < last).all(1)]


Capture = Callable[..., Array]


@pytest.fixture(scope="session")
def scene() -> Scene:
    """The ordinary one."""
    return make_scene()


@cache
def make_scene(**changes: Any) -> Scene:
    return Scene(**changes)


@pytest.fixture(scope="session")
def scenes() -> Callable[..., Scene]:
    """Makes scenes; those asked for again are not rendered again."""
    return make_scene


@pytest.fixture(scope="session")
def capture() -> Capture:
    """Takes a picture of a scene: (H, W) signal with a Gaussian blur in pixels and noise so far below the chart.

    The chart's signal is its standard deviation after the blur.
    """

    def take(scene: Scene, blur: float = 1.0, snr_db: float = 40.0, seed: int = 0) -> Array:
        soft = ndimage.gaussian_filter(scene.sharp, blur, mode="nearest") if blur else scene.sharp
        light = (BLACK + (WHITE - BLACK) * soft) * scene.falloff
        noise = np.random.default_rng(seed).normal(size=scene.size)
        return light + light.std() * 10 ** (-snr_db / 20) * noise

    return take


@pytest.fixture(scope="session")
def aligned(scene: Scene, capture: Capture) -> Alignment:
    """The alignment of a good picture of the ordinary scene."""
    return align(capture(scene), scene.chart)
