"""Several units in one recipe: by name, without blur and with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dirtypixels.recipe import Condition, Deblur, Recipe, Unit, load_recipe

RECIPE: dict[str, Any] = {
    "name": "units",
    "conditions": [{"name": "3lux", "lux": 3}, {"name": "6lux+offaxis", "lux": 6, "position": "offaxis"}],
    "methods": ["unit", "finetuned", "joint"],
    "data": {"kind": "signs", "train": 20, "test": 8},
    "units": {"paper": {"layers": 1}, "merged": {"color": "merged"}, "unet": {"prior": "unet"}},
    "deblurs": {"merged": {}, "pixel": {"weighting": "pixel"}},
}
SHARP, BLURRED = Condition.of(3), Condition.of(6, "offaxis")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "units.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def test_each_condition_has_the_units_that_it_asks_for(file: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.units_for(SHARP) == {
        "paper": Unit(layers=1),
        "merged": Unit(color="merged"),
        "unet": Unit(prior="unet"),
    }
    assert recipe.units_for(BLURRED) == {"merged": Deblur(), "pixel": Deblur(weighting="pixel")}
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_a_single_unit_needs_no_name() -> None:
    single = {k: v for k, v in RECIPE.items() if k not in ("units", "deblurs")}
    recipe = Recipe.model_validate({**single, "unit": {"layers": 2}})
    assert recipe.units_for(SHARP) == {None: Unit(layers=2)}
    assert recipe.units_for(BLURRED) == {None: Deblur()}


def test_a_change_reaches_a_named_unit(file: Path) -> None:
    assert load_recipe(file, ["units.paper.layers=3"]).units["paper"].layers == 3


LIGHT = "{range: [2, 200], specialists: [6], evaluated: [6]}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("unit.layers=2", "unit must not be given with units, which names several; found both"),
        ("deblur.layers=2", "deblur must not be given with deblurs"),
        ("units.paper.colour=own", "units.paper.colour"),
        ("units.paper.colour=own", "the keys are algorithm, layers"),
        ("units={a/b: {}}", "String should match pattern"),
        (f"light={LIGHT}", "light must be of a single unit; found units or deblurs"),
    ],
)
def test_raises_on_a_wrong_change(file: Path, change: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        load_recipe(file, [change])
