"""Figure 7: the photograph is chosen by the rule, and what is shown of it is what was judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.recipe import Condition, Method, Recipe
from dirtypixels.study import examples as room
from dirtypixels.study.examples import chosen, conventional_method, examples
from dirtypixels.study.judge import Verdicts
from dirtypixels.study.workshop import Workshop
from dirtypixels.tasks import class_names

SHARP, BLURRED = Condition.of(6), Condition.of(6, "periphery")


def verdicts(right: str, answer: int = 0) -> Verdicts:
    top1 = np.array([letter == "x" for letter in right])
    return Verdicts(top1, top1, np.full(len(right), answer), np.linspace(10, 20, len(right)), 0.1)


@pytest.mark.parametrize(
    ("pretrained", "conventional", "joint", "index"),
    [
        ("xx..x.", "......", "xxx.xx", 2),
        ("xx....", "xxxxxx", "....xx", 4),  # whether the conventional method is right does not matter
        ("xx....", "...", "....xx", None),  # it was judged on the first three only
        ("xxxxxx", "......", "xxxxxx", None),
        ("......", "......", "......", None),
    ],
)
def test_the_rule(pretrained: str, conventional: str, joint: str, index: int | None) -> None:
    assert chosen(verdicts(pretrained), verdicts(conventional), verdicts(joint)) == index


@pytest.mark.parametrize(
    ("judged", "name"),
    [
        (["pretrained", "nlm", "bm3d", "unit"], "bm3d"),
        (["pretrained", "unit", "nlm"], "nlm"),
        (["joint", "unit", "hqs"], "hqs"),
        (["joint", "unit"], "unit"),
        (["joint", "pretrained"], None),
    ],
)
def test_the_method_beside_the_joint_unit(judged: list[Method], name: str | None) -> None:
    cells = {(SHARP, key): verdicts("x") for key in judged}
    assert conventional_method(SHARP, cells) == name
    assert conventional_method(BLURRED, cells) is None


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    conditions = [{"name": "clean", "lux": None}, *(c.model_dump() for c in (SHARP, BLURRED))]
    recipe = Recipe.model_validate({
        "name": "small", "conditions": conditions, "methods": ["pretrained"],
        "data": {"kind": "signs", "size": 40, "train": 8, "test": 6},
    })  # fmt: skip

    def known(_: Workshop, condition: Condition, name: Method) -> Any:
        shift = {"pretrained": 0.0, "bm3d": 0.25, "hqs": 0.5, "joint": 3.0}[name]
        return lambda obs: obs.signal + shift, None

    monkeypatch.setattr(room, "method", known)
    return Workshop(recipe, tmp_path / "study")


def test_a_row_for_each_condition(workshop: Workshop) -> None:
    cells: dict[tuple[Condition, Method], Verdicts] = {
        (SHARP, "pretrained"): verdicts("x..xxx", answer=1),
        (SHARP, "bm3d"): verdicts("......", answer=2),
        (SHARP, "joint"): verdicts("x.xxxx", answer=3),
        (BLURRED, "pretrained"): verdicts("...xxx"),
        (BLURRED, "hqs"): verdicts("xxxxxx"),
        (BLURRED, "joint"): verdicts("x..xxx"),
    }
    rows, rule = examples(workshop, cells)
    assert [row.condition for row in rows] == ["6lux", "6lux+periphery"]
    names = class_names(workshop.judged_photos.classes)
    for row, condition, index, conventional in ((rows[0], SHARP, 2, "BM3D"), (rows[1], BLURRED, 0, "HQS")):
        scene, capture, usual, joint = row.pictures
        observation, label, truth = workshop.captures(condition, training=False)[index]
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
        assert [p.psnr for p in row.pictures[1:]] == [float(np.linspace(10, 20, 6)[index])] * 3
    assert [p.right for p in rows[0].pictures[1:]] == [False, False, True]
    assert [p.label for p in rows[0].pictures[1:]] == [names[1], names[2], names[3]]
    assert rule == room.RULE


def test_a_condition_where_none_fits_is_named(workshop: Workshop) -> None:
    cells: dict[tuple[Condition, Method], Verdicts] = {
        (BLURRED, "pretrained"): verdicts("xxxxxx"),
        (BLURRED, "hqs"): verdicts("......"),
        (BLURRED, "joint"): verdicts("xxxxxx"),
    }
    rows, rule = examples(workshop, cells)
    assert rows == []
    assert rule == f"{room.RULE} No photograph fits at 6 lux + periphery."
