"""What tests of the algorithms share: a blurred capture, and some iterations from its start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dirtypixels.blur import transfer_function
from dirtypixels.camera import gaussian_psf
from dirtypixels.restore.terms import Gaussian

SIZE = (7, 6)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blurred(batch: int = 2, channels: int = 3, size: tuple[int, int] = SIZE) -> Gaussian:
    otf = transfer_function(gaussian_psf(0.6)[None].double(), size)
    return Gaussian(random(batch, channels, *size), otf, torch.linspace(0.5, 2, batch).double().view(-1, 1, 1, 1))


def advance(step: Any, term: Any, times: int = 3, context: Tensor | None = None) -> Tensor:
    state = step.start(term.start())
    for _ in range(times):
        state = step(state, term, context)
    image: Tensor = state.x
    return image
