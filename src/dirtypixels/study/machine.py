"""What numbers were computed with: the versions of the packages that decide them, and the hardware."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

VERSIONED = ("torch", "torchvision", "timm", "lightning", "dirtypixels")


def versions() -> dict[str, str]:
    """The versions of Python and of what decides a study's numbers; "not installed" where a package is missing."""
    found = {"python": platform.python_version()}
    for package in VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware() -> str:
    """The machine in words, without its name: usable cores and processor, memory in GiB, accelerators."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS or Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    parts = [f"{cores}-core {_processor()}"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    return ", ".join([*parts, _accelerators()])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
        name = named.group(1) if named else ""
    elif platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    else:
        name = platform.processor()
    # "(R)", "CPU @ 2.20GHz" and "64-Core Processor" say nothing about the cores that this process may use.
    short = re.sub(r"\((R|TM)\)|\bCPU\b|@.*|\d+-Core|\bProcessor\b", " ", name)
    return " ".join(short.split()) or platform.machine()


def _accelerators() -> str:
    import torch  # slow to import, and only this line of a study needs it

    names: Iterable[str] = (torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    counted = [f"{times} x {name}" for name, times in Counter(names).items()]
    if torch.backends.mps.is_available():
        counted.append("Apple GPU")
    return ", ".join(counted) or "no GPU"
