"""What speaks for and against a noise level that was measured in one photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.detail_response import DetailResponse
from dirtypixels.calibrate.noise.details import TOLERANCE, Details
from dirtypixels.calibrate.noise.level_fit import LevelFit
from dirtypixels.calibrate.noise.level_sets import MOST_CLIPPED, LevelSets, Mask

Array = npt.NDArray[np.float64]

# Windows whose activity is up to a standard deviation above the limit, for each that is below, where all is noise.
_BESIDE = float((special.ndtr(2) - special.ndtr(1)) / special.ndtr(1))
# Measured on BSDS300's training pictures: what the deviation then is, see the messages.
_STRUCTURE = (0.45, 1.0)
# Windows chosen whose activity lies two standard deviations below the noise's variance: 2.7 % where all is noise.
_TOO_QUIET = 0.1
_FEW = 1000
_CLIPPED = 0.1
_UNSURE = (0.25, 0.5)
_COARSE = (1.0, 0.5)
_CHANCE = 1e-3


@dataclass(frozen=True)
class Choice:
    """What the windows chosen, and those next to them, tell of the choice.

    Args:
        share: of the photograph.
        busy: windows a little too busy to be noise, for each that was chosen; 0.16 where all is noise.
        calm: of those chosen, the share that is too quiet to be noise; 0.03 where all is noise.
        clipped: share of windows that are mostly clipped.
    """

    share: float
    busy: float
    calm: float
    clipped: float

    @property
    def unexplained(self) -> float:
        """What noise does not explain of `busy`."""
        return max(0.0, self.busy - _BESIDE)


def judge_choice(planes: Sequence[Details], chosen: Sequence[Mask], response: DetailResponse) -> Choice:
    """Look at how the activity is distributed about the limit, and far below the noise's variance."""
    total = busy = calm = kept = clipped = 0
    for one, mask in zip(planes, chosen, strict=True):
        activity = one.activity / response.of(response.deviation, one.level) ** 2
        mostly = one.low + one.high > MOST_CLIPPED
        total += mask.size
        clipped += int(mostly.sum())
        kept += int(mask.sum())
        busy += int(((activity >= TOLERANCE) & (activity < 2 * TOLERANCE - 1) & ~mostly).sum())
        calm += int((activity[mask] < 3 - 2 * TOLERANCE).sum())
    return Choice(kept / total, busy / kept, calm / kept, clipped / total)


def judge(
    planes: Sequence[Array],
    choice: Choice,
    sets: LevelSets,
    found: LevelFit,
    covariance: Array,
    bounds: Range,
    settled: bool,
) -> tuple[Diagnostic, ...]:
    """Diagnostics on one color of a photograph.

    Args:
        planes: the color's planes in units of the signal.
        choice: of smooth parts.
        sets: level sets of these.
        found: the noise fitted to them.
        covariance: (2, 2) of (alpha, sigma^2), all told.
        bounds: clipping points and step.
        settled: whether choosing and fitting came to rest.
    """
    diagnostics = [
        Diagnostic(
            "smooth-parts",
            "note",
            f"{sets.count.sum()} details ({100 * choice.share:.1f} % of the photograph) show noise alone, in "
            f"{sets.mean.size} level sets from {sets.mean.min():.3g} to {sets.mean.max():.3g} of the white level",
        )
    ]
    for one in (
        _few(sets),
        _clipping(planes, choice, bounds),
        _structure(choice),
        _colored(choice),
        _range(sets, found, covariance),
        _levels(sets, found, bounds),
        _residual(sets, found),
    ):
        diagnostics += one
    if not settled:
        diagnostics.append(
            Diagnostic(
                "unsettled",
                "warning",
                "choosing smooth parts and fitting did not come to rest; intervals are too short",
            )
        )
    return tuple(diagnostics)


def _few(sets: LevelSets) -> list[Diagnostic]:
    count = int(sets.count.sum())
    if count >= _FEW:
        return []
    chance = float(np.sqrt(1 / (1 / sets.relative_variance).sum()))
    message = f"only {count} details show noise alone: the deviation is known to {100 * chance:.0f} %, if all are noise"
    return [Diagnostic("few-samples", "warning", message)]


