"""`dirtypixels pretrain`, `train` and `study`: three depths of the same work, in the same folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from dirtypixels.camera import Camera
from dirtypixels.cli.profiles import warn_of_failed
from dirtypixels.recipe import TRAINED, load_recipe
from dirtypixels.study import tables
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.findings import controls, headline
from dirtypixels.study.predictions import steps
from dirtypixels.study.results import Study
from dirtypixels.study.runner import plan, run, trainings


def pretrain_units(recipe: Path, out: Path, changes: list[str]) -> None:
    """Pretrain the unit of every condition that has noise."""
    console = Console()
    experiment = Experiment(load_recipe(recipe, changes), out, console)
    warn_of_failed(experiment.camera)
    for condition in experiment.recipe.conditions:
        for name in experiment.recipe.units_for(condition) if not condition.is_clean else ():
            experiment.unit(condition, name)
            curve = experiment.curve(condition, name)
            file = experiment.unit_file(condition, name).with_suffix(".png")
            best = max(psnr for _, psnr in curve)
            console.print(f"{file.stem}: {curve[0][1]:.2f} dB to {best:.2f} dB, curve in {file}")


def train_models(recipe: Path, out: Path, changes: list[str]) -> None:
    """Train every model that the recipe's methods need."""
    console = Console()
    experiment = Experiment(load_recipe(recipe, changes), out, console)
    warn_of_failed(experiment.camera)
    planned = [one.model for one in plan(experiment.recipe) if one.model.method in TRAINED]
    for model in dict.fromkeys(again for one in planned for again in trainings(experiment.recipe, one)):
        steps(experiment, model)
        console.print(f"{out / 'models' / model.folder} is trained")


def run_study(recipe: Path, out: Path, changes: list[str], command: str) -> None:
    """Run a study and show its table."""
    console = Console()
    planned = load_recipe(recipe, changes)
    warn_of_failed(Camera.load(planned.camera))
    study = run(planned, out, command, console)
    console.print(_short_table(study))
    for sentence in (headline(study), *controls(study)[:1]):
        console.print(sentence)
    console.print(f"Report: {out / 'report.html'}")


def _short_table(study: Study) -> Table:
    """Top-1 accuracy in percent, and the gain over the fine-tuned classifier; the files have everything."""
    conditions = tables.conditions_of(study)
    title = f"{study.name}: top-1, and points gained on fine-tuning"
    table = Table("", *(tables.condition_name(c) for c in conditions), title=title)
    for method in tables.methods_of(study):
        row = []
        for condition in conditions:
            texts = []
            for cell in tables.cells_of(study, condition, method):
                gain = cell.to("finetuned")
                text = f"{100 * cell.top1.value:.1f} %"
                texts.append(text if gain is None else f"{text} ({100 * gain.value:+.1f})")
            row.append(", ".join(texts) or "–")
        table.add_row(tables.method_name(method), *row)
    return table
