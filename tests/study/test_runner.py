"""Whole studies: one that is killed again and again ends with the numbers of one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from dirtypixels.recipe import Recipe
from dirtypixels.study import machine, results
from dirtypixels.study.markup import to_csv, to_latex, to_markdown
from dirtypixels.study.predictions import Predictions
from dirtypixels.study.runner import plan, run
from dirtypixels.study.tables import method_table

COMMAND = Path(sys.executable).with_name("dirtypixels")
# One thread: what the driver does is fork, and a fork keeps one thread only. No GPU: it would add in another order.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
TRAINING = {"epochs": 2, "batch": 24, "rate": 0.01, "accelerator": "cpu"}
TINY: dict[str, Any] = {
    "name": "tiny",
    "conditions": [{"name": "clean", "lux": None}, {"name": "6lux", "lux": 6}],
    "methods": ["pretrained", "nlm", "unit", "finetuned", "joint"],
    "data": {"kind": "signs", "size": 32, "train": 48, "test": 24},
    "head": {"network": "test_efficientnet", "weights": None},
    "unit": {"filter_size": 3, "hidden": 4},
    "pretraining": {"patches": 4, "size": 16, "iterations": 30},
    "clean_training": TRAINING,
    "finetuning": TRAINING,
    "limits": {"nlm": 9},
    "notes": ["A test."],
}
# Starts the command anew for each line on its standard input: a process of its own, which takes over what is imported
# here (that takes longer than a whole tiny study) and kills itself, with SIGKILL, at the moment that the line names.
DRIVER = """
import json, os, signal, sys
import dirtypixels.cli.studies
import numpy
from dirtypixels.cli.main import main
from dirtypixels.study import experiment, predictions, results

training, pretraining, models = (
    sys.modules[f"dirtypixels.{name}"] for name in ("train.finetune", "train.pretrain", "deploy.models")
)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def patch(owner, name, call, after, spoil=None):
    found, calls = getattr(owner, name), []
    def patched(*args, **options):
        calls.append(1)
        if len(calls) == call and not after:
            die()
        value = found(*args, **options)
        if len(calls) == call:
            if spoil:
                spoil(*args)
            die()
        return value
    setattr(owner, name, patched)

def halve(trainer, path):
    os.truncate(path, os.path.getsize(path) // 2)

MOMENTS = {
    "in the first epoch": (training.TaskTraining, "training_step", 2, False),
    "with half a checkpoint written": (training.lightning.Trainer, "save_checkpoint", 1, True, halve),
    "in the second epoch": (training.TaskTraining, "training_step", 4, False),
    "with half a model written": (models, "save_file", 1, True),
    "before its checkpoint is removed": (experiment, "save_model", 1, True),
    "while evaluating": (predictions, "psnr", 1, False),
    "with half of the predictions written": (numpy, "savez", 1, True),
    "while pretraining": (pretraining, "write_atomically", 2, True),
    "before the curve is drawn": (experiment, "pretraining_curve", 1, False),
    "before the results are written": (results, "write", 1, False),
}
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print("ready", flush=True)
for line in sys.stdin:
    argv, moment = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if moment:
            patch(*MOMENTS[moment])
        sys.argv = ["dirtypixels", *argv]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
# Each one comes after what those before it left behind.
MOMENTS = [
    "in the first epoch",  # of the training on clean photographs
    "with half a checkpoint written",
    "in the second epoch",
    "with half a model written",
    "before its checkpoint is removed",
    "while evaluating",
    "with half of the predictions written",
    "while pretraining",
    "before the curve is drawn",
    "in the first epoch",  # of the fine-tuning
    "before its checkpoint is removed",
    "in the second epoch",  # of the joint training
    "with half of the predictions written",
    "before the results are written",
]


@dataclass
class Studies:
    """The same recipe, run without a stop in one folder and with many in another."""

    whole: Path
    killed: Path
    statuses: list[int] = field(default_factory=list)
    finished: list[dict[Path, tuple[int, int]]] = field(default_factory=list)  # after every run


def finished_work(folder: Path) -> dict[Path, tuple[int, int]]:
    """Files that no later run may touch: when each was written, and which file it is."""
    found = [*folder.glob("models/[!.]*/*"), *folder.glob("predictions/*/[!.]*"), *folder.glob("units/*.json")]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    base = tmp_path_factory.mktemp("studies")
    recipe = base / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    made = Studies(base / "whole", base / "killed")
    arguments = ["study", str(recipe), "-o"]
    subprocess.run([COMMAND, *arguments, made.whole], env=ENVIRONMENT, check=True, capture_output=True, timeout=300)
    log = base / "log"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, log], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        for moment in (*MOMENTS, None, None):
            driver.stdin.write(json.dumps([[*arguments, str(made.killed)], moment]) + "\n")
            driver.stdin.flush()
            made.statuses.append(int(driver.stdout.readline()))
            made.finished.append(finished_work(made.killed))
            assert made.statuses[-1] == (0 if moment is None else -9), f"{moment}:\n{log.read_text()[-3000:]}"
        driver.stdin.close()
    return made


