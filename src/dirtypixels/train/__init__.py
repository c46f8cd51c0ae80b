"""Training: low-level units for restoration quality, classifiers and joint models for the task."""

from dirtypixels.train.finetune import finetune
from dirtypixels.train.patches import PatchCaptures
from dirtypixels.train.pretrain import pretrain, pretrain_adam
from dirtypixels.train.quality import psnr, psnr_up_to_gain

__all__ = ["PatchCaptures", "finetune", "pretrain", "pretrain_adam", "psnr", "psnr_up_to_gain"]
