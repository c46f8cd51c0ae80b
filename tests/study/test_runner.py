"""A whole study, as a user runs it: stopped by SIGKILL at several points, it goes on to the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dirtypixels.study import results

RECIPE = """
name: tiny
camera: nexus-6p-rear
conditions: [{name: clean, lux: null}, {name: 6lux, lux: 6}]
methods: [pretrained, nlm, unit, finetuned, joint]
data: {kind: signs, size: 32, train: 64, test: 24}
head: {network: test_efficientnet, weights: null, classes: new}
pretraining: {patches: 8, size: 16, iterations: 25}
clean_training: {epochs: 2, batch: 16}
finetuning: {epochs: 2, batch: 16}
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


def command(recipe: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "dirtypixels.cli.main", "study", str(recipe), "-o", str(out), *more]


def run(recipe: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(recipe, out, *more), env=ENVIRONMENT, capture_output=True, text=True, check=False)


def kill_when(recipe: Path, out: Path, pattern: str) -> None:
    """Start the study and kill it as soon as a file appears; a study that ends before fails the test."""
    process = subprocess.Popen(
        command(recipe, out), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(out.glob(pattern)):
        assert process.poll() is None, f"the study ended before {pattern} was there"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def numbers(out: Path) -> list[dict[str, object]]:
    cells = json.loads((out / "results.json").read_text())["cells"]
    return [{k: v for k, v in cell.items() if k != "seconds_per_image"} for cell in cells]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def uninterrupted(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    done = run(recipe, out)
    assert done.returncode == 0, done.stderr
    return out


def test_it_writes_everything_that_a_study_owes(uninterrupted: Path) -> None:
    study = results.read(uninterrupted / "results.json")
    keys = [(cell.condition, cell.method) for cell in study.cells]
    assert keys == [("clean", "pretrained")] + [
        ("6lux", method) for method in ("pretrained", "nlm", "unit", "finetuned", "joint")
    ]
    assert {cell.count for cell in study.cells} == {24}
    assert all((cell.difference is None) == (cell.method == "finetuned" or cell.lux is None) for cell in study.cells)
    for name in ("table.md", "table.csv", "table.tex", "accuracy.png", "psnr.png", "report.html"):
        assert (uninterrupted / name).stat().st_size > 0, name
    assert (uninterrupted / "units" / "6lux.png").is_file()
    assert "://" not in (uninterrupted / "report.html").read_text()


def test_a_study_that_was_killed_goes_on_to_the_same_numbers(
    recipe: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    kill_when(recipe, out, "checkpoints/pretrained.ckpt")  # in a training, after its first epoch
    kill_when(recipe, out, "units/6lux.pt")  # in the pretraining, after its first 10 iterations
    kill_when(recipe, out, "checkpoints/6lux-joint.ckpt")
    done = run(recipe, out)
    assert done.returncode == 0, done.stderr
    assert numbers(out) == numbers(uninterrupted)


def test_a_finished_study_computes_nothing_again(recipe: Path, uninterrupted: Path) -> None:
    kept = [*uninterrupted.glob("cells/*"), *uninterrupted.glob("models/*/*"), *uninterrupted.glob("units/*")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert run(recipe, uninterrupted).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == before


def test_a_folder_of_another_recipe_is_refused(recipe: Path, uninterrupted: Path) -> None:
    done = run(recipe, uninterrupted, "--set", "finetuning.rate=0.5")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "finetuning.rate is 0.001 there and 0.5 here" in done.stderr
