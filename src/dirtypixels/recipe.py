"""Recipes: everything that decides a study's numbers, as one checked YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

Method = Literal["pretrained", "nlm", "bm3d", "hqs", "unit", "finetuned", "joint"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Place = Literal["center", "offaxis", "periphery"]


def _place_or_pair(value: object) -> object:
    # Said here in one sentence; a union would complain of each of its members.
    pair = isinstance(value, list | tuple) and [isinstance(x, float | int) and 0 <= x <= 1 for x in value]
    if pair != [True, True] and value not in get_args(Place):
        raise ValueError("must be 'center', 'offaxis', 'periphery', or [row, column], each in [0, 1]")
    return value


#: where in the field of view the lens's PSF is taken: a name, or (row, column), each in [0, 1] from the top left
Position = Annotated[Place | tuple[float, float], BeforeValidator(_place_or_pair)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Part):
    """One situation to photograph in: a name, a light level in lux (None: no noise at all), and where in the field of
    view the lens's PSF is taken (None: a sharp lens)."""

    name: str = Field(pattern=r"^[A-Za-z0-9._+-]+$")
    lux: Positive | None
    position: Position | None = None

    @property
    def is_blurred(self) -> bool:
        return self.position is not None

    @property
    def is_clean(self) -> bool:
        """Whether the capture is the scene itself: no noise and no blur."""
        return self.lux is None and self.position is None

    @classmethod
    def of(cls, lux: float | None, position: Position | None = None) -> Condition:
        """The condition under its usual name: "3lux", "3lux+offaxis", "clean", "clean+periphery", "6lux+0.9-0.75"."""
        light = "clean" if lux is None else f"{lux:g}lux"
        place = position if position is None or isinstance(position, str) else "-".join(f"{x:g}" for x in position)
        return cls(name=light if place is None else f"{light}+{place}", lux=lux, position=position)


class LightRange(_Part):
    """Any light between two levels in lux, log-uniform, to train one model for; position as for a condition."""

    lux: tuple[Positive, Positive]
    position: Position | None = None

    @field_validator("lux")
    @classmethod
    def _rises(cls, lux: tuple[float, float]) -> tuple[float, float]:
        if not lux[0] < lux[1]:
            raise ValueError(f"must be two light levels, the lower one first; found {list(lux)}")
        return lux

    @property
    def name(self) -> str:
        """ "2-200lux", "2-200lux+offaxis"."""
        high = Condition.of(self.lux[1], self.position).name
        return f"{self.lux[0]:g}-{high}"

    @property
    def is_blurred(self) -> bool:
        return self.position is not None


Situation = Condition | LightRange


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
    """The low-level unit of conditions without blur, a denoiser: unrolled half-quadratic splitting."""

    layers: Count = 1
    tied: bool = False
    filter_size: int = Field(default=5, ge=3)
    hidden: Count = 24
    #: size of what the unit learns of the noise level that it is told; 0 for a unit that is told nothing
    features: int = Field(default=0, ge=0)
    gap: Count = 8


class Deblur(_Part):
    """The low-level unit of blurred conditions, which deblurs and denoises: unrolled half-quadratic splitting.

    colour: "merged" sums the responses over the channels in the prox; "shared" treats each channel alike.
    weighting: of the data term by the noise that the capture knows: not at all, by image, or by pixel.
    """

    layers: Count = 1
    tied: bool = False
    filter_size: int = Field(default=5, ge=3)
    hidden: Count = 24
    #: size of what the unit learns of the noise level that it is told; 0 for a unit that is told nothing
    features: int = Field(default=0, ge=0)
    colour: Literal["shared", "merged"] = "merged"
    weighting: Literal["none", "image", "pixel"] = "image"


class Pretraining(_Part):
    """L-BFGS on the average PSNR of patches; pictures from a folder, or scikit-image's own."""

    folder: Path | None = None
    patches: Count = 2000
    size: Count = 32
    reduce: Count = 1
    iterations: Count = 400
    #: colour patches, and their side in pixels, for the unit that deblurs
    blur_patches: Count = 200
    blur_size: Count = 64


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


