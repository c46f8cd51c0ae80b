"""Image formation: light to electrons to numbers, as a sensor does it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from dirtypixels import checks

Transfer = Literal["linear", "srgb"]
Generators = torch.Generator | Sequence[torch.Generator] | None


def linear_scene(scene: Tensor, transfer: Transfer) -> Tensor:
    """The light of a scene, from its picture.

    Args:
        scene: (B, C, H, W) in [0, 1].
        transfer: "linear" takes the picture's values as light, as the paper simulates; "srgb" undoes the sRGB curve
            (IEC 61966-2-1) first, as is right for an ordinary photograph.

    Raises:
        ValueError: transfer is none of these.

    >>> linear_scene(torch.full((1, 3, 8, 8), 0.5), "srgb").mean()
    tensor(0.2140)
    """
    checks.one_of("transfer", transfer, get_args(Transfer))
    if transfer == "linear":
        return scene
    return torch.where(scene <= 0.04045, scene / 12.92, ((scene + 0.055) / 1.055) ** 2.4)


def poisson_gaussian(light: Tensor, alpha: Tensor, sigma: Tensor, generator: Generators = None) -> Tensor:
    """Sample a sensor's signal.

    ``clip(alpha * Poisson(light / alpha) + N(0, sigma^2), 0, 1)``, and ``light`` in place of the first term where
    alpha is 0.

    Args:
        light: (B, C, H, W), >= 0, white level 1.
        alpha: (B, 1|C, 1, 1), >= 0, in units of the signal.
        sigma: (B, 1|C, 1, 1), >= 0, in units of the signal.
        generator: one generator for the batch; or one for each image, which makes an image's noise independent of
            the batch that it is in.

    Raises:
        ValueError: light, alpha or sigma is negative or not finite, or there is not one generator for each image.

    Source: Foi et al. 2008, eq. 1; Foi 2009 (clipping).

    >>> alpha, sigma = torch.full((1, 1, 1, 1), 0.01), torch.full((1, 1, 1, 1), 0.02)
    >>> signal = poisson_gaussian(torch.full((1, 3, 64, 64), 0.5), alpha, sigma, torch.Generator().manual_seed(0))
    >>> round(float(signal.var()), 4)  # alpha * 0.5 + sigma^2
    0.0054
    """
    for name, value in (("light", light), ("alpha", alpha), ("sigma", sigma)):
        checks.in_range(name, value, low=0.0)
    if isinstance(generator, Sequence):
        if len(generator) != len(light):
            raise ValueError(f"generator must hold one for each of {len(light)} images; found {len(generator)}")
        images = range(len(light))
        alpha, sigma = (v.expand(len(light), *v.shape[1:]) for v in (alpha, sigma))
        return torch.cat(
            [poisson_gaussian(light[i : i + 1], alpha[i : i + 1], sigma[i : i + 1], generator[i]) for i in images]
        )
    has_shot_noise = alpha > 0
    rate = light / torch.where(has_shot_noise, alpha, torch.ones_like(alpha))
    shot = torch.where(has_shot_noise, alpha * torch.poisson(rate, generator=generator), light)
    read = torch.randn(light.shape, dtype=light.dtype, device=light.device, generator=generator)
    return (shot + sigma * read).clamp(0.0, 1.0)


def in_frame(scene: Tensor, signal: Tensor) -> Tensor:
    """The middle of a scene (..., H, W) that a capture cropped by its lens shows, at the signal's height and width.

    >>> in_frame(torch.arange(5.0).expand(1, 1, 4, 5), torch.zeros(1, 1, 2, 3))[0, 0].tolist()
    [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    """
    height, width = signal.shape[-2:]
    top, left = (scene.shape[-2] - height) // 2, (scene.shape[-1] - width) // 2
    return scene[..., top : top + height, left : left + width]


def realization(seed: int, key: str, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one photograph's noise: it depends on the study's seed and the photograph's key alone.

    >>> realization(0, "a.png").initial_seed() == realization(0, "a.png").initial_seed()
    True
    """
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "big") >> 1)
