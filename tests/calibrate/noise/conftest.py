"""A simulated sensor whose noise is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from dirtypixels.raw.frames import Frame, plane_slices


@dataclass
class Sensor:
    """``clip(round(black + (white - black) s), 0, white), s = alpha Poisson(x / alpha) + N(0, sigma^2)``.

    alpha = `alpha` x ISO / 100, sigma likewise; x = light x seconds x color x shading x PRNU + dark current x seconds.
    """

    shape: tuple[int, int] = (256, 256)
    cfa: str | None = "RGGB"
    alpha: float = 2e-4
    sigma: float = 2e-3
    black: tuple[float, float, float, float] = (256.0, 256.0, 256.0, 256.0)
    white: float = 4095.0
    colors: dict[str, float] = field(default_factory=lambda: {"R": 0.6, "Gr": 1.0, "Gb": 1.0, "B": 0.7, "Y": 1.0})
    shading: float = 0.2  # loss of light in the corners
    prnu: float = 0.01
    dark_current: float = 0.0  # of the range a second
    hot: int = 0  # pixels that are hot by 0.3 of the range a second
    gamma: float = 1.0  # response of the mean
    seed: int = 0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        rows, columns = (np.linspace(-1, 1, n) for n in self.shape)
        radius = (rows[:, None] ** 2 + columns**2) / 2
        self.pattern = (1 - self.shading * radius) * (1 + self.prnu * self.random.standard_normal(self.shape))
        self.leak = np.full(self.shape, self.dark_current)
        places = self.random.choice(self.leak.size, self.hot, replace=False)
        self.leak.flat[places] += 0.3

    def frame(
        self,
        iso: float | None,
        seconds: float | None,
        light: float = 1.0,
        *,
        scene: npt.ArrayLike = 1.0,
        **stated: object,
    ) -> Frame:
        gain = (iso or 100.0) / 100.0
        alpha, sigma = self.alpha * gain, self.sigma * gain
        signal = np.empty(self.shape)
        time = 1.0 if seconds is None else seconds
        exposed = light * time * gain * self.pattern * np.asarray(scene)
        for plane, where in plane_slices(self.cfa).items():
            mean = (exposed[where] * self.colors[plane]) ** self.gamma + self.leak[where] * time * gain
            signal[where] = alpha * self.random.poisson(mean / alpha) + sigma * self.random.standard_normal(mean.shape)
        black = np.empty(self.shape)
        for index in range(4):
            black[index // 2 :: 2, index % 2 :: 2] = self.black[index]
        values = np.clip(np.round(black + (self.white - black) * signal), 0, self.white).astype(np.uint16)
        known: dict[str, object] = {"black": self.black, "white": self.white, "camera": "Simulated"}
        return Frame(values, self.cfa, iso=iso, exposure_s=seconds, **(known | stated))  # type: ignore[arg-type]

    def pairs(self, iso: float | None, times: Sequence[float], light: float = 1.0, **stated: object) -> list[Frame]:
        """Two frames of each exposure time."""
        return [self.frame(iso, t, light, **stated) for t in times for _ in range(2)]


@pytest.fixture(scope="session")
def sensor() -> type[Sensor]:
    """The class of simulated sensors."""
    return Sensor
