"""Where a calibration's profile goes: what is there already, what is kept of it, and what is said at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rich.console import Console
from typer import Exit

from dirtypixels.camera import Camera
from dirtypixels.camera.schema import Record
from dirtypixels.camera.storage import FILES, check_place
from dirtypixels.cli.records import show_record, verdict_of

Part = Literal["noise", "optics"]
PICTURES: dict[Part, str] = {"noise": "noise-residuals.png", "optics": "psf-quality.png"}


def existing(out: Path) -> Camera | None:
    """The profile that is there already, so that its other part can stay; None for a new one.

    Raises:
        ValueError: what is there is a damaged profile, or the folder that the command runs in.
        OSError: what is there is none at all, or nothing can be written there.
    """
    check_place(out)
    there = out.is_file() or (out / FILES[0]).is_file()
    return Camera.load(out) if there else None


def keep(
    camera: Camera,
    part: Part,
    out: Path,
    before: Camera | None,
    *,
    force: bool,
    draw: Callable[[Path], object] | None = None,
) -> None:
    """Write the profile and the picture of its new part, and say what was found; status 1 where a check failed.

    A part that passed is not replaced by one that failed or was not checked, unless by force.

    Args:
        camera: the profile with the new part.
        part: that is new.
        out: where to write.
        before: what is there; None for nothing.
        force: replace a part that passed all the same.
        draw: draws the part's picture into a file; None where there is none, and one of before is then gone.
    """
    record, old = _record(camera, part), None if before is None else _record(before, part)
    assert record is not None
    passed_before = old is not None and verdict_of(old) == "PASS"
    refused = passed_before and verdict_of(record) != "PASS" and not force
    picture = _beside(out, PICTURES[part])
    if old is not None and refused:
        passed = f"the {part} calibration of {old.date} in {out} passed"
        last = f"Not written: {passed}; --force replaces it, another -o keeps both"
    else:
        # before anything is printed: who reads only the first lines ends the command
        camera.save(out)
        if draw is None:
            picture.unlink(missing_ok=True)  # what it shows was replaced
        else:
            draw(picture)
        last = f"Wrote {out}" + (f" and {picture}" if draw else "")
    console = Console()
    show_record(part.capitalize(), record, console)
    console.print(last, markup=False, highlight=False, soft_wrap=True)
    if refused or not record.passed:
        raise Exit(1)


def _record(camera: Camera, part: Part) -> Record | None:
    calibration = camera.profile.calibration
    return None if calibration is None else getattr(calibration, part)


def _beside(out: Path, name: str) -> Path:
    """A picture's place: in a profile's folder, or next to its zip."""
    return out.with_name(f"{out.stem}-{name}") if out.suffix == ".zip" else out / name
