"""Training: low-level units for restoration quality, classifiers and joint models for the task."""

from dirtypixels.train.finetune import finetune
from dirtypixels.train.patches import PatchCaptures
from dirtypixels.train.pretrain import pretrain, pretrain_adam, psnr

__all__ = ["PatchCaptures", "finetune", "pretrain", "pretrain_adam", "psnr"]
