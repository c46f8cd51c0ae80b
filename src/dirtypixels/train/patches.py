"""What low-level units are pretrained on: captures of natural patches, a fixed set or new ones in every step."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from dirtypixels.camera import Camera, in_frame, linear_scene, realization
from dirtypixels.camera.formation import Transfer
from dirtypixels.data import PatchSampler, log_uniform, natural_patches, natural_pictures, split_pictures
from dirtypixels.observation import Observation
from dirtypixels.recipe import AnyCondition, Pretraining

_HELD_OUT_PATCHES = 32


class PatchCaptures:
    """Captures of patches of pictures in one condition, with the light behind them.

    Beyond a blurred patch the picture goes on; what is given is the part that the patch determines.

    Args:
        recipe: which pictures, how many patches, and how large.
        condition: light and place on the sensor; a range of light gives each patch a light of its own.
        camera: what photographs them.
        transfer: how a picture's values become light, see `Camera.capture`.
        seed: of the study. With the condition's name it decides the patches and their noise.

    Example:
        >>> from dirtypixels.camera import Camera
        >>> from dirtypixels.recipe import Condition, Pretraining
        >>> from dirtypixels.train import PatchCaptures
        >>> recipe = Pretraining(optimizer="adam", batch=4, color_size=24)
        >>> captures = PatchCaptures(recipe, Condition.of(6, "offaxis"), Camera.load("nexus-6p-rear"))
        >>> light, observation = captures.fresh(step=7)
        >>> light.shape == observation.signal.shape, light.shape
        (True, torch.Size([4, 3, 24, 24]))
    """

    def __init__(
        self,
        recipe: Pretraining,
        condition: AnyCondition,
        camera: Camera,
        *,
        transfer: Transfer = "linear",
        seed: int = 0,
    ) -> None:
        self.recipe, self.condition, self.camera, self.transfer, self.seed = recipe, condition, camera, transfer, seed
        self._margins = (0, 0)  # rows and columns beyond a patch that its capture depends on
        if condition.position is not None:
            height, width = camera.psf(condition.position).shape[-2:]
            self._margins = height // 2, width // 2

    def fixed(self, gray: bool = False) -> tuple[Tensor, Observation]:
        """The set for L-BFGS: light (N, C, H, W) and its captures.

        Args:
            gray: the channels one by one, for a unit that has the same weights for all.

        Raises:
            FileNotFoundError: no pictures in the recipe's folder.
            ValueError: the pictures are too small.
        """
        recipe = self.recipe
        blurred = self.condition.is_blurred
        count, size = (recipe.blur_patches, recipe.blur_size) if blurred else (recipe.patches, recipe.size)
        side = size + 2 * max(self._margins)
        patches = natural_patches(count, side, gray=gray, folder=recipe.folder, reduce=recipe.reduce, seed=self.seed)
        return self._capture(patches, self._generator())

    def fresh(self, step: int) -> tuple[Tensor, Observation]:
        """A step's batch for Adam: light (B, 3, H, W) and its captures; the same for the same step.

        Raises:
            FileNotFoundError: no pictures in the recipe's folder.
            ValueError: the pictures are too small, or there is but one.
        """
        generator = self._generator(str(step))
        return self._capture(self._samplers[0](self.recipe.batch, generator), generator)

    def held_out(self) -> tuple[Tensor, Observation]:
        """32 captures of pictures that `fresh` never shows: patches of 1.5 times the side, if they fit; raises as it.

        The larger the patch, the less its border counts.
        """
        generator = self._generator("held out")
        return self._capture(self._samplers[1](_HELD_OUT_PATCHES, generator), generator)

    @cached_property
    def _samplers(self) -> tuple[PatchSampler, PatchSampler]:
        """Of the pictures to train on, and of those held out."""
        recipe, margin = self.recipe, 2 * max(self._margins)
        training, held_out = split_pictures(natural_pictures(recipe.folder), recipe.held_out)
        side = recipe.color_size + margin
        most = min(min(picture.shape[-2:]) for picture in held_out) // recipe.reduce
        larger = max(side, min(recipe.color_size * 3 // 2 + margin, most))
        return PatchSampler(training, side, recipe.reduce), PatchSampler(held_out, larger, recipe.reduce)

    def _generator(self, *key: str) -> torch.Generator:
        return realization(self.seed, "/".join(["pretraining", self.condition.name, *key]))

    def _capture(self, patches: Tensor, generator: torch.Generator) -> tuple[Tensor, Observation]:
        """Of square patches, whose sides hold the larger of the two margins twice."""
        whole = patches.shape[-1]
        rows, columns = (max(self._margins) - margin for margin in self._margins)
        patches = patches[..., rows : whole - rows, columns : whole - columns]
        lux = self.condition.lux
        captured = self.camera.capture(
            patches,
            math.inf if lux is None else log_uniform(lux, len(patches), generator) if isinstance(lux, tuple) else lux,
            self.condition.position,
            generator,
            transfer=self.transfer,
            beyond="crop",
        )
        return in_frame(linear_scene(patches, self.transfer), captured.signal), captured
