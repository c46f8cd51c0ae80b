"""Figure 7's photographs: chosen by a rule, with what each method gives the classifier."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from dirtypixels.recipe import Condition, Method, Recipe
from dirtypixels.study.judge import Verdicts, method
from dirtypixels.study.pictures import PanelRow, Picture
from dirtypixels.study.tables import CONVENTIONAL, condition_name, short_name
from dirtypixels.study.workshop import Workshop
from dirtypixels.tasks import class_names

RULE = (
    "For each condition the first photograph, in the data set's order, that the pretrained classifier gets wrong and "
    "the joint model right, among those that the conventional method judged. Under each picture the classifier's "
    "answer and the PSNR, under the scene its true class. The joint unit's picture is stretched in contrast to be "
    "seen; its PSNR is that of the picture as it is."
)

Judged = Mapping[tuple[Condition, Method], Verdicts]


def examples(workshop: Workshop, cells: Judged) -> tuple[list[PanelRow], str]:
    """A row for each condition: scene, capture, conventional result and joint unit's, and in words how it was chosen.

    Conditions in which the three methods were not judged are passed over; one in which no photograph fits the rule is
    named in the text.
    """
    rows, without = [], []
    for condition in workshop.recipe.conditions:
        conventional = conventional_method(condition, cells)
        if conventional is None or (condition, "joint") not in cells or (condition, "pretrained") not in cells:
            continue
        index = chosen(*(cells[condition, name] for name in ("pretrained", conventional, "joint")))
        if index is None:
            without.append(condition_name(condition.name))
        else:
            rows.append(_row(workshop, cells, condition, conventional, index))
    none = f" No photograph fits at {', '.join(without)}." if without else ""
    return rows, RULE + none


def conventional_method(condition: Condition, cells: Judged) -> Method | None:
    """What the joint unit is compared with: a conventional method, else the unit as pretrained for PSNR."""
    order = [*CONVENTIONAL, "unit"]
    judged = [name for there, name in cells if there == condition and name in order]
    return min(judged, key=order.index, default=None)


def chosen(pretrained: Verdicts, conventional: Verdicts, joint: Verdicts) -> int | None:
    """The first photograph that the pretrained classifier gets wrong and the joint model right, among those that the
    conventional method judged; None where there is none."""
    found = (~pretrained.top1 & joint.top1)[: len(conventional.top1)].nonzero()[0]
    return int(found[0]) if len(found) else None


def _row(workshop: Workshop, cells: Judged, condition: Condition, conventional: Method, index: int) -> PanelRow:
    names = class_names(workshop.judged_photos.classes)
    observation, label, scene = workshop.captures(condition, training=False)[index]
    truth = names[int(label)]
    pictures = [Picture(_display(scene[0], workshop.recipe), "scene", truth, None)]
    shown: tuple[Method, ...] = ("pretrained", conventional, "joint")
    for key in shown:
        verdict = cells[condition, key]
        restore, _ = method(workshop, condition, key)
        with torch.inference_mode():
            image = restore(observation.to(workshop.device))[0].cpu()
        title = {"pretrained": "capture", "joint": "joint unit, stretched"}.get(key, short_name(key))
        picture = _display(_stretched(image) if key == "joint" else image, workshop.recipe)
        answer, right = names[int(verdict.answer[index])], bool(verdict.top1[index])
        pictures.append(Picture(picture, title, answer, right, float(verdict.psnr[index])))
    return PanelRow(condition.name, truth, tuple(pictures))


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
