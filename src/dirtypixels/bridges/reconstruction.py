"""Our units as deepinv's reconstructors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from deepinv import physics as dip
from deepinv.models import Reconstructor
from torch import Tensor

from dirtypixels.blur import mirror_index
from dirtypixels.bridges.cameras import CameraPhysics
from dirtypixels.bridges.captures import observe
from dirtypixels.observation import Observation

_REACH = 16  # pixels by which a circular capture is continued, besides the PSF's size


class UnitReconstructor(Reconstructor):
    """A unit as a deepinv Reconstructor; see `dirtypixels.bridges.deepinv.reconstructor`."""

    def __init__(self, unit: Any, clip: bool = True) -> None:
        super().__init__()
        self.unit, self.clip = unit, clip

    def forward(self, y: Tensor, physics: Any, **kwargs: Any) -> Tensor:
        """The image, (B, C, H, W): what `physics.A` takes.

        Raises:
            TypeError, ValueError: see `dirtypixels.bridges.deepinv.observation`; the unit gives another shape.
        """
        obs = observe(y, physics, self.clip)
        if obs.psf is None or not _is_circular(physics):
            return _grown(self._image(obs), *_lost(physics))
        down, across = (size + _REACH for size in obs.psf.shape[-2:])
        image = self._image(replace(obs, signal=_repeated(obs.signal, down, across)))
        return image[..., down : down + y.shape[-2], across : across + y.shape[-1]]

    def _image(self, obs: Observation) -> Tensor:
        image = self.unit(obs)
        if not isinstance(image, Tensor) or image.shape != obs.signal.shape:
            shape = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
            raise ValueError(f"unit must give an image of the signal's shape {tuple(obs.signal.shape)}; found {shape}")
        return image


def _is_circular(physics: Any) -> bool:
    return isinstance(physics, dip.BlurFFT) or (isinstance(physics, dip.Blur) and physics.padding == "circular")


def _lost(physics: Any) -> tuple[int, int, int, int]:
    """Rows and columns of the scene that a capture lacks: above, below, left, right."""
    if isinstance(physics, CameraPhysics) and physics.beyond == "crop":
        height, width = physics.kernel
    elif isinstance(physics, dip.Blur) and physics.padding == "valid":
        height, width = physics.filter.shape[-2:]
    else:
        return 0, 0, 0, 0
    return height - 1 - height // 2, height // 2, width - 1 - width // 2, width // 2


def _grown(image: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    for dim, before, after in ((-2, top, bottom), (-1, left, right)):
        if before or after:
            size = image.shape[dim]
            image = image.index_select(
                dim, mirror_index(torch.arange(-before, size + after, device=image.device), size)
            )
    return image


def _repeated(image: Tensor, down: int, across: int) -> Tensor:
    for dim, more in ((-2, down), (-1, across)):
        size = image.shape[dim]
        image = image.index_select(dim, torch.arange(-more, size + more, device=image.device).remainder(size))
    return image
