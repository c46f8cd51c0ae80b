"""What an iterative solver says when it does not get there."""

from __future__ import annotations

from torch import Tensor


class ConvergenceError(ArithmeticError):
    """An iteration ended before its tolerance was reached; `x` is what it had by then."""

    def __init__(self, message: str, x: Tensor) -> None:
        super().__init__(message)
        self.x = x
