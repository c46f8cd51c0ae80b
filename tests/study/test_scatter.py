"""PSNR against accuracy: every point where it belongs, and labels that can be read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.study import scatter
from dirtypixels.study.tables import condition_name, short_name
from tests.study.synthetic import FOUR, synthetic_study


def test_points_and_their_labels(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(chances=FOUR)
    scatter.psnr_against_accuracy(study, tmp_path / "p.png")
    assert len(drawn[0].axes) == 4  # the clean condition has no PSNR
    for axes, condition in zip(drawn[0].axes, ("6lux", "3lux", "6lux+offaxis", "6lux+periphery"), strict=True):
        assert axes.get_title() == condition_name(condition)
        shown = [c for c in study.cells if c.condition == condition]
        points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata())}
        assert {(c.psnr.value, c.top1.value) for c in shown if c.psnr} == points
        labels = [text.get_text() for text in axes.texts if text.get_text()]
        assert sorted(labels) == sorted(short_name(c.method) for c in shown)
        spans = sorted(np.ptp(segment, axis=0).tolist() for part in axes.collections for segment in part.get_segments())
        expected = [[0.0, c.top1.high - c.top1.low] for c in shown]
        expected += [[c.psnr.high - c.psnr.low, 0.0] for c in shown if c.psnr]
        assert np.allclose(spans, sorted(expected))
        assert sum(text.get_text() == "" for text in axes.texts) == 1  # an arrow from unit to joint


def test_conditions_are_drawn_to_one_scale(tmp_path: Path, drawn: list[Any]) -> None:
    scatter.psnr_against_accuracy(synthetic_study(chances=FOUR), tmp_path / "p.png")
    assert len({axes.get_xlim() + axes.get_ylim() for axes in drawn[0].axes}) == 1


@pytest.mark.parametrize("crowd", [FOUR, {"3lux": dict.fromkeys(("nlm", "bm3d", "unit", "joint"), 0.5)}])
def test_labels_cover_neither_points_nor_each_other(
    tmp_path: Path, drawn: list[Any], crowd: dict[str, dict[str, float]]
) -> None:
    study = synthetic_study(chances=crowd)
    scatter.psnr_against_accuracy(study, tmp_path / "p.png")
    for axes, cells in zip(drawn[0].axes, scatter.compared(study).values(), strict=True):
        boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        centers = axes.transData.transform([(c.psnr.value, c.top1.value) for c in cells if c.psnr])
        for box in boxes:
            assert not any(box.contains(*center) for center in centers)
            assert axes.bbox.x0 <= box.x0
            assert box.x1 <= axes.bbox.x1


def test_only_conditions_that_compare_something_are_drawn(tmp_path: Path, drawn: list[Any]) -> None:
    study = synthetic_study(chances={**FOUR, "6lux": {"pretrained": 0.6}})
    assert list(scatter.compared(study)) == ["3lux", "6lux+offaxis", "6lux+periphery"]
    scatter.psnr_against_accuracy(study, tmp_path / "p.png")
    assert [axes.get_visible() for axes in drawn[0].axes] == [True, True, True, False]
    with pytest.raises(ValueError, match="a condition in which several methods have a PSNR; found none"):
        scatter.psnr_against_accuracy(synthetic_study(chances={"6lux": {"pretrained": 0.6}}), tmp_path / "q.png")
    assert not (tmp_path / "q.png").exists()
