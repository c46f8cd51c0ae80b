"""Recipes with a lens: positions, the names of conditions, and the grid of light x PSF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from dirtypixels.recipe import Condition, Deblur, Grid, Recipe, load_recipe

SMALL: dict[str, Any] = {
    "name": "small",
    "conditions": [
        {"name": "clean", "lux": None},
        {"name": "3lux", "lux": 3},
        {"name": "3lux+offaxis", "lux": 3, "position": "offaxis"},
        {"name": "corner", "lux": None, "position": [0.9, 1]},
    ],
    "methods": ["pretrained", "hqs", "joint"],
    "data": {"kind": "signs", "train": 40, "test": 20},
    "grid": {"lux": [3, 6, None], "positions": [None, "offaxis", [0.9, 0.75]]},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def test_what_a_condition_is(file: Path) -> None:
    conditions = load_recipe(file).conditions
    assert [c.position for c in conditions] == [None, None, "offaxis", (0.9, 1.0)]
    assert [c.is_blurred for c in conditions] == [False, False, True, True]
    assert [c.is_clean for c in conditions] == [True, False, False, False]
    assert len({*conditions, *conditions}) == 4


@pytest.mark.parametrize(
    ("lux", "position", "name"),
    [
        (None, None, "clean"), (3, None, "3lux"), (0.5, "center", "0.5lux+center"), (6, "offaxis", "6lux+offaxis"),
        (None, "periphery", "clean+periphery"), (6, (0.9, 0.75), "6lux+0.9-0.75"), (6, (1, 0), "6lux+1-0"),
    ],
)  # fmt: skip
def test_the_usual_names(lux: float | None, position: Any, name: str) -> None:
    assert Condition.of(lux, position) == Condition(name=name, lux=lux, position=position)


def test_the_grid_goes_row_by_row(file: Path) -> None:
    grid = load_recipe(file).grid
    assert grid is not None
    assert grid.limit is None
    assert [c.name for c in grid.conditions] == [
        "3lux", "3lux+offaxis", "3lux+0.9-0.75", "6lux", "6lux+offaxis", "6lux+0.9-0.75", "clean", "clean+offaxis",
        "clean+0.9-0.75",
    ]  # fmt: skip
    assert all(c == Condition.of(c.lux, c.position) for c in grid.conditions)


def test_what_is_not_said_has_a_default(file: Path) -> None:
    recipe = load_recipe(file, ["grid=null"])
    assert recipe.grid is None
    assert recipe.deblur == Deblur(layers=1, tied=False, filter_size=5, hidden=24, color="merged", weighting="image")
    assert (recipe.pretraining.blur_patches, recipe.pretraining.blur_size) == (200, 64)


def test_a_change_reaches_them(file: Path) -> None:
    changes = ["grid.limit=50", "deblur.weighting=pixel", "pretraining.blur_size=48", "limits.hqs=7"]
    recipe = load_recipe(file, changes)
    assert recipe.grid is not None
    assert (recipe.grid.limit, recipe.deblur.weighting, recipe.pretraining.blur_size) == (50, "pixel", 48)
    assert recipe.limits == {"hqs": 7}


def test_a_recipe_with_positions_survives_json(file: Path) -> None:
    recipe = load_recipe(file)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.model_validate(recipe.model_dump()) == recipe


PLACES = "must be 'center', 'offaxis', 'periphery', or [row, column], each in [0, 1]"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("conditions=[{name: a, lux: 3, position: edge}]", ["conditions.0.position", PLACES, "found 'edge'"]),
        ("conditions=[{name: a, lux: 3, position: [0.9]}]", ["conditions.0.position", PLACES, "found [0.9]"]),
        ("conditions=[{name: a, lux: 3, position: [0.9, 1.2]}]", [PLACES, "found [0.9, 1.2]"]),
        ("conditions=[{name: a, lux: 3, position: [0.9, .nan]}]", [PLACES, "found [0.9, nan]"]),
        ("conditions=[{name: a, lux: 3, position: [0.9, x]}]", [PLACES, "found [0.9, 'x']"]),
        ("grid.positions=[null, left]", ["grid.positions.1", PLACES, "found 'left'"]),
        ("grid.lux=[3, 0]", ["grid.lux.1", "greater than 0"]),
        ("grid.lux=[3, 3]", ["grid: ", "each once", "'3lux', '3lux+offaxis'"]),
        ("grid.positions=[]", ["grid: ", "one or more values", "give []"]),
        ("grid.limit=0", ["grid.limit", "greater than or equal to 1"]),
        ("grid.size=3", ["grid.size", "the keys are lux, positions, limit"]),
        ("deblur.color=blue", ["deblur.color", "'shared', 'own' or 'merged'"]),
        ("deblur.weighting=noise", ["deblur.weighting", "'none', 'image', 'pixel' or 'pixel_exact'"]),
    ],
)
def test_a_wrong_change_is_refused(file: Path, change: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match="is not valid") as raised:
        load_recipe(file, [change])
    missing = [word for word in words if word not in str(raised.value)]
    assert not missing, str(raised.value)


@pytest.mark.parametrize(
    "condition", ["{name: 6lux, lux: 7}", "{name: clean+offaxis, lux: null, position: [0.9, 0.9]}"]
)
def test_a_name_means_the_same_in_the_grid_and_outside(file: Path, condition: str) -> None:
    words = r"a name must mean one condition; found \(.*\) in grid or light and \(.*\) elsewhere"
    with pytest.raises(ValueError, match=words) as raised:
        load_recipe(file, [f"conditions=[{condition}]"])
    assert "'conditions':" not in str(raised.value)  # the whole recipe would be no help
    load_recipe(file, [f"conditions=[{condition}]", "grid=null"])


def test_a_grid_cannot_be_changed_afterwards() -> None:
    grid = Grid(lux=(3,), positions=(None,))
    with pytest.raises(ValidationError, match="frozen"):
        grid.limit = 3
