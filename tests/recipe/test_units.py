"""Several units in one recipe: by name, without blur and with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dirtypixels.recipe import Condition, Deblur, ProximalGradient, Recipe, ResidualCNN, UNet, Unit, load_recipe

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


class TestNetworks:
    """Networks in the place of an unrolled unit, by their kind."""

    def test_they_stand_next_to_unrolled_units(self, file: Path) -> None:
        changes = [
            "units.plain.kind=residual_cnn",
            "units.signal={kind: unet, width: 8, noise_maps: true}",
            "units.steps={kind: proximal_gradient, iterations: 2}",
            "deblurs.steps={kind: proximal_gradient, blur: true}",
            "deblurs.signal={kind: unet}",
        ]
        recipe = load_recipe(file, changes)
        assert recipe.units["paper"] == Unit(layers=1)
        assert recipe.units["plain"] == ResidualCNN(kind="residual_cnn")
        assert recipe.units["signal"] == UNet(kind="unet", width=8, noise_maps=True)
        assert recipe.units["steps"] == ProximalGradient(kind="proximal_gradient", iterations=2)
        assert recipe.deblurs["steps"] == ProximalGradient(kind="proximal_gradient", blur=True)
        assert recipe.units_for(BLURRED)["signal"] == UNet(kind="unet")
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe

    def test_one_can_be_the_only_unit(self) -> None:
        single = {k: v for k, v in RECIPE.items() if k not in ("units", "deblurs")}
        recipe = Recipe.model_validate({**single, "unit": {"kind": "unet"}})
        assert recipe.units_for(SHARP) == {None: UNet(kind="unet")}
        assert recipe.units_for(BLURRED) == {None: Deblur()}

    def test_it_can_be_trained_over_a_range_of_light(self) -> None:
        light = {"range": [2, 200], "specialists": [6], "evaluated": [6], "models": ["unconditioned"]}
        single = {k: v for k, v in RECIPE.items() if k not in ("units", "deblurs")}
        recipe = Recipe.model_validate({**single, "unit": {"kind": "unet"}, "light": light})
        assert recipe.unit == UNet(kind="unet")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("units.a={kind: dncnn}", ["units.a: ", "must be one of 'unet', 'residual_cnn', 'proximal_gradient'"]),
            ("units.a={kind: dncnn}", ["left out for an unrolled unit", "found 'dncnn'"]),
            ("units.a={kind: [1]}", ["units.a: ", "found [1]"]),
            ("units.a={kind: unet, layers: 2}", ["units.a.layers: ", "the keys are kind, width, depth, noise_maps (f"]),
            ("units.a={kind: unet, features: 8}", ["units.a.features: ", "the keys are kind, width, depth"]),
            ("deblurs.a={kind: residual_cnn, x: 2}", ["deblurs.a.x: ", "the keys are kind, width, depth (found 2)"]),
            ("deblurs.a={x: 2}", ["deblurs.a.x: ", "the keys are algorithm, layers", "weighting"]),
            ("units.a={kind: unet, width: 0}", ["units.a.width: ", "greater than or equal to 1"]),
            ("units.a=3", ["units.a: ", "(found 3)"]),
            ("units.a={kind: proximal_gradient, blur: true}", ["units.a.blur must be false; found true"]),
            ("deblurs.a={kind: proximal_gradient}", ["deblurs.a.blur must be true; found false"]),
        ],
    )
    def test_raises_on_a_wrong_change(self, file: Path, change: str, words: list[str]) -> None:
        with pytest.raises(ValueError, match="not valid") as raised:
            load_recipe(file, [change])
        missing = [word for word in words if word not in str(raised.value)]
        assert not missing, str(raised.value)
        assert str(raised.value).count(";") <= 2, str(raised.value)  # one complaint, not one for every kind of unit

    def test_raises_where_light_conditions_it(self) -> None:
        light = {"range": [2, 200], "specialists": [6], "evaluated": [6]}
        single = {k: v for k, v in RECIPE.items() if k not in ("units", "deblurs")}
        with pytest.raises(ValueError, match=r"unit must be an unrolled one for light's conditioned models.*'unet'"):
            Recipe.model_validate({**single, "unit": {"kind": "unet"}, "light": light})
