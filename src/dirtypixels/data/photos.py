"""Labeled photographs: what every data set hands out, those in folders by class, and those kept in memory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dirtypixels.data.pictures import list_pictures, read_picture, resize


class Photo(NamedTuple):
    """One labeled scene.

    scene: (3, H, W) float32 in [0, 1]; label: index into `classes`; key: unique and stable, e.g. a relative
    path. The key, with the study's seed, decides the noise of a simulated capture.

    >>> Photo(torch.rand(3, 8, 8), label=0, key="train/cat/1.png").key
    'train/cat/1.png'
    """

    scene: Tensor
    label: int
    key: str


class PhotoSet(Protocol):
    """A data set of photographs."""

    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Photo: ...


class FolderPhotos:
    """Photographs in `root/split/<class>/`, made square.

    Args:
        root: folder of the data set; the photographs' keys are paths relative to it.
        split: folder in it.
        size: side in pixels.
        first: how many to leave out, in a shuffled order that depends on the seed alone.
        count: how many to take after those; None for all.
        seed: decides the order.

    Raises:
        FileNotFoundError: a folder is missing, or holds no class folders or no pictures.
        ValueError: there are not as many photographs as asked for.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from dirtypixels.data import FolderPhotos
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("cat", "dog"):
        ...         folder = Path(root, "train", name)
        ...         folder.mkdir(parents=True)
        ...         np.save(folder / "1.npy", np.full((60, 80), 0.5))
        ...     photos = FolderPhotos(root, "train", size=32)
        ...     photos.classes, photos[0].scene.shape
        (('cat', 'dog'), torch.Size([3, 32, 32]))
    """

    def __init__(
        self, root: str | Path, split: str, size: int, *, first: int = 0, count: int | None = None, seed: int = 0
    ) -> None:
        self.root, self.size = Path(root), size
        base = self.root / split
        if not base.is_dir():
            raise FileNotFoundError(f"data.root must hold a folder {split!r}; found none at {str(base)!r}")
        self.classes = tuple(sorted(p.name for p in base.iterdir() if p.is_dir()))
        if len(self.classes) < 2:
            raise FileNotFoundError(
                f"{str(base)!r} must hold a folder for each class, 2 at least; found {self.classes}"
            )
        labeled = [(path, label) for label, name in enumerate(self.classes) for path in list_pictures(base / name)]
        last = len(labeled) if count is None else first + count
        if last > len(labeled):
            raise ValueError(f"{str(base)!r} must hold at least {last} photographs; found {len(labeled)}")
        order = np.random.default_rng(seed).permutation(len(labeled))[first:last]
        self._items = [labeled[i] for i in order]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Photo:
        path, label = self._items[index]
        return Photo(resize(read_picture(path), self.size), label, path.relative_to(self.root).as_posix())


class InMemory:
    """A data set whose photographs are kept, 8 bits a value, once they have been made.

    Every pass sees the same rounded values, the first one included.

    Example:
        >>> from dirtypixels.data import InMemory, RoadSigns
        >>> photos = InMemory(RoadSigns(count=4, size=32))
        >>> len(photos), photos[0].scene.shape
        (4, torch.Size([3, 32, 32]))
    """

    def __init__(self, photos: PhotoSet) -> None:
        self.classes = photos.classes
        self._photos = photos
        self._kept: dict[int, Photo] = {}

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Photo:
        if index not in self._kept:
            photo = self._photos[index]
            self._kept[index] = photo._replace(scene=(photo.scene * 255).round().to(torch.uint8))
        photo = self._kept[index]
        return photo._replace(scene=photo.scene.float() / 255)
