"""A made-up camera for simulated calibrations: every part of a profile that can be measured, on a small frame too."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from dirtypixels.camera import Camera, ProfileFile

Floats = npt.NDArray[np.float64]

_GAINS = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
_ROWS, _COLUMNS, _HALF = 7, 9, 7


def example_camera() -> Camera:
    """A camera that exists nowhere: 12 bits, RGGB, noise of its own in each color, a lens that gets worse outwards.

    ``alpha = a iso,  sigma^2 = b^2 + (c iso)^2``, other factors for red, green and blue; the part of the read noise
    that gain does not amplify keeps sigma from being proportional to ISO, as in real sensors. A PSF is a Gaussian and
    one displaced outwards (coma), both longer along the radius and wider in blue; red lies outside, blue inside
    (lateral color). They grow over the frame, whatever its size, to a standard deviation of 1.5 px in its corners.
    """
    gains = []
    for iso in _GAINS:
        alpha = tuple(factor * 1.2e-4 * iso / 100 for factor in (1.04, 1.0, 0.97))
        sigma = tuple(factor * math.hypot(4e-4, 3.5e-4 * iso / 100) for factor in (1.05, 1.0, 1.0))
        gains.append({"iso": iso, "alpha": alpha, "sigma": sigma})
    source = "Made up for simulated calibrations (dirtypixels.calibrate.simulate); no such camera exists."
    profile = ProfileFile.model_validate(
        {
            "schema_version": 2,
            "name": "simulated",
            "noise": {"gains": gains, "source": source},
            "exposure": {"reference_lux": 2000.0, "base_iso": 100.0, "source": source},
            "sensor": {"cfa": "RGGB", "black_level": 256.0, "white_level": 4095.0, "source": source},
            "optics": {"rows": _ROWS, "columns": _COLUMNS, "pitch_um": 2.0, "source": source},
        }
    )
    psfs = [[_psfs(u, v) for u in np.linspace(-0.8, 0.8, _COLUMNS)] for v in np.linspace(-0.6, 0.6, _ROWS)]
    return Camera(profile, torch.from_numpy(np.array(psfs, dtype=np.float32)))


def _psfs(u: float, v: float) -> Floats:
    """(3, 15, 15) at a place (x, y) in half diagonals of the frame; the centroid of green is in the middle."""
    radius = math.hypot(u, v)
    outwards = (u / radius, v / radius) if radius else (1.0, 0.0)
    y, x = np.mgrid[-_HALF : _HALF + 1, -_HALF : _HALF + 1].astype(float)
    tail, jump = 0.25 * radius, 1.2 * radius
    found = []
    for shift, wider in ((0.3 * radius, 1.0), (0.0, 1.0), (-0.25 * radius, 1.15)):
        along, across = wider * (0.6 + 0.7 * radius**2), wider * (0.6 + 0.4 * radius**2)
        psf = np.zeros_like(x)
        for weight, center in ((1 - tail, -tail * jump), (tail, (1 - tail) * jump)):
            r = x * outwards[0] + y * outwards[1] - center - shift
            t = y * outwards[0] - x * outwards[1]
            spot = np.exp(-0.5 * ((r / along) ** 2 + (t / across) ** 2))
            psf += weight * spot / spot.sum()
        found.append(psf / psf.sum())
    return np.array(found)
