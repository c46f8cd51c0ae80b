"""Bridges to other libraries: what they have works here, and the other way round; each is imported on first use."""

from dirtypixels.bridges import deepinv

__all__ = ["deepinv"]


def __dir__() -> list[str]:
    return __all__
