"""Patches of natural pictures, on which low-level units are pretrained."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Natural pictures, (3, H, W) float32 in [0, 1]: those in a folder, or scikit-image's if none is given.

    Raises:
        FileNotFoundError: no pictures in the folder.

    Example:
        >>> from dirtypixels.data import natural_pictures
        >>> len(natural_pictures()), natural_pictures()[0].shape
        (9, torch.Size([3, 512, 512]))
    """
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
        top, left = (int(random.integers(places)) for places in _places(picture, size * reduce))
        patches.append(_reduced(picture[:, top : top + size * reduce, left : left + size * reduce], reduce))
    stack = torch.stack(patches)
    if gray:
        stack = (stack * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return stack.clamp(0, 1)


def split_pictures(pictures: Sequence[Tensor], held_out: float = 0.1) -> tuple[list[Tensor], list[Tensor]]:
    """Pictures to train on, and pictures held out: every ``round(1 / held_out)``-th, the first one among them.

    Args:
        pictures: at least 2.
        held_out: share of them, above 0 and at most 0.5; at least one is held out.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> from dirtypixels.data import natural_pictures, split_pictures
        >>> training, held_out = split_pictures(natural_pictures(), 0.2)
        >>> len(training), len(held_out)
        (7, 2)
    """
    if not 0 < held_out <= 0.5:
        raise ValueError(f"held_out must be above 0 and at most 0.5; found {held_out:g}")
    if len(pictures) < 2:
        raise ValueError(f"pictures must be at least 2 to hold one of them out; found {len(pictures)}")
    every = round(1 / held_out)
    return [one for i, one in enumerate(pictures) if i % every], list(pictures[::every])


class PatchSampler:
    """Random patches of pictures without end: places, flips and transposes are drawn anew for each.

    In a call, no picture gives two patches before all have given one.

    Args:
        pictures: (3, H, W) each, in [0, 1]; kept in memory, 8 bits a value.
        size: side of a patch in pixels, >= 1.
        reduce: as for `natural_patches`.

    Raises:
        ValueError: a number is out of range, a picture is smaller than a patch, or there is none.

    Example:
        >>> import torch
        >>> from dirtypixels.data import PatchSampler, natural_pictures
        >>> sampler = PatchSampler(natural_pictures(), 48, reduce=2)
        >>> sampler(4, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 3, 48, 48])
    """

    def __init__(self, pictures: Sequence[Tensor], size: int, reduce: int = 1) -> None:
        for name, value in (("pictures", len(pictures)), ("size", size), ("reduce", reduce)):
            checks.in_range(name, value, low=1)
        self.size, self.reduce = size, reduce
        self._places = [_places(picture, size * reduce) for picture in pictures]
        self._pictures = [(picture * 255).round().to(torch.uint8) for picture in pictures]

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 3, size, size) in [0, 1]; what is drawn depends on the generator alone."""
        side, patches = self.size * self.reduce, []
        order: list[int] = []
        while len(order) < count:
            order += torch.randperm(len(self._pictures), generator=generator).tolist()
        for i in order[:count]:
            top, left = (int(torch.randint(n, (), generator=generator)) for n in self._places[i])
            patch = self._pictures[i][:, top : top + side, left : left + side].float() / 255
            down, across, turned = (torch.rand(3, generator=generator) < 0.5).tolist()
            patch = patch.flip([axis for axis, flipped in ((1, down), (2, across)) if flipped])
            patches.append(_reduced(patch.transpose(1, 2) if turned else patch, self.reduce))
        return torch.stack(patches).clamp(0, 1)


def _places(picture: Tensor, side: int) -> tuple[int, int]:
    """How many rows and how many columns a patch of a picture can start at."""
    height, width = picture.shape[-2:]
    if height < side or width < side:
        raise ValueError(f"size x reduce must be at most {min(height, width)} for these pictures; found {side}")
    return height - side + 1, width - side + 1


def _reduced(patch: Tensor, reduce: int) -> Tensor:
    return torch.nn.functional.avg_pool2d(patch, reduce) if reduce > 1 else patch
