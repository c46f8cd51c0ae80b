"""`dirtypixels pretrain`, `train` and `study`: three depths of the same work, in the same folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from dirtypixels.recipe import load_recipe
from dirtypixels.study import tables
from dirtypixels.study.report import headline
from dirtypixels.study.runner import plan, run
from dirtypixels.study.workshop import Workshop


def pretrain_units(recipe: Path, out: Path, changes: list[str]) -> None:
    """Pretrain the unit of every condition that has noise."""
    console = Console()
    workshop = Workshop(load_recipe(recipe, changes), out, console)
    for condition in workshop.recipe.conditions:
        if not condition.is_clean:
            workshop.unit(condition)
            curve = workshop.curve(condition)
            file = out / "units" / f"{condition.name}.png"
            console.print(f"{condition.name}: {curve[0][1]:.2f} dB to {curve[-1][1]:.2f} dB, curve in {file}")


def train_models(recipe: Path, out: Path, changes: list[str]) -> None:
    """Train every model that the recipe's methods need."""
    console = Console()
    workshop = Workshop(load_recipe(recipe, changes), out, console)
    for condition, method in plan(workshop.recipe):
        if method in ("finetuned", "joint"):
            getattr(workshop, method)(condition)
            console.print(f"{out / 'models' / f'{condition.name}-{method}'} is trained")


def run_study(recipe: Path, out: Path, changes: list[str], command: str) -> None:
    """Run a study and show its table."""
    console = Console()
    study = run(load_recipe(recipe, changes), out, command, console)
    console.print(Markdown(tables.to_markdown(study)))
    console.print(headline(study))
    console.print(f"Report: {out / 'report.html'}")
