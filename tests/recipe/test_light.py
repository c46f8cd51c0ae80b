"""The part of a recipe about one model for every light."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dirtypixels.recipe import Condition, Light, LightRange, load_recipe

RECIPE = """
name: Lights
conditions: [{name: clean, lux: null}]
methods: [pretrained]
data: {kind: signs, train: 20, test: 8}
light: {range: [2, 200], specialists: [6], evaluated: [6, 60]}
"""


def light(**changes: Any) -> Light:
    return Light(**{"range": (2, 200), "specialists": (2, 20), "evaluated": (2, 6, 20), **changes})


def test_a_recipe_may_ask_for_one_model_for_every_light(tmp_path: Path) -> None:
    file = tmp_path / "lights.yaml"
    file.write_text(RECIPE)
    found = load_recipe(file, ["light.features=4"]).light
    assert found == Light(range=(2, 200), specialists=(6,), evaluated=(6, 60), features=4)


def test_held_out_photographs_need_a_count_of_training_ones(tmp_path: Path) -> None:
    file = tmp_path / "lights.yaml"
    file.write_text(RECIPE.replace("{kind: signs, train: 20, test: 8}", "{kind: folder, root: .}"))
    with pytest.raises(ValueError, match=r"data\.train must be given with light"):
        load_recipe(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"range": (200, 2)}, "must be two light levels, the lower one first; found [200.0, 2.0]"),
        ({"range": (2, 2)}, "the lower one first"),
        (
            {"specialists": (2, 60)},
            "evaluated must hold the lux of all specialists and of wrong_at; [60.0] are missing",
        ),
        ({"wrong_at": (7,)}, "[7.0] are missing"),
        ({"specialists": (2, 2)}, "must hold each value once; found [2.0, 2.0]"),
        ({"factors": (0.5, 2)}, "factors must hold 1, which the others are compared with; found [0.5, 2.0]"),
        ({"specialists": ()}, "at least 1 item"),
        ({"models": ("joint",)}, "'finetuned', 'unconditioned' or 'conditioned'"),
    ],
)
def test_refuses_what_does_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        light(**changes)


def test_a_range_is_named_by_its_ends() -> None:
    assert LightRange(lux=(2, 200)).name == "2-200lux"
    blurred = LightRange(lux=(0.5, 6), position="offaxis")
    assert blurred.name == "0.5-6lux+offaxis"
    assert blurred.is_blurred
    assert not LightRange(lux=(2, 200)).is_blurred
    assert LightRange(lux=(2, 200)).name != Condition.of(200).name


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [("{name: 6lux, lux: 6}", True), ("{name: 6lux, lux: 3}", False), ("{name: 2-200lux, lux: 6}", False)],
)
def test_a_name_means_the_same_in_conditions_and_light(tmp_path: Path, condition: str, allowed: bool) -> None:
    file = tmp_path / "lights.yaml"
    file.write_text(RECIPE.replace("{name: clean, lux: null}", condition))
    if allowed:
        load_recipe(file)
    else:
        with pytest.raises(ValueError, match="a name must mean one condition"):
            load_recipe(file)


def test_only_the_light_part_says_what_a_unit_knows(tmp_path: Path) -> None:
    file = tmp_path / "lights.yaml"
    file.write_text(RECIPE)
    load_recipe(file, ["deblur.features=3"])
    with pytest.raises(ValueError, match="features of the unit must be 0 with light, which has its own; found 3"):
        load_recipe(file, ["unit.features=3"])


def test_filters_have_an_odd_size(tmp_path: Path) -> None:
    file = tmp_path / "lights.yaml"
    file.write_text(RECIPE)
    with pytest.raises(ValueError, match="must be odd; found 4"):
        load_recipe(file, ["unit.filter_size=4"])


def test_light_is_trained_once(tmp_path: Path) -> None:
    file = tmp_path / "lights.yaml"
    file.write_text(RECIPE)
    with pytest.raises(ValueError, match=r"trainings must be 1 with light.*found 2"):
        load_recipe(file, ["trainings=2"])
