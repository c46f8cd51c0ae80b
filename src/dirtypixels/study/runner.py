"""A whole study: train what is missing, judge, and write tables, figures and the report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from rich.console import Console

from dirtypixels.recipe import Condition, Method, Recipe
from dirtypixels.restore import classical
from dirtypixels.study import figures, report, results, tables
from dirtypixels.study.judge import Verdicts, judge, method
from dirtypixels.study.statistics import mean_interval, paired_difference, wilson
from dirtypixels.study.workshop import Workshop
from dirtypixels.tasks import class_names

CONVENTIONAL: tuple[Method, ...] = ("bm3d", "nlm", "unit")


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
        ValueError: the folder belongs to another recipe, or something in the recipe does not fit the data.
        ImportError: a method needs a package that is not installed; raised before anything is trained.
    """
    if "bm3d" in recipe.methods:
        classical.require_bm3d()
    workshop = Workshop(recipe, folder, console)
    cells = {key: _cell(workshop, *key) for key in plan(recipe)}
    study = results.Study(
        name=recipe.name,
        camera=recipe.camera,
        transfer=recipe.transfer,
        data={
            "kind": recipe.data.kind,
            "size": recipe.data.size,
            "training photographs": len(workshop.training_photos),
            "judged photographs": len(workshop.judged_photos),
            "judged on": recipe.data.judge,
            "classes": list(class_names(workshop.training_photos.classes)),
        },
        recipe=_portable(recipe),
        versions=results.versions(),
        hardware=results.hardware(),
        commands=command,
        cells=[_record(recipe, key, cells) for key in cells],
        notes=list(recipe.notes),
    )
    _write(workshop, study, cells)
    return study


def plan(recipe: Recipe) -> list[tuple[Condition, Method]]:
    """Conditions and methods to judge, in order; without noise there is nothing to restore or to adapt to."""
    return [(c, m) for c in recipe.conditions for m in recipe.methods if not c.is_clean or m == "pretrained"]


def _cell(workshop: Workshop, condition: Condition, name: Method) -> Verdicts:
    file = workshop.folder / "cells" / f"{condition.name}.{name}.npz"
    if file.is_file():
        return Verdicts.load(file)
    restore, head = method(workshop, condition, name)
    captures = workshop.captures(condition, training=False, limit=workshop.recipe.limits.get(name))
    with workshop.progress("photographs") as bar:
        task = bar.add_task(f"{tables.method_name(name)}, {condition.name}", total=len(captures))
        # Classical methods take long for each photograph; small batches keep the bar moving.
        batch = 8 if name in ("nlm", "bm3d") else 64
        verdicts = judge(captures, restore, head, batch, lambda done: bar.update(task, completed=done))
    workshop.claim()
    verdicts.save(file)
    return verdicts


def _record(
    recipe: Recipe, key: tuple[Condition, Method], cells: dict[tuple[Condition, Method], Verdicts]
) -> results.Cell:
    condition, name = key
    verdicts, count = cells[key], len(cells[key].top1)
    reference = cells.get((condition, "finetuned"))
    difference = None
    if reference is not None and name != "finetuned":
        difference = paired_difference(torch.from_numpy(verdicts.top1), torch.from_numpy(reference.top1[:count]))
    return results.Cell(
        condition=condition.name,
        lux=condition.lux,
        method=name,
        seed=recipe.seed,
        count=count,
        top1=wilson(int(verdicts.top1.sum()), count),
        top5=wilson(int(verdicts.top5.sum()), count),
        # Without noise the signal is the scene itself.
        psnr=None if condition.is_clean else mean_interval(torch.from_numpy(verdicts.psnr)),
        seconds_per_image=verdicts.seconds,
        difference=difference,
    )


