"""Conjugate gradients for many self-adjoint systems at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Map = Callable[[Tensor], Tensor]


class ConvergenceError(ArithmeticError):
    """An iteration ended before its tolerance was reached; `x` is what it had by then."""

    def __init__(self, message: str, x: Tensor) -> None:
        super().__init__(message)
        self.x = x


def conjugate_gradients(
    matrix: Map,
    right: Tensor,
    precondition: Map,
    guess: Tensor,
    tolerance: float,
    iterations: int,
    *,
    coupled: bool = False,
) -> Tensor:
    """Solve ``M x = right`` for every image and channel by itself, or for every image.

    Args:
        matrix: M, self-adjoint and positive definite, (B, C, H, W) to the same.
        right: (B, C, H, W).
        precondition: close to the inverse of M, self-adjoint and positive definite.
        guess: (B, C, H, W), where to start.
        tolerance: of |M x - right| relative to |right|.
        iterations: at most that many, >= 1.
        coupled: whether the channels of an image depend on each other.

    Raises:
        ConvergenceError: the tolerance is not reached, or values are not finite.

    Source: Hestenes and Stiefel 1952; Saad 2003, algorithm 9.1 (preconditioned).
    """
    dims = (-3, -2, -1) if coupled else (-2, -1)

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dims, keepdim=True)

    x = guess
    r = right - matrix(x)
    goal = tolerance**2 * product(right, right)
    reached = product(r, r)
    z = precondition(r)
    direction, rz = z, product(r, z)
    for _ in range(iterations):
        wanting = reached > goal
        if not bool(wanting.any()):
            break
        mapped = matrix(direction)
        # A system that has converged stands still, so that none divides by 0.
        step = torch.where(wanting, rz / product(direction, mapped), 0.0)
        x = x + step * direction
        r = r - step * mapped
        reached = product(r, r)
        z = precondition(r)
        before, rz = rz, product(r, z)
        direction = z + torch.where(wanting, rz / before, 0.0) * direction
    if not bool((reached <= goal).all()):  # also where values are not finite
        scale = product(right, right).clamp_min(torch.finfo(right.dtype).tiny)
        worst = float((reached / scale).max().sqrt())
        raise ConvergenceError(
            f"conjugate gradients left a relative residual of {worst:.2g} after {iterations} iterations where "
            f"{tolerance:.2g} was asked for; allow more iterations or a larger tolerance",
            x,
        )
    return x


def implicit(residual: Tensor, x: Tensor, solve: Map) -> Tensor:
    """The solution x of ``M x = b`` with its gradient, though how it was found is not recorded.

    ``dx = M^-1 (db - dM x)``

    Args:
        residual: ``b - M x`` for the x given, (B, C, H, W), differentiable in what b and M depend on.
        x: (B, C, H, W), without gradient.
        solve: M^-1, self-adjoint.

    Source: implicit function theorem; Griewank and Walther 2008, ch. 15.
    """
    return _Implicit.apply(residual, x, solve)  # type: ignore[no-any-return]


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, solve: Map) -> Tensor:
        ctx.solve = solve
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.solve(grad), None, None
