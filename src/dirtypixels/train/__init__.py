"""Training: low-level units for restoration quality, classifiers and joint models for the task."""

from dirtypixels.train.finetune import finetune
from dirtypixels.train.pretrain import pretrain, psnr

__all__ = ["finetune", "pretrain", "psnr"]
