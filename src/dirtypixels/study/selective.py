"""Classifiers that may abstain: what they risk at which coverage, and whether their confidence means what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from dirtypixels import checks
from dirtypixels.study.results import RiskCurve

Floats = npt.NDArray[np.float64]
Values = Tensor | npt.NDArray[Any] | Sequence[float] | Sequence[bool]


def risk_coverage(confidence: Values, correct: Values, points: int | None = None) -> RiskCurve:
    """Risk over coverage where a classifier answers if its confidence is at least a threshold: a point for each
    confidence that occurs, images of equal confidence together.

    ``coverage(t) = #{c_n >= t} / N``, ``risk(t) = #{c_n >= t, n wrong} / #{c_n >= t}``

    Args:
        confidence: (N,), in [0, 1], N >= 1.
        correct: (N,), bool.
        points: keep so many points at most, at least 2, those nearest to evenly spaced coverages; None for all.

    Raises:
        TypeError: correct is not bool.
        ValueError: empty, not of the same length, a confidence outside [0, 1] or NaN, or too few points.

    Source: El-Yaniv and Wiener 2010; Geifman and El-Yaniv 2017, sec. 2.
    """
    threshold, answered, wrong = _counts(*_checked(confidence, correct))
    coverage, risk = answered / answered[-1], wrong / answered
    kept = np.arange(len(coverage))
    if points is not None:
        if points < 2:
            raise ValueError(f"points must be at least 2; found {points}")
        wanted = np.linspace(coverage[0], coverage[-1], points)
        kept = np.unique(np.abs(coverage[:, None] - wanted).argmin(0))
    return RiskCurve(threshold=threshold[kept].tolist(), coverage=coverage[kept].tolist(), risk=risk[kept].tolist())


def area_under_risk(confidence: Values, correct: Values) -> float:
    """The mean risk over the coverages 1/N, 2/N ... 1 (AURC): the lower, the better the confidence sorts.

    ``AURC = 1/N sum_k risk(k / N)``, risk(k / N) of the k most confident images, expected over every order of images
    of equal confidence.

    Args and Raises: as `risk_coverage`.

    Source: Geifman, Uziel and El-Yaniv 2019.
    """
    found, right = _checked(confidence, correct)
    _, answered, wrong = _counts(found, right)
    every = np.arange(1.0, len(found) + 1)
    # Between two confidences lie images of equal confidence, of whose orders the mean is a straight line.
    expected = np.interp(every, np.append(0.0, answered), np.append(0.0, wrong))
    return float((expected / every).mean())


def expected_calibration_error(confidence: Values, correct: Values, bins: int = 15) -> float:
    """How far confidence and accuracy are apart, in bins of equal width over [0, 1] (ECE).

    ``ECE = sum_b N_b / N |accuracy_b - mean confidence_b|``

    A bin holds its lower end; the last one holds 1 too.

    Args:
        confidence, correct: as `risk_coverage`.
        bins: at least 1.

    Raises:
        As `risk_coverage`.
        ValueError: bins is below 1.

    Source: Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, eq. 3. Computed by torchmetrics.
    """
    found, right = _checked(confidence, correct)
    if bins < 1:
        raise ValueError(f"bins must be at least 1; found {bins}")
    # torchmetrics keeps a bin of its own for a confidence of exactly 1.
    below = torch.from_numpy(np.minimum(found, np.nextafter(1.0, 0.0)))
    return float(binary_calibration_error(below, torch.from_numpy(right).int(), n_bins=bins, norm="l1"))


def _counts(confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """For each confidence that occurs, falling: how many images have at least that, and how many of them are wrong."""
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    return falling[last], last + 1.0, np.cumsum(~correct[order], dtype=np.float64)[last]


def _checked(confidence: Values, correct: Values) -> tuple[Floats, npt.NDArray[np.bool_]]:
    found = torch.as_tensor(confidence, dtype=torch.float64).detach().cpu()
    right = torch.as_tensor(correct).detach().cpu()
    checks.has_shape("confidence", found, ("N",))
    checks.has_shape("correct", right, (len(found),))
    if not len(found):
        raise ValueError("confidence must hold at least one image; found none")
    if right.dtype != torch.bool:
        raise TypeError(f"correct must be bool; found {right.dtype}")
    checks.in_range("confidence", found, 0, 1)
    return found.numpy(), right.numpy()
