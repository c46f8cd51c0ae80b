"""Networks that others put in front of a classifier, as units to compare an unrolled one with.

Their default sizes are those with which a training step takes about as long as that of a `Denoiser` of 4 layers, on one
thread of a CPU; it has 9,608 parameters, they have those of the examples.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.observation import Observation
from dirtypixels.restore import anscombe
from dirtypixels.restore.border import Blurred
from dirtypixels.restore.terms import Gaussian

_Padding = Literal["replicate", "circular"]

_SLOPE = 0.2  # of the leaky ReLUs, Chen et al. 2018
_FIRST_STEP = 0.5  # of what is stable at most in the first order: 1 would forget all iterates but the last
_PASSES = 4  # as `Deblurrer`


class SignalUNet(nn.Module):
    """A U-Net on the signal as it was measured, with no model of the capture in it.

    ``image = signal + U(signal)``

    Each of depth + 1 levels has two 3 x 3 convolutions with leaky ReLUs and twice the channels of the one above; 2 x 2
    pixels are reduced to their maximum on the way down, and on the way up joined with what the level had. The last
    convolution starts small, so that the image starts near the signal. Every convolution sees the first and last row
    and column once more beyond the border; any size of image is allowed.

    Args:
        channels: of the signal, >= 1; they are restored together.
        width: channels of the first level, >= 1.
        depth: how often height and width are halved, >= 1.
        noise_maps: whether U also gets the standard deviation of each image's noise as constant channels: of the shot
            noise at white, sqrt(alpha), and of the read noise, sigma. Without, it is told nothing of the noise.

    Raises:
        ValueError: an argument is out of range.

    Source: Ronneberger et al. 2015; Chen et al. 2018 (on raw signals: 5 levels of 32 to 512 channels, no residual); one
    of 8 to 128 channels is the alternative front end in the code of Diamond et al. 2021.

    Example:
        >>> import dirtypixels as dp
        >>> from dirtypixels.restore import SignalUNet
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(dp.data.natural_patches(2, 33, gray=False), lux=6)
        >>> unit = SignalUNet()
        >>> unit(obs).shape, sum(p.numel() for p in unit.parameters())
        (torch.Size([2, 3, 33, 33]), 1925667)
    """

    def __init__(self, channels: int = 3, width: int = 32, depth: int = 3, *, noise_maps: bool = False) -> None:
        super().__init__()
        _check_sizes(channels=channels, width=width, depth=depth)
        self.channels, self.noise_maps = channels, noise_maps
        self.network = _UNet(channels * (3 if noise_maps else 1), channels, width, depth)

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal; values outside of [0, 1] are possible.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: the signal has another number of channels, or samples are missing.
        """
        y = _complete_signal(obs, self.channels)
        maps = [level.to(y).expand_as(y) for level in (obs.alpha.sqrt(), obs.sigma)] if self.noise_maps else []
        image: Tensor = y + self.network(torch.cat([y, *maps], 1))
        return image


