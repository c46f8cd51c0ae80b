"""What every part of a recipe is, and the parts about data and training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+$")]
"""What a folder or file may be called everywhere."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """The photographs: a folder `root/{train,val}/<class>/`, or generated road signs.

    >>> Data(size=32, train=100, test=50).kind
    'signs'
    """

    kind: Literal["folder", "signs"] = "signs"
    root: Path | None = None
    size: Count = 64
    train: Count | None = None
    test: Count | None = None
    #: "val": the test photographs; "held_out": training photographs that no training uses, for tuning.
    evaluate_on: Literal["val", "held_out"] = "val"
    #: keep the decoded photographs in memory (8 bits a value); not for millions of them
    memory: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Data:
        if self.kind == "folder" and self.root is None:
            raise ValueError("data.root must be given for data of kind 'folder'")
        if self.kind == "signs" and (self.train is None or self.test is None):
            raise ValueError("data.train and data.test must be given for data of kind 'signs'")
        if self.evaluate_on == "held_out" and (self.train is None or self.test is None):
            raise ValueError("data.train and data.test must be given to evaluate on held-out photographs")
        return self


class Head(Part):
    """The classifier: a network of timm and its weights.

    `classes` "imagenet" keeps the rows of the ImageNet classes that the data's folders name by WordNet id, so that the
    network needs no training; "new" starts a final layer of its own. `upsample` enlarges the images for the network, by
    a whole factor, after the low-level unit: networks for photographs see little in 32 pixels.

    >>> Head(network="resnet18").weights
    'imagenet'
    """

    network: str = "tf_efficientnet_lite0"
    weights: str | None = "imagenet"
    classes: Literal["imagenet", "new", "all"] = "new"
    upsample: Count = 1


class Pretraining(Part):
    """Training of the low-level units for the average PSNR of patches of pictures.

    folder: the pictures; scikit-image's own if None.
    reduce: the pictures are made smaller by this factor first.
    optimizer: "lbfgs", on a set of captures that stays the same, as in the paper; "adam", on new captures in every
        step.

    For "lbfgs" only:

    iterations: of L-BFGS.
    patches, size: how many, gray where the unit treats the channels alike, and their side in pixels.
    blur_patches, blur_size: the same for the unit that deblurs.

    For "adam" only:

    steps: of Adam, with `batch` captures each.
    color_size: side of the patches in pixels, always in color.
    rate: learning rate at its highest, after a linear rise over the first tenth; then it falls as a cosine.
    weight_rate: learning rate of the logarithms of weights (`log_lambda`, `log_beta`, ...), as a multiple of the rate.
    clip: highest norm of the gradient of the PSNR in dB; the usual ones are 2 to 10.
    ema: decay of the average over the steps that the parameters are taken from; 0 for no average.
    validate_every: steps between two measurements of the PSNR on held-out pictures; the best unit is kept.
    held_out: share of the pictures that is held out for it.

    >>> Pretraining(patches=500).iterations, Pretraining(optimizer="adam", steps=500).batch
    (400, 16)
    """

    folder: Path | None = None
    reduce: Count = 1
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    iterations: Count = 400
    patches: Count = 2000
    size: Count = 32
    blur_patches: Count = 200
    blur_size: Count = 64
    steps: Count = 2000
    batch: Count = 16
    color_size: Count = 64
    rate: Positive = 2e-3
    weight_rate: Positive = 10
    clip: Positive = 10.0
    ema: float = Field(default=0.999, ge=0, lt=1)
    validate_every: Count = 100
    held_out: float = Field(default=0.1, gt=0, le=0.5)


class FineTuning(Part):
    """Training for the task.

    adamw: AdamW, warm-up, cosine to 0 over all steps. rmsprop: TensorFlow's RMSProp (decay 0.9, epsilon 1), the rate
    times 0.94 after every epoch, as in the paper.

    What keeps, in a joint training, the unit's restoration and the head's knowledge; all of it is off by default:

    unit_warmup: share of all steps in which the unit's rate stays 0, while the head adapts to what the unit gives. Then
        the rate rises over the share `warmup` to the head's schedule (adamw), or is at once the usual one (rmsprop).
    restoration: weight mu of the scene x behind a capture in the loss, for the image u of a unit that is trained:
        ``cross-entropy + mu mean(1 - r(u, x)^2)``, r the correlation of u and x over channels and pixels, the mean over
        a batch. ``1 - r^2`` in [0, 1] is the share of the scene's variance that the best gain and offset of u leave.
    ema: decay d of an exponential moving average of all weights and running statistics, which the model holds in the
        end: after step t + 1 ``average = d_t average + (1 - d_t) weights, d_t = min(d, (1 + t) / (10 + t))``, from the
        weights after step 1 on. 0 keeps the weights of the last step.
    renormalize: estimate the running statistics of the head's batch normalization anew, on training photographs as the
        head sees them: before the training, and for the averaged weights after it.

    >>> FineTuning(epochs=5).optimizer
    'adamw'
    """

    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    epochs: Count = 3
    batch: Count = 32
    rate: Positive = 1e-3
    #: learning rate of the low-level unit, as a multiple of the head's
    unit_rate: float = Field(default=3.0, ge=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    unit_warmup: float = Field(default=0.0, ge=0, lt=1)
    restoration: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    ema: float = Field(default=0.0, ge=0, lt=1)
    renormalize: bool = False
    #: mirror half of the photographs
    flip: bool = True
    #: processes that make captures while the training runs; 0 for none
    workers: int = Field(default=0, ge=0)
    #: devices and precision, as Lightning names them
    accelerator: str = "auto"
    devices: int | str = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
