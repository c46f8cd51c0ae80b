"""The sensor as captures describe it: its colors, and its levels as stated or measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dirtypixels.calibrate.noise.black import BlackLevel
from dirtypixels.camera.schema import Sensor
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import alike_within

_MEASURED = {
    "dark frames": "measured on dark frames",
    "intercept": "extrapolated to no light",
    "given": "as stated, not checked",
}
_CONFIRMED = {"dark frames": "as stated, confirmed by dark frames", "intercept": "as stated, confirmed by exposures"}


def sensor_of(frames: Sequence[Frame], black: Mapping[tuple[float, str], BlackLevel] | None = None) -> Sensor | None:
    """The sensor that frames of one camera describe; None where its levels are not known.

    One level is written for all gains. Where they have different ones, it is that of the lowest gain, as the source
    then says; a mean would be the level of none.

    Args:
        frames: at least one.
        black: measured black levels by (ISO, plane); None takes what the frames state.
    """
    first = frames[0]
    if black:
        levels: dict[float, list[float]] = {}
        for (iso, _), level in sorted(black.items()):
            levels.setdefault(iso, []).append(level.value)
        how = ", or ".join(sorted({_how(level) for level in black.values()}))
    else:
        levels = {f.iso or 0.0: list(f.black) for f in reversed(frames) if f.black is not None}
        how = "as stated"
    whites = {f.iso or 0.0: [f.white] for f in reversed(frames) if f.white is not None}
    if not levels or not whites:
        return None
    agree = alike_within(max(each[0] for each in whites.values()))
    dark, dark_note = _one_level(levels, agree)
    white, white_note = _one_level(whites, agree)
    return Sensor.model_validate(
        {
            "cfa": first.cfa,
            "black_level": dark,
            "white_level": white,
            "source": f"Black level {how}{dark_note}. White level as stated{white_note}.",
        }
    )


def _how(level: BlackLevel) -> str:
    """How a black level was found, a phrase."""
    if level.given is None or level.source == "given":
        return _MEASURED[level.source]
    if level.doubted:
        return "as stated, which the exposures do not confirm"
    if level.value == level.given:
        return _CONFIRMED[level.source]
    return f"{_MEASURED[level.source]}, though {level.given:g} DN is stated"


def _one_level(of_gain: Mapping[float, Sequence[float]], agree: float) -> tuple[float, str]:
    """The level of all gains, or of the lowest where they differ by more than `agree`; and what is to be said of it."""
    means = {iso: float(np.mean(levels)) for iso, levels in of_gain.items()}
    least, most = min(means, key=lambda iso: means[iso]), max(means, key=lambda iso: means[iso])
    lowest = min(means)
    notes = []
    level = float(np.mean(list(means.values())))
    if means[most] - means[least] > agree:
        level = means[lowest]
        notes.append(
            f"that of ISO {lowest:g}, as it differs between gains: {means[least]:g} DN at ISO {least:g}, "
            f"{means[most]:g} DN at ISO {most:g}"
        )
    colors = of_gain[lowest]
    if max(colors) - min(colors) > agree:
        notes.append(f"the mean of its colors' {min(colors):g} to {max(colors):g} DN")
    return level, "".join(f", {note}" for note in notes)
