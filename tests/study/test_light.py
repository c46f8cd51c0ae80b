"""A light study from its recipe to its record: what is trained, judged on what, and compared with what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.camera import Camera
from dirtypixels.deploy import load_model
from dirtypixels.recipe import Condition, Recipe
from dirtypixels.study import light, runner
from dirtypixels.study.light_results import LightStudy
from dirtypixels.study.workshop import Workshop
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
        "judged": [3, 10, 30],
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
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, LightStudy]:
    patch = pytest.MonkeyPatch()
    patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    workshop = Workshop(Recipe.model_validate(RECIPE), tmp_path_factory.mktemp("light"))
    study = light.run_light(workshop, "dirtypixels study tiny.yaml")
    patch.undo()
    return workshop, study


def answers(workshop: Workshop, name: str, key: str) -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(workshop.folder / "answers" / f"{name}, {key}.npz") as found:
        return torch.from_numpy(found["logits"]), torch.from_numpy(found["labels"])


def test_every_model_is_judged_at_every_light_on_the_same_captures(done: tuple[Workshop, LightStudy]) -> None:
    workshop, study = done
    assert [(c.model, c.judged_lux) for c in study.cells] == [(m, lux) for m in MODELS for lux in (3, 10, 30)]
    model: JointModel = load_model(workshop.folder / "models" / "2-200lux-conditioned")[0]
    photos = workshop.judged_photos
    condition = Condition.of(10)
    given = workshop.captures(condition)
    with torch.inference_mode():
        expected = torch.cat([model(given[i].observation) for i in range(len(photos))])
    found, labels = answers(workshop, "conditioned", "10lux")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert labels.tolist() == [photos[i].label for i in range(len(photos))]
    cell = next(c for c in study.cells if (c.model, c.judged_lux) == ("conditioned", 10))
    assert cell.top1.value == float((found.argmax(1) == labels).float().mean())


def test_only_the_conditioned_unit_knows_the_noise(done: tuple[Workshop, LightStudy]) -> None:
    models = done[0].folder / "models"
    cards = {path.name: load_model(path)[1] for path in models.iterdir()}
    assert set(cards) == {"3lux-joint", "30lux-joint", "2-200lux-finetuned", "2-200lux-joint", "2-200lux-conditioned"}
    features = {name: None if card.unit is None else card.unit.features for name, card in cards.items()}
    assert features == {name: 2 if name.endswith("conditioned") else None if "fine" in name else 0 for name in cards}
    assert cards["2-200lux-joint"].lux == (2, 200)
    assert cards["3lux-joint"].lux == 3


def test_differences_are_to_the_specialist_of_the_light(done: tuple[Workshop, LightStudy]) -> None:
    for cell in done[1].cells:
        home = f"specialist {cell.judged_lux:g} lux"
        if cell.judged_lux == 10 or cell.model == home:
            assert cell.difference is None
        else:
            assert cell.difference is not None
            assert cell.difference.reference == home


def test_temperatures_are_fitted_on_photographs_that_nothing_else_uses(done: tuple[Workshop, LightStudy]) -> None:
    workshop, study = done
    held = {workshop.held_out_photos[i].key for i in range(len(workshop.held_out_photos))}
    used = {p[i].key for p in (workshop.training_photos, workshop.judged_photos) for i in range(len(p))}
    assert len(held) == 10
    assert not held & used
    for cell in study.cells:
        if cell.kind == "ensemble":
            continue
        assert cell.temperature == pytest.approx(fit_temperature(*answers(workshop, cell.model, "held out")))
    card = load_model(workshop.folder / "models" / "2-200lux-conditioned")[1]
    assert card.temperature == next(c.temperature for c in study.cells if c.model == "conditioned")


def test_the_ensemble_is_the_most_confident_specialist(done: tuple[Workshop, LightStudy]) -> None:
    workshop, study = done
    names = ["specialist 3 lux", "specialist 30 lux"]
    scales = torch.tensor([next(c.temperature for c in study.cells if c.model == name) for name in names])
    logits, labels = zip(*(answers(workshop, name, "10lux") for name in names), strict=True)
    expected = float((select(torch.stack(logits), scales).answer == labels[0]).float().mean())
    cell = next(c for c in study.cells if (c.model, c.judged_lux) == ("ensemble", 10))
    assert (cell.top1.value, cell.passes) == (expected, 2)


def test_what_is_told_is_wrong_and_what_is_captured_is_not(done: tuple[Workshop, LightStudy]) -> None:
    workshop, study = done
    assert [(m.alpha_factor, m.sigma_factor) for m in study.mismatch] == [(1, 1), (0.5, 1), (1, 0.5), (0.5, 0.5)]
    assert all((m.model, m.lux, m.count) == ("conditioned", 3, 5) for m in study.mismatch)
    model = load_model(workshop.folder / "models" / "2-200lux-conditioned")[0]
    capture = workshop.captures(Condition.of(3))[0].observation
    level = Camera.load("nexus-6p-rear").noise.at_lux(3.0)
    told = light.replace(
        capture,
        alpha=torch.full((1, 1, 1, 1), 0.5 * float(level.alpha)),
        sigma=torch.full((1, 1, 1, 1), float(level.sigma)),
    )
    with torch.inference_mode():
        expected = model(told)
    found, _ = answers(workshop, "conditioned", "3lux, alpha x0.5, sigma x1")
    torch.testing.assert_close(found[:1], expected, rtol=1e-4, atol=1e-4)


def test_goes_on_from_its_answers(done: tuple[Workshop, LightStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    workshop, study = done

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("judged twice")

    monkeypatch.setattr(light, "answer_all", fail)
    again = light.run_light(Workshop(workshop.recipe, workshop.folder), "dirtypixels study tiny.yaml")
    assert again == study
    json.loads(again.model_dump_json())


def test_refuses_a_recipe_without_light(tmp_path: Path) -> None:
    plain = Recipe.model_validate({k: v for k, v in RECIPE.items() if k != "light"})
    with pytest.raises(ValueError, match="recipe must have a light section"):
        light.run_light(Workshop(plain, tmp_path), "")


def test_a_unit_that_cannot_be_built_is_refused_before_any_training(tmp_path: Path) -> None:
    fixed = Recipe.model_validate({**RECIPE, "unit": {"filters": "gradient", "prior": "tv"}})
    with pytest.raises(ValueError, match="features must be 0 for the fixed prior 'tv'; found 2"):
        runner.run(fixed, tmp_path / "study", "")
    assert not (tmp_path / "study").exists()
