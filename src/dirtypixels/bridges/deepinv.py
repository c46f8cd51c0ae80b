"""The bridge to deepinv: our units as its reconstructors, its denoisers as our prox, our cameras as its physics."""

from __future__ import annotations

import importlib
from typing import Any, get_args

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.bridges.denoisers import DenoiserProx
from dirtypixels.camera import Camera
from dirtypixels.camera.optics import Position
from dirtypixels.camera.profile import Beyond
from dirtypixels.observation import Observation

__all__ = ["DenoiserProx", "camera_physics", "observation", "reconstructor", "require_deepinv"]


def reconstructor(unit: Any, *, clip: bool = True) -> Any:
    """A unit as a `deepinv.models.Reconstructor`: ``model(y, physics)`` gives the image.

    What the physics knows goes to the unit as an Observation, see `observation`. Where the physics is a circular blur,
    the capture is continued as it repeats before the unit sees it. Where the blur asks for nothing beyond the scene, so
    that the capture is smaller than the scene, the unit's image is continued by its mirror image to the scene's size.
    The unit's parameters are the model's.

    Args:
        unit: Observation -> image (B, C, H, W) of the signal's size, a module or any function.
        clip: see `observation`.

    Raises:
        TypeError: unit cannot be called.
        ImportError: the package deepinv is not installed.

    Example:
        >>> import deepinv
        >>> import torch
        >>> import dirtypixels as dp
        >>> physics = deepinv.physics.Denoising(deepinv.physics.GaussianNoise(0.1))
        >>> model = dp.bridges.deepinv.reconstructor(dp.restore.Denoiser())
        >>> model(physics(torch.rand(2, 3, 32, 32)), physics).shape
        torch.Size([2, 3, 32, 32])
    """
    if not callable(unit):
        raise TypeError(f"unit must map an Observation to an image; found {type(unit).__name__}")
    require_deepinv()
    from dirtypixels.bridges.reconstruction import UnitReconstructor

    return UnitReconstructor(unit, clip)


def observation(y: Tensor, physics: Any, *, clip: bool = True) -> Observation:
    """A capture of deepinv as an Observation.

    | deepinv | Observation |
    |---|---|
    | `GaussianNoise(sigma)` | alpha 0, sigma |
    | `PoissonNoise(gain)` | alpha = gain, sigma 0; counts (`normalize=False`) are multiplied by the gain |
    | `PoissonGaussianNoise(gain, sigma)` | alpha = gain (0 up to its `min_gain`), sigma |
    | `ZeroNoise` | alpha 0, sigma 0 |
    | `Denoising` | no psf |
    | `Blur(filter)`, `BlurFFT(filter)` | psf = filter; an even size gets a row or column of zeros |
    | `Inpainting(mask)` | cfa = mask |
    | `camera_physics(...)` | as `Camera.capture` gives it |

    Args:
        y: (B, C, H, W), what the physics measured of an image in [0, 1].
        physics: one of the above.
        clip: whether to clip the signal to [0, 1], as an Observation's is; units expect it.

    Raises:
        TypeError: y is not a floating-point tensor.
        ValueError: the physics or its noise is none of the above, its filter is missing or no PSF, its mask is not in
            [0, 1], or y does not fit.
        ImportError: the package deepinv is not installed.

    Example:
        >>> import deepinv
        >>> import torch
        >>> import dirtypixels as dp
        >>> physics = deepinv.physics.Denoising(deepinv.physics.PoissonGaussianNoise(gain=0.02, sigma=0.1))
        >>> obs = dp.bridges.deepinv.observation(physics(torch.rand(1, 3, 8, 8)), physics)
        >>> round(obs.alpha.item(), 3), round(obs.sigma.item(), 3)
        (0.02, 0.1)
    """
    require_deepinv()
    from dirtypixels.bridges.captures import observe

    return observe(y, physics, clip)


def camera_physics(
    camera: Camera,
    lux: float | Tensor | None = None,
    position: Position | None = None,
    generator: torch.Generator | None = None,
    *,
    iso: float | Tensor | None = None,
    beyond: Beyond = "mirror",
) -> Any:
    """A camera as a `deepinv.physics.LinearPhysics`.

    ``A(x) = k * x``, and ``physics(x) = clip(alpha * Poisson(A(x) / alpha) + N(0, sigma^2), 0, 1)``

    For a scene in float32 and the same state of the generator these are the very numbers of `Camera.capture`. The
    noise model is a `PoissonGaussianNoise` with gain alpha whose result is clipped.

    Args:
        camera: the camera.
        lux: illuminance, > 0, a number or (B,); infinity for no noise. Give lux or iso.
        position: see `Camera.capture`; "field" blurs each place of the frame with its own PSF.
        generator: of the noise, on the scenes' device; None for the global one.
        iso: gain, >= 0, a number or (B,), in place of lux.
        beyond: see `Camera.capture`.

    Raises:
        TypeError: camera is no Camera.
        ValueError: not exactly one of lux and iso is given, or it is out of range or not a number or (B,); there is no
            such position, or the profile has no PSF field.
        ImportError: the package deepinv is not installed.

    Source: Foi et al. 2008, eq. 1; Foi 2009 (clipping).

    Example:
        >>> import torch
        >>> import dirtypixels as dp
        >>> camera = dp.Camera.load("nexus-6p-rear")
        >>> physics = dp.bridges.deepinv.camera_physics(camera, lux=6, position="offaxis")
        >>> physics(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    if not isinstance(camera, Camera):
        raise TypeError(f"camera must be a Camera; found {type(camera).__name__}")
    checks.one_of("beyond", beyond, get_args(Beyond))
    if (lux is None) == (iso is None):
        raise ValueError(f"give exactly one of lux and iso; found lux={lux}, iso={iso}")
    camera.check_position(position)
    if camera.noise.channels > 1:
        raise ValueError(
            f"camera must have one noise level for all channels, as deepinv's noise models do; {camera.name!r} has 3"
        )
    name, given = ("lux", lux) if lux is not None else ("iso", iso)
    values = torch.as_tensor(given, dtype=torch.float64)
    if values.ndim > 1:
        raise ValueError(f"{name} must be a number or have shape (B,); found {tuple(values.shape)}")
    level = camera.noise.at_lux(values) if name == "lux" else camera.noise.at_iso(values)
    alpha, sigma = (torch.as_tensor(v).to(torch.get_default_dtype()) for v in level)
    psfs = None
    if position == "field":
        assert camera.optics is not None  # check_position
        psfs = camera.optics.psfs
    elif position is not None:
        psfs = camera.psf(position)[None]
    require_deepinv()
    from dirtypixels.bridges.cameras import CameraPhysics

    return CameraPhysics(alpha, sigma, psfs, beyond, generator)


def require_deepinv() -> Any:
    """The package deepinv; where it is missing, ImportError with the way to install it."""
    try:
        return importlib.import_module("deepinv")
    except ModuleNotFoundError as error:
        if error.name != "deepinv":
            raise
        raise ImportError("this bridge needs the package deepinv: `pip install dirtypixels[deepinv]`") from error
