"""Denoisers in place of proximal operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, get_args

from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.prox import Prox

Level = Literal["standard_deviation", "variance"]


class DenoiserProx(Prox):
    """A denoiser in place of a prox: plug and play, with the identity as the only filter.

    ``prox(v) = scale D(v / scale, s),  s = sqrt(weight / penalty) / scale``

    The estimate of the highest posterior probability under Gaussian noise of standard deviation s is
    ``D(u, s) = argmin_x h(x) + |x - u|^2 / (2 s^2)``, h the prior's negative logarithm. A denoiser that were one would
    make this the exact prox of ``g(z) = weight h(z / scale)``; trained denoisers stand in for it.

    Args:
        denoiser: (u, level) -> shape of u, as deepinv's are; u is (B, K, H, W), the level (B,).
        weight: of the prior, finite, >= 0; with 0 the prox is the identity. Where the data term is
            ``|A x - y|^2 / (2 noise variance)``, 1 is the posterior's own weight.
        scale: the denoiser's 1 in units of v, > 0, for priors over signals that are not in [0, 1].
        level: what the denoiser takes: "standard_deviation" s, as trained denoisers do, or "variance" s^2, as deepinv's
            denoisers that are proximal operators do (`TVDenoiser`, `TGVDenoiser`, `WaveletDenoiser`).
        one_by_one: whether each of the K responses is a picture by itself, for denoisers of gray pictures.

    Raises:
        TypeError: denoiser cannot be called.
        ValueError: an argument is out of range, v is not (B, K, H, W), the penalty is neither a number nor one for each
            image, or the denoiser gives another shape.

    Source: Venkatakrishnan, Bouman and Wohlberg 2013 (plug and play); Zhang et al. 2022, eq. 6b (in HQS).

    Example:
        >>> import torch
        >>> from dirtypixels.bridges.deepinv import DenoiserProx
        >>> box = torch.nn.AvgPool2d(3, stride=1, padding=1)
        >>> prox = DenoiserProx(lambda u, level: box(u))
        >>> prox(torch.rand(2, 3, 16, 16), torch.tensor(4.0)).shape
        torch.Size([2, 3, 16, 16])
    """

    pointwise: ClassVar[bool] = False

    def __init__(
        self,
        denoiser: Callable[[Tensor, Tensor], Tensor],
        weight: float = 1.0,
        *,
        scale: float = 1.0,
        level: Level = "standard_deviation",
        one_by_one: bool = False,
    ) -> None:
        super().__init__()
        if not callable(denoiser):
            raise TypeError(f"denoiser must map pictures and a level to pictures; found {type(denoiser).__name__}")
        checks.in_range("weight", weight, low=0.0)
        checks.in_range("scale", scale, low=0.0)
        checks.above_zero("scale", scale)
        checks.one_of("level", level, get_args(Level))
        self.denoiser, self.weight, self.scale = denoiser, float(weight), float(scale)
        self.level, self.one_by_one = level, one_by_one

    def forward(self, v: Tensor, penalty: Tensor, context: Tensor | None = None) -> Tensor:
        checks.has_shape("v", v, ("B", "K", "H", "W"))
        batch, responses = v.shape[:2]
        if penalty.numel() not in (1, batch):
            raise ValueError(
                f"penalty must be a number or one for each of {batch} images; found shape {tuple(penalty.shape)}"
            )
        if self.weight == 0:
            return v
        variance = (self.weight / self.scale**2 / penalty.reshape(-1)).to(v).expand(batch)
        level = variance if self.level == "variance" else variance.sqrt()
        u = v / self.scale
        if self.one_by_one:
            u, level = u.flatten(0, 1)[:, None], level.repeat_interleave(responses)
        found = self.denoiser(u, level)
        if not isinstance(found, Tensor) or found.shape != u.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"denoiser must keep the shape {tuple(u.shape)}; found {shape}")
        return found.reshape(v.shape) * self.scale

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, scale={self.scale:g}, level={self.level!r}, one_by_one={self.one_by_one}"
