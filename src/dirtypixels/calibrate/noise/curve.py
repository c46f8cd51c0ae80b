"""A camera's noise over gain, measured from captures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic, verdict
from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.calibrate.noise.exposures import exposures_of
from dirtypixels.calibrate.noise.gain import GainResult, Settings, measure_gain
from dirtypixels.calibrate.noise.level import NoiseEstimate, check_confidence
from dirtypixels.camera.noise import ExposureRule, NoiseCurve
from dirtypixels.raw.folders import read_frames
from dirtypixels.raw.frames import Frame

Captures = str | Path | Sequence[Frame]
Progress = Callable[[int, int], object]

#: Gain that stands for one that no file states; the curve is then one line, and what it calls ISO is in its units.
ASSUMED_ISO = 100.0
_OFF_PROPORTIONAL = 0.10
_CHANNELS_APART = 1.05


class MeasuredCurve(NoiseCurve):
    """A `NoiseCurve` that was measured, with how sure it is and what spoke against it.

    Args:
        estimates: noise by (ISO, channel), channels "R", "G", "B", or "Y" of a monochrome sensor.
        black: black level by (ISO, plane), planes "R", "Gr", "Gb", "B", or "Y".
        white: DN at which the sensor saturates, by ISO.
        diagnostics: of the captures; of the estimates the warnings and failures (their notes stay with them).
        exposure: the rule that turns lux into ISO.
        method: how it was measured, a phrase.
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


def noise_curve(
    captures: Captures,
    *,
    darks: Captures | None = None,
    light: Sequence[float] | npt.NDArray[Any] | None = None,
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

    Frames of one gain, exposure time and light are an exposure: they differ by noise alone. Each color plane is cut
    into blocks, blocks with edges are left out, and the others are `noise_level`'s patches. The black level is measured
    where dark frames or three exposure times allow it, and compared with what the files state.

    Args:
        captures: a folder (see `read_frames`) or frames; at least two frames of each exposure, and at least two
            exposures unless the scene itself has bright and dark parts. Frames of exposure 0 are dark.
        darks: a folder or frames taken in the dark, lens cap on, of whatever exposure time.
        light: (N,) brightness of the light at each of the captures, in any unit, 0 in the dark; None where it was the
            same for all.
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
    """
    check_confidence(confidence)
    if patches < 16:
        raise ValueError(f"patches must be at least 16; found {patches}")
    lit = _frames(captures, black, white)
    dark = [] if darks is None else _frames(darks, black, white)
    lights = [1.0] * len(lit) if light is None else [float(value) for value in light]
    brightness = None if light is None and not dark else [*lights, *[0.0] * len(dark)]
    if light is not None and len(light) != len(lit):
        raise ValueError(f"light must be {len(lit)} numbers, one a capture; found {len(light)}")
    exposures, found = exposures_of([*lit, *dark], brightness)
    diagnostics = list(found)
    gains = {e.iso: [other for other in exposures if other.iso == e.iso] for e in exposures}
    for iso, members in list(gains.items()):
        if all(e.dark for e in members):
            diagnostics.append(
                Diagnostic("dark-only", "warning", f"{members[0].name}: dark frames and no lit ones; left out")
            )
            del gains[iso]
    if not gains:
        raise ValueError("captures must hold frames with light; found dark frames only")
    settings = Settings(block, patches, confidence)
    total = sum(len(members) for members in gains.values()) * (1 if lit[0].cfa is None else 4)
    done = 0

    def surveyed() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    results = {iso: measure_gain(members, settings, surveyed) for iso, members in gains.items()}
    if None in results:
        diagnostics.append(
            Diagnostic(
                "iso-unknown",
                "warning",
                f"the captures do not state their ISO; taken as {ASSUMED_ISO:g}, so that the curve's ISO means this "
                f"gain times ISO / {ASSUMED_ISO:g}",
            )
        )
    named = {ASSUMED_ISO if iso is None else iso: result for iso, result in results.items()}
    for result in named.values():
        diagnostics.extend(result.diagnostics)
    diagnostics.extend(_gain_diagnostics(named))
    diagnostics.extend(_channel_diagnostics(named))
    return MeasuredCurve(
        {(iso, channel): e for iso, result in named.items() for channel, e in result.estimates.items()},
        {(iso, plane): b for iso, result in named.items() for plane, b in result.black.items()},
        {iso: next(iter(result.estimates.values())).white for iso, result in named.items()},
        tuple(diagnostics),
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


def _gain_diagnostics(results: dict[float, GainResult]) -> list[Diagnostic]:
    """Whether alpha follows the gain."""
    gains = sorted(results)
    found = []
    for channel in results[gains[0]].estimates if len(gains) > 1 else ():
        estimates = [results[iso].estimates[channel] for iso in gains]
        falling = [
            f"{one:g} and {other:g}"
            for one, other, a, b in zip(gains, gains[1:], estimates, estimates[1:], strict=False)
            if b.alpha_interval[1] < a.alpha_interval[0]
        ]
        if falling:
            found.append(
                Diagnostic(
                    "gain-order",
                    "warning",
                    f"{_channel(channel)}alpha falls between ISO {', '.join(falling)}, where more gain should raise "
                    f"it; look at whether the captures state the right ISO",
                )
            )
            continue
        ratio = np.array([e.alpha / iso for e, iso in zip(estimates, gains, strict=True)])
        off = ratio / np.median(ratio) - 1
        worst = int(np.abs(off).argmax())
        if abs(off[worst]) > _OFF_PROPORTIONAL:
            found.append(
                Diagnostic(
                    "gain-steps",
                    "note",
                    f"{_channel(channel)}alpha is not proportional to ISO: at ISO {gains[worst]:g} {off[worst]:+.0%} "
                    f"from what the others have on each unit of ISO; cameras switch amplifiers, or scale digitally",
                )
            )
    return found


def _channel_diagnostics(results: dict[float, GainResult]) -> list[Diagnostic]:
    """Whether the color channels have one gain."""
    found = []
    for iso, result in results.items():
        by_alpha = sorted(result.estimates.items(), key=lambda item: item[1].alpha)
        (low, least), (high, most) = by_alpha[0], by_alpha[-1]
        if most.alpha_interval[0] > least.alpha_interval[1] and most.alpha > _CHANNELS_APART * least.alpha:
            found.append(
                Diagnostic(
                    "channels",
                    "note",
                    f"ISO {iso:g}: alpha of {high} is {most.alpha / max(least.alpha, 1e-300):.2f} times that of {low}; "
                    f"a sensor has one gain, so the camera scales its channels, or they see a response that bends",
                )
            )
    return found


def _channel(name: str) -> str:
    return "" if name == "Y" else f"{name}: "
