"""A lens from captures of a printed chart."""

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.field import psf_field
from dirtypixels.calibrate.psf.figures import plot_quality
from dirtypixels.calibrate.psf.measured_field import MeasuredField

__all__ = ["BernoulliChart", "MeasuredField", "plot_quality", "psf_field"]
