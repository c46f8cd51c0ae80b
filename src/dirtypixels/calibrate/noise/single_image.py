"""Noise of one gain from a single raw photograph of anything, and of a camera from one photograph for each gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import Tensor

from dirtypixels.calibrate import diagnostics as limits
from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.noise.clipping import ClipRange
from dirtypixels.calibrate.noise.curve import MeasuredCurve
from dirtypixels.calibrate.noise.exposures import label
from dirtypixels.calibrate.noise.intensity_bins import (
    MOST_CLIPPED,
    BinsFit,
    IntensityBins,
    Mask,
    binned,
    fitted_to_bins,
    quiet,
    smooth,
)
from dirtypixels.calibrate.noise.level import NoiseEstimate, PatchTable, check_confidence
from dirtypixels.calibrate.noise.wavelet import (
    MEDIAN,
    QUIET,
    SMALLEST,
    WaveletCoefficients,
    WaveletResponse,
    wavelet_coefficients,
)
from dirtypixels.camera.noise import ExposureRule
from dirtypixels.raw.agreement import check_same_camera
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import check_levels

Array = npt.NDArray[np.float64]

_FEWEST_VALUES = 16
_CLIPPED_THROUGH = 0.95
# The first rounds lean to the bins that lie low, since what structure is left over lies high.
_LEANING, _ROUNDS, _WEIGHT_ABOVE = 3, 15, 0.2
_SETTLED = 0.005
# What structure adds to the standard deviation unseen, as a standard error: of any photograph, and for each window just
# above the limit, per window below, that noise does not explain. Measured on BSDS300's training pictures.
_ALLOWANCE = (0.015, 0.1)
# Windows whose activity is up to a standard deviation above the limit, for each that is below, where all is noise.
_BUSY = float((stats.norm.cdf(2) - stats.norm.cdf(1)) / stats.norm.cdf(1))


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

    The finest diagonal wavelet coefficients of a photograph's smooth parts are noise alone. Smooth is where the
    horizontal and vertical coefficients around are no larger than the noise explains; these are independent of the
    diagonal ones, so the choice does not favor small noise. The coefficients are sorted into intensity bins, each bin
    gives a mean and a robust standard deviation (median of absolute coefficients), and alpha and sigma maximize their
    likelihood under clipping and rounding. As what is smooth depends on the noise, this is repeated until it settles.

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
        An estimate for each color, "R", "G", "B", or "Y". Its patches are the intensity bins (without drift and
        defects); its intervals hold chance, the scatter of the bins, and an allowance for structure that the
        diagnostics explain.

    Raises:
        TypeError: capture is no numbers.
        ValueError: an argument is out of range; a frame does not say its black or white level or they are wrong; the
            capture is not finite, too small, flat, of too few values, clipped all through, or has no smooth parts.

    Source: Foi, Trimeche, Katkovnik, Egiazarian 2008, "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", section III; Foi 2009, "Clipped noisy images". The paper masks by gradients; the windows of
    independent coefficients, the four shifts and the correction for what choosing does to noise that is not Gaussian
    are this package's.

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> light = np.linspace(0.01, 0.8, 200) * np.ones((128, 1))
    >>> photograph = 4e-3 * random.poisson(light / 4e-3) + 0.02 * random.standard_normal(light.shape)
    >>> estimate = single_image_noise(photograph.clip(0, 1))["Y"]
    >>> f"alpha {estimate.alpha:.1g}, sigma {estimate.sigma:.1g}"
    'alpha 0.004, sigma 0.02'
    """
    check_confidence(confidence)
    if step is not None and not (step >= 0 and math.isfinite(step)):
        raise ValueError(f"step must be at least 0 and finite; found {step:g}")
    channels = _of_frame(capture, black, white) if isinstance(capture, Frame) else _of_plane(capture, black, white)
    return {name: _measured(name, parts, floor, step, confidence) for name, parts in channels.items()}


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


def _check_values(name: str, parts: _Parts, every: Array, floor: float) -> None:
    """Raise where there is nothing to measure."""
    lowest, white = min(b for _, b, _ in parts), parts[0][2]
    for values, *_ in parts:
        if min(values.shape) < SMALLEST:
            raise ValueError(
                f"capture must be at least {SMALLEST} x {SMALLEST} a color; found {values.shape} of {name}"
            )
    if floor > lowest:
        raise ValueError(f"floor must be at most black {lowest:g}; found {floor:g}")
    if every.min() < floor:
        raise ValueError(
            f"floor must be at most the least value, {every.min():g} in {name}; found {floor:g} "
            "(minus infinity where values below black were not cut off)"
        )
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


