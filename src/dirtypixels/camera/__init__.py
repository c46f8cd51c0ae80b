"""Cameras: profiles, noise curves and image formation."""

from dirtypixels.camera.formation import in_frame, linear_scene, poisson_gaussian, realization
from dirtypixels.camera.kernels import disk_psf, gaussian_psf, motion_psf
from dirtypixels.camera.noise import ExposureRule, NoiseCurve, NoiseLevel
from dirtypixels.camera.optics import POSITIONS, PsfField
from dirtypixels.camera.profile import Camera
from dirtypixels.camera.schema import ProfileFile

__all__ = [
    "POSITIONS",
    "Camera",
    "ExposureRule",
    "NoiseCurve",
    "NoiseLevel",
    "ProfileFile",
    "PsfField",
    "disk_psf",
    "gaussian_psf",
    "in_frame",
    "linear_scene",
    "motion_psf",
    "poisson_gaussian",
    "realization",
]
