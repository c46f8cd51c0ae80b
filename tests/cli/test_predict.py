"""`dirtypixels predict`: labels and confidences of captures that `simulate` wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from dirtypixels.cli.simulate import simulate_pictures
from dirtypixels.deploy import ModelCard, load_model, save_model
from dirtypixels.deploy.models import build_unit
from dirtypixels.observation import Observation
from dirtypixels.raw import read_capture
from dirtypixels.recipe import Deblur, Unit
from dirtypixels.tasks import JointModel, classifier

CLASSES = ("n01440764", "n03888257", "n02979186")
UNIT = Unit(filter_size=3, hidden=4)
NAMES = ("tench", "parachute", "cassette player")
SIZES = {
    "small": (32, 32),
    "wide": (40, 70),
    "large": (64, 100),
    "a-name-so-long-that-no-column-is-wide-enough-for-it" * 2: (33, 32),
}


def keep_model(
    folder: Path,
    seed: int,
    classes: tuple[str, ...] = CLASSES,
    size: int = 32,
    temperature: float | None = None,
    unit: Unit | Deblur = UNIT,
) -> None:
    """Write a model with random weights."""
    torch.manual_seed(seed)
    model = JointModel(build_unit(unit), classifier("test_efficientnet", None, len(classes)))
    torch.nn.init.normal_(model.head.network.classifier.weight)  # as it comes, it is sure of nothing
    card = ModelCard(
        network="test_efficientnet", classes=classes, image_size=size, unit=unit, camera="nexus-6p-rear",
        camera_hash="0123", lux=6.0, temperature=temperature, transfer="linear", recipe={},
    )  # fmt: skip
    save_model(model, card, folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with random weights for 32 and 16 pixels, and captures of pictures of several sizes."""
    folder = tmp_path_factory.mktemp("predict")
    keep_model(folder / "model", 3)
    keep_model(folder / "cold", 4, temperature=0.5)
    keep_model(folder / "warm", 5, size=16, temperature=2.0)
    keep_model(folder / "elsewhere" / "warm", 6, temperature=1.5)
    keep_model(folder / "turned", 7, classes=CLASSES[::-1])
    keep_model(folder / "fewer", 8, classes=CLASSES[:2])
    keep_model(folder / "deblurring", 9, unit=Deblur(filter_size=3, hidden=4))
    (folder / "pictures").mkdir()
    for seed, (name, (height, width)) in enumerate({**SIZES, "tiny": (31, 50)}.items()):
        values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / "pictures" / f"{name}.png")
    simulate_pictures([folder / "pictures"], folder / "captures", "nexus-6p-rear", 6.0, None, "linear", 0, "16")
    return folder


def rows_of(text: str) -> list[list[str]]:
    """The rows of a printed table; what is too long for its column goes on in the next line."""
    merged: list[list[str]] = []
    for line in text.splitlines():
        if line[:1] != "│":
            continue
        row = [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]
        if re.search(r"\d %$", row[2]):
            merged.append(row)
        else:
            pairs = enumerate(zip(merged[-1], row, strict=True))
            merged[-1] = [f"{a}{b}" if i in (0, 4) else f"{a} {b}".strip() for i, (a, b) in pairs]
    return merged


def probabilities(model: Path, file: Path, size: int = 32, temperature: float = 1.0) -> torch.Tensor:
    """What a model gives a capture, with the middle square averaged to its size."""
    network, _ = load_model(model)
    obs, _ = read_capture(file)
    height, width = obs.signal.shape[-2:]
    n = min(height, width) // size  # whole pixels are averaged: the mean of n^2 has variance 1/n^2
    top, left = (height - size * n) // 2, (width - size * n) // 2
    part = avg_pool2d(obs.signal[:, :, top : top + size * n, left : left + size * n], n)
    with torch.inference_mode():
        return (network(Observation(part, obs.alpha / n**2, obs.sigma / n))[0] / temperature).softmax(0)


def said(confidence: torch.Tensor) -> list[str]:
    (p, q), (first, second) = (v.tolist() for v in confidence.topk(2))
    return [NAMES[first], f"{100 * p:.1f} %", f"{NAMES[second]} {100 * q:.1f} %"]


def test_labels_and_confidences(base: Path, command: Callable[..., Any]) -> None:
    files = captures(base)
    found = command("predict", base / "model", *files)
    assert (found.status, found.err) == (0, "")
    assert rows_of(found.out) == [[str(file), *said(probabilities(base / "model", file))] for file in files]
    assert "model: test_efficientnet" in found.out


class TestEnsemble:
    def test_the_most_confident_model_answers(self, base: Path, results: dict[str, Any]) -> None:
        found = results["three models"]
        assert (found.status, found.err) == (0, "")
        members = {"model": (32, 1.0), "cold": (32, 0.5), "warm": (16, 2.0)}
        answered = set()
        for row, file in zip(rows_of(found.out), captures(base), strict=True):
            each = {name: probabilities(base / name, file, *how) for name, how in members.items()}
            best = max(each, key=lambda name: float(each[name].max()))
            assert row == [str(file), *said(each[best]), best]
            answered.add(best)
        assert len(answered) > 1, "the test shows nothing where one model is always the most confident"
        assert "The most confident of 3 models" in found.out
        assert "Not calibrated, so that its confidence may be too high: model" in found.out

    def test_a_calibrated_model_alone_says_its_calibrated_confidence(self, base: Path, results: dict[str, Any]) -> None:
        file = base / "captures" / "large.tiff"
        assert rows_of(results["calibrated"].out) == [[str(file), *said(probabilities(base / "warm", file, 16, 2.0))]]

    def test_models_of_one_name_are_told_apart_by_their_folders(self, base: Path, results: dict[str, Any]) -> None:
        found = results["one name"]
        assert found.status == 0
        assert rows_of(found.out)[0][4] in (str(base / "warm"), str(base / "elsewhere" / "warm"))
        assert "Not calibrated" not in found.out


