"""A camera's noise over gain, measured from repeated frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from dirtypixels.calibrate.diagnostics import CHANNELS_APART, GAIN_STEPS, Diagnostic, verdict
from dirtypixels.calibrate.noise.black import BlackLevel, black_level
from dirtypixels.calibrate.noise.exposures import FrameSet, frame_sets, label
from dirtypixels.calibrate.noise.level import NoiseEstimate, check_confidence, noise_level
from dirtypixels.calibrate.noise.linearity import drift, drift_diagnostics, linearity, linearity_diagnostics
from dirtypixels.calibrate.noise.patches import PlaneBlocks, block_diagnostics, patch_stack, plane_blocks
from dirtypixels.camera.noise import ExposureRule, NoiseCurve
from dirtypixels.raw.folders import read_frames
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import check_levels

Captures = str | Path | Sequence[Frame]
Progress = Callable[[int, int], object]

#: Gain that stands for one that no file states; the curve is then one line, and what it calls ISO is in its units.
ASSUMED_ISO = 100.0
#: Light of the brightest patches over that of the darkest, from which one exposure alone tells shot from read noise.
_ONE_EXPOSURE_RANGE = 4.0


class MeasuredCurve(NoiseCurve):
    """A `NoiseCurve` that was measured, with how sure it is and what spoke against it.

    Args:
        estimates: noise by (ISO, channel), channels "R", "G", "B", or "Y" of a monochrome sensor.
        black: black level by (ISO, plane), planes "R", "Gr", "Gb", "B", or "Y".
        white: DN at which the sensor saturates, by ISO.
        diagnostics: of the captures; of the estimates the warnings and failures (their notes stay with them).
        exposure: the rule that turns lux into ISO.
        method: how it was measured, a phrase.

    One gain, measured on pairs of patches in units of the signal:

        >>> import numpy as np
        >>> from dirtypixels.calibrate import noise_level
        >>> random = np.random.default_rng(0)
        >>> light = np.linspace(0.1, 0.8, 50)[:, None, None] * np.ones((2, 1, 16, 16))
        >>> noisy = 1e-3 * random.poisson(light / 1e-3) + random.normal(0, 5e-3, light.shape)
        >>> curve = MeasuredCurve({(100.0, "Y"): noise_level(noisy)}, {}, {100.0: 1.0}, ())
        >>> curve.passed, curve.reason
        (True, 'no check failed')
        >>> curve.rule
        'alpha and sigma are proportional to ISO, from the one gain measured, ISO 100'
        >>> round(float(curve.at_iso(400.0).alpha), 3)
        0.004
    """

    def __init__(
        self,
        estimates: dict[tuple[float, str], NoiseEstimate],
        black: dict[tuple[float, str], BlackLevel],
        white: dict[float, float],
        diagnostics: tuple[Diagnostic, ...],
        exposure: ExposureRule = ExposureRule(),  # noqa: B008 (immutable)
        method: str = "pairs of frames that differ by noise alone, fitted with the clipped model",
    ) -> None:
        gains = sorted({iso for iso, _ in estimates})
        channels = list(dict.fromkeys(channel for _, channel in estimates))
        order = [channel for channel in "RGBY" if channel in channels]
        table = np.array([[tuple(estimates[iso, channel]) for channel in order] for iso in gains])
        super().__init__(gains, table[:, :, 0], table[:, :, 1], exposure)
        self.estimates, self.black, self.white, self.diagnostics = estimates, black, white, diagnostics
        self.method = method

    @property
    def passed(self) -> bool:
        """Whether no diagnostic is a failure."""
        return verdict(self.diagnostics)[0]

    @property
    def reason(self) -> str:
        """The failures' messages, or that there was none."""
        return verdict(self.diagnostics)[1]

    @property
    def rule(self) -> str:
        """How the curve goes between the measured gains and outside of them, for people."""
        outside = "proportional to ISO outside of what was measured"
        if self.iso.size == 1:
            return f"alpha and sigma are proportional to ISO, from the one gain measured, ISO {self.iso[0]:g}"
        return f"alpha and sigma are linear in ISO between the {self.iso.size} gains measured, {outside}"


