"""What the black of a printed chart says of the black level that was taken away."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dirtypixels.calibrate.diagnostics import Diagnostic

_NEUTRAL = 0.15
"""By how much of itself the reflectance of printed black differs between colors."""

_INK = 0.04
"""Reflectance of black over that of paper that is counted with at least."""


def darkness(black: Mapping[str, float], white: Mapping[str, float], step_dn: float) -> tuple[Diagnostic, ...]:
    """A warning where the chart's black does not fall to 0 with its white from one color of the sensor to another.

    ``black_c = offset (1 - r) + r white_c``, r the reflectance of black ink over that of paper

    Ink and the glare of an even surround are gray: of the light of each color, black has the same share. A black level
    that is wrong adds as much to every color. So the line through the colors meets 0 at the offset. It cannot be
    told on a monochrome sensor, nor where the colors are about as bright as each other, nor if it is below what
    ink that is not quite gray would make (some 3 % of the white level). PSFs do not depend on it.

    Args:
        black: signal of the chart's black in each plane.
        white: signal of its white in each plane.
        step_dn: DN from the stated black level to the white level.
    """
    colors: dict[str, list[str]] = {}
    for plane in black:
        colors.setdefault(plane[0], []).append(plane)
    if len(colors) < 3:
        return ()
    b, w = (np.array([np.mean([of[p] for p in planes]) for planes in colors.values()]) for of in (black, white))
    away = w - w.mean()
    spread = float(away @ away)
    if not spread > 0:
        return ()
    # Weights of the colors in the least-squares line's value at white = 0, and its slope.
    weights = 1 / len(w) - w.mean() * away / spread
    start, slope = float(weights @ b), float(away @ b) / spread
    error = float(np.linalg.norm(weights * _NEUTRAL * np.maximum(b - start, _INK * w)))
    if abs(start) < 2 * error or not slope < 0.5:
        return ()
    offset = start / (1 - slope)
    seen = ", ".join(f"{name} {x:.3f} and {y:.3f}" for name, x, y in zip(colors, b, w, strict=True))
    return (
        Diagnostic(
            "black-offset",
            "warning",
            f"the stated black level seems to be {abs(offset) * step_dn:.0f} DN too {'low' if offset > 0 else 'high'} "
            f"(or there is colored glare on the chart): its black and white have a signal of {seen}, and a line "
            f"through them begins at {start:.3f}. PSFs do not depend on the level; what a profile says of it does",
        ),
    )
