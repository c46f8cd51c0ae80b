"""Running the installed command as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

COMMAND = Path(sys.executable).with_name("dirtypixels")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")} | {"OMP_NUM_THREADS": "1"}
# Many commands, one after another, each in a process of its own that takes over what was imported here: the imports
# take longer than most of the commands.
SEVERAL = """
import importlib, json, os, sys, tempfile, traceback
from dirtypixels.cli.main import main
several = json.load(sys.stdin)
for name in {argv[0] for argv in several}:
    rooms = {"pretrain": "studies", "train": "studies", "study": "studies", "chart": "calibrate"}
    room = rooms.get(name, name)
    importlib.import_module(f"dirtypixels.cli.{room}")
    if room == "calibrate":
        import dirtypixels.calibrate, dirtypixels.calibrate.simulate, dirtypixels.cli.profiles
results = []
for argv in several:
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    child = os.fork()
    if not child:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.argv = ["dirtypixels", *argv]
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # taking all the modules apart again would take seconds
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = []
    for file in (out, err):
        file.seek(0)
        texts.append(file.read().decode())
    results.append([status, *texts])
json.dump(results, sys.stdout)
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str

    def check_refusal(self, *words: str) -> None:
        """Bad input: status 2, nothing but one line, on standard error, that holds the words."""
        assert self.status == 2, self
        assert self.out == ""
        assert self.err.startswith("dirtypixels: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        missing = [word for word in words if word not in self.err]
        assert not missing, self.err


Command = Callable[..., Result]
Commands = Callable[[Sequence[Sequence[object]]], list[Result]]


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs the command once, as it is installed."""

    def run(*argv: object) -> Result:
        done = subprocess.run(
            [COMMAND, *map(str, argv)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def commands() -> Commands:
    """Runs it several times, in order; each line of arguments gives a result."""

    def run(several: Sequence[Sequence[object]]) -> list[Result]:
        texts = json.dumps([list(map(str, argv)) for argv in several])
        done = subprocess.run(
            [sys.executable, "-c", SEVERAL], env=ENVIRONMENT, input=texts, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return [Result(*found) for found in json.loads(done.stdout)]

    return run
