"""Filter banks and patch maps against explicit matrices and torch's own unfold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dirtypixels.restore import filters
from dirtypixels.restore.filters import analyze, dct_filters, map_patches, power_spectrum, synthesize
from tests.restore.dense import circular_matrix

SIZES = [(8, 8), (9, 7), (5, 12), (16, 33)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_dct_filters_are_orthonormal_and_free_of_a_constant(size: int) -> None:
    bank = dct_filters(size)
    assert bank.shape == (size**2 - 1, 1, size, size)
    assert bank.dtype == torch.float32
    flat = bank.flatten(1).double()
    eps = torch.finfo(torch.float32).eps  # entries are rounded to single precision
    torch.testing.assert_close(flat @ flat.T, torch.eye(len(flat), dtype=torch.float64), rtol=0, atol=2 * eps)
    torch.testing.assert_close(flat.sum(1), torch.zeros(len(flat), dtype=torch.float64), rtol=0, atol=size * eps)
    # With the constant they are a basis, so their power at every frequency is size^2 less the constant's.
    whole = torch.cat([bank, torch.full((1, 1, size, size), 1 / size)])
    power = power_spectrum(whole, (16, 15))
    torch.testing.assert_close(power, torch.full_like(power, size**2), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("side", [1, 3, 5])
def test_dot_product(height: int, width: int, side: int) -> None:
    bank, x, u = random(4, 2, side, side), random(3, 2, height, width, seed=1), random(3, 4, height, width, seed=2)
    forward, adjoint = (analyze(x, bank) * u).sum(), (x * synthesize(u, bank)).sum()
    torch.testing.assert_close(forward, adjoint, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("height", "width"), [(6, 5), (5, 8)])
@pytest.mark.parametrize("side", [3, 5])
def test_both_directions_against_an_explicit_matrix(height: int, width: int, side: int) -> None:
    bank, x = random(2, 1, side, side), random(1, 1, height, width, seed=1)
    for k in range(2):
        matrix = circular_matrix(bank[k, 0], height, width)
        forward = analyze(x, bank[k : k + 1]).flatten().numpy()
        np.testing.assert_allclose(forward, matrix @ x.flatten().numpy(), rtol=0, atol=1e-12)
        back = synthesize(x, bank[k : k + 1]).flatten().numpy()
        np.testing.assert_allclose(back, matrix.T @ x.flatten().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(6, 5), (5, 8)])
def test_power_spectrum_diagonalizes_the_normal_matrix(height: int, width: int) -> None:
    bank = random(3, 1, 3, 3)
    normal = sum(m.T @ m for m in (circular_matrix(f[0], height, width) for f in bank))
    power = power_spectrum(bank, (height, width))[0].numpy()
    # The normal matrix is circulant: the FFT of its first row, as an image, holds its eigenvalues.
    eigenvalues = np.fft.fft2(np.asarray(normal)[0].reshape(height, width))
    np.testing.assert_allclose(eigenvalues.imag, 0, atol=1e-10)
    np.testing.assert_allclose(power, eigenvalues.real[:, : width // 2 + 1], rtol=0, atol=1e-10)


def shrink(patches: Tensor, analysis: Tensor, threshold: Tensor) -> Tensor:
    """A map that is nonlinear and smooth, and looks at all samples of a patch."""
    return analysis.T @ (torch.tanh(analysis @ patches) * threshold)


def dense(x: Tensor, size: int, *params: Tensor) -> Tensor:
    """`map_patches` in the plainest way: unfold, map, fold, and add the margins to the opposite sides."""
    half = size // 2
    batch, channels, height, width = x.shape
    unfolded = functional.unfold(functional.pad(x, (half,) * 4, mode="circular"), size)  # (B, C k k, H W)
    mapped = torch.stack([shrink(patches, *params) for patches in unfolded])
    full = functional.fold(mapped, (height + 2 * half, width + 2 * half), size)
    rows = torch.arange(-half, height + half) % height
    columns = torch.arange(-half, width + half) % width
    out = x.new_zeros(batch, channels, height, width + 2 * half).index_add(2, rows, full)
    return x.new_zeros(x.shape).index_add(3, columns, out)


CASES = [(1, 1, 5, 5, 5), (2, 1, 9, 7, 3), (3, 2, 8, 11, 5), (2, 3, 6, 6, 1)]


@pytest.mark.parametrize(("batch", "channels", "height", "width", "size"), CASES)
@pytest.mark.parametrize("block", [None, 1, 20, 130])
def test_map_patches_equals_a_dense_reference(
    batch: int, channels: int, height: int, width: int, size: int, block: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block is not None:
        monkeypatch.setitem(filters._BLOCK_PIXELS, "cpu", block)
    inputs = [
        random(batch, channels, height, width),
        0.3 * random(4, channels * size**2, seed=1),
        torch.tensor(0.7, dtype=torch.float64),
    ]
    above = random(batch, channels, height, width, seed=2)
    results = []
    for function in (lambda x, *p: map_patches(shrink, x, size, *p), lambda x, *p: dense(x, size, *p)):
        leaves = [v.clone().requires_grad_() for v in inputs]
        out = function(*leaves)
        results.append([out.detach(), *torch.autograd.grad((out * above).sum(), leaves)])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_map_patches_with_a_linear_map_is_synthesis_after_analysis() -> None:
    bank, x = random(4, 2, 3, 3), random(2, 2, 7, 8, seed=1)
    mapped = map_patches(lambda patches, a: a.T @ (a @ patches), x, 3, bank.flatten(1))
    torch.testing.assert_close(mapped, synthesize(analyze(x, bank), bank), rtol=1e-12, atol=1e-12)


def test_map_patches_gradcheck() -> None:
    inputs = (random(2, 1, 4, 5), 0.3 * random(2, 9, seed=1), torch.tensor(0.7, dtype=torch.float64))
    leaves = [v.requires_grad_() for v in inputs]
    assert torch.autograd.gradcheck(lambda x, *p: map_patches(shrink, x, 3, *p), leaves)


def scaled(patches: Tensor, gain: Tensor, bank: Tensor) -> Tensor:
    """Each image's own gain, then the same matrix for all."""
    return bank @ (patches.reshape(len(patches), len(gain), -1).sin() * gain).reshape(patches.shape)


