"""results.json: what it accepts, and how it is written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from dirtypixels.study import results
from dirtypixels.study.results import TRUE_NOISE, Cell, Difference, Estimate, Model, RiskCurve, Training
from tests.study.synthetic import (
    FOUR,
    FROZEN,
    light_cell,
    light_model,
    synthetic_grid,
    synthetic_light,
    synthetic_study,
)


def estimate(value: float = 0.5, low: float = 0.4, high: float = 0.6, unit: str = "fraction") -> Estimate:
    return Estimate(value=value, low=low, high=high, unit=unit)  # type: ignore[arg-type]


def difference(**changes: object) -> Difference:
    fields: dict[str, object] = {
        "reference": "finetuned", "value": 0.05, "low": -0.01, "high": 0.11, "p_value": 0.1, "test": "a test",
        "only_this_right": 8, "only_reference_right": 3,
    }  # fmt: skip
    return Difference(**{**fields, **changes})  # type: ignore[arg-type]


def cell(**changes: object) -> Cell:
    fields: dict[str, object] = {
        "condition": "3lux", "lux": 3.0, "model": Model(method="joint"), "seed": 0, "count": 100,
        "metrics": {"top1": estimate(), "top5": estimate()}, "differences": (difference(),),
    }  # fmt: skip
    return Cell(**{**fields, **changes})  # type: ignore[arg-type]


def training(seed: int, value: float = 0.5) -> Training:
    return Training(seed=seed, metrics={"top1": estimate(value)})


def told(alpha: float, **changes: object) -> Cell:
    """A cell of the joint model that is told so many times the true alpha."""
    gap = difference(reference=TRUE_NOISE)
    return cell(**{"part": "wrong_noise", "alpha_factor": alpha, "differences": (gap,), **changes})


def home(**changes: object) -> Cell:
    return light_cell("specialist 3 lux", 3.0, 100, 50, **changes)  # type: ignore[arg-type]


def curve(**changes: object) -> RiskCurve:
    fields: dict[str, object] = {"threshold": (0.9, 0.4), "coverage": (0.5, 1.0), "risk": (0.0, 0.25)}
    return RiskCurve(**{**fields, **changes})  # type: ignore[arg-type]


LIGHT = synthetic_light(count=200, lights=(3.0, 25.0), specialists=(3.0, 25.0))


def test_models_are_named_by_what_they_were_trained_for() -> None:
    names = ["pretrained", "specialist 3 lux", "finetuned", "unconditioned", "conditioned", "ensemble"]
    models = [light_model(name) for name in names]
    assert [model.name for model in models] == names
    assert [model.folder for model in models[:5]] == [
        "pretrained", "3lux-joint", "2-200lux-finetuned", "2-200lux-joint", "2-200lux-conditioned",
    ]  # fmt: skip
    again = models[4].model_copy(update={"rounds": 2})
    assert (again.name, again.folder) == ("conditioned, 2 rounds", "2-200lux-conditioned-2-rounds")
    named = Model(method="joint", unit="merged", trained_for="3lux", trained_lux=3.0)
    assert (named.key, named.folder) == ("joint:merged", "3lux-joint-merged")
    third = named.model_copy(update={"training": 3})
    assert (third.key, third.folder) == ("joint:merged", "3lux-joint-merged-training3")


def test_the_difference_to_a_method_is_found_whatever_its_unit() -> None:
    gaps = (difference(), difference(reference="unit_finetuned:merged", metric="top5"), difference(reference="unit:a"))
    found = cell(differences=gaps)
    assert (found.to("finetuned"), found.to("unit"), found.to("unit_finetuned")) == (gaps[0], gaps[2], None)


def test_home_is_the_specialists_own_light_only() -> None:
    homes = [(c.model.name, c.lux) for c in LIGHT.part("light") if c.is_at_home]
    assert homes == [("specialist 3 lux", 3.0), ("specialist 25 lux", 25.0)]


def test_read_gives_what_was_written(tmp_path: Path) -> None:
    study = synthetic_study()
    results.write(study, tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == study
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_study_over_light_is_read_as_it_was_written(tmp_path: Path) -> None:
    results.write(LIGHT, tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == LIGHT


def test_several_trainings_are_read_as_they_were_written(tmp_path: Path) -> None:
    study = synthetic_study(chances=FROZEN, trainings=2, affine=True)
    results.write(study, tmp_path / "results.json")
    again = results.read(tmp_path / "results.json")
    assert again == study
    joint = next(c for c in again.cells if (c.condition, c.method) == ("3lux", "joint"))
    assert [one.seed for one in joint.trainings] == [0, 1]
    assert [gap.reference for gap in joint.differences] == ["finetuned", "unit_finetuned"]


def test_files_from_before_there_were_trainings_are_read(tmp_path: Path) -> None:
    results.write(study := synthetic_study(), tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    for one in found["cells"]:
        del one["trainings"], one["model"]["training"]
        for gap in one["differences"]:
            del gap["trainings"]
    (tmp_path / "old.json").write_text(json.dumps(found))
    assert results.read(tmp_path / "old.json") == study


def test_a_grid_is_read_as_it_was_written(tmp_path: Path) -> None:
    study = synthetic_study(chances=FOUR, grid=synthetic_grid(), optics="simulated from a design")
    results.write(study, tmp_path / "results.json")
    again = results.read(tmp_path / "results.json")
    assert again == study
    assert [c.position for c in again.part("grid")[:4]] == [None, "center", "offaxis", "periphery"]


def test_the_file_holds_plain_numbers_of_full_precision(tmp_path: Path) -> None:
    study = synthetic_study()
    results.write(study, tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["schema_version"] == 2
    assert found["cells"][0]["metrics"]["top1"]["low"] == study.cells[0].top1.low
    assert "psnr" not in found["cells"][0]["metrics"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: told(2.0, sigma_factor=0.5), "must be equal where both are wrong; found 2.0 and 0.5"),
        (lambda: estimate(value=0.7), r"value must be in \[low, high\]; found 0.7"),
        (lambda: estimate(low=-0.1), r"a fraction must be in \[0, 1\]"),
        (lambda: estimate(value=float("nan")), "finite number"),
        (lambda: Estimate(value=0.5, low=0.4, unit="fraction"), "low and high must both be given or neither"),
        (lambda: difference(value=0.2), r"value must be in \[low, high\]"),
        (lambda: difference(p_value=1.2), "less than or equal to 1"),
        (lambda: difference(low=-1.2), r"a difference of fractions must be in \[-1, 1\]"),
        (
            lambda: cell(metrics={"top1": estimate(), "psnr": estimate()}),
            "psnr must have the unit 'dB'; found 'fraction'",
        ),
        (
            lambda: cell(metrics={"top1": estimate(), "top5": estimate(0.45)}),
            "top5 must be at least top1; found 0.45 and 0.5",
        ),
        (lambda: cell(model=Model(method="finetuned")), "reference must be another method"),
        (lambda: cell(count=200), r"value must be .* = 0.025; found 0.05"),
        (lambda: cell(count=0), "greater than 0"),
        (lambda: cell(lux=0.0), "greater than 0"),
        (lambda: cell(color="red"), "Extra inputs are not permitted"),
        (
            lambda: synthetic_study(cells=[cell(), cell()]),
            r"cells must differ in \(part, model, condition, ",
        ),
        (lambda: synthetic_study(grid=[*synthetic_grid(), synthetic_grid()[0]]), "more than once"),
        (
            lambda: synthetic_study(grid=[cell(part="grid", differences=())]),
            r"grid must be of the method 'pretrained'; found \['joint'\]",
        ),
        (lambda: synthetic_study(schema_version=1), "Input should be 2"),
        (lambda: cell(metrics={}), "at least 1 item"),
        (lambda: cell(differences=(difference(), difference())), r"differences must differ in \(metric, reference\)"),
        (lambda: cell(differences=(difference(metric="miou"),)), "must be in a metric of the cell; found 'miou'"),
        (lambda: cell(differences=(difference(reference=TRUE_NOISE),)), "'true noise' in wrong_noise, and only there"),
        (lambda: told(1.0), "differences must be empty where both factors are 1"),
        (lambda: told(2.0, differences=()), "differences must be empty where both factors are 1, and only there"),
        (lambda: told(2.0, differences=(difference(),)), "reference must be 'true noise' in wrong_noise"),
        (lambda: told(0.0), "greater than 0"),
        (lambda: home(differences=(difference(reference="pretrained"),)), "empty for the specialist of 3.0 lux itself"),
        (lambda: cell(temperature=0.0), "greater than 0"),
        (lambda: cell(trainings=(training(0), training(0))), "trainings must differ in seed; found 0 more than once"),
        (lambda: cell(trainings=(training(0), training(1, 0.6))), "top1 must be the mean over the trainings, 0.55"),
        (lambda: difference(trainings=(0.05, 0.07)), "value must be the mean over the trainings, 0.06"),
        (lambda: Model(method="joint", training=0), "greater than or equal to 1"),
        (lambda: Model(method="joint", trained_lux=(200.0, 2.0)), r"a range must rise; found \(200.0, 2.0\)"),
        (lambda: Model(method="finetuned", trained_lux=-1.0), "trained_lux must be above 0.*found -1.0"),
        (
            lambda: Model(method="joint", trained_lux=3.0, conditioned=True),
            "conditioned model must be joint, for a range",
        ),
        (lambda: Model(method="joint", networks=0), "greater than or equal to 1"),
        (lambda: Model(method="joint", rounds=0), "greater than or equal to 1"),
        (lambda: curve(risk=(0.1,)), r"threshold, coverage and risk must be of one length; found \[1, 2\]"),
        (lambda: curve(threshold=(), coverage=(), risk=()), "at least 1 item"),
        (lambda: curve(risk=(0.0, 1.5)), r"threshold, coverage and risk must be in \[0, 1\]"),
        (lambda: curve(threshold=(0.4, 0.9)), "threshold must fall"),
        (lambda: curve(coverage=(0.5, 0.9)), "coverage must rise to 1"),
        (lambda: curve(coverage=(1.0, 1.0)), "coverage must rise to 1"),
        (lambda: synthetic_light(count=20, cells=[*LIGHT.cells, LIGHT.cells[0]]), "cells must differ in"),
        (
            lambda: synthetic_light(count=20, cells=LIGHT.cells[:1]),
            "must be the specialist of that light, evaluated there",
        ),
        (
            lambda: synthetic_light(
                cells=[home(), home(model=light_model("specialist 3 lux").model_copy(update={"rounds": 2}))]
            ),
            "specialists at their own light must differ in lux; found 3.0",
        ),
        (lambda: synthetic_study(recipe={"lr": float("inf")}), "finite number"),
        (lambda: synthetic_study(recipe={"unit": object()}), "valid JSON value"),
    ],
)
def test_what_does_not_fit_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make()  # type: ignore[operator]


def test_records_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        cell().count = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema_version": 2, "name": "cut o', "not valid JSON.*Unterminated string"),
        (b"\xff\xfe\x00", "not valid JSON.*utf-8"),
        (b"", "not valid JSON"),
        (b"[1, 2]", "must hold a JSON object; found list"),
        (b'{"schema_version": 7}', "must have schema_version 2.*found 7"),
        (b'{"schema_version": 1}', "must have schema_version 2.*found 1"),
        (b"{}", "must have schema_version 2.*found None"),
        (b'{"schema_version": NaN}', "NaN is not a JSON number"),
        (b'{"schema_version": 2, "name": "x"}', r"camera: Field required \(and 8 more\)"),
    ],
)
def test_a_corrupt_file_is_named_with_its_fault(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        results.read(path)
    assert str(path) in str(caught.value)


def test_a_changed_number_is_found_where_it_is(tmp_path: Path) -> None:
    results.write(synthetic_study(), tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    found["cells"][2]["metrics"]["top1"]["low"] = 0.99
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"cells\.2\.metrics\.top1: .*value must be in \[low, high\]"):
        results.read(tmp_path / "results.json")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        results.read(tmp_path / "results.json")


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.write(synthetic_study(), path)
    before = path.read_bytes()
    unknown = synthetic_study()
    unknown.recipe["lr"] = float("nan")
    with pytest.raises(ValueError, match=r"(?s)recipe.lr.*finite number"):
        results.write(unknown, path)
    doubled = synthetic_study()
    doubled.cells.append(doubled.cells[0])
    with pytest.raises(ValueError, match="more than once"):
        results.write(doubled, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    results.write(synthetic_study(name="old"), path)

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        results.write(synthetic_study(name="new"), path)
    assert results.read(path).name == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_whoever_holds_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path, reader = tmp_path / "results.json", tmp_path / "reader"
    results.write(synthetic_study(name="old"), path)
    reader.hardlink_to(path)
    results.write(synthetic_study(name="new"), path)
    assert (results.read(path).name, results.read(reader).name) == ("new", "old")
