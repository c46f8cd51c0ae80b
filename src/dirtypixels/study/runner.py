"""A whole study: train what is missing, judge, and write tables, figures and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TaskID

from dirtypixels.deploy.units import build_unit
from dirtypixels.recipe import Condition, Deblur, Method, Recipe, Unit
from dirtypixels.restore import classical
from dirtypixels.study import figures, grid_figures, markup, pictures, report, results, scatter, tables
from dirtypixels.study.examples import examples
from dirtypixels.study.judge import Verdicts, judge, method
from dirtypixels.study.light import run_light
from dirtypixels.study.light_report import write_light
from dirtypixels.study.light_results import LightStudy
from dirtypixels.study.paper import PAPER_PRETRAINED, beside_paper
from dirtypixels.study.report import Shown
from dirtypixels.study.statistics import mean_interval, paired_difference, wilson
from dirtypixels.study.workshop import Workshop

SHARP_ONLY = ("nlm", "bm3d")
BLURRED_ONLY = ("hqs",)


def run(recipe: Recipe, folder: str | Path, command: str, console: Console | None = None) -> results.Study:
    """Run a study; one that was stopped goes on where it was, and a finished cell is never computed twice.

    Args:
        recipe: of the study.
        folder: where everything is written: `results.json`, tables, figures, `report.html`, `models/`, `units/`,
            `cells/`.
        command: the command line, for the record.
        console: where progress is shown; None for no progress.

    Returns:
        What was written to results.json.

    Raises:
        ValueError: the folder belongs to another recipe, something in the recipe does not fit the data, a unit that it
            describes cannot be built, or it asks for blur and the camera has no PSFs; the last two are raised before
            anything is trained.
        ImportError: a method needs a package that is not installed; raised before anything is trained.
    """
    if "bm3d" in recipe.methods:
        classical.require_bm3d()
    workshop = Workshop(recipe, folder, console)
    grid_conditions = recipe.grid.conditions if recipe.grid else ()
    light_conditions = map(recipe.light.at, recipe.light.judged) if recipe.light else ()
    blurred = [c for c in (*recipe.conditions, *grid_conditions, *light_conditions) if c.is_blurred]
    optics = workshop.camera.optics
    if blurred and optics is None:
        raise ValueError(
            f"camera must have PSFs for conditions with a position, such as {blurred[0].name!r}; found "
            f"{recipe.camera!r}, which has none"
        )
    check_units(recipe)
    cells = {key: _cell(workshop, *key) for key in plan(recipe)}
    grid = _grid(workshop)
    study = results.Study(
        name=recipe.name,
        camera=recipe.camera,
        transfer=recipe.transfer,
        data=workshop.data_summary(),
        recipe=workshop.portable_recipe(),
        versions=results.versions(),
        hardware=results.hardware(),
        commands=command,
        cells=[_record(recipe, *key, cells[key], cells.get((key[0], "finetuned"))) for key in cells],
        grid=[_record(recipe, condition, "pretrained", found, None) for condition, found in grid.items()],
        optics=optics.summary if optics is not None and blurred else None,
        notes=list(recipe.notes),
    )
    light = None if recipe.light is None else run_light(workshop, command)
    _write(workshop, study, cells, light)
    return study


def check_units(recipe: Recipe) -> None:
    """Raise ValueError where a unit that the recipe describes cannot be built: before hours of training, not after."""
    units: list[Unit | Deblur] = [recipe.unit, recipe.deblur]
    light = recipe.light
    if light is not None and "conditioned" in light.models:
        units.append(recipe.unit_for(light.whole).model_copy(update={"features": light.features}))
    for unit in units:
        build_unit(unit)


def plan(recipe: Recipe) -> list[tuple[Condition, Method]]:
    """Conditions and methods to judge, in order.

    Without noise there is nothing to restore or to adapt to; non-local means and BM3D know no blur, and HQS is a
    deconvolution.
    """
    return [
        (condition, name)
        for condition in recipe.conditions
        for name in recipe.methods
        if (condition.lux is not None or name == "pretrained")
        and not (name in SHARP_ONLY and condition.is_blurred)
        and not (name in BLURRED_ONLY and not condition.is_blurred)
    ]


def _file(workshop: Workshop, condition: Condition, name: Method) -> Path:
    return workshop.folder / "cells" / f"{condition.name}.{name}.npz"


def _cell(workshop: Workshop, condition: Condition, name: Method) -> Verdicts:
    file = _file(workshop, condition, name)
    if file.is_file():
        return Verdicts.load(file)
    restore, head = method(workshop, condition, name)
    captures = workshop.captures(condition, training=False, limit=workshop.recipe.limits.get(name))
    with workshop.progress("photographs") as bar:
        task = bar.add_task(f"{tables.method_name(name)}, {condition.name}", total=len(captures))
        # Classical methods take long for each photograph; small batches keep the bar moving.
        batch = 8 if name in tables.CONVENTIONAL else 64
        verdicts = judge(captures, restore, head, batch, lambda done: bar.update(task, completed=done))
    workshop.claim()
    verdicts.save(file)
    return verdicts


def _grid(workshop: Workshop) -> dict[Condition, Verdicts]:
    """The pretrained classifier in every condition of the grid; those of the study are there already."""
    grid = workshop.recipe.grid
    if grid is None:
        return {}
    conditions = grid.conditions
    missing = [condition for condition in conditions if not _file(workshop, condition, "pretrained").is_file()]
    if missing:
        size = len(workshop.captures(missing[0], training=False, limit=grid.limit))
        with workshop.progress("photographs") as bar:
            done = (len(conditions) - len(missing)) * size
            task = bar.add_task("light x PSF", total=len(conditions) * size, completed=done)
            for condition in missing:
                bar.update(task, description=f"light x PSF, {condition.name}")
                restore, head = method(workshop, condition, "pretrained")
                captures = workshop.captures(condition, training=False, limit=grid.limit)
                verdicts = judge(captures, restore, head, report=_advance(bar, task, done))
                workshop.claim()
                verdicts.save(_file(workshop, condition, "pretrained"))
                done += size
    return {c: Verdicts.load(_file(workshop, c, "pretrained")).first(grid.limit) for c in conditions}


def _advance(bar: Progress, task: TaskID, before: int) -> Callable[[int], None]:
    return lambda done: bar.update(task, completed=before + done)


def _record(
    recipe: Recipe, condition: Condition, name: Method, verdicts: Verdicts, reference: Verdicts | None
) -> results.Cell:
    count = len(verdicts.top1)
    difference = None
    if reference is not None and name != "finetuned":
        difference = paired_difference(torch.from_numpy(verdicts.top1), torch.from_numpy(reference.top1[:count]))
    return results.Cell(
        condition=condition.name,
        lux=condition.lux,
        position=_place(condition),
        method=name,
        seed=recipe.seed,
        count=count,
        top1=wilson(int(verdicts.top1.sum()), count),
        top5=wilson(int(verdicts.top5.sum()), count),
        # Without noise and blur the signal is the scene itself.
        psnr=None if condition.is_clean else mean_interval(torch.from_numpy(verdicts.psnr)),
        seconds_per_image=verdicts.seconds,
        difference=difference,
    )


def _place(condition: Condition) -> str | None:
    """A position as results.json has it: a name, or "0.90,0.80" with as many digits as tell it apart."""
    place = condition.position
    if place is None or isinstance(place, str):
        return place
    return ",".join(f"{x:.2f}" if round(x, 2) == x else f"{x:g}" for x in place)


def _write(
    workshop: Workshop,
    study: results.Study,
    cells: dict[tuple[Condition, Method], Verdicts],
    light: LightStudy | None,
) -> None:
    folder = workshop.folder
    markup.to_markdown(study, folder / "table.md")
    markup.to_csv(study.cells, folder / "table.csv")
    markup.to_latex(study, folder / "table.tex")
    paper = beside_paper(study)
    if paper.rows:
        markup.to_markdown(paper, folder / "beside_paper.md")
    shown = [Shown("Accuracy by method and condition", folder / "accuracy.png")]
    figures.accuracy_by_method(study, shown[0].path)
    if scatter.compared(study):
        shown.append(Shown("PSNR against accuracy", folder / "psnr.png"))
        scatter.psnr_against_accuracy(study, shown[-1].path)
    rows, rule = examples(workshop, cells)
    if rows:
        shown.append(Shown("What the classifier is given", folder / "panels.png", rule))
        pictures.panels(rows, shown[-1].path)
    if study.grid:
        shown += _write_grid(study, folder)
    part = None
    if light is not None:
        part, drawn = write_light(light, folder)
        shown += drawn
    for condition in workshop.recipe.conditions:
        curve = workshop.folder / "units" / f"{condition.name}.png"
        if curve.is_file():
            shown.append(Shown(f"The unit for {tables.condition_name(condition.name)}", curve, about="pretraining"))
    results.write(study, folder / "results.json")
    report.write_report(study, shown, folder / "report.html", part)


def _write_grid(study: results.Study, folder: Path) -> list[Shown]:
    table = tables.grid_table(study, PAPER_PRETRAINED)
    markup.to_markdown(table, folder / "grid.md")
    markup.to_csv(study.grid, folder / "grid.csv")
    markup.to_latex(table, folder / "grid.tex")
    source = f"The lens's PSFs: {study.optics.rstrip('.')}." if study.optics else ""
    shown = [
        Shown("The pretrained classifier over light and PSF", folder / "grid.png", source, about="grid"),
        Shown("The pretrained classifier over light", folder / "light.png", source, about="grid"),
    ]
    grid_figures.heat_map(study, shown[0].path)
    grid_figures.accuracy_over_light(study, shown[1].path)
    return shown
