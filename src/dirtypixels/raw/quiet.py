"""Silence for libraries that write to standard error by themselves, past Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STANDARD_ERROR = 2
_lock = Lock()
_inside = 0  # how many threads want silence
_kept = -1  # where standard error goes otherwise


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is written to the process's standard error within reaches it, from any thread; exceptions do.

    LibRaw says there what it also reports as an error, and a command's refusal is to be one line. Threads may overlap:
    the first one that comes makes it silent, the last one that goes gives it back.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        _flush()
        try:
            _kept = os.dup(_STANDARD_ERROR)
        except OSError:  # there is none, as under a service
            _kept = -1
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STANDARD_ERROR)
        os.close(nowhere)


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside or _kept < 0:
            return
        _flush()
        os.dup2(_kept, _STANDARD_ERROR)
        os.close(_kept)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
