"""The continuation beyond the frame: periodic without a jump, linear, and kind to small images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dirtypixels.restore.border import make_periodic


def picture(height: int, width: int, batch: int = 2, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.rand(batch, channels, height, width, generator=generator, dtype=torch.float64)


SIZES = [(1, 1), (1, 9), (3, 5), (16, 15), (40, 33)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("gap", [0, 1, 5, 16])
def test_the_frame_stays_and_the_gap_is_appended(height: int, width: int, gap: int) -> None:
    x = picture(height, width)
    longer = make_periodic(x, gap)
    assert longer.shape == (2, 3, height + gap, width + gap)
    torch.testing.assert_close(longer[..., :height, :width], x, rtol=0, atol=0)
    assert float(longer.min()) >= float(x.min()) - 1e-12  # a mean of the picture's own values
    assert float(longer.max()) <= float(x.max()) + 1e-12


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_constant_stays_constant(height: int, width: int) -> None:
    longer = make_periodic(torch.full((1, 1, height, width), 0.7, dtype=torch.float64), 16)
    torch.testing.assert_close(longer, torch.full_like(longer, 0.7), rtol=1e-15, atol=0)


@pytest.mark.parametrize("gap", [2, 5, 16])
@pytest.mark.parametrize("dim", [-2, -1])
def test_neither_seam_jumps_more_than_the_picture_and_the_fade(gap: int, dim: int) -> None:
    # A ramp from 0 to 1 is the worst case for a periodic solver: without continuation it jumps by 1 at its end.
    size = 40
    ramp = torch.linspace(0, 1, size, dtype=torch.float64)
    x = (ramp.view(-1, 1) if dim == -2 else ramp).expand(1, 1, size, size)
    longer = make_periodic(x, gap)
    jumps = (longer - longer.roll(1, dim)).abs()
    # A step of the raised cosine is at most sin(pi / (2 gap)), taken on values at most 1 apart, and each of the two
    # mirrored ramps may rise by its own step at the same place.
    # (The fade itself has single precision.)
    assert float(jumps.max()) <= math.sin(math.pi / (2 * gap)) + 1 / (size - 1) + 1e-6
    seams = jumps.select(dim, size), jumps.select(dim, 0)
    fade_at_ends = 0.5 - 0.5 * math.cos(math.pi / (2 * gap))
    for seam in seams:  # the outermost samples hold the mirrored border but for the first step of the fade
        assert float(seam.max()) <= fade_at_ends + 1e-6


def test_what_lies_across_a_border_is_the_mirrored_scene() -> None:
    x = picture(20, 20)
    longer = make_periodic(x, 64)  # a slow fade: near the border it has hardly begun
    for k in range(2):
        fade = 0.5 - 0.5 * math.cos(math.pi * (k + 0.5) / 64) + 1e-6
        assert float((longer[..., 20 + k, :20] - x[..., 19 - k, :]).abs().max()) <= fade
        assert float((longer[..., -1 - k, :20] - x[..., k, :]).abs().max()) <= fade
        assert float((longer[..., :20, 20 + k] - x[..., :, 19 - k]).abs().max()) <= fade


def test_commutes_with_transposition() -> None:
    x = picture(7, 12)
    torch.testing.assert_close(make_periodic(x.mT, 5).mT, make_periodic(x, 5), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_dot_product_and_gradient(height: int, width: int) -> None:
    # Linear, so <M x, u> = <x, M^T u> with the backward pass as M^T.
    x = picture(height, width).requires_grad_()
    longer = make_periodic(x, 6)
    u = torch.rand(longer.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (adjoint,) = torch.autograd.grad((longer * u).sum(), x)
    torch.testing.assert_close((longer * u).sum(), (x * adjoint).sum(), rtol=1e-12, atol=0)
    small = picture(2, 3, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: make_periodic(v, 4), (small,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_type(dtype: torch.dtype) -> None:
    assert make_periodic(picture(4, 4).to(dtype), 3).dtype == dtype
