"""Steps of several contenders in turn, each in a process of its own, so that its peak memory is its own.

Taken in turn, a drift of the machine's speed meets all of them.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import torch

Step = Callable[[], object]
Maker = Callable[[], Step]  # called in the contender's process; what it makes must be importable there


def in_turn(contenders: Mapping[str, Maker], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(seconds, peak MiB above the start) of every contender and round, after one round that does not count.

    Of a step on a GPU the memory is the GPU's, and its seconds last until the GPU is done.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, make in contenders.items():
        pipes[name], other = context.Pipe()
        process = context.Process(target=_serve, args=(other, make), daemon=True)
        process.start()
        other.close()  # so that waiting for a process that died ends
        processes.append(process)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, pipe in pipes.items():
            pipe.send(True)
            found[name].append(pipe.recv())
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return {name: each[1:] for name, each in found.items()}


def _serve(pipe: Connection, make: Maker) -> None:
    step = make()
    before = _peak_kib()
    while pipe.recv():
        start = time.perf_counter()
        step()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        pipe.send((seconds, (_peak_kib() - before) / 1024))


def _peak_kib() -> int:
    """Peak memory of this process; not of the one that it was started from, which getrusage counts on Linux."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() // 1024
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
