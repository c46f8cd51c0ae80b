"""Rays through a lens prescription in DeepLens's format, traced by optiland. See trace_lens.py next to it."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from optiland.materials import DataMaterial
    from optiland.optic import Optic
    from optiland.rays import RealRays
except ImportError:
    sys.exit("tools/trace_lens.py needs the library optiland: pip install 'optiland>=0.6.3'")

Array = NDArray[np.float64]

WAVELENGTHS = (  # of R, G, B, micrometers
    (0.575, 0.59, 0.605, 0.62, 0.635),
    (0.51, 0.525, 0.54, 0.555, 0.57),
    (0.435, 0.45, 0.465, 0.48, 0.495),
)
WEIGHTS = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)  # of the wavelengths of a channel
MIDDLE = len(WEIGHTS) // 2
FOCUS_WEIGHTS = (0.25, 0.5, 0.25)  # of R, G, B: their share of a Bayer sensor's pixels
GREEN = WAVELENGTHS[1][MIDDLE]
RINGS = 64  # of rays in the stop: 12,352 rays
NUDGE = 1e-5  # in the stop, of its radius

# n^2 = a0 + a1 l^2 + a2 l^-2 + a3 l^-4 + a4 l^-6 + a5 l^-8, l in micrometers (Schott's formula): the glass catalogs
# MISC.AGF and PLASTIC2022.AGF (OKP4) in vccimaging/DeepLens @7ffe129, which is how DeepLens reads these names.
MATERIALS = {
    "pmma": (2.1864582, -2.4475348e-4, 1.4155787e-2, -4.4329781e-4, 7.7664259e-5, -2.9936382e-6),
    "coc": (2.28448546, 1.02952211e-2, 3.7349370e-2, -9.28409653e-3, 1.73289808e-3, -1.15203047e-4),
    "polycarb": (2.42838566, -3.86116645e-5, 2.87574474e-2, -1.97897366e-4, 1.48358968e-4, 1.38651935e-6),
    "polystyr": (2.44598368, 2.21428933e-5, 2.7298857e-2, 3.01210852e-4, 8.88934888e-5, -1.75707929e-6),
    "okp4": (1.6768, 0.55567, 0.49774, -0.1329, 1.906e-2, -1.068e-3),
}


@dataclass(frozen=True)
class Prescription:
    """A lens: the stop's radius, the surfaces behind it, the sensor's place and half diagonal (millimeters)."""

    stop_radius: float
    surfaces: tuple[dict[str, Any], ...]
    sensor: float
    half_diagonal: float


@dataclass(frozen=True)
class Bundle:
    """Rays of one field angle and wavelength at the sensor.

    Places x, y (mm), direction cosines along x and y, the optical path from the incoming wavefront (mm), `density` =
    |d(direction cosines) / d(place in the stop)|, the stop's radius being 1, and the share of the rays that arrived.
    """

    x: Array
    y: Array
    along_x: Array
    along_y: Array
    path: Array
    density: Array
    arrived: float


def read_prescription(path: Path) -> Prescription:
    """Read a DeepLens prescription whose first surface is the stop.

    Raises:
        ValueError: the file is not one; the message names what is wrong.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        stop, *surfaces = found["surfaces"]
        for surface in surfaces:
            _check_surface(surface)
        lens = Prescription(float(stop["r"]), tuple(surfaces), float(found["d_sensor"]), float(found["r_sensor"]))
        first = (stop["type"], float(stop["d"]))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} must be a DeepLens prescription (JSON); found {what}") from error
    if first != ("Aperture", 0.0):
        raise ValueError(f"{path} must begin with the stop, type 'Aperture' at d = 0; found {first[0]} at {first[1]:g}")
    if not surfaces or lens.sensor <= surfaces[-1]["d"]:
        raise ValueError(f"{path} must have surfaces, all in front of the sensor at d = {lens.sensor:g}")
    return lens


def _check_surface(surface: dict[str, Any]) -> None:
    if surface["type"] != "Aspheric":
        raise ValueError(f"a surface of type {surface['type']!r}; allowed is 'Aspheric'")
    if surface["mat2"] not in ("air", *MATERIALS):
        raise ValueError(f"the material {surface['mat2']!r}; known are air, {', '.join(MATERIALS)}")
    if not surface["use_ai2"]:
        raise ValueError("a surface whose `ai` begins with the r^4 term; allowed is use_ai2 = true")
    _ = [float(surface[key]) for key in ("d", "c", "k", "r")], [float(a) for a in surface["ai"]]


