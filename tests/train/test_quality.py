"""PSNR against its definition, and after the gain and offset that NumPy's least squares finds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from dirtypixels.train import psnr, psnr_up_to_gain
from dirtypixels.train.quality import unexplained

PER_TYPE = [(torch.float64, 1e-9), (torch.float32, 1e-4)]
"""Floating-point types, and how well a PSNR of some 20 dB is known in each, dB."""


def images(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 3, 9, 7, generator=draw, dtype=torch.float64)
    noise = torch.randn(clean.shape, generator=draw, dtype=torch.float64)
    gain, offset = (torch.tensor(v, dtype=torch.float64).view(4, 1, 1, 1) for v in ([0.3, 2, -1, 1], [0.5, -1, 1, 0]))
    return (gain * clean + offset + 0.1 * noise).to(dtype), clean.to(dtype)


def by_lstsq(image: Tensor, clean: Tensor) -> list[float]:
    found = []
    for x, y in zip(image.double().flatten(1).numpy(), clean.double().flatten(1).numpy(), strict=True):
        terms = np.stack([x, np.ones_like(x)], 1)
        (a, b), *_ = np.linalg.lstsq(terms, y)
        found.append(float(-10 * np.log10(np.mean((a * x + b - y) ** 2))))
    return found


class TestPsnrUpToGain:
    @pytest.mark.parametrize(("dtype", "tolerance"), PER_TYPE)
    def test_it_is_the_psnr_after_numpys_least_squares(self, dtype: torch.dtype, tolerance: float) -> None:
        image, clean = images(dtype)
        found = psnr_up_to_gain(image, clean)
        assert (found.shape, found.dtype) == ((4,), dtype)
        assert found.tolist() == pytest.approx(by_lstsq(image, clean), abs=tolerance)

    def test_gain_and_offset_of_the_image_change_nothing(self) -> None:
        image, clean = images()
        torch.testing.assert_close(psnr_up_to_gain(5 * image - 2, clean), psnr_up_to_gain(image, clean))
        assert bool((psnr_up_to_gain(image, clean) >= psnr(image, clean)).all())

    def test_one_gain_serves_all_channels(self) -> None:
        _, clean = images()
        tinted = clean * torch.tensor([1.0, 0.5, 2.0]).view(1, 3, 1, 1)
        assert psnr_up_to_gain(tinted, clean).tolist() == pytest.approx(by_lstsq(tinted, clean))
        assert float(psnr_up_to_gain(tinted, clean).max()) < 30

    def test_an_image_without_contrast_gives_the_clean_images_mean(self) -> None:
        clean = torch.tensor([0.0, 0.2, 0.4, 0.6]).view(1, 1, 2, 2)
        expected = -10 * np.log10(0.05)  # the variance of these four
        for level in (0.0, 0.1, 0.3):
            assert psnr_up_to_gain(torch.full_like(clean, level), clean).item() == pytest.approx(expected, abs=1e-4)

    def test_a_perfect_image_and_a_clean_one_without_contrast(self) -> None:
        _, clean = images(torch.float32)
        assert psnr_up_to_gain(2 * clean, clean).tolist() == [120.0] * 4
        assert psnr_up_to_gain(clean, torch.full_like(clean, 0.5)).tolist() == [120.0] * 4

    def test_its_gradients(self) -> None:
        image, clean = (value[:2, :, :3, :3] for value in images())
        assert torch.autograd.gradcheck(lambda x: psnr_up_to_gain(x, clean), image.requires_grad_())

    def test_raises_where_shapes_differ_or_there_is_no_floating_point(self) -> None:
        image, clean = images()
        with pytest.raises(ValueError, match=re.escape("image must have shape (4, 3, 9, 7); found (3, 3, 9, 7)")):
            psnr_up_to_gain(image[:3], clean)
        with pytest.raises(TypeError, match=re.escape("image must be a floating-point tensor; found torch.uint8")):
            psnr_up_to_gain(clean.byte(), clean)


class TestUnexplained:
    def test_it_is_what_the_correlation_leaves(self) -> None:
        image, clean = images()
        pairs = zip(image.numpy(), clean.numpy(), strict=True)
        expected = [1 - np.corrcoef(x.ravel(), y.ravel())[0, 1] ** 2 for x, y in pairs]
        assert unexplained(image, clean).tolist() == pytest.approx(expected, rel=1e-4)
        psnr_of_it = -10 * torch.log10(unexplained(image, clean) * clean.flatten(1).var(1, correction=0))
        torch.testing.assert_close(psnr_of_it, psnr_up_to_gain(image, clean), rtol=0, atol=1e-3)

    def test_without_contrast_it_is_1_with_finite_gradients(self) -> None:
        _, clean = images(torch.float32)
        flat = torch.full_like(clean, 0.3).requires_grad_()
        for left in (unexplained(flat, clean), unexplained(clean, flat)):
            assert left.tolist() == pytest.approx([1.0] * 4)
            (gradient,) = torch.autograd.grad(left.sum(), flat)
            assert bool(gradient.isfinite().all())

    def test_its_gradients(self) -> None:
        image, clean = (value[:2, :, :3, :3] for value in images())
        assert torch.autograd.gradcheck(lambda x: unexplained(x, clean), image.requires_grad_())
