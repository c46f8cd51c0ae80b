"""Studies: models under conditions, evaluated once; statistics, tables, figures, and a report."""

from dirtypixels.study.results import Cell, Difference, Estimate, Model, Study, read, write
from dirtypixels.study.runner import run

__all__ = ["Cell", "Difference", "Estimate", "Model", "Study", "read", "run", "write"]