class Grid(_Part):
    """The pretrained classifier over light x PSF, as in the paper's Table 1.

    lux: light levels (None: no noise), down.
    positions: in the field of view (None: a sharp lens), across.
    limit: photographs to judge in each, the first in the data set's order; None for all.
    """

    lux: tuple[Positive | None, ...]
    positions: tuple[Position | None, ...]
    limit: Count | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Grid:
        names = [c.name for c in self.conditions]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"lux and positions must hold one or more values, each once; they give {names}")
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """One for each light level and position, row by row, under its usual name."""
        return tuple(Condition.of(lux, position) for lux in self.lux for position in self.positions)


class Light(_Part):
    """One model for every light, against specialists for single levels.

    range: of lux, log-uniform over the training photographs.
    specialists: light levels, with one jointly trained model for each.
    judged: light levels that every model is judged at.
    models: trained over the whole range: "conditioned" joint models know the noise level, "unconditioned" ones do not,
        "finetuned" ones have no unit.
    features: what the conditioned unit learns of the noise level, see `Unit`.
    held_out: training photographs that no training uses, to calibrate confidence on.
    wrong_at, factors: light levels at which alpha and sigma are given too small or too large by these factors.
    """

    range: tuple[Positive, Positive]
    specialists: tuple[Positive, ...] = Field(min_length=1)
    judged: tuple[Positive, ...] = Field(min_length=1)
    models: tuple[Literal["finetuned", "unconditioned", "conditioned"], ...] = ("conditioned",)
    position: Position | None = None
    features: Count = 8
    held_out: Count = 500
    wrong_at: tuple[Positive, ...] = ()
    factors: tuple[Positive, ...] = (0.25, 0.5, 1, 2, 4)

    @field_validator("specialists", "judged", "models", "wrong_at", "factors")
    @classmethod
    def _once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"must hold each value once; found {list(values)}")
        return values

    @model_validator(mode="after")
    def _fits(self) -> Light:
        LightRange(lux=self.range)
        unjudged = [lux for lux in (*self.specialists, *self.wrong_at) if lux not in self.judged]
        if unjudged:
            raise ValueError(f"judged must hold the lux of all specialists and of wrong_at; {unjudged} are missing")
        if 1 not in self.factors:
            raise ValueError(f"factors must hold 1, which the others are compared with; found {list(self.factors)}")
        return self


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
    deblur: Deblur = Deblur()
    pretraining: Pretraining = Pretraining()
    clean_training: FineTuning | None = None
    finetuning: FineTuning = FineTuning()
    #: judge a slow method on this many photographs only, the first in the data set's order
    limits: dict[Method, Count] = {}
    grid: Grid | None = None
    light: Light | None = None
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
        whole = [name for name in limits if name not in ("nlm", "bm3d", "hqs", "unit")]
        if whole:
            raise ValueError(f"limits must be for nlm, bm3d, hqs or unit, others are compared with; found {whole}")
        return limits

    @model_validator(mode="after")
    def _light_holds_photographs_out(self) -> Recipe:
        if self.light is not None and self.data.train is None:
            raise ValueError("data.train must be given with light, which holds out training photographs after those")
        return self

    @model_validator(mode="after")
    def _a_name_means_one_condition(self) -> Recipe:
        # What is judged is kept under its condition's name, which the conditions and the grid share.
        named = {c.name: c for c in self.conditions}
        other = [c for c in (self.grid.conditions if self.grid else ()) if named.get(c.name, c) != c]
        if other:
            raise ValueError(
                f"a name must mean one condition; found ({other[0]}) in grid and ({named[other[0].name]}) in conditions"
            )
        return self


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
            f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}{_allowed(e)}"
            + (f" (found {e.get('input')!r})" if e["loc"] else "")
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
