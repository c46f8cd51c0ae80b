"""What a calibration says of itself: notes, warnings and failures, each of a kind from a closed set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic.dataclasses import dataclass

from dirtypixels.camera import schema

Severity = schema.Severity

Kind = Literal[
    # the light and the frames
    "steady-light", "drift", "linearity", "non-linear", "structure", "saturated", "clipping", "single-frame",
    "unused-frames", "blocks-chosen", "iso-unknown", "dark-only", "dark-recognized",
    # black level
    "black-level", "black-intercept", "black-doubted", "black-offset", "black-unchecked", "clipped-dark",
    # the fitted noise
    "residual", "not-converged", "few-levels", "few-samples", "short-range", "sigma-unseen", "hidden-sigma",
    "not-white", "smooth-parts", "unsettled", "channels", "gain-order", "gain-steps", "hot-pixels", "defects",
    # the lens
    "too-dark", "low-contrast", "dot-gain", "uneven", "noisy", "alignment", "not-flat", "cut-off",
    "hidden-markers", "turned", "cell-size", "untrusted-blocks", "psf-between", "psf-changes",
    "psf-cut-off", "psf-error", "psf-size",
    # figures of somebody else
    "other-profile", "range", "demosaicked", "skipped", "not-measured", "negative-variance", "repeated",
    "noise-reduction", "spread", "row-noise", "heavy-tails", "quantization",
]  # fmt: skip
"""Every kind of diagnostic there is; a program may rely on these words."""


@dataclass(frozen=True)
class Diagnostic(schema.Diagnostic):
    """One sentence about a measurement, for people, and a word for programs.

    Args:
        kind: one of `Kind`.
        severity: "note" is worth knowing, "warning" costs accuracy, "failure": the result is not to be trusted.
        message: what was found, with its figure, and what it means or what to do.
    """

    kind: Kind


def verdict(diagnostics: Iterable[schema.Diagnostic]) -> tuple[bool, str]:
    """Whether a result can be trusted, and why not: the failures' messages, or that there was none."""
    failures = [diagnostic.message for diagnostic in diagnostics if diagnostic.severity == "failure"]
    return not failures, "; ".join(failures) or "no check failed"


# The light, from frame to frame of one exposure. Drift leaves the variance alone (each frame's mean is taken off) but
# for what clips: there, the variance of a patch is that of its mean light.
DRIFT_NOTE = 0.005
"""Relative change of the light that is worth knowing."""
DRIFT_WARNING = 0.02
"""Relative change of the light from which it is worth another capture."""
DRIFT_FAILURE = 0.10
"""Relative change of the light from which the frames are not of one exposure."""

# The light from exposure to exposure, and the frames.
NONLINEAR_WARNING, NONLINEAR_FAILURE = 0.01, 0.05
"""Linearity error from which the model's variance, a line over the mean, suffers, and from which it does not hold. A
response that bends by e bends the variance by about 3 e: its slope enters squared, and the mean once."""
EDGES_WARNING = 0.5
"""Share of blocks with edges from which the scene is a poor one for this."""
HOT_PIXELS = 1e-3
"""Share of pixels that are hot, stuck or flicker, from which a sensor has more than its usual few."""
GAIN_STEPS = 0.10
"""Relative distance of alpha from proportional to ISO that is worth knowing."""
CHANNELS_APART = 1.05
"""Alpha of one channel over that of another that is worth knowing."""

# The black level.
DARK_AT_FLOOR = 5e-3
"""Share of dark samples at the floor from which their mean is not the black level."""
DARK_LOST = 0.9
"""Share of dark samples at the floor from which it cannot be told how far below it the black level lies."""
BLACK_TOLERANCE = 0.25
"""Error of a stated black level, in standard deviations of the noise in the dark, that is of no matter."""
BLACK_DOUBTED = 10.0
"""Scatter of the means about their line over exposure, in the errors that `exposure_line` assumes, from which the
line's start does not overrule a stated black level."""
