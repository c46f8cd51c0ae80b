"""Algorithms for ``min_x lambda f(x) + sum_i g(C_i x)``, each as a module of one iteration.

Example:
    >>> import torch
    >>> from dirtypixels.restore import algorithms, filters, prox, terms
    >>> iteration = algorithms.HQS(prox.SoftThreshold(), filters.dct_filters(3))
    >>> term = terms.Gaussian(torch.randn(1, 3, 16, 16))
    >>> state = iteration.start(term.start())
    >>> for _ in range(4):
    ...     state = iteration(state, term)
    >>> state.x.shape
    torch.Size([1, 3, 16, 16])
    >>> list(algorithms.ALGORITHMS)
    ['hqs', 'ista', 'fista', 'admm', 'chambolle_pock', 'prior_gradient']
"""

from typing import Any, Literal

from dirtypixels.restore.algorithms.base import Algorithm
from dirtypixels.restore.algorithms.color import Color, ColorPrior
from dirtypixels.restore.algorithms.forward_backward import FISTA, ISTA
from dirtypixels.restore.algorithms.half_quadratic import HQS, PriorGradient
from dirtypixels.restore.algorithms.primal_dual import ADMM, ChambollePock

AlgorithmName = Literal["hqs", "ista", "fista", "admm", "chambolle_pock", "prior_gradient"]

ALGORITHMS: dict[AlgorithmName, type[Algorithm[Any]]] = {
    "hqs": HQS,
    "ista": ISTA,
    "fista": FISTA,
    "admm": ADMM,
    "chambolle_pock": ChambollePock,
    "prior_gradient": PriorGradient,
}

__all__ = [
    "ADMM",
    "ALGORITHMS",
    "FISTA",
    "HQS",
    "ISTA",
    "Algorithm",
    "AlgorithmName",
    "ChambollePock",
    "Color",
    "ColorPrior",
    "PriorGradient",
]


def __dir__() -> list[str]:
    return __all__
