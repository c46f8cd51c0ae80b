"""`dirtypixels pretrain`, `train` and `study`: three depths of the same work, in the same folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dirtypixels.study import results

TINY: dict[str, Any] = {
    "name": "tiny",
    "conditions": [{"name": "clean", "lux": None}, {"name": "6lux", "lux": 6}],
    "methods": ["pretrained", "unit", "finetuned", "joint"],
    "data": {"kind": "signs", "size": 32, "train": 24, "test": 6},
    "head": {"network": "test_efficientnet", "weights": None},
    "unit": {"filter_size": 3, "hidden": 4},
    "pretraining": {"patches": 4, "size": 16, "iterations": 12},
    "finetuning": {"epochs": 1, "batch": 12, "rate": 0.01, "accelerator": "cpu"},
}


CHANGES = ["--set", "finetuning.rate=0.02", "--set", "seed=3"]
ADAM = [
    "--set", "pretraining.optimizer=adam", "--set", "pretraining.steps=30", "--set", "pretraining.batch=2",
    "--set", "pretraining.color_size=16", "--set", "pretraining.rate=0.01",
]  # fmt: skip
BAD: dict[str, tuple[list[str], list[str]]] = {
    "missing recipe": (["none.yaml"], ["recipe must be a YAML file", "none.yaml"]),
    "no recipe": (["folder"], ["recipe must be a YAML file"]),
    "damaged recipe": (["damaged.yaml"], ["damaged.yaml", "not valid YAML"]),
    "wrong key": (["tiny.yaml", "--set", "finetuning.rat=1"], ["finetuning.rat", "found 1", "unit_rate"]),
    "unknown optimizer": (
        ["tiny.yaml", "--set", "pretraining.optimizer=sgd"],
        ["pretraining.optimizer", "'lbfgs' or 'adam'", "'sgd'"],
    ),
    "no change": (["tiny.yaml", "--set", "seed"], ["key=value", "'seed'"]),
    "wrong type": (["tiny.yaml", "--set", "seed=high"], ["seed", "'high'", "integer"]),
    "unknown camera": (["tiny.yaml", "--set", "camera=none"], ["camera must be a bundled profile", "semco", "'none'"]),
    "camera from the command line": (["tiny.yaml", "--camera", "a: b"], ["camera must be a bundled profile", "'a: b'"]),
    "unknown network": (["tiny.yaml", "--set", "head.network=none"], ["network of timm", "'none'"]),
    "missing photographs": (
        ["tiny.yaml", "--set", "data.kind=folder", "--set", "data.root=photos"],
        ["data.root must hold a folder 'train'", "photos"],
    ),
    "no weights": (["tiny.yaml", "--set", "head.weights=none.pth"], ["weights", "none.pth"]),
}


OTHERS: dict[str, tuple[list[str], str]] = {
    "pretrain": (["--set", "seed=4"], "seed is 3 there and 4 here"),
    "train": (["--set", "seed=3", "--set", "finetuning.rate=0.5"], "finetuning.rate is 0.02 there and 0.5 here"),
    "study": ([*CHANGES, "--set", "methods=[joint]"], "methods is ['pretrained', 'unit', 'finetuned', 'joint'] there"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipes, one of them damaged."""
    made = tmp_path_factory.mktemp("studies")
    (made / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (made / "damaged.yaml").write_text("name: [")
    (made / "folder").mkdir()
    return made


@pytest.fixture(scope="module")
def said(folder: Path, commands: Callable[..., Any]) -> dict[str, Any]:
    """Bad input; then `pretrain`, recipes that differ, and `train`, with the same output folder but for Adam."""
    recipe, out = folder / "tiny.yaml", folder / "out"
    argv: dict[str, list[object]] = {
        name: ["study", folder / given[0], *given[1:], "-o", folder / "bad"] for name, (given, _) in BAD.items()
    }
    argv["pretrain"] = ["pretrain", recipe, "-o", out, *CHANGES]
    argv |= {f"other {name}": [name, recipe, "-o", out, *given] for name, (given, _) in OTHERS.items()}
    argv["pretrain by Adam"] = ["pretrain", recipe, "-o", folder / "adam", *ADAM]
    argv["pretrain by Adam again"] = argv["pretrain by Adam"]
    argv["train"] = ["train", recipe, "-o", out, *CHANGES]
    return dict(zip(argv, commands(list(argv.values())), strict=True))


@pytest.fixture(scope="module")
def runs(folder: Path, said: dict[str, Any], command: Callable[..., Any]) -> tuple[Any, dict[str, int], dict[str, int]]:
    """What `study` said after them, and when each file was written: before it and after it."""
    before = written(folder / "out")
    found = command("study", folder / "tiny.yaml", "-o", folder / "out", *CHANGES)
    assert found.status == 0, found
    return found, before, written(folder / "out")


def written(folder: Path) -> dict[str, int]:
    found = [*folder.glob("units/*"), *folder.glob("models/*/*"), *folder.glob("predictions/*/*")]
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in found}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(said: dict[str, Any], folder: Path, name: str) -> None:
    said[name].check_refusal(*BAD[name][1])
    assert not (folder / "bad").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_of_another_recipe_is_refused(said: dict[str, Any], name: str) -> None:
    said[f"other {name}"].check_refusal("holds a study of another recipe", OTHERS[name][1], "choose another folder")