def _measured(name: str, parts: _Parts, floor: float, step: float | None, confidence: float) -> NoiseEstimate:
    every = np.concatenate([values.ravel() for values, _, _ in parts])
    _check_values(name, parts, every, floor)
    if step is None:
        step = float(np.array_equal(every, np.rint(every)))
    black, white = float(np.mean([b for _, b, _ in parts])), parts[0][2]
    bounds = ClipRange((floor - black) / (white - black), 1.0, step / (white - black))
    signals = [np.clip((v - b) / (w - b), (floor - b) / (w - b), 1.0) for v, b, w in parts]
    planes = [wavelet_coefficients(signal, bounds.low, bounds.high) for signal in signals]
    try:
        try:
            found, bins, chosen, settled = _searched(planes, bounds)
        except ValueError:  # leaning to the low bins leaves too little of a small photograph
            found, bins, chosen, settled = _searched(planes, bounds, above=1.0)
    except ValueError as error:
        raise ValueError(f"{error}; in {name}") from None
    choice = _judged(planes, chosen, found.response)
    covariance = _covariance(found, bins, max(0.0, choice.busy - _BUSY))
    return NoiseEstimate.of_fit(
        np.array([found.alpha, found.variance]),
        covariance,
        confidence,
        black=black,
        white=white,
        bounds=bounds,
        patches=_table(found, bins),
        diagnostics=(
            *_choice_diagnostics(signals, bounds, choice, bins),
            *_fit_diagnostics(found, bins, covariance, bounds.step, settled),
        ),
    )


def _searched(
    planes: Sequence[WaveletCoefficients], bounds: ClipRange, above: float = _WEIGHT_ABOVE
) -> tuple[BinsFit, IntensityBins, list[Mask], bool]:
    """Choose smooth parts, fit, choose again; until the standard deviations settle."""
    chosen = quiet(planes)
    if not any(mask.any() for mask in chosen):
        raise ValueError(
            "capture must have parts of which at most half is clipped; found none (is black or white wrong?)"
        )
    spread = float(np.median(np.concatenate([np.abs(d.diagonal[m]) for d, m in zip(planes, chosen, strict=True)])))
    if spread == 0:
        raise ValueError("capture must have noise of its own; found none in its smooth parts")
    any_noise = WaveletResponse(1e-6 * spread, (spread / MEDIAN) ** 2, bounds)
    found = fitted_to_bins(binned(planes, chosen, any_noise), bounds, above=above)
    guess = found.alpha, found.variance
    for turn in range(_ROUNDS):
        response = WaveletResponse(*guess, bounds)
        chosen = [smooth(one, response) for one in planes]
        bins = binned(planes, chosen, response)
        found = fitted_to_bins(bins, bounds, guess, above if turn < _LEANING else 1.0)
        change = np.abs(found.fitted - response.of(response.robust_std, bins.mean))
        settled = bool(np.all(change < np.maximum(_SETTLED * found.fitted, found.standard_error / 5)))
        if settled and turn >= _LEANING:
            break
        # half of the way once near, so that it does not swing between two choices
        way = 0.5 if turn > _LEANING else 1.0
        guess = guess[0] + way * (found.alpha - guess[0]), guess[1] + way * (found.variance - guess[1])
    return found, bins, chosen, settled


def _covariance(found: BinsFit, bins: IntensityBins, unexplained: float) -> Array:
    """Chance; the bins' scatter, where it is more; and structure, apart for the darkest and the brightest tenth.

    Structure adds to the standard deviation by another share in bright parts than in dark ones, so each end is
    uncertain by itself: `alpha = (v2 - v1) / (y2 - y1)`, `sigma^2 = v1 - alpha y1`.
    """
    free = bins.mean.size - 2
    scatter = max(1.0, found.chi2 / free) if free else 1.0
    order = np.argsort(bins.mean)
    ends = np.interp([0.1, 0.9], np.cumsum(found.share[order]), bins.mean[order])
    ends[1] = max(ends[1], ends[0] + 1e-9)
    transform = np.array([[-1.0, 1.0], [ends[1], -ends[0]]]) / (ends[1] - ends[0])
    share = (
        2 * np.hypot(_ALLOWANCE[0], _ALLOWANCE[1] * unexplained) * (found.alpha * np.maximum(ends, 0) + found.variance)
    )
    return np.asarray(found.covariance * scatter + transform @ np.diag(share**2) @ transform.T)


def _table(found: BinsFit, bins: IntensityBins) -> PatchTable:
    """Bins as patches, with the standard deviations of pixels in place of those of coefficients' medians."""
    response = found.response
    fitted = response.of(response.std, bins.mean)
    scale = fitted / found.fitted
    return PatchTable(
        mean=bins.mean,
        std=bins.std * scale,
        fitted=fitted,
        standard_error=found.standard_error * scale,
        level=response.of(response.light, bins.mean),
        low=bins.low,
        high=bins.high,
        share=found.share,
        drift=np.full(bins.mean.size, np.nan),
        pixels=np.asarray(bins.count, dtype=np.int64),
        defects=np.zeros(bins.mean.size, dtype=np.int64),
    )


