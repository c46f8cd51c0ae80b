"""Low-level units: an Observation in, an image out."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.observation import Observation
from dirtypixels.restore import anscombe, classical
from dirtypixels.restore.border import LEAST_VARIANCE, Blurred, make_periodic
from dirtypixels.restore.scales import CoarseToFine
from dirtypixels.restore.terms import DataTerm, Gaussian, Majorized, Masked, Weighted
from dirtypixels.restore.unrolled import Unrolled, UnrolledHQS

Weighting = Literal["none", "image", "pixel", "pixel_exact"]
_USUAL_VARIANCE = 0.01  # what a data term of weight 1 stands for, in units of the signal squared


class Denoiser(nn.Module):
    """Variance stabilization, an unrolled solver, exact unbiased inverse.

    How the channels are seen is the solver's; by default they are denoised one by one with the same weights. The
    inverse is the one for the clipped signal, so that the picture has neither the bias of the transform nor that of the
    sensor's black and white limits. Samples that were not measured, by the cfa of the Observation, are filled in by the
    prior.

    Args:
        solver: restores noise of standard deviation 1, on one scale or several; a new `UnrolledHQS()` if None, which
            takes any number of channels. For color images `UnrolledHQS(color="opponent")` restores better.

    Source: Diamond et al. 2017, sec. 5.4; Mäkitalo and Foi 2013 (exact inverse).

    Example:
        >>> import dirtypixels as dp
        >>> from dirtypixels.restore import Denoiser, UnrolledHQS
        >>> scene = dp.data.natural_patches(2, 32, gray=False)
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(scene, lux=6)
        >>> Denoiser(UnrolledHQS(layers=2))(obs).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, solver: Unrolled | CoarseToFine | None = None) -> None:
        super().__init__()
        self.solver: Unrolled | CoarseToFine = UnrolledHQS() if solver is None else solver

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal; values just outside of [0, 1] are possible.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: alpha and sigma of an image are both 0, a channel has no sample, the cfa is not 0 or 1, or
                samples are missing and the solver has several scales.
            ConvergenceError: the solve for missing samples does not end.
        """
        if not isinstance(obs, Observation):
            raise TypeError(f"obs must be an Observation; found {type(obs).__name__}")
        noise = obs.alpha, obs.sigma
        y = anscombe.forward(obs.signal, *noise)
        if obs.cfa is None or obs.is_complete:
            restored = self.solver(y, noise)
        else:
            height, width = y.shape[-2:]
            gap = self.solver.gap
            # Beyond the frame nothing was measured either.
            if not bool(((obs.cfa == 0) | (obs.cfa == 1)).all()):
                raise ValueError("cfa must be 0 or 1 everywhere to fill in missing samples; found values between")
            term = Masked(make_periodic(y, gap), torch.nn.functional.pad(obs.cfa.to(y), (0, gap, 0, gap)))
            restored = self.solver(term, noise)[..., :height, :width]
        return anscombe.inverse(restored, *noise, clipped=True)


class Deblurrer(nn.Module):
    """Joint denoising and deblurring: an unrolled solver whose data term holds the known PSF.

    ``minimize lambda/2 sum_p w_p |(K x - y)_p|^2 + sum_i g_i(C_i x)``

    The noise counts as Gaussian (a variance-stabilizing transform would make the blur nonlinear); by default the color
    channels are merged in the prior. The first estimate is Wiener's filter with a learned strength. Beyond the frame
    the image is continued by what a scene could have given, see `border.continue_blurred`.

    Args:
        solver: the unrolled iterations; a new `UnrolledHQS(color="merged")` if None.
        weighting: w by the variance ``alpha y + sigma^2`` that the observation knows. "none": w = 1. "image": one w for
            each image and channel, by its mean; the inverse filter stays exact. "pixel": w at every pixel, by the
            signal smoothed over 9 x 9 pixels, with ``w_p <= max w`` as the majorizer that keeps inverse filtering
            possible, renewed in every layer. "pixel_exact": the same w, solved exactly by conjugate gradients.
        passes: for what lies beyond the frame, see `border.continue_blurred`, >= 0.

    Raises:
        TypeError: solver is not an Unrolled.
        ValueError: weighting is none of these, or passes is negative.

    Source: Diamond et al. 2017, sec. 5.5; weighting and start are ours.

    Example:
        >>> import dirtypixels as dp
        >>> from dirtypixels.restore import Deblurrer
        >>> scene = dp.data.natural_patches(2, 32, gray=False)
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(scene, lux=50, position="periphery")
        >>> Deblurrer(weighting="pixel")(obs).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, solver: Unrolled | None = None, *, weighting: Weighting = "image", passes: int = 4) -> None:
        super().__init__()
        checks.one_of("weighting", weighting, get_args(Weighting))
        checks.in_range("passes", passes, low=0)
        if solver is not None and not isinstance(solver, Unrolled):
            raise TypeError(f"solver must be Unrolled, on one scale, to deblur; found {type(solver).__name__}")
        self.solver = UnrolledHQS(color="merged") if solver is None else solver
        self.weighting, self.passes = weighting, passes
        self.log_start = nn.Parameter(torch.zeros(()))

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal; values just outside of [0, 1] are possible.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: obs has no psf, or samples are missing.
            ConvergenceError: with weighting "pixel_exact", where the solve does not end.
        """
        capture = Blurred.of(obs, self.passes)
        variance = torch.full_like(capture.variance, _USUAL_VARIANCE) if self.weighting == "none" else capture.variance
        x = capture.wiener(variance * self.log_start.exp())
        noise = obs.alpha, obs.sigma
        if self.weighting not in ("pixel", "pixel_exact"):
            term: DataTerm = Gaussian(capture.signal, capture.otf, _USUAL_VARIANCE / variance)
            return capture.crop(self.solver(term, noise, x))
        signal = torch.nn.functional.avg_pool2d(obs.signal, 9, 1, 4, count_include_pad=False).clamp_min(0)
        each = _USUAL_VARIANCE / (obs.alpha * signal + obs.sigma**2).clamp_min(LEAST_VARIANCE)
        # Beyond the frame nothing was measured.
        beyond = [n - m for n, m in zip(capture.size, capture.frame, strict=True)]
        weight = torch.nn.functional.pad(each, (0, beyond[1], 0, beyond[0]))
        kind = Majorized if self.weighting == "pixel" else Weighted
        return capture.crop(self.solver(kind(capture.signal, weight, capture.otf), noise, x))


class ClassicalUnit(nn.Module):
    """A classical method as a unit, to put in front of a head; without parameters and without gradients.

    Args:
        method: "nlm" (`classical.non_local_means`) or "bm3d" for captures without blur, which they leave as it is;
            "hqs" (`classical.hqs_deconvolution`) for blurred ones. Each with its defaults.

    Raises:
        ValueError: method is none of these.

    Example:
        >>> import dirtypixels as dp
        >>> scene = dp.data.natural_patches(2, 32, gray=False)
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(scene, lux=6)
        >>> head = dp.tasks.classifier("resnet18", weights=None, num_classes=43)
        >>> dp.JointModel(dp.restore.ClassicalUnit("nlm"), head)(obs).shape
        torch.Size([2, 43])
    """

    def __init__(self, method: classical.Method) -> None:
        super().__init__()
        checks.one_of("method", method, classical.METHODS)
        self.method: classical.Method = method

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal, in [0, 1].

        Raises:
            As the method's function.
        """
        return classical.METHODS[self.method](obs)