def _write(workshop: Workshop, study: results.Study, cells: dict[tuple[Condition, Method], Verdicts]) -> None:
    folder = workshop.folder
    tables.to_markdown(study, folder / "table.md")
    tables.to_csv(study, folder / "table.csv")
    tables.to_latex(study, folder / "table.tex")
    paper = tables.beside_paper(study)
    if paper.rows:
        tables.to_markdown(paper, folder / "beside_paper.md")
    shown = {"Accuracy by method and light": folder / "accuracy.png"}
    figures.accuracy_by_method(study, shown["Accuracy by method and light"])
    if any(cell.psnr is not None for cell in study.cells):
        shown["PSNR against accuracy"] = folder / "psnr.png"
        figures.psnr_against_accuracy(study, shown["PSNR against accuracy"])
    rows = _panels(workshop, cells)
    if rows:
        title = (
            "What the classifier is given: for each light level the first photograph, in the data set's order, that "
            "the pretrained classifier gets wrong and the joint model right. The joint unit's picture is stretched in "
            "contrast to be seen; its PSNR is that of the picture as it is"
        )
        shown[title] = folder / "panels.png"
        figures.panels(rows, shown[title])
    for condition in workshop.recipe.conditions:
        curve = workshop.folder / "units" / f"{condition.name}.png"
        if curve.is_file():
            shown[f"Pretraining of the unit, {tables.condition_name(condition.name)}"] = curve
    results.write(study, folder / "results.json")
    report.write_report(study, shown, folder / "report.html")


def _panels(workshop: Workshop, cells: dict[tuple[Condition, Method], Verdicts]) -> list[figures.PanelRow]:
    names = class_names(workshop.judged_photos.classes)
    rows = []
    for condition in workshop.recipe.conditions:
        conventional = next((m for m in CONVENTIONAL if (condition, m) in cells), None)
        if conventional is None or (condition, "joint") not in cells or (condition, "pretrained") not in cells:
            continue
        judged = len(cells[condition, conventional].top1)
        found = (~cells[condition, "pretrained"].top1 & cells[condition, "joint"].top1)[:judged].nonzero()[0]
        if not len(found):
            continue
        index = int(found[0])
        observation, label, scene = workshop.captures(condition, training=False)[index]
        truth = names[int(label)]
        pictures = [figures.Picture(_display(scene[0], workshop.recipe), "scene", truth, True)]
        for key in ("pretrained", conventional, "joint"):
            verdict = cells[condition, key]
            restore, _ = method(workshop, condition, key)
            with torch.inference_mode():
                image = restore(observation.to(workshop.device))[0].cpu()
            title = {"pretrained": "capture", "joint": "joint unit, stretched"}.get(key, tables.method_name(key))
            answer, right = names[int(verdict.answer[index])], bool(verdict.top1[index])
            picture = _display(_stretched(image) if key == "joint" else image, workshop.recipe)
            pictures.append(figures.Picture(picture, title, answer, right, float(verdict.psnr[index])))
        rows.append(figures.PanelRow(condition.name, truth, tuple(pictures)))
    return rows


def _stretched(image: torch.Tensor) -> torch.Tensor:
    """Brightness and contrast so that 1 % of the values are black and 1 % white.

    Training for the task leaves the unit free to choose both, and the classifier does not mind; a person would see
    nothing but white.
    """
    low, high = torch.quantile(image.flatten(), torch.tensor([0.01, 0.99]))
    stretched: torch.Tensor = (image - low) / (high - low).clamp_min(1e-6)
    return stretched


def _display(image: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """For a person: light gets the sRGB curve if the recipe took it off."""
    image = image.clamp(0, 1)
    if recipe.transfer == "linear":
        return image
    return torch.where(image <= 0.0031308, 12.92 * image, 1.055 * image.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def _portable(recipe: Recipe) -> dict[str, JsonValue]:
    """The recipe for the record, with the folders of this machine by their last name only."""
    content: dict[str, Any] = recipe.model_dump(mode="json")
    for part, key in (("data", "root"), ("pretraining", "folder")):
        if content[part][key] is not None:
            content[part][key] = os.path.basename(content[part][key])
    return content
