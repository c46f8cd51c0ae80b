"""results.json: every number of a study, with the model, condition, seed and count that it belongs to."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from dirtypixels import files
from dirtypixels.recipe import AnyCondition

TRUE_NOISE = "true noise"
"""The reference of a model that is told wrong noise: the same model, told the true alpha and sigma."""

Part = Literal["methods", "grid", "light", "wrong_noise"]


class Metric(NamedTuple):
    """What is known of a metric: its heading in tables, and its unit."""

    heading: str
    unit: str


METRICS = {
    "top1": Metric("top-1", "fraction"),
    "top5": Metric("top-5", "fraction"),
    "psnr": Metric("PSNR", "dB"),
    "psnr_affine": Metric("PSNR after gain and offset", "dB"),
    "calibration_error": Metric("calibration error", "fraction"),
    "calibrated_error": Metric("calibration error after temperature", "fraction"),
    "risk_area": Metric("area under risk over coverage", "fraction"),
}
"""The metrics that the package computes; a record may hold others, whose estimates say their unit."""


class Record(BaseModel):
    """Numbers that belong together; knows all its fields, cannot be changed, and holds no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Estimate(Record):
    """A number and its 95 % interval: ``low <= value <= high``.

    Args:
        value: in `unit`.
        low, high: in `unit`; None where no interval was computed.
        unit: "fraction" (in [0, 1]), "dB", or another.

    Raises:
        ValueError: a number is not finite, the value is outside its interval, only one end is given, or a fraction is
            outside [0, 1].

    >>> Estimate(value=0.744, low=0.731, high=0.756, unit="fraction").interval
    (0.731, 0.756)
    """

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = Field(min_length=1)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends; the value itself where there is no interval."""
        return (self.value if self.low is None else self.low), (self.value if self.high is None else self.high)

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.interval
        if (self.low is None) != (self.high is None):
            raise ValueError(f"low and high must both be given or neither; found {self.low} and {self.high}")
        if not low <= self.value <= high:
            raise ValueError(f"value must be in [low, high]; found {self.value} and [{low}, {high}]")
        if self.unit == "fraction" and not 0 <= low <= high <= 1:
            raise ValueError(f"a fraction must be in [0, 1]; found [{low}, {high}]")
        return self


class Difference(Record):
    """A metric of a cell minus that of a reference, on the same captures of the same photographs.

    ``value = (only_this_right - only_reference_right) / count`` for top-1

    Args:
        reference: name of the method or model compared with.
        metric: that is compared.
        value, low, high: difference in the metric's unit, and its 95 % interval; of fractions in [-1, 1].
        p_value: two-sided, of the hypothesis that there is no difference.
        test: the name of the test and of the interval.
        only_this_right, only_reference_right: photographs that one names right and the other does not; None for a
            metric that is not the fraction of photographs named right, and where there are several trainings.
        trainings: the difference in each of several trainings, in the order of their seeds; `value` is their mean, and
            its interval is over trainings and photographs. Empty where both were trained once or not at all.

    Raises:
        ValueError: the value is outside its interval, or a number is outside its range.

    >>> from dirtypixels.study.statistics import paired_difference
    >>> gain = paired_difference([True] * 30 + [False] * 10, [True] * 24 + [False] * 16)
    >>> gain.value, gain.only_this_right, round(gain.p_value, 3)
    (0.15, 6, 0.031)
    """

    reference: str = Field(min_length=1)
    metric: str = "top1"
    value: float
    low: float
    high: float
    p_value: float = Field(ge=0, le=1)
    test: str
    only_this_right: int | None = Field(default=None, ge=0)
    only_reference_right: int | None = Field(default=None, ge=0)
    trainings: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value must be in [low, high]; found {self.value} and [{self.low}, {self.high}]")
        known = METRICS.get(self.metric)
        if known and known.unit == "fraction" and not (self.low >= -1 and self.high <= 1):
            raise ValueError(f"a difference of fractions must be in [-1, 1]; found [{self.low}, {self.high}]")
        _check_mean("value", self.value, self.trainings)
        return self


class Training(Record):
    """One of several trainings of a method: its seed, and what its model gave by itself.

    Args:
        seed: of what chance decides in the training.
        metrics: by name, as those of the cell; the intervals are over the photographs alone.
    """

    seed: int = Field(ge=0)
    metrics: dict[str, Estimate] = Field(min_length=1)


class RiskCurve(Record):
    """What a model risks if it abstains below a threshold on its calibrated confidence.

    Args:
        threshold: falling, in [0, 1].
        coverage: fraction answered at each threshold, rising to 1.
        risk: fraction of the answers that are wrong.

    Raises:
        ValueError: the three are not of one length of at least 1, or not in order, or a number is out of range.
    """

    threshold: tuple[float, ...] = Field(min_length=1)
    coverage: tuple[float, ...]
    risk: tuple[float, ...]

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


class Model(Record):
    """What was evaluated: a method, its unit, and what it was trained for.

    Args:
        method: key such as "joint" (see `tables.METHOD_NAMES`), or "ensemble": the most confident of several models.
        unit: the recipe's name of its low-level unit; None without one, and where the recipe has a single one.
        trained_for: name of the condition or range of light whose captures it was trained on; None for clean
            photographs.
        trained_lux: the light of that training in lux, or the ends of the range; None where it has none.
        conditioned: whether the unit is told alpha and sigma as inputs.
        rounds: how often in a row it was trained, each time with the whole schedule.
        networks: run for a photograph.
        training: which of several trainings that differ in their seeds alone; of all of them the first.

    Raises:
        ValueError: a number is out of range, a range does not rise, or the parts do not go together.

    >>> from dirtypixels.recipe import Condition
    >>> model = Model.trained("joint", Condition.of(3))
    >>> model.key, model.folder, model.name
    ('joint', '3lux-joint', 'specialist 3 lux')
    """

    method: str = Field(min_length=1)
    unit: str | None = None
    trained_for: str | None = None
    trained_lux: float | tuple[float, float] | None = None
    conditioned: bool = False
    rounds: int = Field(default=1, ge=1)
    networks: int = Field(default=1, ge=1)
    training: int = Field(default=1, ge=1)

    @classmethod
    def trained(
        cls,
        method: str,
        condition: AnyCondition,
        unit: str | None = None,
        conditioned: bool = False,
        rounds: int = 1,
        training: int = 1,
    ) -> Self:
        """What is trained for a condition, or for a range of light."""
        fields = {
            "method": method, "unit": unit, "conditioned": conditioned, "rounds": rounds, "training": training,
        }  # fmt: skip
        return cls.model_validate({**fields, "trained_for": condition.name, "trained_lux": condition.lux})

    @property
    def key(self) -> str:
        """Of the method and its unit: "joint", or "joint:merged" where the recipe names units."""
        return self.method if self.unit is None else f"{self.method}:{self.unit}"

    @property
    def folder(self) -> str:
        """Where it and its predictions are kept: "pretrained", "3lux-joint", "3lux-joint-merged", and of a further
        training "3lux-joint-training2"."""
        method = "conditioned" if self.conditioned else self.method
        rounds = f"{self.rounds}-rounds" if self.rounds > 1 else None
        training = f"training{self.training}" if self.training > 1 else None
        return "-".join(part for part in (self.trained_for, method, self.unit, rounds, training) if part)

    @property
    def kind(self) -> str:
        """Among models for several lights: a joint model is a specialist for one, or trained over a range of them,
        unconditioned or conditioned on the noise level; others are called by their method."""
        if self.method != "joint":
            return self.method
        if not isinstance(self.trained_lux, tuple):
            return "specialist"
        return "conditioned" if self.conditioned else "unconditioned"

    @property
    def name(self) -> str:
        """Among models for several lights: "specialist 3 lux", "conditioned, 2 rounds"."""
        lux = f" {self.trained_lux:g} lux" if self.kind == "specialist" and self.trained_lux is not None else ""
        return self.kind + lux + (f", {self.rounds} rounds" if self.rounds > 1 else "")

    @model_validator(mode="after")
    def _check(self) -> Self:
        lux = self.trained_lux
        ends = lux if isinstance(lux, tuple) else () if lux is None else (lux,)
        if any(end <= 0 for end in ends) or (len(ends) == 2 and ends[0] >= ends[1]):
            raise ValueError(f"trained_lux must be above 0, and a range must rise; found {lux}")
        if self.conditioned and not (self.method == "joint" and len(ends) == 2):
            raise ValueError(f"a conditioned model must be joint, for a range of light; found {self.method!r}, {lux}")
        return self


class Cell(Record):
    """One model under one condition: what `count` photographs gave.

    Args:
        part: of the study: "methods" under the recipe's conditions, the "grid" of light x PSF, models over "light", and
            models that are told "wrong_noise".
        model: that was evaluated.
        condition: name such as "clean" or "3lux".
        lux: illuminance at the scene in lux; None where the condition has none.
        position: where in the field of view the PSF was taken: "center", "offaxis", "periphery", or row and column such
            as "0.90,0.80"; None for a sharp lens.
        alpha_factor, sigma_factor: what the model is told of the noise is so many times the truth, > 0; equal where
            both are wrong.
        seed: of the noise of the evaluated photographs, and of the first training.
        count: photographs evaluated, > 0.
        metrics: by name, see `METRICS`; "psnr" is that of what the low-level step puts out, against the scene,
            "psnr_affine" that after the gain and offset which bring it nearest. Of several trainings the mean, with an
            interval over trainings and photographs.
        trainings: each of several trainings, by rising seeds; empty where there is one or none.
        differences: paired, to named references: a method's key, in "light" the name of the specialist of that light,
            in "wrong_noise" TRUE_NOISE.
        temperature: what the logits were divided by for the calibrated metrics, > 0; None where it was not fitted.
        risk: over coverage, where the model may abstain; None where not computed.
        seconds_per_image: time for one photograph in s; None where not measured.

    Raises:
        ValueError: a unit does not fit, top-5 is below top-1, or a difference does not belong to this cell.

    >>> cell = Cell(model=Model(method="pretrained"), condition="3lux", lux=3, seed=0, count=40,
    ...             metrics={"top1": Estimate(value=0.75, unit="fraction")})
    >>> cell.method, cell.top1.value, cell.psnr
    ('pretrained', 0.75, None)
    """

    part: Part = "methods"
    model: Model
    condition: str
    lux: float | None = Field(gt=0)
    position: str | None = None
    alpha_factor: float = Field(default=1.0, gt=0)
    sigma_factor: float = Field(default=1.0, gt=0)
    seed: int
    count: int = Field(gt=0)
    metrics: dict[str, Estimate] = Field(min_length=1)
    trainings: tuple[Training, ...] = ()
    differences: tuple[Difference, ...] = ()
    temperature: float | None = Field(default=None, gt=0)
    risk: RiskCurve | None = None
    seconds_per_image: float | None = Field(default=None, ge=0)

    @property
    def method(self) -> str:
        return self.model.key

    def to(self, method: str) -> Difference | None:
        """The difference in top-1 to a method, whichever of its units; None where there is none."""
        alike = (gap for gap in self.differences if gap.metric == "top1")
        return next((gap for gap in alike if gap.reference.partition(":")[0] == method), None)

    @property
    def difference(self) -> Difference | None:
        """The first one, in top-1 where the study does not say otherwise; None where the cell is a reference."""
        return self.differences[0] if self.differences else None

    @property
    def top1(self) -> Estimate:
        return self.metrics["top1"]

    @property
    def psnr(self) -> Estimate | None:
        return self.metrics.get("psnr")

    @property
    def is_told_the_truth(self) -> bool:
        return self.alpha_factor == self.sigma_factor == 1

    @property
    def is_at_home(self) -> bool:
        """Whether this is the specialist of the very light that it is evaluated at."""
        return self.model.kind == "specialist" and self.model.trained_lux == self.lux

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, found in self.metrics.items():
            if name in METRICS and found.unit != METRICS[name].unit:
                raise ValueError(f"{name} must have the unit {METRICS[name].unit!r}; found {found.unit!r}")
        best, among = (self.metrics.get(name) for name in ("top1", "top5"))
        if best and among and among.value < best.value:
            raise ValueError(f"top5 must be at least top1; found {among.value} and {best.value}")
        _differ("trainings", "seed", (one.seed for one in self.trainings))
        for name, mean in self.metrics.items():
            _check_mean(name, mean.value, [one.metrics[name].value for one in self.trainings if name in one.metrics])
        _differ("differences", "(metric, reference)", ((gap.metric, gap.reference) for gap in self.differences))
        for gap in self.differences:
            self._check_difference(gap)
        alpha, sigma = self.alpha_factor, self.sigma_factor
        if 1 not in (alpha, sigma) and alpha != sigma:
            raise ValueError(
                f"alpha_factor and sigma_factor must be equal where both are wrong; found {alpha} and {sigma}"
            )
        if self.part == "wrong_noise" and self.is_told_the_truth == bool(self.differences):
            raise ValueError(
                "differences must be empty where both factors are 1, and only there; found "
                f"{len(self.differences)} for alpha x{alpha:g} and sigma x{sigma:g}"
            )
        if self.part == "light" and self.is_at_home and self.differences:
            raise ValueError(f"differences must be empty for the specialist of {self.lux} lux itself")
        return self

    def _check_difference(self, gap: Difference) -> None:
        if gap.metric not in self.metrics:
            raise ValueError(f"a difference must be in a metric of the cell; found {gap.metric!r}")
        if gap.reference == (self.model.name if self.part == "light" else self.method):
            raise ValueError(f"reference must be another method or model; found {gap.reference!r}, the cell's own")
        if (self.part == "wrong_noise") != (gap.reference == TRUE_NOISE):
            raise ValueError(
                f"reference must be {TRUE_NOISE!r} in wrong_noise, and only there; found {gap.reference!r}"
            )
        if gap.only_this_right is None or gap.only_reference_right is None:
            return
        expected = (gap.only_this_right - gap.only_reference_right) / self.count
        if abs(gap.value - expected) > 1e-9:
            raise ValueError(
                f"value must be (only_this_right - only_reference_right) / count = {expected}; found {gap.value}"
            )


class Study(Record):
    """Everything that a study found and what it takes to find it again.

    Args:
        schema_version: 2.
        name: of the study.
        camera: name of the camera profile.
        transfer: the scene's transfer, "linear" or "srgb".
        data: describes the photographs (JSON values).
        recipe: the complete recipe (JSON values).
        versions: package to version, see `machine.versions`.
        hardware: what it ran on, see `machine.hardware`.
        commands: the command line that made it.
        cells: of all parts, in the order to show them in.
        optics: where the lens's PSFs come from, e.g. "simulated from a design ..."; None where no PSF is used.
        notes: sentences that a reader has to know.

    Raises:
        ValueError: two cells are of the same part, model, condition and seed, a cell of the grid is not of the
            pretrained classifier, or a difference in "light" is not to the specialist of its light.

    >>> study = read("docs/results/light/results.json")
    >>> study.name, len(study.part("light")), study.cells[0].model.name
    ('One model for every light', 28, 'pretrained')
    """

    schema_version: Literal[2] = 2
    name: str
    camera: str
    transfer: str
    data: dict[str, JsonValue]
    recipe: dict[str, JsonValue]
    versions: dict[str, str]
    hardware: str
    commands: str
    cells: list[Cell]
    optics: str | None = None
    notes: list[str]

    def part(self, name: Part) -> list[Cell]:
        """The cells of one part, in order."""
        return [cell for cell in self.cells if cell.part == name]

    @property
    def lens(self) -> list[str]:
        """Where the lens's PSFs come from, as a sentence; none where no PSF is used."""
        return [] if self.optics is None else [f"The lens's PSFs: {self.optics.rstrip('.')}."]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _differ(
            "cells",
            "(part, model, condition, told noise, seed)",
            ((c.part, c.model, c.condition, c.alpha_factor, c.sigma_factor, c.seed) for c in self.cells),
        )
        grid = self.part("grid")
        _differ("cells of the grid", "(lux, position)", ((cell.lux, cell.position) for cell in grid))
        if others := {cell.method for cell in grid} - {"pretrained"}:
            raise ValueError(f"cells of the grid must be of the method 'pretrained'; found {sorted(others)}")
        homes = [(cell.lux, cell.model.name) for cell in self.part("light") if cell.is_at_home]
        _differ("specialists at their own light", "lux", (lux for lux, _ in homes))
        for cell in self.part("light"):
            for gap in cell.differences:
                if (cell.lux, gap.reference) not in homes:
                    raise ValueError(
                        f"reference of {cell.model.name!r} at {cell.lux} lux must be the specialist of that light, "
                        f"evaluated there too; found {gap.reference!r}"
                    )
        return self


