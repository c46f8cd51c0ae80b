"""`dirtypixels cameras`: what is known of each camera."""

from __future__ import annotations

from math import log10

from rich.console import Console
from rich.table import Table

from dirtypixels.camera import Camera

LIGHT = (0.3, 1, 3, 6, 12, 24, 48, 96, 200, 1000, 2000)  # lux: moonlight to an overcast day's interior


def list_cameras() -> None:
    """One line for each bundled profile."""
    table = Table("camera", "alpha at ISO 100", "sigma at ISO 100", "noise source", title="Bundled camera profiles")
    for name in Camera.available():
        camera = Camera.load(name)
        level = camera.noise.at_iso(100)
        table.add_row(name, f"{level.alpha:.4g}", f"{level.sigma:.4g}", camera.profile.noise.source.split(".")[0])
    Console().print(table)


def show_camera(name: str) -> None:
    """A camera's noise over light, as numbers and as a bar for the signal-to-noise ratio of middle gray."""
    camera = Camera.load(name)
    console = Console()
    table = Table("lux", "ISO", "alpha", "sigma", "SNR at signal 0.18, dB", title=camera.name)
    for lux in LIGHT:
        level = camera.noise.at_lux(lux)
        variance = level.alpha * 0.18 + level.sigma**2
        snr = 10 * log10(0.18**2 / variance)
        bar = "█" * max(0, round(snr / 2) + 10)
        iso = camera.noise.exposure.iso(lux)
        table.add_row(f"{lux:g}", f"{iso:,.0f}", f"{level.alpha:.4g}", f"{level.sigma:.4g}", f"{snr:6.1f}  {bar}")
    console.print(table)
    console.print("Signal in [0, 1], white level 1; before clipping the variance is alpha * mean + sigma^2.")
    for title, part in (("Noise", camera.profile.noise), ("Exposure", camera.profile.exposure)):
        console.print(f"{title}: {part.source}")
    console.print(f"Profile hash: {camera.hash}")
