"""Data terms: how far an image is from what was measured, and the solves that the algorithms need of it."""

from dirtypixels.restore.terms.base import DataTerm
from dirtypixels.restore.terms.gaussian import Gaussian
from dirtypixels.restore.terms.weighted import Majorized, Masked, Weighted

__all__ = ["DataTerm", "Gaussian", "Majorized", "Masked", "Weighted"]


def __dir__() -> list[str]:
    return __all__
