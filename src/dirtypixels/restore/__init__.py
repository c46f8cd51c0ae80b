"""Low-level image processing: variance stabilization, filters, proximal operators, solvers and units.

Example:
    >>> import dirtypixels as dp
    >>> camera = dp.Camera.load("nexus-6p-rear")
    >>> scene = dp.data.natural_patches(2, 32, gray=False)
    >>> dp.restore.Denoiser()(camera.capture(scene, lux=6)).shape
    torch.Size([2, 3, 32, 32])
    >>> dp.restore.Deblurrer()(camera.capture(scene, lux=6, position="offaxis")).shape
    torch.Size([2, 3, 32, 32])
"""

from dirtypixels.restore import algorithms, anscombe, classical, filters, prox, terms
from dirtypixels.restore.minimize import minimize
from dirtypixels.restore.terms.conjugate_gradients import ConvergenceError
from dirtypixels.restore.units import ClassicalUnit, Deblurrer, Denoiser
from dirtypixels.restore.unrolled import ShrinkageField, Unrolled, UnrolledHQS

__all__ = [
    "ClassicalUnit",
    "ConvergenceError",
    "Deblurrer",
    "Denoiser",
    "ShrinkageField",
    "Unrolled",
    "UnrolledHQS",
    "algorithms",
    "anscombe",
    "classical",
    "filters",
    "minimize",
    "prox",
    "terms",
]


def __dir__() -> list[str]:
    return __all__
