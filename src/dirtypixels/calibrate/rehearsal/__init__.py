"""Rehearsals: calibrations of a camera of which everything is known."""

from dirtypixels.calibrate.rehearsal.camera import ChartCamera
from dirtypixels.calibrate.rehearsal.example import example_camera
from dirtypixels.calibrate.rehearsal.folder import POSES, rehearse, typical
from dirtypixels.calibrate.rehearsal.geometry import Pose, View

__all__ = ["POSES", "ChartCamera", "Pose", "View", "example_camera", "rehearse", "typical"]
