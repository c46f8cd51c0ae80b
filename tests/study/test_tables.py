"""Tables: every number where it belongs."""

from __future__ import annotations

import pytest

from dirtypixels.study import tables
from dirtypixels.study.results import Cell, Estimate, Model
from tests.study.synthetic import CHANCES, FOUR, FROZEN, synthetic_grid, synthetic_study

SOURCE = "simulated from a design, traced at R, G and B."


def test_the_table_holds_each_cell_where_it_belongs() -> None:
    study = synthetic_study()
    table = tables.method_table(study)
    assert table.columns == table.headings == ("Method", "top-1", "top-5", "PSNR", "top-1 gain")
    sections = {section.heading: {row[0]: row[1:] for row in section.rows} for section in table.sections}
    cell = next(c for c in study.cells if (c.condition, c.method) == ("3lux", "joint"))
    joint, gap = sections["3 lux"]["Joint"], cell.difference
    assert gap is not None
    assert cell.psnr is not None
    assert joint == (
        f"{100 * cell.top1.value:.1f} % [{100 * cell.top1.low:.1f}, {100 * cell.top1.high:.1f}]",
        tables.entry(cell.metrics["top5"]),
        f"{cell.psnr.value:.1f} dB [{cell.psnr.low:.1f}, {cell.psnr.high:.1f}]",
        f"+{100 * gap.value:.1f} [+{100 * gap.low:.1f}, +{100 * gap.high:.1f}]",
    )
    assert sections["clean"]["Joint"][2] == "–"
    assert sections["3 lux"]["Fine-tuned"][3] == "–"
    assert sections["3 lux"]["Pretrained"][3].startswith("−")


def test_a_section_for_each_condition_with_its_own_methods() -> None:
    table = tables.method_table(synthetic_study(chances=FOUR))
    assert [section.heading for section in table.sections] == [
        "clean", "6 lux", "3 lux", "6 lux + off-axis", "6 lux + periphery",
    ]  # fmt: skip
    assert [row[0] for row in table.sections[3].rows] == [
        "Pretrained", "HQS + pretrained", "Unit + pretrained", "Fine-tuned", "Joint",
    ]  # fmt: skip
    assert len(table.rows) == sum(map(len, FOUR.values()))
    assert {len(row) for row in table.rows} == {5}


def test_a_column_that_no_cell_fills_is_left_out() -> None:
    table = tables.method_table(synthetic_study(chances={"clean": {"pretrained": 0.9}}))
    assert table.columns == ("Method", "top-1", "top-5")


def test_methods_keep_one_order_whatever_the_conditions_have() -> None:
    assert tables.methods_of(synthetic_study(chances=dict(reversed(FROZEN.items())))) == list(tables.METHOD_NAMES)
    assert tables.methods_of(synthetic_study(chances={"3lux": {"mine": 0.5, "joint": 0.6}})) == ["joint", "mine"]
    assert tables.conditions_of(synthetic_study()) == list(CHANCES)


def test_units_of_one_method_are_next_to_each_other() -> None:
    chances = {"3lux": {"joint:b": 0.7, "finetuned": 0.6, "unit:b": 0.3, "joint:a": 0.7, "unit:a": 0.3}}
    study = synthetic_study(chances=chances)
    assert tables.methods_of(study) == ["unit:b", "unit:a", "finetuned", "joint:b", "joint:a"]
    rows = tables.method_table(study).rows
    assert [row[0] for row in rows][-2:] == ["Joint, b", "Joint, a"]


def test_a_metric_of_another_task_has_a_column() -> None:
    fields = {"model": Model(method="joint"), "condition": "3lux", "lux": 3.0, "seed": 0, "count": 4}
    cell = Cell(**fields, metrics={"miou": Estimate(value=0.5, low=0.4, high=0.6, unit="fraction")})  # type: ignore[arg-type]
    table = tables.method_table(synthetic_study(cells=[cell]))
    assert table.columns == ("Method", "miou")
    assert table.rows == (("Joint", "50.0 % [40.0, 60.0]"),)


def test_each_seed_has_a_row() -> None:
    rows = [row[0] for row in tables.method_table(synthetic_study(seeds=(3, 8))).sections[1].rows]
    assert rows[:2] == ["Pretrained, seed 3", "Pretrained, seed 8"]
    assert len(rows) == 12