def write(study: Study, path: Path | str) -> None:
    """Write `study` as JSON to `path`, atomically.

    Raises:
        ValueError: something in `study` is not valid (its lists may have changed since it was made) or is NaN.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = read("docs/results/light/results.json")
    ...     write(study, Path(folder) / "results.json")
    ...     read(Path(folder) / "results.json") == study
    True
    """
    checked = Study.model_validate(study.model_dump())
    text = json.dumps(checked.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    files.write_text(path, text + "\n")


def read(path: Path | str) -> Study:
    """Read a study that `write` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not JSON, has another schema version, or does not hold a study; says where.

    >>> study = read("docs/results/imagenette/results.json")
    >>> len(study.part("methods")), len(study.part("grid"))
    (23, 28)
    """
    path = Path(path)
    try:
        found = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except ValueError as error:
        raise ValueError(f"{path} must be a study's results.json; it is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object; found {type(found).__name__}")
    version = Study.model_fields["schema_version"].default
    if found.get("schema_version") != version:
        raise ValueError(
            f"{path} must have schema_version {version}, the one that this version of dirtypixels reads; "
            f"found {found.get('schema_version')!r}"
        )
    try:
        return Study.model_validate(found)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        where = ".".join(map(str, first["loc"])) or "the study"
        more = f" (and {len(others)} more)" if others else ""
        raise ValueError(f"{path} does not hold a valid study: {where}: {first['msg']}{more}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check_mean(name: str, value: float, trainings: Sequence[float]) -> None:
    if trainings and abs(value - fmean(trainings)) > 1e-6:
        raise ValueError(f"{name} must be the mean over the trainings, {fmean(trainings)}; found {value}")


def _differ(name: str, key: str, found: Iterable[object]) -> None:
    twice = [one for one, times in Counter(found).items() if times > 1]
    if twice:
        raise ValueError(f"{name} must differ in {key}; found {twice[0]} more than once")
