"""Fine-tuning of a classifier or a joint model for the task."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from timm.optim import RMSpropTF
from torch import Tensor

from dirtypixels.camera import realization
from dirtypixels.data.captures import Capture, Captures, loader
from dirtypixels.files import write_atomically
from dirtypixels.recipe import FineTuning
from dirtypixels.tasks import JointModel

_LAUNCH = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")  # what Lightning's launcher sets


class TaskTraining(lightning.LightningModule):
    """A joint model under its task's loss, with separate learning rates for the unit and the head.

    Args:
        model: what to train.
        recipe: optimizer, rates and schedule.
        steps: batches in an epoch, on one device.
    """

    def __init__(self, model: JointModel, recipe: FineTuning, steps: int) -> None:
        super().__init__()
        self.model, self.recipe, self.steps = model, recipe, steps

    def training_step(self, batch: Capture, index: int) -> Tensor:
        loss = torch.nn.functional.cross_entropy(self.model(batch.observation), batch.label)
        if not torch.isfinite(loss):
            found = float(loss.detach())
            raise ValueError(f"the training loss must stay finite; found {found} at step {self.global_step}")
        self.log("loss", loss, prog_bar=True, batch_size=len(batch.label))
        return loss

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        groups: list[dict[str, Any]] = [{"params": list(self.model.head.parameters()), "lr": recipe.rate}]
        if self.model.unit is not None:
            # The unit's few weights are a physical filter bank and a prior; decay would pull them to no image at all.
            unit = {"params": list(self.model.unit.parameters()), "lr": recipe.rate * recipe.unit_rate}
            groups.append({**unit, "weight_decay": 0.0})
        steps = self.steps
        total = steps * recipe.epochs
        if recipe.optimizer == "rmsprop":
            optimizer: torch.optim.Optimizer = RMSpropTF(
                groups, lr=recipe.rate, alpha=0.9, eps=1.0, weight_decay=recipe.weight_decay
            )

            def factor(step: int) -> float:
                return float(0.94 ** (step // steps))

        else:
            optimizer = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay)

            def factor(step: int) -> float:
                rise = min((step + 1) / (recipe.warmup * total + 1), 1.0)
                return float(rise * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Capture, device: torch.device, dataloader_idx: int) -> Capture:
        return Capture(batch.observation.to(device), batch.label.to(device), batch.scene.to(device))


class _Epochs(Callback):
    """Gives every epoch its own noise, order and dropout, and keeps a checkpoint after each."""

    def __init__(self, captures: Captures, checkpoint: Path | None, first_epoch: int) -> None:
        self.captures, self.checkpoint, self.first = captures, checkpoint, first_epoch
        captures.set_epoch(first_epoch)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Worker processes start, with what the captures are then, before Lightning says which epoch starts.
        self.captures.set_epoch(self.first + checkpoint["epoch"] + 1)

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        epoch = self.first + trainer.current_epoch
        self.captures.set_epoch(epoch)
        torch.manual_seed(realization(self.captures.seed, f"dropout/{epoch}").initial_seed())

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.checkpoint is None:
            return
        if trainer.is_global_zero:
            write_atomically(self.checkpoint, lambda path: trainer.save_checkpoint(path, weights_only=False))
        else:
            trainer.save_checkpoint(self.checkpoint, weights_only=False)  # takes part, but writes nothing


@contextmanager
def _several_devices() -> Iterator[None]:
    """Ends afterwards what Lightning sets up for several devices, or the next training would look for its processes."""
    before = {name: os.environ.get(name) for name in _LAUNCH}
    try:
        yield
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def finetune(
    model: JointModel,
    captures: Captures,
    recipe: FineTuning,
    *,
    checkpoint: Path | None = None,
    workers: int = 0,
    progress: bool = True,
    first_epoch: int = 0,
) -> None:
    """Train a model for the task, in place.

    Args:
        model: unit (or None) and head.
        captures: training photographs through the camera, with `training=True`.
        recipe: optimizer, rates, schedule, device and precision.
        checkpoint: file kept after every epoch; a training that finds one goes on from it, to the same numbers.
        workers: processes that make captures; 0 makes them in this one.
        progress: show a progress bar.
        first_epoch: number of the first epoch; one that goes on where another training ended sees new noise.

    Raises:
        ValueError: captures are not for training or fewer than a batch, or the loss stops being finite.

    Source: Diamond et al. 2017, sec. 6 (RMSProp, separate pretraining of unit and head).

    >>> from dirtypixels.camera import Camera
    >>> from dirtypixels.data import RoadSigns
    >>> from dirtypixels.tasks import classifier
    >>> signs = RoadSigns("train", 8, 32, seed=0)
    >>> captures = Captures(signs, Camera.load("nexus-6p-rear"), 6.0, 0, training=True)
    >>> model = JointModel(None, classifier("test_efficientnet", weights=None, num_classes=len(signs.classes)))
    >>> finetune(model, captures, FineTuning(epochs=1, batch=4, accelerator="cpu"), progress=False)
    >>> model.training
    False
    """
    if not captures.training:
        raise ValueError("captures must be made with training=True; found training=False")
    if len(captures) < 2:
        raise ValueError(f"captures must hold at least 2 photographs; found {len(captures)}")
    batches = loader(captures, min(recipe.batch, len(captures)), workers)
    # Convolutions of the head run about twice as fast in this layout on the CPU, and faster on GPUs.
    model.head.to(memory_format=torch.channels_last)
    # Lightning keeps whatever mode it finds, and a model from a file comes in evaluation mode.
    model.train()
    callbacks: list[Callback] = [_Epochs(captures, checkpoint, first_epoch)]
    if progress:
        callbacks.append(RichProgressBar(leave=True))
    quiet = logging.getLogger("lightning.pytorch")
    level = quiet.level
    quiet.setLevel(logging.WARNING)
    with warnings.catch_warnings(), _several_devices():
        # Captures are cheap compared with the training step, so no worker processes are wanted unless asked for.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        try:
            trainer = lightning.Trainer(
                max_epochs=recipe.epochs,
                accelerator=recipe.accelerator,
                devices=recipe.devices,
                precision=recipe.precision,
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=progress,
                callbacks=callbacks,
                use_distributed_sampler=False,  # the captures' own order shares itself out
            )
            # Devices share the batches of an epoch.
            module = TaskTraining(model, recipe, -(-len(batches) // trainer.world_size))
            resume = checkpoint if checkpoint is not None and checkpoint.is_file() else None
            trainer.fit(module, batches, ckpt_path=resume, weights_only=True)
        finally:
            quiet.setLevel(level)
    if not trainer.is_global_zero:
        # Lightning starts the command anew for every further device; only the first process goes on with the study.
        raise SystemExit(0)
    model.to("cpu").eval()
