"""`dirtypixels calibrate ...` and `dirtypixels chart`: what a camera does, measured from its captures."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast

import typer

if TYPE_CHECKING:
    from dirtypixels.calibrate.comparison import NoiseDifference, PsfDifference
    from dirtypixels.calibrate.imports import ImportedCurve
    from dirtypixels.calibrate.measure import Method, Progress
    from dirtypixels.camera import ExposureRule

P = ParamSpec("P")
T = TypeVar("T")

_OPTIONS = {"dark_frames": "darks", "method": "from", "into": "out"}
"""Options that are called otherwise than the library's arguments."""
_GIVEN = re.compile(r"\b(black|white|cfa|iso|channels|name|confidence|method|dark_frames)=\"?([\w.-]*)\"?")
_AT_FIRST = re.compile(r"^(method|into|dark_frames)(?= must )")


def as_options(text: str) -> str:
    """A message of the library with its arguments as options: "give black=64" as "give --black 64"."""
    given = _GIVEN.sub(lambda found: f"--{_OPTIONS.get(found[1], found[1])} {found[2]}".rstrip(), text)
    return _AT_FIRST.sub(lambda found: _OPTIONS[found[1]], given)


def names_options(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose messages of bad input name its options, where the library names arguments of its functions."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ValueError as error:
            raise ValueError(as_options(str(error))) from error

    return run


calibrate = typer.Typer(
    help="Measure a camera: noise from flat fields, the lens from a printed chart. Each writes its part of a profile, "
    "says whether to trust it, and ends with status 1 where a check failed.",
    no_args_is_help=True,
)

Captures = Annotated[
    list[Path],
    typer.Argument(help="A folder, or files: DNG and other raw files, 16-bit PNG or TIFF, NPY.", show_default=False),
]
Profile = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="The profile: a folder, or a .zip. The other part of one that is there stays.",
        show_default=False,
    ),
]  # fmt: skip
Name = Annotated[
    str | None,
    typer.Option(
        help="The camera's name; otherwise that of the profile that is there, of the captures, or of the profile's "
        "file. With it the profile takes captures that name the camera otherwise.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a part that passed its checks by one that did not.")]
Black = Annotated[float | None, typer.Option(help="Black level in digital numbers, where the files do not say it.")]
White = Annotated[float | None, typer.Option(help="Digital number at which the sensor saturates.")]
Cfa = Annotated[str | None, typer.Option(help="Colors of the top left 2 x 2 pixels, e.g. RGGB, or mono.")]
Iso = Annotated[float | None, typer.Option(help="ISO of all captures, where the files do not say it.")]
Darks = Annotated[
    list[Path] | None,
    typer.Option(
        help="Dark frames, taken with the lens cap on at any exposure time: a folder, or a file. May be repeated.",
        show_default=False,
    ),
]
ReferenceLux = Annotated[
    float | None, typer.Option(help="Light in lux at which the camera exposes fully at --base-iso; 2000 if not given.")
]
BaseIso = Annotated[float | None, typer.Option(help="ISO at which it does so; 100 if not given.")]


@calibrate.command()
@names_options
def noise(
    captures: Captures,
    out: Profile,
    method: Annotated[
        str,
        typer.Option(
            "--from",
            help="pairs: two or more frames of each exposure and gain. single-image: one raw photograph of anything "
            "for each gain. tag: the NoiseProfile of a DNG.",
        ),
    ] = "pairs",
    darks: Darks = None,
    name: Name = None,
    black: Black = None,
    white: White = None,
    cfa: Cfa = None,
    iso: Iso = None,
    confidence: Annotated[
        float | None, typer.Option(help="Level of the intervals, between 0 and 1; 0.95 if not given.")
    ] = None,
    reference_lux: ReferenceLux = None,
    base_iso: BaseIso = None,
    force: Force = False,
) -> None:
    """Noise over gain, for each color channel, with intervals and a verdict."""
    from dirtypixels.calibrate import measure_noise
    from dirtypixels.cli.profiles import existing, keep

    exposure = _exposure_rule(reference_lux, base_iso)
    before = existing(out)
    with _progress() as report:
        camera = measure_noise(
            captures,
            method=cast("Method", method),
            dark_frames=darks,
            into=before,
            name=name,
            unnamed=out.stem,
            confidence=confidence,
            exposure=exposure,
            progress=report,
            black=black,
            white=white,
            cfa=cfa,
            iso=iso,
        )
    keep(camera, "noise", out, before, force=force)


