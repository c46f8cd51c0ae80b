"""Checks that every room shares: one sentence that names the argument, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def one_of(name: str, found: object, allowed: Iterable[object]) -> None:
    """Raise ValueError unless `found` is one of `allowed`."""
    choices = list(allowed)
    if found not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; found {found!r}")


def is_tensor(name: str, found: object) -> None:
    """Raise TypeError unless `found` is a floating-point tensor."""
    if not isinstance(found, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor; found {type(found).__name__}")
    if not found.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor; found {found.dtype}")


def has_shape(name: str, found: Tensor, allowed: tuple[str | int | tuple[int, ...], ...]) -> None:
    """Raise ValueError unless the shape fits: an int is one size, a tuple several, a string any size.

    `has_shape("alpha", alpha, ("B", (1, 3), 1, 1))` reads as the shape would be written.
    """
    fits = found.ndim == len(allowed) and all(
        isinstance(rule, str) or size in ((rule,) if isinstance(rule, int) else rule)
        for size, rule in zip(found.shape, allowed, strict=True)
    )
    if not fits:
        wanted = ", ".join("|".join(map(str, r)) if isinstance(r, tuple) else str(r) for r in allowed)
        raise ValueError(f"{name} must have shape ({wanted}); found {tuple(found.shape)}")


def is_finite(name: str, found: Tensor) -> None:
    """Raise ValueError where a value is NaN or infinite, saying how many."""
    bad = int((~torch.isfinite(found)).sum())
    if bad:
        raise ValueError(f"{name} must be finite; found {bad} NaN or infinite of {found.numel()} values")


def above_zero(name: str, found: float) -> None:
    """Raise ValueError unless the number is above 0."""
    if not found > 0:
        raise ValueError(f"{name} must be above 0; found {found:g}")


def in_range(name: str, found: Tensor | float, low: float | None = None, high: float | None = None) -> None:
    """Raise ValueError unless every value is finite and within [low, high]; None leaves a side open."""
    values = torch.as_tensor(found).detach()
    is_finite(name, values)
    if values.numel() == 0:
        return
    least, most = float(values.min()), float(values.max())
    if (low is not None and least < low) or (high is not None and most > high):
        allowed = (
            f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"in [{low:g}, {high:g}]"
        )
        span = f"{least:g}" if least == most else f"values from {least:g} to {most:g}"
        raise ValueError(f"{name} must be {allowed}; found {span}")
