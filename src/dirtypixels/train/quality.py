"""How near an image is to the clean one: PSNR, as it is and after the best gain and offset."""

from __future__ import annotations

import torch
from torch import Tensor

from dirtypixels import checks


def psnr(image: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, (B, ...) to (B,): ``-10 log10 mean (image - clean)^2``.

    >>> psnr(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5))
    tensor([20.0000])
    """
    error = (image - clean).square().flatten(1).mean(1)
    return _decibels(error)


def psnr_up_to_gain(image: Tensor, clean: Tensor) -> Tensor:
    """PSNR of each image in dB after the gain and the offset that bring it nearest to the clean one.

    ``-10 log10 min_{a, b} mean (a image + b - clean)^2 = -10 log10 (var(clean) (1 - r^2))``

    r is the correlation of the two over all channels and pixels, which share the one a and the one b. A unit trained
    for a task may leave its image too bright or with the wrong contrast, which costs a classifier nothing; this tells
    such an image from one in which the scene is lost. It is never below `psnr`, and for an image without any contrast
    it is that of the clean image's mean.

    Args:
        image: (B, ...), floating point.
        clean: of the same shape, in [0, 1].

    Returns:
        (B,), dB, at most 120, as `psnr`.

    Raises:
        TypeError: image is not a floating-point tensor.
        ValueError: the shapes differ.

    >>> clean = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bool((psnr(3 * clean - 1, clean) < 5).all()), bool((psnr_up_to_gain(3 * clean - 1, clean) > 100).all())
    (True, True)
    """
    checks.is_tensor("image", image)
    checks.has_shape("image", image, tuple(clean.shape))
    # The error itself, not 1 - r^2, of which single precision leaves nothing where the image is good.
    x, y = (value - value.mean(1, keepdim=True) for value in (image.flatten(1), clean.flatten(1)))
    power = x.square().mean(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    gain = (x * y).mean(1, keepdim=True) / power
    return _decibels((gain * x - y).square().mean(1))


def unexplained(image: Tensor, clean: Tensor) -> Tensor:
    """Share of each clean image's variance that the best gain and offset of the image leave, (B, ...) to (B,).

    ``min_{a, b} mean (a image + b - clean)^2 / var(clean) = 1 - r^2``, in [0, 1], r their correlation

    As a loss it asks for the scene, and leaves brightness and contrast to the task; one dull scene weighs as much as
    another. Variances are raised by 1e-8, so that an image or a scene without contrast gives 1 and finite gradients.

    >>> clean = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    >>> unexplained(0.3 * clean + 0.5, clean).item(), unexplained(torch.tensor([[0.0, 1.0, 1.0, 1.0]]), clean).item()
    (0.0000, 0.6667)
    """
    x, y = (value - value.mean(1, keepdim=True) for value in (image.flatten(1), clean.flatten(1)))
    powers = [value.square().mean(1) + 1e-8 for value in (x, y)]
    return 1 - (x * y).mean(1).square() / (powers[0] * powers[1])


def _decibels(error: Tensor) -> Tensor:
    return -10 * torch.log10(error.clamp_min(1e-12))
