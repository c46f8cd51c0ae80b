"""A study with a frozen restoration and several trainings, from its recipe to its record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dirtypixels.recipe import Recipe
from dirtypixels.study import results, runner, statistics, tables
from dirtypixels.study.predictions import Predictions
from dirtypixels.study.results import Cell, Study

METHODS = ["pretrained", "unit", "finetuned", "unit_finetuned", "joint"]
RECIPE: dict[str, Any] = {
    "name": "trainings",
    "seed": 3,
    "trainings": 2,
    "conditions": [{"name": "clean", "lux": None}, {"name": "6lux", "lux": 6}],
    "methods": METHODS,
    "data": {"kind": "signs", "size": 32, "train": 24, "test": 30},
    "head": {"network": "test_efficientnet", "weights": None},
    "unit": {"filter_size": 3, "hidden": 4},
    "pretraining": {"patches": 4, "size": 16, "iterations": 5},
    "finetuning": {"epochs": 1, "batch": 12, "rate": 0.02, "accelerator": "cpu"},
    "limits": {"unit": 10},
}
TRAINED = ("finetuned", "unit_finetuned", "joint")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The study with one training, then gone on with to two."""
    folder = tmp_path_factory.mktemp("trainings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
        runner.run(Recipe.model_validate({**RECIPE, "trainings": 1}), folder, "one")
        before = finished(folder)
        study = runner.run(Recipe.model_validate(RECIPE), folder, "two")
    assert {path: finished(folder)[path] for path in before} == before
    return folder, study


def finished(folder: Path) -> dict[Path, int]:
    found = [*folder.glob("models/*/*"), *folder.glob("predictions/*/*"), *folder.glob("units/*")]
    return {path: path.stat().st_mtime_ns for path in found}


def right(folder: Path, model: str) -> torch.Tensor:
    """Where both trainings of a model are right, (S, N)."""
    files = [folder / "predictions" / f"{model}{end}" / "6lux.npz" for end in ("", "-training2")]
    return torch.stack([Predictions.load(file).right for file in files if file.is_file()])


def cells_of(study: Study) -> dict[str, Cell]:
    return {cell.method: cell for cell in study.cells if cell.condition == "6lux"}


def test_everything_that_is_trained_is_trained_again(done: tuple[Path, Study]) -> None:
    folder, study = done
    names = {f"6lux-{method}{end}" for method in TRAINED for end in ("", "-training2")}
    assert {path.name for path in (folder / "models").iterdir()} == names
    assert {path.name for path in (folder / "predictions").iterdir()} == names | {"pretrained", "6lux-unit"}
    assert {path.stem for path in (folder / "units").iterdir()} == {"6lux"}
    assert [(cell.condition, cell.method) for cell in study.cells] == [
        ("clean", "pretrained"), *(("6lux", method) for method in METHODS),
    ]  # fmt: skip


def test_a_cell_holds_the_mean_and_every_training(done: tuple[Path, Study]) -> None:
    folder, study = done
    for method, cell in cells_of(study).items():
        assert (cell.seed, cell.count, cell.model.training) == (3, 10 if method == "unit" else 30, 1)
        assert [one.seed for one in cell.trainings] == ([3, 4] if method in TRAINED else [])
        if method in TRAINED:
            found = right(folder, f"6lux-{method}")
            assert cell.top1 == statistics.proportion_over(found)
            values = [one.metrics["top1"].value for one in cell.trainings]
            assert values == pytest.approx(found.double().mean(1).tolist())
    frozen, unit = (cells_of(study)[method] for method in ("unit_finetuned", "unit"))
    predictions = [
        Predictions.load(folder / "predictions" / n / "6lux.npz") for n in ("6lux-unit_finetuned", "6lux-unit")
    ]
    assert frozen.psnr is not None
    assert unit.psnr is not None
    assert torch.equal(predictions[0].first(10).psnr, predictions[1].psnr)  # type: ignore[arg-type]


def test_differences_are_between_the_same_photographs_and_seeds(done: tuple[Path, Study]) -> None:
    folder, study = done
    cells = cells_of(study)
    references = {method: [gap.reference for gap in cell.differences] for method, cell in cells.items()}
    assert references == {
        "pretrained": ["finetuned"], "unit": ["finetuned"], "finetuned": [], "unit_finetuned": ["finetuned"],
        "joint": ["finetuned", "unit_finetuned"],
    }  # fmt: skip
    joint, tuned, frozen = (right(folder, f"6lux-{method}") for method in ("joint", "finetuned", "unit_finetuned"))
    assert cells["joint"].differences == (
        statistics.difference_over(joint, tuned, "finetuned"),
        statistics.difference_over(joint, frozen, "unit_finetuned"),
    )
    assert cells["unit"].differences == (statistics.difference_over(right(folder, "6lux-unit"), tuned[:, :10]),)


def test_the_report_holds_the_frozen_unit_and_every_training(done: tuple[Path, Study]) -> None:
    folder, study = done
    assert results.read(folder / "results.json") == study
    page = (folder / "report.md").read_text()
    for text in ("Unit + fine-tuned", "## Each training", "seed 4", "was trained 2 times", "(psnr-affine.png)"):
        assert text in page
    assert (folder / "psnr-affine.png").is_file()
    assert tables.trainings_table(study).rows


def test_classical_methods_have_their_own_conditions() -> None:
    recipe = Recipe.model_validate(
        {
            **RECIPE,
            "conditions": [*RECIPE["conditions"], {"name": "6lux+offaxis", "lux": 6, "position": "offaxis"}],
            "methods": ["nlm_finetuned", "bm3d_finetuned", "hqs_finetuned", "unit_finetuned"],
            "units": {"a": RECIPE["unit"], "b": RECIPE["unit"]},
            "unit": {},
        }
    )
    assert [one.model.folder for one in runner.plan(recipe)] == [
        "6lux-nlm_finetuned", "6lux-bm3d_finetuned", "6lux-unit_finetuned-a", "6lux-unit_finetuned-b",
        "6lux+offaxis-hqs_finetuned", "6lux+offaxis-unit_finetuned",
    ]  # fmt: skip


def test_bm3d_in_a_training_needs_its_package_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match=r"pip install dirtypixels\[bm3d\]"):
        runner.run(Recipe.model_validate({**RECIPE, "methods": ["bm3d_finetuned"]}), tmp_path / "study", "command")
    assert not (tmp_path / "study").exists()