def test_a_method_evaluated_on_fewer_photographs_says_so() -> None:
    study = synthetic_study(chances={"3lux": {"bm3d": 0.4, "joint": 0.7}})
    few = synthetic_study(count=200, chances={"3lux": {"bm3d": 0.4}}).cells
    table = tables.method_table(study.model_copy(update={"cells": [*few, study.cells[1]]}))
    assert [row[0] for row in table.rows] == ["BM3D + pretrained (first 200)", "Joint"]
    assert table.caption == "Accuracy on 200 or 1,000 photographs, with 95 % intervals."


def test_each_reference_has_a_column() -> None:
    table = tables.method_table(study := synthetic_study(chances=FROZEN))
    assert table.columns[-2:] == ("gain on fine-tuned", "gain on unit + fine-tuned")
    rows = {row[0]: row for row in next(s for s in table.sections if s.heading == "3 lux").rows}
    (joint,) = tables.cells_of(study, "3lux", "joint")
    assert rows["Joint"][-2:] == tuple(map(tables.entry, joint.differences))
    assert rows["Unit + fine-tuned"][-1] == rows["Fine-tuned"][-1] == "–"
    assert rows["BM3D + fine-tuned"][-2].startswith("+")
    assert any("frozen" in note for note in table.notes)


def test_a_joint_model_is_compared_with_its_own_unit() -> None:
    chances = {"3lux": {"unit_finetuned:a": 0.5, "unit_finetuned:b": 0.6, "joint:a": 0.7, "joint:b": 0.7}}
    table = tables.method_table(study := synthetic_study(chances=chances))
    assert tables.references_of(study) == ["unit_finetuned"]
    gains = {row[0]: row[-1] for row in table.rows}
    for unit in "ab":
        (cell,) = tables.cells_of(study, "3lux", f"joint:{unit}")
        assert [gap.reference for gap in cell.differences] == [f"unit_finetuned:{unit}"]
        assert gains[f"Joint, {unit}"] == tables.entry(cell.difference)


class TestTrainings:
    STUDY = synthetic_study(chances=FROZEN, trainings=3)

    def test_a_row_holds_the_mean_over_trainings(self) -> None:
        table = tables.method_table(self.STUDY)
        assert len(table.rows) == len(self.STUDY.cells)
        assert any("the mean over 3 trainings" in note for note in table.notes)
        assert not any("trainings" in note for note in tables.method_table(synthetic_study()).notes)

    def test_every_training_is_in_a_table_of_its_own(self) -> None:
        table = tables.trainings_table(self.STUDY)
        assert table.columns == ("Method", "seed 0", "seed 1", "seed 2", "mean")
        rows = {row[0]: row[1:] for row in next(s for s in table.sections if s.heading == "3 lux").rows}
        assert "BM3D + pretrained" not in rows
        (cell,) = tables.cells_of(self.STUDY, "3lux", "joint")
        each = [tables.percent(one.metrics["top1"].value) for one in cell.trainings]
        assert rows["Joint"] == (*each, tables.entry(cell.top1))
        gap = cell.to("unit_finetuned")
        assert gap is not None
        assert rows["Joint minus Unit + fine-tuned"] == (*map(tables.points, gap.trainings), tables.entry(gap))
        assert gap.value == pytest.approx(sum(gap.trainings) / 3)

    def test_without_several_trainings_it_has_no_rows(self) -> None:
        assert tables.trainings_table(synthetic_study()).rows == ()


def test_psnr_after_gain_and_offset_is_next_to_psnr() -> None:
    table = tables.method_table(study := synthetic_study(affine=True))
    assert table.columns[3:5] == ("PSNR", "PSNR after gain and offset")
    (cell,) = tables.cells_of(study, "3lux", "joint")
    row = next(row for row in table.sections[2].rows if row[0] == "Joint")
    assert row[4] == tables.entry(cell.metrics["psnr_affine"])
    assert any("brightness and contrast" in note for note in table.notes)


def test_where_psfs_come_from_is_said_where_they_are_used() -> None:
    said = "The lens's PSFs: simulated from a design, traced at R, G and B."
    assert said in tables.method_table(synthetic_study(chances=FOUR, optics=SOURCE)).notes
    assert said not in tables.method_table(synthetic_study(optics=SOURCE)).notes
    assert said in tables.grid_table(synthetic_study(grid=synthetic_grid(), optics=SOURCE)).notes


