"""Noise over gain that somebody else measured."""

from __future__ import annotations

import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.camera.noise import NoiseCurve


class ImportedCurve(NoiseCurve):
    """A `NoiseCurve` of somebody else, with where it comes from and what is to be known of it.

    Args:
        name: the camera, as the source names it; None where it does not.
        iso: (N,) gains, > 0, increasing.
        alpha: (N,), (N, 1) or (N, 3) Poisson scale, in units of the signal; 3 are red, green, blue.
        sigma: Gaussian standard deviation, likewise.
        source: what was read, how it was measured and what was made of it, for the profile.
        diagnostics: what was left out or cannot be trusted.

    Raises:
        ValueError: as `NoiseCurve`.
    """

    def __init__(
        self,
        name: str | None,
        iso: npt.ArrayLike,
        alpha: npt.ArrayLike,
        sigma: npt.ArrayLike,
        source: str,
        diagnostics: tuple[Diagnostic, ...] = (),
    ) -> None:
        super().__init__(iso, alpha, sigma)
        self.name, self.source, self.diagnostics = name, source, diagnostics