def test_pretrain_makes_the_units_and_says_where_their_curves_are(said: dict[str, Any]) -> None:
    found = said["pretrain"]
    assert found.status == 0, found
    assert "6lux.png" in found.out
    assert "L-BFGS" in found.out
    assert "training" not in found.out


def test_pretrain_by_adam(said: dict[str, Any], folder: Path) -> None:
    found = said["pretrain by Adam"]
    assert found.status == 0, found
    assert "unit, 6lux: Adam" in found.out
    assert "30/30 steps" in found.out
    assert "L-BFGS" not in found.out
    curve = json.loads((folder / "adam" / "units" / "6lux.json").read_text())["curve"]
    assert [step for step, _ in curve] == [0, 30]
    best = max(value for _, value in curve)
    assert best > curve[0][1] + 1
    assert f"6lux: {curve[0][1]:.2f} dB to {best:.2f} dB" in found.out
    again = said["pretrain by Adam again"]
    assert again.status == 0, again
    assert "Adam" not in again.out
    assert f"6lux: {curve[0][1]:.2f} dB to {best:.2f} dB" in again.out


def test_train_makes_the_models_from_the_units_that_are_there(
    said: dict[str, Any], runs: tuple[Any, dict[str, int], dict[str, int]]
) -> None:
    found = said["train"]
    assert found.status == 0, found
    assert "L-BFGS" not in found.out
    flat = "".join(found.out.split())
    assert "6lux-finetunedistrained" in flat
    assert "6lux-jointistrained" in flat
    _, before, _ = runs
    models = {f"models/6lux-{m}/{part}" for m in ("finetuned", "joint") for part in ("model.json", "model.safetensors")}
    assert before.keys() == models | {"units/6lux.json", "units/6lux.png", "units/6lux.pt"}


def test_study_goes_on_from_what_is_there(runs: tuple[Any, dict[str, int], dict[str, int]]) -> None:
    found, before, after = runs
    assert {name: after[name] for name in before} == before
    made = ("pretrained/clean", "pretrained/6lux", "6lux-unit/6lux", "6lux-finetuned/6lux", "6lux-joint/6lux")
    assert after.keys() - before.keys() == {f"predictions/{name}.npz" for name in made}
    assert "L-BFGS" not in found.out
    assert "training" not in found.out


def test_study_shows_its_table_and_names_the_report(
    runs: tuple[Any, dict[str, int], dict[str, int]], folder: Path
) -> None:
    found, _, _ = runs
    for cell in results.read(folder / "out" / "results.json").cells:
        assert f"{100 * cell.top1.value:.1f} %" in found.out
    for name in ("Pretrained", "Unit + pretrained", "Fine-tuned", "Joint", "6 lux"):
        assert name in found.out
    assert "report.html" in found.out.replace("\n", "")
    assert (folder / "out" / "report.html").is_file()


@pytest.mark.usefixtures("runs")
def test_changes_and_the_command_are_in_the_record(folder: Path) -> None:
    record = json.loads((folder / "out" / "results.json").read_text())
    assert record["recipe"]["finetuning"]["rate"] == 0.02
    assert record["recipe"]["seed"] == 3
    assert record["commands"].startswith("dirtypixels study ")
    assert record["commands"].endswith("--set finetuning.rate=0.02 --set seed=3")