class _Choice(NamedTuple):
    """What the windows chosen, and those next to them, tell of the choice."""

    share: float  # of the photograph that was chosen
    busy: float  # windows a little too busy to be noise, for each that was chosen; 0.16 where all is noise
    calm: float  # of those chosen, the share that is too quiet to be noise; 0.03 where all is noise
    clipped: float  # share of windows that are mostly clipped


def _judged(planes: Sequence[WaveletCoefficients], chosen: Sequence[Mask], response: WaveletResponse) -> _Choice:
    """Look at how the activity is distributed about the limit, and far below the noise's variance."""
    activity = np.concatenate([(one.activity / response.of(response.std, one.level) ** 2).ravel() for one in planes])
    clipped = np.concatenate([(one.low + one.high > MOST_CLIPPED).ravel() for one in planes])
    kept = np.concatenate([mask.ravel() for mask in chosen])
    busy = (activity >= QUIET) & (activity < 2 * QUIET - 1) & ~clipped
    calm = float((activity[kept] < 3 - 2 * QUIET).mean())
    return _Choice(float(kept.mean()), float(busy.sum() / kept.sum()), calm, float(clipped.mean()))


def _choice_diagnostics(
    signals: Sequence[Array], bounds: ClipRange, choice: _Choice, bins: IntensityBins
) -> Iterator[Diagnostic]:
    """On what was chosen of a photograph, and from what."""
    count = int(bins.count.sum())
    yield Diagnostic(
        "smooth-parts",
        "note",
        f"{count} wavelet coefficients ({100 * choice.share:.1f} % of the photograph) show noise alone, in "
        f"{bins.mean.size} intensity bins from {bins.mean.min():.3g} to {bins.mean.max():.3g} of the white level",
    )
    if count < limits.FEW_SAMPLES:
        chance = float(np.sqrt(1 / (1 / bins.relative_variance).sum()))
        yield Diagnostic(
            "few-samples",
            "warning",
            f"only {count} wavelet coefficients show noise alone: the standard deviation is known to "
            f"{100 * chance:.0f} %, if all are noise",
        )
    pixels = np.concatenate([signal.ravel() for signal in signals])
    low, high = float((pixels <= bounds.low).mean()), float((pixels >= bounds.high).mean())
    if low + high > limits.CLIPPED_PIXELS:
        yield Diagnostic(
            "clipping",
            "warning",
            f"{100 * high:.0f} % of the pixels are at white and {100 * low:.0f} % at the floor; parts of which more "
            f"than half is clipped ({100 * choice.clipped:.0f} % of the photograph) are left out, the others fitted as "
            f"clipped",
        )
    if choice.busy >= limits.STRUCTURE_WARNING:
        bad = choice.busy >= limits.STRUCTURE_FAILURE
        yield Diagnostic(
            "structure",
            "failure" if bad else "warning",
            "fine structure nearly everywhere, some of it taken for noise: for each smooth window there are "
            f"{choice.busy:.2f} with a little more than noise (0.16 where all is noise), so the standard deviation may "
            f"be {'5 to 20 %' if bad else '3 to 10 %'} too high; take a smoother scene, or one out of focus",
        )
    if choice.calm >= limits.NOT_WHITE:
        yield Diagnostic(
            "not-white",
            "failure",
            f"{100 * choice.calm:.0f} % of the smooth windows are too quiet for this noise (3 % where all is noise): "
            "the noise is not white (a filtered or resampled photograph), or the fit is wrong",
        )


