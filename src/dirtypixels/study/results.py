"""results.json: every number of a study, with the condition, method, seed and count that it belongs to."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from dirtypixels.study import records
from dirtypixels.study.records import Record

VERSIONED = ("torch", "torchvision", "timm", "lightning", "dirtypixels")


class Estimate(Record):
    """A number and its 95 % interval: ``low <= value <= high``.

    Args:
        value, low, high: in `unit`.
        unit: "fraction" (of the photographs, in [0, 1]) or "dB".

    Raises:
        ValueError: a number is not finite, the value is outside its interval, or a fraction is outside [0, 1].
    """

    value: float
    low: float
    high: float
    unit: Literal["fraction", "dB"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value must be in [low, high]; found {self.value} and [{self.low}, {self.high}]")
        if self.unit == "fraction" and not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"a fraction must be in [0, 1]; found [{self.low}, {self.high}]")
        return self


class Difference(Record):
    """Top-1 accuracy of a method minus that of a reference method, on the same captures of the same photographs.

    ``value = (only_this_right - only_reference_right) / count``

    Args:
        reference: key of the method compared with.
        value, low, high: difference of the fractions and its 95 % interval, in [-1, 1].
        p_value: two-sided, of the hypothesis that both are right equally often.
        test: the name of the test and of the interval.
        only_this_right, only_reference_right: photographs that one names right and the other does not.

    Raises:
        ValueError: the value is outside its interval, or a number is outside its range.
    """

    reference: str
    value: float = Field(ge=-1, le=1)
    low: float = Field(ge=-1, le=1)
    high: float = Field(ge=-1, le=1)
    p_value: float = Field(ge=0, le=1)
    test: str
    only_this_right: int = Field(ge=0)
    only_reference_right: int = Field(ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value must be in [low, high]; found {self.value} and [{self.low}, {self.high}]")
        return self


class Cell(Record):
    """One method under one condition: what `count` photographs gave.

    Args:
        condition: key such as "clean" or "3lux".
        lux: illuminance at the scene in lux; None where the condition has none.
        position: where in the field of view the PSF was taken: "center", "offaxis", "periphery", or row and column such
            as "0.90,0.80"; None for a sharp lens.
        method: key such as "finetuned" (see `tables.METHOD_NAMES`).
        seed: the training's and the noise's seed.
        count: photographs judged, > 0.
        top1, top5: fractions of them named right.
        psnr: of what the method's low-level step puts out, against the scene, in dB; None where it has no such step.
        seconds_per_image: time for one photograph in s; None where not measured.
        difference: to the reference method; None for the reference itself.

    Raises:
        ValueError: a unit does not fit, top-5 is below top-1, or the difference does not belong to this cell.
    """

    condition: str
    lux: float | None = Field(gt=0)
    position: str | None = None
    method: str
    seed: int
    count: int = Field(gt=0)
    top1: Estimate
    top5: Estimate
    psnr: Estimate | None
    seconds_per_image: float | None = Field(ge=0)
    difference: Difference | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, unit in (("top1", "fraction"), ("top5", "fraction"), ("psnr", "dB")):
            found = getattr(self, name)
            if found is not None and found.unit != unit:
                raise ValueError(f"{name} must have the unit {unit!r}; found {found.unit!r}")
        if self.top5.value < self.top1.value:
            raise ValueError(f"top5 must be at least top1; found {self.top5.value} and {self.top1.value}")
        gap = self.difference
        if gap is None:
            return self
        if gap.reference == self.method:
            raise ValueError(f"difference.reference must be another method; found {gap.reference!r}, the cell's own")
        expected = (gap.only_this_right - gap.only_reference_right) / self.count
        if abs(gap.value - expected) > 1e-9:
            raise ValueError(
                f"difference.value must be (only_this_right - only_reference_right) / count = {expected}; "
                f"found {gap.value}"
            )
        return self


class Study(Record):
    """Everything that a study found and what it takes to find it again.

    Args:
        schema_version: 1.
        name: of the study.
        camera: name of the camera profile.
        transfer: the scene's transfer, "linear" or "srgb".
        data: describes the photographs (JSON values).
        recipe: the complete recipe (JSON values).
        versions: package to version, see `versions`.
        hardware: what it ran on, see `hardware`.
        commands: the command line that made it.
        cells: one per condition, method and seed, in the order to show them in.
        grid: the pretrained classifier over light x PSF: a cell per light level and position.
        optics: where the lens's PSFs come from, e.g. "simulated from a design ..."; None where no PSF is used.
        notes: sentences that a reader has to know.

    Raises:
        ValueError: two cells have the same condition, method and seed, two of the grid the same light level and
            position, or a cell of the grid is of another method than "pretrained".
    """

    schema_version: Literal[1] = 1
    name: str
    camera: str
    transfer: str
    data: dict[str, JsonValue]
    recipe: dict[str, JsonValue]
    versions: dict[str, str]
    hardware: str
    commands: str
    cells: list[Cell]
    grid: list[Cell] = Field(default_factory=list)
    optics: str | None = None
    notes: list[str]

    @model_validator(mode="after")
    def _check(self) -> Self:
        often = Counter((cell.condition, cell.method, cell.seed) for cell in self.cells)
        twice = [key for key, times in often.items() if times > 1]
        if twice:
            raise ValueError(f"cells must differ in (condition, method, seed); found {twice[0]} more than once")
        places = Counter((cell.lux, cell.position) for cell in self.grid)
        if len(places) < len(self.grid):
            raise ValueError(f"grid must differ in (lux, position); found {places.most_common(1)[0][0]} more than once")
        others = {cell.method for cell in self.grid} - {"pretrained"}
        if others:
            raise ValueError(f"grid must be of the method 'pretrained'; found {sorted(others)}")
        return self


def write(study: Study, path: Path | str) -> None:
    """Write `study` as JSON to `path`, atomically; raises as `records.write`."""
    records.write(study, path)


def read(path: Path | str) -> Study:
    """Read a study that `write` wrote; raises as `records.read`."""
    return records.read(Study, path, "a study's results.json")


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
