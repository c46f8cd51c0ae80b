"""Judging one method under one condition, photograph by photograph."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dirtypixels.data.captures import Capture, Captures, loader
from dirtypixels.files import write_atomically
from dirtypixels.observation import Observation
from dirtypixels.recipe import Condition, Method
from dirtypixels.restore import classical
from dirtypixels.study.statistics import topk
from dirtypixels.study.workshop import Workshop
from dirtypixels.tasks import JointModel
from dirtypixels.train import psnr

Restore = Callable[[Observation], Tensor]


@dataclass(frozen=True)
class Verdicts:
    """What a method said of each photograph, in the data set's order: arrays of length N."""

    top1: npt.NDArray[np.bool_]
    top5: npt.NDArray[np.bool_]
    answer: npt.NDArray[np.int64]
    psnr: npt.NDArray[np.float64]  # dB, of what the classifier was given
    seconds: float  # a photograph, restoration and classification

    def first(self, count: int | None) -> Verdicts:
        """Those of the first `count` photographs; of all for None."""
        parts = (self.top1[:count], self.top5[:count], self.answer[:count], self.psnr[:count])
        return Verdicts(*parts, self.seconds)

    def save(self, path: Path) -> None:
        save_arrays(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> Verdicts:
        with np.load(path, allow_pickle=False) as found:
            values = {name: found[name] for name in found.files}
        return cls(**{**values, "seconds": float(values["seconds"])})


def method(workshop: Workshop, condition: Condition, name: Method) -> tuple[Restore, torch.nn.Module]:
    """A method's two steps, on the workshop's device: Observation to image, and image to logits."""
    if name in ("finetuned", "joint"):
        model: JointModel = getattr(workshop, name)(condition).to(workshop.device)
        return model.image, model.head
    restore: dict[Method, Callable[[], Restore]] = {
        "pretrained": lambda: lambda obs: obs.signal,
        "nlm": lambda: classical.non_local_means,
        "bm3d": lambda: classical.bm3d,
        "hqs": lambda: classical.hqs_deconvolution,
        "unit": lambda: workshop.unit(condition).to(workshop.device).eval(),
    }
    return restore[name](), workshop.pretrained().head.to(workshop.device)


def answer_all(
    captures: Captures,
    model: Callable[[Observation], Tensor],
    device: torch.device,
    batch: int = 64,
    report: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor, float]:
    """Classify every capture.

    Args:
        captures: not for training, so that every model sees the same noise.
        model: Observation to logits (B, K), on the device.
        batch: captures at once.
        report: called with the number of captures done.

    Returns:
        logits (N, K), labels (N,), and seconds for a photograph.
    """
    (logits, labels), seconds = _over(
        captures, lambda obs: (model(obs),), lambda capture, logits: (logits, capture.label), device, batch, report
    )
    return logits, labels, seconds


def judge(
    captures: Captures,
    restore: Restore,
    head: torch.nn.Module,
    batch: int = 64,
    report: Callable[[int], None] | None = None,
) -> Verdicts:
    """Restore and classify every capture.

    Args:
        captures: not for training, so that every method sees the same noise.
        restore: Observation to image.
        head: image (B, C, H, W) to logits (B, K); top-5 counts the 5 best labels, or all if K is below 5.
        batch: captures at once.
        report: called with the number of captures done.
    """
    device = next(head.parameters(), torch.empty(0)).device

    def answer(observation: Observation) -> tuple[Tensor, Tensor]:
        image = restore(observation)
        return head(image), image

    def keep(capture: Capture, logits: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        best = [topk(logits, capture.label, min(k, logits.shape[1])) for k in (1, 5)]
        return (*best, logits.argmax(1), psnr(image.clamp(0, 1), capture.scene))

    found, seconds = _over(captures, answer, keep, device, batch, report)
    top1, top5, answers, quality = (one.numpy() for one in found)
    return Verdicts(top1, top5, answers, quality.astype(np.float64), seconds)


def save_arrays(path: Path, arrays: Mapping[str, object]) -> None:
    """Arrays by their names as one file, which appears whole or not at all."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)


def _over(
    captures: Captures,
    answer: Callable[[Observation], tuple[Tensor, ...]],
    keep: Callable[..., tuple[Tensor, ...]],
    device: torch.device,
    batch: int,
    report: Callable[[int], None] | None,
) -> tuple[list[Tensor], float]:
    """What `keep(capture, *answer)` gives of every batch, joined, and the seconds that a photograph's answer took."""
    parts: list[tuple[Tensor, ...]] = []
    seconds, done = 0.0, 0
    with torch.inference_mode():
        for capture in loader(captures, batch):
            start = time.perf_counter()
            given = [one.cpu() for one in answer(capture.observation.to(device))]
            seconds += time.perf_counter() - start
            parts.append(keep(capture, *given))
            done += len(capture.label)
            if report is not None:
                report(done)
    return [torch.cat(part) for part in zip(*parts, strict=True)], seconds / done