class ResidualCNN(nn.Module):
    """Variance stabilization, a plain residual CNN, exact unbiased inverse: a `Denoiser` with another middle.

    ``image = f^-1(s + W_n * relu(... relu(W_1 * s + b_1) ...) + b_n),  s = f(signal)``

    f is the generalized Anscombe transform, the convolutions are 3 x 3 and see all channels together. Without batch
    normalization, and started near the identity: the last convolution starts small. Each sees the first and last row
    and column once more beyond the border; any size of image is allowed. A psf is left alone.

    Args:
        channels: of the signal, >= 1.
        width: channels of the inner layers, >= 1.
        depth: convolutions, >= 2.

    Raises:
        ValueError: an argument is out of range.

    Source: Zhang et al. 2017 (DnCNN: 17 convolutions, 64 wide, with batch normalization); Mäkitalo and Foi 2013.

    Example:
        >>> import dirtypixels as dp
        >>> from dirtypixels.restore import ResidualCNN
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(dp.data.natural_patches(2, 33, gray=False), lux=6)
        >>> unit = ResidualCNN()
        >>> unit(obs).shape, sum(p.numel() for p in unit.parameters())
        (torch.Size([2, 3, 33, 33]), 84995)
    """

    def __init__(self, channels: int = 3, width: int = 32, depth: int = 11) -> None:
        super().__init__()
        _check_sizes(channels=channels, width=width)
        checks.in_range("depth", depth, low=2)
        self.channels = channels
        widths = [channels, *[width] * (depth - 1)]
        inner = [layer for a, b in pairwise(widths) for layer in (_convolution(a, b, 0.0), nn.ReLU())]
        self.network = nn.Sequential(*inner, _last(width, channels, 3))

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal; values outside of [0, 1] are possible.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: the signal has another number of channels, samples are missing, or alpha and sigma of an image
                are both 0.
        """
        y = _complete_signal(obs, self.channels)
        s = anscombe.forward(y, obs.alpha, obs.sigma)
        return anscombe.inverse(s + self.network(s), obs.alpha, obs.sigma, clipped=True)


class ProximalGradient(nn.Module):
    """Proximal-gradient iterations on the color image, each with a residual U-Net in place of a proximal operator.

    ``x <- D_k(x - t_k / L grad f(x)),  D_k(v) = v + U_k(v),  f(x) = 1/2 |A x - y|^2``

    t_k > 0 is learned and L is the largest eigenvalue of A^T A. Without blur A is the identity, y the stabilized signal
    and x starts as y; the result comes back by the exact unbiased inverse. With blur A is the psf of the Observation, y
    the signal, continued beyond the frame as by `Deblurrer`, and x starts as Wiener's estimate. U_k is the network of
    `SignalUNet`, in circular convolutions with blur. It starts small, so that the image starts near y, or, with blur,
    near what gradient steps leave of Wiener's estimate.

    Args:
        channels: of the signal, >= 1.
        iterations: >= 1, each with weights of its own.
        width: channels of the first level of U_k, >= 1.
        depth: how often U_k halves height and width, >= 1.
        blur: whether to undo the psf; without, a psf is left alone.

    Raises:
        ValueError: an argument is out of range.

    Source: Diamond et al. 2021 (there the data term is solved for and the network comes before it; 4 iterations and a
    U-Net of 3 levels in the authors' code); Beck and Teboulle 2009 (proximal gradient).

    Example:
        >>> import dirtypixels as dp
        >>> from dirtypixels.restore import ProximalGradient
        >>> camera, scene = dp.Camera.load("nexus-6p-rear"), dp.data.natural_patches(2, 33, gray=False)
        >>> unit = ProximalGradient(blur=True)
        >>> unit(camera.capture(scene, lux=6, position="offaxis")).shape, sum(p.numel() for p in unit.parameters())
        (torch.Size([2, 3, 33, 33]), 468304)
    """

    def __init__(
        self, channels: int = 3, iterations: int = 4, width: int = 16, depth: int = 2, *, blur: bool = False
    ) -> None:
        super().__init__()
        _check_sizes(channels=channels, iterations=iterations, width=width, depth=depth)
        self.channels, self.blur = channels, blur
        self.log_steps = nn.Parameter(torch.full((iterations,), _FIRST_STEP).log())
        padding: _Padding = "circular" if blur else "replicate"
        self.networks = nn.ModuleList(_UNet(channels, channels, width, depth, padding) for _ in range(iterations))

    def forward(self, obs: Observation) -> Tensor:
        """(B, C, H, W), linear, same size as the signal; values outside of [0, 1] are possible.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: the signal has another number of channels, samples are missing, or alpha and sigma of an image
                are both 0; with blur: obs has no psf.
        """
        y = _complete_signal(obs, self.channels)
        if self.blur:
            capture = Blurred.of(obs, _PASSES)
            found = self._iterate(Gaussian(capture.signal, capture.otf), capture.wiener(capture.variance))
            return capture.crop(found)
        s = anscombe.forward(y, obs.alpha, obs.sigma)
        return anscombe.inverse(self._iterate(Gaussian(s), s), obs.alpha, obs.sigma, clipped=True)

    def _iterate(self, term: Gaussian, x: Tensor) -> Tensor:
        for step, network in zip(self.log_steps.exp(), self.networks, strict=True):
            v = x - step / term.lipschitz * term.gradient(x)
            x = v + network(v)
        return x


class _UNet(nn.Module):
    """A U-Net, (B, into, H, W) to (B, out, H, W), H and W >= 1; see `SignalUNet`. The result starts small."""

    def __init__(self, into: int, out: int, width: int, depth: int, padding: _Padding = "replicate") -> None:
        super().__init__()

        def level(a: int, b: int) -> nn.Sequential:
            layers = [_convolution(c, b, _SLOPE, padding) for c in (a, b)]
            return nn.Sequential(layers[0], nn.LeakyReLU(_SLOPE), layers[1], nn.LeakyReLU(_SLOPE))

        widths = [width * 2**i for i in range(depth + 1)]
        self.down = nn.ModuleList(level(a, b) for a, b in pairwise([into, *widths[:-1]]))
        self.bottom = level(widths[-2], widths[-1])
        self.doubling = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(level(2 * w, w) for w in reversed(widths[:-1]))
        self.last = _last(width, out, 1, padding)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in self.down:
            skips.append(level(x))
            x = torch.nn.functional.max_pool2d(skips[-1], 2, ceil_mode=True)
        x = self.bottom(x)
        for doubling, level in zip(self.doubling, self.up, strict=True):
            skip = skips.pop()
            x = level(torch.cat([doubling(x)[..., : skip.shape[-2], : skip.shape[-1]], skip], 1))
        found: Tensor = self.last(x)
        return found


def _convolution(into: int, out: int, slope: float, padding: _Padding = "replicate", kernel: int = 3) -> nn.Conv2d:
    """Of the same size out, started as in He et al. 2015 for the (leaky) ReLU of this slope that follows."""
    made = nn.Conv2d(into, out, kernel, padding=kernel // 2, padding_mode=padding)
    nn.init.kaiming_normal_(made.weight, slope)
    nn.init.zeros_(made.bias)  # type: ignore[arg-type]
    return made


def _last(into: int, out: int, kernel: int, padding: _Padding = "replicate") -> nn.Conv2d:
    """The convolution that starts small."""
    made = _convolution(into, out, 1.0, padding, kernel)
    with torch.no_grad():
        made.weight.mul_(0.01)
    return made


def _check_sizes(**sizes: int) -> None:
    for name, value in sizes.items():
        checks.in_range(name, value, low=1)


def _complete_signal(obs: Observation, channels: int) -> Tensor:
    if not isinstance(obs, Observation):
        raise TypeError(f"obs must be an Observation; found {type(obs).__name__}")
    checks.has_shape("signal", obs.signal, ("B", channels, "H", "W"))
    obs.check_complete()
    return obs.signal