class _Gain(NamedTuple):
    """One gain: an estimate for each channel ("R", "G", "B" or "Y"), a black level for each plane, and diagnostics."""

    estimates: dict[str, NoiseEstimate]
    black: dict[str, BlackLevel]
    diagnostics: list[Diagnostic]


def noise_curve(
    captures: Captures,
    *,
    dark_frames: Captures | None = None,
    illuminance: Sequence[float] | npt.NDArray[Any] | None = None,
    black: float | None = None,
    white: float | None = None,
    confidence: float = 0.95,
    block: int = 32,
    patches: int = 2048,
    exposure: ExposureRule = ExposureRule(),  # noqa: B008 (immutable)
    progress: Progress | None = None,
) -> MeasuredCurve:
    """Measure a camera's noise from repeated frames of flat fields, a gray chart, or any scene that stands still.

    ``variance = alpha mean + sigma^2`` before clipping, for each gain and color channel.

    Frames of one gain, exposure time and illuminance differ by noise alone. Each color plane is cut into blocks, blocks
    with edges are left out, and the others are `noise_level`'s patches. The black level is measured where dark frames
    or three exposure times allow it, and compared with what the files state.

    Args:
        captures: a folder (see `read_frames`) or frames; at least two frames of each exposure, and at least two
            exposures unless the scene itself has bright and dark parts. Frames of exposure time 0 are dark.
        dark_frames: a folder or frames taken in the dark, lens cap on, of whatever exposure time.
        illuminance: (N,) at each of the captures, in any unit, 0 in the dark; None where it was the same for all.
        black: black level in DN where the files do not state it, or wrongly.
        white: DN at which the sensor saturates, where the files do not state it, or wrongly.
        confidence: of the intervals, in (0, 1).
        block: samples of a color plane along each side of a block, a multiple of 4, at least 8.
        patches: how many blocks of a gain and channel are used at most, spread over the levels; the standard errors
            fall with its root.
        exposure: the rule that turns lux into ISO, which captures do not tell.
        progress: called with how much is done, and of how much.

    Returns:
        The curve, with an estimate for each gain and channel; `passed` and `reason` say whether to trust it.

    Raises:
        TypeError: captures holds something else than frames.
        ValueError: captures are of several cameras, without pairs, of one exposure only, all saturated, of unknown
            black or white level, or an argument is out of range; the message says what was found.

    Source: Foi et al. 2008; Foi 2009; EMVA Standard 1288, Release 4.0 (linearity, dark current, pairs of frames).

    Pairs of flat fields of a sensor with 0.5 DN an electron, read noise of 3 DN and a black level of 64 DN:

        >>> import numpy as np
        >>> from dirtypixels.raw import Frame
        >>> random = np.random.default_rng(0)
        >>> def flat_field(seconds):
        ...     values = 64 + 0.5 * random.poisson(1500 * seconds, (64, 64)) + random.normal(0, 3, (64, 64))
        ...     values = values.round().astype(np.uint16)
        ...     return Frame(values, black=(64,) * 4, white=1023, iso=100, exposure_s=seconds)
        >>> curve = noise_curve([flat_field(t) for t in (0, 0.01, 0.1, 0.3, 1) for pair in range(2)], block=16)
        >>> curve.reason
        'no check failed'
        >>> gain, read_noise = curve.alpha * (1023 - 64), curve.sigma * (1023 - 64)
        >>> gain.round(1), read_noise.round()
        (array([0.5]), array([3.]))
    """
    check_confidence(confidence)
    if patches < 16:
        raise ValueError(f"patches must be at least 16; found {patches}")
    frames = _frames(captures, black, white)
    dark = [] if dark_frames is None else _frames(dark_frames, black, white)
    lights = [1.0] * len(frames) if illuminance is None else [float(value) for value in illuminance]
    if len(lights) != len(frames) or not all(0 <= value < np.inf for value in lights):
        raise ValueError(f"illuminance must be {len(frames)} finite numbers >= 0, one a capture; found {lights}")
    sets, found = frame_sets([*frames, *dark], [*lights, *[0.0] * len(dark)])
    diagnostics = list(found)
    gains: dict[float | None, list[FrameSet]] = {}
    for iso in dict.fromkeys(e.iso for e in sets):
        members = [e for e in sets if e.iso == iso]
        if any(not e.dark for e in members):
            gains[iso] = members
        else:
            text = f"{members[0].name}: dark frames and no lit ones; left out"
            diagnostics.append(Diagnostic("dark-only", "warning", text))
    if not gains:
        raise ValueError("captures must hold frames with light; found dark frames only")
    if None in gains:
        diagnostics.append(
            Diagnostic(
                "iso-unknown",
                "warning",
                f"the captures do not state their ISO; taken as {ASSUMED_ISO:g}, so that the curve's ISO means this "
                f"gain times ISO / {ASSUMED_ISO:g}",
            )
        )
    total = sum(len(members) for members in gains.values()) * len(frames[0].planes())
    done = 0

    def looked() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    measured = {
        ASSUMED_ISO if iso is None else iso: _measure_gain(members, block, patches, confidence, looked)
        for iso, members in gains.items()
    }
    for result in measured.values():
        diagnostics += result.diagnostics
    return MeasuredCurve(
        {(iso, channel): e for iso, result in measured.items() for channel, e in result.estimates.items()},
        {(iso, plane): b for iso, result in measured.items() for plane, b in result.black.items()},
        {iso: next(iter(result.estimates.values())).white for iso, result in measured.items()},
        (*diagnostics, *_gain_diagnostics(measured), *_channel_diagnostics(measured)),
        exposure,
    )