@calibrate.command()
@names_options
def psf(
    captures: Captures,
    chart: Annotated[Path, typer.Option(help="The chart's file, as `dirtypixels chart` wrote it.", show_default=False)],
    out: Profile,
    pitch_um: Annotated[
        float | None, typer.Option(help="Distance of the sensor's pixels in micrometers, to show sizes in them too.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the PSFs in pixels, odd.")] = None,
    blocks: Annotated[str | None, typer.Option(help="Blocks of the field, ROWSxCOLUMNS.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Take a chart that the frame cuts off.")] = False,
    name: Name = None,
    black: Black = None,
    white: White = None,
    cfa: Cfa = None,
    force: Force = False,
) -> None:
    """The lens: a PSF for each part of the field and color, from captures of the chart, with a verdict."""
    from dirtypixels.calibrate import measure_optics
    from dirtypixels.cli.profiles import existing, keep

    before = existing(out)
    grid = None if blocks is None else _pair("blocks", blocks, "ROWSxCOLUMNS")
    with _progress() as report:
        camera = measure_optics(
            captures,
            chart,
            into=before,
            name=name,
            unnamed=out.stem,
            pitch_um=pitch_um,
            size=size,
            blocks=grid,
            partial=partial,
            progress=report,
            black=black,
            white=white,
            cfa=cfa,
        )
    keep(camera, "optics", out, before, force=force)


@calibrate.command()
@names_options
def darktable(
    camera: Annotated[str, typer.Argument(help="Maker and model, as darktable names them.", show_default=False)],
    out: Profile,
    file: Annotated[
        Path | None, typer.Option(help="darktable's noiseprofiles.json; otherwise that of this machine's darktable.")
    ] = None,
    channels: Annotated[str, typer.Option(help="RGB, or G for green alone, which darktable itself uses.")] = "RGB",
    name: Name = None,
    reference_lux: ReferenceLux = None,
    base_iso: BaseIso = None,
    force: Force = False,
) -> None:
    """Noise from the profiles that come with darktable; its trend over ISO is good, its level is not that of raw."""
    from dirtypixels.calibrate import imports

    exposure = _exposure_rule(reference_lux, base_iso)
    _import(lambda: imports.darktable(camera, file, channels=cast(Any, channels)), out, name, exposure, force)


@calibrate.command()
def eld(
    file: Annotated[Path, typer.Argument(help="A *_params.npy of ELD.", show_default=False)],
    out: Profile,
    iso: Annotated[float, typer.Option(help="ISO of the file's lowest gain.", show_default=False)],
    range_dn: Annotated[
        float | None,
        typer.Option(help="White level less black level in digital numbers; 15583, as ELD takes it, if not given."),
    ] = None,
    name: Name = None,
    reference_lux: ReferenceLux = None,
    base_iso: BaseIso = None,
    force: Force = False,
) -> None:
    """Noise from the calibrated cameras of ELD (Wei et al. 2020)."""
    from dirtypixels.calibrate import imports

    for option, value in (("iso", iso), ("range-dn", range_dn)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{option} must be finite and above 0; found {value:g}")
    exposure = _exposure_rule(reference_lux, base_iso)
    _import(lambda: imports.eld(file, base_iso=iso, range_dn=range_dn), out, name, exposure, force)


@calibrate.command()
def compare(
    profile: Annotated[str, typer.Argument(help="A profile's name or path.", show_default=False)],
    reference: Annotated[str, typer.Argument(help="The profile it is compared with.", show_default=False)],
) -> None:
    """Two profiles next to each other: a calibration and the truth of a simulated one, or two cameras of one kind."""
    from dirtypixels.calibrate import compare as compare_cameras
    from dirtypixels.camera import Camera

    found = compare_cameras(Camera.load(profile), Camera.load(reference))
    if found.noise is not None:
        _show_noise_difference(found.noise)
    if found.psfs is not None:
        _show_psf_difference(found.psfs)


@calibrate.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the captures.", show_default=False)],
    camera: Annotated[
        str | None, typer.Option(help="The camera that is simulated: a profile's name or path; none is an example.")
    ] = None,
    size: Annotated[str, typer.Option(help="Pixels of the sensor, WIDTHxHEIGHT.")] = "640x480",
    seed: Annotated[int, typer.Option(help="Decides noise and chart.")] = 0,
) -> None:
    """Captures of a simulated camera, and what a calibration should find: to try it before you print and photograph."""
    from rich.console import Console

    from dirtypixels.calibrate.simulate import realistic_camera, simulate_captures

    width, height = _pair("size", size, "WIDTHxHEIGHT")
    console = Console()
    with console.status("photographing flat fields and the chart"):
        simulate_captures(out, realistic_camera(camera, height, width), seed=seed)
    flats, darks, charts = (out / part for part in ("noise", "darks", "chart"))
    console.print(f"Captures in {flats}, {darks} and {charts}, the chart in {out / 'chart.png'},", soft_wrap=True)
    console.print(f"what a calibration should find in {out / 'truth.json'} and {out / 'truth'}.", soft_wrap=True)


