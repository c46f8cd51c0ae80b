"""The record of a calibration, for people: the verdict, the figures with their intervals, the blocks of the field."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from dirtypixels.camera import Camera
from dirtypixels.camera.schema import Calibration, MeasuredOptics, Record

STYLES = {"note": "dim", "warning": "yellow", "failure": "bold red"}
VERDICTS = {"PASS": "bold green", "FAIL": "bold red", "imported, not checked": "bold yellow"}


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
