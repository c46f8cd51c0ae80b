"""Blocks solved side by side, each by one processor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from dirtypixels.calibrate.psf.coverage import processors


@contextmanager
def side_by_side() -> Iterator[ThreadPoolExecutor]:
    """A pool with a thread for each processor, in which linear algebra starts no threads of its own.

    A block's matrices are too small to be worth several threads; blocks times those are more threads than processors,
    which wait for each other: a capture of 12 megapixels takes half as long again without this, and several times as
    long while other work runs. Afterwards NumPy and torch have as many threads as before.
    """
    from threadpoolctl import threadpool_limits  # of the extra `calibrate`, as OpenCV, without which nothing comes here

    before = torch.get_num_threads()
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(processors(), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            yield pool
        finally:
            torch.set_num_threads(before)
