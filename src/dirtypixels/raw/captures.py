"""Simulated captures as files, and back: a picture of the signal, and next to it what is known of the measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dirtypixels import checks
from dirtypixels.camera.schema import PerChannel
from dirtypixels.files import write_atomically, write_text
from dirtypixels.observation import Observation

Depth = Literal["16", "float", "8"]


class CaptureNote(BaseModel):
    """What `NAME.json` next to a capture says: how it was measured, in units of the signal.

    >>> note = CaptureNote(file="a.tiff", alpha=0.01, sigma=0.02, camera="mine", camera_hash="", lux=3,
    ...                    transfer="linear", seed=0, scene="a.png")
    >>> note.lux, note.psf is None
    (3.0, True)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    file: str
    alpha: PerChannel
    sigma: PerChannel
    camera: str
    camera_hash: str
    lux: float = Field(gt=0)
    transfer: Literal["linear", "srgb"]
    seed: int
    scene: str
    position: str | tuple[float, float] | None = None
    #: the lens PSF there, channels x rows x columns; None for a sharp lens, or one that changes over the picture
    psf: list[list[list[float]]] | None = None


def write_capture(observation: Observation, note: CaptureNote, folder: str | Path, depth: Depth = "16") -> Path:
    """Write one capture and its note, each atomically.

    Args:
        observation: a batch of one, three channels.
        note: what is known of it; its `file` names the picture.
        folder: where to write.
        depth: "16" and "float" are TIFF; "8" is PNG, where rounding to 1/255 adds noise that the note does not know.

    Raises:
        ValueError: the observation is not (1, 3, H, W).

    >>> from tempfile import TemporaryDirectory
    >>> from dirtypixels.camera import Camera
    >>> camera = Camera.load("nexus-6p-rear")
    >>> level = camera.noise.at_lux(100)
    >>> note = CaptureNote(file="a.tiff", **level._asdict(), camera=camera.name, camera_hash=camera.hash, lux=100,
    ...                    transfer="linear", seed=0, scene="a.png")
    >>> with TemporaryDirectory() as folder:
    ...     path = write_capture(camera.capture(torch.full((1, 3, 8, 8), 0.5), lux=100), note, folder)
    ...     observation, note = read_capture(path)
    >>> observation.signal.shape, note.lux
    (torch.Size([1, 3, 8, 8]), 100.0)
    """
    if observation.signal.shape[:2] != (1, 3):
        raise ValueError(f"signal must have shape (1, 3, H, W); found {tuple(observation.signal.shape)}")
    values = observation.signal[0].permute(1, 2, 0).numpy()
    path = Path(folder) / note.file
    if depth == "float":
        write_atomically(path, lambda p: tifffile.imwrite(p, values.astype(np.float32), photometric="rgb"))
    elif depth == "16":
        levels = np.round(values * 65535).astype(np.uint16)
        write_atomically(path, lambda p: tifffile.imwrite(p, levels, photometric="rgb"))
    else:
        levels = np.round(values * 255).astype(np.uint8)
        write_atomically(path, lambda p: Image.fromarray(levels).save(p))
    write_text(path.with_suffix(".json"), note.model_dump_json(indent=2) + "\n")
    return path


def read_capture(path: str | Path) -> tuple[Observation, CaptureNote]:
    """Read a capture that `write_capture` wrote.

    Raises:
        FileNotFoundError: the picture or the note next to it is missing.
        ValueError: one of them is damaged.

    >>> observation, note = read_capture("captures/a.tiff")  # doctest: +SKIP
    """
    file = Path(path)
    note_file = file.with_suffix(".json")
    for part in (file, note_file):
        if not part.is_file():
            raise FileNotFoundError(
                f"a capture needs its picture and the note next to it, as `dirtypixels simulate` writes them; "
                f"found no {str(part)!r}"
            )
    try:
        note = CaptureNote.model_validate_json(note_file.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(note_file)!r} is not a valid capture note: {error}") from error
    try:
        values = tifffile.imread(file) if file.suffix == ".tiff" else np.asarray(Image.open(file))
    except Exception as error:  # damaged files end in a dozen unrelated types, struct.error and ZeroDivisionError too
        raise ValueError(f"capture {str(file)!r} cannot be read: {error}") from error
    if values.ndim != 3 or values.shape[2] != 3 or not values.size:
        raise ValueError(f"capture {str(file)!r} must have 3 channels; found shape {values.shape}")
    largest = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    signal = torch.from_numpy(values.astype(np.float32) / largest).permute(2, 0, 1)[None].contiguous()
    checks.in_range(f"signal of {str(file)!r}", signal, 0.0, 1.0)
    alpha, sigma = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (note.alpha, note.sigma))
    try:
        psf = None if note.psf is None else torch.tensor(note.psf)[None]
        return Observation(signal, alpha, sigma, psf), note
    except ValueError as error:
        raise ValueError(f"{str(note_file)!r} is not a valid capture note: {error}") from error
