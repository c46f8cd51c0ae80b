"""Profiles with the records of their calibrations: what is written of them where, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text
from typer import Exit

from dirtypixels.camera import Camera
from dirtypixels.camera.schema import Calibration, MeasuredOptics, Record
from dirtypixels.camera.storage import FILES, check_place

if TYPE_CHECKING:
    from dirtypixels.calibrate.profile import Part

PICTURES: dict[Part, str] = {"noise": "noise-residuals.png", "optics": "psf-quality.png"}
STYLES = {"note": "dim", "warning": "yellow", "failure": "bold red"}
VERDICTS = {"PASS": "bold green", "FAIL": "bold red", "imported, not checked": "bold yellow"}


def existing(out: Path) -> Camera | None:
    """The profile that is there already, so that its other part can stay; None for a new one.

    Raises:
        ValueError: what is there is a damaged profile, or the folder that the command runs in.
        OSError: what is there is none at all, or nothing can be written there.
    """
    check_place(out)
    there = out.is_file() or (out / FILES[0]).is_file()
    return Camera.load(out) if there else None


def keep(camera: Camera, part: Part, out: Path, before: Camera | None, *, force: bool) -> None:
    """Write the profile and the picture of its new part, and say what was found; status 1 where a check failed.

    A part that passed is not replaced by one that failed or was not checked, unless by force.

    Args:
        camera: the profile with the new part.
        part: that is new.
        out: where to write.
        before: what is there; None for nothing.
        force: replace a part that passed all the same.
    """
    record, old = _record(camera, part), None if before is None else _record(before, part)
    assert record is not None
    passed_before = old is not None and verdict_of(old) == "PASS"
    refused = passed_before and verdict_of(record) != "PASS" and not force
    picture = _picture(out, PICTURES[part])
    if old is not None and refused:
        passed = f"the {part} calibration of {old.date} in {out} passed"
        last = f"Not written: {passed}; --force replaces it, another -o keeps both"
    else:
        # before anything is printed: who reads only the first lines ends the command
        camera.save(out)
        plotted = _plot(camera, part, picture)
        last = f"Wrote {out}" + (f" and {picture}" if plotted else "")
    console = Console()
    show_record(part.capitalize(), record, console)
    console.print(last, markup=False, highlight=False, soft_wrap=True)
    if refused or not record.passed:
        raise Exit(1)


def _plot(camera: Camera, part: Part, picture: Path) -> bool:
    """Plot what was measured; of imported figures there is nothing, and a picture of what they replace goes."""
    from dirtypixels.calibrate import MeasuredCurve, MeasuredField, plot_quality, plot_residuals

    measured = camera.noise if part == "noise" else camera.optics
    if isinstance(measured, MeasuredCurve):
        plot_residuals(measured, picture)
    elif isinstance(measured, MeasuredField):
        plot_quality(measured, picture)
    else:
        picture.unlink(missing_ok=True)
        return False
    return True


def _record(camera: Camera, part: Part) -> Record | None:
    calibration = camera.profile.calibration
    return None if calibration is None else getattr(calibration, part)


def _picture(out: Path, name: str) -> Path:
    """A picture's place: in a profile's folder, or next to its zip."""
    return out.with_name(f"{out.stem}-{name}") if out.suffix == ".zip" else out / name


def verdict_of(record: Record) -> str:
    """One of `VERDICTS`: figures that nobody measured here have passed nothing."""
    if not record.passed:
        return "FAIL"
    return "PASS" if record.levels or record.optics else "imported, not checked"


def warn_of_failed(camera: Camera) -> None:
    """One line on standard error for each part of a camera whose calibration failed; for commands that use it."""
    for part, record in camera.profile.calibration or ():
        if record is not None and not record.passed:
            text = f"warning: the {part} calibration of {camera.name!r} FAILED: {' '.join(record.reason.split())}"
            Console(stderr=True).print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def show_records(calibration: Calibration, console: Console) -> None:
    """Print what a profile says of its own calibrations."""
    for part, record in (("Noise", calibration.noise), ("Optics", calibration.optics)):
        if record is not None:
            show_record(part, record, console)


def show_record(part: str, record: Record, console: Console) -> None:
    """One record: verdict first, then figures, then what else was found.

    Args:
        part: "Noise" or "Optics".
        record: of the profile.
        console: where to print.
    """
    verdict = verdict_of(record)
    reason = f", {record.reason}" if verdict in ("PASS", "FAIL") else ""
    console.print(Text.assemble(f"{part} calibration: ", (verdict, VERDICTS[verdict]), reason))
    count = f", {len(record.captures)} captures" if record.captures else ""
    for line in (record.method, f"{record.date}, {record.software}{count}"):
        console.print(f"  {line}", markup=False, highlight=False)
    if record.levels:
        console.print(_levels(record))
    if record.optics is not None:
        for part_of_it in _blocks(record.optics):
            console.print(part_of_it)
    for diagnostic in record.diagnostics:
        console.print(Text.assemble((f"  {diagnostic.severity}: ", STYLES[diagnostic.severity]), diagnostic.message))


def _levels(record: Record) -> Table:
    percent = f"{100 * record.confidence:g} %" if record.confidence else "interval"
    heads = (f"{name}, 1e-3 [{percent}]" for name in ("alpha", "sigma"))
    table = Table("ISO", "", *(Column(escape(head), no_wrap=True) for head in heads), "black, DN", "", box=SIMPLE)
    for level in record.levels:
        alpha, sigma = (
            escape(f"{1e3 * value:.4g} [{1e3 * low:.4g}, {1e3 * high:.4g}]")
            for value, (low, high) in ((level.alpha, level.alpha_interval), (level.sigma, level.sigma_interval))
        )
        verdict = "pass" if level.passed else "fail"
        table.add_row(f"{level.iso:g}", level.channel, alpha, sigma, f"{level.black:.2f}", verdict)
    return table


def _blocks(optics: MeasuredOptics) -> Iterator[str | Table]:
    """Predicted relative error of each block's PSF in percent; a dash for blocks filled from their neighbors."""
    trusted = sum(map(sum, optics.trusted))
    blocks = len(optics.trusted) * len(optics.trusted[0])
    filled = ", the others (–) filled from their neighbors" if trusted < blocks else ""
    alignment = f"alignment {optics.alignment_rms_px:.3f} px rms"
    yield f"  {trusted} of {blocks} blocks of the field trusted{filled}; {alignment}."
    yield "  Predicted relative error of each block's PSF, %:"
    table = Table.grid(padding=(0, 1))  # 16 columns fit a terminal of 80 letters
    for errors, trust in zip(optics.quality, optics.trusted, strict=True):
        row = [f"{100 * e:.1f}" if ok and e is not None else "–" for e, ok in zip(errors, trust, strict=True)]
        table.add_row("  ", *row)
    yield table
