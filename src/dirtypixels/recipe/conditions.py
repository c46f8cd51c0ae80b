"""Conditions to photograph in: light and a place in the field of view; and sets of them to evaluate in."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from dirtypixels.recipe.parts import Count, Name, Part, Positive

Place = Literal["center", "offaxis", "periphery"]


def _place_or_pair(value: object) -> object:
    # Said here in one sentence; a union would complain of each of its members.
    pair = isinstance(value, list | tuple) and [isinstance(x, float | int) and 0 <= x <= 1 for x in value]
    if pair != [True, True] and value not in get_args(Place):
        raise ValueError("must be 'center', 'offaxis', 'periphery', or [row, column], each in [0, 1]")
    return value


#: where in the field of view the lens's PSF is taken: a name, or (row, column), each in [0, 1] from the top left
Position = Annotated[Place | tuple[float, float], BeforeValidator(_place_or_pair)]


class Condition(Part):
    """One condition to photograph in: a name, a light level in lux (None: no noise at all), and where in the field of
    view the lens's PSF is taken (None: a sharp lens).

    >>> Condition.of(6, "periphery")
    Condition(name='6lux+periphery', lux=6.0, position='periphery')
    """

    name: Name
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


class LightRange(Part):
    """Any light between two levels in lux, log-uniform, to train one model for; position as for a condition.

    >>> LightRange(lux=(2, 200)).name
    '2-200lux'
    """

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


AnyCondition = Condition | LightRange
"""What a model is trained for."""


class Grid(Part):
    """The pretrained classifier over light x PSF, as in the paper's Table 1.

    lux: light levels (None: no noise), down.
    positions: in the field of view (None: a sharp lens), across.
    limit: photographs to evaluate in each, the first in the data set's order; None for all.

    >>> [condition.name for condition in Grid(lux=(3, None), positions=(None, "center")).conditions]
    ['3lux', '3lux+center', 'clean', 'clean+center']
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


class Light(Part):
    """One model for every light, against specialists for single levels.

    range: of lux, log-uniform over the training photographs.
    specialists: light levels, with one jointly trained model for each.
    evaluated: light levels that every model is evaluated at.
    limit: photographs to evaluate, the first in the data set's order; None for all.
    models: trained over the whole range: "conditioned" joint models know the noise level, "unconditioned" ones do not,
        "finetuned" ones have no unit.
    rounds: how often the conditioned model is trained in a row, each time with the whole schedule; it is evaluated
        after each.
    features: what the conditioned unit learns of the noise level, see `Unit`.
    held_out: training photographs that no training uses, to calibrate confidence on.
    wrong_at, factors: light levels at which alpha and sigma are given too small or too large by these factors.
    wrong_limit: photographs to evaluate with wrong noise, the first in the data set's order; None for all.

    >>> light = Light(range=(2, 200), specialists=(3, 25), evaluated=(2, 3, 25, 200))
    >>> light.whole.name, light.models
    ('2-200lux', ('conditioned',))
    """

    range: tuple[Positive, Positive]
    specialists: tuple[Positive, ...] = Field(min_length=1)
    evaluated: tuple[Positive, ...] = Field(min_length=1)
    limit: Count | None = None
    models: tuple[Literal["finetuned", "unconditioned", "conditioned"], ...] = ("conditioned",)
    position: Position | None = None
    rounds: Count = 1
    features: Count = 8
    held_out: Count = 500
    wrong_at: tuple[Positive, ...] = ()
    factors: tuple[Positive, ...] = (0.25, 0.5, 1, 2, 4)
    wrong_limit: Count | None = None

    @property
    def whole(self) -> LightRange:
        """The range that the models for every light are trained over."""
        return LightRange(lux=self.range, position=self.position)

    @property
    def conditions(self) -> tuple[AnyCondition, ...]:
        """Everything that is trained for or evaluated in."""
        return (self.whole, *map(self.at, self.evaluated))

    def at(self, lux: float) -> Condition:
        """The condition of one light level."""
        return Condition.of(lux, self.position)

    @field_validator("specialists", "evaluated", "models", "wrong_at", "factors")
    @classmethod
    def _once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"must hold each value once; found {list(values)}")
        return values

    @model_validator(mode="after")
    def _fits(self) -> Light:
        LightRange(lux=self.range)
        missing = [lux for lux in (*self.specialists, *self.wrong_at) if lux not in self.evaluated]
        if missing:
            raise ValueError(f"evaluated must hold the lux of all specialists and of wrong_at; {missing} are missing")
        if 1 not in self.factors:
            raise ValueError(f"factors must hold 1, which the others are compared with; found {list(self.factors)}")
        return self
