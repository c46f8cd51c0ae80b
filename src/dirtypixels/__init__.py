"""Put a neural network behind a real camera.

Public is what this package, its rooms and the modules that they export list in `__all__`. All else, such as the files
in which a room keeps its names, may move without notice.

    >>> import dirtypixels as dp
    >>> camera = dp.Camera.load("nexus-6p-rear")
    >>> scene = dp.data.natural_patches(2, 32, gray=False)
    >>> obs = camera.capture(scene, lux=6)
    >>> image = dp.restore.Denoiser()(obs)
    >>> image.shape
    torch.Size([2, 3, 32, 32])
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "JointModel",
    "NoiseLevel",
    "Observation",
    "__version__",
    "blur",
    "bridges",
    "calibrate",
    "camera",
    "data",
    "deploy",
    "load_model",
    "raw",
    "recipe",
    "restore",
    "study",
    "tasks",
    "train",
]

if TYPE_CHECKING:
    from dirtypixels import blur, bridges, calibrate, camera, data, deploy, raw, recipe, restore, study, tasks, train
    from dirtypixels.camera import Camera, NoiseLevel
    from dirtypixels.deploy import load_model
    from dirtypixels.observation import Observation
    from dirtypixels.tasks import JointModel
else:
    # Public names are imported on first use, so that `import dirtypixels` and the command's --help stay fast.
    _HOMES = {
        "Camera": "camera",
        "JointModel": "tasks",
        "NoiseLevel": "camera",
        "Observation": "observation",
        "load_model": "deploy",
    }

    def __getattr__(name):
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module 'dirtypixels' has no attribute {name!r}")
        home = import_module(f"{__name__}.{_HOMES.get(name, name)}")
        return getattr(home, name) if name in _HOMES else home


def __dir__() -> list[str]:
    return __all__
