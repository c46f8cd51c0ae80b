"""Captures of flat fields and charts to a camera's profile."""

from dirtypixels.calibrate import imports
from dirtypixels.calibrate.comparison import Comparison, compare
from dirtypixels.calibrate.measure import import_noise, measure_noise, measure_optics
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
    plot_quality,
    psf_field,
    read_chart,
    write_chart,
)

__all__ = [
    "BernoulliChart",
    "Comparison",
    "MeasuredCurve",
    "MeasuredField",
    "NoiseEstimate",
    "compare",
    "fit_to_paper",
    "import_noise",
    "imports",
    "measure_noise",
    "measure_optics",
    "noise_curve",
    "noise_level",
    "plot_quality",
    "plot_residuals",
    "psf_field",
    "read_chart",
    "single_image_curve",
    "single_image_noise",
    "write_chart",
]
