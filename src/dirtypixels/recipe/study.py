"""A whole study."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from dirtypixels.recipe.conditions import Condition, Grid, Light, Situation
from dirtypixels.recipe.parts import Count, Data, FineTuning, Head, Part, Pretraining
from dirtypixels.recipe.units import Deblur, Unit

Method = Literal["pretrained", "nlm", "bm3d", "hqs", "unit", "finetuned", "joint"]


class Recipe(Part):
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
        whole = [name for name in limits if name not in ("nlm", "bm3d", "hqs", "unit")]
        if whole:
            raise ValueError(f"limits must be for nlm, bm3d, hqs or unit, others are compared with; found {whole}")
        return limits

    def unit_for(self, situation: Situation) -> Unit | Deblur:
        """The low-level unit that a situation asks for: one that deblurs where there is blur."""
        return self.deblur if situation.is_blurred else self.unit

    @model_validator(mode="after")
    def _light_holds_photographs_out(self) -> Recipe:
        if self.light is not None and self.data.train is None:
            raise ValueError("data.train must be given with light, which holds out training photographs after those")
        if self.light is not None:
            unit = self.unit_for(self.light.whole)
            if unit.features:
                raise ValueError(f"features of the unit must be 0 with light, which has its own; found {unit.features}")
        return self

    @model_validator(mode="after")
    def _a_name_means_one_condition(self) -> Recipe:
        # What is judged is kept under its condition's name, which the conditions and the grid share.
        named: dict[str, Situation] = {c.name: c for c in self.conditions}
        others = [*(self.grid.conditions if self.grid else ()), *(self.light.situations if self.light else ())]
        other = [c for c in others if named.setdefault(c.name, c) != c]
        if other:
            raise ValueError(
                f"a name must mean one condition; found ({other[0]}) in grid or light and ({named[other[0].name]}) "
                "elsewhere"
            )
        return self
