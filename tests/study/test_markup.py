"""Tables as text that the formats can carry."""

from __future__ import annotations

import csv
import io

from dirtypixels.study.markup import to_csv, to_latex, to_markdown
from dirtypixels.study.paper import paper_table
from dirtypixels.study.tables import Section, Table, grid_table, method_table
from tests.study.synthetic import FOUR, FROZEN, synthetic_grid, synthetic_light, synthetic_study


def test_markdown_has_as_many_cells_in_every_line() -> None:
    study = synthetic_study(chances=FOUR)
    text = to_markdown(method_table(study))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {6}
    assert len(lines) == 2 + 5 + sum(map(len, FOUR.values()))
    assert lines[2] == "| **clean** |  |  |  |  |"
    assert "| Method | top-1 ours | top-1 paper | top-5 ours | top-5 paper |" in to_markdown(paper_table(study))


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert "| a\\|b |" in to_markdown(Table("caption", ("Method",), (Section("", (("a|b",),)),)))


def test_a_section_without_a_heading_has_no_line_for_it() -> None:
    table = Table("caption", ("Method", "x"), (Section("", (("a", "1"),)),))
    assert to_markdown(table).splitlines()[2:] == ["| Method | x |", "| --- | ---: |", "| a | 1 |"]
    assert "textit" not in to_latex(table)


def test_csv_has_every_number_of_every_cell() -> None:
    light = synthetic_light(count=40, lights=(3.0, 6.0), specialists=(3.0,))
    cells = [*synthetic_study(chances=FOUR).cells, *synthetic_grid(), *light.cells]
    text = to_csv(cells)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(cells)

    def same(text: str, value: object) -> bool:
        return text == ("" if value is None else str(value))

    for row, cell in zip(rows, cells, strict=True):
        assert (row["method"], row["kind"]) == (cell.method, cell.model.kind)
        assert all(same(row[name], getattr(cell, name)) for name in ("part", "condition", "lux", "position", "count"))
        assert all(same(row[name], getattr(cell, name)) for name in ("seed", "alpha_factor", "temperature"))
        for name in ("top1", "top5", "psnr", "calibration_error", "calibrated_error", "risk_area"):
            found = cell.metrics.get(name)
            assert all(same(row[f"{name}_{part}"], getattr(found, part, None)) for part in ("value", "low", "high"))
        gap = cell.difference
        parts = ("reference", "metric", "value", "low", "high", "p_value", "only_this_right", "only_reference_right")
        assert all(same(row[f"difference_{part}"], getattr(gap, part, None)) for part in parts)
    assert to_csv([]) == "part\n"


def test_latex_is_balanced_and_escaped() -> None:
    rows = (("{x}\\y", "−1 ~ 2^3", "[1, 2] $"),)
    table = Table("A caption", ("Method", "a_b", "c#d"), (Section("5_6", rows),), ("Note.",), (("50 % & more", 2),))
    text = to_latex(table)
    assert "\\multicolumn{2}{c}{50 \\% \\& more}" in text
    assert "\\cmidrule(lr){2-3}" in text
    assert "Method & a\\_b & c\\#d \\\\" in text
    assert "\\multicolumn{3}{l}{\\textit{5\\_6}} \\\\" in text
    expected = "\\{x\\}\\textbackslash{}y & $-$1 \\textasciitilde{} 2\\textasciicircum{}3 & {}[1, 2] \\$ \\\\"
    assert expected in text
    assert text.startswith("% A caption\n% Note.\n\\begin{tabular}{lrr}\n\\toprule")
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


def test_latex_has_as_many_cells_in_every_row() -> None:
    for table in (method_table(synthetic_study(chances=FOUR)), grid_table(synthetic_study(grid=synthetic_grid()))):
        lines = to_latex(table).splitlines()
        rows = [line for line in lines if "&" in line and not line.startswith("%")]
        assert {row.replace("\\&", "").count("&") for row in rows} == {4}
        assert len(rows) == 1 + len(table.rows)
        assert lines.count("\\midrule") == len(table.sections)


def test_csv_holds_every_training_and_both_differences() -> None:
    study = synthetic_study(chances={"3lux": FROZEN["3lux"]}, trainings=2)
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(to_csv(study.cells)))}
    joint = next(cell for cell in study.cells if cell.method == "joint")
    assert [float(x) for x in rows["joint"]["top1_trainings"].split()] == [
        one.metrics["top1"].value for one in joint.trainings
    ]
    for start, gap in zip(("difference", "difference2"), joint.differences, strict=True):
        assert rows["joint"][f"{start}_reference"] == gap.reference
        assert float(rows["joint"][f"{start}_value"]) == gap.value
        assert [float(x) for x in rows["joint"][f"{start}_trainings"].split()] == list(gap.trainings)
    assert rows["pretrained"]["top1_trainings"] == rows["pretrained"]["difference2_reference"] == ""
    assert "trainings" not in to_csv(synthetic_study().cells).splitlines()[0]
