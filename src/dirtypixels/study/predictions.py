"""What a model says of each photograph under a condition, kept once; every number of a study is computed from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn

from dirtypixels.data.captures import Captures, loader
from dirtypixels.files import write_atomically
from dirtypixels.observation import Observation
from dirtypixels.recipe import AnyCondition
from dirtypixels.restore import classical
from dirtypixels.study import selective
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.results import Estimate, Model, RiskCurve
from dirtypixels.study.statistics import mean_interval, mean_over, proportion_over, topk, wilson
from dirtypixels.tasks import JointModel
from dirtypixels.train import psnr, psnr_up_to_gain

Restore = Callable[[Observation], Tensor]
CURVE_POINTS = 25
QUALITY = ("psnr", "psnr_affine")
"""Metrics of the image that the classifier is given."""


@dataclass(frozen=True)
class Predictions:
    """What a model said of N photographs, in the data set's order.

    Args:
        logits: (N, K).
        labels: (N,), the true classes.
        psnr: (N,), float64, of what the classifier was given, in dB; None where several models were.
        psnr_affine: the same after the best gain and offset, see `psnr_up_to_gain`; None also in older files.
        seconds: for a photograph, restoration and classification.
    """

    logits: Tensor
    labels: Tensor
    psnr: Tensor | None
    seconds: float
    psnr_affine: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int | None) -> Predictions:
        """Those of the first `count` photographs; of all for None."""
        psnr, affine = (None if one is None else one[:count] for one in (self.psnr, self.psnr_affine))
        return Predictions(self.logits[:count], self.labels[:count], psnr, self.seconds, affine)

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
        names = ("logits", "labels", "psnr", "psnr_affine", "seconds")
        arrays = {name: np.asarray(value) for name in names if (value := getattr(self, name)) is not None}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        with np.load(path, allow_pickle=False) as found:
            logits, labels = (torch.from_numpy(found[name]) for name in ("logits", "labels"))
            psnr, affine = (
                torch.from_numpy(found[name]) if name in found else None for name in ("psnr", "psnr_affine")
            )
            return cls(logits, labels, psnr, float(found["seconds"]), affine)


def steps(experiment: Experiment, model: Model) -> tuple[Restore, nn.Module]:
    """A model's two steps, on the experiment's device: Observation to image, and image to logits."""
    if model.trained_for is not None:
        condition = experiment.recipe.condition(model.trained_for)
        if model.method == "unit":
            unit = experiment.unit(condition, model.unit).to(experiment.device).eval()
            return unit, experiment.pretrained().head.to(experiment.device)
        made = _trained(experiment, model, condition).to(experiment.device).eval()
        return made.image, made.head
    restore: dict[str, Restore] = {"pretrained": lambda obs: obs.signal, **classical.METHODS}
    return restore[model.method], experiment.pretrained().head.to(experiment.device)


def _trained(experiment: Experiment, model: Model, condition: AnyCondition) -> JointModel:
    if model.method == "finetuned":
        return experiment.finetuned(condition, model.training)
    if model.method == "joint":
        light = experiment.recipe.light
        features = light.features if light is not None and model.conditioned else None
        return experiment.joint(condition, model.unit, features, model.rounds, model.training)
    return experiment.finetuned_behind(model.method.removesuffix("_finetuned"), condition, model.unit, model.training)


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
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    seconds, done = 0.0, 0
    with torch.inference_mode():
        for capture in loader(captures, batch):
            start = time.perf_counter()
            image = restore(capture.observation.to(device))
            logits, image = head(image).cpu(), image.cpu()
            seconds += time.perf_counter() - start
            quality = psnr(image.clamp(0, 1), capture.scene).double(), psnr_up_to_gain(image, capture.scene).double()
            parts.append((logits, capture.label, *quality))
            done += len(capture.label)
            if report is not None:
                report(done)
    logits, labels, as_it_is, affine = (torch.cat(part) for part in zip(*parts, strict=True))
    return Predictions(logits, labels, as_it_is, seconds / done, affine)


def metrics_over(trainings: Sequence[Predictions], clean: bool) -> dict[str, Estimate]:
    """The metrics of several trainings together: the mean of each, with an interval over trainings and photographs
    where `metrics_of` has one.

    Args:
        trainings: what each of them said of the same photographs.
        clean: as for `metrics_of`.
    """
    each = [metrics_of(one, clean)[0] for one in trainings]
    metrics = {}
    for name in (name for name in each[0] if all(name in one for one in each)):
        if name in ("top1", "top5"):
            k = int(name.removeprefix("top"))
            metrics[name] = proportion_over(torch.stack([one.top(k) for one in trainings]))
        elif name in QUALITY:
            metrics[name] = mean_over(torch.stack([getattr(one, name) for one in trainings]))
        else:
            metrics[name] = Estimate(value=fmean(one[name].value for one in each), unit=each[0][name].unit)
    return metrics


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
    if not clean:
        metrics |= {
            name: mean_interval(values) for name in QUALITY if (values := getattr(predictions, name)) is not None
        }
    error = selective.expected_calibration_error(predictions.confidence(), right)
    metrics["calibration_error"] = Estimate(value=error, unit="fraction")
    if temperature is None:
        return metrics, None
    confidence = predictions.confidence(temperature)
    error, area = (f(confidence, right) for f in (selective.expected_calibration_error, selective.area_under_risk))
    metrics["calibrated_error"] = Estimate(value=error, unit="fraction")
    metrics["risk_area"] = Estimate(value=area, unit="fraction")
    return metrics, selective.risk_coverage(confidence, right, CURVE_POINTS)
