"""What an experiment makes for conditions with a lens: patches, units that deblur, joint models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dirtypixels.deploy import load_model
from dirtypixels.recipe import Condition, Recipe
from dirtypixels.restore import Deblurrer, Denoiser, ProximalGradient
from dirtypixels.study.experiment import Experiment

BLURRED = Condition(name="50lux+offaxis", lux=50, position="offaxis")
RECIPE = Recipe.model_validate(
    {
        "name": "small",
        "conditions": [BLURRED.model_dump(), {"name": "50lux", "lux": 50}],
        "methods": ["unit", "joint"],
        "data": {"kind": "signs", "size": 32, "train": 12, "test": 4},
        "head": {"network": "test_efficientnet", "weights": None},
        "deblur": {"filter_size": 3, "hidden": 4, "weighting": "pixel"},
        "pretraining": {"blur_patches": 3, "blur_size": 24, "patches": 4, "size": 24, "iterations": 10},
        "finetuning": {"epochs": 1, "batch": 6},
    }
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment(RECIPE, tmp_path_factory.mktemp("studies") / "lens")


def test_the_unit_fits_the_condition(experiment: Experiment) -> None:
    unit = experiment.unit(BLURRED)
    assert isinstance(unit, Deblurrer)
    assert (unit.weighting, unit.solver.color) == ("pixel", "merged")
    assert isinstance(experiment.unit(RECIPE.conditions[1]), Denoiser)
    curve = experiment.curve(BLURRED)
    assert curve[-1][1] > curve[0][1]
    again = Experiment(RECIPE, experiment.folder).unit(BLURRED)
    assert all(torch.equal(again.state_dict()[name], value) for name, value in unit.state_dict().items())


def test_the_joint_model_deblurs_and_is_saved_with_its_position(experiment: Experiment) -> None:
    model = experiment.joint(BLURRED)
    assert isinstance(model.unit, Deblurrer)
    before = experiment.unit(BLURRED).state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in model.unit.state_dict().items())
    found, card = load_model(experiment.folder / "models" / f"{BLURRED.name}-joint")
    assert (card.position, card.unit) == ("offaxis", RECIPE.deblur)
    observation = experiment.captures(BLURRED, training=False)[0].observation
    with torch.inference_mode():
        assert torch.equal(found(observation), model(observation))


def test_captures_go_through_the_lens(experiment: Experiment) -> None:
    observation = experiment.captures(BLURRED, training=False)[0].observation
    torch.testing.assert_close(observation.psf, experiment.camera.psf("offaxis")[None])


def test_the_position_decides_whose_folder_it_is(experiment: Experiment) -> None:
    experiment.claim()
    moved = {**RECIPE.model_dump(), "conditions": [{**BLURRED.model_dump(), "position": "periphery"}]}
    with pytest.raises(ValueError, match="another recipe"):
        Experiment(Recipe.model_validate(moved), Path(experiment.folder))


def test_a_network_can_deblur(tmp_path: Path) -> None:
    deblur = {"kind": "proximal_gradient", "iterations": 2, "width": 2, "depth": 1, "blur": True}
    recipe = Recipe.model_validate(RECIPE.model_dump() | {"deblur": deblur})
    made = Experiment(recipe, tmp_path / "study")
    unit, curve = made.unit(BLURRED), made.curve(BLURRED)
    assert isinstance(unit, ProximalGradient)
    assert unit.blur
    assert curve[-1][1] > curve[0][1]
