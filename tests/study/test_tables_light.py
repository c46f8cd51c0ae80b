"""The tables of a light study hold its numbers, every one in its place."""

from __future__ import annotations

import pytest

from dirtypixels.study import tables
from dirtypixels.study.markup import to_latex, to_markdown
from dirtypixels.study.tables import HOME, NOTHING, Table, entry, percent
from tests.study.synthetic import FACTORS, LIGHTS, synthetic_light

STUDY = synthetic_light(count=300)
CELLS = {(cell.model.name, cell.lux): cell for cell in STUDY.part("light")}
WRONG = STUDY.part("wrong_noise")


def by_row(table: Table, section: int = 0) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.sections[section].rows}


class TestLightTable:
    def test_every_model_at_every_light(self) -> None:
        table = tables.light_table(STUDY)
        assert table.columns == ("Model", *(f"{lux:g} lux" for lux in LIGHTS))
        rows = by_row(table)
        assert list(rows) == list(tables.over_light(STUDY))
        for model, texts in rows.items():
            for lux, text in zip(LIGHTS, texts, strict=True):
                cell = CELLS[model, lux]
                assert text == entry(cell.top1) + (HOME if model == f"specialist {lux:g} lux" else "")
        assert sum(text.endswith(HOME) for texts in rows.values() for text in texts) == 4
        assert "on 300 photographs" in table.caption

    def test_what_was_not_evaluated_is_left_open(self) -> None:
        cells = [c for c in STUDY.cells if (c.model.name, c.lux) != ("finetuned", 6.0)]
        rows = by_row(tables.light_table(STUDY.model_copy(update={"cells": cells})))
        assert rows["finetuned"][LIGHTS.index(6.0)] == NOTHING

    def test_light_is_sorted_whatever_the_order_of_the_cells(self) -> None:
        turned = STUDY.model_copy(update={"cells": STUDY.cells[::-1]})
        assert tables.light_table(turned).columns == tables.light_table(STUDY).columns
        assert by_row(tables.light_table(turned)) == by_row(tables.light_table(STUDY))


class TestDifferenceTable:
    def test_only_lights_with_a_specialist(self) -> None:
        table = tables.difference_table(STUDY)
        assert table.columns == ("Model", "3 lux", "6 lux", "25 lux", "200 lux")
        rows = by_row(table)
        for model, texts in rows.items():
            for lux, text in zip((3.0, 6.0, 25.0, 200.0), texts, strict=True):
                assert text == ("0" if model == f"specialist {lux:g} lux" else entry(CELLS[model, lux].difference))

    def test_without_specialists_there_is_none(self) -> None:
        assert not tables.difference_table(synthetic_light(count=50, specialists=())).sections


class TestWrongNoiseTable:
    def test_factors_down_and_what_is_wrong_across(self) -> None:
        table = tables.wrong_noise_table(STUDY)
        assert table.groups == (("alpha wrong", 2), ("sigma wrong", 2), ("both wrong", 2))
        assert [section.heading for section in table.sections] == ["conditioned, 3 lux", "conditioned, 25 lux"]
        found = {(m.lux, m.alpha_factor, m.sigma_factor): m for m in WRONG}
        for section, lux in enumerate((3.0, 25.0)):
            rows = by_row(table, section)
            assert list(rows) == [f"×{factor:g}" for factor in FACTORS]
            for factor in FACTORS:
                cells = [found[lux, a, s] for a, s in ((factor, 1.0), (1.0, factor), (factor, factor))]
                assert rows[f"×{factor:g}"] == tuple(
                    text for m in cells for text in (entry(m.top1), entry(m.difference))
                )
            assert rows["×1"][1] == NOTHING

    def test_only_what_was_tried_has_columns(self) -> None:
        only = [m for m in WRONG if m.sigma_factor == 1]
        table = tables.wrong_noise_table(STUDY.model_copy(update={"cells": only}))
        assert table.groups == (("alpha wrong", 2),)
        assert len(table.rows) == 2 * len(FACTORS)
        assert {len(row) for row in table.rows} == {3}

    def test_without_wrong_noise_there_are_no_rows(self) -> None:
        assert not tables.wrong_noise_table(STUDY.model_copy(update={"cells": []})).rows


class TestCostTable:
    def test_accuracy_networks_and_time(self) -> None:
        rows = by_row(tables.cost_table(STUDY))
        for model, (accuracy, least, networks, time) in rows.items():
            cells = [cell for (name, _), cell in CELLS.items() if name == model]
            assert accuracy == percent(sum(cell.top1.value for cell in cells) / len(cells))
            gaps = {cell.lux: cell.difference.value for cell in cells if cell.difference}
            worst = min(gaps, key=lambda lux: gaps[lux])
            assert least.endswith(f" at {worst:g} lux")
            assert least.startswith(f"{100 * gaps[worst]:+.1f}".replace("-", "−"))
            assert networks == ("4" if model == "ensemble" else "1")
            assert time == ("0.2 s" if model == "ensemble" else f"{cells[0].seconds_per_image:.3g} s")
        assert STUDY.hardware in " ".join(tables.cost_table(STUDY).notes)

    def test_means_are_over_lights_at_which_all_were_evaluated(self) -> None:
        cells = [c for c in STUDY.cells if c.model.name != "ensemble" or c.lux in (3.0, 6.0)]
        cells = [c.model_copy(update={"seconds_per_image": None}) for c in cells]
        study = STUDY.model_copy(update={"cells": cells})
        assert tables.common_lights(study) == [3, 6]
        table = tables.cost_table(study)
        expected = (CELLS["conditioned", 3.0].top1.value + CELLS["conditioned", 6.0].top1.value) / 2
        row = by_row(table)["conditioned"]
        assert (row[0], row[-1]) == (percent(expected), NOTHING)
        assert "in lux: 3, 6." in table.notes[0]


class TestConfidenceTable:
    def test_three_sections(self) -> None:
        table = tables.confidence_table(STUDY)
        for section, metric in enumerate(("calibration_error", "calibrated_error", "risk_area")):
            for model, texts in by_row(table, section).items():
                assert texts == tuple(percent(CELLS[model, lux].metrics[metric].value) for lux in LIGHTS)
        assert [len(section.rows) for section in table.sections] == [9, 9, 9]

    def test_a_section_without_numbers_is_left_out(self) -> None:
        kept = ("top1", "calibrated_error")
        cells = [c.model_copy(update={"metrics": {k: c.metrics[k] for k in kept}}) for c in STUDY.part("light")]
        table = tables.confidence_table(STUDY.model_copy(update={"cells": cells}))
        assert [section.heading for section in table.sections] == ["calibration error after temperature"]


@pytest.mark.parametrize(
    "make",
    [
        tables.light_table,
        tables.difference_table,
        tables.wrong_noise_table,
        tables.cost_table,
        tables.confidence_table,
    ],
)
def test_all_go_into_markdown_and_latex(make: object) -> None:
    table = make(STUDY)  # type: ignore[operator]
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(table.columns) + 1}
    assert len(table.columns) == len(table.headings)
    rows = [line for line in to_latex(table).splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
    assert {row.count("&") for row in rows} == {len(table.columns) - 1}
    assert all(len(row) == len(table.columns) for row in table.rows)
