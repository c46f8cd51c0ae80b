"""Classifiers that may abstain: what they risk at which coverage, and whether their confidence means what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from dirtypixels import checks

Floats = npt.NDArray[np.float64]
Values = Tensor | npt.NDArray[Any] | Sequence[float] | Sequence[bool]


class RiskCoverage(NamedTuple):
    """What happens when a classifier answers only where its confidence is at least a threshold: arrays of length D.

    Args:
        threshold: falling, in [0, 1].
        coverage: fraction of the images answered, rising to 1.
        risk: fraction of the answers that are wrong, in [0, 1].
    """

    threshold: Floats
    coverage: Floats
    risk: Floats

    def thinned(self, points: int) -> RiskCoverage:
        """At most `points` points, those nearest to evenly spaced coverages; the first and the last stay.

        Raises:
            ValueError: fewer than 2 points.
        """
        if points < 2:
            raise ValueError(f"points must be at least 2; found {points}")
        wanted = np.linspace(self.coverage[0], self.coverage[-1], points)
        kept = np.unique(np.abs(self.coverage[:, None] - wanted).argmin(0))
        return RiskCoverage(self.threshold[kept], self.coverage[kept], self.risk[kept])


class Threshold(NamedTuple):
    """A threshold on the confidence, and what it gives on the images that it was chosen on.

    Args:
        threshold: answer where the confidence is at least this.
        coverage: fraction of the images answered.
        risk: fraction of the answers that are wrong.
        bound: the risk on other images is at most this at the level asked for; `risk` itself where none was.
    """

    threshold: float
    coverage: float
    risk: float
    bound: float


def risk_coverage(confidence: Values, correct: Values) -> RiskCoverage:
    """Risk over coverage: a point for each confidence that occurs, images of equal confidence together.

    ``coverage(t) = #{c_n >= t} / N``, ``risk(t) = #{c_n >= t, n wrong} / #{c_n >= t}``

    Args:
        confidence: (N,), in [0, 1], N >= 1.
        correct: (N,), bool.

    Raises:
        TypeError: correct is not bool.
        ValueError: empty, not of the same length, or a confidence outside [0, 1] or NaN.

    Source: El-Yaniv and Wiener 2010; Geifman and El-Yaniv 2017, sec. 2.
    """
    thresholds, answered, wrong = _counts(*_checked(confidence, correct))
    return RiskCoverage(thresholds, answered / answered[-1], wrong / answered)


def area_under_risk(confidence: Values, correct: Values) -> float:
    """The mean risk over the coverages 1/N, 2/N ... 1 (AURC): the lower, the better the confidence sorts.

    ``AURC = 1/N sum_k risk(k / N)``, risk(k / N) of the k most confident images, expected over every order of images
    of equal confidence.

    Args and Raises: as `risk_coverage`.

    Source: Geifman, Uziel and El-Yaniv 2019.
    """
    found, right = _checked(confidence, correct)
    every = np.arange(1.0, len(found) + 1)
    return float((_expected_wrong(found, right, every) / every).mean())


def accuracy_at(confidence: Values, correct: Values, coverages: Sequence[float]) -> list[float]:
    """The accuracy where only the most confident images are answered: ``ceil(coverage N)`` of N.

    Where the limit falls among images of equal confidence, it is the accuracy expected over every order of them.

    Args:
        confidence, correct: as `risk_coverage`.
        coverages: each in (0, 1].

    Raises:
        As `risk_coverage`.
        ValueError: a coverage is outside (0, 1].
    """
    found, right = _checked(confidence, correct)
    for coverage in coverages:
        if not 0 < coverage <= 1:
            raise ValueError(f"coverages must be in (0, 1]; found {coverage}")
    # 0.07 * 100 is a little over 7 in binary.
    answered = np.array([math.ceil(round(coverage * len(found), 9)) for coverage in coverages], dtype=np.float64)
    accuracies: list[float] = (1 - _expected_wrong(found, right, answered) / answered).tolist()
    return accuracies


def threshold_for_risk(
    confidence: Values, correct: Values, risk: float, level: float | None = None
) -> Threshold | None:
    """The lowest threshold at which no more than a fraction `risk` of the answers is wrong.

    Without a level, on these very images: the lowest of all thresholds with ``risk(t) <= risk``. With one, on others
    like them: the thresholds are searched by bisection for the lowest with ``bound(t) <= risk``, where bound is
    Clopper and Pearson's upper limit for the wrong among the answered at level ``1 - (1 - level) / s`` and
    s = ceil(log2(N + 1)) the steps of the bisection, so that the limit found holds with probability `level` although
    the threshold was chosen on the same images.

    Args:
        confidence, correct: as `risk_coverage`, of images that the model was not trained on.
        risk: in [0, 1].
        level: confidence level in (0, 1), or None.

    Returns:
        None where no threshold does.

    Raises:
        As `risk_coverage`.
        ValueError: risk or level is out of range.

    Source: Geifman and El-Yaniv 2017, algorithm 1 and theorem 3.2; the limit: Clopper and Pearson 1934.
    """
    found, right = _checked(confidence, correct)
    checks.in_range("risk", risk, 0, 1)
    if level is not None and not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1) or None; found {level}")
    thresholds, answered, wrong = _counts(found, right)
    if level is None:
        good = np.flatnonzero(wrong / answered <= risk)
        if not len(good):
            return None
        best, bound = int(good[-1]), float(wrong[good[-1]] / answered[good[-1]])
    else:
        steps = math.ceil(math.log2(len(found) + 1))
        best, bound = _bisected(answered, wrong, risk, (1 - level) / steps)
        if best < 0:
            return None
    coverage = float(answered[best] / answered[-1])
    return Threshold(float(thresholds[best]), coverage, float(wrong[best] / answered[best]), bound)


def clopper_pearson(wrong: int, count: int, level: float = 0.95) -> float:
    """One-sided upper limit of a probability: the highest at which so few wrong of `count` are not too unlikely.

    ``sum_{j <= wrong} C(count, j) b^j (1 - b)^(count - j) = 1 - level``; 1 where all are wrong.

    Args:
        wrong: in [0, count].
        count: > 0.
        level: confidence level in (0, 1).

    Raises:
        ValueError: a number is out of range.

    Source: Clopper and Pearson 1934.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; found {count}")
    checks.in_range("wrong", float(wrong), 0, count)
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); found {level}")
    return 1.0 if wrong == count else float(stats.beta.ppf(level, wrong + 1, count - wrong))


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


def _bisected(answered: Floats, wrong: Floats, risk: float, doubt: float) -> tuple[int, float]:
    """The index of the lowest threshold whose limit is at most `risk`, by bisection, and the limit; -1 for none."""
    best, bound = -1, 1.0
    low, high = 0, len(answered) - 1
    while low <= high:
        middle = (low + high) // 2
        limit = clopper_pearson(int(wrong[middle]), int(answered[middle]), 1 - doubt)
        if limit <= risk:
            best, bound, low = middle, limit, middle + 1
        else:
            high = middle - 1
    return best, bound


def _counts(confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """For each confidence that occurs, falling: how many images have at least that, and how many of them are wrong."""
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    return falling[last], last + 1.0, np.cumsum(~correct[order], dtype=np.float64)[last]


def _expected_wrong(confidence: Floats, correct: npt.NDArray[np.bool_], answered: Floats) -> Floats:
    """How many of the `answered` most confident images are wrong, expected over every order of equal confidences."""
    _, counts, wrong = _counts(confidence, correct)
    expected: Floats = np.interp(answered, np.append(0.0, counts), np.append(0.0, wrong))
    return expected


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
