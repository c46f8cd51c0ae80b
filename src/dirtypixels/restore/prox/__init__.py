"""Proximal operators: what a prior does to filter responses, ``prox(v, penalty)`` with the shape of v."""

from dirtypixels.restore.prox.base import Prox
from dirtypixels.restore.prox.closed_form import HyperLaplacian, IsotropicTV, SoftThreshold
from dirtypixels.restore.prox.pointwise import PointwiseCNN
from dirtypixels.restore.prox.rbf import RBFShrinkage
from dirtypixels.restore.prox.spatial import ConvolutionalCNN, ResidualUNet

__all__ = [
    "ConvolutionalCNN",
    "HyperLaplacian",
    "IsotropicTV",
    "PointwiseCNN",
    "Prox",
    "RBFShrinkage",
    "ResidualUNet",
    "SoftThreshold",
]


def __dir__() -> list[str]:
    return __all__
