"""Low-level image processing: variance stabilisation, filters, proximal operators, unrolled solvers and units."""

from dirtypixels.restore import anscombe, classical, prox
from dirtypixels.restore.units import Deblurrer, Denoiser
from dirtypixels.restore.unrolled import HQSLayer, UnrolledHQS

__all__ = ["Deblurrer", "Denoiser", "HQSLayer", "UnrolledHQS", "anscombe", "classical", "prox"]
