"""Noise over gain, from repeated frames or from single photographs."""

from dirtypixels.calibrate.noise.curve import MeasuredCurve, noise_curve
from dirtypixels.calibrate.noise.level import NoiseEstimate, noise_level
from dirtypixels.calibrate.noise.plots import plot_residuals
from dirtypixels.calibrate.noise.single_image import single_image_curve, single_image_noise

__all__ = [
    "MeasuredCurve",
    "NoiseEstimate",
    "noise_curve",
    "noise_level",
    "plot_residuals",
    "single_image_curve",
    "single_image_noise",
]
