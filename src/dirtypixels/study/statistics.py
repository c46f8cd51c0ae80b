"""How often a classifier is right, how sure that is, and whether another one is right more often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

import torch
from scipy import optimize, stats
from torch import Tensor

from dirtypixels import checks
from dirtypixels.study.results import Difference, Estimate

PAIRED_TEST = "McNemar's test, exact binomial, two-sided; interval: Tango (1998) score"
CROSSED_TEST = "Student's t, two-sided, over trainings and photographs as crossed random effects, Satterthwaite"


def topk(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether the label is among the k best classes.

    ``right_n = #{c : l_nc > l_n,label} + #{c < label : l_nc = l_n,label} < k``

    Among equal logits the lower class index is the better one, so exactly k classes are ever among the k best:
    constant logits are right for the labels 0 .. k - 1 only. With fewer than 5 classes, "top-5" is the caller's to
    define: pass ``k=min(5, C)``.

    Args:
        logits: (N, C), floating point; may be infinite, not NaN.
        labels: (N,), integers in [0, C - 1].
        k: in [1, C].

    Returns:
        (N,), bool.

    Raises:
        TypeError: logits are not floating point, or labels not integers.
        ValueError: a shape does not fit, a logit is NaN, a label or k is out of range.
    """
    checks.is_tensor("logits", logits)
    checks.has_shape("logits", logits, ("N", "C"))
    count, classes = logits.shape
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
        found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be an integer tensor; found {found}")
    checks.has_shape("labels", labels, (count,))
    checks.in_range("labels", labels, 0, classes - 1)
    if not 1 <= k <= classes:
        raise ValueError(f"k must be in [1, {classes}], the number of classes; found {k}")
    bad = int(logits.isnan().any(dim=1).sum())
    if bad:
        raise ValueError(f"logits must not be NaN; found NaN in {bad} of {count} rows")
    labels = labels.to(logits.device, torch.int64)[:, None]
    own = logits.gather(1, labels)
    earlier = torch.arange(classes, device=logits.device) < labels
    return ((logits > own) | ((logits == own) & earlier)).sum(dim=1) < k


