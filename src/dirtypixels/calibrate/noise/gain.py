"""Noise of one gain, in each of its color channels, from exposures of one scene or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.black import BlackLevel, black_level
from dirtypixels.calibrate.noise.exposures import Exposure
from dirtypixels.calibrate.noise.level import NoiseEstimate, noise_level
from dirtypixels.calibrate.noise.linearity import drift, drift_diagnostics, linearity, linearity_diagnostics
from dirtypixels.calibrate.noise.patches import Survey, patch_stack, survey
from dirtypixels.raw.frames import Frame, plane_slices
from dirtypixels.raw.levels import check_levels

#: Light of the brightest patches over that of the darkest, from which one exposure alone tells shot from read noise.
_ONE_EXPOSURE_RANGE = 4.0


@dataclass(frozen=True)
class Settings:
    """How blocks of frames become estimates.

    Args:
        block: samples of a color plane along each side of a block, a multiple of 4.
        patches: how many blocks of a gain and channel the estimate takes at most, spread over the levels.
        confidence: of all intervals.
    """

    block: int = 32
    patches: int = 2048
    confidence: float = 0.95


@dataclass(frozen=True)
class GainResult:
    """One gain: an estimate for each channel ("R", "G", "B" or "Y"), a black level for each plane, and diagnostics."""

    estimates: dict[str, NoiseEstimate]
    black: dict[str, BlackLevel]
    diagnostics: tuple[Diagnostic, ...]


def measure_gain(
    exposures: Sequence[Exposure], settings: Settings, surveyed: Callable[[], object] = lambda: None
) -> GainResult:
    """Estimate the noise of one gain.

    Args:
        exposures: of one gain, dark ones among them or not.
        settings: how.
        surveyed: called after each look at the blocks of a color plane at one exposure.

    Raises:
        ValueError: the frames do not state their white level, or saturate elsewhere; the black level is neither stated
            nor measurable; there is only one exposure, of even light; or no block can be used.
    """
    frames = [frame for each in exposures for frame in each.frames]
    gain = "" if frames[0].iso is None else f"ISO {frames[0].iso:g}"
    white, floor, step = _white(frames, gain), _floor(frames), _step(exposures)
    planes = {
        plane: [_surveyed(e, plane, settings, floor, white, surveyed) for e in exposures]
        for plane in plane_slices(frames[0].cfa)
    }
    diagnostics: list[Diagnostic] = []
    black: dict[str, BlackLevel] = {}
    for plane, surveys in planes.items():
        name = _named(gain, plane)
        stated = frames[0].black_of(plane)
        black[plane], found = black_level(
            surveys, stated, floor=floor, white=white, confidence=settings.confidence, name=name, step=step
        )
        diagnostics.extend(found)
    _check_white(exposures, black, white)
    diagnostics.extend(_light_diagnostics(gain, planes, black, white))
    # Whole exposures say it better than patches do; of dim ones nothing is said.
    told = any(diagnostic.kind in ("light", "drift") for diagnostic in diagnostics)
    diagnostics.extend(_block_diagnostics(gain, [s for surveys in planes.values() for s in surveys], settings))
    estimates: dict[str, NoiseEstimate] = {}
    for channel in dict.fromkeys(plane[0] for plane in planes):
        name = _named(gain, channel)
        parts = [(s, black[p].value) for p, surveys in planes.items() if p[0] == channel for s in surveys]
        surveys, blacks = [s for s, _ in parts], [b for _, b in parts]
        _check_levels_spread(surveys, blacks, name)
        if min(blacks) < floor:
            raise ValueError(
                f"captures of {name} must follow the light in a straight line; their means over exposure start at "
                f"{min(blacks):.0f} DN, below the least value there is, {floor:g}: the response is not linear, as of "
                f"processed pictures. Record raw frames"
            )
        stack, lowest, available, spare = patch_stack(surveys, blacks, white, settings.patches, floor, step)
        diagnostics.extend(_choice_diagnostics(name, stack.shape[1], available, stack.shape[0], spare))
        try:
            estimate = noise_level(
                stack, black=blacks[0], white=white, floor=lowest, step=step, confidence=settings.confidence
            )
        except ValueError as error:
            raise ValueError(f"captures of {name} cannot be estimated from: {error}") from error
        estimates[channel] = _unsure_of_black(estimate, black[surveys[0].plane])
        diagnostics.extend(
            replace(diagnostic, message=f"{name}: {diagnostic.message}")
            for diagnostic in estimate.diagnostics
            if (diagnostic.severity != "note" or diagnostic.kind == "residual")
            and not (told and diagnostic.kind == "drift")
        )
    diagnostics.extend(_defect_diagnostics(gain, estimates, planes))
    return GainResult(estimates, black, tuple(diagnostics))


def _unsure_of_black(estimate: NoiseEstimate, black: BlackLevel) -> NoiseEstimate:
    """The estimate, less sure of sigma where black was measured or is doubted: an error e adds alpha e to sigma^2."""
    if black.interval is None or (black.value == black.given and not black.doubted):
        return estimate
    reach = float(norm.ppf((1 + estimate.confidence) / 2))
    error = (black.interval[1] - black.interval[0]) / 2 / reach / (estimate.white - estimate.black)
    covariance = estimate.covariance + np.diag([0.0, (estimate.alpha * error) ** 2])
    half = reach * float(np.sqrt(covariance[1, 1]))
    low, high = (float(np.sqrt(max(estimate.sigma**2 + sign * half, 0.0))) for sign in (-1, 1))
    known = {**estimate.__dict__, "covariance": covariance, "sigma_interval": (low, high)}
    return NoiseEstimate(estimate.alpha, estimate.sigma, **known)


def _named(gain: str, part: str) -> str:
    """ "ISO 100, R"; what a monochrome sensor without known gain has no name for is "the sensor"."""
    return ", ".join(filter(None, (gain, "" if part == "Y" else part))) or "the sensor"


def _surveyed(
    exposure: Exposure, plane: str, settings: Settings, floor: float, white: float, surveyed: Callable[[], object]
) -> Survey:
    found = survey(exposure, plane, settings.block, floor, white)
    surveyed()
    return found


def _white(frames: Sequence[Frame], gain: str) -> float:
    if frames[0].white is None:
        largest = max(float(frame.values.max()) for frame in frames)
        raise ValueError(
            f"white must be given where the files do not state it ({_named(gain, '')}): the DN at which samples pile "
            f"up in an overexposed frame; the largest sample here is {largest:g}"
        )
    return frames[0].white


def _floor(frames: Sequence[Frame]) -> float:
    """0 DN where sensors clip; frames that had their black level taken off are negative and not clipped there."""
    return 0.0 if all(float(frame.values.min()) >= 0 for frame in frames) else -np.inf


def _check_white(exposures: Sequence[Exposure], black: dict[str, BlackLevel], white: float) -> None:
    """Raise where frames pile up below white, or go above it."""
    telling: list[tuple[float, tuple[Frame, ...]]] = []
    for each in exposures:
        first_frame = each.frames[0].values
        least, largest = float(first_frame.min()), float(first_frame.max())
        if least < largest:
            telling.append((float(first_frame.mean()), each.frames[:2]))
        elif largest < white and not each.dark:
            raise ValueError(
                f"wrong white level: {each.frames[0].name} ({each.name}) is {largest:g} DN everywhere, as saturation "
                f"makes it, and {white:g} is stated: give white={largest:g}"
            )
    if not telling:
        return
    places = list(black.values()) * (4 if len(black) == 1 else 1)
    first, second, third, fourth = (min(place.value, white - 1) for place in places)
    brightest = max(telling, key=lambda pair: pair[0])[1]
    check_levels(replace(f, black=(first, second, third, fourth), exposure_s=None) for f in brightest)


def _light_diagnostics(
    gain: str, planes: dict[str, list[Survey]], black: dict[str, BlackLevel], white: float
) -> list[Diagnostic]:
    lines = {
        _named(gain, plane): line
        for plane, surveys in planes.items()
        if (line := linearity(surveys, black[plane].value, white)) is not None
    }
    moved = {
        f"{s.exposure.name}{'' if plane == 'Y' else ', ' + plane}": drift(s, black[plane].value, white)
        for plane, surveys in planes.items()
        for s in surveys
    }
    return [*linearity_diagnostics(lines), *drift_diagnostics(moved)]


def _check_levels_spread(surveys: Sequence[Survey], blacks: Sequence[float], name: str) -> None:
    """Raise where there is nothing to see, or all of one light."""
    light = [
        level
        for s, black in zip(surveys, blacks, strict=True)
        for level in (s.mean - black)[s.smooth & ~s.saturated]
        if not s.exposure.dark
    ]
    if not light:
        raise ValueError(
            f"captures of {name} must hold light that the sensor can tell: every block is saturated or holds edges; "
            f"expose shorter, and photograph something plain, like a white sheet out of focus"
        )
    low, high = np.quantile(light, (0.05, 0.95))
    unknown = surveys[0].exposure.seconds is None
    if len({id(s.exposure) for s in surveys}) == 1 and not high > _ONE_EXPOSURE_RANGE * low:
        raise ValueError(
            f"captures of {name} must be of two exposures or more; found one only ({surveys[0].exposure.name}), and "
            f"its light differs by a factor of {high / max(low, 1e-9):.2g} over the frame: shot and read noise cannot "
            f"be told apart. Take pairs of about ten exposure times from black to white, or dark frames, or a scene of "
            f"many grays{'; state the exposure times if there were several' if unknown else ''}"
        )


def _block_diagnostics(gain: str, surveys: Sequence[Survey], settings: Settings) -> list[Diagnostic]:
    total = sum(s.mean.size for s in surveys)
    edges = sum(int((~s.smooth).sum()) for s in surveys)
    saturated = sum(int((s.smooth & s.saturated).sum()) for s in surveys)
    found = []
    if edges:
        found.append(
            Diagnostic(
                "structure",
                "warning" if edges > total / 2 else "note",
                f"{_named(gain, '')}: {edges} of {total} blocks of {settings.block} x {settings.block} samples hold "
                f"edges and were left out, as the least movement between frames would count as noise",
            )
        )
    if saturated:
        found.append(
            Diagnostic(
                "saturated",
                "note",
                f"{_named(gain, '')}: {saturated} of {total} blocks are white in all samples, which says nothing of "
                f"the noise, and were left out",
            )
        )
    return found


def _choice_diagnostics(name: str, used: int, available: int, frames: int, spare: int) -> list[Diagnostic]:
    found = []
    if used < available:
        found.append(
            Diagnostic("choice", "note", f"{name}: {used} of {available} blocks used, spread evenly over the levels")
        )
    if spare:
        found.append(
            Diagnostic(
                "spare-frames",
                "note",
                f"{name}: {spare} frames did not fill a set of {frames}, the smallest number of frames of an exposure, "
                f"and were left out",
            )
        )
    return found


def _defect_diagnostics(
    gain: str, estimates: dict[str, NoiseEstimate], planes: dict[str, list[Survey]]
) -> list[Diagnostic]:
    """Hot, stuck and flickering pixels: of the patches used, and in the dark of the whole sensor."""
    found = []
    defects = sum(int(e.patches.defects.sum()) for e in estimates.values())
    pixels = sum(int((e.patches.pixels + e.patches.defects).sum()) for e in estimates.values())
    dark = [[s for s in surveys if s.exposure.dark] for surveys in planes.values()]
    hot = 0
    if all(dark):
        longest = [max(each, key=lambda s: s.exposure.seconds or 0.0) for each in dark]
        hot = sum(int(s.hot.sum()) for s in longest)
        samples = sum(s.hot.size * s.size**2 for s in longest)
        if hot:
            found.append(
                Diagnostic(
                    "hot-pixels",
                    "warning" if hot > 1e-3 * samples else "note",
                    f"{_named(gain, '')}: {hot} of the sensor's {samples} pixels are hot: in the dark "
                    f"({longest[0].exposure.name}) more than 6 deviations above the mean in every frame",
                )
            )
    if defects:
        found.append(
            Diagnostic(
                "defects",
                "note",
                f"{_named(gain, '')}: {defects} of {pixels} pixels of the patches are defects, "
                f"{1e6 * defects / pixels:.0f} in a million, and were left out",
            )
        )
    return found


def _step(exposures: Sequence[Exposure]) -> float:
    """Distance between digital numbers: 1, or 16 for 12 bits shifted to 16; 0 where they are no whole numbers."""
    codes = np.unique(np.concatenate([np.unique(e.frames[0].values[::5]) for e in exposures]))
    if not np.array_equal(codes, np.round(codes)):
        return 0.0
    codes = codes[:-1]  # the largest may be white, which need not lie on the grid of the others
    return float(np.gcd.reduce(np.diff(codes.astype(np.int64)))) if codes.size > 1 else 1.0
