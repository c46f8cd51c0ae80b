"""A lens prescription to the PSFs of a camera profile, by ray tracing; simulated from a design, not measured.

    python -m tools.trace_lens PRESCRIPTION.json -o psf.npz --pitch 1.55 --rows 11 --columns 11

Run by hand where `optiland` is installed (see tools/README.md); the package does not need it. PRESCRIPTION.json is in
DeepLens's format: millimeters, the stop first, surfaces with `d` (vertex), `c`, `k`, `ai`, `mat2`, and `d_sensor`.

For each place on a 4:3 sensor whose half diagonal is the lens's `r_sensor`, a collimated bundle (object at infinity)
fills the stop, its chief ray at 540 nm landing on the place. Rays that an aperture of the prescription stops are lost.
From the rays' paths and directions follows the scalar diffraction PSF; those of five wavelengths a channel are added,
integrated over square pixels, and cut to k x k about the centroid of green: all channels about the same point, so
lateral color stays. Left out: Fresnel losses, stray light, tolerances, cover glass, the sensor's microlenses.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.lens_rays import (
    RINGS,
    WAVELENGTHS,
    WEIGHTS,
    Array,
    Bundle,
    Prescription,
    axial_focus,
    build,
    field_angle,
    read_prescription,
    stop_rays,
    trace,
)

if TYPE_CHECKING:
    from optiland.optic import Optic

CHANNELS = ("R", "G", "B")
SUBSAMPLES = 5  # a side of a pixel, odd


def bundles(optic: Optic, lens: Prescription, height: float) -> list[list[Bundle]]:
    """The bundles of all wavelengths, per channel, y counted outwards from the centroid of green."""
    angle = field_angle(optic, lens, height)
    stop = stop_rays(RINGS)
    found = [[trace(optic, lens, angle, wave, *stop) for wave in waves] for waves in WAVELENGTHS]
    if min(rays.arrived for channel in found for rays in channel) == 0:
        raise ValueError(f"no light reaches {height:.3f} mm off the axis")
    light = [(w * rays.arrived, rays.y.mean()) for w, rays in zip(WEIGHTS, found[1], strict=True)]
    center = sum(w * y for w, y in light) / sum(w for w, _ in light)
    return [[replace(rays, y=rays.y - center) for rays in channel] for channel in found]


def pixel_psf(
    channel: list[Bundle], waves: tuple[float, ...], outward: tuple[float, float], pitch: float, side: int
) -> tuple[Array, float]:
    """A channel's PSF on pixels: (side, side) with sum 1, rows downwards, and the share of its light inside.

    The scalar field at q on the sensor is the sum of the plane waves that the rays stand for,
    ``U(q) = integral a(d) exp(2 pi i (W(d) + d.q) / wavelength) dd,  W = path - d.p``, with the ray's direction d (two
    cosines), place p, and a^2 dd the ray's share of the light. As the rays are spread evenly over the stop,
    ``a dd = density^(1/2) pi / rays``; and the whole sensor's ``integral |U|^2`` is ``wavelength^2 pi arrived``.

    Args:
        channel: bundles of the wavelengths, weighted by WEIGHTS and by how much light arrived.
        waves: their wavelengths, micrometers.
        outward: (down, right), the unit vector from the picture's center to the place.
        pitch: of the pixels, micrometers.
        side: odd.
    """
    down, right = outward
    step = pitch / SUBSAMPLES
    place = (np.arange(side * SUBSAMPLES) - (side * SUBSAMPLES) // 2) * step
    intensity = np.zeros((len(place), len(place)))
    for weight, wave, rays in zip(WEIGHTS, waves, channel, strict=True):
        wavenumber = 2 * np.pi / wave
        phase = rays.path - rays.along_x * rays.x - rays.along_y * rays.y
        rest = (phase - phase.mean()) * 1e3  # um; the mean only turns the phase of the whole
        amplitude = np.sqrt(rays.density) * np.exp(1j * wavenumber * rest) * (np.pi * rays.arrived / len(rays.x))
        # Turn the rays, not the pixels: radially outwards is (down, right), across it (-right, down).
        downwards = rays.along_y * down - rays.along_x * right
        rightwards = rays.along_y * right + rays.along_x * down
        rows = _turned(wavenumber * np.outer(place, downwards)) * amplitude.astype(np.complex64)
        field = rows @ _turned(wavenumber * np.outer(rightwards, place))
        intensity += weight * (step / wave) ** 2 / np.pi * np.abs(field) ** 2
    intensity /= sum(w * rays.arrived for w, rays in zip(WEIGHTS, channel, strict=True))
    pixels = intensity.reshape(side, SUBSAMPLES, side, SUBSAMPLES).sum((1, 3))
    return pixels / pixels.sum(), float(pixels.sum())


def _turned(phase: Array) -> NDArray[np.complex64]:
    """exp(i phase), in single precision: finer than the PSFs' float16 by far, and twice as fast."""
    phase = phase.astype(np.float32)
    turned = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=turned.real)
    np.sin(phase, out=turned.imag)
    return turned


