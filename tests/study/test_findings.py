"""What is said of a study: what its numbers say, and the contrary where they say the contrary."""

from __future__ import annotations

import pytest

from dirtypixels.study import findings
from dirtypixels.study.findings import quality_and_accuracy
from dirtypixels.study.results import Study
from tests.study.synthetic import FOUR, synthetic_study


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def duel(joint: float, finetuned: float = 0.7, seeds: tuple[int, ...] = (0,), **more: float) -> Study:
    return synthetic_study(seeds=seeds, chances={"3lux": {"finetuned": finetuned, "joint": joint, **more}})


def test_headline_of_a_joint_model_that_wins() -> None:
    study = duel(0.76)
    gap, joint, tuned = study.cells[1].difference, study.cells[1].top1.value, study.cells[0].top1.value
    assert gap is not None
    assert gap.low > 0
    found = plain(findings.headline(study))
    assert found.startswith(
        "On 1,000 photographs (95 % intervals in brackets) the joint model named more photographs right than the "
        f"fine-tuned classifier at 3 lux ({100 * joint:.1f} % against {100 * tuned:.1f} % top-1: "
        f"+{100 * gap.value:.1f} points [+{100 * gap.low:.1f}, +{100 * gap.high:.1f}], p"
    )


def test_headline_of_a_joint_model_that_loses() -> None:
    found = plain(findings.headline(duel(0.62)))
    assert "the joint model named fewer photographs right than the fine-tuned classifier at 3 lux" in found
    assert ": −" in found
    assert "more" not in found


@pytest.mark.parametrize("joint", [0.68, 0.71])
def test_headline_where_the_interval_holds_0(joint: float) -> None:
    study = duel(joint)
    gap = study.cells[1].difference
    assert gap is not None
    assert gap.low < 0 < gap.high
    assert (gap.value < 0) == (joint < 0.7)
    found = plain(findings.headline(study))
    assert "no difference between the joint model and the fine-tuned classifier is shown at 3 lux" in found
    assert "more" not in found
    assert "fewer" not in found


def test_headline_sorts_conditions_by_what_happened() -> None:
    chances = {
        "clean": {"finetuned": 0.9, "joint": 0.9},
        "6lux": {"finetuned": 0.8, "joint": 0.7},
        "3lux": {"finetuned": 0.7, "joint": 0.8},
    }
    found = plain(findings.headline(synthetic_study(chances=chances)))
    parts = found.split("; ")
    assert [part for part in parts if "more photographs right" in part and "at 3 lux" in part] == parts[:1]
    assert [part for part in parts if "fewer photographs right" in part and "at 6 lux" in part] == parts[1:2]
    assert [part for part in parts if "no difference" in part and "on clean photographs" in part] == parts[2:]


def test_headline_over_seeds_wins_only_where_every_seed_does() -> None:
    study = duel(0.76, seeds=(0, 1, 2))
    gaps = [cell.difference for cell in study.cells if cell.difference]
    assert all(gap.low > 0 for gap in gaps)
    found = plain(findings.headline(study))
    mean = 100 * sum(gap.value for gap in gaps) / 3
    assert "named more photographs right" in found
    assert f"+{mean:.1f} points, mean of 3 seeds from" in found
    assert "excludes 0 for 3 of them" in found
    mixed = study.model_copy(update={"cells": [*study.cells[:4], *duel(0.7, seeds=(2,)).cells]})
    assert "no difference" in findings.headline(mixed)
    assert "excludes 0 for 2 of them" in plain(findings.headline(mixed))


def test_headline_without_a_joint_model_names_the_best() -> None:
    study = synthetic_study(chances={"3lux": {"pretrained": 0.3, "bm3d": 0.5}})
    assert "does not compare" in findings.headline(study)
    assert findings.headline(study).endswith(f"{100 * study.cells[1].top1.value:.1f} % at 3 lux (BM3D + pretrained).")
    assert findings.headline(synthetic_study(cells=[])) == "No results yet."


def test_the_headline_is_made_of_its_parts() -> None:
    study = synthetic_study(chances=FOUR)
    lead, clauses = findings.findings(study)
    assert sum(map(len, clauses.values())) == 5
    text = findings.headline(study)
    assert text.startswith(lead)
    assert all(part in text for clause, details in clauses.items() for part in (clause, *details))