@pytest.mark.parametrize("pixels", [1 << 14, 60, 16])  # all images in a block, an image, and rows of one
def test_map_patches_hands_each_image_its_own(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dirtypixels.restore.filters._BLOCK_PIXELS", {"cpu": pixels})
    x, gain, bank = random(3, 1, 6, 5), random(3, 1, seed=1), random(9, 9, seed=2)
    leaves = [t.requires_grad_() for t in (x, gain, bank)]
    together = map_patches(scaled, x, 3, bank, each=[gain])
    alone = [map_patches(scaled, x[i : i + 1], 3, bank, each=[gain[i : i + 1]]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, g, b: map_patches(scaled, x, 3, b, each=[g]), leaves)


def test_map_patches_gives_gradients_only_where_they_are_wanted() -> None:
    x, bank, gain = random(1, 1, 6, 6), random(2, 9, seed=1).requires_grad_(), torch.tensor(0.7, dtype=torch.float64)
    map_patches(shrink, x, 3, bank, gain).sum().backward()
    assert bank.grad is not None
    assert x.grad is None
    assert gain.grad is None
    unused = torch.zeros((), dtype=torch.float64, requires_grad=True)
    out = map_patches(lambda patches, unused: 2 * patches, x.requires_grad_(), 3, unused)
    _, gradient = torch.autograd.grad(out.sum(), (x, unused))
    assert float(gradient) == 0


def test_a_map_may_give_any_memory_layout() -> None:
    x = random(2, 1, 6, 5)
    plain = map_patches(lambda patches: 3 * patches, x, 3)
    turned = map_patches(lambda patches: (3 * patches).T.contiguous().T, x, 3)
    torch.testing.assert_close(turned, plain, rtol=0, atol=0)


def test_memory_does_not_grow_with_the_number_of_responses() -> None:
    x = random(1, 1, 32, 32).requires_grad_()

    def kept(responses: int) -> int:
        """Values that the forward pass keeps for the backward pass, but for the parameters."""
        bank = random(responses, 25, seed=1).requires_grad_()
        gain = torch.tensor(0.7, dtype=torch.float64)
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel() if tensor.data_ptr() not in (bank.data_ptr(), gain.data_ptr()) else 0
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            map_patches(shrink, x, 5, bank, gain)
        return total

    assert kept(2) == kept(50) == math.prod(x.shape)


@pytest.mark.parametrize("size", [2, 4, 7])
def test_raises_for_even_and_too_large_patches(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be odd and at most the image's 9 x 5; found {size}"):
        map_patches(lambda patches: patches, random(1, 1, 9, 5), size)
