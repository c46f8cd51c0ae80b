"""Silence for libraries that write to standard error by themselves, past Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is written to the process's standard error within reaches it, from any thread; exceptions do.

    LibRaw says there what it also reports as an error, and a command's refusal is to be one line.
    """
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # there is none, as under a service
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STANDARD_ERROR)
        yield
    finally:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
        os.close(nowhere)
