"""light.json: what it accepts, and that it is read as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from light_synthetic import synthetic_light
from pydantic import ValidationError

from dirtypixels.study import light_results, selective, statistics
from dirtypixels.study.light_results import TRUE_NOISE, LightCell, LightStudy, Mismatch, RiskCurve

STUDY = synthetic_light(count=200, lights=(3.0, 25.0), specialists=(3.0, 25.0))


def cell(**changes: object) -> LightCell:
    fields: dict[str, object] = {
        "model": "conditioned", "kind": "conditioned", "trained_lux": (2.0, 200.0), "judged_lux": 3.0, "count": 4,
        "top1": statistics.wilson(3, 4), "difference": gap("specialist 3 lux"), "seconds_per_image": None, "passes": 1,
    }  # fmt: skip
    return LightCell(**{**fields, **changes})  # type: ignore[arg-type]


def gap(reference: str) -> Any:
    right, other = torch.tensor([True, True, True, False]), torch.tensor([True, False, False, True])
    return statistics.paired_difference(right, other, reference)


def mismatch(**changes: object) -> Mismatch:
    fields: dict[str, object] = {
        "model": "conditioned", "lux": 3.0, "alpha_factor": 2.0, "sigma_factor": 1.0, "count": 4,
        "top1": statistics.wilson(3, 4), "difference": gap(TRUE_NOISE),
    }  # fmt: skip
    return Mismatch(**{**fields, **changes})  # type: ignore[arg-type]


def curve(**changes: object) -> RiskCurve:
    fields: dict[str, object] = {
        "model": "conditioned", "lux": 3.0, "count": 4, "threshold": (0.9, 0.4), "coverage": (0.5, 1.0),
        "risk": (0.0, 0.25), "area": 0.1,
    }  # fmt: skip
    return RiskCurve(**{**fields, **changes})  # type: ignore[arg-type]


def test_read_gives_what_was_written(tmp_path: Path) -> None:
    light_results.write(STUDY, tmp_path / "light.json")
    assert light_results.read(tmp_path / "light.json") == STUDY
    found = json.loads((tmp_path / "light.json").read_text())
    assert found["cells"][1]["top1"]["value"] == STUDY.cells[1].top1.value
    assert [file.name for file in tmp_path.iterdir()] == ["light.json"]


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "light.json").write_text("no")
    with pytest.raises(ValueError, match=r"must be a light study's light\.json; it is not valid JSON"):
        light_results.read(tmp_path / "light.json")


def test_home_is_the_specialists_own_light_only() -> None:
    homes = [(c.model, c.judged_lux) for c in STUDY.cells if c.is_at_home]
    assert homes == [("specialist 3 lux", 3.0), ("specialist 25 lux", 25.0)]


def test_a_curve_of_confidences_is_the_thinned_curve() -> None:
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0, 1, 400)
    correct = draw.uniform(0, 1, 400) < confidence
    found = RiskCurve.of("m", 3.0, confidence, correct)
    thin = selective.risk_coverage(confidence, correct).thinned(25)
    assert (found.model, found.lux, found.count) == ("m", 3.0, 400)
    assert len(found.coverage) == 25
    assert np.array_equal([found.threshold, found.coverage, found.risk], thin)
    assert found.area == selective.area_under_risk(confidence, correct)


def test_a_curve_of_one_confidence_is_one_point() -> None:
    found = RiskCurve.of("m", 3.0, [0.5, 0.5], [True, False])
    assert (found.threshold, found.coverage, found.risk, found.area) == ((0.5,), (1.0,), (0.5,), 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cell(kind="best"), "Input should be 'pretrained', 'specialist'"),
        (lambda: cell(judged_lux=0.0), "greater than 0"),
        (lambda: cell(count=0), "greater than 0"),
        (lambda: cell(passes=0), "greater than or equal to 1"),
        (lambda: cell(temperature=0.0), "greater than 0"),
        (lambda: cell(calibration_error=1.1), "less than or equal to 1"),
        (lambda: cell(calibration_error_after=-0.1), "greater than or equal to 0"),
        (lambda: cell(color="red"), "Extra inputs"),
        (lambda: cell(top1=statistics.mean_interval([20.0, 21.0])), "top1 must have the unit 'fraction'; found 'dB'"),
        (lambda: cell(count=5), r"difference.value must be .* = 0.2; found 0.25"),
        (lambda: cell(model="specialist 3 lux"), "difference.reference must be another model"),
        (lambda: cell(trained_lux=3.0), "trained_lux of a model for every light must be a range; found 3.0"),
        (lambda: cell(trained_lux=(200.0, 2.0)), r"a range must rise; found \(200.0, 2.0\)"),
        (lambda: cell(kind="finetuned", trained_lux=-1.0), "trained_lux must be above 0.*found -1.0"),
        (lambda: cell(kind="specialist"), r"trained_lux of a specialist must be one light level; found \(2.0, 200.0\)"),
        (lambda: cell(kind="specialist", trained_lux=3.0), "must be None for the specialist of 3 lux itself"),
        (lambda: mismatch(alpha_factor=0.0), "greater than 0"),
        (lambda: mismatch(difference=None), "difference must be None where both factors are 1, and only there"),
        (lambda: mismatch(alpha_factor=1.0), "difference must be None where both factors are 1"),
        (lambda: mismatch(difference=gap("unit")), "difference.reference must be 'true noise'; found 'unit'"),
        (lambda: mismatch(count=5), "difference.value must be"),
        (lambda: mismatch(top1=statistics.mean_interval([20.0, 21.0])), "top1 must have the unit 'fraction'"),
        (lambda: curve(risk=(0.1,)), r"threshold, coverage and risk must be of one length; found \[1, 2\]"),
        (lambda: curve(threshold=(), coverage=(), risk=()), "at least 1 item"),
        (lambda: curve(risk=(0.0, 1.5)), r"threshold, coverage and risk must be in \[0, 1\]"),
        (lambda: curve(threshold=(0.4, 0.9)), "threshold must fall"),
        (lambda: curve(coverage=(0.5, 0.9)), "coverage must rise to 1"),
        (lambda: curve(coverage=(1.0, 1.0)), "coverage must rise to 1"),
        (lambda: curve(area=2.0), "less than or equal to 1"),
    ],
)
def test_records_that_do_not_fit_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lux": (200.0, 2.0)}, r"lux must be a range that rises from above 0; found \(200.0, 2.0\)"),
        ({"lux": (0.0, 2.0)}, "lux must be a range"),
        ({"cells": [*STUDY.cells, STUDY.cells[0]]}, r"cells must differ in \(model, judged_lux\); found \('pretr"),
        ({"mismatch": [mismatch(), mismatch()]}, r"mismatch must differ in .*\('conditioned', 3.0, 2.0, 1.0\)"),
        ({"selective": [curve(), curve()]}, r"selective must differ in \(model, lux\)"),
        ({"cells": [cell()]}, "must be the specialist of that light, judged there too; found 'specialist 3 lux'"),
        (
            {"cells": [c for c in STUDY.cells if not (c.is_at_home and c.judged_lux == 25)]},
            "difference.reference of 'pretrained' at 25 lux must be the specialist of that light",
        ),
        (
            {"cells": [cell(difference=None), cell(difference=None, judged_lux=6.0, trained_lux=(1.0, 2.0))]},
            "model 'conditioned' must be of one kind and training",
        ),
        (
            {"cells": [cell(model=m, kind="specialist", trained_lux=3.0, difference=None) for m in "ab"]},
            "specialists at their own light must differ in lux; found 3.0",
        ),
        ({"schema_version": 2}, "Input should be 1"),
        ({"recipe": {"rate": float("inf")}}, "finite number"),
    ],
)  # fmt: skip
def test_studies_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LightStudy.model_validate(STUDY.model_dump() | changes)
