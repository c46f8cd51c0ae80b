"""The command itself: help without heavy imports, wrong usage on one line, faults with their traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dirtypixels.cli import main as cli

HELP = {
    "cameras": ["List the camera profiles", "[name]"],
    "calibrate": ["noise", "psf", "darktable", "eld", "compare", "simulate"],
    "simulate": ["--camera", "--lux", "--position", "--transfer", "--seed", "--format", "--out"],
    "pretrain": ["L-BFGS", "Adam", "--set", "--out"],
    "train": ["joint models", "--set", "--out"],
    "study": ["Goes on where it stopped", "--set", "--out"],
    "predict": ["confidence", "MODEL", "FILES"],
}
HEAVY = ("torch", "torchvision", "timm", "lightning", "numpy", "scipy", "skimage", "matplotlib")


@pytest.mark.parametrize("name", [None, *HELP])
def test_help_without_a_heavy_import(name: str | None) -> None:
    # What takes long is importing; a time would depend on the machine and on what else it does.
    entry = Path(sys.executable).with_name("dirtypixels")
    argv = [sys.executable, "-X", "importtime", str(entry), *([] if name is None else [name]), "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "dirtypixels.cli.main" in imported
    assert not imported & set(HEAVY)
    for words in HELP if name is None else HELP[name]:
        assert words.lower() in done.stdout.lower()
    assert "dirtypixels" in done.stdout


def test_no_arguments_show_the_help(command: Callable[..., Any]) -> None:
    assert command() == command("--help")
    assert command().status == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["simulat"], ["simulat", "simulate"]),
        (["simulate", "a.png"], ["--out"]),
        (["simulate", "-o", "x"], ["images"]),
        (["simulate", "a.png", "-o", "x", "--lux", "much"], ["--lux", "number"]),
        (["study", "a.yaml", "-o", "x", "--sat", "seed=1"], ["--sat"]),
        (["cameras", "a", "b"], ["b"]),
    ],
)
def test_wrong_usage_is_said_on_one_line(command: Callable[..., Any], argv: list[str], words: list[str]) -> None:
    found = command(*argv)
    assert [word for word in words if word.lower() not in found.err.lower()] == []
    found.check_refusal("--help")


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("lux must be\n  above 0"),
        TypeError("lux must be\n  above 0"),
        FileNotFoundError("lux must be above 0"),
        NotADirectoryError("lux must be above 0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    _raising(monkeypatch, error)
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    assert capsys.readouterr() == ("", "dirtypixels: lux must be above 0\n")


@pytest.mark.parametrize("kind", [ImportError, RuntimeError])
def test_a_missing_package_is_said_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    _raising(monkeypatch, kind("method 'bm3d' needs the package bm3d: pip install bm3d"))
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    assert capsys.readouterr().err == "dirtypixels: method 'bm3d' needs the package bm3d: pip install bm3d\n"


@pytest.mark.parametrize(
    "error", [RuntimeError("size mismatch"), ImportError("no name"), KeyError("x"), ZeroDivisionError()]
)
def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    _raising(monkeypatch, error)
    with pytest.raises(type(error)) as raised:
        cli.main()
    assert raised.value is error
