"""light.json: one model for every light against specialists, with every number's model, light and count."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from dirtypixels.study import records, selective
from dirtypixels.study.records import Record
from dirtypixels.study.results import Difference, Estimate

Kind = Literal["pretrained", "specialist", "finetuned", "unconditioned", "conditioned", "ensemble"]
TRUE_NOISE = "true noise"
"""The reference of a mismatch: the same model, told the true alpha and sigma."""
CURVE_POINTS = 25


class LightCell(Record):
    """One model at one light level: what `count` photographs gave.

    Args:
        model: its name, such as "specialist 3 lux".
        kind: what it is. "specialist": a unit and a classifier trained for one light level; "finetuned": a classifier
            with no unit, trained on noisy captures; "unconditioned" and "conditioned": a unit and a classifier trained
            over a range of light, without and with alpha and sigma as the unit's inputs; "ensemble": the most
            confident of several models; "pretrained": a classifier that never saw noise.
        trained_lux: the light of its training in lux, or the ends of a range of it; None where it has none.
        judged_lux: the light of the captures in lux.
        count: photographs judged, > 0.
        top1: fraction of them named right.
        difference: paired, to the specialist of the judged light; None for that one, or where there is none.
        seconds_per_image: time for one photograph in s; None where not measured.
        passes: the networks run for a photograph.
        calibration_error, calibration_error_after: expected calibration error before and after the temperature, in
            [0, 1]; None where not measured.
        temperature: what the logits were divided by, > 0; None where it was not fitted, and for an ensemble, whose
            members have their own.

    Raises:
        ValueError: a number is out of range, trained_lux does not suit the kind, or the difference does not belong to
            this cell.
    """

    model: str = Field(min_length=1)
    kind: Kind
    trained_lux: float | tuple[float, float] | None
    judged_lux: float = Field(gt=0)
    count: int = Field(gt=0)
    top1: Estimate
    difference: Difference | None
    seconds_per_image: float | None = Field(ge=0)
    passes: int = Field(ge=1)
    calibration_error: float | None = Field(default=None, ge=0, le=1)
    calibration_error_after: float | None = Field(default=None, ge=0, le=1)
    temperature: float | None = Field(default=None, gt=0)

    @property
    def is_at_home(self) -> bool:
        """Whether this is the specialist of the judged light."""
        return self.kind == "specialist" and self.trained_lux == self.judged_lux

    @model_validator(mode="after")
    def _check(self) -> Self:
        _fraction("top1", self.top1)
        _belongs(self.difference, self.count, self.model)
        if self.is_at_home and self.difference is not None:
            raise ValueError(f"difference must be None for the specialist of {self.judged_lux:g} lux itself")
        lux = self.trained_lux
        ends = (lux,) if isinstance(lux, float) else lux or ()
        if any(end <= 0 for end in ends) or (len(ends) == 2 and ends[0] >= ends[1]):
            raise ValueError(f"trained_lux must be above 0, and a range must rise; found {lux}")
        if self.kind == "specialist" and not isinstance(lux, float):
            raise ValueError(f"trained_lux of a specialist must be one light level; found {lux}")
        if self.kind in ("conditioned", "unconditioned") and not isinstance(lux, tuple):
            raise ValueError(f"trained_lux of a model for every light must be a range; found {lux}")
        return self


class Mismatch(Record):
    """A model that is told another alpha and sigma than those of the capture.

    Args:
        model: its name.
        lux: light of the captures in lux.
        alpha_factor, sigma_factor: what it is told is so many times the truth, > 0.
        count: photographs judged, > 0.
        top1: fraction of them named right.
        difference: paired, to the same model told the truth, with the reference TRUE_NOISE; None where that is this.

    Raises:
        ValueError: a number is out of range, or the difference does not belong to this cell.
    """

    model: str = Field(min_length=1)
    lux: float = Field(gt=0)
    alpha_factor: float = Field(gt=0)
    sigma_factor: float = Field(gt=0)
    count: int = Field(gt=0)
    top1: Estimate
    difference: Difference | None

    @property
    def is_true(self) -> bool:
        return self.alpha_factor == self.sigma_factor == 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        _fraction("top1", self.top1)
        _belongs(self.difference, self.count, self.model)
        if self.is_true != (self.difference is None):
            raise ValueError(
                "difference must be None where both factors are 1, and only there; "
                f"found {self.difference} for alpha x{self.alpha_factor:g} and sigma x{self.sigma_factor:g}"
            )
        if self.difference is not None and self.difference.reference != TRUE_NOISE:
            raise ValueError(f"difference.reference must be {TRUE_NOISE!r}; found {self.difference.reference!r}")
        return self


class RiskCurve(Record):
    """What a model risks at a light level if it abstains below a threshold on its calibrated confidence.

    Args:
        model: its name.
        lux: light of the captures in lux.
        count: photographs judged, > 0.
        threshold: falling, in [0, 1].
        coverage: fraction answered at each threshold, rising to 1.
        risk: fraction of the answers that are wrong.
        area: under risk over coverage, of all photographs (AURC), in [0, 1].

    Raises:
        ValueError: the three are not of one length of at least 1, or not in order, or a number is out of range.
    """

    model: str = Field(min_length=1)
    lux: float = Field(gt=0)
    count: int = Field(gt=0)
    threshold: tuple[float, ...] = Field(min_length=1)
    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float = Field(ge=0, le=1)

    @classmethod
    def of(cls, model: str, lux: float, confidence: selective.Values, correct: selective.Values) -> RiskCurve:
        """The curve of CURVE_POINTS points at most, and its area: see `selective.risk_coverage`."""
        curve = selective.risk_coverage(confidence, correct)
        points = {name: tuple(values.tolist()) for name, values in curve.thinned(CURVE_POINTS)._asdict().items()}
        area = selective.area_under_risk(confidence, correct)
        return cls(model=model, lux=lux, count=len(confidence), area=area, **points)

    @model_validator(mode="after")
    def _check(self) -> Self:
        lengths = {len(self.threshold), len(self.coverage), len(self.risk)}
        if len(lengths) > 1:
            raise ValueError(f"threshold, coverage and risk must be of one length; found {sorted(lengths)}")
        if not all(0 <= x <= 1 for values in (self.threshold, self.coverage, self.risk) for x in values):
            raise ValueError("threshold, coverage and risk must be in [0, 1]")
        if any(b >= a for a, b in itertools.pairwise(self.threshold)):
            raise ValueError("threshold must fall")
        if any(b <= a for a, b in itertools.pairwise(self.coverage)) or self.coverage[-1] != 1:
            raise ValueError("coverage must rise to 1")
        return self


class LightStudy(Record):
    """Everything that a study of one model for every light found, and what it takes to find it again.

    Args:
        schema_version: 1.
        name: of the study.
        camera: name of the camera profile.
        transfer: the scene's transfer, "linear" or "srgb".
        lux: the range of light that the models for every light were trained over, in lux: (lowest, highest).
        data: describes the photographs (JSON values).
        recipe: the complete recipe (JSON values).
        versions: package to version, see `results.versions`.
        hardware: what it ran on, see `results.hardware`.
        commands: the command line that made it.
        cells: one per model and judged light, in the order to show them in.
        mismatch: one per model, light and pair of factors.
        selective: one per model and light.
        notes: sentences that a reader has to know.

    Raises:
        ValueError: two records are of the same model and light (and factors), a model is of two kinds or trained for
            two kinds of light, a difference is not to the specialist of its light, or lux does not rise.
    """

    schema_version: Literal[1] = 1
    name: str
    camera: str
    transfer: str
    lux: tuple[float, float]
    data: dict[str, JsonValue]
    recipe: dict[str, JsonValue]
    versions: dict[str, str]
    hardware: str
    commands: str
    cells: list[LightCell]
    mismatch: list[Mismatch] = Field(default_factory=list)
    selective: list[RiskCurve] = Field(default_factory=list)
    notes: list[str]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.lux[0] < self.lux[1]:
            raise ValueError(f"lux must be a range that rises from above 0; found {self.lux}")
        _differ("cells", "(model, judged_lux)", ((c.model, c.judged_lux) for c in self.cells))
        factors = ((m.model, m.lux, m.alpha_factor, m.sigma_factor) for m in self.mismatch)
        _differ("mismatch", "(model, lux, alpha_factor, sigma_factor)", factors)
        _differ("selective", "(model, lux)", ((curve.model, curve.lux) for curve in self.selective))
        about: dict[str, object] = {}
        for cell in self.cells:
            mine = (cell.kind, cell.trained_lux)
            if about.setdefault(cell.model, mine) != mine:
                raise ValueError(f"model {cell.model!r} must be of one kind and training; found {mine} too")
        homes = [(cell.judged_lux, cell.model) for cell in self.cells if cell.is_at_home]
        _differ("specialists at their own light", "lux", (lux for lux, _ in homes))
        for cell in self.cells:
            gap = cell.difference
            if gap is not None and (cell.judged_lux, gap.reference) not in homes:
                raise ValueError(
                    f"difference.reference of {cell.model!r} at {cell.judged_lux:g} lux must be the specialist of that "
                    f"light, judged there too; found {gap.reference!r}"
                )
        return self


def write(study: LightStudy, path: Path | str) -> None:
    """Write `study` as JSON to `path`, atomically; raises as `records.write`."""
    records.write(study, path)


def read(path: Path | str) -> LightStudy:
    """Read a study that `write` wrote; raises as `records.read`."""
    return records.read(LightStudy, path, "a light study's light.json")


def _fraction(name: str, found: Estimate) -> None:
    if found.unit != "fraction":
        raise ValueError(f"{name} must have the unit 'fraction'; found {found.unit!r}")


def _belongs(gap: Difference | None, count: int, model: str) -> None:
    if gap is None:
        return
    if gap.reference == model:
        raise ValueError(f"difference.reference must be another model; found {gap.reference!r}, the cell's own")
    expected = (gap.only_this_right - gap.only_reference_right) / count
    if abs(gap.value - expected) > 1e-9:
        raise ValueError(
            f"difference.value must be (only_this_right - only_reference_right) / count = {expected}; found {gap.value}"
        )


def _differ(name: str, key: str, found: Iterable[object]) -> None:
    twice = [one for one, times in Counter(found).items() if times > 1]
    if twice:
        raise ValueError(f"{name} must differ in {key}; found {twice[0]} more than once")