def _frames(captures: Captures, black: float | None, white: float | None) -> list[Frame]:
    if isinstance(captures, str | Path):
        return read_frames(captures, black=black, white=white)
    frames = list(captures)
    for found in frames:
        if not isinstance(found, Frame):
            raise TypeError(f"captures must be a folder, or Frames; found {type(found).__name__}")
    levels: dict[str, object] = {} if black is None else {"black": (float(black),) * 4}
    levels |= {} if white is None else {"white": float(white)}
    return [replace(frame, **levels) for frame in frames] if levels else frames  # type: ignore[arg-type]


def _measure_gain(
    sets: Sequence[FrameSet], block: int, patches: int, confidence: float, looked: Callable[[], object]
) -> _Gain:
    """Measure the noise of one gain; `looked` is called after each look at the blocks of a color plane."""
    frames = [frame for each in sets for frame in each.frames]
    iso, white, step = frames[0].iso, frames[0].white, _step(sets)
    if white is None:
        largest = max(float(frame.values.max()) for frame in frames)
        raise ValueError(
            f"white must be given where the files do not state it ({label(iso)}): the DN at which samples pile up in "
            f"an overexposed frame; the largest sample here is {largest:g}"
        )
    # Sensors clip at 0 DN; frames that had their black level taken off are negative and not clipped there.
    floor = 0.0 if all(float(frame.values.min()) >= 0 for frame in frames) else -np.inf
    planes: dict[str, list[PlaneBlocks]] = {plane: [] for plane in frames[0].planes()}
    for plane, blocks in planes.items():
        for each in sets:
            blocks.append(plane_blocks(each, plane, block, floor, white))
            looked()
    diagnostics: list[Diagnostic] = []
    black: dict[str, BlackLevel] = {}
    for plane, blocks in planes.items():
        stated, name = frames[0].black_of(plane), label(iso, plane)
        black[plane], found = black_level(
            blocks, stated, floor=floor, white=white, confidence=confidence, name=name, step=step
        )
        diagnostics += found
    _check_white(sets, black, white)
    lines = {label(iso, plane): linearity(blocks, black[plane].value, white) for plane, blocks in planes.items()}
    drifts = {
        f"{b.frame_set.name}{'' if plane == 'Y' else ', ' + plane}": drift(b, black[plane].value, white)
        for plane, blocks in planes.items()
        for b in blocks
    }
    # Whole frames say it better than patches do; of dim ones nothing is said.
    of_light = drift_diagnostics(drifts)
    diagnostics += [*linearity_diagnostics(lines), *of_light, *block_diagnostics([*chain(*planes.values())])]
    estimates: dict[str, NoiseEstimate] = {}
    for channel in dict.fromkeys(plane[0] for plane in planes):
        name = label(iso, channel)
        of_channel = [(b, black[plane].value) for plane, each in planes.items() if plane[0] == channel for b in each]
        blocks, blacks = [b for b, _ in of_channel], [level for _, level in of_channel]
        _check_levels_spread(blocks, blacks, name)
        stack, lowest, left_out = patch_stack(blocks, blacks, white, patches, name, floor, step)
        try:
            estimate = noise_level(stack, black=blacks[0], white=white, floor=lowest, step=step, confidence=confidence)
        except ValueError as error:
            raise ValueError(f"captures of {name} cannot be estimated from: {error}") from error
        estimates[channel] = _unsure_of_black(estimate, black[blocks[0].plane])
        diagnostics += left_out
        diagnostics += [
            replace(one, message=f"{name}: {one.message}")
            for one in estimate.diagnostics
            if (one.severity != "note" or one.kind == "residual") and not (of_light and one.kind == "drift")
        ]
    if defects := sum(int(e.patches.defects.sum()) for e in estimates.values()):
        pixels = defects + sum(int(e.patches.pixels.sum()) for e in estimates.values())
        diagnostics.append(
            Diagnostic(
                "defects",
                "note",
                f"{label(iso)}: {defects} of {pixels} pixels of the patches are defects, "
                f"{1e6 * defects / pixels:.0f} in a million, and were left out",
            )
        )
    return _Gain(estimates, black, diagnostics)


