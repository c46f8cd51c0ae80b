"""Trained models as folders with `model.json` and `model.safetensors`, and observations at the size that one takes."""

from __future__ import annotations

import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dirtypixels.deploy.units import build_unit
from dirtypixels.files import write_text
from dirtypixels.observation import Observation
from dirtypixels.recipe import AnyUnit, Classical, Position, in_todays_keys
from dirtypixels.tasks import JointModel, classifier


class ModelCard(BaseModel):
    """What `model.json` says: how to build the model again, and what it was made for.

    >>> from dirtypixels.recipe import Unit
    >>> card = ModelCard(network="resnet18", classes=("cat", "dog"), image_size=64, unit=Unit(), camera="nexus-6p-rear",
    ...                  camera_hash="", lux=3, transfer="linear", recipe={})
    >>> card.unit.prior, card.lux
    ('cnn', 3.0)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    network: str
    classes: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=1)
    #: factor by which the classifier enlarges its images
    upsample: int = Field(default=1, ge=1)
    unit: AnyUnit | Classical | None
    position: Position | None = None
    camera: str
    camera_hash: str
    lux: float | tuple[float, float] | None
    #: what the logits are divided by before they are probabilities; None where that was not calibrated
    temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    transfer: Literal["linear", "srgb"]
    recipe: dict[str, Any]
    versions: dict[str, str] = Field(
        default_factory=lambda: {p: metadata.version(p) for p in ("dirtypixels", "torch", "timm")}
    )


def save_model(model: JointModel, card: ModelCard, folder: str | Path) -> None:
    """Write a model; the folder appears whole or not at all.

    Args:
        model: to write.
        card: its description, from which `load_model` builds it again.
        folder: to make.

    Raises:
        FileExistsError: the folder is there already.

    >>> import tempfile
    >>> from dirtypixels.tasks import JointModel, classifier
    >>> model = JointModel(None, classifier("test_efficientnet", weights=None, num_classes=2))
    >>> card = ModelCard(network="test_efficientnet", classes=("cat", "dog"), image_size=32, unit=None,
    ...                  camera="nexus-6p-rear", camera_hash="", lux=3, transfer="linear", recipe={})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, card, Path(folder) / "model")
    ...     found, said = load_model(Path(folder) / "model")
    >>> said.classes
    ('cat', 'dog')
    """
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"folder must not exist yet; found {str(target)!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        save_file(state, temporary / "model.safetensors")
        (temporary / "model.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def note_temperature(folder: str | Path, temperature: float) -> None:
    """Write into a saved model what its logits are to be divided by before they are probabilities.

    Raises:
        FileNotFoundError: there is no model in the folder.
        ValueError: model.json is damaged, or the temperature is not above 0.

    >>> import tempfile
    >>> from dirtypixels.tasks import JointModel, classifier
    >>> model = JointModel(None, classifier("test_efficientnet", weights=None, num_classes=2))
    >>> card = ModelCard(network="test_efficientnet", classes=("cat", "dog"), image_size=32, unit=None,
    ...                  camera="nexus-6p-rear", camera_hash="", lux=3, transfer="linear", recipe={})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, card, Path(folder) / "model")
    ...     note_temperature(Path(folder) / "model", 1.4)
    ...     load_model(Path(folder) / "model")[1].temperature
    1.4
    """
    file = Path(folder) / "model.json"
    card = _read_card(file)
    noted = ModelCard.model_validate(card.model_dump() | {"temperature": temperature})
    if noted != card:
        write_text(file, noted.model_dump_json(indent=2) + "\n")


def load_model(folder: str | Path) -> tuple[JointModel, ModelCard]:
    """Read a model that `save_model` wrote, on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: a file is damaged, or the weights do not fit the description.

    >>> import tempfile
    >>> from dirtypixels.tasks import JointModel, classifier
    >>> model = JointModel(None, classifier("test_efficientnet", weights=None, num_classes=2))
    >>> card = ModelCard(network="test_efficientnet", classes=("cat", "dog"), image_size=32, unit=None,
    ...                  camera="nexus-6p-rear", camera_hash="", lux=3, transfer="linear", recipe={})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, card, Path(folder) / "model")
    ...     found, said = load_model(Path(folder) / "model")
    >>> found.training, said.lux
    (False, 3.0)
    """
    source = Path(folder)
    for name in ("model.json", "model.safetensors"):
        if not (source / name).is_file():
            raise FileNotFoundError(f"model must be a folder with {name}; found none at {str(source)!r}")
    card = _read_card(source / "model.json")
    try:
        head = classifier(card.network, weights=None, num_classes=len(card.classes), upsample=card.upsample)
        model = JointModel(None if card.unit is None else build_unit(card.unit), head)
    except ValueError as error:
        raise ValueError(f"{str(source / 'model.json')!r} describes a model that cannot be built: {error}") from error
    try:
        model.load_state_dict(load_file(source / "model.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{str(source / 'model.safetensors')!r} does not fit model.json: {error}") from error
    return model.eval(), card


def fit_observation(observation: Observation, size: int) -> Observation:
    """The middle square of an observation at a model's size, by averaging n x n pixels.

    ``alpha' = alpha / n^2``, ``sigma' = sigma / n``; n is the largest whole number that fits, so that the noise stays
    white and the Observation stays true.

    Args:
        observation: with a value at every pixel (no cfa).
        size: pixels a side, at least 1.

    Raises:
        ValueError: the observation is a mosaic, or smaller than `size`.

    >>> import torch
    >>> from dirtypixels.camera import Camera
    >>> dark = Camera.load("nexus-6p-rear").capture(torch.rand(1, 3, 70, 100), lux=3)
    >>> small = fit_observation(dark, 32)
    >>> tuple(small.signal.shape), round(float(dark.alpha / small.alpha)), round(float(dark.sigma / small.sigma))
    ((1, 3, 32, 32), 4, 2)
    """
    observation.check_complete()
    height, width = observation.signal.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"observation must be at least {size} pixels a side; found {height} x {width}")
    n = min(height, width) // size
    top, left = (height - n * size) // 2, (width - n * size) // 2
    part = observation.signal[..., top : top + n * size, left : left + n * size]
    psf = None if observation.psf is None else _averaged_psf(observation.psf, n)
    return Observation(avg_pool2d(part, n), observation.alpha / n**2, observation.sigma / n, psf)


def _averaged_psf(psf: Tensor, n: int) -> Tensor:
    """The PSF in pixels n times as large, for a scene that is even within each of them.

    ``psf'[i] = sum_q psf[q] max(1 - |n i - q| / n, 0)`` along both axes
    """
    if n == 1:
        return psf
    for dim in (-2, -1):
        half = psf.shape[dim] // 2
        reach = -(-half // n) + 1
        at = n * torch.arange(-reach, reach + 1)[:, None] - torch.arange(-half, half + 1)
        share = (1 - at.abs() / n).clamp_min(0).to(psf)
        psf = torch.movedim(torch.movedim(psf, dim, -1) @ share.T, -1, dim)
    return psf


def _read_card(file: Path) -> ModelCard:
    try:
        return ModelCard.model_validate(in_todays_keys(json.loads(file.read_text(encoding="utf-8"))))
    except (ValidationError, ValueError) as error:
        raise ValueError(f"{str(file)!r} is not a valid model description: {error}") from error