def with_psnr(study: Study, condition: str, method: str, value: float, reach: float = 0.1) -> Study:
    cells = [
        c.model_copy(update={"metrics": c.metrics | {"psnr": c.psnr.model_copy(update={
            "value": value, "low": value - reach, "high": value + reach})}})
        if (c.condition, c.method) == (condition, method) and c.psnr
        else c
        for c in study.cells
    ]  # fmt: skip
    return study.model_copy(update={"cells": cells})


def test_headline_names_each_unit() -> None:
    found = plain(
        findings.headline(synthetic_study(chances={"3lux": {"finetuned": 0.6, "joint:a": 0.75, "joint:b": 0.5}}))
    )
    assert "more photographs right than the fine-tuned classifier at 3 lux (a) (" in found
    assert "fewer photographs right than the fine-tuned classifier at 3 lux (b) (" in found


def test_headline_over_trainings_is_that_of_their_mean() -> None:
    study = synthetic_study(trainings=3, chances={"3lux": {"finetuned": 0.6, "joint": 0.8}})
    gap = study.cells[1].to("finetuned")
    assert gap is not None
    found = plain(findings.headline(study))
    assert found.startswith(
        "On 1,000 photographs in 3 trainings (95 % intervals in brackets) the joint model named more"
    )
    low, high = (100 * f(gap.trainings) for f in (min, max))
    assert (
        f"+{100 * gap.low:.1f}, +{100 * gap.high:.1f}], from +{low:.1f} to +{high:.1f} in single trainings, p" in found
    )


class TestControls:
    """The frozen restoration, and what training it too adds."""

    def said(self, **chances: float) -> list[str]:
        return list(map(plain, findings.controls(synthetic_study(chances={"3lux": chances}))))

    def test_nothing_is_said_without_one(self) -> None:
        assert self.said(finetuned=0.6, joint=0.7, unit=0.4) == []

    def test_both_steps_are_said_with_their_numbers(self) -> None:
        study = synthetic_study(chances={"3lux": {"finetuned": 0.6, "unit_finetuned": 0.7, "joint": 0.8}})
        _, frozen, joint = study.cells
        lead, sentence = map(plain, findings.controls(study))
        assert lead.startswith(
            "Training the unit together with the classifier, in place of fine-tuning behind the frozen unit, adds "
            "accuracy in the one condition compared."
        )
        first, added = frozen.to("finetuned"), joint.to("unit_finetuned")
        assert first is not None
        assert added is not None
        assert sentence == (
            f"At 3 lux the classifier fine-tuned behind the frozen unit has {100 * frozen.top1.value:.1f} % top-1, "
            f"+{100 * first.value:.1f} points [+{100 * first.low:.1f}, +{100 * first.high:.1f}] over fine-tuning on "
            f"the capture itself; training the unit too gives {100 * joint.top1.value:.1f} %, "
            f"+{100 * added.value:.1f} points [+{100 * added.low:.1f}, +{100 * added.high:.1f}] over that."
        )

    @pytest.mark.parametrize(
        ("joint", "said"),
        [
            (0.6, "costs accuracy in the one condition"),
            (0.7, "makes no difference that is shown, in the one condition"),
        ],
    )
    def test_the_contrary_is_said_too(self, joint: float, said: str) -> None:
        assert said in self.said(finetuned=0.6, unit_finetuned=0.7, joint=joint)[0]

    def test_conditions_that_differ_are_counted(self) -> None:
        chances = {
            "6lux": {"unit_finetuned": 0.7, "joint": 0.8},
            "3lux": {"unit_finetuned": 0.7, "joint": 0.7},
        }
        lead, *each = map(plain, findings.controls(synthetic_study(chances=chances)))
        assert "adds accuracy in 1 of 2 comparisons and costs it in none; no difference is shown in the others" in lead
        assert len(each) == 2
        assert "over fine-tuning on the capture itself" not in each[0]

    def test_classical_methods_are_named(self) -> None:
        lead, bm3d = self.said(finetuned=0.6, bm3d_finetuned=0.7)
        assert "does not compare a joint model" in lead
        assert bm3d.startswith("At 3 lux the classifier fine-tuned behind BM3D has ")

    def test_each_unit_is_compared_with_its_own(self) -> None:
        chances = {"unit_finetuned:a": 0.7, "unit_finetuned:b": 0.7, "joint:a": 0.6, "joint:b": 0.8}
        lead, *each = map(plain, findings.controls(synthetic_study(chances={"3lux": chances})))
        assert "adds accuracy in 1 of 2 comparisons and costs it in 1." in lead
        assert ["unit (a) has" in each[0], "unit (b) has" in each[1]] == [True, True]
        assert ["%, −" in each[0], "%, +" in each[1]] == [True, True]


