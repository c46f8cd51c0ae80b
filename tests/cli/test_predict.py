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
from dirtypixels.recipe import Unit
from dirtypixels.tasks import JointModel, classifier

CLASSES = ("n01440764", "n03888257", "n02979186")
NAMES = ("tench", "parachute", "cassette player")
SIZES = {
    "small": (32, 32),
    "wide": (40, 70),
    "large": (64, 100),
    "a-name-so-long-that-no-column-is-wide-enough-for-it" * 2: (33, 32),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights for 32 pixels, and captures of pictures of several sizes."""
    folder = tmp_path_factory.mktemp("predict")
    torch.manual_seed(3)
    unit = Unit(filter_size=3, hidden=4)
    model = JointModel(build_unit(unit), classifier("test_efficientnet", None, len(CLASSES)))
    card = ModelCard(
        network="test_efficientnet", classes=CLASSES, image_size=32, unit=unit, camera="nexus-6p-rear",
        camera_hash="0123", lux=6.0, transfer="linear", recipe={},
    )  # fmt: skip
    save_model(model, card, folder / "model")
    (folder / "pictures").mkdir()
    for seed, (name, (height, width)) in enumerate({**SIZES, "tiny": (31, 50)}.items()):
        values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / "pictures" / f"{name}.png")
    simulate_pictures([folder / "pictures"], folder / "captures", "nexus-6p-rear", 6.0, None, "linear", 0, "16")
    return folder


def test_labels_and_confidences(base: Path, command: Callable[..., Any]) -> None:
    files = [base / "captures" / f"{name}.tiff" for name in SIZES]
    found = command("predict", base / "model", *files)
    assert (found.status, found.err) == (0, "")
    # A name that is too long for its column goes on in the next line; a row is what stands between two labels.
    rows = [
        [cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in found.out.splitlines() if line[:1] == "│"
    ]
    merged: list[list[str]] = []
    for row in rows:
        if re.search(r"\d %$", row[2]):
            merged.append(row)
        else:
            merged[-1] = [
                f"{a}{b}" if i == 0 else f"{a} {b}".strip()
                for i, (a, b) in enumerate(zip(merged[-1], row, strict=True))
            ]
    assert [row[0] for row in merged] == [str(file) for file in files]

    model, _ = load_model(base / "model")
    for row, file in zip(merged, files, strict=True):
        obs, _ = read_capture(file)
        height, width = obs.signal.shape[-2:]
        n = min(height, width) // 32  # whole pixels are averaged: the mean of n^2 has variance 1/n^2
        top, left = (height - 32 * n) // 2, (width - 32 * n) // 2
        part = avg_pool2d(obs.signal[:, :, top : top + 32 * n, left : left + 32 * n], n)
        with torch.inference_mode():
            confidence = model(Observation(part, obs.alpha / n**2, obs.sigma / n)).softmax(1)[0]
        (p, q), (first, second) = (v.tolist() for v in confidence.topk(2))
        assert row[1:] == [NAMES[first], f"{100 * p:.1f} %", f"{NAMES[second]} {100 * q:.1f} %"]


BAD: dict[str, tuple[list[str], list[str]]] = {
    "missing model": (["none", "captures/small.tiff"], ["model must be a folder with model.json", "none"]),
    "damaged description": (["damaged", "captures/small.tiff"], ["model.json", "is not a valid model description"]),
    "damaged weights": (["cut", "captures/small.tiff"], ["model.safetensors", "does not fit model.json"]),
    "missing capture": (["model", "captures/none.tiff"], ["needs its picture", "none.tiff"]),
    "picture without a note": (["model", "pictures/small.png"], ["the note beside it", "small.json"]),
    "too small": (["model", "captures/tiny.tiff"], ["must be at least 32 pixels a side; found 31", "tiny.tiff"]),
    "damaged capture": (["model", "damaged/a.tiff"], ["a.tiff", "cannot be read"]),
    "second capture missing": (["model", "captures/small.tiff", "captures/none.tiff"], ["none.tiff"]),
}


@pytest.fixture(scope="module")
def results(base: Path, commands: Callable[..., Any]) -> dict[str, Any]:
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
    argv = [["predict", *(base / part for part in given)] for given, _ in BAD.values()]
    return dict(zip(BAD, commands(argv), strict=True))


class TestBadInput:
    @pytest.mark.parametrize("name", BAD)
    def test_one_line(self, results: dict[str, Any], name: str) -> None:
        results[name].check_refusal(*BAD[name][1])
