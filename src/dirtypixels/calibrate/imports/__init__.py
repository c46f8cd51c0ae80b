"""Noise figures that somebody else measured; `measure.import_noise` puts them into a camera."""

from dirtypixels.calibrate.imports.darktable import darktable
from dirtypixels.calibrate.imports.dng import noise_profile
from dirtypixels.calibrate.imports.eld import eld
from dirtypixels.calibrate.profile import ImportedCurve

__all__ = ["ImportedCurve", "darktable", "eld", "noise_profile"]
