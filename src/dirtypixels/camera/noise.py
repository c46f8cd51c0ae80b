"""How a camera's noise follows its gain, and its gain the light."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dirtypixels import checks

Number = float | Tensor


class NoiseLevel(NamedTuple):
    """Poisson-Gaussian noise at one gain, in units of the signal (white level 1).

    ``variance = alpha * mean + sigma^2`` before clipping. Floats, or tensors shaped as the argument that gave them; one
    more dimension at the end, of size C, where the curve knows each color channel by itself.

    >>> NoiseLevel(alpha=1e-4, sigma=5e-4).alpha
    0.0001
    """

    alpha: Number
    sigma: Number


class ExposureRule(NamedTuple):
    """The gain that a camera picks for a light level: ``ISO = base_iso / (lux / reference_lux)``.

    At `reference_lux` (lux, scene illuminance) the camera exposes fully at `base_iso`.

    >>> ExposureRule(reference_lux=2000, base_iso=100).iso(500)
    400.0
    """

    reference_lux: float = 2000.0
    base_iso: float = 100.0

    def iso(self, lux: Number) -> Number:
        """ISO at `lux` (> 0; infinity gives ISO 0, a capture without noise).

        Raises:
            ValueError: lux is not positive, or NaN.
        """
        values = torch.as_tensor(lux, dtype=torch.float64)
        if values.numel() and not bool((values > 0).all()):
            raise ValueError(f"lux must be above 0 (infinity for no noise); found {float(values.min()):g}")
        return self.base_iso * self.reference_lux / lux


class NoiseCurve:
    """Noise over ISO: linear between the calibrated gains, proportional to ISO outside of them.

    Both alpha and sigma scale with the gain applied before digitization, which is why a curve with a single
    calibrated gain is a straight line through the origin.

    Args:
        iso: (N,) calibrated gains, > 0, increasing.
        alpha: (N,) or (N, C) Poisson scale at each, in units of the signal, >= 0; C is 1 or 3 (red, green, blue).
        sigma: (N,) or (N, C) Gaussian standard deviation at each, in units of the signal, >= 0.
        exposure: the rule that turns lux into ISO.

    Raises:
        ValueError: lengths differ, nothing given, gains do not increase, or a figure is negative or not finite.

    >>> noise = NoiseCurve(iso=[100, 400], alpha=[1e-4, 4e-4], sigma=[5e-4, 1e-3])
    >>> noise.at_iso(250)
    NoiseLevel(alpha=0.00025, sigma=0.00075)
    >>> noise.at_lux(500) == noise.at_iso(400)
    True
    """

    def __init__(
        self,
        iso: npt.ArrayLike,
        alpha: npt.ArrayLike,
        sigma: npt.ArrayLike,
        exposure: ExposureRule = ExposureRule(),  # noqa: B008 (immutable)
    ) -> None:
        self.iso, self.alpha, self.sigma = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (iso, alpha, sigma))
        self.exposure = exposure
        self.alpha, self.sigma = (v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v for v in (self.alpha, self.sigma))
        shapes = [v.shape for v in (self.iso, self.alpha, self.sigma)]
        if len({shape[:1] for shape in shapes}) > 1 or self.iso.ndim != 1 or not self.iso.size:
            raise ValueError(f"iso, alpha and sigma must be lists of one length, at least 1; found shapes {shapes}")
        if self.alpha.shape != self.sigma.shape or self.alpha.shape[1:] not in ((), (3,)):
            raise ValueError(f"alpha and sigma must both be (N,), or (N, 3) for colors; found shapes {shapes[1:]}")
        for name in ("iso", "alpha", "sigma"):
            checks.in_range(name, torch.from_numpy(getattr(self, name)), low=0.0)
        if self.iso[0] <= 0 or (np.diff(self.iso) <= 0).any():
            raise ValueError(f"iso must be above 0 and increasing; found {self.iso.tolist()}")

    @property
    def channels(self) -> int:
        """1 where all channels have the same noise, else 3: red, green, blue."""
        return 1 if self.alpha.ndim == 1 else 3

    def at_iso(self, iso: Number) -> NoiseLevel:
        """Noise at a gain; floats for a float, tensors of its shape, type and device for a tensor.

        Where the channels differ, the last dimension is theirs: (3,) for a float, shape + (3,) for a tensor.

        Raises:
            ValueError: iso is negative, NaN or infinite.
        """
        checks.in_range("iso", iso, low=0.0)
        gain = iso.detach().cpu().double().numpy() if isinstance(iso, Tensor) else np.float64(iso)
        alpha, sigma = (self._interpolate(gain, v) for v in (self.alpha, self.sigma))
        if isinstance(iso, Tensor):
            kind = iso.dtype if iso.is_floating_point() else torch.get_default_dtype()
            return NoiseLevel(*(torch.as_tensor(v, dtype=kind, device=iso.device) for v in (alpha, sigma)))
        if self.channels == 3:
            return NoiseLevel(torch.from_numpy(alpha), torch.from_numpy(sigma))
        return NoiseLevel(float(alpha), float(sigma))

    def at_lux(self, lux: Number) -> NoiseLevel:
        """Noise at an illuminance in lux, through the exposure rule; lux = infinity gives no noise."""
        return self.at_iso(self.exposure.iso(lux))

    def _interpolate(self, gain: npt.NDArray[np.float64] | np.float64, figures: npt.NDArray[np.float64]) -> Any:
        nearest = np.clip(gain, self.iso[0], self.iso[-1])
        channels = [np.interp(nearest, self.iso, one) * (gain / nearest) for one in np.atleast_2d(figures.T)]
        return channels[0] if figures.ndim == 1 else np.stack(channels, -1)

    def __repr__(self) -> str:
        span = f"ISO {self.iso[0]:g}" if self.iso.size == 1 else f"ISO {self.iso[0]:g} to {self.iso[-1]:g}"
        return f"{type(self).__name__}({self.iso.size} gain{'s' * (self.iso.size > 1)}, {span})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseCurve) and (
            self.exposure == other.exposure
            and all(np.array_equal(getattr(self, v), getattr(other, v)) for v in ("iso", "alpha", "sigma"))
        )

    __hash__ = None  # type: ignore[assignment]