class TestAbstaining:
    def test_below_the_threshold_only(self, base: Path, results: dict[str, Any], threshold: float) -> None:
        rows = rows_of(results["unsure"].out)
        for row, file in zip(rows, captures(base), strict=True):
            confidence = probabilities(base / "model", file)
            label, *rest = said(confidence)
            assert row == [str(file), "abstains" if float(confidence.max()) < threshold else label, *rest]
        assert sum(row[1] == "abstains" for row in rows) == 2

    def test_never_below_0_and_always_below_1(self, base: Path, results: dict[str, Any]) -> None:
        labels = [said(probabilities(base / "model", file))[0] for file in captures(base)]
        assert [row[1] for row in rows_of(results["never unsure"].out)] == labels
        assert {row[1] for row in rows_of(results["always unsure"].out)} == {"abstains"}


@pytest.fixture(scope="module")
def threshold(base: Path) -> float:
    """A confidence below which the model names two of the captures."""
    sure = sorted(float(probabilities(base / "model", file).max()) for file in captures(base))
    return (sure[1] + sure[2]) / 2


def captures(base: Path) -> list[Path]:
    return [base / "captures" / f"{name}.tiff" for name in SIZES]


BAD: dict[str, tuple[list[str], list[str]]] = {
    "missing model": (["none", "captures/small.tiff"], ["model must be a folder with model.json", "none"]),
    "damaged description": (["damaged", "captures/small.tiff"], ["model.json", "is not a valid model description"]),
    "damaged weights": (["cut", "captures/small.tiff"], ["model.safetensors", "does not fit model.json"]),
    "missing capture": (["model", "captures/none.tiff"], ["needs its picture", "none.tiff"]),
    "picture without a note": (["model", "pictures/small.png"], ["the note next to it", "small.json"]),
    "too small": (["model", "captures/tiny.tiff"], ["must be at least 32 pixels a side; found 31", "tiny.tiff"]),
    "damaged capture": (["model", "damaged/a.tiff"], ["a.tiff", "cannot be read"]),
    "classes in another order": (
        ["model", "captures/small.tiff", "--with", "turned"],
        ["with must name models of the same classes in the same order as 'model'", "'turned': class 0 is 'n02979186'"],
    ),
    "fewer classes": (
        ["model", "captures/small.tiff", "--with", "cold", "--with", "fewer"],
        ["with must name models of the same classes", "found 'fewer': 2 classes there and 3 here"],
    ),
    "a capture for one model only": (
        ["model", "captures/small.tiff", "--with", "deblurring"],
        ["small.tiff", "does not suit model 'deblurring'", "psf"],
    ),
    "second model missing": (["model", "captures/small.tiff", "--with", "none"], ["model must be a folder", "none"]),
    "too small for the larger model": (
        ["warm", "captures/tiny.tiff", "--with", "model"],
        ["must be at least 32 pixels a side; found 31"],
    ),
    "threshold above 1": (
        ["model", "captures/small.tiff", "--abstain-below", "1.5"],
        ["abstain-below must be in [0, 1]; found 1.5"],
    ),
    "threshold that is no number": (
        ["model", "captures/small.tiff", "--abstain-below", "nan"],
        ["abstain-below must be finite"],
    ),
    "second capture missing": (["model", "captures/small.tiff", "captures/none.tiff"], ["none.tiff"]),
}


@pytest.fixture(scope="module")
def results(base: Path, commands: Callable[..., Any], threshold: float) -> dict[str, Any]:
    """Every command of these tests but one, in one process."""
    weights, note = (base / "model" / "model.safetensors").read_bytes(), base / "captures" / "small.json"
    for name, description, content in (
        ("damaged", b"{", weights),
        ("cut", (base / "model" / "model.json").read_bytes(), weights[:-9]),
    ):
        (base / name).mkdir()
        (base / name / "model.json").write_bytes(description)
        (base / name / "model.safetensors").write_bytes(content)
    (base / "damaged" / "a.tiff").write_bytes((base / "captures" / "small.tiff").read_bytes()[:-1000])
    (base / "damaged" / "a.json").write_bytes(note.read_bytes())
    every, small = captures(base), base / "captures" / "small.tiff"
    good: dict[str, list[object]] = {
        "three models": [base / "model", *every, "--with", base / "cold", "--with", base / "warm"],
        "calibrated": [base / "warm", base / "captures" / "large.tiff"],
        "one name": [base / "warm", small, "--with", base / "elsewhere" / "warm"],
        "unsure": [base / "model", *every, "--abstain-below", threshold],
        "never unsure": [base / "model", *every, "--abstain-below", 0],
        "always unsure": [base / "model", *every, "--abstain-below", 1],
    }
    argv = good | {name: _resolved(base, given) for name, (given, _) in BAD.items()}
    return dict(zip(argv, commands([["predict", *given] for given in argv.values()]), strict=True))


def _resolved(base: Path, given: list[str]) -> list[object]:
    """Folders and files in `base`; options and numbers as they are."""
    plain = re.compile(r"--|nan$|[\d.]+$")
    return [part if plain.match(part) else base / part for part in given]


class TestRaises:
    @pytest.mark.parametrize("name", BAD)
    def test_one_line(self, results: dict[str, Any], name: str) -> None:
        results[name].check_refusal(*BAD[name][1])