def _fit_diagnostics(
    found: BinsFit, bins: IntensityBins, covariance: Array, step: float, settled: bool
) -> Iterator[Diagnostic]:
    """On the noise fitted: whether alpha and sigma are told apart, rounding acts as noise, and chance explains it."""
    error = float(np.sqrt(covariance[0, 0]))
    lowest, highest = float(bins.mean.min()), float(bins.mean.max())
    # where the Poisson part is surely small at the brightest level, it is told apart well enough
    small = (found.alpha + 2 * error) * highest < 0.1 * found.variance
    if error >= limits.ALPHA_UNSURE_WARNING * found.alpha and not small:
        yield Diagnostic(
            "short-range",
            "failure" if error > limits.ALPHA_UNSURE_FAILURE * found.alpha else "warning",
            f"levels from {lowest:.3g} to {highest:.3g} hardly tell alpha from sigma: alpha is {found.alpha:.2g} with "
            f"a standard error of {error:.2g}; only the standard deviation between those levels is sound",
        )
    std = np.sqrt(found.alpha * np.maximum(bins.mean, 0) + found.variance)
    typical = float(np.average(std, weights=bins.count))
    if typical < limits.COARSE_STEPS_WARNING * step:
        yield Diagnostic(
            "coarse-steps",
            "failure" if typical < limits.COARSE_STEPS_FAILURE * step else "warning",
            f"the noise's standard deviation is {typical / step:.2f} steps of quantization on average, too little for "
            "rounding to act as noise; take a higher gain, or data of more bits",
        )
    free = bins.mean.size - 2
    chance = float(stats.chi2.sf(found.chi2, free)) if free else 1.0
    if not free:
        yield Diagnostic("residual", "warning", "two intensity bins only: nothing is left to test the fit by")
    elif chance < limits.RESIDUAL_CHANCE:
        off = bins.std / found.fitted - 1
        worst = int(np.argmax(np.abs(bins.std - found.fitted) / found.standard_error))
        yield Diagnostic(
            "residual",
            "failure",
            f"the intensity bins scatter more than chance allows (chi^2 {found.chi2:.0f} of {free} degrees of "
            f"freedom): the standard deviation at level {bins.mean[worst]:.3g} is {100 * off[worst]:+.0f} % off the "
            "fit; structure, a wrong black or white level, or another kind of noise",
        )
    if not settled:
        yield Diagnostic(
            "unsettled",
            "warning",
            "choosing smooth parts and fitting did not come to rest; intervals are too short",
        )


def single_image_curve(
    captures: Sequence[Frame],
    *,
    confidence: float = 0.95,
    exposure: ExposureRule = ExposureRule(),  # noqa: B008 (immutable)
    progress: Callable[[int, int], object] | None = None,
) -> MeasuredCurve:
    """Measure a camera's noise from one raw photograph for each gain; see `single_image_noise`.

    Args:
        captures: photographs of one camera, each of another ISO, with their black and white level.
        confidence: of the intervals, in (0, 1).
        exposure: the rule that turns lux into ISO, which captures do not tell.
        progress: called with how many photographs are done, and of how many.

    Returns:
        The curve, with an estimate for each gain and channel; the black level is as the files state it.

    Raises:
        ValueError: there is no photograph, one does not state its ISO, two have the same, or they are not of one
            camera; or `single_image_noise` refuses one.

    >>> import numpy as np
    >>> from dirtypixels.raw import Frame
    >>> random = np.random.default_rng(0)
    >>> light = np.linspace(0.01, 0.8, 200) * np.ones((128, 1))
    >>> photographs = []
    >>> for iso in (100, 200):
    ...     alpha, sigma = iso * 1e-5, iso * 5e-5
    ...     signal = alpha * random.poisson(light / alpha) + sigma * random.standard_normal(light.shape)
    ...     values = (64 + 4031 * signal).round().clip(0, 4095).astype(np.uint16)
    ...     photographs.append(Frame(values, black=(64.0,) * 4, white=4095.0, iso=iso))
    >>> curve = single_image_curve(photographs)
    >>> curve.iso.tolist(), f"{curve.at_iso(150).alpha:.1g}"
    ([100.0, 200.0], '0.001')
    """
    frames = list(captures)
    if not frames:
        raise ValueError("captures must hold at least one photograph; found none")
    check_same_camera(frames, levels_may_follow_iso=True)
    by_iso: dict[float, Frame] = {}
    for frame in frames:
        if frame.iso is None:
            raise ValueError(f"{frame.name} does not say its ISO, and a curve needs it: give iso=")
        if frame.iso in by_iso:
            raise ValueError(
                f"captures must be one photograph for each ISO; found {by_iso[frame.iso].name} and {frame.name} at "
                f"ISO {frame.iso:g}"
            )
        by_iso[frame.iso] = frame
    estimates: dict[tuple[float, str], NoiseEstimate] = {}
    diagnostics: list[Diagnostic] = []
    for done, (iso, frame) in enumerate(sorted(by_iso.items()), start=1):
        for channel, estimate in single_image_noise(frame, confidence=confidence).items():
            estimates[iso, channel] = estimate
            diagnostics += [
                replace(one, message=f"{label(iso, channel)}: {one.message}")
                for one in estimate.diagnostics
                if one.severity != "note"
            ]
        if progress is not None:
            progress(done, len(by_iso))
    black = {
        (iso, plane): BlackLevel(level, None, "given", level)
        for iso, frame in by_iso.items()
        for plane in frame.planes()
        if (level := frame.black_of(plane)) is not None
    }
    white = {iso: frame.white for iso, frame in by_iso.items() if frame.white is not None}
    method = "single raw photographs, smooth parts of their finest wavelet coefficients (Foi et al. 2008)"
    return MeasuredCurve(estimates, black, white, tuple(diagnostics), exposure, method)
