"""Recipes: everything that decides a study's numbers, as one checked YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

Method = Literal["pretrained", "nlm", "bm3d", "unit", "finetuned", "joint"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Part):
    """One situation to photograph in: a name and a light level in lux (None: no noise at all)."""

    name: str = Field(pattern=r"^[A-Za-z0-9._+-]+$")
    lux: Positive | None

    @property
    def is_clean(self) -> bool:
        return self.lux is None


class Data(_Part):
    """The photographs: a folder `root/{train,val}/<class>/`, or generated road signs."""

    kind: Literal["folder", "signs"] = "signs"
    root: Path | None = None
    size: Count = 64
    train: Count | None = None
    test: Count | None = None
    #: "val" judges on the test photographs; "held_out" on training photographs that no training uses, for tuning.
    judge: Literal["val", "held_out"] = "val"
    #: keep the decoded photographs in memory (8 bits a value); not for millions of them
    memory: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Data:
        if self.kind == "folder" and self.root is None:
            raise ValueError("data.root must be given for data of kind 'folder'")
        if self.kind == "signs" and (self.train is None or self.test is None):
            raise ValueError("data.train and data.test must be given for data of kind 'signs'")
        if self.judge == "held_out" and (self.train is None or self.test is None):
            raise ValueError("data.train and data.test must be given to judge on held-out photographs")
        return self


class Head(_Part):
    """The classifier: a network of timm and its weights.

    `classes` "imagenet" keeps the rows of the ImageNet classes that the data's folders name by WordNet id, so that the
    network needs no training; "new" starts a final layer of its own.
    """

    network: str = "tf_efficientnet_lite0"
    weights: str | None = "imagenet"
    classes: Literal["imagenet", "new", "all"] = "new"


class Unit(_Part):
    """The low-level unit: unrolled half-quadratic splitting."""

    layers: Count = 1
    tied: bool = False
    filter_size: int = Field(default=5, ge=3)
    hidden: Count = 24
    gap: Count = 8


class Pretraining(_Part):
    """L-BFGS on the average PSNR of patches; pictures from a folder, or scikit-image's own."""

    folder: Path | None = None
    patches: Count = 2000
    size: Count = 32
    reduce: Count = 1
    iterations: Count = 400


class FineTuning(_Part):
    """Training for the task.

    adamw: AdamW, warm-up, cosine to 0 over all steps. rmsprop: TensorFlow's RMSProp (decay 0.9, epsilon 1), the rate
    times 0.94 after every epoch, as in the paper.
    """

    optimiser: Literal["adamw", "rmsprop"] = "adamw"
    epochs: Count = 3
    batch: Count = 32
    rate: Positive = 1e-3
    #: learning rate of the low-level unit, as a multiple of the head's
    unit_rate: float = Field(default=3.0, ge=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    #: mirror half of the photographs
    flip: bool = True
    #: processes that make captures beside the training; 0 for none
    workers: int = Field(default=0, ge=0)
    #: devices and precision, as Lightning names them
    accelerator: str = "auto"
    devices: int | str = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"


class Recipe(_Part):
    """A study: photographs, a camera, the conditions, and the methods to compare."""

    name: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    camera: str = "nexus-6p-rear"
    transfer: Literal["linear", "srgb"] = "linear"
    conditions: tuple[Condition, ...] = Field(min_length=1)
    methods: tuple[Method, ...] = Field(min_length=1)
    data: Data
    head: Head = Head()
    unit: Unit = Unit()
    pretraining: Pretraining = Pretraining()
    clean_training: FineTuning | None = None
    finetuning: FineTuning = FineTuning()
    #: judge a slow method on this many photographs only, the first in the data set's order
    limits: dict[Method, Count] = {}
    notes: tuple[str, ...] = ()

    @field_validator("conditions")
    @classmethod
    def _distinct(cls, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        names = [c.name for c in conditions]
        if len(set(names)) < len(names):
            raise ValueError(f"conditions must have different names; found {names}")
        return conditions

    @field_validator("limits")
    @classmethod
    def _limits_leave_what_others_are_compared_with(cls, limits: dict[Method, int]) -> dict[Method, int]:
        whole = [name for name in limits if name not in ("nlm", "bm3d", "unit")]
        if whole:
            raise ValueError(f"limits must be for nlm, bm3d or unit, others are compared with; found {whole}")
        return limits


def load_recipe(path: str | Path, changes: tuple[str, ...] | list[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file. Folders in it are relative to the file.
        changes: "key=value" with dots for nested keys, e.g. "finetuning.rate=0.002"; the value is YAML.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file or a change is not valid; the message names the key, what was found and what is allowed.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"recipe must be a YAML file; found nothing at {str(file)!r}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe {str(file)!r} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"recipe {str(file)!r} must hold keys and values; found {type(content).__name__}")
    for change in changes:
        _apply(content, change)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}{_allowed(e)} (found {e.get('input')!r})"
            for e in error.errors()
        )
        raise ValueError(f"recipe {str(file)!r} is not valid: {wrong}") from error
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"root": _beside(file, recipe.data.root)}),
            "pretraining": recipe.pretraining.model_copy(update={"folder": _beside(file, recipe.pretraining.folder)}),
        }
    )


def _allowed(error: ErrorDetails) -> str:
    """Which keys there are, where a key is wrong; in all other cases the error's message says what is allowed."""
    if error["type"] != "extra_forbidden":
        return ""
    part: Any = Recipe
    if len(error["loc"]) > 1:
        annotation = Recipe.model_fields[str(error["loc"][0])].annotation
        part = next(t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, _Part))
    return f"; the keys are {', '.join(part.model_fields)}"


def _apply(content: dict[str, object], change: str) -> None:
    key, separator, value = change.partition("=")
    if not separator or not key:
        raise ValueError(f"a change must read key=value; found {change!r}")
    *parents, last = key.strip().split(".")
    at: dict[str, object] = content
    for parent in parents:
        inner = at.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ValueError(f"a change must name a key of the recipe; found {key!r}, where {parent!r} is a value")
        at = inner
    try:
        at[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"the value of a change must be YAML; found {change!r}") from error


def _beside(file: Path, folder: Path | None) -> Path | None:
    return folder if folder is None or folder.is_absolute() else (file.parent / folder).resolve()