class TestKilledStudy:
    def test_it_ends_with_the_same_numbers(self, studies: Studies) -> None:
        whole, killed = (results.read(folder / "results.json") for folder in (studies.whole, studies.killed))
        assert [c.model_copy(update={"seconds_per_image": None}) for c in killed.cells] == [
            c.model_copy(update={"seconds_per_image": None}) for c in whole.cells
        ]
        assert killed.recipe == whole.recipe
        assert len(whole.cells) == 6

    def test_its_models_and_units_are_the_same_to_the_last_bit(self, studies: Studies) -> None:
        names = ["models/pretrained", "models/6lux-finetuned", "models/6lux-joint"]
        files = [f"{name}/model.safetensors" for name in names] + ["units/6lux.json", "units/6lux.png"]
        for name in files:
            assert (studies.killed / name).read_bytes() == (studies.whole / name).read_bytes(), name

    def test_every_photograph_got_the_same_prediction(self, studies: Studies) -> None:
        both = (studies.whole / "predictions", studies.killed / "predictions")
        files, others = (sorted(p.relative_to(folder) for p in folder.glob("*/[!.]*")) for folder in both)
        assert files == others
        assert len(files) == 6
        for name in files:
            one, other = (Predictions.load(folder / name) for folder in both)
            for part in ("logits", "labels", "psnr"):
                np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=str(name))

    def test_what_was_finished_was_never_touched_again(self, studies: Studies) -> None:
        last = studies.finished[-1]
        for moment, found in zip([*MOMENTS, "the end"], studies.finished, strict=False):
            assert all(last[path] == stamp for path, stamp in found.items()), moment
        assert len(last) == 3 * 2 + 6 + 1

    def test_every_moment_left_what_it_should(self, studies: Studies) -> None:
        """The kills were where their names say: how many models, predictions and units were finished after each."""
        counts = [
            tuple(len({of(p.relative_to(studies.killed)) for p in found if kind in p.parts}) for kind, of in kinds)
            for found in studies.finished
            for kinds in [[("models", lambda p: p.parts[1]), ("predictions", str), ("units", str)]]
        ]
        assert counts == [
            (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0),  # the first model
            (1, 0, 0), (1, 0, 0), (1, 0, 0),  # its first cell
            (1, 3, 0), (1, 3, 0),  # the unit
            (1, 4, 1), (2, 4, 1),  # the fine-tuned model
            (2, 5, 1), (3, 5, 1), (3, 6, 1),  # the joint model
            (3, 6, 1), (3, 6, 1),
        ]  # fmt: skip

    def test_no_checkpoint_is_left(self, studies: Studies) -> None:
        for folder in (studies.whole, studies.killed):
            assert not list((folder / "checkpoints").glob("[!.]*.ckpt"))


