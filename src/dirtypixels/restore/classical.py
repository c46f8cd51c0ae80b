"""Restoration without training: non-local means and BM3D in the stabilized domain, deconvolution by a fixed prior."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import torch
from skimage.restoration import denoise_nl_means
from torch import Tensor

from dirtypixels import checks
from dirtypixels.observation import Observation
from dirtypixels.restore import anscombe
from dirtypixels.restore.algorithms import HQS
from dirtypixels.restore.border import Blurred
from dirtypixels.restore.expectation import expected_stabilized
from dirtypixels.restore.filters import gradient_filters
from dirtypixels.restore.prox import HyperLaplacian, IsotropicTV
from dirtypixels.restore.terms import Gaussian

__all__ = ["METHODS", "Gradients", "Method", "bm3d", "hqs_deconvolution", "non_local_means", "require_bm3d"]

Picture = npt.NDArray[np.float64]
Gradients = Literal["hyper_laplacian", "tv"]
Method = Literal["nlm", "bm3d", "hqs"]

_STRENGTH: dict[Gradients, float] = {"hyper_laplacian": 0.25, "tv": 2.0}
_FIRST_COUPLING, _COUPLING_GROWTH = 100.0, 2.0

_BM3D_BLOCK = 8  # side of the blocks that BM3D matches, pixels


def non_local_means(obs: Observation, strength: float = 0.6, patch_size: int = 5, patch_distance: int = 6) -> Tensor:
    """Non-local means, with weights from all channels together.

    ``x_p = sum_q w_pq y_q / sum_q w_pq,  w_pq = exp(-max(d_pq - 2, 0) / strength^2)`` on the stabilized signal y,
    scaled to noise of standard deviation 1; d_pq is the mean squared difference of the patches around p and q.

    The defaults are the best of a grid (strength 0.4 to 0.8, patch size 3 to 7, distance 5 to 8) on 20 photographs of
    BSDS300 (train, 112 px, values as they are) with the noise of the Nexus 6P's rear camera at 3, 6, 12 and 50 lux.
    PSNR of the signal and of this: 10.4 and 21.2 dB at 3 lux, 13.9 and 23.8 at 6, 17.7 and 26.2 at 12, 24.9 and 29.9
    at 50.

    Args:
        obs: every sample measured; the PSF is left alone.
        strength: of the filter, in standard deviations of the noise, > 0.
        patch_size: side of the patches, pixels, >= 1.
        patch_distance: farthest patch that is looked at in each direction, pixels, >= 1.

    Returns:
        (B, C, H, W), linear, in [0, 1], without gradients.

    Raises:
        TypeError: obs is not an Observation.
        ValueError: an argument is out of range, samples are missing, or alpha and sigma are both 0.

    Source: Buades, Coll and Morel 2005 (filter); Darbon et al. 2008 (its fast form, by scikit-image); Mäkitalo and
    Foi 2013 (stabilization).

    Example:
        >>> import torch
        >>> import dirtypixels as dp
        >>> scene = dp.data.natural_patches(1, 32, gray=False)
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(scene, lux=12, generator=torch.Generator().manual_seed(0))
        >>> image = dp.restore.classical.non_local_means(obs)
        >>> print(f"{dp.train.psnr(obs.signal, scene).item():.0f} dB to {dp.train.psnr(image, scene).item():.0f} dB")
        25 dB to 35 dB
    """
    checks.above_zero("strength", strength)
    checks.in_range("patch_size", patch_size, low=1)
    checks.in_range("patch_distance", patch_distance, low=1)

    def denoise(picture: Picture) -> Picture:
        found = denoise_nl_means(
            picture, patch_size, patch_distance, h=strength, sigma=1.0, fast_mode=True, channel_axis=-1
        )
        return cast(Picture, found).reshape(picture.shape)  # scikit-image drops a single channel

    return _in_stabilized_domain(obs, denoise)


def bm3d(obs: Observation, strength: float = 1.1, exact_variances: bool = False) -> Tensor:
    """BM3D: 3 channels with blocks matched in luminance, any other number one by one.

    The default strength is the best of 0.9 to 1.3, measured as for `non_local_means`. PSNR: 23.0 dB at 3 lux, 25.7 at
    6, 28.0 at 12, 32.6 at 50; with exact variances 23.3 at 3 lux and 25.8 at 6.

    Args:
        obs: every sample measured, at least 8 x 8 pixels; the PSF is left alone.
        strength: standard deviation that BM3D is told, in standard deviations of the noise, > 0.
        exact_variances: the newer method's variances of overlapping blocks; 7 times slower.

    Returns:
        (B, C, H, W), linear, in [0, 1], without gradients.

    Raises:
        TypeError: obs is not an Observation.
        ValueError: strength is not above 0, samples are missing, the signal is smaller than a block, or alpha and
            sigma are both 0.
        ImportError: the package bm3d is not installed.

    Source: Dabov et al. 2007; Mäkinen, Azzari and Foi 2020 (exact variances); Mäkitalo and Foi 2013 (stabilization).

    Example:
        >>> import torch
        >>> import dirtypixels as dp
        >>> scene = dp.data.natural_patches(1, 32, gray=False)
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(scene, lux=12, generator=torch.Generator().manual_seed(0))
        >>> image = dp.restore.classical.bm3d(obs)
        >>> print(f"{dp.train.psnr(obs.signal, scene).item():.0f} dB to {dp.train.psnr(image, scene).item():.0f} dB")
        25 dB to 36 dB
    """
    checks.above_zero("strength", strength)
    package = require_bm3d()
    profile = package.BM3DProfile()
    profile.num_threads = 1  # with more, sums come in any order and results differ from run to run
    if not exact_variances:
        profile.nf = 0

    def denoise(picture: Picture) -> Picture:
        if min(picture.shape[:2]) < _BM3D_BLOCK:
            raise ValueError(
                f"signal must be at least {_BM3D_BLOCK} x {_BM3D_BLOCK} pixels for BM3D; "
                f"found {picture.shape[0]} x {picture.shape[1]}"
            )
        if picture.shape[-1] == 3:
            return cast(Picture, package.bm3d_rgb(picture, strength, profile=profile))
        channels = [package.bm3d(channel, strength, profile=profile) for channel in np.moveaxis(picture, -1, 0)]
        return np.stack(channels, -1)

    return _in_stabilized_domain(obs, denoise)


def hqs_deconvolution(
    obs: Observation, prior: Gradients = "hyper_laplacian", strength: float = 1.0, iterations: int = 12, passes: int = 8
) -> Tensor:
    """Deblur by half-quadratic splitting with a fixed prior on the gradients, the coupling growing in every iteration.

    ``minimize sum_p (K x - y)_p^2 / (2 v) + m sum_p |grad x_p|^q``

    v is the mean noise variance ``alpha y + sigma^2`` of an image and channel. "hyper_laplacian" has q = 2/3 on both
    differences, "tv" the length of the gradient (isotropic total variation). The channels are restored one by one.

    Strength 1 is the best of a grid (factors of 2) on 20 photographs of BSDS300 (train, 112 px) with the noise of the
    Nexus 6P's rear camera at 6 lux and its bundled lens off-axis and in the periphery. PSNR of the signal and of this:
    13.3 and 24.5 dB off-axis, 13.1 and 24.4 in the periphery; with "tv" 24.5 and 24.4.

    Args:
        obs: with a psf, every sample measured.
        prior: "hyper_laplacian" or "tv".
        strength: of the prior, a multiple of its m, > 0.
        iterations: >= 1.
        passes: for what lies beyond the frame, see `border.continue_blurred`, >= 0.

    Returns:
        (B, C, H, W), linear, in [0, 1], without gradients.

    Raises:
        TypeError: obs is not an Observation.
        ValueError: an argument is out of range, obs has no psf, or samples are missing.

    Source: Geman and Yang 1995 (half-quadratic splitting); Krishnan and Fergus 2009 (prior and continuation).

    Example:
        >>> import torch
        >>> import dirtypixels as dp
        >>> scene = dp.data.natural_patches(1, 64, gray=False)
        >>> camera, generator = dp.Camera.load("nexus-6p-rear"), torch.Generator().manual_seed(0)
        >>> obs = camera.capture(scene, lux=50, position="periphery", generator=generator)
        >>> image = dp.restore.classical.hqs_deconvolution(obs)
        >>> print(f"{dp.train.psnr(obs.signal, scene).item():.0f} dB to {dp.train.psnr(image, scene).item():.0f} dB")
        22 dB to 26 dB
    """
    checks.one_of("prior", prior, get_args(Gradients))
    checks.above_zero("strength", strength)
    checks.in_range("iterations", iterations, low=1)
    checks.in_range("passes", passes, low=0)
    with torch.no_grad():
        capture = Blurred.of(obs, passes)
        x = capture.wiener(capture.variance)
        weight = strength * _STRENGTH[prior]
        prox = IsotropicTV(weight) if prior == "tv" else HyperLaplacian(2 / 3, weight)
        term = Gaussian(capture.signal, capture.otf, 1 / capture.variance)
        layer = HQS(prox, gradient_filters()).to(x)
        state = layer.start(x)
        for i in range(iterations):
            layer.log_beta.fill_(math.log(_FIRST_COUPLING) + i * math.log(_COUPLING_GROWTH))
            state = layer(state, term)
        return capture.crop(state.x).clamp(0.0, 1.0)


METHODS: dict[str, Callable[[Observation], Tensor]] = {
    "nlm": non_local_means,
    "bm3d": bm3d,
    "hqs": hqs_deconvolution,
}
"""The methods by the keys that recipes have for them."""


def _in_stabilized_domain(obs: Observation, denoise: Callable[[Picture], Picture]) -> Tensor:
    """Run a denoiser on pictures (H, W, C) with noise of standard deviation 1, one after another."""
    if not isinstance(obs, Observation):
        raise TypeError(f"obs must be an Observation; found {type(obs).__name__}")
    obs.check_complete()
    signal = obs.signal.detach()
    shape = np.broadcast_shapes(obs.alpha.shape, obs.sigma.shape)
    alpha, sigma = obs.alpha.detach().expand(shape), obs.sigma.detach().expand(shape)
    scale = torch.tensor(
        [_remaining_std(a, s) for a, s in zip(alpha.flatten().tolist(), sigma.flatten().tolist(), strict=True)]
    )
    scale = scale.to(signal).view(shape)
    noisy = (anscombe.forward(signal, alpha, sigma) / scale).permute(0, 2, 3, 1).cpu().double().numpy()
    clean = np.stack([denoise(np.ascontiguousarray(picture)) for picture in noisy])
    stabilized = torch.from_numpy(clean).permute(0, 3, 1, 2).to(signal) * scale
    return anscombe.inverse(stabilized, alpha, sigma, kind="exact", clipped=True).clamp(0.0, 1.0)


@lru_cache(maxsize=4096)
def _remaining_std(alpha: float, sigma: float) -> float:
    """What clipping to [0, 1] leaves of the stabilized noise's standard deviation, on average over signals in [0, 1].

    It is 1 without clipping; at 3 lux on the Nexus 6P's rear camera it is 0.72, and denoisers that expect 1 blur.
    """
    if alpha == 0 and sigma == 0:
        return 1.0
    levels = torch.linspace(0, 1, 33, dtype=torch.float64)
    a, s = torch.tensor([alpha, sigma], dtype=torch.float64)
    mean = expected_stabilized(levels, a, s, anscombe.stabilize, clipped=True)
    square = expected_stabilized(levels, a, s, lambda y, a, s: anscombe.stabilize(y, a, s) ** 2, clipped=True)
    return float((square - mean**2).clamp_min(0).sqrt().mean())


def require_bm3d() -> Any:
    """The package bm3d; where it is missing, ImportError with the way to install it."""
    try:
        return importlib.import_module("bm3d")
    except ModuleNotFoundError as error:
        if error.name != "bm3d":
            raise
        raise ImportError(
            "BM3D needs the package bm3d, whose license allows non-commercial use only, so it does not come along by "
            "itself: `pip install dirtypixels[bm3d]`"
        ) from error
