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


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def written(folder: Path) -> dict[str, int]:
    found = [*folder.glob("units/*"), *folder.glob("models/*/*"), *folder.glob("cells/*")]
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in found}


class TestThreeDepths:
    @pytest.fixture(scope="class")
    def runs(self, recipe: Path, command: Callable[..., Any], commands: Callable[..., Any]) -> dict[str, Any]:
        """What each command said, and what was written after it."""
        out, change = recipe.parent / "out", ["--set", "finetuning.rate=0.02", "--set", "seed=3"]
        made: dict[str, Any] = {}
        for name in ("pretrain", "train"):
            (found,) = commands([[name, recipe, "-o", out, *change]])
            assert found.status == 0, found
            made[name] = found, written(out)
        found = command("study", recipe, "-o", out, *change)
        assert found.status == 0, found
        made["study"] = found, written(out)
        return made

    def test_pretrain_makes_the_units_and_their_curves(self, runs: dict[str, Any]) -> None:
        found, files = runs["pretrain"]
        assert sorted(files) == ["units/6lux.json", "units/6lux.png", "units/6lux.pt"]
        assert "6lux.png" in found.out
        assert "dB" in found.out

    def test_train_adds_the_models(self, runs: dict[str, Any]) -> None:
        found, files = runs["train"]
        parts = ("model.json", "model.safetensors")
        models = {f"models/6lux-{m}/{part}" for m in ("finetuned", "joint") for part in parts}
        assert files.keys() - runs["pretrain"][1].keys() == models
        flat = "".join(found.out.split())
        assert "6lux-finetunedistrained" in flat
        assert "6lux-jointistrained" in flat

    def test_each_goes_on_from_the_one_before(self, runs: dict[str, Any]) -> None:
        (_, first), (_, second), (_, third) = runs["pretrain"], runs["train"], runs["study"]
        assert {k: second[k] for k in first} == first
        assert {k: third[k] for k in second} == second
        cells = {"clean.pretrained", "6lux.pretrained", "6lux.unit", "6lux.finetuned", "6lux.joint"}
        assert third.keys() - second.keys() == {f"cells/{name}.npz" for name in cells}

    def test_study_shows_its_table_and_names_the_report(self, runs: dict[str, Any], recipe: Path) -> None:
        found, _ = runs["study"]
        study = results.read(recipe.parent / "out" / "results.json")
        for cell in study.cells:
            assert f"{100 * cell.top1.value:.1f} %" in found.out
        for name in ("Pretrained", "Denoiser + pretrained", "Fine-tuned", "Joint", "6 lux"):
            assert name in found.out
        assert "report.html" in found.out.replace("\n", "")

    def test_changes_are_in_the_record(self, runs: dict[str, Any], recipe: Path) -> None:
        said = json.loads((recipe.parent / "out" / "results.json").read_text())
        assert said["recipe"]["finetuning"]["rate"] == 0.02
        assert said["recipe"]["seed"] == 3
        assert said["commands"].startswith("dirtypixels study ")
        assert said["commands"].endswith("--set finetuning.rate=0.02 --set seed=3")


BAD: dict[str, tuple[list[str], list[str]]] = {
    "missing recipe": (["none.yaml"], ["recipe must be a YAML file", "none.yaml"]),
    "no recipe": (["folder"], ["recipe must be a YAML file"]),
    "damaged recipe": (["damaged.yaml"], ["damaged.yaml", "not valid YAML"]),
    "wrong key": (["tiny.yaml", "--set", "finetuning.rat=1"], ["finetuning.rat", "found 1", "unit_rate"]),
    "no change": (["tiny.yaml", "--set", "seed"], ["key=value", "'seed'"]),
    "wrong type": (["tiny.yaml", "--set", "seed=high"], ["seed", "'high'", "integer"]),
    "unknown camera": (["tiny.yaml", "--set", "camera=none"], ["camera must be a bundled profile", "semco", "'none'"]),
    "unknown network": (["tiny.yaml", "--set", "head.network=none"], ["network of timm", "'none'"]),
    "missing photographs": (
        ["tiny.yaml", "--set", "data.kind=folder", "--set", "data.root=photos"],
        ["data.root must hold a folder 'train'", "photos"],
    ),
    "no weights": (["tiny.yaml", "--set", "head.weights=none.pth"], ["weights", "none.pth"]),
}


class TestBadInput:
    @pytest.fixture(scope="class")
    def found(self, recipe: Path, commands: Callable[..., Any]) -> dict[str, Any]:
        base = recipe.parent
        (base / "folder").mkdir()
        (base / "damaged.yaml").write_text("name: [")
        argv = [["study", base / given[0], *given[1:], "-o", base / "bad"] for given, _ in BAD.values()]
        results = dict(zip(BAD, commands(argv), strict=True))
        assert not (base / "bad").exists(), "nothing may be written"
        return results

    @pytest.mark.parametrize("name", BAD)
    def test_one_line_and_nothing_written(self, found: dict[str, Any], name: str) -> None:
        found[name].check_refusal(*BAD[name][1])

    def test_a_folder_of_another_recipe(self, recipe: Path, commands: Callable[..., Any], tmp_path: Path) -> None:
        mine = {**TINY, "methods": ["pretrained", "unit"]}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(mine))
        argv = [recipe.with_name("tiny.yaml"), "-o", tmp_path / "out"]
        first, *others = commands(
            [
                ["pretrain", *argv],
                *([name, *argv, "--set", "finetuning.rate=0.5"] for name in ("pretrain", "train", "study")),
                ["study", tmp_path / "recipe.yaml", "-o", tmp_path / "out"],
            ]
        )
        assert first.status == 0
        for found in others[:3]:
            found.check_refusal("holds a study of another recipe", "finetuning.rate is 0.01 there and 0.5 here")
        others[3].check_refusal("holds a study of another recipe", "methods is ['pretrained', 'unit', 'finetuned'")
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["recipe.json", "units"]
