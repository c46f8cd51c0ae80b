"""What every data set hands out: a scene, its label, and a name that never changes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Photo(NamedTuple):
    """One labeled scene.

    scene: (3, H, W) float32 in [0, 1]; label: index into `classes`; key: unique and stable, e.g. a relative
    path. The key, with the study's seed, decides the noise of a simulated capture.
    """

    scene: Tensor
    label: int
    key: str


class PhotoSet(Protocol):
    """A data set of photographs."""

    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Photo: ...