class TestQualityAndAccuracy:
    def test_worse_pictures_that_are_read_better(self) -> None:
        study = synthetic_study(chances=FOUR)
        lead, *each = map(plain, quality_and_accuracy(study))
        assert lead.startswith("In all 4 conditions, the joint unit's PSNR is below")
        assert lead.endswith("was not measured, so a low PSNR says little.")
        assert [text.split(" the joint")[0] for text in each] == [
            "At 6 lux", "At 3 lux", "At 6 lux + off-axis", "At 6 lux + periphery",
        ]  # fmt: skip
        cells = {(c.condition, c.method): c for c in study.cells}
        joint, hqs = (cells["6lux+periphery", m] for m in ("joint", "hqs"))
        assert joint.psnr is not None
        assert hqs.psnr is not None
        assert each[3] == (
            f"At 6 lux + periphery the joint unit's picture has {joint.psnr.value:.1f} dB, below the "
            f"{hqs.psnr.value:.1f} dB of HQS; its top-1 is {100 * joint.top1.value:.1f} %, above the "
            f"{100 * hqs.top1.value:.1f} % of HQS."
        )
        assert "BM3D" in each[0]

    def test_a_better_picture_is_the_contrary(self) -> None:
        study = with_psnr(synthetic_study(chances={"3lux": FOUR["3lux"]}), "3lux", "joint", 30.0)
        lead, each = quality_and_accuracy(study)
        assert lead.startswith("The contrary of what was expected: in none")
        assert ", above the 2" in plain(each)

    def test_intervals_that_touch_tell_nothing_apart(self) -> None:
        study = synthetic_study(chances=FOUR)
        joint = next(c.psnr for c in study.cells if (c.condition, c.method) == ("3lux", "joint"))
        assert joint is not None
        study = with_psnr(study, "3lux", "bm3d", joint.value, 0.01)
        lead, *each = quality_and_accuracy(study)
        assert lead.startswith("Only in 3 of 4 conditions")
        assert "not told apart from" in each[1]

    def test_pictures_after_gain_and_offset_are_compared_where_there_is_a_number(self) -> None:
        study = synthetic_study(chances={"3lux": FOUR["3lux"]}, affine=True)
        joint, bm3d = (next(c for c in study.cells if c.method == m) for m in ("joint", "bm3d"))
        ours, theirs = (c.metrics["psnr_affine"].value for c in (joint, bm3d))
        said = f", and after the best gain and offset {ours:.1f} dB, below the {theirs:.1f} dB of BM3D; its top-1"
        lead, each = map(plain, quality_and_accuracy(study))
        assert said in each
        assert lead.endswith("leaves free.")

    def test_the_same_accuracy_is_not_above(self) -> None:
        lead, each = quality_and_accuracy(synthetic_study(chances={"3lux": {"bm3d": 0.6, "joint": 0.6}}))
        assert lead.startswith("The contrary")
        assert "not told apart from" in each

    def test_fewer_photographs_are_said(self) -> None:
        whole = synthetic_study(chances={"3lux": {"bm3d": 0.4, "joint": 0.7}})
        few = synthetic_study(count=300, chances={"3lux": {"bm3d": 0.4, "joint": 0.7}})
        study = whole.model_copy(update={"cells": [few.cells[0], whole.cells[1]]})
        assert "of BM3D (evaluated on the first 300 only);" in quality_and_accuracy(study)[1]

    @pytest.mark.parametrize("methods", [{"bm3d": 0.5}, {"joint": 0.7}, {"unit": 0.5, "joint": 0.7}])
    def test_nothing_is_said_without_both_methods(self, methods: dict[str, float]) -> None:
        assert quality_and_accuracy(synthetic_study(chances={"3lux": methods})) == []
