"""One model for every light against specialists: trains, judges and calibrates what a recipe's `light` asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dirtypixels.data import Captures
from dirtypixels.deploy.models import note_temperature
from dirtypixels.observation import Observation
from dirtypixels.recipe import Light
from dirtypixels.study import results
from dirtypixels.study.judge import answer_all, save_arrays
from dirtypixels.study.light_results import TRUE_NOISE, Kind, LightCell, LightStudy, Mismatch, RiskCurve
from dirtypixels.study.selective import expected_calibration_error
from dirtypixels.study.statistics import paired_difference, wilson
from dirtypixels.study.tables import light_name
from dirtypixels.study.workshop import Workshop
from dirtypixels.tasks import JointModel
from dirtypixels.tasks.ensemble import fit_temperature, select


@dataclass(frozen=True)
class Contender:
    """A model of a light study: how to get it, and the name of its folder."""

    name: str
    kind: Kind
    trained_lux: float | tuple[float, float] | None
    make: Callable[[], JointModel]
    folder: str | None = None


class Answers(NamedTuple):
    """What a model said of N captures: logits (N, K), the labels (N,), and seconds for a photograph."""

    logits: Tensor
    labels: Tensor
    seconds: float

    def first(self, count: int | None) -> Answers:
        return Answers(self.logits[:count], self.labels[:count], self.seconds)

    @property
    def right(self) -> Tensor:
        return self.logits.argmax(1) == self.labels


def contenders(workshop: Workshop) -> list[Contender]:
    """The classifier as it comes, a specialist for each light level, and what is trained over the whole range."""
    light = _light(workshop)
    whole = light.whole
    found = [Contender("pretrained", "pretrained", None, workshop.pretrained)]
    for lux in light.specialists:
        home = light.at(lux)
        make = partial(workshop.joint, home)
        found.append(Contender(f"specialist {light_name(lux)}", "specialist", lux, make, f"{home.name}-joint"))
    if "finetuned" in light.models:
        make = partial(workshop.finetuned, whole)
        found.append(Contender("finetuned", "finetuned", whole.lux, make, f"{whole.name}-finetuned"))
    if "unconditioned" in light.models:
        make = partial(workshop.joint, whole)
        found.append(Contender("unconditioned", "unconditioned", whole.lux, make, f"{whole.name}-joint"))
    for rounds in range(1, light.rounds + 1) if "conditioned" in light.models else ():
        said, suffix = (f", {rounds} rounds", f"-{rounds}-rounds") if rounds > 1 else ("", "")
        make = partial(workshop.joint, whole, light.features, rounds)
        folder = f"{whole.name}-conditioned{suffix}"
        found.append(Contender(f"conditioned{said}", "conditioned", whole.lux, make, folder))
    return found


def run_light(workshop: Workshop, command: str) -> LightStudy:
    """Everything that the recipe's `light` asks for; what is there already is used.

    Each model is judged on the same captures at every light level. Its temperature is fitted on held-out photographs
    in any light of the range. The ensemble is the most confident of the specialists.

    Args:
        workshop: of the study; its recipe has a `light`.
        command: the command line, for the record.
    """
    light = _light(workshop)
    every = contenders(workshop)
    held_out = {c.name: _held_out(workshop, c) for c in every}
    temperatures = {name: fit_temperature(found.logits, found.labels) for name, found in held_out.items()}
    for c in every:
        if c.folder is not None:
            note_temperature(workshop.folder / "models" / c.folder, temperatures[c.name])
    judged = {(c.name, lux): _judged(workshop, c, lux) for c in every for lux in light.judged}
    members = [c for c in every if c.kind == "specialist"]
    scales = torch.tensor([temperatures[c.name] for c in members], dtype=torch.float64)
    cells: dict[str, list[LightCell]] = {}
    curves = []
    for lux in light.judged:
        home = next((c for c in members if c.trained_lux == lux), None)
        reference = None if home is None else (home.name, judged[home.name, lux].right)
        for c in every:
            found, temperature = judged[c.name, lux], temperatures[c.name]
            plain, confidence = (_confidence(found.logits / t) for t in (1.0, temperature))
            cell = _cell(
                c.name,
                c.kind,
                c.trained_lux,
                lux,
                found.right,
                reference,
                seconds_per_image=found.seconds,
                passes=1,
                calibration_error=expected_calibration_error(plain, found.right),
                calibration_error_after=expected_calibration_error(confidence, found.right),
                temperature=temperature,
            )
            cells.setdefault(c.name, []).append(cell)
            curves.append(RiskCurve.of(c.name, lux, confidence, found.right))
        if len(members) > 1:
            together = [judged[c.name, lux] for c in members]
            chosen = select(torch.stack([found.logits for found in together]).double(), scales)
            right = chosen.answer == together[0].labels
            cell = _cell(
                "ensemble",
                "ensemble",
                (min(light.specialists), max(light.specialists)),
                lux,
                right,
                reference,
                seconds_per_image=sum(found.seconds for found in together),
                passes=len(members),
                calibration_error_after=expected_calibration_error(chosen.confidence, right),
            )
            cells.setdefault("ensemble", []).append(cell)
            curves.append(RiskCurve.of("ensemble", lux, chosen.confidence, right))
    return LightStudy(
        name=workshop.recipe.name,
        camera=workshop.recipe.camera,
        transfer=workshop.recipe.transfer,
        lux=light.range,
        data=workshop.data_summary()
        | {
            "judged photographs": min(light.limit or len(workshop.judged_photos), len(workshop.judged_photos)),
            "held-out photographs for the temperatures": light.held_out,
        },
        recipe=workshop.portable_recipe(),
        versions=results.versions(),
        hardware=results.hardware(),
        commands=command,
        cells=[cell for of_model in cells.values() for cell in of_model],
        mismatch=[m for c in every[-1:] if c.kind == "conditioned" for m in _mismatches(workshop, c)],
        selective=curves,
        notes=[*workshop.recipe.notes, *_budgets(workshop)],
    )


def _budgets(workshop: Workshop) -> list[str]:
    """How long the models were trained, where not all alike."""
    light, epochs = _light(workshop), workshop.recipe.finetuning.epochs
    if light.rounds == 1 or "conditioned" not in light.models:
        return []
    rounds = ", ".join(f"{n * epochs} after {n} rounds" for n in range(2, light.rounds + 1))
    return [
        f"The conditioned model was trained for {epochs} epochs, as was each specialist, and for {rounds}; all "
        f"{len(light.specialists)} specialists together took {len(light.specialists) * epochs}."
    ]


def _light(workshop: Workshop) -> Light:
    light = workshop.recipe.light
    if light is None:
        raise ValueError("recipe must have a light section for a study of one model for every light; found none")
    return light


def _cell(
    name: str,
    kind: Kind,
    trained: float | tuple[float, float] | None,
    lux: float,
    right: Tensor,
    reference: tuple[str, Tensor] | None,
    **more: Any,
) -> LightCell:
    difference = None
    if reference is not None and reference[0] != name:
        difference = paired_difference(right, reference[1], reference=reference[0])
    return LightCell(
        model=name,
        kind=kind,
        trained_lux=trained,
        judged_lux=lux,
        count=len(right),
        top1=wilson(int(right.sum()), len(right)),
        difference=difference,
        **more,
    )


def _confidence(logits: Tensor) -> Tensor:
    return logits.double().softmax(1).amax(1)


def _held_out(workshop: Workshop, contender: Contender) -> Answers:
    light = _light(workshop)

    def captures() -> Captures:
        return workshop.captures(light.whole, photos=workshop.held_out_photos)

    return _answers(workshop, contender, "held out", captures)


def _judged(workshop: Workshop, contender: Contender, lux: float) -> Answers:
    light = _light(workshop)
    condition = light.at(lux)
    captures = partial(workshop.captures, condition, limit=light.limit)
    return _answers(workshop, contender, condition.name, captures)


def _mismatches(workshop: Workshop, contender: Contender) -> list[Mismatch]:
    """The model told a wrong alpha, a wrong sigma, and both wrong by the same factor."""
    light = _light(workshop)
    limits = [limit for limit in (light.limit, light.wrong_limit) if limit is not None]
    limit = min(limits, default=None)
    found = []
    for lux in light.wrong_at:
        condition = light.at(lux)
        captures = partial(workshop.captures, condition, limit=limit)
        truth = _judged(workshop, contender, lux).first(limit)
        pairs = [(f, s) for x in light.factors if x != 1 for f, s in ((x, 1.0), (1.0, x), (x, x))]
        for alpha, sigma in [(1.0, 1.0), *pairs]:
            answers = truth
            if (alpha, sigma) != (1, 1):
                key = f"{condition.name}, alpha x{alpha:g}, sigma x{sigma:g}"
                answers = _answers(workshop, contender, key, captures, _told(alpha, sigma))
            right = answers.right
            found.append(
                Mismatch(
                    model=contender.name,
                    lux=lux,
                    alpha_factor=alpha,
                    sigma_factor=sigma,
                    count=len(right),
                    top1=wilson(int(right.sum()), len(right)),
                    difference=None
                    if answers is truth
                    else paired_difference(right, truth.right, reference=TRUE_NOISE),
                )
            )
    return found


def _told(alpha: float, sigma: float) -> Callable[[Observation], Observation]:
    return lambda obs: replace(obs, alpha=alpha * obs.alpha, sigma=sigma * obs.sigma)


def _answers(
    workshop: Workshop,
    contender: Contender,
    key: str,
    captures: Callable[[], Captures],
    told: Callable[[Observation], Observation] = lambda obs: obs,
) -> Answers:
    file = workshop.folder / "answers" / f"{contender.name}, {key}.npz"
    if not file.is_file():
        model = contender.make().to(workshop.device).eval()
        workshop.claim()
        given = captures()
        with workshop.progress("photographs") as bar:
            task = bar.add_task(f"{contender.name}, {key}", total=len(given))
            logits, labels, seconds = answer_all(
                given,
                lambda obs: model(told(obs)),
                workshop.device,
                report=lambda done: bar.update(task, completed=done),
            )
        save_arrays(file, {"logits": logits.numpy(), "labels": labels.numpy(), "seconds": seconds})
    with np.load(file, allow_pickle=False) as found:
        return Answers(torch.from_numpy(found["logits"]), torch.from_numpy(found["labels"]), float(found["seconds"]))
