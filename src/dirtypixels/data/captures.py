"""Labeled captures: photographs as a camera would have taken them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dirtypixels.camera import Camera, linear_scene, realization
from dirtypixels.camera.formation import Transfer
from dirtypixels.camera.optics import Position
from dirtypixels.data.photos import PhotoSet
from dirtypixels.observation import Observation


class Capture(NamedTuple):
    """A batch: observations, their labels (B,), and the scenes behind them (B, 3, H, W) as light.

    >>> from dirtypixels.camera import Camera
    >>> from dirtypixels.data import RoadSigns
    >>> captures = Captures(RoadSigns(count=2, size=16), Camera.load("nexus-6p-rear"), lux=3, seed=0)
    >>> captures[1].scene.shape
    torch.Size([1, 3, 16, 16])
    """

    observation: Observation
    label: Tensor
    scene: Tensor


class Captures(Dataset[Capture]):
    """Photographs of a data set through a camera in one light, at one place on its sensor.

    The noise of a photograph depends on the seed, the photograph's key and the epoch alone: not on the batch, the
    worker or the order, so that every method sees the same captures.

    Args:
        photos: the scenes.
        camera: what photographs them.
        lux: light level; (low, high) for a level of each photograph's own, log-uniform; None for no noise.
        seed: of the study.
        position: where on the sensor, for the lens PSF (see `Camera.psf`); None for a sharp lens. Beyond a photograph's
            border the lens sees it mirrored.
        transfer: how a picture's values become light, see `Camera.capture`.
        training: draw new noise in every epoch (see `set_epoch`) and, with `flip`, mirror half of the photographs.
        flip: mirror when training.

    Example:
        >>> import dirtypixels as dp
        >>> photos, camera = dp.data.RoadSigns(count=8, size=32), dp.Camera.load("nexus-6p-rear")
        >>> captures = dp.data.Captures(photos, camera, lux=(3, 50), seed=0, position="offaxis")
        >>> observation, label, scene = captures[5]
        >>> observation.signal.shape, round(observation.alpha.item(), 3)
        (torch.Size([1, 3, 32, 32]), 0.038)
    """

    def __init__(
        self,
        photos: PhotoSet,
        camera: Camera,
        lux: float | tuple[float, float] | None,
        seed: int,
        *,
        position: Position | None = None,
        transfer: Transfer = "linear",
        training: bool = False,
        flip: bool = False,
    ) -> None:
        self.photos, self.camera, self.seed, self.transfer = photos, camera, seed, transfer
        self.lux = math.inf if lux is None else lux
        self.position = position
        self.training, self.flip = training, flip
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the noise and the mirroring of a training set belong to."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Capture:
        scene, label, key = self.photos[index]
        # "judge" is a part of what decides the noise, so that published numbers come back.
        generator = realization(self.seed, f"train/{self.epoch}/{key}" if self.training else f"judge/{key}")
        if self.training and self.flip and float(torch.rand((), generator=generator)) < 0.5:
            scene = scene.flip(-1)
        lux = log_uniform(self.lux, 1, generator) if isinstance(self.lux, tuple) else self.lux
        observation = self.camera.capture(scene[None], lux, self.position, generator, transfer=self.transfer)
        return Capture(observation, torch.tensor([label]), linear_scene(scene[None], self.transfer))


def log_uniform(limits: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
    """Random levels whose logarithm is uniform between two limits above 0: (count,) float64.

    They are drawn from 256 that lie evenly, so that what is computed for a noise level is computed for each once.

    Example:
        >>> import torch
        >>> from dirtypixels.data import log_uniform
        >>> log_uniform((1.0, 100.0), 3, torch.Generator().manual_seed(0))
        tensor([22.3367,  2.3368,  8.2727], dtype=torch.float64)
    """
    low, high = (math.log10(limit) for limit in limits)
    levels = torch.logspace(low, high, 256, dtype=torch.float64)
    drawn: Tensor = levels[torch.randint(len(levels), (count,), generator=generator)]
    return drawn


def join(captures: list[Capture]) -> Capture:
    """Several captures as one batch.

    Example:
        >>> import dirtypixels as dp
        >>> photos, camera = dp.data.RoadSigns(count=4, size=32), dp.Camera.load("nexus-6p-rear")
        >>> captures = dp.data.Captures(photos, camera, lux=6, seed=0)
        >>> dp.data.join([captures[0], captures[1]]).observation.signal.shape
        torch.Size([2, 3, 32, 32])
    """
    observations, labels, scenes = zip(*captures, strict=True)
    return Capture(Observation.cat(observations), torch.cat(labels), torch.cat(scenes))


def loader(
    captures: Captures, batch: int, workers: int = 0, collate: Callable[[list[Capture]], Capture] = join
) -> DataLoader[Capture]:
    """Batches of captures in the data set's order; for training, in an order that depends on seed and epoch alone.

    While several processes train together, each gets its share of that order: n processes with batches of b see
    together what one process with batches of n b sees. `collate` makes a batch of captures, in the process that makes
    them.

    Example:
        >>> import dirtypixels as dp
        >>> photos, camera = dp.data.RoadSigns(count=4, size=32), dp.Camera.load("nexus-6p-rear")
        >>> captures = dp.data.Captures(photos, camera, lux=6, seed=0)
        >>> [len(batch.label) for batch in dp.data.loader(captures, batch=3)]
        [3, 1]
    """
    sampler = _EpochOrder(captures) if captures.training else None
    # A generator of its own, because a DataLoader without one draws from torch's, and moves a training's dropout.
    generator = torch.Generator()
    return DataLoader(
        captures, batch_size=batch, sampler=sampler, collate_fn=collate, num_workers=workers, generator=generator
    )


class _EpochOrder(torch.utils.data.Sampler[int]):
    def __init__(self, captures: Captures) -> None:
        self.captures = captures

    def __len__(self) -> int:
        return math.ceil(len(self.captures) / self._place()[1])

    def __iter__(self) -> Iterator[int]:
        rank, processes = self._place()
        generator = realization(self.captures.seed, f"order/{self.captures.epoch}")
        order: list[int] = torch.randperm(len(self.captures), generator=generator).tolist()
        # All processes take as many steps, so some photographs come twice where they cannot be shared out evenly.
        return islice(cycle(order), rank, processes * len(self), processes)

    @staticmethod
    def _place() -> tuple[int, int]:
        """Which of how many training processes this is."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
