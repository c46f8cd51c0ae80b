"""Captures of flat fields and charts to a camera's profile."""

from dirtypixels.calibrate.noise import (
    MeasuredCurve,
    NoiseEstimate,
    draw_residuals,
    noise_curve,
    noise_level,
    photograph_curve,
    photograph_noise,
)
from dirtypixels.calibrate.psf import BernoulliChart, MeasuredField, psf_field

__all__ = [
    "BernoulliChart",
    "MeasuredCurve",
    "MeasuredField",
    "NoiseEstimate",
    "draw_residuals",
    "noise_curve",
    "noise_level",
    "photograph_curve",
    "photograph_noise",
    "psf_field",
]