def wilson(successes: int, count: int, level: float = 0.95) -> Estimate:
    """A proportion and its score interval.

    ``(p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)``, p = successes / count

    Args:
        successes: in [0, count].
        count: > 0.
        level: confidence level in (0, 1); what goes into results.json has the default.

    Raises:
        ValueError: a number is out of range.

    Source: Wilson 1927; Newcombe 1998 (Statistics in Medicine 17, 857), method 3.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; found {count}")
    checks.in_range("successes", float(successes), 0, count)
    _check_level(level)
    p, interval = successes / count, stats.binomtest(successes, count).proportion_ci(level, "wilson")
    # Rounding must not put the value outside.
    return Estimate(value=p, low=min(p, float(interval.low)), high=max(p, float(interval.high)), unit="fraction")


def mean_interval(values: Tensor | Sequence[float], level: float = 0.95) -> Estimate:
    """The mean of values per photograph and its Student-t interval.

    ``mean +- t(n - 1) s / sqrt(n)``, s the sample standard deviation

    Args:
        values: (n,), in dB, finite, n >= 2.
        level: confidence level in (0, 1); what goes into results.json has the default.

    Raises:
        ValueError: fewer than two values, a value that is not finite (a perfect picture's PSNR is infinite), or level
            out of range.
    """
    found = torch.as_tensor(values, dtype=torch.float64)
    checks.has_shape("values", found, ("n",))
    if len(found) < 2:
        raise ValueError(f"values must hold at least 2 numbers for an interval; found {len(found)}")
    checks.is_finite("values", found)
    _check_level(level)
    numbers = found.tolist()
    mean = fmean(numbers)
    reach = float(stats.t.ppf((1 + level) / 2, len(numbers) - 1)) * stdev(numbers) / sqrt(len(numbers))
    return Estimate(value=mean, low=mean - reach, high=mean + reach, unit="dB")


def paired_difference(
    a_right: Tensor | Sequence[bool],
    b_right: Tensor | Sequence[bool],
    reference: str = "finetuned",
    level: float = 0.95,
) -> Difference:
    """How much more often a is right than the reference b on the same photographs.

    ``d = (b - c) / n``, b where only a is right, c where only the reference is, of n photographs. The interval holds
    every D that the score test does not reject:
    ``|b - c - n D| <= z sqrt(n (2 q(D) + D (1 - D)))``, q(D) the probability of "only the reference is right" that is
    most likely where the difference is D.

    The p-value is McNemar's with the exact binomial distribution, two-sided: ``min(1, 2 P(X <= min(b, c)))``,
    X ~ Binomial(b + c, 1/2).

    The interval stays within [-1, 1] and has a width also where the two never differ. At D = 0 its test is McNemar's
    in its asymptotic form, which is a little less careful than the exact p-value: near the limit the interval can
    exclude 0 while p is just over 1 - level.

    Args:
        a_right, b_right: (N,), bool, photograph by photograph, N >= 1; b is the reference's.
        reference: key of the reference method.
        level: confidence level in (0, 1); what goes into results.json has the default.

    Raises:
        TypeError: not bool.
        ValueError: not of the same length, empty, or level out of range.

    Source: Tango 1998 (Statistics in Medicine 17, 891), eqs. 2 to 4; McNemar 1947.
    """
    a, b = torch.as_tensor(a_right).cpu(), torch.as_tensor(b_right).cpu()
    for name, found in (("a_right", a), ("b_right", b)):
        if found.dtype != torch.bool:
            raise TypeError(f"{name} must be bool; found {found.dtype}")
        checks.has_shape(name, found, ("N",))
    if len(a) != len(b) or not len(a):
        raise ValueError(f"a_right and b_right must be of one length, at least 1; found {len(a)} and {len(b)}")
    only_a, only_b, count = int((a & ~b).sum()), int((b & ~a).sum()), len(a)
    _check_level(level)
    low, high = _tango(only_a, only_b, count, NormalDist().inv_cdf((1 + level) / 2))
    return Difference(
        reference=reference,
        value=(only_a - only_b) / count,
        low=low,
        high=high,
        p_value=min(1.0, 2 * float(stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))),
        test=PAIRED_TEST,
        only_this_right=only_a,
        only_reference_right=only_b,
    )


class Crossed(NamedTuple):
    """The mean of trainings x photographs, its standard error, and the degrees of freedom of that."""

    mean: float
    error: float
    degrees: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's: ``mean +- t(degrees) error``; the mean itself where nothing varies."""
        _check_level(level)
        reach = float(stats.t.ppf((1 + level) / 2, self.degrees)) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the mean is 0."""
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return min(1.0, 2 * float(stats.t.sf(abs(self.mean) / self.error, self.degrees)))


def crossed(values: Tensor | Sequence[Sequence[float]]) -> Crossed:
    """The mean over S trainings and N photographs, where another choice of both would have given another one.

    ``d[s, n] = mean + training[s] + photograph[n] + both[s, n]``, all three random, of variances v_s, v_n and v_sn:

    ``var(mean) = v_s / S + v_n / N + v_sn / (S N)``

    They are estimated from the mean squares of the two-way analysis of variance, ``v_sn = MS_sn``,
    ``v_s = max(MS_s - MS_sn, 0) / N`` and ``v_n = max(MS_n - MS_sn, 0) / S``, so that

    ``var(mean) = (A + B - MS_sn) / (S N)``, A = max(MS_s, MS_sn), B = max(MS_n, MS_sn),

    which is ``(MS_s + MS_n - MS_sn) / (S N)`` where no component is estimated below 0, and never less than what the
    photographs alone give, ``MS_n / (S N)``. The degrees of freedom are Satterthwaite's,

    ``(A + B - MS_sn)^2 / (A^2 / (S - 1) + B^2 / (N - 1) + MS_sn^2 / ((S - 1) (N - 1)))``

    Few trainings say little of their own variance, and Satterthwaite's approximation is a little bold there: where
    the trainings differ about as much as chance among the photographs makes the mean, a 95 % interval holds the mean
    in 87 % of the cases with 2 trainings, 92 % with 3 and 94 % with 5; where they do not differ, in 95 % or more.

    Args:
        values: (S, N), finite, S >= 2, N >= 2; the same photographs in every training.

    Raises:
        ValueError: fewer than two trainings or photographs, or a value that is not finite.

    Source: Searle, Casella and McCulloch 1992, Variance Components, ch. 4 (two-way crossed random effects);
    Satterthwaite 1946. Owen 2007 (Annals of Applied Statistics 1, 386) has a bootstrap for the same.

    >>> mean, error, degrees = crossed([[1.0, 2.0, 3.0], [2.0, 3.0, 5.0]])
    >>> round(mean, 3), round(error, 3), round(degrees, 2)
    (2.667, 0.972, 2.65)
    """
    found = torch.as_tensor(values, dtype=torch.float64).cpu()
    checks.has_shape("values", found, ("S", "N"))
    trainings, photographs = found.shape
    if trainings < 2 or photographs < 2:
        raise ValueError(
            f"values must hold at least 2 trainings of at least 2 photographs; found {trainings} of {photographs}"
        )
    checks.is_finite("values", found)
    mean = found.mean()
    by_training, by_photograph = found.mean(1, keepdim=True), found.mean(0, keepdim=True)
    rest = found - by_training - by_photograph + mean
    free = (trainings - 1, photographs - 1, (trainings - 1) * (photographs - 1))
    of_training = float(photographs * (by_training - mean).square().sum()) / free[0]
    of_photograph = float(trainings * (by_photograph - mean).square().sum()) / free[1]
    of_both = float(rest.square().sum()) / free[2]
    parts = (max(of_training, of_both), max(of_photograph, of_both), of_both)
    variance = parts[0] + parts[1] - parts[2]
    scale = max(parts)  # squares of very small numbers would be 0
    if scale == 0:
        return Crossed(float(mean), 0.0, float(free[1]))
    degrees = (variance / scale) ** 2 / sum((part / scale) ** 2 / n for part, n in zip(parts, free, strict=True))
    return Crossed(float(mean), sqrt(variance / found.numel()), degrees)


def proportion_over(right: Tensor, level: float = 0.95) -> Estimate:
    """A proportion over trainings and photographs, and its interval: `crossed`, within [0, 1].

    Of a single training it is `wilson`, and where all are right or all are wrong, which has no variance to estimate
    from, Wilson's for the photographs of one training.

    Args:
        right: (S, N), bool.
        level: confidence level in (0, 1); what goes into results.json has the default.

    Raises:
        TypeError: not bool.
        ValueError: empty, or level out of range.

    >>> proportion_over(torch.tensor([[True, False, True, True], [True, False, False, True]])).value
    0.625
    """
    _check_outcomes("right", right)
    trainings, count = right.shape
    if trainings == 1 or bool((right == right[0, 0]).all()):
        return wilson(int(right[0].sum()), count, level)
    found = crossed(right.double())
    low, high = found.interval(level)
    return Estimate(value=found.mean, low=max(0.0, low), high=min(1.0, high), unit="fraction")


def mean_over(values: Tensor, level: float = 0.95) -> Estimate:
    """The mean over trainings and photographs and its interval, `crossed`; of a single training `mean_interval`.

    Args:
        values: (S, N), in dB, finite, N >= 2.
        level: confidence level in (0, 1); what goes into results.json has the default.

    Raises:
        ValueError: fewer than two photographs, a value that is not finite, or level out of range.

    >>> mean_over(torch.tensor([[20.0, 22.0, 24.0]])) == mean_interval([20.0, 22.0, 24.0])
    True
    """
    checks.has_shape("values", values, ("S", "N"))
    if len(values) == 1:
        return mean_interval(values[0], level)
    found = crossed(values)
    low, high = found.interval(level)
    return Estimate(value=found.mean, low=low, high=high, unit="dB")


def difference_over(a_right: Tensor, b_right: Tensor, reference: str = "finetuned", level: float = 0.95) -> Difference:
    """How much more often a is right than the reference b, on the same photographs, training by training.

    ``d[s, n] = a[s, n] - b[s, n]``, its mean, interval and p-value by `crossed`, within [-1, 1]

    Training s of the one is compared with training s of the other, which have the same seed; what was not trained is
    compared with each. With a single training of both it is `paired_difference`. Where nothing differs, p is 1 and
    the interval that of the photographs of one training.

    Args:
        a_right, b_right: (S, N), bool, or (1, N) for what has a single one; b is the reference's.
        reference: key of the reference method.
        level: confidence level in (0, 1); what goes into results.json has the default.

    Raises:
        TypeError: not bool.
        ValueError: the shapes do not go together, a tensor is empty, or level is out of range.

    >>> ours, theirs = torch.ones(2, 40).bool(), torch.arange(40) % 4 > torch.tensor([[0], [1]])
    >>> gain = difference_over(ours, theirs)
    >>> gain.value, gain.trainings
    (0.375, (0.25, 0.5))
    """
    _check_outcomes("a_right", a_right)
    _check_outcomes("b_right", b_right)
    trainings = max(len(a_right), len(b_right))
    if a_right.shape[1] != b_right.shape[1] or {len(a_right), len(b_right)} - {1, trainings}:
        raise ValueError(
            "a_right and b_right must have the same photographs, and as many trainings or one; found "
            f"{tuple(a_right.shape)} and {tuple(b_right.shape)}"
        )
    if trainings == 1:
        return paired_difference(a_right[0], b_right[0], reference, level)
    gaps = a_right.double().cpu() - b_right.double().cpu()
    each = tuple(gaps.mean(1).tolist())
    if bool((gaps == gaps[0, 0]).all()):
        one = paired_difference(a_right[0], b_right[0], reference, level)
        counts: dict[str, object] = {"only_this_right": None, "only_reference_right": None}
        return one.model_copy(update={**counts, "trainings": each})
    found = crossed(gaps)
    low, high = found.interval(level)
    return Difference(
        reference=reference,
        value=found.mean,
        low=max(-1.0, low),
        high=min(1.0, high),
        p_value=found.p_value,
        test=CROSSED_TEST,
        trainings=each,
    )


def _check_outcomes(name: str, right: Tensor) -> None:
    if right.dtype != torch.bool:
        raise TypeError(f"{name} must be bool; found {right.dtype}")
    checks.has_shape(name, right, ("S", "N"))
    if not right.numel():
        raise ValueError(f"{name} must hold at least one training of one photograph; found {tuple(right.shape)}")


def _tango(b: int, c: int, n: int, z: float) -> tuple[float, float]:
    estimate = (b - c) / n
    # Where all pairs agree, or all differ one way, the variance is 0 at the estimate, which would itself pass for the
    # limit; there the score equation is solved by hand.
    if b == c == 0:
        return -(z**2) / (n + z**2), z**2 / (n + z**2)
    if b == n:
        return (n - z**2) / (n + z**2), 1.0
    if c == n:
        return -1.0, (z**2 - n) / (n + z**2)

    def excess(side: float) -> Callable[[float], float]:
        # The score equation times its denominator, which is 0 at D = -1 and D = 1.
        return lambda d: b - c - n * d - side * z * sqrt(_tango_variance(d, b, c, n))

    low = float(optimize.brentq(excess(+1), -1.0, estimate, xtol=1e-13))
    high = float(optimize.brentq(excess(-1), estimate, 1.0, xtol=1e-13))
    return low, high


def _tango_variance(d: float, b: int, c: int, n: int) -> float:
    linear = (2 * n - b + c) * d - b - c
    root = sqrt(max(0.0, linear**2 + 8 * n * c * d * (1 - d)))
    # Of the two forms of a quadratic's root, the one that does not subtract near-equal numbers.
    q = (root - linear) / (4 * n) if linear <= 0 else 2 * c * d * (1 - d) / (root + linear)
    return max(0.0, n * (2 * q + d * (1 - d)))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); found {level}")
