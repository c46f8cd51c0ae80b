"""A blurred capture in Fourier space, where its blur is a product and can be divided out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dirtypixels.observation import Observation
from dirtypixels.restore.border import continue_blurred, wiener_filter

LEAST_VARIANCE = 1e-8  # taken for a capture without noise, so that its weight is finite


@dataclass(frozen=True)
class Blurred:
    """A capture continued beyond its frame to a circular image.

    signal: (B, C, H', W'), the frame in its first rows and columns; spectrum: its real Fourier transform; otf: of the
    PSF, (1|B, 1|C, H', W' // 2 + 1); variance: mean noise variance of each image and channel, (B, C, 1, 1).
    """

    signal: Tensor
    spectrum: Tensor
    otf: Tensor
    variance: Tensor
    frame: tuple[int, int]

    @classmethod
    def of(cls, obs: Observation, passes: int) -> Blurred:
        """Of an observation; `passes` as for `border.continue_blurred`.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: obs has no psf, or samples are missing.
        """
        if not isinstance(obs, Observation):
            raise TypeError(f"obs must be an Observation; found {type(obs).__name__}")
        if obs.psf is None:
            raise ValueError("obs must have a psf to deblur by; found none (denoise captures without blur)")
        obs.check_complete()
        y = obs.signal
        psf = obs.psf.to(y)
        mean = y.mean((-2, -1), keepdim=True).clamp_min(0)
        variance = (obs.alpha * mean + obs.sigma**2).clamp_min(LEAST_VARIANCE)
        signal, otf = continue_blurred(y, psf, variance, passes)
        return cls(signal, torch.fft.rfft2(signal), otf, variance, (y.shape[-2], y.shape[-1]))

    def wiener(self, variance: Tensor) -> Tensor:
        """The scene by Wiener's filter, circular, (B, C, H', W')."""
        return self.image(wiener_filter(self.otf, variance, self.size) * self.spectrum)

    def image(self, spectrum: Tensor) -> Tensor:
        """The circular image with this real Fourier transform."""
        found: Tensor = torch.fft.irfft2(spectrum, s=self.size)
        return found

    def crop(self, x: Tensor) -> Tensor:
        """The frame of a circular image."""
        return x[..., : self.frame[0], : self.frame[1]]

    @property
    def size(self) -> tuple[int, int]:
        return self.signal.shape[-2], self.signal.shape[-1]
