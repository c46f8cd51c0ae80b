"""Noise of one gain from a single raw photograph of anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import Tensor

from dirtypixels.calibrate.noise.clipped import Range
from dirtypixels.calibrate.noise.detail_response import MEDIAN, DetailResponse
from dirtypixels.calibrate.noise.details import SMALLEST, Details, details
from dirtypixels.calibrate.noise.level import NoiseEstimate, check_confidence
from dirtypixels.calibrate.noise.level_fit import LevelFit, fit
from dirtypixels.calibrate.noise.level_sets import LevelSets, Mask, level_sets, quiet, smooth
from dirtypixels.calibrate.noise.patch_table import PatchTable
from dirtypixels.calibrate.noise.single_image_diagnostics import judge, judge_choice
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import check_levels

Array = npt.NDArray[np.float64]

_FEWEST_VALUES = 16
_CLIPPED_THROUGH = 0.95
# The first rounds lean to the sets that lie low, since what structure is left over lies high.
_LEANING, _ROUNDS, _WEIGHT_ABOVE = 3, 15, 0.2
_SETTLED = 0.005
# What structure adds to the deviation unseen, one standard deviation: of any photograph, and for each window just above
# the limit, per window below, that noise does not explain. Measured on BSDS300's training pictures.
_ALLOWANCE = (0.015, 0.1)


class _Channel(NamedTuple):
    """The planes of one color, in units of the signal, and what is known of them."""

    name: str
    planes: list[Array]
    bounds: Range
    black: float
    white: float


def single_image_noise(
    capture: Frame | npt.ArrayLike,
    *,
    black: float | None = None,
    white: float | None = None,
    floor: float = 0.0,
    step: float | None = None,
    confidence: float = 0.95,
) -> dict[str, NoiseEstimate]:
    """Measure Poisson-Gaussian noise in one raw photograph.

    ``variance = alpha mean + sigma^2`` before clipping.

    The finest diagonal wavelet details of a photograph's smooth parts are noise alone. Smooth is where the horizontal
    and vertical details around are no larger than the noise explains; these are independent of the diagonal ones, so
    the choice does not favor small noise. The details are sorted into sets of like level, each set gives a mean and a
    robust deviation (median of absolute details), and alpha and sigma maximize their likelihood under clipping and
    rounding. As what is smooth depends on the noise, this is repeated until it settles.

    One photograph cannot tell noise from a fixed pattern (each pixel's own gain and offset), which is therefore in the
    estimate; repeated frames can, see `noise_level`. Nor can it tell noise from grain that the scene itself has.

    Args:
        capture: a frame, each of whose colors is measured by itself (Gr and Gb together); or a plane (H, W) of one
            color, in digital numbers or units of the signal.
        black: DN of no light; the frame's own if None, and 0 for a plane.
        white: DN at which the signal saturates; the frame's own if None, and 1 for a plane.
        floor: DN below which nothing is recorded; minus infinity for a plane whose values go below black freely.
        step: DN between neighboring values; if None, 1 where all values are whole numbers and else 0.
        confidence: of the intervals, in (0, 1).

    Returns:
        An estimate for each color, "R", "G", "B", or "Y". Its patches are the level sets (without drift and defects);
        its intervals hold chance, the scatter of the sets, and an allowance for structure that the diagnostics explain.

    Raises:
        TypeError: capture is no numbers.
        ValueError: an argument is out of range; a frame does not say its black or white level or they are wrong; the
            capture is not finite, too small, flat, of too few values, clipped all through, or has no smooth parts.

    Source: Foi, Trimeche, Katkovnik, Egiazarian 2008, "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", section III; Foi 2009, "Clipped noisy images". The paper masks by gradients; the windows of
    independent details, the four shifts and the correction for what choosing does to noise that is not Gaussian are
    this package's.
    """
    check_confidence(confidence)
    if step is not None and not (step >= 0 and math.isfinite(step)):
        raise ValueError(f"step must be at least 0 and finite; found {step:g}")
    channels = _of_frame(capture, black, white) if isinstance(capture, Frame) else _of_plane(capture, black, white)
    return {name: _measured(_checked(name, parts, floor, step), confidence) for name, parts in channels.items()}


_Parts = list[tuple[Array, float, float]]  # values in DN, black and white level


def _of_frame(frame: Frame, black: float | None, white: float | None) -> dict[str, _Parts]:
    if black is not None:
        frame = replace(frame, black=(black,) * 4)
    if white is not None:
        frame = replace(frame, white=white)
    check_levels([frame])
    found: dict[str, _Parts] = {}
    for name, values in frame.planes().items():
        level, top = frame.black_of(name), frame.white
        if level is not None and top is not None:  # check_levels refuses frames without
            found.setdefault(name[0], []).append((values.astype(np.float64), level, top))
    return found


def _of_plane(capture: npt.ArrayLike, black: float | None, white: float | None) -> dict[str, _Parts]:
    values = np.asarray(capture.detach().cpu() if isinstance(capture, Tensor) else capture)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"capture must be a Frame or an array of numbers; found {values.dtype}")
    if values.ndim != 2:
        raise ValueError(f"capture must have shape (H, W), one plane of one color; found {values.shape}")
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise ValueError(f"capture must be finite; found {bad} NaN or infinite of {values.size} values")
    level, top = (0.0 if black is None else float(black)), (1.0 if white is None else float(white))
    if not level < top:
        raise ValueError(f"black must be below white {top:g}; found {level:g}")
    return {"Y": [(values.astype(np.float64), level, top)]}


def _checked(name: str, parts: _Parts, floor: float, step: float | None) -> _Channel:
    """Planes in units of the signal, clipped to what the model knows; raises where there is nothing to measure."""
    whole = all(np.array_equal(values, np.rint(values)) for values, _, _ in parts)
    black, white = float(np.mean([b for _, b, _ in parts])), parts[0][2]
    span = white - black
    for values, level, _ in parts:
        if min(values.shape) < SMALLEST:
            raise ValueError(
                f"capture must be at least {SMALLEST} x {SMALLEST} a color; found {values.shape} of {name}"
            )
        if floor > level:
            raise ValueError(f"floor must be at most black {level:g}; found {floor:g}")
        if values.min() < floor:
            raise ValueError(
                f"floor must be at most the least value, {values.min():g} in {name}; found {floor:g} "
                "(minus infinity where values below black were not cut off)"
            )
    every = np.concatenate([values.ravel() for values, _, _ in parts])
    low, high = float((every <= floor).mean()), float((every >= white).mean())
    different = np.unique(every[:: max(1, every.size // 1_000_000)]).size
    if different == 1:
        raise ValueError(f"capture must be a photograph with noise; all of {name} is {every[0]:g}")
    if low + high > _CLIPPED_THROUGH:
        raise ValueError(
            f"capture must not be clipped all through; found {100 * high:.1f} % of {name} at white {white:g} and "
            f"{100 * low:.1f} % at floor {floor:g}"
        )
    if different < _FEWEST_VALUES:
        raise ValueError(
            f"capture must have at least {_FEWEST_VALUES} different values; found {different} in {name} "
            "(too coarsely quantized, or no raw photograph)"
        )
    rounding = (1.0 if whole else 0.0) if step is None else step
    planes = [np.clip((v - b) / (w - b), (floor - b) / (w - b), 1.0) for v, b, w in parts]
    return _Channel(name, planes, Range((floor - black) / span, 1.0, rounding / span), black, white)


def _measured(channel: _Channel, confidence: float) -> NoiseEstimate:
    planes = [details(plane, channel.bounds.low, channel.bounds.high) for plane in channel.planes]
    try:
        found, sets, chosen, settled = _search(planes, channel.bounds)
    except ValueError as error:
        raise ValueError(f"{error}; in {channel.name}") from None
    choice = judge_choice(planes, chosen, found.response)
    covariance = _covariance(found, sets, choice.unexplained)
    diagnostics = judge(channel.planes, choice, sets, found, covariance, channel.bounds, settled)
    width = [float(stats.norm.ppf((1 + confidence) / 2) * np.sqrt(v)) for v in np.diag(covariance)]
    alpha, variance = found.alpha, found.variance
    return NoiseEstimate(
        alpha,
        math.sqrt(variance),
        alpha_interval=(max(0.0, alpha - width[0]), alpha + width[0]),
        sigma_interval=(math.sqrt(max(0.0, variance - width[1])), math.sqrt(variance + width[1])),
        confidence=confidence,
        covariance=covariance,
        black=channel.black,
        white=channel.white,
        bounds=channel.bounds,
        patches=_table(found, sets),
        diagnostics=diagnostics,
    )


_Found = tuple[LevelFit, LevelSets, list[Mask], bool]


def _search(planes: Sequence[Details], bounds: Range) -> _Found:
    """Lean to the low sets at first; where too little is left then, as of a small photograph, go straight."""
    try:
        return _searched(planes, bounds, _WEIGHT_ABOVE)
    except ValueError:
        return _searched(planes, bounds, 1.0)


def _searched(planes: Sequence[Details], bounds: Range, above: float) -> _Found:
    """Choose smooth parts, fit, choose again; until the deviations settle."""
    chosen = quiet(planes)
    if not any(mask.any() for mask in chosen):
        raise ValueError(
            "capture must have parts of which at most half is clipped; found none (is black or white wrong?)"
        )
    spread = float(np.median(np.concatenate([np.abs(d.detail[m]) for d, m in zip(planes, chosen, strict=True)])))
    if spread == 0:
        raise ValueError("capture must have noise of its own; found none in its smooth parts")
    any_noise = DetailResponse(1e-6 * spread, (spread / MEDIAN) ** 2, bounds)
    found = fit(level_sets(planes, chosen, any_noise), bounds, above=above)
    guess = found.alpha, found.variance
    for turn in range(_ROUNDS):
        response = DetailResponse(*guess, bounds)
        chosen = [smooth(one, response) for one in planes]
        sets = level_sets(planes, chosen, response)
        found = fit(sets, bounds, guess, above if turn < _LEANING else 1.0)
        change = np.abs(found.fitted - response.of(response.robust, sets.mean))
        settled = bool(np.all(change < np.maximum(_SETTLED * found.fitted, found.standard_error / 5)))
        if settled and turn >= _LEANING:
            break
        # half of the way once near, so that it does not swing between two choices
        way = 0.5 if turn > _LEANING else 1.0
        guess = guess[0] + way * (found.alpha - guess[0]), guess[1] + way * (found.variance - guess[1])
    return found, sets, chosen, settled


def _covariance(found: LevelFit, sets: LevelSets, unexplained: float) -> Array:
    """Chance; the sets' scatter, where it is more; and structure, apart for the darkest and the brightest tenth.

    Structure adds to the deviation by another share in bright parts than in dark ones, so each end is uncertain by
    itself: `alpha = (v2 - v1) / (y2 - y1)`, `sigma^2 = v1 - alpha y1`.
    """
    free = sets.mean.size - 2
    scatter = max(1.0, found.chi2 / free) if free else 1.0
    order = np.argsort(sets.mean)
    ends = np.interp([0.1, 0.9], np.cumsum(found.share[order]), sets.mean[order])
    ends[1] = max(ends[1], ends[0] + 1e-9)
    transform = np.array([[-1.0, 1.0], [ends[1], -ends[0]]]) / (ends[1] - ends[0])
    share = (
        2 * np.hypot(_ALLOWANCE[0], _ALLOWANCE[1] * unexplained) * (found.alpha * np.maximum(ends, 0) + found.variance)
    )
    return np.asarray(found.covariance * scatter + transform @ np.diag(share**2) @ transform.T)


def _table(found: LevelFit, sets: LevelSets) -> PatchTable:
    """Level sets as patches, with the deviations of pixels in place of those of details' medians."""
    response = found.response
    fitted = response.of(response.deviation, sets.mean)
    scale = fitted / found.fitted
    return PatchTable(
        mean=sets.mean,
        deviation=sets.deviation * scale,
        fitted=fitted,
        standard_error=found.standard_error * scale,
        level=response.of(response.light, sets.mean),
        low=sets.low,
        high=sets.high,
        share=found.share,
        drift=np.full(sets.mean.size, np.nan),
        pixels=np.asarray(sets.count, dtype=np.int64),
        defects=np.zeros(sets.mean.size, dtype=np.int64),
    )
