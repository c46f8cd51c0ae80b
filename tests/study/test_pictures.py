"""Panels: the pictures as they are, and under each what was said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.study import pictures
from dirtypixels.study.pictures import PanelRow, Picture


def picture(**changes: Any) -> Picture:
    fields: dict[str, Any] = {
        "image": torch.rand(3, 20, 24), "title": "scene", "label": "road sign", "right": True, "psnr": 21.3,
    }  # fmt: skip
    return Picture(**{**fields, **changes})


def test_panels_show_the_pictures_as_they_are(tmp_path: Path, drawn: list[Any]) -> None:
    over = torch.linspace(-0.5, 1.5, 20 * 24).reshape(1, 20, 24)
    gray = picture(image=over, label="speed limit", right=False, psnr=None)
    rows = [PanelRow("6lux", "road sign", (picture(), gray)), PanelRow("3lux", "x" * 60, (picture(), picture()))]
    pictures.panels(rows, tmp_path / "panels.png")
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
    pictures.panels(rows, tmp_path / "panels.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["scene", "BM3D", "", "", "", "HQS"]


def test_the_scene_is_not_marked_as_an_answer(tmp_path: Path, drawn: list[Any]) -> None:
    pictures.panels([PanelRow("6lux", "sign", (picture(right=None, psnr=None), picture()))], tmp_path / "panels.png")
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["road sign", "✓ road sign\n21.3 dB"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda path: pictures.panels([], path), "rows must hold .*found no rows"),
        (lambda path: pictures.panels([PanelRow("a", "b", (picture(),) * n) for n in (1, 2)], path), r"found \[1, 2\]"),
        (lambda path: pictures.panels([PanelRow("a", "b", ())], path), r"found \[0\]"),
        (lambda path: picture(image=torch.rand(20, 24)), r"image must have shape \(1\|3, H, W\)"),
        (lambda path: picture(image=torch.full((3, 2, 2), float("nan"))), "image must be finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
