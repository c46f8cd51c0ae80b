"""The paper's numbers, and ours next to them."""

from __future__ import annotations

import pytest

from dirtypixels.study import tables
from dirtypixels.study.paper import PAPER, PAPER_PRETRAINED, paper_table
from tests.study.synthetic import FOUR, synthetic_study


def test_the_papers_numbers_agree_with_what_its_text_says_of_them() -> None:
    # Section 7.1: joint "up to 5.1 %" over fine-tuned; NLM lowers, BM3D raises top-1 and top-5 by a few percent, and
    # conventional deblurring lowers them.
    gaps = {key: PAPER[key]["joint"][0] - PAPER[key]["finetuned"][0] for key in PAPER}
    expected = {"3lux": 0.051, "6lux": 0.016, "6lux+offaxis": 0.028, "6lux+periphery": 0.050}
    assert gaps == pytest.approx(expected, abs=5e-4)
    for methods in PAPER.values():
        for k in (0, 1):
            if "bm3d" in methods:
                assert methods["nlm"][k] < methods["pretrained"][k] < methods["bm3d"][k] < methods["finetuned"][k]
            else:
                assert methods["hqs"][k] < methods["pretrained"][k] < methods["finetuned"][k]
            assert methods["finetuned"][k] < methods["joint"][k]
        assert all(top1 < top5 for top1, top5 in methods.values())
    assert PAPER_PRETRAINED == {"3lux": (0.4554, 0.6853), "6lux": (0.6357, 0.8451)}


def test_only_conditions_and_methods_of_both() -> None:
    study = synthetic_study(chances=FOUR)
    table = paper_table(study)
    assert table.groups == (("top-1", 2), ("top-5", 2))
    sections = {section.heading: {row[0]: row[1:] for row in section.rows} for section in table.sections}
    assert list(sections) == ["6 lux", "3 lux"]  # no blur, whose PSFs were others
    assert list(sections["3 lux"]) == [
        "Pretrained", "NLM + pretrained", "BM3D + pretrained", "Fine-tuned", "Joint", "Joint minus Fine-tuned",
    ]  # fmt: skip
    assert sections["3 lux"]["Joint"][1::2] == ("69.6 %", "89.3 %")
    assert sections["3 lux"]["Joint minus Fine-tuned"][1] == "+5.1"
    ours = next(c for c in study.cells if (c.condition, c.method) == ("3lux", "joint"))
    assert sections["3 lux"]["Joint"][::2] == (tables.entry(ours.top1), tables.entry(ours.metrics["top5"]))
    assert sections["3 lux"]["Joint minus Fine-tuned"][0] == tables.entry(ours.difference)
    assert "Inception-v4 on ImageNet at 299 px" in table.notes[0]
    assert table.notes[1].startswith("Conditions with blur are left out")
    assert len(paper_table(synthetic_study()).notes) == 1


def test_another_camera_is_named() -> None:
    assert "semco with srgb" in paper_table(synthetic_study(camera="semco", transfer="srgb")).notes[1]


def test_seeds_are_averaged() -> None:
    study = synthetic_study(seeds=(0, 1))
    table = paper_table(study)
    values = [c.top1.value for c in study.cells if (c.condition, c.method) == ("6lux", "joint")]
    assert {row[0]: row for row in table.sections[0].rows}["Joint"][1] == f"{50 * sum(values):.1f} %"
    assert "mean over the seeds" in table.notes[-1]


def test_it_is_empty_where_nothing_matches() -> None:
    table = paper_table(synthetic_study(chances={"clean": {"joint": 0.9}, "3lux": {"mine": 0.5}}))
    assert table.rows == ()
