"""A light study from its recipe to its record: what is trained, evaluated on what, and compared with what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.camera import Camera
from dirtypixels.deploy import load_model
from dirtypixels.recipe import Condition, Recipe
from dirtypixels.study import runner
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.results import Cell, Study
from dirtypixels.tasks import JointModel
from dirtypixels.tasks.ensemble import fit_temperature, select

RECIPE: dict[str, Any] = {
    "name": "tiny lights",
    "conditions": [{"name": "clean", "lux": None}],
    "methods": ["pretrained"],
    "data": {"kind": "signs", "size": 32, "train": 24, "test": 8},
    "head": {"network": "test_efficientnet", "weights": None},
    "unit": {"filter_size": 3, "hidden": 4},
    "pretraining": {"patches": 4, "size": 16, "iterations": 3},
    "finetuning": {"epochs": 1, "batch": 12, "rate": 0.02, "accelerator": "cpu"},
    "light": {
        "range": [2, 200],
        "specialists": [3, 30],
        "evaluated": [3, 10, 30],
        "models": ["finetuned", "unconditioned", "conditioned"],
        "features": 2,
        "held_out": 10,
        "wrong_at": [3],
        "factors": [0.5, 1],
        "wrong_limit": 5,
    },
}
MODELS = [
    "pretrained", "specialist 3 lux", "specialist 30 lux", "finetuned", "unconditioned", "conditioned", "ensemble",
]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Study]:
    patch = pytest.MonkeyPatch()
    patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    recipe, folder = Recipe.model_validate(RECIPE), tmp_path_factory.mktemp("light")
    study = runner.run(recipe, folder, "dirtypixels study tiny.yaml")
    patch.undo()
    return Experiment(recipe, folder), study


def predictions(experiment: Experiment, cell: Cell, key: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels that were kept of a cell's model."""
    with np.load(experiment.folder / "predictions" / cell.model.folder / f"{key}.npz") as found:
        return torch.from_numpy(found["logits"]), torch.from_numpy(found["labels"])


def cell_of(study: Study, name: str, lux: float) -> Cell:
    return next(cell for cell in study.part("light") if (cell.model.name, cell.lux) == (name, lux))


def test_every_model_is_evaluated_at_every_light_on_the_same_captures(done: tuple[Experiment, Study]) -> None:
    experiment, study = done
    assert [(c.model.name, c.lux) for c in study.part("light")] == [(m, lux) for m in MODELS for lux in (3, 10, 30)]
    model: JointModel = load_model(experiment.folder / "models" / "2-200lux-conditioned")[0]
    photos = experiment.evaluated_photos
    condition = Condition.of(10)
    given = experiment.captures(condition)
    with torch.inference_mode():
        expected = torch.cat([model(given[i].observation) for i in range(len(photos))])
    cell = cell_of(study, "conditioned", 10)
    found, labels = predictions(experiment, cell, "10lux")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert labels.tolist() == [photos[i].label for i in range(len(photos))]
    assert cell.top1.value == float((found.argmax(1) == labels).float().mean())


def test_only_the_conditioned_unit_knows_the_noise(done: tuple[Experiment, Study]) -> None:
    models = done[0].folder / "models"
    cards = {path.name: load_model(path)[1] for path in models.iterdir()}
    assert set(cards) == {"3lux-joint", "30lux-joint", "2-200lux-finetuned", "2-200lux-joint", "2-200lux-conditioned"}
    features = {name: None if card.unit is None else card.unit.features for name, card in cards.items()}
    assert features == {name: 2 if name.endswith("conditioned") else None if "fine" in name else 0 for name in cards}
    assert cards["2-200lux-joint"].lux == (2, 200)
    assert cards["3lux-joint"].lux == 3


def test_differences_are_to_the_specialist_of_the_light(done: tuple[Experiment, Study]) -> None:
    for cell in done[1].part("light"):
        home = f"specialist {cell.lux:g} lux"
        if cell.lux == 10 or cell.model.name == home:
            assert cell.difference is None
        else:
            assert cell.difference is not None
            assert cell.difference.reference == home


def test_temperatures_are_fitted_on_photographs_that_nothing_else_uses(done: tuple[Experiment, Study]) -> None:
    experiment, study = done
    held = {experiment.held_out_photos[i].key for i in range(len(experiment.held_out_photos))}
    used = {p[i].key for p in (experiment.training_photos, experiment.evaluated_photos) for i in range(len(p))}
    assert len(held) == 10
    assert not held & used
    for cell in study.part("light"):
        if cell.model.kind == "ensemble":
            assert cell.temperature is None
            continue
        assert cell.temperature == pytest.approx(fit_temperature(*predictions(experiment, cell, "held out")))
    card = load_model(experiment.folder / "models" / "2-200lux-conditioned")[1]
    assert card.temperature == cell_of(study, "conditioned", 3).temperature


def test_the_ensemble_is_the_most_confident_specialist(done: tuple[Experiment, Study]) -> None:
    experiment, study = done
    names = ["specialist 3 lux", "specialist 30 lux"]
    cells = [cell_of(study, name, 10) for name in names]
    scales = torch.tensor([cell.temperature for cell in cells])
    logits, labels = zip(*(predictions(experiment, cell, "10lux") for cell in cells), strict=True)
    expected = float((select(torch.stack(logits), scales).label == labels[0]).float().mean())
    cell = cell_of(study, "ensemble", 10)
    assert (cell.top1.value, cell.model.networks) == (expected, 2)
    assert set(cell.metrics) == {"top1", "top5", "calibrated_error", "risk_area"}


def test_what_is_told_is_wrong_and_what_is_captured_is_not(done: tuple[Experiment, Study]) -> None:
    experiment, study = done
    cells = study.part("wrong_noise")
    assert [(c.alpha_factor, c.sigma_factor) for c in cells] == [(1, 1), (0.5, 1), (1, 0.5), (0.5, 0.5)]
    assert all((c.model.name, c.lux, c.count) == ("conditioned", 3, 5) for c in cells)
    model = load_model(experiment.folder / "models" / "2-200lux-conditioned")[0]
    capture = experiment.captures(Condition.of(3))[0].observation
    level = Camera.load("nexus-6p-rear").noise.at_lux(3.0)
    told = replace(
        capture,
        alpha=torch.full((1, 1, 1, 1), 0.5 * float(level.alpha)),
        sigma=torch.full((1, 1, 1, 1), float(level.sigma)),
    )
    with torch.inference_mode():
        expected = model(told)
    found, _ = predictions(experiment, cells[1], "3lux alpha x0.5 sigma x1")
    torch.testing.assert_close(found[:1], expected, rtol=1e-4, atol=1e-4)


def test_goes_on_from_its_predictions(done: tuple[Experiment, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, study = done

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("predicted twice")

    monkeypatch.setattr(runner, "predict", fail)
    again = runner.run(experiment.recipe, experiment.folder, "dirtypixels study tiny.yaml")
    assert again == study
    json.loads(again.model_dump_json())


def test_a_unit_that_cannot_be_built_is_refused_before_any_training(tmp_path: Path) -> None:
    fixed = Recipe.model_validate({**RECIPE, "unit": {"filters": "gradient", "prior": "tv"}})
    with pytest.raises(ValueError, match="features must be 0 for the fixed prior 'tv'; found 2"):
        runner.run(fixed, tmp_path / "study", "")
    assert not (tmp_path / "study").exists()
