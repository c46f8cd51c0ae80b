"""`dirtypixels predict`: captures in, labels out."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

from dirtypixels.deploy import load_model
from dirtypixels.observation import Observation
from dirtypixels.raw import read_capture
from dirtypixels.tasks import class_names


def predict_files(model: Path, files: list[Path]) -> None:
    """Name what each capture shows; a capture is made to fit the model's size before it is judged."""
    network, card = load_model(model)
    names = class_names(card.classes)
    # A name that is cut short could not be found again.
    table = Table(Column("file", overflow="fold"), "label", "confidence", "next", title=f"{model.name}: {card.network}")
    for file in files:
        observation, _ = read_capture(file)
        side = min(observation.signal.shape[-2:])
        if side < card.image_size:
            raise ValueError(f"capture {str(file)!r} must be at least {card.image_size} pixels a side; found {side}")
        try:
            with torch.inference_mode():
                confidence = network(_fit(observation, card.image_size)).softmax(1)[0]
        except ValueError as error:
            raise ValueError(f"capture {str(file)!r} does not suit this model: {error}") from error
        best = confidence.topk(min(2, len(names)))
        said = [f"{100 * p:.1f} %" for p in best.values.tolist()]
        first, *others = best.indices.tolist()
        table.add_row(str(file), names[first], said[0], f"{names[others[0]]} {said[1]}" if others else "–")
    Console().print(table)


def _fit(observation: Observation, size: int) -> Observation:
    """The middle square at the model's size.

    Averaging n x n pixels divides alpha by n^2 and sigma by n; only whole n are used, so that the noise stays white
    and the Observation stays true.
    """
    height, width = observation.signal.shape[-2:]
    n = min(height, width) // size
    top, left = (height - n * size) // 2, (width - n * size) // 2
    part = observation.signal[..., top : top + n * size, left : left + n * size]
    psf = None if observation.psf is None else _reduced(observation.psf, n)
    return Observation(torch.nn.functional.avg_pool2d(part, n), observation.alpha / n**2, observation.sigma / n, psf)


def _reduced(psf: Tensor, n: int) -> Tensor:
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
