"""Data sets: photographs in folders, generated road signs, natural patches, and captures of all of them."""

from dirtypixels.data.captures import Capture, Captures, join, loader, log_uniform
from dirtypixels.data.natural import PatchSampler, natural_patches, natural_pictures, split_pictures
from dirtypixels.data.photos import FolderPhotos, InMemory, Photo, PhotoSet
from dirtypixels.data.pictures import list_pictures, read_picture, resize
from dirtypixels.data.signs import RoadSigns

__all__ = [
    "Capture",
    "Captures",
    "FolderPhotos",
    "InMemory",
    "PatchSampler",
    "Photo",
    "PhotoSet",
    "RoadSigns",
    "join",
    "list_pictures",
    "loader",
    "log_uniform",
    "natural_patches",
    "natural_pictures",
    "read_picture",
    "resize",
    "split_pictures",
]


def __dir__() -> list[str]:
    return __all__
