"""Put a neural network behind a real camera."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names are imported on first use, so that `import dirtypixels` and the command's --help stay fast.
_LAZY = {
    "Camera": "dirtypixels.camera",
    "JointModel": "dirtypixels.tasks",
    "NoiseLevel": "dirtypixels.camera",
    "Observation": "dirtypixels.observation",
}
_ROOMS = ("bridges", "calibrate", "camera", "data", "deploy", "raw", "restore", "study", "tasks", "train")

__all__ = ["Camera", "JointModel", "NoiseLevel", "Observation", "__version__"]

if TYPE_CHECKING:
    from dirtypixels.camera import Camera, NoiseLevel
    from dirtypixels.observation import Observation
    from dirtypixels.tasks import JointModel


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"dirtypixels.{name}")
    raise AttributeError(f"module 'dirtypixels' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_ROOMS])
