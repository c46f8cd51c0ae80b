"""What `dirtypixels calibrate compare` shows."""

from __future__ import annotations

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from dirtypixels.calibrate.comparison import PLACES, noise_difference, psf_difference
from dirtypixels.camera import Camera, NoiseCurve, PsfField


def compare_cameras(profile: str, reference: str) -> None:
    """Differences of two profiles' noise over gain, and of their PSFs over the field, as tables.

    Raises:
        ValueError: they have neither noise nor PSFs in common.
    """
    camera, other = Camera.load(profile), Camera.load(reference)
    tables = []
    if camera.has_noise and other.has_noise:
        tables.append(_noise(camera.noise, other.noise))
    if camera.optics is not None and other.optics is not None:
        tables.append(_psfs(camera.optics, other.optics))
    if not tables:
        raise ValueError(
            f"profile and reference must both have noise or both have PSFs; found {_parts(camera)} in {profile!r} and "
            f"{_parts(other)} in {reference!r}"
        )
    for table in tables:
        Console().print(table)


def _noise(found: NoiseCurve, other: NoiseCurve) -> Table:
    table = Table("ISO", "alpha, % (R, G, B)", "sigma, % (R, G, B)", box=SIMPLE, title="Noise, difference")
    # the gains that either profile states, and one beyond them
    gains = sorted({float(iso) for one in (found, other) for iso in one.iso})
    for iso in (*gains, 4 * gains[-1]):
        alpha, sigma = noise_difference(found, other, iso)
        table.add_row(
            f"{iso:g}", *(", ".join(f"{100 * v:+.1f}" for v in np.asarray(values)) for values in (alpha, sigma))
        )
    return table


def _psfs(field: PsfField, other: PsfField) -> Table:
    table = Table(
        "place", "row, column", "error, % (R, G, B)", "shift, px", box=SIMPLE, title="PSFs, relative l2 error"
    )
    for name, (row, column) in PLACES.items():
        found = psf_difference(field, other, (row, column))
        errors = ", ".join(f"{100 * e:.1f}" for e in found.error)
        table.add_row(name, f"{row:g}, {column:g}", errors, f"{found.shift_px:.2f}")
    return table


def _parts(camera: Camera) -> str:
    there = [name for name, has in (("noise", camera.has_noise), ("PSFs", camera.optics is not None)) if has]
    return " and ".join(there) or "neither"
