"""Captures and sensor frames as files."""

from dirtypixels.raw.agreement import check_same_camera, check_same_lens
from dirtypixels.raw.captures import CaptureNote, read_capture, write_capture
from dirtypixels.raw.folders import find_captures, iter_frames, read_frames, write_frames
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import check_levels
from dirtypixels.raw.mosaic import check_mosaic
from dirtypixels.raw.reading import Overrides, read_frame

__all__ = [
    "CaptureNote",
    "Frame",
    "Overrides",
    "check_levels",
    "check_mosaic",
    "check_same_camera",
    "check_same_lens",
    "find_captures",
    "iter_frames",
    "read_capture",
    "read_frame",
    "read_frames",
    "write_capture",
    "write_frames",
]
