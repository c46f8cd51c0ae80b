"""`dirtypixels cameras`: what is known of each camera."""

from __future__ import annotations

import re
from math import isfinite
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table

from dirtypixels.camera import POSITIONS, Camera
from dirtypixels.camera.noise import Number
from dirtypixels.camera.plots import plot_noise, plot_psfs, rms_radius, snr_db
from dirtypixels.cli.profiles import show_records, warn_of_failed

LIGHT = (0.3, 1, 3, 6, 12, 24, 48, 96, 200, 1000, 2000)  # lux: moonlight to an overcast day's interior


def list_cameras() -> None:
    """One line for each bundled profile."""
    table = Table(
        Column("camera", no_wrap=True), "alpha", "sigma", "noise source", "lens PSFs",
        title="Bundled camera profiles; alpha and sigma at ISO 100",
    )  # fmt: skip
    for name in Camera.available():
        camera = Camera.load(name)
        level = camera.noise.at_iso(100)
        lens = "–" if camera.optics is None else camera.optics.summary.split(",")[0]
        table.add_row(name, figure(level.alpha), figure(level.sigma), camera.sources["Noise"].split(".")[0], lens)
    Console().print(table)


def show_camera(name: str, out: Path) -> None:
    """A camera's noise over light and the size of its PSFs as tables, and pictures of both.

    Writes `NAME-noise.png` and, where the profile has a PSF field, `NAME-psf.png`.

    Args:
        name: of a bundled profile, or the path of one.
        out: folder for the pictures, made if it is not there.
    """
    camera = Camera.load(name)
    written = _plot(camera, out)  # first: a folder that cannot be written to ends the command with one line
    warn_of_failed(camera)
    console = Console()
    sources = dict(camera.sources)
    if camera.has_noise:
        console.print(_noise_table(camera))
        console.print("Signal in [0, 1], white level 1; before clipping the variance is alpha * mean + sigma^2.")
    else:
        sources["Noise"] = "none in this profile, so it can blur scenes but not expose them."
    if camera.optics is not None:
        console.print(_psf_table(camera, camera.optics.pitch_um))
        console.print("RMS radius: root mean square distance from the centroid.")
    else:
        sources["Optics"] = "none in this profile, the lens is taken to be sharp."
    for title, source in sources.items():
        console.print(f"{title}: {source}", markup=False)
    if camera.profile.calibration is not None:
        show_records(camera.profile.calibration, console)
    console.print(f"Profile hash: {camera.hash}")
    for path in written:
        console.print(f"Wrote {path}", markup=False, soft_wrap=True)


def _plot(camera: Camera, out: Path) -> list[Path]:
    # A profile's name is free text, not a path.
    stem = re.sub(r"[^\w.-]+", "-", camera.name).strip("-.") or "camera"
    paths = []
    if camera.has_noise:
        paths.append(out / f"{stem}-noise.png")
        plot_noise(camera, paths[-1])
    if camera.optics is not None:
        paths.append(out / f"{stem}-psf.png")
        plot_psfs(camera, paths[-1])
    return paths


def figure(value: Number) -> str:
    """A figure of the noise, or its three channels, for people."""
    figures = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    return ", ".join(f"{one:.{4 if len(figures) == 1 else 2}g}" for one in figures)


def _noise_table(camera: Camera) -> Table:
    """Noise over light, as numbers and as a bar for the signal-to-noise ratio of middle gray."""
    of = "" if camera.noise.channels == 1 else " (R, G, B)"
    snr_of = "SNR at signal 0.18, dB" + (", green" if of else "")
    table = Table("lux", "ISO", f"alpha{of}", f"sigma{of}", snr_of, title=camera.name)
    for lux in LIGHT:
        level = camera.noise.at_lux(lux)
        snr = snr_db(level, 0.18)
        bar = "█" * max(0, round(snr / 2) + 10) if isfinite(snr) and not of else ""
        iso = camera.noise.exposure.iso(lux)
        table.add_row(f"{lux:g}", f"{iso:,.0f}", figure(level.alpha), figure(level.sigma), f"{snr:6.1f}  {bar}")
    return table


def _psf_table(camera: Camera, pitch_um: float | None) -> Table:
    """Size of the PSFs at the named places."""
    scales = {"RMS radius in px (R, G, B)": 1.0} | ({} if pitch_um is None else {"in µm": pitch_um})
    title = "PSFs" + ("" if pitch_um is None else f", sampled at {pitch_um:g} µm")
    table = Table("place", "row, column", *scales, title=title)
    for place, (row, column) in POSITIONS.items():
        radii = rms_radius(camera.psf(place))
        sizes = (", ".join(f"{scale * radius:.2f}" for radius in radii) for scale in scales.values())
        table.add_row(place, f"{row:g}, {column:g}", *sizes)
    return table
