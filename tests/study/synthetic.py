"""Studies like real ones, from a simulation with invented numbers, for the tests of their tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dirtypixels.recipe import TRAINED, Condition, LightRange
from dirtypixels.study import statistics
from dirtypixels.study.results import TRUE_NOISE, Cell, Difference, Estimate, Model, Study, Training
from dirtypixels.study.selective import area_under_risk, expected_calibration_error, risk_coverage

# Synthetic: invented chances of being right, for photographs that do not exist.
CHANCES = {
    "clean": {"pretrained": 0.91, "finetuned": 0.92, "joint": 0.921},
    "6lux": {"pretrained": 0.59, "nlm": 0.52, "bm3d": 0.62, "unit": 0.485, "finetuned": 0.79, "joint": 0.815},
    "3lux": {"pretrained": 0.35, "nlm": 0.27, "bm3d": 0.40, "unit": 0.29, "finetuned": 0.70, "joint": 0.755},
}
FOUR = {
    **CHANCES,
    "6lux+offaxis": {"pretrained": 0.47, "hqs": 0.44, "unit": 0.50, "finetuned": 0.75, "joint": 0.785},
    "6lux+periphery": {"pretrained": 0.24, "hqs": 0.26, "unit": 0.33, "finetuned": 0.62, "joint": 0.675},
}
# The same with restorations that stay as they are in front of a fine-tuned classifier.
FROZEN = {
    **FOUR,
    "6lux": {**FOUR["6lux"], "nlm_finetuned": 0.77, "bm3d_finetuned": 0.78, "unit_finetuned": 0.80},
    "3lux": {**FOUR["3lux"], "nlm_finetuned": 0.69, "bm3d_finetuned": 0.71, "unit_finetuned": 0.72},
    "6lux+offaxis": {**FOUR["6lux+offaxis"], "hqs_finetuned": 0.76, "unit_finetuned": 0.77},
}
PSNRS = {
    "6lux": {"pretrained": 18.0, "nlm": 23.4, "bm3d": 24.1, "unit": 22.9, "finetuned": 18.0, "joint": 20.6},
    "3lux": {"pretrained": 15.0, "nlm": 20.9, "bm3d": 21.8, "unit": 20.5, "finetuned": 15.0, "joint": 17.9},
    "6lux+offaxis": {"pretrained": 17.1, "hqs": 21.4, "unit": 22.3, "finetuned": 17.1, "joint": 17.0},
    "6lux+periphery": {"pretrained": 16.2, "hqs": 18.9, "unit": 20.1, "finetuned": 16.2, "joint": 14.4},
}
LUX = {"clean": None, "6lux": 6.0, "3lux": 3.0}


def synthetic_study(
    count: int = 1000,
    seeds: tuple[int, ...] = (0,),
    chances: dict[str, dict[str, float]] | None = None,
    grid: Sequence[Cell] = (),
    trainings: int = 1,
    affine: bool = False,
    **changes: object,
) -> Study:
    """A study like a real one, from a simulation: photographs of one difficulty for all methods, so paired.

    trainings: of what is trained for a condition, each with a chance of its own.
    affine: with the PSNR after gain and offset, 3 dB above the PSNR.
    """
    cells = []
    for seed in seeds:
        for condition, methods in (CHANCES if chances is None else chances).items():
            draw = torch.Generator().manual_seed(seed)
            difficulty = torch.rand(count, generator=draw)
            right = {}
            for method, chance in methods.items():
                every = []
                for training in range(trainings if method.partition(":")[0] in TRAINED else 1):
                    own = torch.rand(count, generator=draw)
                    shifted = chance + 0.01 * training
                    every.append(torch.where(own < 0.25, torch.rand(count, generator=draw), difficulty) < shifted)
                right[method] = torch.stack(every)
            for method, found in right.items():
                base, _, unit = method.partition(":")
                psnr = PSNRS.get(condition, {}).get(method)
                references = ["finetuned"] if base != "finetuned" else []
                references += [method.replace("joint", "unit_finetuned")] if base == "joint" else []
                among5 = found | (difficulty < 0.5 + methods[method] / 2)
                values = None if psnr is None else psnr + 2 * torch.randn(found.shape, generator=draw)
                light, _, place = condition.partition("+")
                each = [_metrics(one, found, among5, values, affine) for one in range(len(found))]
                cells.append(
                    Cell(
                        condition=condition,
                        lux=LUX.get(light),
                        position=place or None,
                        model=Model(method=base, unit=unit or None),
                        seed=seed,
                        count=count,
                        metrics=_metrics(None, found, among5, values, affine),
                        trainings=tuple(
                            Training(seed=seed + number, metrics=metrics) for number, metrics in enumerate(each)
                        )
                        if len(each) > 1
                        else (),
                        seconds_per_image=0.012,
                        differences=tuple(
                            statistics.difference_over(found, right[one], one) for one in references if one in right
                        ),
                    )
                )
    fields: dict[str, object] = {
        "name": "synthetic study (invented numbers)",
        "camera": "nexus-6p-rear",
        "transfer": "linear",
        "data": {"kind": "synthetic", "size": 112, "classes": ["road", "sign"], "train": 3000, "test": count},
        "recipe": {"head": "tf_efficientnet_lite0", "optimizer": {"name": "adamw", "lr": 3e-4}, "epochs": 3},
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "hardware": "2-core processor, 24 GiB, no GPU",
        "commands": "dirtypixels study recipes/synthetic.yaml --set data.size=112 -o out",
        "cells": cells,
        "notes": ["Every number here is invented for a test."],
    }
    fields |= changes
    return Study.model_validate(fields | {"cells": [*fields["cells"], *grid]})  # type: ignore[misc]


def _metrics(
    training: int | None, found: Tensor, among5: Tensor, values: Tensor | None, affine: bool
) -> dict[str, Estimate]:
    """Of one training, or of all for None."""
    rows = slice(None) if training is None else slice(training, training + 1)
    metrics = {"top1": statistics.proportion_over(found[rows]), "top5": statistics.proportion_over(among5[rows])}
    if values is not None:
        metrics["psnr"] = statistics.mean_over(values[rows])
    if values is not None and affine:
        metrics["psnr_affine"] = statistics.mean_over(values[rows] + 3)
    return metrics


def synthetic_grid(count: int = 500) -> list[Cell]:
    """A grid of light x PSF in which both make the classifier worse; invented as the others."""
    cells = []
    for lux in (3.0, 6.0, 12.0, 24.0, 48.0, 96.0, None):
        light = 1.0 if lux is None else lux / (lux + 4)
        for place, blur in ((None, 0.0), ("center", 0.04), ("offaxis", 0.12), ("periphery", 0.4)):
            right, among5 = int(count * 0.92 * light * (1 - blur)), int(count * (1 - 0.3 * (1 - light) - blur / 2))
            name = "clean" if lux is None else f"{lux:g}lux"
            cells.append(
                Cell(
                    part="grid",
                    condition=name if place is None else f"{name}+{place}",
                    lux=lux,
                    position=place,
                    model=Model(method="pretrained"),
                    seed=0,
                    count=count,
                    metrics={"top1": statistics.wilson(right, count), "top5": statistics.wilson(among5, count)},
                    seconds_per_image=0.01,
                )
            )
    return cells


LIGHTS = (2.0, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0, 200.0)
SPECIALISTS = (3.0, 6.0, 25.0, 200.0)
FACTORS = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)
RANGE = (2.0, 200.0)


def ceiling(lux: float) -> float:
    """The accuracy that can be had at a light level."""
    return 0.93 - 0.42 / (1 + (lux / 2.2) ** 1.05)


def chance(kind: str, trained: float | None, lux: float, gap: float) -> float:
    """How often a model is right; `gap` is what the conditioned model lacks to the ceiling."""
    if kind == "pretrained":
        return 0.91 / (1 + (4.6 / lux) ** 1.15) + 0.05
    if kind == "specialist":
        assert trained is not None
        apart = math.log(lux / trained)
        return ceiling(lux) - (0.055 if apart < 0 else 0.02) * abs(apart) ** 1.3
    return ceiling(lux) - {"finetuned": 0.035, "unconditioned": 0.022, "conditioned": gap, "ensemble": 0.012}[kind]


def light_model(name: str) -> Model:
    """A model over light by its kind, "specialist 3 lux" or such as "conditioned"."""
    if name.startswith("specialist"):
        return Model.trained("joint", Condition.of(float(name.split()[1])))
    if name in ("unconditioned", "conditioned"):
        return Model.trained("joint", LightRange(lux=RANGE), conditioned=name == "conditioned")
    if name == "finetuned":
        return Model.trained("finetuned", LightRange(lux=RANGE))
    return Model(method=name, trained_lux=RANGE if name == "ensemble" else None)


def light_cell(
    name: str | Model, lux: float, count: int, right: int, differences: Sequence[Difference] = (), **more: Any
) -> Cell:
    """A cell of a model over light, of so many photographs named right."""
    fields = {
        "part": "light", "model": name if isinstance(name, Model) else light_model(name), "condition": f"{lux:g}lux",
        "lux": lux, "seed": 0, "count": count, "metrics": {"top1": statistics.wilson(right, count)},
        "differences": tuple(differences),
    }  # fmt: skip
    return Cell.model_validate(fields | more)


def fraction(value: float) -> Estimate:
    return Estimate(value=value, unit="fraction")


def told(alpha: float, sigma: float, lux: float, right: Tensor, truth: Tensor) -> Cell:
    """A cell of the conditioned model that is told so many times the true alpha and sigma."""
    true = alpha == sigma == 1
    gaps = [] if true else [statistics.paired_difference(right, truth, TRUE_NOISE)]
    factors = {"part": "wrong_noise", "alpha_factor": alpha, "sigma_factor": sigma}
    return light_cell("conditioned", lux, len(right), int(right.sum()), gaps, **factors)


def synthetic_light(
    count: int = 2000,
    lights: tuple[float, ...] = LIGHTS,
    specialists: tuple[float, ...] = SPECIALISTS,
    gap: float = 0.004,
    **changes: object,
) -> Study:
    """Photographs have one difficulty for all models, so that differences are paired; confidences are overconfident."""
    models: dict[str, tuple[str, float | tuple[float, float] | None]] = {"pretrained": ("pretrained", None)}
    models |= {f"specialist {lux:g} lux": ("specialist", lux) for lux in specialists}
    models |= {kind: (kind, RANGE) for kind in ("finetuned", "unconditioned", "conditioned", "ensemble")}
    draw = torch.Generator().manual_seed(7)
    difficulty = torch.rand(count, generator=draw)
    cells, wrong_noise = [], []

    def right(p: float) -> Tensor:
        own = torch.rand(count, generator=draw) < 0.15
        return torch.where(own, torch.rand(count, generator=draw), difficulty) < p

    for lux in lights:
        found = {
            name: right(chance(kind, trained if isinstance(trained, float) else None, lux, gap))
            for name, (kind, trained) in models.items()
        }
        home = f"specialist {lux:g} lux"
        for name, (kind, trained) in models.items():
            p = chance(kind, trained if isinstance(trained, float) else None, lux, gap)
            sure = torch.sigmoid(
                4 * (p - difficulty) + 1.2 * torch.randn(count, generator=draw) + (0.8 * found[name].double())
            ).clamp(0.1, 1)
            metrics = {
                "top1": statistics.wilson(int(found[name].sum()), count),
                "calibration_error": fraction(expected_calibration_error(sure**0.4, found[name])),
                "calibrated_error": fraction(expected_calibration_error(sure, found[name])),
                "risk_area": fraction(area_under_risk(sure, found[name])),
            }
            curve = risk_coverage(sure, found[name], 25)
            gaps = [statistics.paired_difference(found[name], found[home], home)] if home in found else []
            model = light_model(name)
            if kind == "ensemble":
                model = model.model_copy(update={"networks": max(len(specialists), 1)})
            cells.append(
                light_cell(
                    model,
                    lux,
                    count,
                    int(found[name].sum()),
                    gaps if name != home else [],
                    metrics=metrics,
                    risk=curve,
                    seconds_per_image={"pretrained": 0.012, "finetuned": 0.012, "ensemble": 0.2}.get(kind, 0.05),
                    temperature=None if kind == "ensemble" else 1.7,
                )
            )
    for lux in (3.0, 25.0):
        true = right(ceiling(lux) - gap)
        pairs = [pair for f in FACTORS if f != 1 for pair in ((f, 1.0), (1.0, f), (f, f))]
        for alpha, sigma in [(1.0, 1.0), *pairs]:
            wrong = abs(math.log(alpha)) ** 2 * 0.03 + abs(math.log(sigma)) ** 2 * 0.012 * 3 / lux
            kept = true & (torch.rand(count, generator=draw) > wrong)
            wrong_noise.append(told(alpha, sigma, lux, true if alpha == sigma == 1 else kept, true))
    fields: dict[str, object] = {
        "name": "synthetic light study (invented numbers)",
        "camera": "nexus-6p-rear",
        "transfer": "linear",
        "data": {"kind": "synthetic", "size": 112, "evaluated photographs": count},
        "recipe": {"seed": 0},
        "versions": {"python": "3.11.7"},
        "hardware": "2-core processor, 24 GiB, no GPU",
        "commands": "dirtypixels study recipes/light.yaml -o out",
        "cells": [*cells, *wrong_noise],
        "notes": ["Every number here is invented for a test."],
    }
    return Study.model_validate(fields | changes)
