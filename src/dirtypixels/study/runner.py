"""A whole study: train what is missing, evaluate, and write the record, tables, figures and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from torch import Tensor

from dirtypixels.data import Captures
from dirtypixels.deploy.models import note_temperature
from dirtypixels.deploy.units import build_unit
from dirtypixels.recipe import TRAINED, AnyUnit, Condition, Light, Method, Recipe
from dirtypixels.restore import classical
from dirtypixels.study import machine, report, results, tables
from dirtypixels.study.examples import examples, panels
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.predictions import Predictions, metrics_of, metrics_over, predict, steps, told
from dirtypixels.study.report import Shown
from dirtypixels.study.results import TRUE_NOISE, Cell, Difference, Model, Part, Study, Training
from dirtypixels.study.statistics import difference_over
from dirtypixels.tasks import fit_temperature, select

SHARP_ONLY = ("nlm", "bm3d", "nlm_finetuned", "bm3d_finetuned")
BLURRED_ONLY = ("hqs", "hqs_finetuned")
WITH_UNIT = ("unit", "unit_finetuned", "joint")
PRETRAINED = Model(method="pretrained")


@dataclass(frozen=True)
class Planned:
    """A cell to come: a model under a condition, what it is told of the noise, and how many photographs at most."""

    part: Part
    model: Model
    condition: Condition
    limit: int | None = None
    alpha_factor: float = 1.0
    sigma_factor: float = 1.0

    @property
    def is_told_the_truth(self) -> bool:
        return self.alpha_factor == self.sigma_factor == 1


def run(recipe: Recipe, folder: str | Path, command: str, console: Console | None = None) -> Study:
    """Run a study; one that was stopped goes on where it was, and a finished cell is never computed twice.

    Args:
        recipe: of the study.
        folder: where everything is written: `results.json`, tables, figures, `report.html`, `models/`, `units/`,
            `predictions/`.
        command: the command line, for the record.
        console: where progress is shown; None for no progress.

    Returns:
        What was written to results.json.

    Raises:
        ValueError: the folder belongs to another recipe, something in the recipe does not fit the data, a unit that it
            describes cannot be built, or it asks for blur and the camera has no PSFs; the last two are raised before
            anything is trained.
        ImportError: a method needs a package that is not installed; raised before anything is trained.

    >>> import tempfile
    >>> from dirtypixels.recipe import Recipe
    >>> tiny = {"name": "tiny", "conditions": [{"name": "6lux", "lux": 6}], "methods": ["pretrained"],
    ...         "data": {"kind": "signs", "size": 32, "train": 8, "test": 8},
    ...         "head": {"network": "test_efficientnet", "weights": None}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = run(Recipe.model_validate(tiny), folder, "an example")
    >>> [(cell.model.method, cell.condition, cell.count) for cell in study.cells]
    [('pretrained', '6lux', 8)]
    """
    if {"bm3d", "bm3d_finetuned"} & set(recipe.methods):
        classical.require_bm3d()
    experiment = Experiment(recipe, folder, console)
    blurred = [c for c in recipe.all_conditions() if c.is_blurred]
    optics = experiment.camera.optics
    if blurred and optics is None:
        raise ValueError(
            f"camera must have PSFs for conditions with a position, such as {blurred[0].name!r}; found "
            f"{recipe.camera!r}, which has none"
        )
    check_units(recipe)
    evaluation = Evaluation(experiment)
    for planned in evaluation.plan:
        for one in evaluation.trainings(planned):
            evaluation.predict(one)
    study = Study(
        name=recipe.name,
        camera=recipe.camera,
        transfer=recipe.transfer,
        data=experiment.data_summary(),
        recipe=experiment.portable_recipe(),
        versions=machine.versions(),
        hardware=machine.hardware(),
        commands=command,
        cells=[evaluation.cell(planned) for planned in evaluation.plan],
        optics=optics.summary if optics is not None and blurred else None,
        notes=[*recipe.notes, *_budgets(recipe)],
    )
    shown = _pictures(evaluation)
    report.write_figures_and_tables(study, experiment.folder, shown)
    results.write(study, experiment.folder / "results.json")
    return study


def check_units(recipe: Recipe) -> None:
    """Raise ValueError where a unit that the recipe describes cannot be built: before hours of training, not after."""
    units: list[AnyUnit] = [recipe.unit, recipe.deblur, *recipe.units.values(), *recipe.deblurs.values()]
    light = recipe.light
    if light is not None and "conditioned" in light.models:
        (unit,) = recipe.units_for(light.whole).values()
        units.append(unit.model_copy(update={"features": light.features}))
    for unit in units:
        build_unit(unit)


def plan(recipe: Recipe) -> list[Planned]:
    """Every cell of a study, in order: methods, the grid, models over light, and wrong noise.

    Without noise there is nothing to restore or to adapt to; non-local means and BM3D know no blur, and HQS is a
    deconvolution. A cell holds all trainings of its model, which stands for the first.
    """
    methods = [
        Planned("methods", model, condition, recipe.limits.get(method))
        for condition in recipe.conditions
        for method in recipe.methods
        if (condition.lux is not None or method == "pretrained")
        and not (method in SHARP_ONLY and condition.is_blurred)
        and not (method in BLURRED_ONLY and not condition.is_blurred)
        for model in _models(recipe, condition, method)
    ]
    grid = recipe.grid
    over_grid = [Planned("grid", PRETRAINED, condition, grid.limit) for condition in grid.conditions] if grid else []
    return [*methods, *over_grid, *(_over_light(recipe.light) if recipe.light else ())]


def _models(recipe: Recipe, condition: Condition, method: Method) -> list[Model]:
    """The models of a method for a condition: one for each of the recipe's units where it has a unit."""
    units = recipe.units_for(condition) if method in WITH_UNIT else [None]
    trained = method == "unit" or method in TRAINED
    return [Model.trained(method, condition, unit=unit) if trained else Model(method=method) for unit in units]


def trainings(recipe: Recipe, model: Model) -> list[Model]:
    """A model and those that differ from it in the seed of their training alone; only itself where it has none."""
    count = recipe.trainings if model.method in TRAINED else 1
    return [model.model_copy(update={"training": number}) for number in range(1, count + 1)]


def light_models(light: Light) -> list[Model]:
    """The classifier as it comes, a specialist for each light level, and what is trained over the whole range."""
    specialists = [Model.trained("joint", light.at(lux)) for lux in light.specialists]
    whole = {
        "finetuned": [Model.trained("finetuned", light.whole)],
        "unconditioned": [Model.trained("joint", light.whole)],
        "conditioned": [
            Model.trained("joint", light.whole, conditioned=True, rounds=rounds)
            for rounds in range(1, light.rounds + 1)
        ],
    }
    return [PRETRAINED, *specialists, *(model for kind in whole if kind in light.models for model in whole[kind])]


def _over_light(light: Light) -> Iterator[Planned]:
    """Models at every light level, and the last of those that know the noise told wrong alpha, sigma, and both."""
    models = light_models(light)
    count = len(light.specialists)
    if count > 1:
        ends = (min(light.specialists), max(light.specialists))
        models.append(Model(method="ensemble", trained_lux=ends, networks=count))
    for model in models:
        for lux in light.evaluated:
            yield Planned("light", model, light.at(lux), light.limit)
    knowing = [model for model in models if model.conditioned]
    limit = min((limit for limit in (light.limit, light.wrong_limit) if limit is not None), default=None)
    wrong = [pair for x in light.factors if x != 1 for pair in ((x, 1.0), (1.0, x), (x, x))]
    for lux in light.wrong_at if knowing else ():
        for alpha, sigma in [(1.0, 1.0), *wrong]:
            yield Planned("wrong_noise", knowing[-1], light.at(lux), limit, alpha, sigma)


class Evaluation:
    """Predictions of every model under every condition, made once and kept in the experiment's folder, and the cells
    that follow from them."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment, self.recipe = experiment, experiment.recipe
        self.plan = plan(self.recipe)
        self._known: dict[Planned, Tensor] = {}
        # Parts of a study may evaluate other numbers of photographs under one condition: the most are predicted.
        self._limits: dict[tuple[Model, Condition, float, float], int | None] = {}
        for one in self.plan:
            for model in trainings(self.recipe, one.model):
                key = (model, one.condition, one.alpha_factor, one.sigma_factor)
                limits = (self._limits.get(key, 0), one.limit)
                self._limits[key] = None if None in limits else max(limit for limit in limits if limit is not None)

    def trainings(self, planned: Planned) -> list[Planned]:
        """A cell's model in each of its trainings."""
        return [replace(planned, model=model) for model in trainings(self.recipe, planned.model)]

    def predict(self, planned: Planned) -> Path | None:
        """Where the predictions of a cell are kept; made if they are not there. None for an ensemble, which has none
        of its own."""
        model, condition, alpha, sigma = planned.model, planned.condition, planned.alpha_factor, planned.sigma_factor
        if model.method == "ensemble":
            return None
        limit = self._limits[model, condition, alpha, sigma]
        name = condition.name if planned.is_told_the_truth else f"{condition.name} alpha x{alpha:g} sigma x{sigma:g}"
        return self._made(model, name, lambda: self.experiment.captures(condition, limit=limit), (alpha, sigma))

    def predictions(self, planned: Planned) -> Predictions:
        """What a model says of the photographs of a cell."""
        file = self.predict(planned)
        return self._together(planned) if file is None else Predictions.load(file).first(planned.limit)

    def _made(
        self, model: Model, name: str, captures: Callable[[], Captures], factors: tuple[float, float] = (1, 1)
    ) -> Path:
        file = self.experiment.folder / "predictions" / model.folder / f"{name}.npz"
        if not file.is_file():
            restore, head = steps(self.experiment, model)
            given = captures()
            with self.experiment.progress("photographs") as bar:
                task = bar.add_task(f"{model.folder}, {name}", total=len(given))
                # Classical methods take long for each photograph; small batches keep the bar moving.
                batch = 8 if model.method.removesuffix("_finetuned") in tables.CONVENTIONAL else 64
                restore = restore if factors == (1, 1) else told(restore, *factors)
                made = predict(given, restore, head, batch, lambda done: bar.update(task, completed=done))
            self.experiment.claim()
            made.save(file)
        return file

    @cached_property
    def temperatures(self) -> dict[Model, float]:
        """Of the models over light, fitted on held-out photographs in any light of the range; noted in the models."""
        light = self.recipe.light
        assert light is not None
        found, photos = {}, self.experiment.held_out_photos
        for model in light_models(light):
            file = self._made(model, "held out", lambda: self.experiment.captures(light.whole, photos=photos))
            held_out = Predictions.load(file)
            found[model] = fit_temperature(held_out.logits, held_out.labels)
            if model != PRETRAINED:
                note_temperature(self.experiment.folder / "models" / model.folder, found[model])
        return found

    def _together(self, planned: Planned) -> Predictions:
        """The most confident specialist, photograph by photograph."""
        members = [model for model in self.temperatures if model.kind == "specialist"]
        found = [self.predictions(replace(planned, model=member)) for member in members]
        scales = torch.tensor([self.temperatures[member] for member in members], dtype=torch.float64)
        chosen = select(torch.stack([one.logits for one in found]).double(), scales)
        return Predictions(chosen.log_probabilities, found[0].labels, None, sum(one.seconds for one in found))

    def cell(self, planned: Planned) -> Cell:
        """The record of a cell, evaluated if it was not yet."""
        each = self.trainings(planned)
        found = [self.predictions(one) for one in each]
        predictions, model, condition = found[0], planned.model, planned.condition
        temperature = None
        if planned.part == "light":
            temperature = 1.0 if model.method == "ensemble" else self.temperatures[model]
        metrics, risk = metrics_of(predictions, condition.is_clean, temperature)
        if model.method == "ensemble":  # its members have their own temperatures, and it none before them
            temperature = None
            del metrics["calibration_error"]
        by_training: list[Training] = []
        if len(found) > 1:
            by_training = [
                Training(seed=self._seed(one.model), metrics=metrics_of(said, condition.is_clean)[0])
                for one, said in zip(each, found, strict=True)
            ]
            metrics = metrics_over(found, condition.is_clean)
        return Cell(
            part=planned.part,
            model=model,
            condition=condition.name,
            lux=condition.lux,
            position=_place(condition),
            alpha_factor=planned.alpha_factor,
            sigma_factor=planned.sigma_factor,
            seed=self.recipe.seed,
            count=len(predictions),
            metrics=metrics,
            trainings=tuple(by_training),
            differences=self._differences(planned, torch.stack([one.right for one in found])),
            temperature=temperature,
            risk=risk,
            seconds_per_image=fmean(one.seconds for one in found),
        )

    def _seed(self, model: Model) -> int:
        return self.recipe.seed + model.training - 1

    def _right(self, planned: Planned) -> Tensor:
        """Where a reference is right in each training, (S, N); kept, as many cells are compared with it."""
        if planned not in self._known:
            self._known[planned] = torch.stack([self.predictions(one).right for one in self.trainings(planned)])
        return self._known[planned]

    def _differences(self, planned: Planned, right: Tensor) -> tuple[Difference, ...]:
        """To the fine-tuned classifier, and of a joint model to the one behind the same unit, frozen; to the specialist
        of the light; or to the same model told the truth. `right` is (S, N)."""
        alike = [one for one in self.plan if (one.part, one.condition) == (planned.part, planned.condition)]
        if planned.part == "methods":
            found = [(one, one.model.key) for one in alike if one.model.method == "finetuned"]
            if planned.model.method == "joint":
                frozen = ("unit_finetuned", planned.model.unit)
                found += [(one, one.model.key) for one in alike if (one.model.method, one.model.unit) == frozen]
        elif planned.part == "light":
            found = [(one, one.model.name) for one in alike if _is_at_home(one)]
        else:
            found = [(one, TRUE_NOISE) for one in alike if planned.part == "wrong_noise" and one.is_told_the_truth]
        return tuple(
            difference_over(right, self._right(one)[:, : right.shape[1]], name) for one, name in found if one != planned
        )


def _is_at_home(planned: Planned) -> bool:
    return planned.model.kind == "specialist" and planned.model.trained_for == planned.condition.name


def _budgets(recipe: Recipe) -> list[str]:
    """How long the models over light were trained, where not all alike."""
    light, epochs = recipe.light, recipe.finetuning.epochs
    if light is None or light.rounds == 1 or "conditioned" not in light.models:
        return []
    rounds = ", ".join(f"{n * epochs} after {n} rounds" for n in range(2, light.rounds + 1))
    return [
        f"The conditioned model was trained for {epochs} epochs, as was each specialist, and for {rounds}; all "
        f"{len(light.specialists)} specialists together took {len(light.specialists) * epochs}."
    ]


def _place(condition: Condition) -> str | None:
    """A position as results.json has it: a name, or "0.90,0.80" with as many digits as tell it apart."""
    place = condition.position
    if place is None or isinstance(place, str):
        return place
    return ",".join(f"{x:.2f}" if round(x, 2) == x else f"{x:g}" for x in place)


def _pictures(evaluation: Evaluation) -> list[Shown]:
    """The figures that are not of the record: photographs as the classifier gets them, and the units' pretraining."""
    experiment, shown = evaluation.experiment, []
    compared = {(one.condition, one.model): one for one in evaluation.plan if one.part == "methods"}
    evaluated: dict[Condition, dict[str, Model]] = {}
    for condition, model in compared:
        evaluated.setdefault(condition, {})[model.key] = model
    rows, rule = examples(experiment, evaluated, lambda c, model: evaluation.predictions(compared[c, model]))
    if rows:
        shown.append(Shown("What the classifier is given", experiment.folder / "panels.png", rule))
        panels(rows, shown[-1].path)
    for condition in experiment.recipe.conditions:
        for name in experiment.recipe.units_for(condition):
            curve = experiment.unit_file(condition, name).with_suffix(".png")
            if curve.is_file():
                said = tables.condition_name(condition.name) + (f", {name}" if name else "")
                shown.append(Shown(f"The unit for {said}", curve, about="pretraining"))
    return shown
