"""Several units in one study: each has its own models, cells and rows, and is what it would be alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dirtypixels.deploy import load_model
from dirtypixels.recipe import Recipe
from dirtypixels.study import runner
from dirtypixels.study.results import Cell, Study
from dirtypixels.study.tables import method_table

PAPER = {"filter_size": 3, "hidden": 4, "color": "shared"}
RECIPE: dict[str, Any] = {
    "name": "units",
    "conditions": [{"name": "6lux", "lux": 6}, {"name": "6lux+offaxis", "lux": 6, "position": "offaxis"}],
    "methods": ["pretrained", "unit", "finetuned", "joint"],
    "data": {"kind": "signs", "size": 32, "train": 12, "test": 8},
    "head": {"network": "test_efficientnet", "weights": None},
    "pretraining": {"patches": 4, "size": 16, "iterations": 3, "blur_patches": 2, "blur_size": 24},
    "finetuning": {"epochs": 1, "batch": 6, "rate": 0.02, "accelerator": "cpu"},
}
SEVERAL = {**RECIPE, "units": {"paper": PAPER, "merged": {**PAPER, "color": "merged"}}, "deblurs": {"paper": PAPER}}
ALONE = {**RECIPE, "conditions": RECIPE["conditions"][:1], "unit": PAPER}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study, Study]:
    folder = tmp_path_factory.mktemp("units")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
        several = runner.run(Recipe.model_validate(SEVERAL), folder / "several", "several")
        alone = runner.run(Recipe.model_validate(ALONE), folder / "alone", "alone")
    return folder / "several", several, alone


def found(study: Study) -> dict[tuple[str, str], Cell]:
    return {(cell.condition, cell.method): cell for cell in study.cells}


def test_each_unit_is_a_method_of_its_own_where_it_can_be(studies: tuple[Path, Study, Study]) -> None:
    folder, study, _ = studies
    assert list(found(study)) == [
        *(("6lux", m) for m in ("pretrained", "unit:paper", "unit:merged", "finetuned", "joint:paper", "joint:merged")),
        *(("6lux+offaxis", m) for m in ("pretrained", "unit:paper", "finetuned", "joint:paper")),
    ]
    names = {"6lux-finetuned", "6lux-joint-paper", "6lux-joint-merged", "6lux+offaxis-finetuned"}
    assert {path.name for path in (folder / "models").iterdir()} == names | {"6lux+offaxis-joint-paper"}
    units = {"6lux-paper", "6lux-merged", "6lux+offaxis-paper"}
    assert {path.stem for path in (folder / "units").glob("*.json")} == units
    colors = {name: load_model(folder / "models" / f"6lux-joint-{name}")[1].unit for name in ("paper", "merged")}
    assert {name: unit.color for name, unit in colors.items() if unit} == {"paper": "shared", "merged": "merged"}


def test_each_is_compared_with_the_classifier_alone(studies: tuple[Path, Study, Study]) -> None:
    _, study, _ = studies
    gaps = {key: [gap.reference for gap in cell.differences] for key, cell in found(study).items()}
    assert all(gap == ([] if method == "finetuned" else ["finetuned"]) for (_, method), gap in gaps.items())
    rows = [row[0] for section in method_table(study).sections for row in section.rows]
    assert rows[:6] == [
        "Pretrained", "Unit + pretrained, paper", "Unit + pretrained, merged", "Fine-tuned", "Joint, paper",
        "Joint, merged",
    ]  # fmt: skip


def test_a_unit_among_others_is_what_it_is_alone(studies: tuple[Path, Study, Study]) -> None:
    _, several, alone = studies
    for (condition, method), cell in found(alone).items():
        name = f"{method}:paper" if method in ("unit", "joint") else method
        same = found(several)[condition, name]
        assert (same.metrics, same.differences) == (cell.metrics, cell.differences)
