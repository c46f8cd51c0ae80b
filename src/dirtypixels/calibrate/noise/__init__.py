"""Noise over gain, from repeated frames or from single photographs."""

from dirtypixels.calibrate.noise.curve import MeasuredCurve, noise_curve
from dirtypixels.calibrate.noise.level import NoiseEstimate, noise_level
from dirtypixels.calibrate.noise.photograph import photograph_noise
from dirtypixels.calibrate.noise.photograph_curve import photograph_curve
from dirtypixels.calibrate.noise.residuals import draw_residuals

__all__ = [
    "MeasuredCurve",
    "NoiseEstimate",
    "draw_residuals",
    "noise_curve",
    "noise_level",
    "photograph_curve",
    "photograph_noise",
]
