"""What `dirtypixels calibrate` does: reads captures, measures, writes its part of a profile, and says what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Unpack, cast

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer import Exit

from dirtypixels import checks
from dirtypixels.calibrate import imports
from dirtypixels.calibrate.imports.eld import RANGE_DN
from dirtypixels.calibrate.imports.imported import ImportedNoise
from dirtypixels.calibrate.noise import draw_residuals, noise_curve, photograph_curve
from dirtypixels.calibrate.profile import noise_record, optics_record, record, sensor_of, with_noise, with_optics
from dirtypixels.calibrate.psf import BernoulliChart, psf_field
from dirtypixels.calibrate.psf.figures import draw_quality
from dirtypixels.calibrate.rehearsal import rehearse, typical
from dirtypixels.camera import Camera, ExposureRule
from dirtypixels.camera.storage import FILES
from dirtypixels.cli.records import show_record
from dirtypixels.raw import Frame, Overrides, check_levels, check_mosaic, check_same_camera, read_frames

METHODS = ("pairs", "photograph", "tag")
Report = Callable[[int, int], object]


def measure_noise(
    captures: list[Path],
    out: Path,
    method: str,
    name: str | None,
    confidence: float,
    exposure: ExposureRule | None,
    **known: Unpack[Overrides],
) -> None:
    """Noise from captures into a profile."""
    checks.one_of("from", method, METHODS)
    camera = existing(out)
    if method == "tag":
        _save_imported(imports.noise_profile(_files(captures)), camera, out, name, exposure)
        return
    frames = _read(captures, **known)
    with _progress("measuring") as report:
        measure = noise_curve if method == "pairs" else photograph_curve
        curve = measure(frames, confidence=confidence, progress=report)
    sensor = sensor_of(frames, "Stated by the captures; the black level as measured.", _black(curve.black))
    measured = noise_record(curve, frames, confidence)
    source = f"Measured from {len(frames)} captures, {measured.method}. {curve.rule[0].upper()}{curve.rule[1:]}."
    gains = (curve.iso, curve.alpha, curve.sigma)
    camera = with_noise(
        camera, _name(name, camera, frames, out), gains, source, measured, sensor=sensor, exposure=exposure
    )
    camera.save(out)
    picture = _beside(out, "noise-residuals.png")
    draw_residuals(curve, picture)
    _conclude(camera, "Noise", out, picture)


def measure_psf(
    captures: list[Path],
    out: Path,
    chart: Path,
    pitch_um: float,
    size: int | None,
    blocks: str | None,
    partial: bool,
    name: str | None,
    **known: Unpack[Overrides],
) -> None:
    """The lens from captures of a chart into a profile."""
    camera = existing(out)
    if not chart.is_file():
        raise FileNotFoundError(f"chart must be a file that `dirtypixels chart` wrote; found nothing at {str(chart)!r}")
    target = BernoulliChart.read(chart)
    chosen: dict[str, Any] = {} if size is None else {"size": size}
    if blocks is not None:
        chosen["blocks"] = parse_pair("blocks", blocks, "ROWSxCOLUMNS")
    frames = _read(captures, **known)
    with _progress("measuring") as report:
        field = psf_field(frames, target, pitch_um=pitch_um, partial=partial, progress=report, **chosen)
    measured = optics_record(field, target, frames)
    sensor = sensor_of(frames, "Stated by the captures.")
    camera = with_optics(camera, _name(name, camera, frames, out), field, measured, sensor=sensor)
    camera.save(out)
    picture = _beside(out, "psf-quality.png")
    draw_quality(field, picture)
    _conclude(camera, "Optics", out, picture)


def import_darktable(camera: str, out: Path, file: Path | None, channels: str, exposure: ExposureRule | None) -> None:
    """Noise of darktable's profiles into a profile."""
    found = imports.darktable(camera, file, channels=cast(Literal["RGB", "G"], channels))
    _save_imported(found, existing(out), out, None, exposure)


def import_eld(file: Path, out: Path, base_iso: float, range_dn: float | None, exposure: ExposureRule | None) -> None:
    """Noise of an ELD file into a profile."""
    found = imports.eld(file, base_iso=base_iso, range_dn=RANGE_DN if range_dn is None else range_dn)
    _save_imported(found, existing(out), out, None, exposure)


def rehearse_calibration(out: Path, camera: str | None, size: str, seed: int) -> None:
    """Captures of a simulated camera."""
    width, height = parse_pair("size", size, "WIDTHxHEIGHT")
    console = Console()
    with console.status("photographing flat fields and the chart"):
        rehearse(out, typical(camera, height, width), seed=seed)
    console.print(f"Captures in {out / 'noise'} and {out / 'chart'}, the chart in {out / 'chart.png'},", soft_wrap=True)
    console.print(f"what a calibration should find in {out / 'truth.json'} and {out / 'truth'}.", soft_wrap=True)


