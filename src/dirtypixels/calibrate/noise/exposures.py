"""Frames sorted into sets of one gain, exposure time and illuminance, which differ by noise alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.raw.agreement import check_same_camera
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import WANDER, exposure_line, rounding
from dirtypixels.raw.tiles import MANY, tiles

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Brightest over darkest of frames that are said to be one exposure: more is another exposure, and no drift of a lamp.
_ONE_ILLUMINANCE = 1.5
_SEEN = 5e-3  # of the range: frames that differ by less are all of one exposure

_DARK = 0.25  # of what its exposure time would give: a frame with less has seen no light, and one with more has
_LIT = 0.02  # of the brightest frame that is not saturated: from there on a frame has seen light
_LEAST = 1e-4  # of the range: less light is not told from none by a level that is stated
_NOMINAL = 0.014  # error of exposure times as cameras write them, 1/60 s for 1/64 s; more where the means say so
_UNKNOWN = 0.035  # and where they cannot say
_NAMED = 6  # frames that a note names


@dataclass(frozen=True)
class FrameSet:
    """Repeated frames of one unchanged scene.

    Args:
        iso: gain; None where unknown.
        exposure_s: exposure time in seconds; None where unknown.
        illuminance: how bright the light was, relative to that of the other sets; 0 in the dark.
        frames: (F,) the frames, F >= 2.
    """

    iso: float | None
    exposure_s: float | None
    illuminance: float
    frames: tuple[Frame, ...]

    @property
    def dark(self) -> bool:
        """Whether no light fell on the sensor."""
        return self.illuminance == 0 or self.exposure_s == 0

    @property
    def exposure(self) -> float | None:
        """Illuminance x exposure time, what the mean should be proportional to; None where the time is unknown."""
        return 0.0 if self.dark else None if self.exposure_s is None else self.exposure_s * self.illuminance

    @property
    def name(self) -> str:
        """For messages: "ISO 100, 0.01 s"."""
        gain = "unknown ISO" if self.iso is None else f"ISO {self.iso:g}"
        time = "unknown exposure time" if self.exposure_s is None else f"{self.exposure_s:g} s"
        light = "dark" if self.dark else "" if self.illuminance == 1 else f"illuminance {self.illuminance:g}"
        return ", ".join(filter(None, (gain, time, light)))


def label(iso: float | None, part: str = "") -> str:
    """For messages: "ISO 100, R"; what a monochrome sensor without known gain has no name for is "the sensor"."""
    gain = "" if iso is None else f"ISO {iso:g}"
    return ", ".join(filter(None, (gain, "" if part == "Y" else part))) or "the sensor"


def frame_sets(
    frames: Sequence[Frame], illuminance: Sequence[float] | None = None
) -> tuple[list[FrameSet], tuple[Diagnostic, ...]]:
    """Sort frames into sets, by gain, then by exposure.

    Frames taken with the lens cap on are dark frames, whatever exposure time they state (see `recognize_dark_frames`).

    Args:
        frames: of one camera and one sensor layout.
        illuminance: (N,) at each frame in any unit, >= 0, 0 in the dark; None where it was the same for all.

    Returns:
        The sets of at least two frames; a note of frames that were recognized as dark, and a warning for each frame
        that is alone and therefore left out.

    Raises:
        ValueError: there is no frame; the frames are of several cameras, sizes or color layouts; the gain, or within
            one gain the exposure time, is known of some only; it is unknown of frames of unlike brightness; no set has
            two frames.
    """
    if not frames:
        raise ValueError("captures must hold at least two frames of two exposures; found none")
    _check_alike(frames)
    lights, recognized = recognize_dark_frames(frames, [1.0] * len(frames) if illuminance is None else illuminance)
    members: dict[tuple[float | None, float | None, float], list[Frame]] = defaultdict(list)
    for frame, light in zip(frames, lights, strict=True):
        members[frame.iso, frame.exposure_s, light].append(frame)
    sets = [FrameSet(*key, tuple(each)) for key, each in members.items()]
    for each in sets:
        _check_one_exposure(each.frames)
    alone = [each for each in sets if len(each.frames) == 1]
    if len(alone) == len(sets):
        raise ValueError(
            f"captures must hold at least two frames of each exposure, so that what does not change between them "
            f"cancels; found {len(alone)} exposures with one frame each. Take every exposure twice, or use "
            f"single_image_curve (--from single-image), which takes single frames"
        )
    warnings = tuple(
        Diagnostic(
            "single-frame",
            "warning",
            f"{each.name}: only one frame ({each.frames[0].name}), left out; take every exposure twice",
        )
        for each in alone
    )
    kept = [each for each in sets if len(each.frames) > 1]
    return sorted(kept, key=lambda e: (e.iso or 0.0, e.exposure or 0.0, e.exposure_s or 0.0)), recognized + warnings


def _check_alike(frames: Sequence[Frame]) -> None:
    check_same_camera(frames, levels_may_follow_iso=True)
    without = next((frame.name for frame in frames if frame.iso is None), None)
    if without and any(frame.iso is not None for frame in frames):
        raise ValueError(f"captures must all say their ISO, or none of them; found none in {without}")
    timed = {frame.iso for frame in frames if frame.exposure_s is not None}
    without = next((frame.name for frame in frames if frame.exposure_s is None and frame.iso in timed), None)
    if without:
        raise ValueError(
            f"captures of one ISO must all say their exposure time, or none of them; found none in {without}"
        )


def _check_one_exposure(frames: Sequence[Frame]) -> None:
    """Raise where frames of unknown exposure time, taken for one exposure, are as unlike as several."""
    if frames[0].exposure_s is not None or len(frames) < 2:
        return
    black = min(frames[0].black or (0.0,))
    white = max(float(frame.values.max()) for frame in frames) if frames[0].white is None else frames[0].white
    light = [_brightness(frame.values).level - black for frame in frames]
    darkest, brightest = int(np.argmin(light)), int(np.argmax(light))
    apart = light[brightest] - light[darkest]
    if apart > _SEEN * (white - black) and apart > (_ONE_ILLUMINANCE - 1) * light[darkest]:
        raise ValueError(
            f"captures must state exposure_s (in captures.csv, see docs/calibrate.md) where they are of several "
            f"exposures; found none in {frames[darkest].name}, of {light[darkest]:.4g} DN above black, and in "
            f"{frames[brightest].name}, of {light[brightest]:.4g} DN"
        )


def recognize_dark_frames(
    frames: Sequence[Frame], illuminance: Sequence[float]
) -> tuple[list[float], tuple[Diagnostic, ...]]:
    """The illuminance at each frame, 0 where the lens cap was on though the frame states an exposure time.

    A frame ``mean = black + slope * exposure`` is a dark one where all its planes are even and hold less than a quarter
    of the ``slope * exposure`` that the other frames of its gain give it. Black is where the line through those others
    starts; where their exposure times are too inexact for that, it is what is stated, or 0 DN where nothing is. A short
    exposure of a series lies on the line, and is not taken for dark.

    Args:
        illuminance: (N,) at each frame, 0 in the dark.

    Returns:
        The illuminances, and a note for each gain that has such frames.
    """
    result, diagnostics = list(illuminance), []
    for iso in dict.fromkeys(frame.iso for frame in frames):
        places = [i for i, f in enumerate(frames) if f.iso == iso and f.exposure_s is not None and f.white is not None]
        exposure = np.array([(frames[i].exposure_s or 0.0) * illuminance[i] for i in places])
        if not exposure.any():
            continue
        found = [places[k] for k in np.flatnonzero(_are_dark([frames[i] for i in places], exposure))]
        if not found:
            continue
        for place in found:
            result[place] = 0.0
        gain = "" if iso is None else f"{label(iso)}: "
        names = ", ".join(frames[i].name for i in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        times = ", ".join(f"{t:g}" for t in sorted({frames[i].exposure_s or 0.0 for i in found}))
        diagnostics.append(
            Diagnostic(
                "dark-recognized",
                "note",
                f"{gain}{len(found)} frames taken as dark, as with the lens cap on, since they are black and their "
                f"exposure time of {times} s would have given light: {names}{more}",
            )
        )
    return result, tuple(diagnostics)


def _are_dark(frames: Sequence[Frame], exposure: Array) -> Mask:
    """(N,) which frames of one gain saw no light though their exposure is above 0: some plane says so, and none not."""
    dark, lit = np.zeros(len(frames), dtype=bool), np.zeros(len(frames), dtype=bool)
    for plane in frames[0].planes():
        seen = _Brightness(*np.array([_brightness(frame.planes()[plane]) for frame in frames]).T)
        says_dark, says_lit = _judge(seen, exposure, frames[0], frames[0].black_of(plane))
        dark |= says_dark
        lit |= says_lit
    return np.asarray(dark & ~lit)


class _Brightness(NamedTuple):
    """How bright a plane is, whatever it shows, DN; floats, or (N,) of several frames."""

    level: Any  # median over blocks of their means, so that hot pixels, edges and rounding are of little matter
    error: Any  # of it, by noise
    uneven: Any  # by how much blocks differ (from the 5th to the 95th percentile) beyond noise


def _brightness(values: npt.NDArray[Any]) -> _Brightness:
    """Of a plane (H, W) or of a mosaic, from blocks spread over it."""
    blocks = tiles(values, MANY).astype(np.float32)
    means, noise = blocks.mean((1, 3), dtype=np.float64), float(np.median(blocks.std((1, 3)))) / blocks.shape[1]
    low, high = np.quantile(means, (0.05, 0.95))
    return _Brightness(float(np.median(means)), noise / np.sqrt(means.size), max(float(high - low) - 4 * noise, 0.0))


def _judge(seen: _Brightness, exposure: Array, frame: Frame, stated: float | None) -> tuple[Mask, Mask]:
    """(N,) of which frames one plane says that they saw no light, and that they saw some."""
    level, white = seen.level, frame.white or 0.0
    above = level - level.min()
    span, rounded = white - (stated or 0.0), rounding(frame, white)
    wander = WANDER * span + rounded
    unsaturated = level < white - 0.1 * (white - level.min())
    least = max(_LIT * float(above[unsaturated].max(initial=0.0)), wander)
    lit = unsaturated & (exposure > 0) & (above > least)
    candidates = (exposure > 0) & (above <= least)
    if not lit.any() or not candidates.any():
        return np.zeros_like(lit), np.zeros_like(lit)
    black, light, sure, near = np.zeros_like(level), np.zeros_like(level), np.zeros_like(lit), np.zeros_like(lit)
    # Where a stated level is trusted: it gives the frame enough light to be seen, and the frame is near it.
    if stated is not None or float(level.min()) >= 0:
        black += stated or 0.0
        light = float(np.median((level - black)[lit] / exposure[lit])) * exposure
        near = _DARK * light > _LEAST * span + rounded + 3 * seen.error
        near &= (np.abs(level - black) < wander) | (stated is None)
    # Where the line through the other frames is: it is sure enough to tell the frame's light from none.
    used = lit | (exposure == 0)
    if (different := np.unique(exposure[used]).size) > 1:
        means = exposure[used], level[used], seen.error[used] ** 2
        light_error = _NOMINAL if different > 2 else _UNKNOWN
        line = exposure_line(*means, light_error * max(1.0, exposure_line(*means, light_error).scatter))
        sure = (line.slope > 0) & (3 * np.hypot(line.error, seen.error) < _DARK * line.slope * exposure)
        black, light = np.where(sure, line.start, black), np.where(sure, line.slope * exposure, light)
    dark = candidates & (sure | near) & (np.abs(level - black) < _DARK * light) & (seen.uneven < _DARK * light)
    return dark, candidates & sure & ~dark
