"""Captures as files."""

from dirtypixels.raw.captures import CaptureNote, read_capture, write_capture

__all__ = ["CaptureNote", "read_capture", "write_capture"]
