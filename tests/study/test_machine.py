"""Versions and hardware: those that run, without the machine's name."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from dirtypixels.study import machine


def test_versions_are_those_that_run() -> None:
    found = machine.versions()
    assert set(found) == {"python", "torch", "torchvision", "timm", "lightning", "dirtypixels"}
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert torch.__version__.split("+")[0] == found["torch"].split("+")[0]


def test_a_missing_package_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "VERSIONED", ("no-such-package",))
    assert machine.versions()["no-such-package"] == "not installed"


def test_hardware_is_described_without_the_machines_name() -> None:
    found = machine.hardware()
    assert re.fullmatch(r"\d+-core .+, \d+ GiB, .+", found)
    host = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
    assert host not in found
    assert "/" not in found
