"""The shared checks: what each lets through, and the sentence that it raises."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from dirtypixels import checks


@pytest.mark.parametrize(
    "check",
    [
        lambda: checks.one_of("kind", "a", ["a", "b"]),
        lambda: checks.one_of("kind", "b", (name for name in "ab")),
        lambda: checks.is_tensor("x", torch.zeros(2, dtype=torch.float16)),
        lambda: checks.has_shape("x", torch.zeros(4, 3, 5, 1), ("B", (1, 3), 5, 1)),
        lambda: checks.has_shape("x", torch.zeros(()), ()),
        lambda: checks.is_finite("x", torch.zeros(0)),
        lambda: checks.above_zero("x", 1e-30),
        lambda: checks.in_range("x", torch.tensor([0.0, 1.0]), 0.0, 1.0),
        lambda: checks.in_range("x", torch.tensor([-1e30, 1e30])),
        lambda: checks.in_range("x", 3),
        lambda: checks.in_range("x", torch.zeros(0), 1.0, 2.0),
        lambda: checks.in_range("x", torch.tensor([2], dtype=torch.int64), low=2.0),
    ],
)
def test_accepts(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    ("check", "kind", "message"),
    [
        (lambda: checks.one_of("kind", "c", ["a", "b"]), ValueError, "kind must be one of 'a', 'b'; found 'c'"),
        (lambda: checks.is_tensor("x", [1.0]), TypeError, "x must be a torch.Tensor; found list"),
        (
            lambda: checks.is_tensor("x", torch.zeros(1, dtype=torch.uint8)),
            TypeError,
            "x must be a floating-point tensor; found torch.uint8",
        ),
        (
            lambda: checks.has_shape("x", torch.zeros(2, 2), ("B", (1, 3))),
            ValueError,
            "x must have shape (B, 1|3); found (2, 2)",
        ),
        (lambda: checks.has_shape("x", torch.zeros(2), ("B", 1)), ValueError, "x must have shape (B, 1); found (2,)"),
        (
            lambda: checks.is_finite("x", torch.tensor([0.0, torch.nan, -torch.inf])),
            ValueError,
            "x must be finite; found 2 NaN or infinite of 3 values",
        ),
        (lambda: checks.above_zero("x", 0.0), ValueError, "x must be above 0; found 0"),
        (lambda: checks.above_zero("x", float("nan")), ValueError, "x must be above 0; found nan"),
        (lambda: checks.in_range("x", float("nan"), 0.0), ValueError, "x must be finite; found 1 NaN or infinite of 1"),
        (lambda: checks.in_range("x", -1.0, low=0.0), ValueError, "x must be at least 0; found -1"),
        (lambda: checks.in_range("x", 2.0, high=1.5), ValueError, "x must be at most 1.5; found 2"),
        (
            lambda: checks.in_range("x", torch.tensor([0.5, 1.25]), 0.0, 1.0),
            ValueError,
            "x must be in [0, 1]; found values from 0.5 to 1.25",
        ),
    ],
)
def test_raises_and_says_why(check: Callable[[], None], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        check()


def test_in_range_takes_a_tensor_that_needs_a_gradient() -> None:
    x = torch.tensor([0.5], requires_grad=True)
    checks.in_range("x", x, 0.0, 1.0)
    assert x.requires_grad