def test_names_for_keys() -> None:
    assert tables.method_name("finetuned") == "Fine-tuned"
    assert tables.method_name("my-own") == "my-own"
    assert tables.method_name("joint:merged") == "Joint, merged"
    assert tables.short_name("unit:merged") == "Unit, merged"
    assert tables.short_name("hqs") == "HQS"
    names = {
        "clean": "clean", "3lux": "3 lux", "0.5lux": "0.5 lux", "6lux+offaxis": "6 lux + off-axis",
        "clean+periphery": "clean + periphery", "12lux+center": "12 lux + center",
        "3lux+0.9-0.75": "3 lux + (0.9, 0.75)", "my-own+thing": "my-own+thing",
    }  # fmt: skip
    assert {key: tables.condition_name(key) for key in names} == names
    assert [tables.place_name(p) for p in (None, "offaxis", "0.90,0.80")] == ["no blur", "off-axis", "(0.90, 0.80)"]
    assert [tables.light_name(lux) for lux in (None, 3.0, 0.5)] == ["no noise", "3 lux", "0.5 lux"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0508, "+5.1"), (-0.003, "−0.3"), (-0.0001, "+0.0"), (0.0, "+0.0"), (-1.0, "−100.0")]
)
def test_points_are_signed(value: float, text: str) -> None:
    assert tables.points(value) == text


def test_the_conventional_method_is_the_first_that_was_run() -> None:
    study = synthetic_study(chances=FOUR)
    assert [tables.conventional_of(study, key) for key in FOUR] == [None, "bm3d", "bm3d", "hqs", "hqs"]
    assert tables.conventional_of(synthetic_study(chances={"3lux": {"nlm": 0.3, "joint": 0.6}}), "3lux") == "nlm"


class TestGrid:
    def test_light_goes_down_and_psf_across(self) -> None:
        cells = synthetic_grid()
        # In another order, so that nothing can hang on it but the headings' own.
        study = synthetic_study(grid=[*cells[:4], *reversed(cells[4:])])
        table = tables.grid_table(study)
        assert table.columns[:2] == ("Light", "no blur")
        assert [section.heading for section in table.sections] == ["top-1", "top-5"]
        for section, field in zip(table.sections, ("top1", "top5"), strict=True):
            shown = {(row[0], name): text for row in section.rows for name, text in zip(
                table.columns[1:], row[1:], strict=True)}  # fmt: skip
            assert len(shown) == len(cells) == 28
            for cell in cells:
                value = cell.metrics[field]
                expected = f"{100 * value.value:.1f} % [{100 * value.low:.1f}, {100 * value.high:.1f}]"
                assert shown[tables.light_name(cell.lux), tables.place_name(cell.position)] == expected

    def test_the_papers_cells_stand_beside_ours_where_they_are_known(self) -> None:
        table = tables.grid_table(synthetic_study(grid=synthetic_grid()), {"6lux+offaxis": (0.6107, 0.8203)})
        found = [(i, j, k) for i, section in enumerate(table.sections) for j, row in enumerate(section.rows)
                 for k, text in enumerate(row) if "paper" in text]  # fmt: skip
        assert found == [(0, 1, 3), (1, 1, 3)]
        assert table.sections[0].rows[1][3].endswith("]; paper 61.1 %")
        assert table.sections[1].rows[1][3].endswith("]; paper 82.0 %")
        assert any("Diamond" in note for note in table.notes)
        assert not any("Diamond" in note for note in tables.grid_table(synthetic_study(grid=synthetic_grid())).notes)

    def test_what_was_not_evaluated_is_left_open(self) -> None:
        cells = synthetic_grid()
        table = tables.grid_table(synthetic_study(grid=[cells[0], cells[5]]))
        assert [row[1:] for row in table.sections[0].rows] == [
            (tables.entry(cells[0].top1), "–"), ("–", tables.entry(cells[5].top1)),
        ]  # fmt: skip

    def test_without_a_grid_there_are_no_rows(self) -> None:
        assert tables.grid_table(synthetic_study()).rows == ()
