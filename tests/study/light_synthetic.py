"""A light study like a real one, from a simulation with invented numbers, for the tests of its tables and figures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dirtypixels.study import statistics
from dirtypixels.study.light_results import TRUE_NOISE, Kind, LightCell, LightStudy, Mismatch, RiskCurve
from dirtypixels.study.selective import expected_calibration_error

LIGHTS = (2.0, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0, 200.0)
SPECIALISTS = (3.0, 6.0, 25.0, 200.0)
FACTORS = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)
RANGE = (2.0, 200.0)


def ceiling(lux: float) -> float:
    """The accuracy that can be had at a light level."""
    return 0.93 - 0.42 / (1 + (lux / 2.2) ** 1.05)


def chance(kind: Kind, trained: float | None, lux: float, gap: float) -> float:
    """How often a model is right; `gap` is what the conditioned model lacks to the ceiling."""
    if kind == "pretrained":
        return 0.91 / (1 + (4.6 / lux) ** 1.15) + 0.05
    if kind == "specialist":
        assert trained is not None
        apart = math.log(lux / trained)
        return ceiling(lux) - (0.055 if apart < 0 else 0.02) * abs(apart) ** 1.3
    return ceiling(lux) - {"finetuned": 0.035, "unconditioned": 0.022, "conditioned": gap, "ensemble": 0.012}[kind]


def synthetic_light(
    count: int = 2000,
    lights: tuple[float, ...] = LIGHTS,
    specialists: tuple[float, ...] = SPECIALISTS,
    gap: float = 0.004,
    **changes: object,
) -> LightStudy:
    """Photographs have one difficulty for all models, so that differences are paired; confidences are overconfident."""
    models: dict[str, tuple[Kind, float | tuple[float, float] | None]] = {"pretrained": ("pretrained", None)}
    models |= {f"specialist {lux:g} lux": ("specialist", lux) for lux in specialists}
    models |= {kind: (kind, RANGE) for kind in ("finetuned", "unconditioned", "conditioned", "ensemble")}
    draw = torch.Generator().manual_seed(7)
    difficulty = torch.rand(count, generator=draw)
    cells, curves, mismatch = [], [], []

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
            over = sure**0.4
            cells.append(
                LightCell(
                    model=name,
                    kind=kind,
                    trained_lux=trained,
                    judged_lux=lux,
                    count=count,
                    top1=statistics.wilson(int(found[name].sum()), count),
                    difference=statistics.paired_difference(found[name], found[home], home)
                    if home in found and name != home
                    else None,
                    seconds_per_image=0.012 if kind in ("pretrained", "finetuned") else 0.05,
                    passes=1,
                    calibration_error=expected_calibration_error(over, found[name]),
                    calibration_error_after=expected_calibration_error(sure, found[name]),
                    temperature=None if kind == "ensemble" else 1.7,
                ).model_copy(
                    update={"passes": len(specialists), "seconds_per_image": 0.2} if kind == "ensemble" else {}
                )
            )
            curves.append(RiskCurve.of(name, lux, sure, found[name]))
    for lux in (3.0, 25.0):
        true = right(ceiling(lux) - gap)
        pairs = [pair for f in FACTORS if f != 1 for pair in ((f, 1.0), (1.0, f), (f, f))]
        for alpha, sigma in [(1.0, 1.0), *pairs]:
            wrong = abs(math.log(alpha)) ** 2 * 0.03 + abs(math.log(sigma)) ** 2 * 0.012 * 3 / lux
            told = true & (torch.rand(count, generator=draw) > wrong)
            mismatch.append(
                Mismatch(
                    model="conditioned",
                    lux=lux,
                    alpha_factor=alpha,
                    sigma_factor=sigma,
                    count=count,
                    top1=statistics.wilson(int((true if alpha == sigma == 1 else told).sum()), count),
                    difference=None if alpha == sigma == 1 else statistics.paired_difference(told, true, TRUE_NOISE),
                )
            )
    fields: dict[str, object] = {
        "name": "synthetic light study (invented numbers)",
        "camera": "nexus-6p-rear",
        "transfer": "linear",
        "lux": RANGE,
        "data": {"kind": "synthetic", "size": 112, "judged photographs": count},
        "recipe": {"seed": 0},
        "versions": {"python": "3.11.7"},
        "hardware": "2-core processor, 24 GiB, no GPU",
        "commands": "dirtypixels study recipes/light.yaml -o out",
        "cells": cells,
        "mismatch": mismatch,
        "selective": curves,
        "notes": ["Every number here is invented for a test."],
    }
    return LightStudy(**{**fields, **changes})  # type: ignore[arg-type]