def write_chart(out: Path, sensor: str, paper: str | None, dpi: float, cell_px: float, seed: int) -> None:
    """The chart as PDF or PNG, and how to use it."""
    width, height = parse_pair("sensor", sensor, "WIDTHxHEIGHT")
    chart = BernoulliChart.for_sensor(width, height, cell_px=cell_px, seed=seed)
    printed = out.suffix.lower() == ".pdf"
    if printed and paper is not None:
        chart = chart.on_paper(paper, dpi)
    chart.save(out, dpi=dpi, paper=paper if printed else None)
    console = Console()
    down, across = chart.size_mm
    console.print(f"Wrote {out}: {chart.rows} x {chart.columns} blocks of noise, seed {chart.seed}.", soft_wrap=True)
    if printed:
        console.print(f"Print it at 100 %: the chart is {across:.1f} mm wide and {down:.1f} mm high.")
    px = chart.cell_px(width, height)
    console.print(f"Where it just fills a frame of {width} x {height} pixels, a cell is {px:.2f} px wide.")


def exposure_rule(reference_lux: float | None, base_iso: float | None) -> ExposureRule | None:
    """The rule from light to gain that was given; None where nothing was.

    Raises:
        ValueError: a value is not above 0.
    """
    for name, value in (("reference-lux", reference_lux), ("base-iso", base_iso)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} must be above 0; found {value:g}")
    if reference_lux is None and base_iso is None:
        return None
    return ExposureRule(
        *(d if v is None else v for v, d in zip((reference_lux, base_iso), ExposureRule(), strict=True))
    )


def parse_pair(name: str, text: str, form: str) -> tuple[int, int]:
    """Two whole numbers above 0, typed as "640x480".

    Raises:
        ValueError: the text is something else.
    """
    try:
        first, second = (int(part) for part in text.lower().split("x"))
        if min(first, second) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"{name} must be {form}, two numbers above 0; found {text!r}") from None
    return first, second


def existing(out: Path) -> Camera | None:
    """The profile that is there already, so that its other part can stay; None for a new one.

    Raises:
        ValueError: what is there is a damaged profile.
        FileExistsError: what is there is none at all.
    """
    if out.suffix == ".zip" or (out / FILES[0]).is_file():
        return Camera.load(out) if out.exists() else None
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"out must be a profile, an empty folder or new; found {str(out)!r}")
    return None


def _read(captures: list[Path], **known: Unpack[Overrides]) -> list[Frame]:
    with _progress("reading") as report:
        frames = read_frames(_source(captures), progress=report, **known)
    check_same_camera(frames, levels_may_follow_iso=True)
    check_mosaic(frames)
    check_levels(frames)
    return frames


def _source(captures: list[Path]) -> Path | list[Path]:
    return captures[0] if len(captures) == 1 else captures


def _files(captures: list[Path]) -> list[Path]:
    """The files among captures, those of folders included."""
    return [file for path in captures for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def _save_imported(
    found: ImportedNoise, camera: Camera | None, out: Path, name: str | None, exposure: ExposureRule | None
) -> None:
    measured = record("imported, not measured here", found.findings)
    gains = (found.iso, found.alpha, found.sigma)
    camera = with_noise(camera, name or found.name, gains, found.source, measured, exposure=exposure)
    camera.save(out)
    _conclude(camera, "Noise", out, None)


def _name(name: str | None, camera: Camera | None, frames: list[Frame], out: Path) -> str:
    stated = next((frame.camera for frame in frames if frame.camera), None)
    return name or (camera.name if camera else None) or stated or out.stem


def _black(levels: dict[Any, Any]) -> float | None:
    """Mean of the black levels that were measured; None where there is none."""
    return float(np.mean([level.value for level in levels.values()])) if levels else None


def _beside(out: Path, name: str) -> Path:
    """A picture's place: in a profile's folder, or beside its zip."""
    return out.with_name(f"{out.stem}-{name}") if out.suffix == ".zip" else out / name


def _conclude(camera: Camera, part: str, out: Path, picture: Path | None) -> None:
    """The verdict for people, and as the command's status."""
    assert camera.profile.calibration is not None
    kept = getattr(camera.profile.calibration, part.lower())
    console = Console()
    show_record(part, kept, console)
    console.print(f"Wrote {out}" + (f" and {picture}" if picture else ""), markup=False, soft_wrap=True)
    if not kept.passed:
        raise Exit(1)


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    """A bar on standard error that a function reports its work to, as done and total."""
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
