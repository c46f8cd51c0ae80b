"""A lens from captures of a printed chart."""

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.field import MeasuredField, psf_field
from dirtypixels.calibrate.psf.plots import plot_quality

__all__ = ["BernoulliChart", "MeasuredField", "plot_quality", "psf_field"]
