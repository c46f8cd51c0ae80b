"""Recipes: what they accept, what a change does, and what the messages say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from dirtypixels.camera import Camera
from dirtypixels.recipe import Condition, Recipe, Unit, in_todays_keys, load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
STUDIES = {"demo", "imagenet", "imagenette"}  # those that compare all methods
SMALL = {
    "name": "small",
    "conditions": [{"name": "clean", "lux": None}, {"name": "3lux", "lux": 3}],
    "methods": ["pretrained", "joint"],
    "data": {"kind": "signs", "train": 40, "test": 20},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipes" / "small.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(SMALL))
    return path


def test_there_are_recipes_to_check() -> None:
    assert {path.stem for path in RECIPES} >= STUDIES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_loads(path: Path) -> None:
    recipe = load_recipe(path)
    written = yaml.safe_load(path.read_text())
    assert recipe.name == written["name"]
    assert all(c == Condition.of(c.lux, c.position) for c in recipe.conditions)  # names say what they are
    assert any(c.is_clean for c in recipe.conditions)
    if path.stem in STUDIES:
        assert {c.name for c in recipe.conditions} >= {"clean", "3lux"}
        assert set(recipe.methods) >= {"pretrained", "nlm", "bm3d", "unit", "finetuned", "joint"}
    assert ("hqs" in recipe.methods) == any(c.is_blurred for c in recipe.conditions)
    assert recipe.camera in Camera.available()
    for folder, given in ((recipe.data.root, written["data"].get("root")),
                          (recipe.pretraining.folder, written["pretraining"].get("folder"))):  # fmt: skip
        assert folder == (None if given is None else (path.parent / given).resolve())


def test_the_imagenet_recipe_is_the_papers() -> None:
    recipe = load_recipe(next(path for path in RECIPES if path.stem == "imagenet"))
    assert (recipe.head.network, recipe.data.size, recipe.pretraining.patches) == ("inception_v4", 299, 2000)
    assert (recipe.pretraining.iterations, recipe.finetuning.epochs) == (400, 2)
    assert recipe.finetuning.optimizer == "rmsprop"
    assert recipe.clean_training is None  # the weights of ImageNet are used as they come


@pytest.mark.parametrize("name", ["imagenette", "light"])
def test_published_numbers_come_from_their_recipe(name: str) -> None:
    results = RECIPES[0].parents[1] / "docs" / "results" / name / "results.json"
    published = in_todays_keys(json.loads(results.read_text(encoding="utf-8"))["recipe"])
    found = load_recipe(RECIPES[0].parent / f"{name}.yaml")
    assert _without_folders(Recipe.model_validate(published)) == _without_folders(found)


def _without_folders(recipe: Recipe) -> dict[str, object]:
    parts = recipe.model_dump()
    for part, key in (("data", "root"), ("pretraining", "folder")):
        del parts[part][key]
    return parts


def test_what_is_not_said_has_a_default(file: Path) -> None:
    recipe = load_recipe(file)
    assert (recipe.seed, recipe.camera, recipe.transfer) == (0, "nexus-6p-rear", "linear")
    assert recipe.clean_training is None
    assert recipe.data.evaluate_on == "val"
    assert (recipe.pretraining.optimizer, recipe.pretraining.iterations) == ("lbfgs", 400)
    assert [c.is_clean for c in recipe.conditions] == [True, False]


def test_a_recipe_cannot_be_changed_afterwards(file: Path) -> None:
    recipe = load_recipe(file)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        recipe.data.size = 3


def test_changes_reach_nested_keys_and_leave_the_others(file: Path) -> None:
    changes = [
        "seed=7",
        "finetuning.rate=2e-3",
        "finetuning.rate=0.004",  # the last one counts
        "data.size = 96",
        "clean_training.epochs=2",  # a part that the file does not have
        "methods=[pretrained, finetuned]",
        "conditions=[{name: 12lux, lux: 12}]",
        "notes=[a=b]",
    ]
    recipe, before = load_recipe(file, changes), load_recipe(file)
    assert recipe.seed == 7
    assert recipe.finetuning.rate == 0.004
    assert recipe.data.size == 96
    assert recipe.clean_training is not None
    assert recipe.clean_training.epochs == 2
    assert recipe.methods == ("pretrained", "finetuned")
    assert recipe.conditions == (Condition(name="12lux", lux=12),)
    assert recipe.notes == ("a=b",)
    assert recipe.finetuning.epochs == before.finetuning.epochs
    assert recipe.data.train == 40


def test_a_change_can_take_a_part_away(file: Path) -> None:
    assert load_recipe(file, ["clean_training.epochs=2", "clean_training=null"]) == load_recipe(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # what was found, the key, what is allowed
        ("finetuning.rat=0.1", ["finetuning.rat", "found 0.1", "rate", "unit_rate", "warmup"]),
        ("conditions=[{name: a, lux: 3, iso: 4}]", ["conditions.0.iso", "found 4", "the keys are name, lux, position"]),
        ("sead=1", ["sead", "found 1", "seed", "camera", "finetuning"]),
        ("clean_training.rat=1", ["clean_training.rat", "found 1", "rate"]),
        ("transfer=gamma", ["transfer", "'gamma'", "'linear' or 'srgb'"]),
        ("methods=[pretrained, median]", ["methods.1", "'median'", "'nlm'", "'joint'"]),
        ("finetuning.epochs=0", ["finetuning.epochs", "found 0", "greater than or equal to 1"]),
        ("finetuning.epochs=many", ["finetuning.epochs", "'many'", "integer"]),
        ("finetuning.rate=-1", ["finetuning.rate", "found -1", "greater than 0"]),
        ("finetuning.rate=.nan", ["finetuning.rate", "nan"]),
        ("pretraining.optimizer=sgd", ["pretraining.optimizer", "'lbfgs' or 'adam'", "found 'sgd'"]),
        ("pretraining.ema=1", ["pretraining.ema", "found 1", "less than 1"]),
        ("pretraining.held_out=0.6", ["pretraining.held_out", "found 0.6", "less than or equal to 0.5"]),
        ("pretraining.held_out=0", ["pretraining.held_out", "found 0", "greater than 0"]),
        ("finetuning.warmup=1", ["finetuning.warmup", "found 1", "less than 1"]),
        ("finetuning.unit_warmup=1", ["finetuning.unit_warmup", "found 1", "less than 1"]),
        ("finetuning.restoration=-1", ["finetuning.restoration", "found -1", "greater than or equal to 0"]),
        ("finetuning.restoration=.inf", ["finetuning.restoration", "inf", "finite"]),
        ("finetuning.ema=1", ["finetuning.ema", "found 1", "less than 1"]),
        ("finetuning=3", ["finetuning", "found 3"]),
        ("conditions=[]", ["conditions", "at least 1"]),
        ("conditions=[{name: a, lux: 3}, {name: a, lux: 6}]", ["conditions", "different names", "['a', 'a']"]),
        ("conditions=[{name: a/b, lux: 3}]", ["conditions.0.name", "'a/b'", "pattern"]),
        ("conditions=[{name: a, lux: 0}]", ["conditions.0.lux", "found 0", "greater than 0"]),
        ("data.kind=folder", ["data.root", "'folder'"]),
        ("data.test=null", ["data.train and data.test", "'signs'"]),
        ("seed=-1", ["seed", "found -1", "greater than or equal to 0"]),
        ("limits.finetuned=10", ["limits", "'finetuned'", "nlm, bm3d, hqs or unit"]),
        ("limits.unit_finetuned=10", ["limits", "'unit_finetuned'", "first three with _finetuned"]),
        ("trainings=0", ["trainings", "found 0", "greater than or equal to 1"]),
        ("seed", ["key=value", "'seed'"]),
        ("=3", ["key=value", "'=3'"]),
        ("name.deeper=3", ["'name.deeper'", "'name' is a value"]),
        ("seed=[1", ["value of a change must be YAML", "'seed=[1'"]),
    ],
)  # fmt: skip
def test_a_wrong_change_is_refused(file: Path, change: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"recipe|change") as raised:
        load_recipe(file, [change])
    missing = [word for word in words if word not in str(raised.value)]
    assert not missing, str(raised.value)


def test_every_wrong_key_is_named(file: Path) -> None:
    with pytest.raises(ValueError, match="not valid") as raised:
        load_recipe(file, ["seed=x", "data.size=0"])
    assert "seed: " in str(raised.value)
    assert "data.size: " in str(raised.value)
    assert str(file) in str(raised.value)


def test_held_out_photographs_need_both_numbers(file: Path) -> None:
    assert load_recipe(file, ["data.evaluate_on=held_out"]).data.evaluate_on == "held_out"
    with pytest.raises(ValueError, match=r"data\.train and data\.test must be given to evaluate on held-out"):
        load_recipe(file, ["data={kind: folder, root: x, evaluate_on: held_out, train: 5}"])


def test_folders_are_relative_to_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    changes = ["data.kind=folder", "data.root=../photos", "pretraining.folder=patches"]
    for path in (file, Path("small.yaml")):
        recipe = load_recipe(path, changes)
        assert recipe.data.root == file.parents[1].resolve() / "photos"
        assert recipe.pretraining.folder == file.parent.resolve() / "patches"
    absolute = load_recipe(file, ["data.kind=folder", "data.root=/photos"])
    assert absolute.data.root == Path("/photos")
    assert absolute.pretraining.folder is None


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"recipe must be a YAML file; found nothing at '.*none\.yaml'"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match="recipe must be a YAML file"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        (b"- a\n- b\n", "must hold keys and values; found list"),
        (b"", "must hold keys and values; found NoneType"),
        (b"name: x\n", "conditions: Field required"),
        (b"name: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)
def test_a_damaged_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "damaged.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        load_recipe(path)
    assert "damaged.yaml" in str(raised.value)


def test_a_recipe_survives_json(file: Path) -> None:
    # Studies keep their recipe as JSON and compare it when they go on.
    recipe = load_recipe(file, ["clean_training.epochs=2", "pretraining.folder=patches", "limits.nlm=5"])
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_what_the_oldest_published_study_says_of_its_units_means_what_it_meant() -> None:
    """It has neither color nor start nor growth of its unit; today's defaults are others."""
    file = Path(__file__).parents[2] / "docs" / "results" / "imagenette" / "results.json"
    recipe = in_todays_keys(json.loads(file.read_text())["recipe"])
    assert Unit.model_validate(recipe["unit"]) == Unit(color="shared", start="identity", growth=1)
    assert recipe["deblur"]["color"] == "merged"
    assert (recipe["deblur"]["start"], recipe["deblur"]["growth"]) == ("identity", 1)


def test_a_units_name_is_not_that_of_a_further_training() -> None:
    with pytest.raises(ValueError, match="names must not end like a further training's folder"):
        load_recipe("recipes/glance.yaml", ["units={deep-training2: {layers: 2}}"])
