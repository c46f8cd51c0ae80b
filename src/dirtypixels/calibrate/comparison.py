"""Two profiles compared: a calibration and the truth of a simulated one, or two calibrations of one camera."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dirtypixels import checks
from dirtypixels.camera import POSITIONS, Camera, NoiseCurve, PsfField

Floats = npt.NDArray[np.float64]

PLACES = {**POSITIONS, "top edge": (0.0, 0.5), "left edge": (0.5, 0.0)}
"""Where PSFs are compared, (row, column) on the sensor."""

_MARGIN = 6  # pixels around a PSF that is moved by a part of a pixel, so that it does not come in on the other side


class NoiseDifference(NamedTuple):
    """``value / reference - 1`` of alpha and of sigma: (1,), or (3,) where colors differ."""

    alpha: Floats
    sigma: Floats


class PsfDifference(NamedTuple):
    """How far the PSFs of two profiles differ at a place.

    Args:
        error: (C,) ``|k - reference| / |reference|`` (l2) for each color, after green's centroids are brought
            together: a shift of all colors cannot be told from distortion.
        shift_px: distance of the centroids, in samples of the PSFs.
    """

    error: Floats
    shift_px: float


class Comparison(NamedTuple):
    """How far two cameras differ.

    Args:
        noise: by ISO, at the gains that either of them states and one beyond; None where one has no noise.
        psfs: by the names of `PLACES`; None where one has no PSF field.

    >>> from dirtypixels.calibrate import compare
    >>> camera = Camera.load("nexus-6p-rear")
    >>> compare(camera, camera).psfs["periphery"].shift_px
    0.0
    """

    noise: dict[float, NoiseDifference] | None
    psfs: dict[str, PsfDifference] | None


def compare(camera: Camera, reference: Camera) -> Comparison:
    """How far a camera's noise over gain and its PSFs over the field differ from those of another.

    Raises:
        ValueError: they have neither noise nor PSFs in common.

    >>> same = Camera.load("nexus-6p-rear")
    >>> found = compare(same, same)
    >>> found.noise[100.0]
    NoiseDifference(alpha=array([0.]), sigma=array([0.]))
    >>> found.psfs["center"].shift_px
    0.0
    """
    noise = psfs = None
    if camera.has_noise and reference.has_noise:
        gains = sorted({float(iso) for one in (camera, reference) for iso in one.noise.iso})
        every = (*gains, 4 * gains[-1])
        noise = {iso: noise_difference(camera.noise, reference.noise, iso) for iso in every}
    if camera.optics is not None and reference.optics is not None:
        psfs = {name: psf_difference(camera.optics, reference.optics, place) for name, place in PLACES.items()}
    if noise is None and psfs is None:
        parts = [
            " and ".join(["noise"] * one.has_noise + ["PSFs"] * (one.optics is not None)) or "neither"
            for one in (camera, reference)
        ]
        raise ValueError(
            f"camera and reference must both have noise or both have PSFs; found {parts[0]} in {camera.name!r} "
            f"and {parts[1]} in {reference.name!r}"
        )
    return Comparison(noise, psfs)


def noise_difference(found: NoiseCurve, reference: NoiseCurve, iso: float) -> NoiseDifference:
    """How far the noise of two curves differs at a gain.

    A reference of 0 gives infinity, and 0 against 0 gives 0.

    Raises:
        ValueError: iso is not finite or not above 0.
    """
    checks.in_range("iso", iso)
    checks.above_zero("iso", iso)
    mine, theirs = (np.array(np.broadcast_arrays([0.0], *one.at_iso(float(iso)))[1:]) for one in (found, reference))
    with np.errstate(divide="ignore", invalid="ignore"):
        return NoiseDifference(*np.where(mine == theirs, 0.0, mine / theirs - 1))


def psf_difference(found: PsfField, reference: PsfField, place: tuple[float, float]) -> PsfDifference:
    """How far the PSFs of two fields differ at (row, column) on the sensor.

    Where one of the two has one channel, it is compared with the other's green.

    Raises:
        ValueError: the place is none in [0, 1]^2.
    """
    mine, theirs = (one.at(place).double().numpy() for one in (found, reference))
    if len(mine) != len(theirs):
        mine, theirs = (psfs[len(psfs) // 2][None] for psfs in (mine, theirs))
    side = max(*mine.shape[1:], *theirs.shape[1:]) + _MARGIN
    (mine, here), (theirs, there) = (centered(psfs, side + 1 - side % 2) for psfs in (mine, theirs))
    error = np.linalg.norm(mine - theirs, axis=(1, 2)) / np.linalg.norm(theirs, axis=(1, 2))
    return PsfDifference(error, float(np.hypot(*(here - there))))


def centered(psfs: Floats, side: int) -> tuple[Floats, Floats]:
    """PSFs (C, kh, kw) in a square of odd side with green's centroid in the middle, and where it was, (y, x)."""
    down, across = ((side - n) // 2 for n in psfs.shape[1:])
    whole = np.pad(psfs, ((0, 0), (down, down), (across, across)))
    at, green = np.arange(side) - side // 2, whole[len(whole) // 2]
    where = np.array([green.sum(1) @ at, green.sum(0) @ at])
    return shifted(whole, -where), where


def shifted(psfs: Floats, by: npt.ArrayLike) -> Floats:
    """PSFs (C, k, k) moved by (y, x) samples; exact for PSFs without detail beyond the Nyquist frequency.

    Source: the Fourier shift theorem.
    """
    return np.asarray(np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(psfs), (0, *np.asarray(by)))).real)
