"""What `dirtypixels calibrate` does: reads captures, measures, writes its part of a profile, and says what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Unpack, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dirtypixels import checks
from dirtypixels.calibrate import imports
from dirtypixels.calibrate.belonging import capture_file, check_belongs, seen_in
from dirtypixels.calibrate.imports.eld import RANGE_DN
from dirtypixels.calibrate.imports.imported import ImportedNoise
from dirtypixels.calibrate.noise import noise_curve, plot_residuals, single_image_curve
from dirtypixels.calibrate.profile import noise_record, optics_record, record, with_noise, with_optics
from dirtypixels.calibrate.psf import BernoulliChart, chart_print, plot_quality, psf_field
from dirtypixels.calibrate.psf.chart import SHARP_DOTS
from dirtypixels.calibrate.sensor import sensor_of
from dirtypixels.calibrate.simulate import realistic_camera, simulate_captures
from dirtypixels.camera import Camera, ExposureRule
from dirtypixels.camera.schema import SeenCamera
from dirtypixels.cli.profiles import existing, keep
from dirtypixels.cli.wording import names_options
from dirtypixels.raw import Frame, Overrides, check_levels, check_mosaic, check_same_camera, read_frames

METHODS = ("pairs", "single-image", "tag")
Report = Callable[[int, int], object]


@names_options
def measure_noise(
    captures: list[Path],
    out: Path,
    method: str,
    darks: list[Path],
    name: str | None,
    confidence: float | None,
    exposure: ExposureRule | None,
    force: bool,
    **known: Unpack[Overrides],
) -> None:
    """Noise from captures into a profile."""
    checks.one_of("from", method, METHODS)
    given: dict[str, object] = {**known, "confidence": confidence, "darks": darks or None}
    idle = {"pairs": (), "single-image": ("darks",), "tag": ("darks", "black", "white", "cfa", "confidence")}[method]
    if wrong := [f"--{option}" for option in idle if given[option] is not None]:
        raise ValueError(f"--from {method} has no use for {' and '.join(wrong)}: leave it out")
    before = existing(out)
    if method == "tag":
        found = imports.noise_profile(_source(captures), iso=known.get("iso"))
        _save_imported(found, before, out, name, exposure, force)
        return
    dark = _read(darks, measured_black=True, **known) if darks else []
    frames = _read(captures, measured_black=method == "pairs", **known)
    apart = {_place(frame) for frame in dark}
    frames = [frame for frame in frames if _place(frame) not in apart]  # dark ones may lie among the others
    every = [*frames, *dark]
    check_same_camera(every, levels_may_follow_iso=True)
    check_belongs(before, "noise", seen_in(every), [capture_file(f) for f in every], named=name is not None)
    level = 0.95 if confidence is None else confidence
    with _progress("measuring") as report:
        if method == "pairs":
            curve = noise_curve(frames, dark_frames=dark or None, confidence=level, progress=report)
        else:
            curve = single_image_curve(frames, confidence=level, progress=report)
    measured = noise_record(curve, every, level)
    source = f"Measured from {len(every)} captures, {measured.method}. {curve.rule[0].upper()}{curve.rule[1:]}."
    gains = (curve.iso, curve.alpha, curve.sigma)
    sensor = sensor_of(every, curve.black)
    called = _name(name, before, seen_in(every).name, out)
    camera = with_noise(before, called, gains, source, measured, sensor=sensor, exposure=exposure)
    keep(camera, "noise", out, before, force=force, draw=lambda picture: plot_residuals(curve, picture))


@names_options
def measure_psf(
    captures: list[Path],
    out: Path,
    chart: Path,
    pitch_um: float | None,
    size: int | None,
    blocks: str | None,
    partial: bool,
    name: str | None,
    force: bool,
    **known: Unpack[Overrides],
) -> None:
    """The lens from captures of a chart into a profile."""
    before = existing(out)
    if not chart.is_file():
        raise FileNotFoundError(f"chart must be a file that `dirtypixels chart` wrote; found nothing at {str(chart)!r}")
    target = chart_print.read_chart(chart)
    chosen: dict[str, Any] = {} if size is None else {"size": size}
    if blocks is not None:
        chosen["blocks"] = parse_pair("blocks", blocks, "ROWSxCOLUMNS")
    frames = _read(captures, **known)
    check_belongs(before, "optics", seen_in(frames), [capture_file(f) for f in frames], named=name is not None)
    with _progress("measuring") as report:
        field = psf_field(frames, target, pitch_um=pitch_um, partial=partial, progress=report, **chosen)
    measured = optics_record(field, target, frames)
    called = _name(name, before, seen_in(frames).name, out)
    camera = with_optics(before, called, field, measured, sensor=sensor_of(frames))
    keep(camera, "optics", out, before, force=force, draw=lambda picture: plot_quality(field, picture))


@names_options
def import_darktable(
    camera: str,
    out: Path,
    file: Path | None,
    channels: str,
    name: str | None,
    exposure: ExposureRule | None,
    force: bool,
) -> None:
    """Noise of darktable's profiles into a profile."""
    before = existing(out)
    found = imports.darktable(camera, file, channels=cast(Literal["RGB", "G"], channels))
    _save_imported(found, before, out, name, exposure, force)


