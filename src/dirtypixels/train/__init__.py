"""Training: low-level units for restoration quality, classifiers and joint models for the task."""

from dirtypixels.train.finetune import finetune
from dirtypixels.train.pretrain import pretrain
from dirtypixels.train.quality import psnr, psnr_up_to_gain

__all__ = ["finetune", "pretrain", "psnr", "psnr_up_to_gain"]
