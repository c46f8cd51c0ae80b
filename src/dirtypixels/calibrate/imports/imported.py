"""Noise over gains that somebody else measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic


@dataclass(frozen=True, eq=False)
class ImportedNoise:
    """Alpha and sigma per gain and color channel, where they come from, and what is to be known of them.

    ``variance = alpha * mean + sigma^2``, in units of the signal.

    Args:
        name: the camera, as the source names it; None where it does not.
        iso: (N,) gains, > 0, increasing.
        alpha: (N, C) Poisson scale, > 0; C is 1 (for all colors) or 3 (red, green, blue).
        sigma: (N, C) Gaussian standard deviation, >= 0.
        source: what was read, how it was measured and what was made of it, for the profile.
        diagnostics: what was left out or cannot be trusted.

    Raises:
        ValueError: the shapes do not fit, or a figure is not finite or out of range.
    """

    name: str | None
    iso: npt.NDArray[np.float64]
    alpha: npt.NDArray[np.float64]
    sigma: npt.NDArray[np.float64]
    source: str
    diagnostics: tuple[Diagnostic, ...] = ()

    def __post_init__(self) -> None:
        shapes = self.iso.shape, self.alpha.shape, self.sigma.shape
        channels = self.alpha.shape[-1] if self.alpha.ndim == 2 else 0
        if self.iso.ndim != 1 or not self.iso.size or channels not in (1, 3) or shapes[1] != shapes[2]:
            raise ValueError(f"iso must be (N,), alpha and sigma (N, 1) or (N, 3), N at least 1; found {shapes}")
        if len(self.alpha) != len(self.iso):
            raise ValueError(f"iso, alpha and sigma must hold one row a gain; found {shapes}")
        if not (np.isfinite(self.iso).all() and self.iso[0] > 0 and (np.diff(self.iso) > 0).all()):
            raise ValueError(f"iso must be above 0, finite and increasing; found {self.iso.tolist()}")
        if not (np.isfinite(self.alpha).all() and (self.alpha > 0).all()):
            raise ValueError(f"alpha must be above 0 and finite; found values from {self.alpha.min():g}")
        if not (np.isfinite(self.sigma).all() and (self.sigma >= 0).all()):
            raise ValueError(f"sigma must be at least 0 and finite; found values from {self.sigma.min():g}")
