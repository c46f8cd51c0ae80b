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
from dirtypixels.calibrate.psf import (
    BernoulliChart,
    MeasuredField,
    fit_to_paper,
    psf_field,
    read_chart,
    write_chart,
)

__all__ = [
    "BernoulliChart",
    "MeasuredCurve",
    "MeasuredField",
    "NoiseEstimate",
    "fit_to_paper",
    "noise_curve",
    "noise_level",
    "plot_residuals",
    "psf_field",
    "read_chart",
    "single_image_curve",
    "single_image_noise",
    "write_chart",
]
