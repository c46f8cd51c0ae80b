"""A whole study."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from dirtypixels.recipe.conditions import AnyCondition, Condition, Grid, Light
from dirtypixels.recipe.parts import Count, Data, FineTuning, Head, Name, Part, Pretraining
from dirtypixels.recipe.units import AnyUnit, BlurredUnit, Deblur, Network, ProximalGradient, SharpUnit, Unit

Method = Literal[
    "pretrained", "nlm", "bm3d", "hqs", "unit",
    "finetuned", "nlm_finetuned", "bm3d_finetuned", "hqs_finetuned", "unit_finetuned", "joint",
]  # fmt: skip
"""What gives the classifier its image, and what is trained for a condition.

"pretrained": the signal as it was measured, and the classifier as it comes.
"nlm", "bm3d" (without blur), "hqs" (with blur), "unit": a restoration with no training for the task, before that
    classifier; the unit is pretrained for PSNR.
"finetuned": the classifier, trained on the signal as it was measured.
"nlm_finetuned", "bm3d_finetuned", "hqs_finetuned", "unit_finetuned": one of these restorations, frozen, and the
    classifier, trained on what it puts out.
"joint": the pretrained unit and the classifier, trained together.
"""

TRAINED: tuple[Method, ...] = (
    "finetuned", "nlm_finetuned", "bm3d_finetuned", "hqs_finetuned", "unit_finetuned", "joint",
)  # fmt: skip
"""The methods that are trained for a condition, all on the same photographs with the same `finetuning`."""


class Recipe(Part):
    """A study: photographs, a camera, the conditions, and the methods to compare.

    unit, deblur: the low-level unit without blur and with it; or a network in its place, by its `kind`.
    units, deblurs: several of them by name in place of the one, to compare: "unit", "unit_finetuned" and "joint" are
        evaluated with each of `units` in every condition without blur, and with each of `deblurs` in every condition
        with it.
    trainings: how often everything that is trained for a condition is trained, with the seeds seed, seed + 1 ...
        They decide what chance does in a training: order, noise, mirroring, dropout, and a final layer that starts
        anew. Evaluated photographs and their noise, the pretrained classifier and the pretrained units are those of
        `seed` for all, so that an interval over trainings does not hold the chance of pretraining.
    limits: a slow method is evaluated on this many photographs only, the first in the data set's order.

    >>> recipe = Recipe(name="tiny", conditions=(Condition.of(3),), methods=("finetuned", "joint"),
    ...                 data=Data(train=100, test=50))
    >>> [condition.name for condition in recipe.conditions], list(recipe.units_for(recipe.conditions[0]))
    (['3lux'], [None])
    """

    name: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    trainings: Count = 1
    camera: str = "nexus-6p-rear"
    transfer: Literal["linear", "srgb"] = "linear"
    conditions: tuple[Condition, ...] = Field(min_length=1)
    methods: tuple[Method, ...] = Field(min_length=1)
    data: Data
    head: Head = Head()
    unit: SharpUnit = Unit()
    deblur: BlurredUnit = Deblur()
    units: dict[Name, SharpUnit] = Field(default_factory=dict)
    deblurs: dict[Name, BlurredUnit] = Field(default_factory=dict)
    pretraining: Pretraining = Pretraining()
    clean_training: FineTuning | None = None
    finetuning: FineTuning = FineTuning()
    limits: dict[Method, Count] = Field(default_factory=dict)
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
        slow = ("nlm", "bm3d", "hqs", "unit", "nlm_finetuned", "bm3d_finetuned", "hqs_finetuned")
        whole = [name for name in limits if name not in slow]
        if whole:
            raise ValueError(
                "limits must be for nlm, bm3d, hqs or unit, or for one of the first three with _finetuned, others are "
                f"compared with; found {whole}"
            )
        return limits

    def units_for(self, condition: AnyCondition) -> dict[str | None, AnyUnit]:
        """The low-level units to compare in a condition, by name: those that deblur where there is blur.

        The only one has the name None.
        """
        one: AnyUnit = self.deblur if condition.is_blurred else self.unit
        several: Mapping[str, AnyUnit] = self.deblurs if condition.is_blurred else self.units
        return dict(several.items()) if several else {None: one}

    def all_conditions(self) -> Iterator[AnyCondition]:
        """Everything that is trained for or evaluated in, in any part of the study; some of it more than once."""
        yield from self.conditions
        yield from self.grid.conditions if self.grid else ()
        yield from self.light.conditions if self.light else ()

    def condition(self, name: str) -> AnyCondition:
        """The condition, or range of light, of a name."""
        return next(c for c in self.all_conditions() if c.name == name)

    @field_validator("units", "deblurs")
    @classmethod
    def _names_are_no_trainings(cls, units: dict[str, AnyUnit]) -> dict[str, AnyUnit]:
        taken = [name for name in units if re.search(r"-training\d+$", name)]
        if taken:
            raise ValueError(f"names must not end like a further training's folder, '-training2'; found {taken}")
        return units

    @model_validator(mode="after")
    def _one_unit_or_several(self) -> Recipe:
        for one, several, default in (("unit", self.units, Unit()), ("deblur", self.deblurs, Deblur())):
            if several and getattr(self, one) != default:
                raise ValueError(f"{one} must not be given with {one}s, which names several; found both")
        if self.light is not None and (self.units or self.deblurs):
            raise ValueError("light must be of a single unit; found units or deblurs, which name several")
        return self

    @model_validator(mode="after")
    def _a_data_term_knows_the_blur(self) -> Recipe:
        for blur, units in (
            (False, {"unit": self.unit, **{f"units.{name}": unit for name, unit in self.units.items()}}),
            (True, {"deblur": self.deblur, **{f"deblurs.{name}": unit for name, unit in self.deblurs.items()}}),
        ):
            for key, unit in units.items():
                if isinstance(unit, ProximalGradient) and unit.blur != blur:
                    raise ValueError(f"{key}.blur must be {str(blur).lower()}; found {str(unit.blur).lower()}")
        return self

    @model_validator(mode="after")
    def _light_is_trained_once(self) -> Recipe:
        if self.light is not None and self.trainings > 1:
            raise ValueError(
                f"trainings must be 1 with light, which has a training of each model; found {self.trainings}"
            )
        return self

    @model_validator(mode="after")
    def _light_holds_photographs_out(self) -> Recipe:
        if self.light is not None and self.data.train is None:
            raise ValueError("data.train must be given with light, which holds out training photographs after those")
        if self.light is not None:
            (unit,) = self.units_for(self.light.whole).values()
            if isinstance(unit, Network):
                if "conditioned" in self.light.models:
                    raise ValueError(
                        "unit must be an unrolled one for light's conditioned models, which learn features of the "
                        f"noise; found kind {unit.kind!r} (leave 'conditioned' out of light.models)"
                    )
            elif unit.features:
                raise ValueError(f"features of the unit must be 0 with light, which has its own; found {unit.features}")
        return self

    @model_validator(mode="after")
    def _a_name_means_one_condition(self) -> Recipe:
        # Predictions are kept under their condition's name, which all parts of the study share.
        named: dict[str, AnyCondition] = {}
        other = [c for c in self.all_conditions() if named.setdefault(c.name, c) != c]
        if other:
            raise ValueError(
                f"a name must mean one condition; found ({other[0]}) in grid or light and ({named[other[0].name]}) "
                "elsewhere"
            )
        return self
