"""A camera as a deepinv physics."""

from __future__ import annotations

from typing import Any

import torch
from deepinv.physics import LinearPhysics, PoissonGaussianNoise
from torch import Tensor

from dirtypixels.blur import Blur, FieldBlur
from dirtypixels.camera import poisson_gaussian
from dirtypixels.camera.optics import seen_by
from dirtypixels.camera.profile import Beyond


class CameraNoise(PoissonGaussianNoise):
    """The noise of a sensor, clipped: ``clip(gain * Poisson(x / gain) + N(0, sigma^2), 0, 1)``, x clipped first.

    With gain 0 the first term is x. See `camera.poisson_gaussian`.
    """

    def __init__(self, gain: Tensor, sigma: Tensor, rng: torch.Generator | None = None) -> None:
        super().__init__(gain=gain, sigma=sigma, clip_positive=True, min_gain=0.0, rng=rng)

    def forward(self, x: Tensor, gain: Any = None, sigma: Any = None, seed: int | None = None, **kwargs: Any) -> Tensor:
        self.update_parameters(gain=gain, sigma=sigma, **kwargs)
        self.rng_manual_seed(seed)
        alpha, deviation = per_image("gain", self.gain, x), per_image("sigma", self.sigma, x)
        # Fourier transforms round: what was in [0, 1] before a blur is in it afterwards, but for their errors.
        return poisson_gaussian(x.clamp(0.0, 1.0), alpha, deviation, self.rng)


class CameraPhysics(LinearPhysics):
    """Blur by a camera's lens and its sensor's noise; see `dirtypixels.bridges.deepinv.camera_physics`."""

    def __init__(
        self, gain: Tensor, sigma: Tensor, psfs: Tensor | None, beyond: Beyond, rng: torch.Generator | None
    ) -> None:
        device = "cpu" if rng is None else rng.device
        super().__init__(noise_model=CameraNoise(gain.to(device), sigma.to(device), rng), device=device)
        self.beyond: Beyond = beyond
        self.register_buffer("psfs", None if psfs is None else psfs.to(device))

    def A(self, x: Tensor, **kwargs: Any) -> Tensor:
        """The scene (B, C, H, W) as the lens shows it; smaller where nothing is made up beyond its border."""
        blur = self._blur(x)
        return x if blur is None else blur.forward(x)

    def A_adjoint(self, y: Tensor, **kwargs: Any) -> Tensor:
        """The transpose of `A`."""
        blur = self._blur(y)
        return y if blur is None else blur.adjoint(y)

    def psf(self, y: Tensor) -> Tensor | None:
        """The PSF for captures y, (1, 1|C, kh, kw); None where the lens is sharp or changes over the frame."""
        return None if self.psfs is None or self.psfs.ndim == 5 else seen_by(self.psfs.to(y), y.shape[1])

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the PSF; 1 and 1 for a sharp lens."""
        return (1, 1) if self.psfs is None else (self.psfs.shape[-2], self.psfs.shape[-1])

    def _blur(self, x: Tensor) -> Blur | FieldBlur | None:
        if self.psfs is None:
            return None
        psfs: Tensor = seen_by(self.psfs.to(x), x.shape[1])
        return Blur(psfs, self.beyond) if psfs.ndim == 4 else FieldBlur(psfs, self.beyond)


def per_image(name: str, value: Any, y: Tensor) -> Tensor:
    """A noise level of deepinv, a number or one for each image, as (B, 1, 1, 1).

    Raises:
        ValueError: it has another shape.
    """
    level = torch.as_tensor(value).to(y)
    if level.numel() not in (1, len(y)):
        raise ValueError(
            f"{name} of the noise must be a number or one for each of {len(y)} images; found {tuple(level.shape)}"
        )
    return level.reshape(-1, 1, 1, 1).expand(len(y), 1, 1, 1)
