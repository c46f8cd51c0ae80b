"""Low-level image processing: variance stabilization, filters, proximal operators, solvers and units."""

from dirtypixels.restore import algorithms, anscombe, classical, prox, terms
from dirtypixels.restore.minimize import minimize
from dirtypixels.restore.terms.conjugate_gradients import ConvergenceError
from dirtypixels.restore.units import Deblurrer, Denoiser
from dirtypixels.restore.unrolled import ShrinkageField, Unrolled, UnrolledHQS

__all__ = [
    "ConvergenceError",
    "Deblurrer",
    "Denoiser",
    "ShrinkageField",
    "Unrolled",
    "UnrolledHQS",
    "algorithms",
    "anscombe",
    "classical",
    "minimize",
    "prox",
    "terms",
]
