"""A lens from captures of a printed chart."""

from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.chart_print import fit_to_paper, read_chart, write_chart
from dirtypixels.calibrate.psf.field import MeasuredField, psf_field
from dirtypixels.calibrate.psf.plots import plot_quality

__all__ = ["BernoulliChart", "MeasuredField", "fit_to_paper", "plot_quality", "psf_field", "read_chart", "write_chart"]
