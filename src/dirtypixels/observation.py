"""The one value that travels through the package: a measured signal and what is known about its measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from dirtypixels import checks


@dataclass(frozen=True, eq=False)
class Observation:
    """What a camera gives, simulated or real.

    ``signal = clip(alpha * Poisson((psf * x) / alpha) + N(0, sigma^2), 0, 1)``

    Args:
        signal: (B, C, H, W), linear, black level removed, white level 1.
        alpha: (B, 1|C, 1, 1), Poisson scale in units of the signal, >= 0; 0 means no shot noise.
        sigma: (B, 1|C, 1, 1), standard deviation of the Gaussian read noise in units of the signal, >= 0.
        psf: (1|B, 1|C, kh, kw) with odd sizes, >= 0, each summing to 1; None for a sharp lens.
        cfa: (1|B, C, H, W), 1 where a sample was measured and 0 elsewhere; None where all are measured.

    Raises:
        TypeError: a field is not a floating-point tensor.
        ValueError: a shape does not fit, a value is not finite or out of range, a PSF does not sum to 1.

    Source: Foi et al. 2008, eq. 1 (noise); Foi 2009 (clipping).

    Example:
        >>> import torch
        >>> from dirtypixels import Observation
        >>> noise = torch.full((4, 1, 1, 1), 0.01)
        >>> obs = Observation(torch.rand(4, 3, 32, 32), alpha=noise, sigma=noise)
        >>> len(obs), obs[1].signal.shape, obs.psf
        (4, torch.Size([1, 3, 32, 32]), None)
    """

    signal: Tensor
    alpha: Tensor
    sigma: Tensor
    psf: Tensor | None = None
    cfa: Tensor | None = None

    def __post_init__(self) -> None:
        checks.is_tensor("signal", self.signal)
        checks.has_shape("signal", self.signal, ("B", "C", "H", "W"))
        batch, channels, height, width = self.signal.shape
        checks.is_finite("signal", self.signal)
        for name in ("alpha", "sigma"):
            value = getattr(self, name)
            checks.is_tensor(name, value)
            checks.has_shape(name, value, (batch, (1, channels), 1, 1))
            checks.in_range(name, value, low=0.0)
        if self.psf is not None:
            check_psf(self.psf, batch, channels)
        if self.cfa is not None:
            checks.is_tensor("cfa", self.cfa)
            checks.has_shape("cfa", self.cfa, ((1, batch), channels, height, width))
            checks.in_range("cfa", self.cfa, 0.0, 1.0)

    def __len__(self) -> int:
        return self.signal.shape[0]

    def to(self, *args: object, **kwargs: object) -> Observation:
        """The same observation on another device or in another floating-point type; arguments as Tensor.to."""
        held: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: v if v is None else v.to(*args, **kwargs) for k, v in held.items()}
        return replace(self, **moved)

    @property
    def is_complete(self) -> bool:
        """Whether every sample was measured."""
        return self.cfa is None or bool((self.cfa == 1).all())

    def check_complete(self) -> None:
        """Raise ValueError unless every sample was measured."""
        if not self.is_complete:
            raise ValueError(
                "obs must have every sample measured; found a cfa with missing samples (demosaic it first)"
            )

    def __getitem__(self, index: int | slice) -> Observation:
        """Some of the batch, as an Observation: an int keeps a batch of one.

        Raises:
            IndexError: no such image in the batch; iteration ends by it.
        """
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"index must be in [{-len(self)}, {len(self) - 1}]; found {index}")
        part = slice(index, index + 1 or None) if isinstance(index, int) else index
        shared = {name: getattr(self, name) for name in ("psf", "cfa")}
        return Observation(
            self.signal[part],
            self.alpha[part],
            self.sigma[part],
            **{k: v if v is None or v.shape[0] == 1 else v[part] for k, v in shared.items()},
        )

    @staticmethod
    def cat(parts: Sequence[Observation]) -> Observation:
        """Join observations along the batch; their psf and cfa must all be there or all be None.

        One psf or cfa for the whole batch that all parts share, the very same tensor, stays one.

        Raises:
            ValueError: nothing to join, or only some of the parts carry a psf or a cfa.
        """
        if not parts:
            raise ValueError("parts must hold at least one Observation; found none")
        joined: dict[str, Tensor | None] = {}
        for name in ("signal", "alpha", "sigma", "psf", "cfa"):
            values = [getattr(part, name) for part in parts]
            present = [v is not None for v in values]
            if any(present) != all(present):
                raise ValueError(
                    f"{name} must be set in all parts or in none; found it in {sum(present)} of {len(parts)}"
                )
            if present[0] and name in ("psf", "cfa"):
                if values[0].shape[0] == 1 and all(_same(v, values[0]) for v in values):
                    joined[name] = values[0]  # one and the same for all: kept once
                    continue
                values = [v.expand(len(p), *v.shape[1:]) for v, p in zip(values, parts, strict=True)]
            joined[name] = torch.cat(values) if present[0] else None
        return Observation(**joined)  # type: ignore[arg-type]


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one and the same memory, seen in the same way."""
    return (one.data_ptr(), one.shape, one.stride()) == (other.data_ptr(), other.shape, other.stride())


def check_psf(psf: Tensor, batch: int, channels: int) -> None:
    """Raise unless `psf` is a PSF for (batch, channels, ., .): odd size, finite, >= 0, summing to 1 within 1e-3."""
    checks.is_tensor("psf", psf)
    checks.has_shape("psf", psf, ((1, batch), (1, channels), "kh", "kw"))
    height, width = psf.shape[-2:]
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"psf must have odd height and width; found {height} x {width}")
    checks.in_range("psf", psf, low=0.0)
    total = psf.sum((-2, -1))
    if bool(((total - 1).abs() > 1e-3).any()):
        raise ValueError(f"psf must sum to 1; found sums from {float(total.min()):g} to {float(total.max()):g}")
