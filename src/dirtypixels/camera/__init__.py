"""Cameras: profiles, noise curves and image formation."""

from dirtypixels.camera.formation import linear_scene, poisson_gaussian, realisation
from dirtypixels.camera.noise import ExposureRule, NoiseCurve, NoiseLevel
from dirtypixels.camera.profile import Camera, ProfileFile

__all__ = [
    "Camera",
    "ExposureRule",
    "NoiseCurve",
    "NoiseLevel",
    "ProfileFile",
    "linear_scene",
    "poisson_gaussian",
    "realisation",
]
