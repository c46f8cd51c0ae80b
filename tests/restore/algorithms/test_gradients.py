"""Gradients of unrolled iterations against finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dirtypixels.blur import transfer_function
from dirtypixels.camera import gaussian_psf
from dirtypixels.restore.algorithms import ALGORITHMS
from dirtypixels.restore.filters import gradient_filters
from dirtypixels.restore.prox import Prox
from dirtypixels.restore.terms import Gaussian, Weighted
from tests.restore.iterating import random

EVERY = pytest.mark.parametrize("name", ALGORITHMS)


class Smooth(Prox):
    """Smooth in all that it depends on, parameters included: ``z = v - a tanh(v + c) / penalty``."""

    def __init__(self, channels: int, features: int = 0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.1, 0.4, channels).double())
        self.shift = nn.Linear(features, channels, dtype=torch.float64) if features else None

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        flat = v.flatten(2)
        at = flat if self.shift is None or context is None else flat + self.shift(context)[:, :, None]
        change = self.gain[:, None] * torch.tanh(at)
        return v - change.reshape(v.shape) / penalty


@EVERY
@pytest.mark.parametrize(
    ("color", "features"), [("shared", 0), ("shared", 2), ("own", 2), ("merged", 0), ("merged", 2)]
)
def test_gradcheck(name: Any, color: Any, features: int) -> None:
    """Two iterations with the same weights, for y, the context and all parameters."""
    torch.manual_seed(0)
    own = color == "own"
    proxes = [Smooth(2, features) for _ in range(2 if own else 1)]
    step = ALGORITHMS[name](
        proxes if own else proxes[0], random(2, 1, 3, 3), beta=2.0, color=color, features=features
    ).double()
    with torch.no_grad():
        for parameter in step.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, dtype=torch.float64))
    names, values = zip(*step.named_parameters(), strict=True)
    otf = transfer_function(gaussian_psf(0.6)[None].double(), (4, 3))

    def run(y: Tensor, context: Tensor, *parameters: Tensor) -> Tensor:
        term, state = Gaussian(y, otf), dict(zip(names, parameters, strict=True))
        now = step.start(y)
        for _ in range(2):
            now = torch.func.functional_call(step, state, (now, term, context if features else None))
        return now.x

    leaves = [t.detach().clone().requires_grad_() for t in (random(1, 2, 4, 3), random(1, 2, 2, seed=3), *values)]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


@EVERY
def test_gradcheck_with_weights_for_every_pixel(name: Any) -> None:
    step = ALGORITHMS[name](Smooth(2), gradient_filters(), beta=2.0).double()
    otf = transfer_function(gaussian_psf(0.6)[None].double(), (4, 3))

    def run(y: Tensor, weight: Tensor, bank: Tensor) -> Tensor:
        term, state = Weighted(y, weight, otf, tolerance=1e-13), step.start(y)
        for _ in range(2):
            state = torch.func.functional_call(step, {"filters": bank}, (state, term))
        return state.x

    leaves = [random(1, 1, 4, 3), 0.5 + random(1, 1, 4, 3, seed=1).abs(), gradient_filters().double()]
    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in leaves], fast_mode=True)
