"""What a light study leaves in its folder."""

from __future__ import annotations

from pathlib import Path

from light_synthetic import synthetic_light

from dirtypixels.study import light_results
from dirtypixels.study.light_findings import light_findings
from dirtypixels.study.light_report import write_light


def test_one_page_has_all_that_was_found(tmp_path: Path) -> None:
    study = synthetic_light()
    part, shown = write_light(study, tmp_path)
    assert light_results.read(tmp_path / "light.json") == study
    page = (tmp_path / "light.md").read_text(encoding="utf-8")
    for text in (*light_findings(study), *(table.caption for table in part.tables), study.commands):
        assert text in page
    assert [one.about for one in shown] == ["light"] * 4
    assert all(one.path.is_file() and f"({one.path.name})" in page for one in shown)
    assert (tmp_path / "light.csv").read_text().count("\n") == 1 + len(study.cells)
    assert "\\begin{tabular}" in (tmp_path / "light.tex").read_text()


def test_draws_no_difference_where_there_is_none(tmp_path: Path) -> None:
    study = synthetic_light()
    alone = [cell for cell in study.cells if cell.kind == "specialist"]
    part, shown = write_light(study.model_copy(update={"cells": alone, "mismatch": [], "selective": []}), tmp_path)
    assert [one.path.name for one in shown] == ["light-accuracy.png"]
    assert part.findings == light_findings(light_results.read(tmp_path / "light.json"))