def psf_field(
    lens: Prescription, shift: float, pitch: float, rows: int, columns: int, side: int
) -> tuple[NDArray[np.float16], Array]:
    """PSFs over the sensor, (rows, columns, 3, side, side), and the share of the light inside of each."""
    optic = build(lens, shift)
    down, right = 0.6 * np.linspace(-1, 1, rows), 0.8 * np.linspace(-1, 1, columns)  # of the half diagonal
    psfs, kept = np.zeros((rows, columns, 3, side, side), np.float16), np.zeros((rows, columns, 3))
    for i in range(rows // 2, rows):
        print(f"\rtracing: row {i - rows // 2 + 1} of {rows - rows // 2}", end="", file=sys.stderr, flush=True)
        for j in range(columns // 2, columns):
            radius = float(np.hypot(down[i], right[j]))
            outward = (down[i] / radius, right[j] / radius) if radius > 1e-9 else (1.0, 0.0)
            found = bundles(optic, lens, radius * lens.half_diagonal)
            psf, share = zip(
                *(pixel_psf(b, w, outward, pitch, side) for b, w in zip(found, WAVELENGTHS, strict=True)), strict=True
            )
            # The other three quadrants are mirror images: the lens is round, the grid even about its center.
            for row, flip_row in ((i, 1), (rows - 1 - i, -1)):
                for column, flip_column in ((j, 1), (columns - 1 - j, -1)):
                    psfs[row, column] = np.stack(psf)[:, ::flip_row, ::flip_column]
                    kept[row, column] = share
    print(file=sys.stderr)
    return psfs, kept


def spot_table(lens: Prescription, shift: float) -> str:
    """The geometric spots, without diffraction, at the axis, 0.8 and the whole of the half diagonal, in micrometers."""
    optic = build(lens, shift)
    lines = ["field  angle  channel  RMS radius  50 % diameter  90 % diameter  shift to G  rays arrived"]
    for share in (0.0, 0.8, 1.0):
        height = share * lens.half_diagonal
        angle = np.degrees(field_angle(optic, lens, height))
        for name, channel in zip(CHANNELS, bundles(optic, lens, height), strict=True):
            weight = np.concatenate([np.full(len(r.x), w) for w, r in zip(WEIGHTS, channel, strict=True)])
            weight /= weight.sum()
            x, y = (np.concatenate([getattr(r, axis) for r in channel]) * 1e3 for axis in "xy")
            center = weight @ y
            radius = np.hypot(x, y - center)
            order = np.argsort(radius)
            half, most = (2 * radius[order][np.searchsorted(np.cumsum(weight[order]), e)] for e in (0.5, 0.9))
            rms, arrived = np.sqrt(weight @ radius**2), np.average([r.arrived for r in channel], weights=WEIGHTS)
            lines.append(
                f"{share:5.2f}  {angle:5.1f}  {name:>7}  {rms:10.1f}  {half:13.1f}  {most:13.1f}  {center:+10.1f}"
                f"  {arrived:12.2f}"
            )
    return "\n".join(lines)


def provenance(args: argparse.Namespace, lens: Prescription, shift: float) -> str:
    """What a profile must say about where its PSFs come from."""
    digest = hashlib.sha256(args.prescription.read_bytes()).hexdigest()[:16]
    waves = ", ".join(
        f"{c} {'/'.join(f'{1e3 * w:.0f}' for w in ws)}" for c, ws in zip(CHANNELS, WAVELENGTHS, strict=True)
    )
    focus = f"moved {1e3 * shift:+.1f} um from the prescription's place"
    focus += " to the least RMS spot on the axis" if args.focus == "axis" else ""
    return (
        f"Simulated from a design, not measured: traced from the phone lens prescription {args.prescription.name} "
        f"(sha256 {digest}) of vccimaging/DeepLens at 7ffe129, Apache-2.0, by tools/trace_lens.py with optiland "
        f"{importlib.metadata.version('optiland')}. Object at infinity; sensor {focus}; half diagonal "
        f"{lens.half_diagonal:.3f} mm, 4:3; {args.pitch:g} um pixels, their square aperture included; wavelengths "
        f"{waves} nm, weights 1:2:3:2:1; scalar diffraction; every channel about the centroid of "
        f"green, so lateral color is kept. Node (0, 0) is the top left corner of the upright picture."
    )


def _checked(args: argparse.Namespace) -> tuple[Prescription, float]:
    """The lens and how far to move its sensor (mm), or ValueError for arguments that cannot be."""
    if not 0.1 <= args.pitch <= 100:
        raise ValueError(f"--pitch must be in [0.1, 100] um; found {args.pitch:g}")
    if min(args.rows, args.columns) < 2:
        raise ValueError(f"--rows and --columns must be at least 2; found {args.rows} and {args.columns}")
    if args.side < 3 or args.side % 2 == 0:
        raise ValueError(f"--side must be odd and at least 3; found {args.side}")
    if not args.output.parent.is_dir():
        raise ValueError(f"--output must be in a folder that exists; found {args.output}")
    lens = read_prescription(args.prescription)
    if args.focus == "axis":
        return lens, axial_focus(lens)
    try:
        shift = float(args.focus) / 1e3
    except ValueError:
        raise ValueError(f"--focus must be 'axis' or a number of um; found {args.focus!r}") from None
    if not 0 < lens.sensor + shift - lens.surfaces[-1]["d"] < 10 * lens.sensor:
        raise ValueError(f"--focus must leave the sensor behind the lens; found {args.focus} um")
    return lens, shift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prescription", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="psf.npz to write")
    parser.add_argument("--pitch", type=float, required=True, help="distance of the pixels, micrometers")
    parser.add_argument("--rows", type=int, default=11, help="grid nodes from top to bottom (default 11)")
    parser.add_argument("--columns", type=int, default=11, help="grid nodes from left to right (default 11)")
    parser.add_argument("--side", type=int, default=33, help="side of a PSF in pixels, odd (default 33)")
    parser.add_argument(
        "--focus", default="axis", help="'axis' (default): least RMS spot on the axis; or the sensor's shift in um"
    )
    args = parser.parse_args()
    try:
        lens, shift = _checked(args)
        print(spot_table(lens, shift), flush=True)
        psfs, kept = psf_field(lens, shift, args.pitch, args.rows, args.columns, args.side)
        with args.output.open("wb") as file:
            np.savez_compressed(file, psf=psfs)
    except (ValueError, OSError) as error:
        print(f"trace_lens.py: {error}", file=sys.stderr)
        sys.exit(2)
    for name, share in zip(CHANNELS, np.moveaxis(kept, -1, 0), strict=True):
        print(f"light inside {args.side} x {args.side} px, {name}: least {share.min():.4f}, mean {share.mean():.4f}")
    print(f"{args.output}: {psfs.shape}, {args.output.stat().st_size} bytes")
    print(provenance(args, lens, shift))


if __name__ == "__main__":
    main()
