"""Fine-tuning of a classifier or a joint model for the task."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from timm.optim import RMSpropTF
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from dirtypixels.camera import realization
from dirtypixels.data.captures import Capture, Captures, join, loader
from dirtypixels.files import write_atomically
from dirtypixels.recipe import FineTuning
from dirtypixels.tasks import JointModel
from dirtypixels.train.quality import unexplained

_LAUNCH = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")  # what Lightning's launcher sets
_BATCHES = 32  # that running statistics are estimated on, of millions of values for each channel


class TaskTraining(lightning.LightningModule):
    """A joint model under its task's loss, with separate learning rates for the unit and the head.

    Args:
        model: what to train.
        recipe: optimizer, rates and schedule.
        steps: batches in an epoch, on one device.
        frozen: leave the unit as it is.
        restored: the batches hold, in place of the signal, what the unit makes of it.
    """

    def __init__(
        self, model: JointModel, recipe: FineTuning, steps: int, *, frozen: bool = False, restored: bool = False
    ) -> None:
        super().__init__()
        self.model, self.recipe, self.steps = model, recipe, steps
        self.restored, self.trains_unit = restored, model.unit is not None and not frozen

    def image(self, batch: Capture) -> Tensor:
        """What the head sees of a batch."""
        if self.restored:
            return batch.observation.signal
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trains_unit):
            return self.model.image(batch.observation)

    def training_step(self, batch: Capture, index: int) -> Tensor:
        image = self.image(batch)
        loss = nn.functional.cross_entropy(self.model.head(image), batch.label)
        if self.recipe.restoration and self.trains_unit:
            loss = loss + self.recipe.restoration * unexplained(image.to(batch.scene.dtype), batch.scene).mean()
        if not torch.isfinite(loss):
            found = float(loss.detach())
            raise ValueError(f"the training loss must stay finite; found {found} at step {self.global_step}")
        self.log("loss", loss, prog_bar=True, batch_size=len(batch.label))
        return loss

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        groups: list[dict[str, Any]] = [{"params": list(self.model.head.parameters()), "lr": recipe.rate}]
        if self.model.unit is not None and self.trains_unit:
            # The unit's few weights are a physical filter bank and a prior; decay would pull them to no image at all.
            unit = {"params": list(self.model.unit.parameters()), "lr": recipe.rate * recipe.unit_rate}
            groups.append({**unit, "weight_decay": 0.0})
        steps = self.steps
        total = steps * recipe.epochs
        wait = recipe.unit_warmup * total  # of the unit, in steps
        if recipe.optimizer == "rmsprop":
            optimizer: torch.optim.Optimizer = RMSpropTF(
                groups, lr=recipe.rate, alpha=0.9, eps=1.0, weight_decay=recipe.weight_decay
            )

            def factor(step: int, wait: float = 0.0) -> float:
                return 0.0 if step < wait else float(0.94 ** (step // steps))

        else:
            optimizer = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay)

            def factor(step: int, wait: float = 0.0) -> float:
                rise = min(max(step + 1 - wait, 0.0) / (recipe.warmup * total + 1), 1.0)
                return float(rise * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0))))

        factors = [factor, lambda step: factor(step, wait)]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factors[: len(groups)])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Capture, device: torch.device, dataloader_idx: int) -> Capture:
        return Capture(batch.observation.to(device), batch.label.to(device), batch.scene.to(device))

    @torch.no_grad()
    def renormalize(self, batches: Iterable[Capture], device: torch.device) -> None:
        """Estimate the running statistics of the head's batch normalization anew, on the first batches.

        They become the averages over these batches of the mean and the (unbiased) variance of each channel. All but the
        batch normalization is in evaluation mode, so that nothing is left to chance; so is everything afterwards.

        Source: Ioffe and Szegedy 2015, alg. 2 (statistics for inference); Li et al. 2016 (anew for other images).
        """
        norms = {module: module.momentum for module in self.model.head.modules() if isinstance(module, _BatchNorm)}
        self.to(device).eval()
        for norm in norms:
            norm.train().reset_running_stats()
            norm.momentum = None  # the plain average
        like = next(self.model.head.parameters())
        for batch in islice(batches, _BATCHES if norms else 0):
            self.model.head(self.image(batch._replace(observation=batch.observation.to(like.device, like.dtype))))
        for norm, momentum in norms.items():
            norm.eval().momentum = momentum


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


class _Average(Callback):
    """Averages weights and running statistics over the steps; see `FineTuning`. A checkpoint holds it as its own."""

    def __init__(self, model: JointModel, decay: float) -> None:
        self.decay = decay
        self.model = AveragedModel(model, multi_avg_fn=self._average, use_buffers=True)

    @torch.no_grad()
    def _average(self, averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        decay = min(self.decay, (1 + int(count)) / (10 + int(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)  # a count

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.model.to(module.device)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.model.update_parameters(module.model)

    def state_dict(self) -> dict[str, Any]:
        return self.model.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.model.load_state_dict(state_dict)


class _Restored:
    """Joins captures to a batch and restores them by a fixed unit, in the process that makes them."""

    def __init__(self, unit: nn.Module) -> None:
        self.unit = unit

    def __call__(self, captures: list[Capture]) -> Capture:
        batch = join(captures)
        with torch.no_grad():
            image = self.unit(batch.observation)
        return batch._replace(observation=replace(batch.observation, signal=image))


@contextmanager
def _frozen(unit: nn.Module | None) -> Iterator[None]:
    """The unit's parameters, if there is one, ask for no gradients; afterwards they do as before."""
    asking = [parameter for parameter in unit.parameters() if parameter.requires_grad] if unit is not None else []
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


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
    freeze_unit: bool = False,
) -> None:
    """Train a model for the task, in place.

    A unit without parameters, such as a `ClassicalUnit`, stays as it is; where there are workers, they restore too.

    Args:
        model: unit (or None) and head.
        captures: training photographs through the camera, with `training=True`.
        recipe: optimizer, rates, schedule, device and precision.
        checkpoint: file kept after every epoch; a training that finds one goes on from it, to the same numbers.
        workers: processes that make captures; 0 makes them in this one.
        progress: show a progress bar.
        first_epoch: number of the first epoch; one that goes on where another training ended sees new noise.
        freeze_unit: train the head alone; the unit stays as it is to the last bit.

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
    unit = model.unit
    frozen = unit if unit is not None and (freeze_unit or not list(unit.parameters())) else None
    # What is the same on every device can be done where the captures are made, on the cores that wait otherwise.
    restore = _Restored(unit) if workers and unit is not None and not [*unit.parameters(), *unit.buffers()] else None
    batches = loader(captures, min(recipe.batch, len(captures)), workers, restore or join)
    # Convolutions of the head run about twice as fast in this layout on the CPU, and faster on GPUs.
    model.head.to(memory_format=torch.channels_last)
    average = _Average(model, recipe.ema) if recipe.ema else None
    callbacks: list[Callback] = [_Epochs(captures, checkpoint, first_epoch), *([average] if average else [])]
    if progress:
        callbacks.append(RichProgressBar(leave=True))
    quiet = logging.getLogger("lightning.pytorch")
    level = quiet.level
    quiet.setLevel(logging.WARNING)
    with warnings.catch_warnings(), _several_devices(), _frozen(frozen):
        # Captures are cheap compared with the training step, so no worker processes are wanted unless asked for.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")
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
            steps = -(-len(batches) // trainer.world_size)
            module = TaskTraining(model, recipe, steps, frozen=frozen is not None, restored=restore is not None)
            resume = checkpoint if checkpoint is not None and checkpoint.is_file() else None
            if recipe.renormalize and resume is None:
                module.renormalize(batches, trainer.strategy.root_device)
            # Lightning keeps whatever mode it finds, and a model from a file comes in evaluation mode.
            model.train()
            if frozen is not None:
                frozen.eval()
            trainer.fit(module, batches, ckpt_path=resume, weights_only=True)
        finally:
            quiet.setLevel(level)
    if not trainer.is_global_zero:
        # Lightning starts the command anew for every further device; only the first process goes on with the study.
        raise SystemExit(0)
    if average is not None:
        model.load_state_dict(average.model.module.state_dict())
        if recipe.renormalize:
            captures.set_epoch(first_epoch + recipe.epochs)
            module.renormalize(batches, trainer.strategy.root_device)
    model.to("cpu").eval()
