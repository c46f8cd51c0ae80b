"""Data sets: photographs in folders, generated road signs, natural patches, and captures of all of them."""

from dirtypixels.data.captures import Capture, Captures, join, loader, log_uniform
from dirtypixels.data.natural import natural_patches
from dirtypixels.data.photos import FolderPhotos, InMemory, Photo, PhotoSet
from dirtypixels.data.pictures import list_pictures, read_picture, resize
from dirtypixels.data.signs import RoadSigns

__all__ = [
    "Capture",
    "Captures",
    "FolderPhotos",
    "InMemory",
    "Photo",
    "PhotoSet",
    "RoadSigns",
    "join",
    "list_pictures",
    "loader",
    "log_uniform",
    "natural_patches",
    "read_picture",
    "resize",
]


def __dir__() -> list[str]:
    return __all__
