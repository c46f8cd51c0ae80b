"""Blur operators: their adjoints, their dense references, and what they do at the border."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from dirtypixels.blur import Blur, FieldBlur, transfer_function

SIZES = [(16, 18), (17, 19), (16, 19), (17, 18)]


def random_psf(*shape, seed=0):
    psf = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return psf / psf.sum((-2, -1), keepdim=True)


def random_image(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dense(operator, size, channels=1):
    """The operator's matrix, column by column."""
    pixels = torch.eye(channels * size[0] * size[1], dtype=torch.float64).reshape(-1, channels, *size)
    return torch.stack([operator.forward(p[None]).flatten() for p in pixels], 1)


def passes_dot_product_test(operator, x):
    y = random_image(*operator.forward(x).shape, seed=2)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    return bool((left - right).abs() < 1e-10 * max(1.0, float(left.abs())))


class TestBlur:
    @pytest.mark.parametrize("border", ["circular", "mirror", "crop"])
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("psfs", [(1, 1), (1, 3), (2, 1), (2, 3)], ids=["one", "channel", "sample", "both"])
    @pytest.mark.parametrize("kernel", [(5, 5), (7, 3), (1, 9)])
    def test_dot_product(self, border, size, psfs, kernel):
        assert passes_dot_product_test(Blur(random_psf(*psfs, *kernel), border), random_image(2, 3, *size))

    @pytest.mark.parametrize(("border", "mode"), [("circular", "wrap"), ("mirror", "reflect")])
    @pytest.mark.parametrize("size", SIZES)
    def test_agrees_with_scipy(self, border, mode, size):
        psf, x = random_psf(2, 3, 5, 7), random_image(2, 3, *size)
        expected = [[convolve(x[b, c].numpy(), psf[b, c].numpy(), mode=mode) for c in range(3)] for b in range(2)]
        torch.testing.assert_close(
            Blur(psf, border).forward(x), torch.from_numpy(np.array(expected)), rtol=0, atol=1e-12
        )

    def test_crop_is_the_inside_of_any_border(self):
        psf, x = random_psf(1, 3, 5, 7), random_image(2, 3, 16, 19)
        inside = Blur(psf, "circular").forward(x)[..., 2:-2, 3:-3]
        torch.testing.assert_close(Blur(psf, "crop").forward(x), inside, rtol=0, atol=1e-12)

    def test_mirror_reaches_farther_than_the_image(self):
        psf, x = random_psf(1, 1, 21, 21), random_image(1, 1, 5, 4)
        expected = convolve(x[0, 0].numpy(), psf[0, 0].numpy(), mode="reflect")
        torch.testing.assert_close(Blur(psf).forward(x)[0, 0], torch.tensor(expected), rtol=0, atol=1e-12)
        assert passes_dot_product_test(Blur(psf), x)

    def test_keeps_a_uniform_image_and_the_mean_of_a_circular_one(self):
        psf = random_psf(1, 3, 5, 5)
        assert torch.allclose(
            Blur(psf).forward(torch.full((1, 3, 9, 9), 0.3, dtype=torch.float64)), torch.tensor(0.3).double()
        )
        x = random_image(1, 3, 9, 9)
        torch.testing.assert_close(Blur(psf, "circular").forward(x).mean((-2, -1)), x.mean((-2, -1)))

    def test_gradcheck(self):
        x = random_image(1, 2, 6, 7).requires_grad_()
        psf = random_psf(1, 2, 3, 3)
        assert torch.autograd.gradcheck(lambda x: Blur(psf).forward(x), x)
        raw = torch.rand(1, 2, 3, 3, dtype=torch.float64).requires_grad_()

        def through_the_psf(raw):
            return Blur(raw / raw.sum((-2, -1), keepdim=True)).forward(x.detach())

        # The check itself perturbs the kernel, which stays a PSF by its normalization.
        assert torch.autograd.gradcheck(through_the_psf, raw)

    @pytest.mark.parametrize(
        ("psf", "said"),
        [
            (torch.ones(1, 1, 4, 3) / 12, "odd"),
            (torch.ones(1, 1, 3, 3), "sum to 1"),
            (torch.ones(3, 3) / 9, "psf must have shape"),
            (torch.tensor([[[[-0.5, 1.0, 0.5]]]]), "psf must be"),
        ],
    )
    def test_raises_for_what_is_no_psf(self, psf, said):
        with pytest.raises(ValueError, match=said):
            Blur(psf)

    def test_raises_for_what_does_not_fit(self):
        with pytest.raises(ValueError, match="border must be"):
            Blur(random_psf(1, 1, 3, 3), "reflect")
        with pytest.raises(ValueError, match="x must have shape"):
            Blur(random_psf(2, 3, 3, 3)).forward(random_image(1, 3, 8, 8))
        with pytest.raises(ValueError, match="at least 9 x 9"):
            Blur(random_psf(1, 1, 9, 9), "crop").forward(random_image(1, 1, 8, 12))


