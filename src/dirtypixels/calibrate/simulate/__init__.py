"""Simulated captures: calibrations of a camera of which everything is known."""

from dirtypixels.calibrate.simulate.camera import ChartCamera, example_camera, realistic_camera
from dirtypixels.calibrate.simulate.captures import HANDHELD_POSES, simulate_captures
from dirtypixels.calibrate.simulate.geometry import Pose, View

__all__ = [
    "HANDHELD_POSES",
    "ChartCamera",
    "Pose",
    "View",
    "example_camera",
    "realistic_camera",
    "simulate_captures",
]
