"""Algorithms run to convergence: the image that minimizes a data term and a convex prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dirtypixels import checks
from dirtypixels.restore.algorithms import ALGORITHMS, HQS, Algorithm, AlgorithmName, Color, PriorGradient
from dirtypixels.restore.algorithms.half_quadratic import Iterate
from dirtypixels.restore.channels import largest_power
from dirtypixels.restore.prox import Prox
from dirtypixels.restore.terms import DataTerm
from dirtypixels.restore.terms.conjugate_gradients import ConvergenceError

_WINDOW = 10  # iterations between two looks at the progress
_GROWTH = 4.0  # of the coupling, from one stage of a continuation to the next
_FISTA_INNER = 20


def minimize(
    term: DataTerm,
    filters: Tensor,
    prox: Prox | Sequence[Prox],
    algorithm: AlgorithmName = "admm",
    *,
    color: Color = "shared",
    weight: float = 1.0,
    beta: float | None = None,
    start: Tensor | None = None,
    tolerance: float = 1e-6,
    iterations: int = 10_000,
) -> Tensor:
    """The minimum of ``weight f(x) + sum_i g(C_i x)`` for a convex prior g, without gradients.

    How far the iterate is from the minimum is estimated from how fast it still moves and how fast that decreases. "hqs"
    and "prior_gradient" minimize the objective with the prior's Moreau envelope, whose minimum is x* + d / beta for
    large beta; beta grows until two successive extrapolations to infinity agree, and each stage has momentum.

    Args:
        term: f.
        filters: of C, (K, 1, k, k), k odd; (K, C, k, k) for color "coupled".
        prox: of g; a sequence of them, one for each channel, for color "own" and "opponent".
        algorithm: one of `ALGORITHMS`; all reach the same minimum.
        color: how the prior sees the channels, see `ColorPrior`.
        weight: of the data term, > 0.
        beta: coupling, > 0; of the first stage for "hqs" and "prior_gradient"; not used by "ista" and "fista". As steep
            as the data term if None.
        start: where to start, (B, C, H, W); the term's own start if None.
        tolerance: largest estimated distance of a pixel to the minimum, > 0.
        iterations: at most, >= 1, over all stages.

    Returns:
        (B, C, H, W).

    Raises:
        TypeError: prox does not fit the color.
        ValueError: an argument is out of range.
        ConvergenceError: the tolerance is not reached; its `x` is the last iterate.

    Source: Fiacco and McCormick 1968, sec. 5.4 (extrapolation); O'Donoghue and Candès 2015, sec. 3.2 (restart).

    Example:
        >>> import torch
        >>> from dirtypixels.restore import filters, minimize, prox, terms
        >>> y = torch.zeros(1, 1, 8, 8).index_fill(-1, torch.arange(4), 1.0)
        >>> x = minimize(terms.Gaussian(y), filters.gradient_filters(), prox.IsotropicTV(0.5))
        >>> x[0, 0, 0]  # an edge keeps its place and loses 2 x 0.5 / 4 on either side
        tensor([0.7500, 0.7500, 0.7500, 0.7500, 0.2500, 0.2500, 0.2500, 0.2500])
    """
    checks.one_of("algorithm", algorithm, ALGORITHMS)
    checks.above_zero("weight", weight)
    checks.above_zero("tolerance", tolerance)
    checks.in_range("iterations", iterations, low=1)
    with torch.no_grad():
        options: dict[str, Any] = {"inner": _FISTA_INNER, "restart": True} if algorithm == "fista" else {}
        first = 1.0 if beta is None else beta
        step = ALGORITHMS[algorithm](prox, filters.to(term.y), beta=first, color=color, **options)
        x = term.start() if start is None else start
        if beta is None:
            power = step.prior.power(step.filters, term.size)
            beta = weight * float(term.lipschitz.max() / largest_power(power).max())
        _set(step, "lambda", weight, x)
        budget = _Budget(iterations, tolerance)
        if isinstance(step, HQS | PriorGradient):
            return _continuation(step, term, x, beta, budget)
        if "beta" in step.weights:
            _set(step, "beta", beta, x)
        state = step.start(x)

        def advance() -> Tensor:
            nonlocal state
            state = step(state, term)
            image: Tensor = state.x
            return image

        return budget.run(advance, x, tolerance)


class _Budget:
    """Iterations that are left, and when to stop."""

    def __init__(self, iterations: int, tolerance: float) -> None:
        self.left = self.iterations = iterations
        self.tolerance = tolerance
        self.distance = torch.inf

    def run(self, advance: Callable[[], Tensor], x: Tensor, tolerance: float) -> Tensor:
        """Iterate until the distance to the limit is estimated to be below the tolerance."""
        changes: list[float] = []
        while True:
            before = x
            for _ in range(_WINDOW):
                if self.left == 0:
                    raise self.failure(x)
                x, self.left = advance(), self.left - 1
            change, floor = float((x - before).abs().max()), 4 * torch.finfo(x.dtype).eps * float(x.abs().max())
            changes.append(0.0 if change <= floor else change)  # less is rounding
            self.distance = _distance(changes)
            if self.distance <= tolerance:
                return x

    def failure(self, x: Tensor) -> ConvergenceError:
        return ConvergenceError(
            f"after {self.iterations} iterations the minimum is an estimated {self.distance:.2g} away where "
            f"{self.tolerance:.2g} was asked for; allow more iterations or a larger tolerance",
            x,
        )


def _distance(changes: list[float]) -> float:
    """What changes that decrease geometrically still add up to, by the slowest of the last three decreases."""
    recent = changes[-4:]
    if len(recent) > 1 and recent[-2:] == [0.0, 0.0]:
        return 0.0
    if len(recent) < 4 or 0 in recent:
        return torch.inf
    ratio = max(after / before for before, after in pairwise(recent))
    return recent[-1] * ratio / (1 - ratio) if ratio < 1 else torch.inf


def _continuation(step: HQS | PriorGradient, term: DataTerm, x: Tensor, beta: float, budget: _Budget) -> Tensor:
    """Minima for growing couplings, extrapolated to an infinite one."""
    last = extrapolated = None
    while True:
        _set(step, "beta", beta, x)
        found = budget.run(_Momentum(step, term, x), x, budget.tolerance / 10)
        x = found
        if last is not None:
            limit = found + (found - last) / (_GROWTH - 1)
            if extrapolated is not None:
                budget.distance = float((limit - extrapolated).abs().max())
                if budget.distance <= budget.tolerance:
                    return limit
            extrapolated = limit
            # Where the extrapolation points for the next coupling.
            x = limit + (found - limit) / _GROWTH
        last, beta = found, beta * _GROWTH


class _Momentum:
    """Steps of an algorithm without memory from a point ahead of the iterate, restarted where that points uphill."""

    def __init__(self, step: Algorithm[Iterate], term: DataTerm, x: Tensor) -> None:
        self.step, self.term, self.x, self.ahead = step, term, x, x
        self.t = x.new_ones(len(x), 1, 1, 1)

    def __call__(self) -> Tensor:
        x: Tensor = self.step(Iterate(self.ahead), self.term).x
        uphill = ((self.ahead - x) * (x - self.x)).sum((1, 2, 3), keepdim=True) > 0
        t = torch.where(uphill, 1.0, self.t)
        self.t = 0.5 + (0.25 + t.square()).sqrt()
        self.x, self.ahead = x, x + (t - 1) / self.t * (x - self.x)
        return x


def _set(step: Algorithm[Any], name: str, value: float, like: Tensor) -> None:
    getattr(step, f"log_{name}").data = like.new_tensor(value).log()
