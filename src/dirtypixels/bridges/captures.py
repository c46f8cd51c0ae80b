"""What a deepinv physics knows about its captures, as an Observation."""

from __future__ import annotations

from typing import Any

import torch
from deepinv import physics as dip
from torch import Tensor

from dirtypixels import checks
from dirtypixels.bridges.cameras import CameraPhysics, per_image
from dirtypixels.observation import Observation

_PHYSICS = "Denoising, Blur, BlurFFT, Inpainting or a camera_physics"
_NOISE = "GaussianNoise, PoissonNoise, PoissonGaussianNoise or ZeroNoise"


def observe(y: Tensor, physics: Any, clip: bool) -> Observation:
    """See `dirtypixels.bridges.deepinv.observation`."""
    checks.is_tensor("y", y)
    checks.has_shape("y", y, ("B", "C", "H", "W"))
    psf, cfa = _lens(physics, y), None
    alpha, sigma, unit = _noise(physics.noise_model)
    alpha, sigma = per_image("gain", alpha, y), per_image("sigma", sigma, y)
    if isinstance(physics, dip.Inpainting):
        mask = _given("mask", physics.mask, physics)
        cfa = mask.to(y).expand(mask.shape[0], *y.shape[1:])
    signal = y * per_image("gain", unit, y)
    return Observation(signal.clamp(0.0, 1.0) if clip else signal, alpha, sigma, psf, cfa)


def _lens(physics: Any, y: Tensor) -> Tensor | None:
    """The PSF of a physics for captures y; None for a sharp one."""
    if isinstance(physics, CameraPhysics):
        return physics.psf(y)
    if isinstance(physics, (dip.Blur, dip.BlurFFT)):
        taps = _given("filter", physics.filter, physics)
        # The tap at size // 2 is the center, which an odd size has in its middle.
        down, across = ((size + 1) % 2 for size in taps.shape[-2:])
        psf: Tensor = torch.nn.functional.pad(taps, (0, across, 0, down)).to(y)
        return psf
    if isinstance(physics, (dip.Denoising, dip.Inpainting)):
        return None
    raise ValueError(f"physics must be {_PHYSICS}; found {type(physics).__name__}")


def _noise(model: Any) -> tuple[Any, Any, Any]:
    """alpha, sigma, and what one unit of the measurements is in units of the signal."""
    if isinstance(model, dip.PoissonGaussianNoise):
        gain = torch.as_tensor(model.gain)
        return torch.where(gain > torch.as_tensor(model.min_gain).to(gain), gain, 0.0), model.sigma, 1.0
    if isinstance(model, dip.PoissonNoise):
        return model.gain, 0.0, 1.0 if bool(model.normalize) else model.gain
    if isinstance(model, dip.GaussianNoise):
        return 0.0, model.sigma, 1.0
    if isinstance(model, dip.ZeroNoise):
        return 0.0, 0.0, 1.0
    raise ValueError(f"noise of the physics must be {_NOISE}; found {type(model).__name__}")


def _given(name: str, value: Tensor | None, physics: Any) -> Tensor:
    if value is None:
        raise ValueError(f"physics must have its {name} set; found {type(physics).__name__} without")
    return value
