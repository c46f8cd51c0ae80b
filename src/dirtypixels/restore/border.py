"""What lies beyond the frame, for solvers whose Fourier transforms take the image as periodic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from dirtypixels.blur import mirror_index, transfer_function
from dirtypixels.observation import Observation

LEAST_VARIANCE = 1e-8  # taken for a capture without noise, so that its weight is finite

_LEAST_GAP = 16
_CONTRAST = 0.1  # standard deviation of differences between neighboring pixels in photographs


def make_periodic(x: Tensor, down: int, across: int | None = None) -> Tensor:
    """Append rows and columns that lead smoothly from each border to the opposite one.

    The gap holds the mirror image of both borders, faded into each other by a raised cosine, so the image seen as
    periodic has no jump, and what a filter sees across the border is the mirrored scene.

    Args:
        x: (B, C, H, W).
        down: rows to append, >= 0.
        across: columns to append, >= 0; as many as rows if None.

    Returns:
        (B, C, H + down, W + across); the frame is its first H rows and W columns.
    """
    for dim, gap in ((-2, down), (-1, down if across is None else across)):
        size = x.shape[dim]
        t = torch.arange(gap, device=x.device)
        fade = (0.5 + 0.5 * torch.cos(torch.pi * (t + 0.5) / max(gap, 1))).to(x)
        fade = fade[:, None] if dim == -2 else fade
        after = x.index_select(dim, mirror_index(size + t, size))
        before = x.index_select(dim, mirror_index(t - gap, size))
        x = torch.cat([x, fade * after + (1 - fade) * before], dim)
    return x


def continue_blurred(y: Tensor, psf: Tensor, variance: Tensor, passes: int = 4) -> tuple[Tensor, Tensor]:
    """Continue a blurred image to a periodic one that a scene could have given.

    What lies beyond the frame is unknown, and whatever is made up there that no blurred scene could be comes back as
    ringing when the blur is inverted. So the strip beyond the frame is taken from the blurred restoration of the whole,
    a few times (majorization of the data term that counts inside of the frame only):

    ``x = wiener(y);  y = y inside of the frame, psf * x beyond``

    Args:
        y: (B, C, H, W).
        psf: (1|B, 1|C, kh, kw), odd sizes.
        variance: (B, 1|C, 1, 1), of the noise; decides how much Wiener's filter restores.
        passes: how often, >= 0.

    Returns:
        (B, C, H', W'), H' >= H + kh - 1 and W' >= W + kw - 1; the frame is its first H rows and W columns;
        and the PSF's transfer function at that size, (1|B, 1|C, H', W' // 2 + 1).

    Source: Almeida and Figueiredo 2013 (unknown boundaries).
    """
    height, width = y.shape[-2:]
    size = tuple(
        next_fast_len(n + max(k - 1, _LEAST_GAP), True) for n, k in zip(y.shape[-2:], psf.shape[-2:], strict=True)
    )
    full = make_periodic(y, size[0] - height, size[1] - width)
    otf = transfer_function(psf, size)
    restore_and_blur = wiener_filter(otf, variance, size) * otf
    beyond = torch.ones(size, dtype=torch.bool, device=y.device)
    beyond[:height, :width] = False
    for _ in range(passes):
        blurred = torch.fft.irfft2(torch.fft.rfft2(full) * restore_and_blur, s=size)
        full = torch.where(beyond, blurred, full)
    return full, otf


def wiener_filter(otf: Tensor, variance: Tensor, size: tuple[int, int]) -> Tensor:
    """Wiener's filter for scenes with the average spectrum of photographs.

    ``conj(K) / (|K|^2 + variance / S),  S = t^2 / (|1 - e^(i u)|^2 + |1 - e^(i v)|^2)``

    Args:
        otf: K, (1|B, 1|C, H, W // 2 + 1).
        variance: (B, 1|C, 1, 1), of the noise, > 0.
        size: H, W.

    Returns:
        (B, 1|C, H, W // 2 + 1), complex.
    """
    u = 2 * torch.pi * torch.fft.fftfreq(size[0], dtype=variance.dtype, device=variance.device)[:, None]
    v = 2 * torch.pi * torch.fft.rfftfreq(size[1], dtype=variance.dtype, device=variance.device)
    gradient = 4 - 2 * u.cos() - 2 * v.cos()
    filtered: Tensor = otf.conj() / (otf.abs() ** 2 + variance / _CONTRAST**2 * gradient)
    return filtered


@dataclass(frozen=True)
class Blurred:
    """A blurred capture in Fourier space, continued beyond its frame to a circular image: the blur is a product.

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
        """Of an observation; `passes` as for `continue_blurred`.

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
