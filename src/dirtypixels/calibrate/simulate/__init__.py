"""Simulated captures: calibrations of a camera of which everything is known."""

from dirtypixels.calibrate.simulate.camera import ChartCamera
from dirtypixels.calibrate.simulate.example import example_camera
from dirtypixels.calibrate.simulate.folder import POSES, simulate_captures, typical
from dirtypixels.calibrate.simulate.geometry import Pose, View

__all__ = ["POSES", "ChartCamera", "Pose", "View", "example_camera", "simulate_captures", "typical"]