def build(lens: Prescription, shift: float = 0.0) -> Optic:
    """The lens for optiland, the sensor moved away from it by `shift` (mm)."""
    optic = Optic()
    places = [0.0, *(s["d"] for s in lens.surfaces), lens.sensor + shift]
    gaps = np.diff(places)
    optic.surfaces.add(index=0, radius=np.inf, thickness=np.inf)
    optic.surfaces.add(index=1, radius=np.inf, thickness=gaps[0], is_stop=True, aperture=2 * lens.stop_radius)
    for index, (surface, gap) in enumerate(zip(lens.surfaces, gaps[1:], strict=True), start=2):
        optic.surfaces.add(
            index=index,
            surface_type="even_asphere",
            radius=1 / surface["c"] if surface["c"] else np.inf,
            conic=surface["k"],
            coefficients=surface["ai"],
            material="air" if surface["mat2"] == "air" else _material(surface["mat2"]),
            thickness=gap,
            aperture=2 * surface["r"],
        )
    optic.surfaces.add(index=len(lens.surfaces) + 2)
    optic.set_aperture("EPD", 2 * lens.stop_radius)
    optic.fields.set_type("angle")
    optic.fields.add(y=0)
    optic.wavelengths.add(value=GREEN, is_primary=True)
    return optic


def _material(name: str) -> DataMaterial:
    first, *rest = MATERIALS[name]
    terms = [value for pair in zip(rest, (2, -2, -4, -6, -8), strict=True) for value in pair]
    return DataMaterial({"dispersion": {"kind": "formula", "formula": "formula 3", "coefficients": [first, *terms]}})


def stop_rays(rings: int) -> tuple[Array, Array]:
    """Places in the unit disk, each for the same area, mirror symmetric about both axes."""
    counts = 6 * np.arange(1, rings + 1) - 3
    counts += counts % 2  # even, so that the ring is its own mirror image up-down as well
    radius = np.repeat(np.sqrt((np.cumsum(counts) - counts / 2) / counts.sum()), counts)
    angle = np.concatenate([2 * np.pi * (np.arange(n) + 0.5) / n for n in counts])
    return radius * np.sin(angle), radius * np.cos(angle)


def trace(optic: Optic, lens: Prescription, angle: float, wavelength: float, x: Array, y: Array) -> Bundle:
    """Trace a collimated bundle, `angle` radians off the axis, from x, y in the stop (its radius 1) to the sensor."""
    at_x, at_y = np.concatenate([x, x + NUDGE, x]), np.concatenate([y, y, y + NUDGE])  # with neighbors, for `density`
    one, zero = np.ones_like(at_x), np.zeros_like(at_x)
    height = at_y * lens.stop_radius
    rays = RealRays(
        at_x * lens.stop_radius, height, zero, zero, np.sin(angle) * one, np.cos(angle) * one, one, wavelength * one
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's notes about itself
        optic.surfaces.trace(rays, skip=1, record=False)
    path = rays.opd + np.sin(angle) * height  # the wavefront is oblique to the stop
    good = ((rays.i > 0) & np.isfinite(rays.x + rays.y + path)).reshape(3, -1).all(0)
    along = np.stack([rays.L, rays.M]).reshape(2, 3, -1)[..., good]
    (xx, xy), (yx, yy) = (along[:, k] - along[:, 0] for k in (1, 2))
    place, up, path = (a.reshape(3, -1)[0, good] for a in (rays.x, rays.y, path))
    return Bundle(place, up, along[0, 0], along[1, 0], path, np.abs(xx * yy - xy * yx) / NUDGE**2, float(good.mean()))


def axial_focus(lens: Prescription) -> float:
    """How far (mm) to move the sensor for the least mean square radius of the axial spots of R, G and B.

    ``s = -sum w p.t / sum w t.t`` with the rays' places p and slopes t = dp/dz, and w the channels' share of pixels.
    """
    optic, over, under = build(lens), 0.0, 0.0
    for weight, waves in zip(FOCUS_WEIGHTS, WAVELENGTHS, strict=True):
        rays = trace(optic, lens, 0.0, waves[MIDDLE], *stop_rays(RINGS))
        forward = np.sqrt(1 - rays.along_x**2 - rays.along_y**2)
        over += weight * float(np.mean((rays.x * rays.along_x + rays.y * rays.along_y) / forward))
        under += weight * float(np.mean((rays.along_x**2 + rays.along_y**2) / forward**2))
    return -over / under


def field_angle(optic: Optic, lens: Prescription, height: float) -> float:
    """The angle (radians) whose chief ray at 540 nm lands `height` mm from the axis.

    Raises:
        ValueError: no ray gets there.
    """
    axis = np.zeros(1)
    low, high = 0.0, np.arctan(height / lens.sensor) + 0.6
    for _ in range(40):
        middle = (low + high) / 2
        rays = trace(optic, lens, middle, GREEN, axis, axis)
        low, high = (middle, high) if rays.y.size and rays.y[0] < height else (low, middle)
    rays = trace(optic, lens, low, GREEN, axis, axis)
    if not rays.y.size or abs(rays.y[0] - height) > 1e-6:
        raise ValueError(f"no chief ray reaches {height:.3f} mm off the axis: the lens does not cover its r_sensor")
    return low