def chart(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .pdf to print, or a .png for a screen.", show_default=False)
    ],
    sensor: Annotated[
        str, typer.Option(help="Pixels of the camera, WIDTHxHEIGHT: the chart is made so that its cells suit them.")
    ] = "4000x3000",
    paper: Annotated[
        str | None, typer.Option(help="A4, A3, A2, A1, A0, letter, tabloid, or WIDTHxHEIGHT in mm; for a PDF.")
    ] = None,
    dpi: Annotated[
        float | None, typer.Option(help="Dots per inch of the printer, for a PDF; 600 if not given.")
    ] = None,
    cell_px: Annotated[
        float,
        typer.Option(help="Width of a cell in the capture, pixels of the camera; larger where the print is coarse."),
    ] = 1.4,
    seed: Annotated[int, typer.Option(help="Decides the chart's noise.")] = 0,
    screen_px: Annotated[int | None, typer.Option(help="Screen pixels of a cell, for a PNG; 2 if not given.")] = None,
) -> None:
    """The chart to print, photograph, and measure a lens with; its seed is in the file."""
    from rich.console import Console

    from dirtypixels.calibrate import BernoulliChart, fit_to_paper, write_chart
    from dirtypixels.calibrate.psf.chart import SHARP_DOTS

    width, height = _pair("sensor", sensor, "WIDTHxHEIGHT")
    printed = out.suffix.lower() == ".pdf"
    apart = {"paper": paper, "dpi": dpi} if not printed else {"screen-px": screen_px}
    for name, given in apart.items():
        if given is not None:
            raise ValueError(f"{name} is for a {'PNG' if printed else 'PDF'}; found {given} for {out.name!r}")
    target = BernoulliChart.for_sensor(width, height, cell_px=cell_px, seed=seed)
    dots = 600.0 if dpi is None else dpi
    if printed and paper is not None:
        target = fit_to_paper(target, paper, dots)
    write_chart(target, out, dpi=dots, paper=paper, cell_px=2 if screen_px is None else screen_px)
    console = Console()
    down, across = target.size_mm
    console.print(f"Wrote {out}: {target.rows} x {target.columns} blocks of noise, seed {target.seed}.", soft_wrap=True)
    if printed:
        console.print(f"Print it at 100 %: the chart is {across:.1f} mm wide and {down:.1f} mm high.")
        if target.dots(dots) < SHARP_DOTS:
            console.print(
                f"warning: a cell has {target.dots(dots):g} printer dots, fewer than {SHARP_DOTS} are hardly sharp; "
                "take a larger paper, a finer printer, or a larger --cell-px",
                style="yellow",
                highlight=False,
            )
    px = target.cell_px(width, height)
    console.print(f"Where it just fills a frame of {width} x {height} pixels, a cell is {px:.2f} px wide.")


def _import(
    read: Callable[[], ImportedCurve], out: Path, name: str | None, exposure: ExposureRule | None, force: bool
) -> None:
    """Noise of somebody else into a profile."""
    from dirtypixels.calibrate import import_noise
    from dirtypixels.cli.profiles import existing, keep

    before = existing(out)  # first: a bad place ends the command before anything is read
    camera = import_noise(read(), into=before, name=name, unnamed=out.stem, exposure=exposure)
    keep(camera, "noise", out, before, force=force)


def _exposure_rule(reference_lux: float | None, base_iso: float | None) -> ExposureRule | None:
    """The rule from light to gain that was given; None where nothing was.

    Raises:
        ValueError: a value is not above 0.
    """
    from dirtypixels.camera import ExposureRule

    for name, value in (("reference-lux", reference_lux), ("base-iso", base_iso)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} must be above 0; found {value:g}")
    if reference_lux is None and base_iso is None:
        return None
    return ExposureRule(
        *(d if v is None else v for v, d in zip((reference_lux, base_iso), ExposureRule(), strict=True))
    )


def _pair(name: str, text: str, form: str) -> tuple[int, int]:
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


def _show_noise_difference(found: dict[float, NoiseDifference]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("ISO", "alpha, % (R, G, B)", "sigma, % (R, G, B)", box=SIMPLE, title="Noise, difference")
    for iso, difference in found.items():
        table.add_row(f"{iso:g}", *(", ".join(f"{100 * v:+.1f}" for v in values) for values in difference))
    Console().print(table)


def _show_psf_difference(found: dict[str, PsfDifference]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from dirtypixels.calibrate.comparison import PLACES

    heads = ("place", "row, column", "error, % (R, G, B)", "shift, px")
    table = Table(*heads, box=SIMPLE, title="PSFs, relative l2 error")
    for name, difference in found.items():
        row, column = PLACES[name]
        errors = ", ".join(f"{100 * e:.1f}" for e in difference.error)
        table.add_row(name, f"{row:g}, {column:g}", errors, f"{difference.shift_px:.2f}")
    Console().print(table)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on standard error, which a function reports its steps to."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks: dict[str, Any] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=None)
            bar.update(tasks[step], completed=done, total=total)

        yield report
