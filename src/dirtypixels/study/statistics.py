"""How often a classifier is right, how sure that is, and whether another one is right more often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist, fmean, stdev

import torch
from scipy import optimize, stats
from torch import Tensor

from dirtypixels import checks
from dirtypixels.study.results import Difference, Estimate

PAIRED_TEST = "McNemar's test, exact binomial, two-sided; interval: Tango (1998) score"


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
