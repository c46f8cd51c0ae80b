"""Noise figures that somebody else measured."""

from dirtypixels.calibrate.imports.darktable import darktable
from dirtypixels.calibrate.imports.dng import noise_profile
from dirtypixels.calibrate.imports.eld import eld
from dirtypixels.calibrate.imports.imported import ImportedNoise

__all__ = ["ImportedNoise", "darktable", "eld", "noise_profile"]