def import_eld(
    file: Path,
    out: Path,
    base_iso: float,
    range_dn: float | None,
    name: str | None,
    exposure: ExposureRule | None,
    force: bool,
) -> None:
    """Noise of an ELD file into a profile."""
    for option, value in (("iso", base_iso), ("range-dn", range_dn)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{option} must be finite and above 0; found {value:g}")
    before = existing(out)
    found = imports.eld(file, base_iso=base_iso, range_dn=RANGE_DN if range_dn is None else range_dn)
    _save_imported(found, before, out, name, exposure, force)


def simulate_calibration(out: Path, camera: str | None, size: str, seed: int) -> None:
    """Captures of a simulated camera."""
    width, height = parse_pair("size", size, "WIDTHxHEIGHT")
    console = Console()
    with console.status("photographing flat fields and the chart"):
        simulate_captures(out, realistic_camera(camera, height, width), seed=seed)
    flats, darks, charts = (out / part for part in ("noise", "darks", "chart"))
    console.print(f"Captures in {flats}, {darks} and {charts}, the chart in {out / 'chart.png'},", soft_wrap=True)
    console.print(f"what a calibration should find in {out / 'truth.json'} and {out / 'truth'}.", soft_wrap=True)


def write_chart(
    out: Path, sensor: str, paper: str | None, dpi: float | None, cell_px: float, seed: int, screen_px: int | None
) -> None:
    """The chart as PDF or PNG, and how to use it.

    Raises:
        ValueError: an option does not belong to the kind of file, or is out of range.
    """
    width, height = parse_pair("sensor", sensor, "WIDTHxHEIGHT")
    printed = out.suffix.lower() == ".pdf"
    apart = {"paper": paper, "dpi": dpi} if not printed else {"screen-px": screen_px}
    for name, given in apart.items():
        if given is not None:
            raise ValueError(f"{name} is for a {'PNG' if printed else 'PDF'}; found {given} for {out.name!r}")
    chart = BernoulliChart.for_sensor(width, height, cell_px=cell_px, seed=seed)
    dots = 600.0 if dpi is None else dpi
    if printed and paper is not None:
        chart = chart_print.fit_to_paper(chart, paper, dots)
    chart_print.write_chart(chart, out, dpi=dots, paper=paper, cell_px=2 if screen_px is None else screen_px)
    console = Console()
    down, across = chart.size_mm
    console.print(f"Wrote {out}: {chart.rows} x {chart.columns} blocks of noise, seed {chart.seed}.", soft_wrap=True)
    if printed:
        console.print(f"Print it at 100 %: the chart is {across:.1f} mm wide and {down:.1f} mm high.")
        if chart.dots(dots) < SHARP_DOTS:
            console.print(
                f"warning: a cell has {chart.dots(dots):g} printer dots, fewer than {SHARP_DOTS} are hardly sharp; "
                "take a larger paper, a finer printer, or a larger --cell-px",
                style="yellow",
                highlight=False,
            )
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


def _read(captures: list[Path], *, measured_black: bool = False, **known: Unpack[Overrides]) -> list[Frame]:
    """Frames whose levels and colors can be what they state; with `measured_black` it need not be stated."""
    with _progress("reading") as report:
        frames = read_frames(_source(captures), progress=report, **known)
    check_same_camera(frames, levels_may_follow_iso=True)
    check_mosaic(frames)
    check_levels(frame for frame in frames if frame.black is not None or not measured_black)
    return frames


def _place(frame: Frame) -> Path | None:
    """A frame's file, however its path was spelled."""
    return None if frame.path is None else frame.path.resolve()


def _source(captures: list[Path]) -> Path | list[Path]:
    return captures[0] if len(captures) == 1 else captures


def _save_imported(
    found: ImportedNoise,
    before: Camera | None,
    out: Path,
    name: str | None,
    exposure: ExposureRule | None,
    force: bool,
) -> None:
    seen = SeenCamera(name=found.name)
    check_belongs(before, "noise", seen, named=name is not None)
    measured = record("imported, not measured here", found.diagnostics, camera=seen)
    gains = (found.iso, found.alpha, found.sigma)
    called = _name(name, before, found.name, out)
    keep(
        with_noise(before, called, gains, found.source, measured, exposure=exposure), "noise", out, before, force=force
    )


def _name(given: str | None, before: Camera | None, stated: str | None, out: Path) -> str:
    return given or (before.name if before else None) or stated or out.stem


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    """A bar on standard error that a function reports its work to, as done and total."""
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
