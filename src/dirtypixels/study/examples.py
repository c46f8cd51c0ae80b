"""Figure 7: photographs chosen by a rule, with what each method gives the classifier and what it made of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from dirtypixels.plotting import DPI, INK, save
from dirtypixels.recipe import Condition, Recipe
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.predictions import Predictions, steps
from dirtypixels.study.results import Model
from dirtypixels.study.tables import CONVENTIONAL, condition_name, short_name
from dirtypixels.tasks import class_names

RULE = (
    "For each condition the first photograph, in the data set's order, that the pretrained classifier gets wrong and "
    "the joint model right, among those that the conventional method was evaluated on. Under each picture the "
    "classifier's answer and the PSNR, under the scene its true class. The joint unit's picture is stretched in "
    "contrast to be seen; its PSNR is that of the picture as it is."
)

Evaluated = Mapping[str, Model]
"""The models evaluated under one condition, by the key of their method."""


class Picture(NamedTuple):
    """One picture of a panel and what the classifier made of it.

    Args:
        image: (3|1, H, W), as it is to be shown: 0 black, 1 white; clipped to that for showing.
        title: what it is, e.g. "capture"; shown where it is another than that of the picture over it.
        label: the name of the class that the classifier gave it.
        right: whether that is the true class; None where the label is the true class itself, given and not answered.
        psnr: against the scene, in dB; None for the scene itself.
    """

    image: Tensor
    title: str
    label: str
    right: bool | None
    psnr: float | None = None


class PanelRow(NamedTuple):
    """One photograph under one condition, with its true class: the scene, and what each method makes of its capture."""

    condition: str
    truth: str
    pictures: tuple[Picture, ...]


def examples(
    experiment: Experiment,
    evaluated: Mapping[Condition, Evaluated],
    predictions: Callable[[Condition, Model], Predictions],
) -> tuple[list[PanelRow], str]:
    """A row for each condition: scene, capture, conventional result and joint unit's, and in words how it was chosen.

    Conditions under which the three methods were not evaluated are passed over; one in which no photograph fits the
    rule is named in the text. Of several joint models the first one is shown.
    """
    rows, without = [], []
    for condition, models in evaluated.items():
        shown = [models.get("pretrained"), conventional_method(models), _first(models, "joint")]
        methods = [model for model in shown if model is not None]
        if len(methods) < len(shown):
            continue
        found = {model: predictions(condition, model) for model in methods}
        index = chosen(*found.values())
        if index is None:
            without.append(condition_name(condition.name))
        else:
            rows.append(_row(experiment, found, condition, index))
    none = f" No photograph fits at {', '.join(without)}." if without else ""
    return rows, RULE + none


def conventional_method(models: Evaluated) -> Model | None:
    """What the joint unit is compared with: a conventional method, else the unit as pretrained for PSNR."""
    return next((found for method in (*CONVENTIONAL, "unit") if (found := _first(models, method))), None)


def chosen(pretrained: Predictions, conventional: Predictions, joint: Predictions) -> int | None:
    """The first photograph that the pretrained classifier gets wrong and the joint model right, among those that the
    conventional method was evaluated on; None where there is none."""
    found = (~pretrained.right & joint.right)[: len(conventional)].nonzero()
    return int(found[0]) if len(found) else None


def panels(rows: Sequence[PanelRow], path: Path | str) -> None:
    """Rows of as many pictures: scene, noisy capture, restored; under each its label, right or wrong, and its PSNR."""
    columns = len(rows[0].pictures)
    shape = max(row.pictures[0].image.shape[-2] / row.pictures[0].image.shape[-1] for row in rows)
    figure = Figure(
        figsize=(0.5 + 2.25 * columns, len(rows) * (2.25 * shape + 0.5) + 0.4), dpi=DPI, layout="constrained"
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row.pictures):
            axes = grid[i, j]
            pixels = picture.image.detach().cpu().float().clamp(0, 1)
            axes.imshow(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#bbbbbb", linewidth=0.6)
            mark, color = {True: ("✓ ", "#00664d"), False: ("✗ ", "#a33a00"), None: ("", INK)}[picture.right]
            psnr = "" if picture.psnr is None else f"\n{picture.psnr:.1f} dB"
            axes.set_xlabel(f"{mark}{_short(picture.label)}{psnr}", fontsize=9, color=color, labelpad=3)
            if i == 0 or rows[i - 1].pictures[j].title != picture.title:
                axes.set_title(picture.title, fontsize=10.5, color=INK)
        name = f"{condition_name(row.condition)}\n{_short(row.truth)}"
        grid[i, 0].set_ylabel(name, fontsize=10, color=INK)
    save(figure, path)


def _row(experiment: Experiment, found: Mapping[Model, Predictions], condition: Condition, index: int) -> PanelRow:
    names = class_names(experiment.evaluated_photos.classes)
    observation, label, scene = experiment.captures(condition, training=False)[index]
    truth = names[int(label)]
    pictures = [Picture(_display(scene[0], experiment.recipe), "scene", truth, None)]
    for model, predictions in found.items():
        restore, _ = steps(experiment, model)
        with torch.inference_mode():
            image = restore(observation.to(experiment.device))[0].cpu()
        named = {"pretrained": "capture", "joint": "joint unit, stretched"}
        title = named.get(model.method, short_name(model.key))
        picture = _display(_stretched(image) if model.method == "joint" else image, experiment.recipe)
        answer, right = names[int(predictions.predicted[index])], bool(predictions.right[index])
        assert predictions.psnr is not None
        pictures.append(Picture(picture, title, answer, right, float(predictions.psnr[index])))
    return PanelRow(condition.name, truth, tuple(pictures))


def _first(models: Evaluated, method: str) -> Model | None:
    return next((model for model in models.values() if model.method == method), None)


def _stretched(image: torch.Tensor) -> torch.Tensor:
    """Brightness and contrast so that 1 % of the values are black and 1 % white: training for the task leaves the unit
    free to choose both, and a person would see nothing but white."""
    low, high = torch.quantile(image.flatten(), torch.tensor([0.01, 0.99])).tolist()
    stretched: Tensor = (image - low) / max(high - low, 1e-6)
    return stretched


def _display(image: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """For a person: light gets the sRGB curve if the recipe took it off."""
    image = image.clamp(0, 1)
    if recipe.transfer == "linear":
        return image
    return torch.where(image <= 0.0031308, 12.92 * image, 1.055 * image.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def _short(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
