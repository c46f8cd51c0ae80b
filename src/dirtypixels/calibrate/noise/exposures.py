"""Frames sorted into exposures: frames of one gain, exposure time and light, which differ by noise alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise.brightness import brightness
from dirtypixels.calibrate.noise.capped import without_light
from dirtypixels.raw.agreement import check_same_camera
from dirtypixels.raw.frames import Frame

#: Brightest over darkest of frames that are said to be one exposure: more is another exposure, and no drift of a lamp.
_ONE_LIGHT = 1.5
_SEEN = 5e-3  # of the range: frames that differ by less are all of one exposure


@dataclass(frozen=True)
class Exposure:
    """Repeated frames of one unchanged scene.

    Args:
        iso: gain; None where unknown.
        seconds: exposure time; None where unknown.
        light: how bright the light was, against the other exposures; 0 in the dark.
        frames: (F,) the frames, F >= 2.
    """

    iso: float | None
    seconds: float | None
    light: float
    frames: tuple[Frame, ...]

    @property
    def dark(self) -> bool:
        """Whether no light fell on the sensor."""
        return self.light == 0 or self.seconds == 0

    @property
    def dose(self) -> float | None:
        """Exposure time x light, what the mean should be proportional to; None where the time is unknown."""
        return 0.0 if self.dark else None if self.seconds is None else self.seconds * self.light

    @property
    def name(self) -> str:
        """For messages: "ISO 100, 0.01 s"."""
        gain = "unknown ISO" if self.iso is None else f"ISO {self.iso:g}"
        time = "unknown exposure time" if self.seconds is None else f"{self.seconds:g} s"
        light = "dark" if self.dark else "" if self.light == 1 else f"light {self.light:g}"
        return ", ".join(filter(None, (gain, time, light)))


def exposures_of(
    frames: Sequence[Frame], light: Sequence[float] | None = None
) -> tuple[list[Exposure], tuple[Diagnostic, ...]]:
    """Sort frames into exposures, by gain, then by exposure time x light.

    Frames taken with the lens cap on are dark exposures, whatever exposure time they state (see `without_light`).

    Args:
        frames: of one camera and one sensor layout.
        light: (N,) of each frame, >= 0, 0 in the dark; None for the same light in all.

    Returns:
        The exposures with at least two frames each; a note of frames that were recognized as dark, and a warning for
        each frame that is alone and therefore left out.

    Raises:
        TypeError: frames holds something else than Frames.
        ValueError: there is no frame; the frames are of several cameras, sizes or color layouts; the gain, or within
            one gain the exposure time, is known of some only; it is unknown of frames of unlike brightness; no exposure
            has two frames; light does not fit.
    """
    for found in frames:
        if not isinstance(found, Frame):
            raise TypeError(f"captures must hold Frames, as read_frames gives them; found {type(found).__name__}")
    if not frames:
        raise ValueError("captures must hold at least two frames of two exposures; found none")
    lights = [1.0] * len(frames) if light is None else [float(v) for v in light]
    if len(lights) != len(frames) or not all(0 <= v < float("inf") for v in lights):
        raise ValueError(f"light must be {len(frames)} finite numbers >= 0, one a frame; found {lights}")
    _check_alike(frames)
    lights, recognized = without_light(frames, lights)
    groups: dict[tuple[float | None, float | None, float], list[Frame]] = defaultdict(list)
    for frame, one in zip(frames, lights, strict=True):
        groups[frame.iso, frame.exposure_s, one].append(frame)
    for members in groups.values():
        _check_one_exposure(members)
    found_exposures = [Exposure(*key, tuple(members)) for key, members in groups.items()]
    alone = [e for e in found_exposures if len(e.frames) == 1]
    if len(alone) == len(found_exposures):
        raise ValueError(
            f"captures must hold at least two frames of each exposure, so that what does not change between them "
            f"cancels; found {len(alone)} exposures with one frame each. Take every exposure twice, or use "
            f"single_image_curve (--from single-image), which takes single frames"
        )
    warnings = tuple(
        Diagnostic(
            "single-frame",
            "warning",
            f"{e.name}: only one frame ({e.frames[0].name}), left out; take every exposure twice",
        )
        for e in alone
    )
    kept = [e for e in found_exposures if len(e.frames) > 1]
    return sorted(kept, key=lambda e: (e.iso or 0.0, e.dose or 0.0, e.seconds or 0.0)), recognized + warnings


def _check_alike(frames: Sequence[Frame]) -> None:
    check_same_camera(frames, levels_may_follow_iso=True)
    if len({frame.iso is None for frame in frames}) > 1:
        without = next(frame.name for frame in frames if frame.iso is None)
        raise ValueError(f"captures must all say their ISO, or none of them; found none in {without}")
    for iso in {frame.iso for frame in frames}:
        known = {frame.exposure_s is None for frame in frames if frame.iso == iso}
        if len(known) > 1:
            without = next(frame.name for frame in frames if frame.iso == iso and frame.exposure_s is None)
            raise ValueError(
                f"captures of one ISO must all say their exposure time, or none of them; found none in {without}"
            )


def _check_one_exposure(frames: Sequence[Frame]) -> None:
    """Raise where frames of unknown exposure time, taken for one exposure, are as unlike as several."""
    if frames[0].exposure_s is not None or len(frames) < 2:
        return
    black = min(frames[0].black or (0.0,))
    white = max(float(frame.values.max()) for frame in frames) if frames[0].white is None else frames[0].white
    light = [brightness(frame.values).level - black for frame in frames]
    darkest, brightest = int(np.argmin(light)), int(np.argmax(light))
    apart = light[brightest] - light[darkest]
    if apart > _SEEN * (white - black) and apart > (_ONE_LIGHT - 1) * light[darkest]:
        raise ValueError(
            f"captures must state exposure_s (in captures.csv, see docs/calibrate.md) where they are of several "
            f"exposures; found none in {frames[darkest].name}, of {light[darkest]:.4g} DN above black, and in "
            f"{frames[brightest].name}, of {light[brightest]:.4g} DN"
        )
