"""results.json: what it accepts, how it is written, and the synthetic study that the other tests of this room show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from dirtypixels.study import results, statistics
from dirtypixels.study.results import Cell, Difference, Estimate, Study

# Synthetic: invented chances of being right, for photographs that do not exist.
CHANCES = {
    "clean": {"pretrained": 0.91, "finetuned": 0.92, "joint": 0.921},
    "6lux": {"pretrained": 0.59, "nlm": 0.52, "bm3d": 0.62, "unit": 0.485, "finetuned": 0.79, "joint": 0.815},
    "3lux": {"pretrained": 0.35, "nlm": 0.27, "bm3d": 0.40, "unit": 0.29, "finetuned": 0.70, "joint": 0.755},
}
FOUR = {
    **CHANCES,
    "6lux+offaxis": {"pretrained": 0.47, "hqs": 0.44, "unit": 0.50, "finetuned": 0.75, "joint": 0.785},
    "6lux+periphery": {"pretrained": 0.24, "hqs": 0.26, "unit": 0.33, "finetuned": 0.62, "joint": 0.675},
}
PSNRS = {
    "6lux": {"pretrained": 18.0, "nlm": 23.4, "bm3d": 24.1, "unit": 22.9, "finetuned": 18.0, "joint": 20.6},
    "3lux": {"pretrained": 15.0, "nlm": 20.9, "bm3d": 21.8, "unit": 20.5, "finetuned": 15.0, "joint": 17.9},
    "6lux+offaxis": {"pretrained": 17.1, "hqs": 21.4, "unit": 22.3, "finetuned": 17.1, "joint": 17.0},
    "6lux+periphery": {"pretrained": 16.2, "hqs": 18.9, "unit": 20.1, "finetuned": 16.2, "joint": 14.4},
}
LUX = {"clean": None, "6lux": 6.0, "3lux": 3.0}


def synthetic_study(
    count: int = 1000,
    seeds: tuple[int, ...] = (0,),
    chances: dict[str, dict[str, float]] | None = None,
    **changes: object,
) -> Study:
    """A study like a real one, from a simulation: photographs of one difficulty for all methods, so paired."""
    cells = []
    for seed in seeds:
        for condition, methods in (CHANCES if chances is None else chances).items():
            draw = torch.Generator().manual_seed(seed)
            difficulty = torch.rand(count, generator=draw)
            right = {}
            for method, chance in methods.items():
                own = torch.rand(count, generator=draw)
                right[method] = torch.where(own < 0.25, torch.rand(count, generator=draw), difficulty) < chance
            for method, found in right.items():
                psnr = PSNRS.get(condition, {}).get(method)
                compared = method != "finetuned" and "finetuned" in right
                among5 = found | (difficulty < 0.5 + methods[method] / 2)
                values = None if psnr is None else psnr + 2 * torch.randn(count, generator=draw)
                light, _, place = condition.partition("+")
                cells.append(
                    Cell(
                        condition=condition,
                        lux=LUX.get(light),
                        position=place or None,
                        method=method,
                        seed=seed,
                        count=count,
                        top1=statistics.wilson(int(found.sum()), count),
                        top5=statistics.wilson(int(among5.sum()), count),
                        psnr=None if values is None else statistics.mean_interval(values),
                        seconds_per_image=0.012,
                        difference=statistics.paired_difference(found, right["finetuned"]) if compared else None,
                    )
                )
    fields: dict[str, object] = {
        "name": "synthetic study (invented numbers)",
        "camera": "nexus-6p-rear",
        "transfer": "linear",
        "data": {"kind": "synthetic", "size": 112, "classes": ["road", "sign"], "train": 3000, "test": count},
        "recipe": {"head": "tf_efficientnet_lite0", "optimizer": {"name": "adamw", "lr": 3e-4}, "epochs": 3},
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "hardware": "2-core processor, 24 GiB, no GPU",
        "commands": "dirtypixels study recipes/synthetic.yaml --set data.size=112 -o out",
        "cells": cells,
        "notes": ["Every number here is invented for a test."],
    }
    return Study(**{**fields, **changes})  # type: ignore[arg-type]


def synthetic_grid(count: int = 500) -> list[Cell]:
    """A grid of light x PSF in which both make the classifier worse; invented as the others."""
    cells = []
    for lux in (3.0, 6.0, 12.0, 24.0, 48.0, 96.0, None):
        light = 1.0 if lux is None else lux / (lux + 4)
        for place, blur in ((None, 0.0), ("center", 0.04), ("offaxis", 0.12), ("periphery", 0.4)):
            right, among5 = int(count * 0.92 * light * (1 - blur)), int(count * (1 - 0.3 * (1 - light) - blur / 2))
            name = "clean" if lux is None else f"{lux:g}lux"
            cells.append(
                Cell(
                    condition=name if place is None else f"{name}+{place}",
                    lux=lux,
                    position=place,
                    method="pretrained",
                    seed=0,
                    count=count,
                    top1=statistics.wilson(right, count),
                    top5=statistics.wilson(among5, count),
                    psnr=None,
                    seconds_per_image=0.01,
                    difference=None,
                )
            )
    return cells


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
        "condition": "3lux", "lux": 3.0, "method": "joint", "seed": 0, "count": 100, "top1": estimate(),
        "top5": estimate(), "psnr": None, "seconds_per_image": None, "difference": difference(),
    }  # fmt: skip
    return Cell(**{**fields, **changes})  # type: ignore[arg-type]


def test_read_gives_what_was_written(tmp_path: Path) -> None:
    study = synthetic_study()
    results.write(study, tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == study
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_what_was_written_before_there_were_positions_is_read(tmp_path: Path) -> None:
    study = synthetic_study()
    results.write(study, tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    del found["grid"], found["optics"]
    for one in found["cells"]:
        del one["position"]
    (tmp_path / "results.json").write_text(json.dumps(found))
    assert results.read(tmp_path / "results.json") == study


def test_a_grid_is_read_as_it_was_written(tmp_path: Path) -> None:
    study = synthetic_study(chances=FOUR, grid=synthetic_grid(), optics="simulated from a design")
    results.write(study, tmp_path / "results.json")
    again = results.read(tmp_path / "results.json")
    assert again == study
    assert [c.position for c in again.grid[:4]] == [None, "center", "offaxis", "periphery"]


def test_the_file_holds_plain_numbers_of_full_precision(tmp_path: Path) -> None:
    study = synthetic_study()
    results.write(study, tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["schema_version"] == 1
    assert found["cells"][0]["top1"]["low"] == study.cells[0].top1.low
    assert found["cells"][0]["psnr"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimate(value=0.7), r"value must be in \[low, high\]; found 0.7"),
        (lambda: estimate(low=-0.1), r"a fraction must be in \[0, 1\]"),
        (lambda: estimate(value=float("nan")), "finite number"),
        (lambda: estimate(unit="percent"), "'fraction' or 'dB'"),
        (lambda: difference(value=0.2), r"value must be in \[low, high\]"),
        (lambda: difference(p_value=1.2), "less than or equal to 1"),
        (lambda: cell(psnr=estimate()), "psnr must have the unit 'dB'; found 'fraction'"),
        (lambda: cell(top5=estimate(0.45)), "top5 must be at least top1; found 0.45 and 0.5"),
        (lambda: cell(method="finetuned"), "difference.reference must be another method"),
        (lambda: cell(count=200), r"difference.value must be .* = 0.025; found 0.05"),
        (lambda: cell(count=0), "greater than 0"),
        (lambda: cell(lux=0.0), "greater than 0"),
        (lambda: cell(color="red"), "Extra inputs are not permitted"),
        (lambda: synthetic_study(cells=[cell(), cell()]), r"must differ .* found \('3lux', 'joint', 0\)"),
        (lambda: synthetic_study(grid=[*synthetic_grid(), synthetic_grid()[0]]), r"grid must differ .*\(3.0, None\)"),
        (lambda: synthetic_study(grid=[cell()]), r"grid must be of the method 'pretrained'; found \['joint'\]"),
        (lambda: synthetic_study(schema_version=2), "Input should be 1"),
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
        (b'{"schema_version": 1, "name": "cut o', "not valid JSON.*Unterminated string"),
        (b"\xff\xfe\x00", "not valid JSON.*utf-8"),
        (b"", "not valid JSON"),
        (b"[1, 2]", "must hold a JSON object; found list"),
        (b'{"schema_version": 7}', "must have schema_version 1.*found 7"),
        (b"{}", "must have schema_version 1.*found None"),
        (b'{"schema_version": NaN}', "NaN is not a JSON number"),
        (b'{"schema_version": 1, "name": "x"}', r"camera: Field required \(and 8 more\)"),
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
    found["cells"][2]["top1"]["low"] = 0.99
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"cells\.2\.top1: .*value must be in \[low, high\]"):
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


def test_versions_are_those_that_run() -> None:
    found = results.versions()
    assert set(found) == {"python", "torch", "torchvision", "timm", "lightning", "dirtypixels"}
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert torch.__version__.split("+")[0] == found["torch"].split("+")[0]


def test_a_missing_package_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "VERSIONED", ("no-such-package",))
    assert results.versions()["no-such-package"] == "not installed"


def test_hardware_is_described_without_the_machines_name() -> None:
    found = results.hardware()
    assert re.fullmatch(r"\d+-core .+, \d+ GiB, .+", found)
    host = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
    assert host not in found
    assert "/" not in found
