"""Figure 7: the photograph is chosen by the rule, and what is shown of it is what was predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.recipe import Condition, Recipe
from dirtypixels.study import examples as room
from dirtypixels.study.examples import PanelRow, Picture, chosen, conventional_method, examples, panels
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.predictions import Predictions
from dirtypixels.study.results import Model
from dirtypixels.tasks import class_names

SHARP, BLURRED = Condition.of(6), Condition.of(6, "periphery")


def predicted(right: str, answer: int = 0) -> Predictions:
    """Predictions that are right where a letter is x; all of them answer the same."""
    logits = torch.zeros(len(right), 5)
    logits[:, answer] = 1
    labels = torch.tensor([answer if letter == "x" else (answer + 1) % 5 for letter in right])
    return Predictions(logits, labels, torch.linspace(10, 20, len(right), dtype=torch.float64), 0.1)


@pytest.mark.parametrize(
    ("pretrained", "conventional", "joint", "index"),
    [
        ("xx..x.", "......", "xxx.xx", 2),
        ("xx....", "xxxxxx", "....xx", 4),  # whether the conventional method is right does not matter
        ("xx....", "...", "....xx", None),  # it was evaluated on the first three only
        ("xxxxxx", "......", "xxxxxx", None),
        ("......", "......", "......", None),
    ],
)
def test_the_rule(pretrained: str, conventional: str, joint: str, index: int | None) -> None:
    assert chosen(predicted(pretrained), predicted(conventional), predicted(joint)) == index


@pytest.mark.parametrize(
    ("methods", "name"),
    [
        (["pretrained", "nlm", "bm3d", "unit"], "bm3d"),
        (["pretrained", "unit", "nlm"], "nlm"),
        (["joint", "unit", "hqs"], "hqs"),
        (["joint", "unit"], "unit"),
        (["joint", "pretrained"], None),
    ],
)
def test_the_method_next_to_the_joint_unit(methods: list[str], name: str | None) -> None:
    found = conventional_method({method: Model(method=method) for method in methods})
    assert (found and found.method) == name
    assert conventional_method({}) is None


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    conditions = [{"name": "clean", "lux": None}, *(c.model_dump() for c in (SHARP, BLURRED))]
    recipe = Recipe.model_validate({
        "name": "small", "conditions": conditions, "methods": ["pretrained"],
        "data": {"kind": "signs", "size": 40, "train": 8, "test": 6},
    })  # fmt: skip

    def known(_: Experiment, model: Model) -> Any:
        shift = {"pretrained": 0.0, "bm3d": 0.25, "hqs": 0.5, "joint": 3.0}[model.method]
        return lambda obs: obs.signal + shift, None

    monkeypatch.setattr(room, "steps", known)
    return Experiment(recipe, tmp_path / "study")


def shown(experiment: Experiment, cells: dict[tuple[Condition, str], Predictions]) -> tuple[list[PanelRow], str]:
    evaluated: dict[Condition, dict[str, Model]] = {}
    for condition, method in cells:
        evaluated.setdefault(condition, {})[method] = Model(method=method)
    return examples(experiment, evaluated, lambda condition, model: cells[condition, model.method])


def test_a_row_for_each_condition(experiment: Experiment) -> None:
    cells: dict[tuple[Condition, str], Predictions] = {
        (SHARP, "pretrained"): predicted("x..xxx", answer=1),
        (SHARP, "bm3d"): predicted("......", answer=2),
        (SHARP, "joint"): predicted("x.xxxx", answer=3),
        (BLURRED, "pretrained"): predicted("...xxx"),
        (BLURRED, "hqs"): predicted("xxxxxx"),
        (BLURRED, "joint"): predicted("x..xxx"),
    }
    rows, rule = shown(experiment, cells)
    assert [row.condition for row in rows] == ["6lux", "6lux+periphery"]
    names = class_names(experiment.evaluated_photos.classes)
    for row, condition, index, conventional in ((rows[0], SHARP, 2, "BM3D"), (rows[1], BLURRED, 0, "HQS")):
        scene, capture, usual, joint = row.pictures
        observation, label, truth = experiment.captures(condition, training=False)[index]
        assert row.truth == names[int(label)] == scene.label
        assert [p.title for p in row.pictures] == ["scene", "capture", conventional, "joint unit, stretched"]
        assert torch.equal(scene.image, truth[0])
        assert torch.equal(capture.image, observation.signal[0].clamp(0, 1))
        shift = 0.25 if conventional == "BM3D" else 0.5
        assert torch.equal(usual.image, (observation.signal[0] + shift).clamp(0, 1))
        # All of it was white; stretched it is seen again, in the same order of brightness.
        assert joint.image.min() == 0
        assert joint.image.max() == 1
        assert joint.image.std() > 0.1
        assert (scene.right, scene.psnr) == (None, None)
        assert [p.psnr for p in row.pictures[1:]] == pytest.approx([float(np.linspace(10, 20, 6)[index])] * 3)
    assert [p.right for p in rows[0].pictures[1:]] == [False, False, True]
    assert [p.label for p in rows[0].pictures[1:]] == [names[1], names[2], names[3]]
    assert rule == room.RULE


def test_a_condition_where_none_fits_is_named(experiment: Experiment) -> None:
    cells: dict[tuple[Condition, str], Predictions] = {
        (BLURRED, "pretrained"): predicted("xxxxxx"),
        (BLURRED, "hqs"): predicted("......"),
        (BLURRED, "joint"): predicted("xxxxxx"),
    }
    rows, rule = shown(experiment, cells)
    assert rows == []
    assert rule == f"{room.RULE} No photograph fits at 6 lux + periphery."


def picture(**changes: Any) -> Picture:
    fields: dict[str, Any] = {
        "image": torch.rand(3, 20, 24), "title": "scene", "label": "road sign", "right": True, "psnr": 21.3,
    }  # fmt: skip
    return Picture(**{**fields, **changes})


def test_panels_show_the_pictures_as_they_are(tmp_path: Path, drawn: list[Any]) -> None:
    over = torch.linspace(-0.5, 1.5, 20 * 24).reshape(1, 20, 24)
    gray = picture(image=over, label="speed limit", right=False, psnr=None)
    rows = [PanelRow("6lux", "road sign", (picture(), gray)), PanelRow("3lux", "x" * 60, (picture(), picture()))]
    panels(rows, tmp_path / "panels.png")
    first, second, third, _ = drawn[0].axes
    assert np.array_equal(first.images[0].get_array(), rows[0].pictures[0].image.permute(1, 2, 0).numpy())
    assert np.array_equal(second.images[0].get_array(), over.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy())
    assert first.get_xlabel() == "✓ road sign\n21.3 dB"
    assert second.get_xlabel() == "✗ speed limit"
    assert first.get_ylabel() == "6 lux\nroad sign"
    assert len(third.get_ylabel()) < 40
    assert first.get_title() == "scene"
    assert third.get_title() == ""


def test_a_title_stands_where_it_is_another_than_that_above(tmp_path: Path, drawn: list[Any]) -> None:
    rows = [PanelRow(c, "x", (picture(title="scene"), picture(title=t)))
            for c, t in (("3lux", "BM3D"), ("6lux", "BM3D"), ("6lux+offaxis", "HQS"))]  # fmt: skip
    panels(rows, tmp_path / "panels.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["scene", "BM3D", "", "", "", "HQS"]


def test_the_scene_is_not_marked_as_an_answer(tmp_path: Path, drawn: list[Any]) -> None:
    panels([PanelRow("6lux", "sign", (picture(right=None, psnr=None), picture()))], tmp_path / "panels.png")
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["road sign", "✓ road sign\n21.3 dB"]
