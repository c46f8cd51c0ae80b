"""A restoration unit and a head, as one network to train together."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from dirtypixels.observation import Observation


class JointModel(nn.Module):
    """What a camera measured, restored by a unit and read by a head.

    ``logits = head(unit(obs))``, or ``head(obs.signal)`` without a unit.

    Args:
        unit: Observation -> image (B, C, H, W); None hands the head the signal as it was measured.
        head: image (B, C, H, W) -> logits (B, K), or whatever else the task is.

    Raises:
        TypeError: unit or head is not a module.

    Source: Diamond et al. 2017, sec. 5 (unit and classifier trained together for the task).

    Example:
        >>> import dirtypixels as dp
        >>> model = dp.JointModel(dp.restore.Denoiser(), dp.tasks.classifier("resnet18", num_classes=43))
        >>> obs = dp.Camera.load("nexus-6p-rear").capture(dp.data.natural_patches(2, 64, gray=False), lux=6)
        >>> model(obs).shape, model.image(obs).shape
        (torch.Size([2, 43]), torch.Size([2, 3, 64, 64]))
    """

    def __init__(self, unit: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        if unit is not None and not isinstance(unit, nn.Module):
            raise TypeError(f"unit must be a torch.nn.Module or None; found {type(unit).__name__}")
        if not isinstance(head, nn.Module):
            raise TypeError(f"head must be a torch.nn.Module; found {type(head).__name__}")
        self.unit = unit
        self.head = head

    def image(self, obs: Observation) -> Tensor:
        """What the head sees: (B, C, H, W).

        Raises:
            TypeError: obs is not an Observation.
        """
        if not isinstance(obs, Observation):
            raise TypeError(
                f"obs must be an Observation; found {type(obs).__name__}. "
                "Camera.capture makes one of a scene, Observation(signal, alpha, sigma) of a tensor"
            )
        return obs.signal if self.unit is None else cast(Tensor, self.unit(obs))

    def forward(self, obs: Observation) -> Tensor:
        """The head's output for an Observation, (B, K) for a classifier.

        Raises:
            TypeError: obs is not an Observation.
        """
        return cast(Tensor, self.head(self.image(obs)))
