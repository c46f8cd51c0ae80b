"""Captures of flat fields and charts to a camera's profile."""

from dirtypixels.calibrate.noise import (
    MeasuredCurve,
    NoiseEstimate,
    noise_curve,
    noise_level,
    plot_residuals,
    single_image_curve,
    single_image_noise,
)
from dirtypixels.calibrate.psf import BernoulliChart, MeasuredField, psf_field

__all__ = [
    "BernoulliChart",
    "MeasuredCurve",
    "MeasuredField",
    "NoiseEstimate",
    "noise_curve",
    "noise_level",
    "plot_residuals",
    "psf_field",
    "single_image_curve",
    "single_image_noise",
]
