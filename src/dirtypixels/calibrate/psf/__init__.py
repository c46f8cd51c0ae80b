"""A lens from captures of a printed chart."""

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.field import MeasuredField, psf_field

__all__ = ["BernoulliChart", "MeasuredField", "psf_field"]