class TestFiles:
    def test_all_are_there(self, studies: Studies) -> None:
        for folder in (studies.whole, studies.killed):
            names = {p.name for p in folder.iterdir()}
            assert names >= {
                "results.json", "results.csv", "report.md", "report.html", "methods.tex", "paper.tex", "accuracy.png",
                "psnr.png", "recipe.json", "models", "predictions", "units", "checkpoints",
            }  # fmt: skip

    def test_tables_are_those_of_the_results(self, studies: Studies) -> None:
        study = results.read(studies.whole / "results.json")
        assert to_markdown(method_table(study)) in (studies.whole / "report.md").read_text()
        assert (studies.whole / "methods.tex").read_text() == to_latex(method_table(study))
        assert (studies.whole / "results.csv").read_text() == to_csv(study.cells)

    def test_figures_can_be_opened(self, studies: Studies) -> None:
        figures = [*studies.whole.glob("*.png"), *studies.whole.glob("units/*.png")]
        assert len(figures) >= 3
        for path in figures:
            with Image.open(path) as image:
                image.verify()
            with Image.open(path) as image:
                assert image.format == "PNG"
                assert min(image.size) > 300

    def test_panels_show_what_the_joint_model_won(self, studies: Studies) -> None:
        pretrained, joint = (predictions_of(studies.whole, "6lux", method) for method in ("pretrained", "joint"))
        won = bool((~pretrained.right & joint.right)[:9].any())  # non-local means was evaluated on 9
        assert (studies.whole / "panels.png").is_file() == won

    def test_the_report_holds_every_figure_and_asks_for_nothing(self, studies: Studies) -> None:
        report = (studies.whole / "report.html").read_text()
        shown = len([*studies.whole.glob("*.png"), *studies.whole.glob("units/*.png")])
        assert report.count("data:image/png;base64,") == shown
        assert "http" not in report.replace("http-equiv", "")
        assert "<h1>tiny</h1>" in report
        assert "A test." in report

    def test_results_say_how_they_were_made(self, studies: Studies) -> None:
        study = results.read(studies.whole / "results.json")
        assert (study.name, study.camera, study.transfer) == ("tiny", "nexus-6p-rear", "linear")
        assert study.commands.startswith("dirtypixels study ")
        assert Recipe.model_validate(study.recipe) == Recipe.model_validate(TINY)
        assert study.data["training photographs"] == 48
        assert study.data["evaluated photographs"] == 24
        assert study.versions["dirtypixels"] == machine.versions()["dirtypixels"]
        assert study.notes == ["A test."]


def predictions_of(folder: Path, condition: str, method: str) -> Predictions:
    model = f"{condition}-{method}" if method in ("unit", "finetuned", "joint") else method
    return Predictions.load(folder / "predictions" / model / f"{condition}.npz")


def test_numbers_follow_from_the_predictions(studies: Studies) -> None:
    study = results.read(studies.whole / "results.json")
    cells = {(c.condition, c.method): c for c in study.cells}
    assert list(cells) == [
        ("clean", "pretrained"),
        *(("6lux", m) for m in ("pretrained", "nlm", "unit", "finetuned", "joint")),
    ]
    predictions = {key: predictions_of(studies.whole, *key) for key in cells}
    reference = predictions["6lux", "finetuned"].right
    for (condition, name), cell in cells.items():
        found = predictions[condition, name]
        count = 9 if name == "nlm" else 24
        assert cell.count == len(found) == count
        assert cell.top1.value == pytest.approx(float(found.right.double().mean()))
        assert cell.metrics["top5"].value == pytest.approx(float(found.top(5).double().mean()))
        assert cell.lux == (None if condition == "clean" else 6)
        if condition == "clean":
            assert cell.psnr is None
            assert cell.difference is None
            continue
        assert cell.psnr is not None
        assert found.psnr is not None
        assert cell.psnr.value == pytest.approx(float(found.psnr.mean()))
        if name == "finetuned":
            assert cell.difference is None
            continue
        assert cell.difference is not None
        assert cell.difference.reference == "finetuned"
        assert cell.difference.only_this_right == int((found.right & ~reference[:count]).sum())
        assert cell.difference.only_reference_right == int((~found.right & reference[:count]).sum())


def test_without_noise_there_is_nothing_to_restore() -> None:
    recipe = Recipe.model_validate(TINY)
    assert [(one.condition.name, one.model.key) for one in plan(recipe)] == [
        ("clean", "pretrained"),
        *(("6lux", m) for m in ("pretrained", "nlm", "unit", "finetuned", "joint")),
    ]


def test_a_missing_package_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match=r"pip install dirtypixels\[bm3d\]"):
        run(Recipe.model_validate({**TINY, "methods": ["pretrained", "bm3d"]}), tmp_path / "study", "command")
    assert not (tmp_path / "study").exists()


def test_folders_of_this_machine_are_not_in_the_results(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for i in range(2):
                gray = np.full((32, 32, 3), 20 * i, dtype=np.uint8)
                Image.fromarray(gray).save(tmp_path / "photos" / split / name / f"{i}.png")
    changes = {"data": {"kind": "folder", "root": tmp_path / "photos", "size": 32}, "methods": ["pretrained"]}
    run(Recipe.model_validate({**TINY, **changes, "clean_training": None, "limits": {}}), tmp_path / "study", "command")
    text = (tmp_path / "study" / "results.json").read_text()
    assert str(tmp_path) not in text
    assert results.read(tmp_path / "study" / "results.json").recipe["data"]["root"] == "photos"  # type: ignore[index,call-overload]
    assert str(tmp_path) not in (tmp_path / "study" / "report.html").read_text()
