"""Proximal operators: what a prior does to filter responses, ``prox(v, penalty)`` with the shape of v."""

from dirtypixels.restore.prox.base import Prox
from dirtypixels.restore.prox.closed_form import HyperLaplacian, IsotropicTV, SoftThreshold
from dirtypixels.restore.prox.pointwise import PointwiseCNN

__all__ = ["HyperLaplacian", "IsotropicTV", "PointwiseCNN", "Prox", "SoftThreshold"]
