"""Studies with a lens: which methods are evaluated where, and the grid of light x PSF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.camera import Camera
from dirtypixels.recipe import Recipe
from dirtypixels.study import results, runner
from dirtypixels.study.predictions import Predictions
from dirtypixels.study.runner import plan, run

METHODS = ["pretrained", "nlm", "bm3d", "hqs", "unit", "finetuned", "joint"]
SMALL: dict[str, Any] = {
    "name": "small",
    "conditions": [
        {"name": "6lux", "lux": 6},
        {"name": "6lux+offaxis", "lux": 6, "position": "offaxis"},
        {"name": "clean+0.9-0.75", "lux": None, "position": [0.9, 0.75]},
    ],
    "methods": ["pretrained", "nlm", "hqs"],
    "data": {"kind": "signs", "size": 40, "train": 8, "test": 12},
    "head": {"network": "test_efficientnet", "weights": None},
    "limits": {"hqs": 3, "nlm": 4},
    "grid": {"lux": [6, None], "positions": [None, "offaxis"], "limit": 5},
}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**SMALL, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "small"
    run(recipe(), folder, "a test")
    return folder


def test_each_method_is_evaluated_where_it_can_be() -> None:
    conditions = [{"name": "clean", "lux": None}, *SMALL["conditions"]]
    found: dict[str, list[str]] = {}
    for one in plan(recipe(methods=METHODS, conditions=conditions, grid=None)):
        found.setdefault(one.condition.name, []).append(one.model.key)
    assert found == {
        "clean": ["pretrained"],
        "6lux": ["pretrained", "nlm", "bm3d", "unit", "finetuned", "joint"],
        "6lux+offaxis": ["pretrained", "hqs", "unit", "finetuned", "joint"],
        "clean+0.9-0.75": ["pretrained"],
    }


def test_cells_say_where_in_the_field_they_were_taken(folder: Path) -> None:
    study = results.read(folder / "results.json")
    found = {(c.condition, c.method): (c.lux, c.position, c.count, c.psnr is None) for c in study.part("methods")}
    assert found == {
        ("6lux", "pretrained"): (6.0, None, 12, False),
        ("6lux", "nlm"): (6.0, None, 4, False),
        ("6lux+offaxis", "pretrained"): (6.0, "offaxis", 12, False),
        ("6lux+offaxis", "hqs"): (6.0, "offaxis", 3, False),
        ("clean+0.9-0.75", "pretrained"): (None, "0.90,0.75", 12, False),
    }
    optics = Camera.load("nexus-6p-rear").optics
    assert optics is not None
    assert study.optics == optics.summary


def test_the_grid_is_the_pretrained_classifier_over_light_and_psf(folder: Path) -> None:
    study = results.read(folder / "results.json")
    found = [(c.condition, c.lux, c.position, c.method, c.count) for c in study.part("grid")]
    assert found == [
        ("6lux", 6.0, None, "pretrained", 5),
        ("6lux+offaxis", 6.0, "offaxis", "pretrained", 5),
        ("clean", None, None, "pretrained", 5),
        ("clean+offaxis", None, "offaxis", "pretrained", 5),
    ]
    assert [c.psnr is None for c in study.part("grid")] == [False, False, True, False]


def test_a_condition_of_the_study_is_not_evaluated_again_for_the_grid(folder: Path) -> None:
    kept = folder / "predictions"
    assert sorted(path.relative_to(kept).as_posix() for path in kept.glob("*/*")) == [
        "hqs/6lux+offaxis.npz", "nlm/6lux.npz", "pretrained/6lux+offaxis.npz", "pretrained/6lux.npz",
        "pretrained/clean+0.9-0.75.npz", "pretrained/clean+offaxis.npz", "pretrained/clean.npz",
    ]  # fmt: skip
    study = results.read(folder / "results.json")
    for cell in study.part("grid"):
        found = Predictions.load(kept / "pretrained" / f"{cell.condition}.npz")
        assert len(found) == (12 if cell.condition.startswith("6lux") else 5)
        assert cell.top1.value == pytest.approx(float(found.right[:5].double().mean()))
        if cell.psnr:
            assert found.psnr is not None
            assert cell.psnr.value == pytest.approx(float(found.psnr[:5].mean()))


def test_tables_and_figures_of_the_grid_are_written(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= {"grid.tex", "grid.png", "light.png"}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list(folder.glob("*.png")))
    assert "simulated from a design" in page.lower()
    rows = (folder / "results.csv").read_text().splitlines()
    assert len([row for row in rows if row.startswith("grid,")]) == 4


def test_a_study_that_is_finished_predicts_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("predicted again")

    before = results.read(folder / "results.json")
    monkeypatch.setattr(runner, "predict", never)
    assert run(recipe(), folder, "a test") == before


def test_a_grid_that_was_stopped_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_grid = {"conditions": [{"name": "clean", "lux": None}], "methods": ["pretrained"], "limits": {}}
    given, found = [], runner.predict

    def until_the_third(captures: Any, *args: Any, **options: Any) -> Predictions:
        given.append(captures)
        if len(given) == 3:
            raise KeyboardInterrupt
        return found(captures, *args, **options)

    monkeypatch.setattr(runner, "predict", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(recipe(**only_grid), tmp_path / "study", "a test")
    study = run(recipe(**only_grid), tmp_path / "study", "a test")
    assert len(given) == 3 + 2  # two were finished before; the third is predicted again, and the last
    other = results.read(folder / "results.json")
    for one, two in zip(study.part("grid"), other.part("grid"), strict=True):
        assert one.model_copy(update={"seconds_per_image": 0.0}) == two.model_copy(update={"seconds_per_image": 0.0})


def test_a_camera_without_psfs_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for changes in ({"conditions": SMALL["conditions"][:1]}, {"grid": None}):
        with pytest.raises(ValueError, match=r"camera must have PSFs .* such as '6lux\+offaxis'; found 'semco'"):
            run(recipe(camera="semco", **changes), tmp_path / "study", "a test")
    assert not (tmp_path / "study").exists()


def test_without_blur_the_psfs_are_not_spoken_of(tmp_path: Path) -> None:
    changes = {"conditions": SMALL["conditions"][:1], "methods": ["pretrained"], "limits": {}, "grid": None}
    study = run(recipe(**changes), tmp_path / "study", "a test")
    assert study.optics is None
    assert study.part("grid") == []
    assert np.isfinite(study.cells[0].top1.value)
