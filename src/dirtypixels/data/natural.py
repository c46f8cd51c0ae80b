"""Patches of natural pictures, on which low-level units are pretrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from skimage import data as skimage_data
from torch import Tensor

from dirtypixels import checks
from dirtypixels.data.pictures import list_pictures, read_picture

# Photographs that scikit-image ships inside of its package; the rest of its collection would need a download.
_SHIPPED = ("astronaut", "camera", "cat", "coffee", "coins", "grass", "gravel", "brick", "rocket")


def natural_pictures(folder: str | Path | None = None) -> list[Tensor]:
    """Natural pictures, (3, H, W) float32 in [0, 1]: those in a folder, or scikit-image's if none is given."""
    if folder is not None:
        return [read_picture(path) for path in list_pictures(folder)]
    pictures = []
    for name in _SHIPPED:
        values = np.asarray(getattr(skimage_data, name)(), dtype=np.float32) / 255
        values = np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else values[:, :, :3]
        pictures.append(torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))))
    return pictures


def natural_patches(
    count: int, size: int, *, gray: bool = True, folder: str | Path | None = None, reduce: int = 1, seed: int = 0
) -> Tensor:
    """Random square patches of natural pictures.

    Args:
        count: how many, >= 1, spread evenly over the pictures.
        size: side in pixels, >= 1.
        gray: one channel of luma (ITU-R BT.601) in place of three.
        folder: pictures to cut from; scikit-image's own if None.
        reduce: pictures are first made smaller by this whole factor (area averaging), >= 1. Small pictures of a task
            have sharper structure per pixel than large photographs; reduce to match them.
        seed: decides which patches.

    Returns:
        (count, 1|3, size, size) in [0, 1].

    Raises:
        ValueError: a number is out of range, or a picture is smaller than a patch.
        FileNotFoundError: no pictures in the folder.

    Example:
        >>> from dirtypixels.data import natural_patches
        >>> natural_patches(4, 48, gray=False, reduce=2).shape
        torch.Size([4, 3, 48, 48])
    """
    for name, value in (("count", count), ("size", size), ("reduce", reduce)):
        checks.in_range(name, value, low=1)
    random = np.random.default_rng(seed)
    pictures = natural_pictures(folder)
    patches = []
    for i in range(count):
        picture = pictures[i % len(pictures)]
        side = size * reduce
        height, width = picture.shape[-2:]
        if height < side or width < side:
            raise ValueError(f"size x reduce must be at most {min(height, width)} for these pictures; found {side}")
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        patch = picture[:, top : top + side, left : left + side]
        patches.append(torch.nn.functional.avg_pool2d(patch, reduce) if reduce > 1 else patch)
    stack = torch.stack(patches)
    if gray:
        stack = (stack * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return stack.clamp(0, 1)