class TestFieldBlur:
    @pytest.mark.parametrize("border", ["mirror", "crop"])
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("nodes", [(2, 2), (3, 4), (5, 3)])
    def test_dot_product(self, border, size, nodes):
        field = FieldBlur(random_psf(*nodes, 3, 5, 7), border)
        assert passes_dot_product_test(field, random_image(2, 3, *size))

    @pytest.mark.parametrize("size", [(11, 13), (12, 10)])
    @pytest.mark.parametrize("nodes", [(2, 2), (3, 4)])
    @pytest.mark.parametrize("border", ["mirror", "crop"])
    def test_equals_its_dense_reference(self, size, nodes, border):
        """Row p of the matrix is the PSF of p's own place, interpolated between the nodes, laid around p."""
        psfs = random_psf(*nodes, 1, 5, 3)
        top, left = 2, 1
        height, width = size if border == "mirror" else (size[0] - 2 * top, size[1] - 2 * left)
        matrix = torch.zeros(height * width, size[0] * size[1], dtype=torch.float64)
        for row in range(height):
            for column in range(width):
                psf = self.interpolated(psfs, row, height, column, width)
                for i in range(-top, top + 1):
                    for j in range(-left, left + 1):
                        if border == "mirror":
                            source = self.mirrored(row - i, height) * width + self.mirrored(column - j, width)
                        else:
                            source = (row - i + top) * size[1] + column - j + left
                        matrix[row * width + column, source] += psf[top + i, left + j]
        torch.testing.assert_close(dense(FieldBlur(psfs, border), size), matrix, rtol=0, atol=1e-13)

    @staticmethod
    def interpolated(psfs, row, height, column, width):
        y = min(max((row + 0.5) / height, 0), 1) * (psfs.shape[0] - 1)
        x = min(max((column + 0.5) / width, 0), 1) * (psfs.shape[1] - 1)
        i, j = min(int(y), psfs.shape[0] - 2), min(int(x), psfs.shape[1] - 2)
        u, v = y - i, x - j
        near, far = psfs[i, :, 0], psfs[i + 1, :, 0]
        return (1 - u) * ((1 - v) * near[j] + v * near[j + 1]) + u * ((1 - v) * far[j] + v * far[j + 1])

    @staticmethod
    def mirrored(index, size):
        return -1 - index if index < 0 else 2 * size - 1 - index if index >= size else index

    @pytest.mark.parametrize("border", ["mirror", "crop"])
    def test_a_field_of_one_psf_is_a_blur(self, border):
        psf, x = random_psf(1, 3, 5, 7), random_image(2, 3, 16, 19)
        field = FieldBlur(psf.expand(9, -1, -1, -1).reshape(3, 3, 3, 5, 7), border)
        torch.testing.assert_close(field.forward(x), Blur(psf, border).forward(x), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("border", ["mirror", "crop"])
    @pytest.mark.parametrize("size", SIZES)
    def test_an_even_scene_stays_even(self, border, size):
        even = torch.full((1, 3, *size), 0.4, dtype=torch.float64)
        blurred = FieldBlur(random_psf(4, 5, 3, 7, 5), border).forward(even)
        torch.testing.assert_close(blurred, torch.full_like(blurred, 0.4), rtol=0, atol=1e-13)

    def test_no_seam_in_a_smooth_scene(self):
        """Along a ramp, pixels step by the ramp and by how far the PSFs' centers move between them, and no more."""
        psfs = torch.zeros(3, 3, 1, 5, 5, dtype=torch.float64)
        centers = torch.tensor([1, 3, 2])
        for i in range(3):
            psfs[i, :, 0, 2, centers[i]] = 1
        ramp = torch.arange(60, dtype=torch.float64).expand(1, 1, 60, 60)
        blurred = FieldBlur(psfs, "crop").forward(ramp)
        # Weights change by (3 - 1) / 56 from row to row, and the centers of neighboring nodes lie up to 2 apart.
        assert float(blurred.diff(dim=-2).abs().max()) <= 2 / 56 * 2 + 1e-12
        torch.testing.assert_close(blurred.diff(dim=-1), torch.ones(1, 1, 56, 55, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("psfs", "said"),
        [
            (torch.ones(1, 3, 1, 3, 3) / 9, "at least 2 rows"),
            (torch.ones(3, 3, 1, 3, 3), "sum to 1"),
            (torch.ones(3, 3, 3, 3) / 9, "psfs must have shape"),
        ],
    )
    def test_raises_for_what_is_no_field(self, psfs, said):
        with pytest.raises(ValueError, match=said):
            FieldBlur(psfs)


def test_transfer_function_of_a_point_is_one():
    psf = torch.zeros(1, 1, 3, 5, dtype=torch.float64)
    psf[..., 1, 2] = 1
    torch.testing.assert_close(transfer_function(psf, (8, 9)), torch.ones(1, 1, 8, 5, dtype=torch.complex128))


def test_transfer_function_wraps_a_psf_larger_than_the_image():
    psf, x = random_psf(1, 1, 11, 11), random_image(1, 1, 6, 7)
    blurred = torch.fft.irfft2(torch.fft.rfft2(x) * transfer_function(psf, (6, 7)), s=(6, 7))
    torch.testing.assert_close(blurred[0, 0], torch.tensor(convolve(x[0, 0].numpy(), psf[0, 0].numpy(), mode="wrap")))