def _clipping(planes: Sequence[Array], choice: Choice, bounds: Range) -> list[Diagnostic]:
    size = sum(plane.size for plane in planes)
    low = sum(int((plane <= bounds.low).sum()) for plane in planes) / size
    high = sum(int((plane >= bounds.high).sum()) for plane in planes) / size
    if low + high <= _CLIPPED:
        return []
    message = (
        f"{100 * high:.0f} % of the pixels are at white and {100 * low:.0f} % at the floor; parts of which more than "
        f"half is clipped ({100 * choice.clipped:.0f} % of the photograph) are left out, the others fitted as clipped"
    )
    return [Diagnostic("clipping", "warning", message)]


def _structure(choice: Choice) -> list[Diagnostic]:
    if choice.busy < _STRUCTURE[0]:
        return []
    bad = choice.busy >= _STRUCTURE[1]
    high = "5 to 20 %" if bad else "3 to 10 %"
    message = (
        "fine structure nearly everywhere, some of it taken for noise: for each smooth window there are "
        f"{choice.busy:.2f} with a little more than noise (0.16 where all is noise), so the deviation may be {high} "
        "too high; take a smoother scene, or one out of focus"
    )
    return [Diagnostic("structure", "failure" if bad else "warning", message)]


def _colored(choice: Choice) -> list[Diagnostic]:
    if choice.calm < _TOO_QUIET:
        return []
    message = (
        f"{100 * choice.calm:.0f} % of the smooth windows are too quiet for this noise (3 % where all is noise): the "
        "noise is not white (a filtered or resampled photograph), or the fit is wrong"
    )
    return [Diagnostic("not-white", "failure", message)]


def _range(sets: LevelSets, found: LevelFit, covariance: Array) -> list[Diagnostic]:
    """alpha and sigma are told apart by how the deviation changes over the levels."""
    error = float(np.sqrt(covariance[0, 0]))
    lowest, highest = float(sets.mean.min()), float(sets.mean.max())
    # where the Poisson part is surely small at the brightest level, it is told apart well enough
    if error < _UNSURE[0] * found.alpha or (found.alpha + 2 * error) * highest < 0.1 * found.variance:
        return []
    message = (
        f"levels from {lowest:.3g} to {highest:.3g} hardly tell alpha from sigma: alpha is {found.alpha:.2g} with a "
        f"standard error of {error:.2g}; only the deviation between those levels is sound"
    )
    return [Diagnostic("short-range", "failure" if error > _UNSURE[1] * found.alpha else "warning", message)]


def _levels(sets: LevelSets, found: LevelFit, bounds: Range) -> list[Diagnostic]:
    if not bounds.step:
        return []
    steps = np.sqrt(found.alpha * np.maximum(sets.mean, 0) + found.variance) / bounds.step
    typical = float(np.average(steps, weights=sets.count))
    if typical >= _COARSE[0]:
        return []
    message = (
        f"the noise's standard deviation is {typical:.2f} steps of quantization on average, too little for rounding to "
        "act as noise; take a higher gain, or data of more bits"
    )
    return [Diagnostic("few-levels", "failure" if typical < _COARSE[1] else "warning", message)]


def _residual(sets: LevelSets, found: LevelFit) -> list[Diagnostic]:
    free = sets.mean.size - 2
    if free < 1:
        return [Diagnostic("residual", "warning", "two level sets only: nothing is left to test the fit by")]
    chance = float(stats.chi2.sf(found.chi2, free))
    if chance >= _CHANCE:
        return []
    off = sets.deviation / found.fitted - 1
    worst = int(np.argmax(np.abs(sets.deviation - found.fitted) / found.standard_error))
    message = (
        f"the level sets scatter more than chance allows (chi^2 {found.chi2:.0f} of {free} degrees of freedom): the "
        f"deviation at level {sets.mean[worst]:.3g} is {100 * off[worst]:+.0f} % off the fit; structure, a wrong black "
        "or white level, or another kind of noise"
    )
    return [Diagnostic("residual", "failure", message)]
