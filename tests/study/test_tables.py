"""Tables: every number where it belongs, and text that the formats can carry."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from test_results import CHANCES, synthetic_study

from dirtypixels.study import results, tables
from dirtypixels.study.tables import PAPER, Table


def test_the_table_holds_each_cell_where_it_belongs() -> None:
    study = synthetic_study()
    table = tables.method_table(study)
    headings = [f"{group} {column}" for group, column in tables._grouped(table)]
    found = {row[0]: dict(zip(headings, row[1:], strict=True)) for row in table.rows}
    cell = next(c for c in study.cells if (c.condition, c.method) == ("3lux", "joint"))
    joint, gap = found["Joint"], cell.difference
    assert gap is not None
    assert cell.psnr is not None
    assert joint["3 lux top-1"] == (
        f"{100 * cell.top1.value:.1f} % [{100 * cell.top1.low:.1f}, {100 * cell.top1.high:.1f}]"
    )
    assert joint["3 lux PSNR"] == f"{cell.psnr.value:.1f} dB [{cell.psnr.low:.1f}, {cell.psnr.high:.1f}]"
    assert joint["3 lux top-1 gain"] == f"+{100 * gap.value:.1f} [+{100 * gap.low:.1f}, +{100 * gap.high:.1f}]"
    assert found["BM3D + pretrained"]["clean top-1"] == "–"
    assert found["Fine-tuned"]["3 lux top-1 gain"] == "–"
    assert found["Pretrained"]["3 lux top-1 gain"].startswith("−")


def test_columns_that_no_method_fills_are_left_out() -> None:
    table = tables.method_table(synthetic_study())
    assert table.groups == (("clean", 3), ("6 lux", 4), ("3 lux", 4))
    assert table.columns[1:4] == ("top-1", "top-5", "top-1 gain")


def test_rows_keep_the_order_of_the_fullest_condition() -> None:
    # The clean condition comes first and has three methods; it must not tear the order of the others.
    assert tables.methods_of(synthetic_study()) == list(CHANCES["3lux"])
    assert tables.conditions_of(synthetic_study()) == list(CHANCES)


def test_each_seed_has_a_row() -> None:
    rows = [row[0] for row in tables.method_table(synthetic_study(seeds=(3, 8))).rows]
    assert rows[:2] == ["Pretrained, seed 3", "Pretrained, seed 8"]
    assert len(rows) == 12


def test_several_references_are_named_in_the_cells() -> None:
    study = synthetic_study(chances={"3lux": {"finetuned": 0.7, "joint": 0.8, "unit": 0.6}})
    changed = [
        c.model_copy(update={"difference": c.difference.model_copy(update={"reference": "nlm"})})
        if c.method == "unit" and c.difference
        else c
        for c in study.cells
    ]
    table = tables.method_table(study.model_copy(update={"cells": changed}))
    assert " to NLM + pretrained [" in table.rows[2][-1]
    assert " to Fine-tuned [" in table.rows[1][-1]


def test_names_for_keys() -> None:
    assert tables.method_name("finetuned") == "Fine-tuned"
    assert tables.method_name("my-own") == "my-own"
    assert [tables.condition_name(key) for key in ("clean", "3lux", "0.5lux", "6lux-periphery")] == [
        "clean", "3 lux", "0.5 lux", "6 lux-periphery",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"), [(0.0508, "+5.1"), (-0.003, "−0.3"), (-0.0001, "+0.0"), (0.0, "+0.0"), (-1.0, "−100.0")]
)
def test_points_are_signed(value: float, text: str) -> None:
    assert tables.points(value) == text


def test_the_papers_numbers_agree_with_what_its_text_says_of_them() -> None:
    # Section 7.1: joint "up to 5.1 %" over fine-tuned; NLM lowers, BM3D raises top-1 and top-5 by a few percent.
    gaps = {key: PAPER[key]["joint"][0] - PAPER[key]["finetuned"][0] for key in PAPER}
    assert gaps == pytest.approx({"3lux": 0.051, "6lux": 0.016}, abs=5e-4)
    for methods in PAPER.values():
        for k in (0, 1):
            assert methods["nlm"][k] < methods["pretrained"][k] < methods["bm3d"][k]
            assert methods["bm3d"][k] < methods["finetuned"][k] < methods["joint"][k]
        assert all(top1 < top5 for top1, top5 in methods.values())


def test_beside_the_paper_are_only_conditions_and_methods_of_both() -> None:
    table = tables.beside_paper(synthetic_study())
    assert table.groups == (("6 lux", 2), ("3 lux", 2))
    rows = {row[0]: row[1:] for row in table.rows}
    assert list(rows) == [
        "Pretrained", "NLM + pretrained", "BM3D + pretrained", "Fine-tuned", "Joint", "Joint minus Fine-tuned",
    ]  # fmt: skip
    assert rows["Joint"][1::2] == ("74.8 %", "69.6 %")
    assert rows["Joint minus Fine-tuned"][1::2] == ("+1.6", "+5.1")
    assert rows["Joint minus Fine-tuned"][2] == tables.method_table(synthetic_study()).rows[-1][-1]
    assert "Inception-v4 on ImageNet at 299 px" in table.notes[0]
    assert len(table.notes) == 1


def test_beside_the_paper_another_camera_is_named() -> None:
    table = tables.beside_paper(synthetic_study(camera="semco", transfer="srgb"))
    assert "semco with srgb" in table.notes[1]


def test_beside_the_paper_seeds_are_averaged() -> None:
    study = synthetic_study(seeds=(0, 1))
    table = tables.beside_paper(study)
    values = [c.top1.value for c in study.cells if (c.condition, c.method) == ("6lux", "joint")]
    assert {row[0]: row for row in table.rows}["Joint"][1] == f"{50 * sum(values):.1f} %"
    assert "mean over the seeds" in table.notes[-1]


def test_beside_the_paper_is_empty_where_nothing_matches() -> None:
    table = tables.beside_paper(synthetic_study(chances={"clean": {"joint": 0.9}, "3lux": {"mine": 0.5}}))
    assert (table.rows, table.groups, table.columns) == ((), (), ("Method",))


def test_markdown_has_as_many_cells_in_every_line(tmp_path: Path) -> None:
    study = synthetic_study()
    text = tables.to_markdown(study, tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {13}
    assert len(lines) == 2 + 6
    assert "3 lux top-1 gain" in lines[0]
    assert tables.to_markdown(tables.method_table(study)) == text


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert "| a\\|b |" in tables.to_markdown(Table("caption", (), ("Method",), (("a|b",),)))


def test_csv_gives_back_every_field_of_every_cell(tmp_path: Path) -> None:
    study = synthetic_study()
    text = tables.to_csv(study, tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_text(encoding="utf-8") == text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(study.cells)
    for row, cell in zip(rows, study.cells, strict=True):
        again: dict[str, object] = {}
        for field in results.Cell.model_fields:
            parts = {name.removeprefix(f"{field}_"): row[name] for name in row if name.startswith(f"{field}_")}
            if field in row:
                again[field] = row[field] or None
            else:
                again[field] = parts if any(parts.values()) else None
        assert results.Cell.model_validate(again) == cell


def test_latex_is_balanced_and_escaped(tmp_path: Path) -> None:
    table = Table(
        "A caption", (("50 % & more", 2),), ("Method", "a_b", "c#d"), (("{x}\\y", "−1 ~ 2^3", "[1, 2] $"),), ("Note.",)
    )
    text = tables.to_latex(table, tmp_path / "table.tex")
    assert (tmp_path / "table.tex").read_text(encoding="utf-8") == text
    assert "\\multicolumn{2}{c}{50 \\% \\& more}" in text
    assert "\\cmidrule(lr){2-3}" in text
    assert "Method & a\\_b & c\\#d \\\\" in text
    expected = "\\{x\\}\\textbackslash{}y & $-$1 \\textasciitilde{} 2\\textasciicircum{}3 & {}[1, 2] \\$ \\\\"
    assert expected in text
    assert text.startswith("% A caption\n% Note.\n\\begin{tabular}{lrr}\n\\toprule")
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


def test_latex_of_a_study_has_as_many_cells_in_every_row() -> None:
    lines = tables.to_latex(synthetic_study()).splitlines()
    rows = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert [row.replace("\\&", "").count("&") for row in rows] == [11] * 6
    assert sum(int(line.count("cmidrule")) for line in lines) == 3
