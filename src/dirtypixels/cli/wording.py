"""Messages of the library in the words of the command."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_ARGUMENT = re.compile(r"\b(black|white|cfa|iso|channels)=\"?([\w.-]*)\"?")

P = ParamSpec("P")
T = TypeVar("T")


def as_options(text: str) -> str:
    """A message with Python's arguments as options: "give black=64" as "give --black 64"."""
    return _ARGUMENT.sub(lambda found: f"--{found[1]} {found[2]}".rstrip(), text)


def names_options(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose messages of bad input name its options, where the library names arguments of its functions."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ValueError as error:
            raise ValueError(as_options(str(error))) from error

    return run
