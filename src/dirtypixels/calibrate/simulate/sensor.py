"""A sensor with everything known: light to digital numbers."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels import checks
from dirtypixels.camera import NoiseLevel
from dirtypixels.raw.frames import CFA_PATTERNS, plane_slices

Floats = npt.NDArray[np.float64]


class Sensor:
    """Mosaic, levels, and the pattern that stays the same in every frame.

    Args:
        height, width: in pixels; even where there is a cfa.
        cfa: colors of the top left 2 x 2 pixels in reading order; None for a monochrome sensor.
        bits: of a digital number, 1 to 16.
        black: black level in DN, one number or the four places of the 2 x 2 pattern in reading order.
        white: DN at which the sensor saturates; None for the largest of `bits`.
        prnu: standard deviation of the pixels' gains around 1.
        hot: part of the pixels that are hot, in [0, 1]; a hot pixel adds a signal of its own, evenly spread over
            [0.05, 1], to the light of every frame.
        seed: of the gains and the hot pixels.

    Raises:
        ValueError: a figure is out of range.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        cfa: str | None = "RGGB",
        bits: int = 12,
        black: float | tuple[float, float, float, float] = 0.0,
        white: float | None = None,
        prnu: float = 0.0,
        hot: float = 0.0,
        seed: int = 0,
    ) -> None:
        checks.one_of("cfa", cfa, (*CFA_PATTERNS, None))
        step = 1 if cfa is None else 2
        if min(height, width) < 2 or height % step or width % step:
            raise ValueError(f"height and width must be at least 2, and even with a cfa; found {height} x {width}")
        if not 1 <= bits <= 16:
            raise ValueError(f"bits must be from 1 to 16; found {bits}")
        self.height, self.width, self.cfa, self.bits, self.seed = height, width, cfa, bits, seed
        self.white = float(2**bits - 1 if white is None else white)
        self.black: tuple[float, float, float, float]
        self.black = tuple(np.broadcast_to(np.asarray(black, dtype=float), (4,)).tolist())  # type: ignore[assignment]
        if cfa is None and len(set(self.black)) > 1:
            raise ValueError(f"black must be one number for a monochrome sensor; found {self.black}")
        if not 0 <= min(self.black) <= max(self.black) < self.white <= 2**bits - 1:
            raise ValueError(
                f"black must be at least 0 and below white, which is at most {2**bits - 1}; "
                f"found black {black}, white {self.white:g}"
            )
        checks.in_range("prnu", prnu, 0.0, 0.3)
        checks.in_range("hot", hot, 0.0, 1.0)
        self.prnu, self.hot = prnu, hot

    def planes(self) -> dict[str, tuple[slice, slice]]:
        """Where each plane's samples lie, by the names of `Frame.planes`."""
        return plane_slices(self.cfa)

    def black_of(self, plane: str) -> float:
        rows, columns = self.planes()[plane]
        return self.black[2 * (rows.start or 0) + (columns.start or 0)]

    def digitize(self, light: Floats, noise: NoiseLevel, generator: torch.Generator | None = None) -> npt.NDArray[Any]:
        """Measure light.

        ``DN = clip(round(black + (white - black) s), 0, white),  s = alpha Poisson(light / alpha) + N(0, sigma^2)``

        The dark side is limited at DN 0, that is at a signal of -black / (white - black), not at 0.

        Args:
            light: (H, W), white level 1, >= 0.
            noise: alpha and sigma in units of the signal, numbers or (3,) for red, green and blue; a monochrome sensor
                has the noise of green.
            generator: random generator; None for torch's own.

        Returns:
            (H, W) uint16.

        Source: Foi et al. 2008, eq. 1; Foi 2009 (clipping).
        """
        if light.shape != (self.height, self.width):
            raise ValueError(f"light must have shape ({self.height}, {self.width}); found {light.shape}")
        checks.in_range("light", torch.from_numpy(light), low=0.0)
        values = np.empty(light.shape, dtype=np.uint16)
        for name, where in self.planes().items():
            alpha, sigma = (of_channel(figure, name) for figure in noise)
            rate = torch.from_numpy(light[where] * self.gains[where] + self.dark[where])
            shot = alpha * torch.poisson(rate / alpha, generator=generator) if alpha > 0 else rate
            signal = shot + sigma * torch.randn(rate.shape, dtype=rate.dtype, generator=generator)
            black = self.black_of(name)
            values[where] = (black + (self.white - black) * signal).round_().clamp_(0, self.white).numpy()
        return values

    @cached_property
    def gains(self) -> Floats:
        """(H, W), the pixels' gains: 1 on average, standard deviation `prnu`."""
        drawn = np.random.default_rng((self.seed, 0)).standard_normal((self.height, self.width))
        return np.asarray(np.maximum(1 + self.prnu * drawn, 0.0))

    @cached_property
    def dark(self) -> Floats:
        """(H, W), what a pixel adds to the light: 0, but for hot pixels."""
        found = np.zeros(self.height * self.width)
        draw = np.random.default_rng((self.seed, 1))
        count = math.ceil(self.hot * found.size)
        found[draw.choice(found.size, count, replace=False)] = draw.uniform(0.05, 1.0, count)
        return found.reshape(self.height, self.width)


def of_channel(figure: Any, plane: str) -> float:
    """A plane's figure: the one number, or of (3,) its color's; green's where there is no color."""
    return float(np.broadcast_to(np.asarray(figure, dtype=float), (3,))[channel_of(plane)])


def channel_of(plane: str) -> int:
    """The color channel of a plane: 0, 1, 2 for red, green, blue; a gray scene is seen in green."""
    return {"R": 0, "G": 1, "B": 2, "Y": 1}[plane[0]]
