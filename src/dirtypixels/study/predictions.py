"""What a model says of each photograph under a condition, kept once; every number of a study is computed from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dirtypixels.data.captures import Captures, loader
from dirtypixels.files import write_atomically
from dirtypixels.observation import Observation
from dirtypixels.restore import classical
from dirtypixels.study import selective
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.results import Estimate, Model, RiskCurve
from dirtypixels.study.statistics import mean_interval, topk, wilson
from dirtypixels.train import psnr

Restore = Callable[[Observation], Tensor]
CURVE_POINTS = 25


@dataclass(frozen=True)
class Predictions:
    """What a model said of N photographs, in the data set's order.

    Args:
        logits: (N, K).
        labels: (N,), the true classes.
        psnr: (N,), float64, of what the classifier was given, in dB; None where several models were.
        seconds: for a photograph, restoration and classification.
    """

    logits: Tensor
    labels: Tensor
    psnr: Tensor | None
    seconds: float

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int | None) -> Predictions:
        """Those of the first `count` photographs; of all for None."""
        quality = None if self.psnr is None else self.psnr[:count]
        return Predictions(self.logits[:count], self.labels[:count], quality, self.seconds)

    def top(self, k: int) -> Tensor:
        """Whether the label is among the k best of all K classes, or among all if K is below k: (N,), bool."""
        return topk(self.logits, self.labels, min(k, self.logits.shape[1]))

    @cached_property
    def right(self) -> Tensor:
        """Whether the best class is the label: (N,), bool."""
        return self.top(1)

    @property
    def predicted(self) -> Tensor:
        """The best class: (N,)."""
        return self.logits.argmax(1)

    def confidence(self, temperature: float = 1.0) -> Tensor:
        """The best class's probability, (N,), float64, where the logits are divided by a temperature."""
        return (self.logits / temperature).double().softmax(1).amax(1)

    def save(self, path: Path) -> None:
        """Write to one file, which appears whole or not at all."""
        arrays = {name: np.asarray(getattr(self, name)) for name in ("logits", "labels", "psnr", "seconds")}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        with np.load(path, allow_pickle=False) as found:
            logits, labels, quality = (torch.from_numpy(found[name]) for name in ("logits", "labels", "psnr"))
            return cls(logits, labels, quality, float(found["seconds"]))


def steps(experiment: Experiment, model: Model) -> tuple[Restore, nn.Module]:
    """A model's two steps, on the experiment's device: Observation to image, and image to logits."""
    if model.method in ("finetuned", "joint", "unit"):
        assert model.trained_for is not None
        condition = experiment.recipe.condition(model.trained_for)
        if model.method == "unit":
            unit = experiment.unit(condition, model.unit).to(experiment.device).eval()
            return unit, experiment.pretrained().head.to(experiment.device)
        light = experiment.recipe.light
        features = light.features if light is not None and model.conditioned else None
        joint = model.method == "joint"
        made = (
            experiment.joint(condition, model.unit, features, model.rounds)
            if joint
            else experiment.finetuned(condition)
        )
        made = made.to(experiment.device).eval()
        return made.image, made.head
    restore: dict[str, Restore] = {
        "pretrained": lambda obs: obs.signal,
        "nlm": classical.non_local_means,
        "bm3d": classical.bm3d,
        "hqs": classical.hqs_deconvolution,
    }
    return restore[model.method], experiment.pretrained().head.to(experiment.device)


def told(restore: Restore, alpha_factor: float, sigma_factor: float) -> Restore:
    """`restore`, told so many times the true alpha and sigma."""
    return lambda obs: restore(replace(obs, alpha=alpha_factor * obs.alpha, sigma=sigma_factor * obs.sigma))


def predict(
    captures: Captures,
    restore: Restore,
    head: nn.Module,
    batch: int = 64,
    report: Callable[[int], None] | None = None,
) -> Predictions:
    """Restore and classify every capture.

    Args:
        captures: not for training, so that every model sees the same noise.
        restore: Observation to image.
        head: image (B, C, H, W) to logits (B, K).
        batch: captures at once.
        report: called with the number of captures done.
    """
    device = next(head.parameters(), torch.empty(0)).device
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    seconds, done = 0.0, 0
    with torch.inference_mode():
        for capture in loader(captures, batch):
            start = time.perf_counter()
            image = restore(capture.observation.to(device))
            logits, image = head(image).cpu(), image.cpu()
            seconds += time.perf_counter() - start
            parts.append((logits, capture.label, psnr(image.clamp(0, 1), capture.scene).double()))
            done += len(capture.label)
            if report is not None:
                report(done)
    logits, labels, quality = (torch.cat(part) for part in zip(*parts, strict=True))
    return Predictions(logits, labels, quality, seconds / done)


def metrics_of(
    predictions: Predictions, clean: bool, temperature: float | None = None
) -> tuple[dict[str, Estimate], RiskCurve | None]:
    """The metrics that predictions give, and the risk over coverage where confidences are calibrated.

    Args:
        predictions: of one model under one condition.
        clean: there is neither noise nor blur, so that the signal is the scene itself and has no PSNR.
        temperature: of the calibrated metrics; None leaves them out.
    """
    count, right = len(predictions), predictions.right
    metrics = {"top1": wilson(int(right.sum()), count), "top5": wilson(int(predictions.top(5).sum()), count)}
    if predictions.psnr is not None and not clean:
        metrics["psnr"] = mean_interval(predictions.psnr)
    error = selective.expected_calibration_error(predictions.confidence(), right)
    metrics["calibration_error"] = Estimate(value=error, unit="fraction")
    if temperature is None:
        return metrics, None
    confidence = predictions.confidence(temperature)
    error, area = (f(confidence, right) for f in (selective.expected_calibration_error, selective.area_under_risk))
    metrics["calibrated_error"] = Estimate(value=error, unit="fraction")
    metrics["risk_area"] = Estimate(value=area, unit="fraction")
    return metrics, selective.risk_coverage(confidence, right, CURVE_POINTS)