def _step(sets: Sequence[FrameSet]) -> float:
    """Distance between digital numbers: 1, or 16 for 12 bits shifted to 16; 0 where they are no whole numbers."""
    codes = np.unique(np.concatenate([np.unique(each.frames[0].values[::5]) for each in sets]))
    if not np.array_equal(codes, np.round(codes)):
        return 0.0
    codes = codes[:-1]  # the largest may be white, which need not lie on the grid of the others
    return float(np.gcd.reduce(np.diff(codes.astype(np.int64)))) if codes.size > 1 else 1.0


def _check_white(sets: Sequence[FrameSet], black: dict[str, BlackLevel], white: float) -> None:
    """Raise where frames pile up below white, or go above it."""
    uneven = []
    for each in sets:
        values = each.frames[0].values
        largest = float(values.max())
        if float(values.min()) < largest:
            uneven.append((float(values.mean()), each.frames[:2]))
        elif largest < white and not each.dark:
            raise ValueError(
                f"wrong white level: {each.frames[0].name} ({each.name}) is {largest:g} DN everywhere, as saturation "
                f"makes it, and {white:g} is stated: give white={largest:g}"
            )
    if uneven:
        a, b, c, d = [min(level.value, white - 1) for level in black.values()] * (4 // len(black))
        brightest = max(uneven, key=lambda pair: pair[0])[1]
        check_levels(replace(frame, black=(a, b, c, d), exposure_s=None) for frame in brightest)


def _check_levels_spread(blocks: Sequence[PlaneBlocks], blacks: Sequence[float], name: str) -> None:
    """Raise where there is nothing to see, or all of one light."""
    light = [
        level
        for b, black in zip(blocks, blacks, strict=True)
        for level in (b.mean - black)[b.smooth & ~b.saturated]
        if not b.frame_set.dark
    ]
    if not light:
        raise ValueError(
            f"captures of {name} must hold light that the sensor can tell: every block is saturated or holds edges; "
            f"expose shorter, and photograph something plain, like a white sheet out of focus"
        )
    low, high = np.quantile(light, (0.05, 0.95))
    first = blocks[0].frame_set
    if all(b.frame_set is first for b in blocks) and not high > _ONE_EXPOSURE_RANGE * low:
        raise ValueError(
            f"captures of {name} must be of two exposures or more; found one only ({first.name}), and its light "
            f"differs by a factor of {high / max(low, 1e-9):.2g} over the frame: shot and read noise cannot be told "
            f"apart. Take pairs of about ten exposure times from black to white, or dark frames, or a scene of many "
            f"grays{'; state the exposure times if there were several' if first.exposure_s is None else ''}"
        )


def _unsure_of_black(estimate: NoiseEstimate, black: BlackLevel) -> NoiseEstimate:
    """The estimate, less sure of sigma where black was measured or is doubted: an error e adds alpha e to sigma^2."""
    if black.interval is None or (black.value == black.given and not black.doubted):
        return estimate
    reach = float(norm.ppf((1 + estimate.confidence) / 2))
    error = (black.interval[1] - black.interval[0]) / 2 / reach / (estimate.white - estimate.black)
    covariance = estimate.covariance + np.diag([0.0, (estimate.alpha * error) ** 2])
    variances = estimate.sigma**2 + np.array([-reach, reach]) * np.sqrt(covariance[1, 1])
    low, high = np.sqrt(np.maximum(variances, 0.0)).tolist()
    return estimate.replaced(covariance=covariance, sigma_interval=(low, high))


def _gain_diagnostics(results: dict[float, _Gain]) -> Iterator[Diagnostic]:
    """Whether alpha follows the gain."""
    gains = sorted(results)
    for channel in results[gains[0]].estimates if len(gains) > 1 else ():
        estimates = [results[iso].estimates[channel] for iso in gains]
        name = "" if channel == "Y" else f"{channel}: "
        falling = [
            f"{one:g} and {other:g}"
            for one, other, a, b in zip(gains, gains[1:], estimates, estimates[1:], strict=False)
            if b.alpha_interval[1] < a.alpha_interval[0]
        ]
        if falling:
            yield Diagnostic(
                "gain-order",
                "warning",
                f"{name}alpha falls between ISO {', '.join(falling)}, where more gain should raise "
                f"it; look at whether the captures state the right ISO",
            )
            continue
        ratio = np.array([e.alpha / iso for e, iso in zip(estimates, gains, strict=True)])
        off = ratio / np.median(ratio) - 1
        worst = int(np.abs(off).argmax())
        if abs(off[worst]) > GAIN_STEPS:
            yield Diagnostic(
                "gain-steps",
                "note",
                f"{name}alpha is not proportional to ISO: at ISO {gains[worst]:g} {off[worst]:+.0%} "
                f"from what the others have on each unit of ISO; cameras switch amplifiers, or scale digitally",
            )


def _channel_diagnostics(results: dict[float, _Gain]) -> Iterator[Diagnostic]:
    """Whether the color channels have one gain."""
    for iso, result in results.items():
        by_alpha = sorted(result.estimates.items(), key=lambda item: item[1].alpha)
        (low, least), (high, most) = by_alpha[0], by_alpha[-1]
        if most.alpha_interval[0] > least.alpha_interval[1] and most.alpha > CHANNELS_APART * least.alpha:
            yield Diagnostic(
                "channels",
                "note",
                f"ISO {iso:g}: alpha of {high} is {most.alpha / max(least.alpha, 1e-300):.2f} times that of {low}; "
                f"a sensor has one gain, so the camera scales its channels, or they see a response that bends",
            )
