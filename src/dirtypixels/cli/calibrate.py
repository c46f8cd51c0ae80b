"""`dirtypixels calibrate ...` and `dirtypixels chart`: what a camera does, measured from its captures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    from dirtypixels.cli.calibrating import exposure_rule, measure_noise

    rule = exposure_rule(reference_lux, base_iso)
    measure_noise(
        captures, out, method, darks or [], name, confidence, rule, force, black=black, white=white, cfa=cfa, iso=iso
    )


@calibrate.command()
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
    from dirtypixels.cli.calibrating import measure_psf

    measure_psf(captures, out, chart, pitch_um, size, blocks, partial, name, force, black=black, white=white, cfa=cfa)


@calibrate.command()
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
    from dirtypixels.cli.calibrating import exposure_rule, import_darktable

    import_darktable(camera, out, file, channels, name, exposure_rule(reference_lux, base_iso), force)


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
    from dirtypixels.cli.calibrating import exposure_rule, import_eld

    import_eld(file, out, iso, range_dn, name, exposure_rule(reference_lux, base_iso), force)


@calibrate.command()
def compare(
    profile: Annotated[str, typer.Argument(help="A profile's name or path.", show_default=False)],
    reference: Annotated[str, typer.Argument(help="The profile it is compared with.", show_default=False)],
) -> None:
    """Two profiles next to each other: a calibration and the truth of a simulated one, or two cameras of one kind."""
    from dirtypixels.cli.comparing import compare_cameras

    compare_cameras(profile, reference)


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
    from dirtypixels.cli.calibrating import simulate_calibration

    simulate_calibration(out, camera, size, seed)


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
    from dirtypixels.cli.calibrating import write_chart

    write_chart(out, sensor, paper, dpi, cell_px, seed, screen_px)
