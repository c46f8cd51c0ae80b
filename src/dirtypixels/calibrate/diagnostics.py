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

# Light, frames and black level.

#: Linearity error from which the model's variance, a line over the mean, suffers, and from which it does not hold. A
#: response that bends by e bends the variance by about 3 e: its slope enters squared, and the mean once.
NONLINEAR_WARNING, NONLINEAR_FAILURE = 0.01, 0.05
#: Relative change of the light between frames of one exposure: it leaves the variance alone (each frame's mean is taken
#: off) but for the patches that clip. Of 0.5 % a patch tells; of 2 % it is no mains flicker of a good lamp any more.
DRIFT_NOTE, DRIFT_WARNING, DRIFT_FAILURE = 0.005, 0.02, 0.10
#: Share of blocks with edges from which what is measured is not what was photographed for it.
STRUCTURE_WARNING = 0.5
#: Share of pixels that are hot from which it is no usual sensor.
HOT_PIXELS_WARNING = 1e-3
#: Share of dark samples at the floor from which their mean is not the black level, and from which how far below the
#: floor it lies cannot be told.
DARK_CLIPPED, DARK_HIDDEN = 5e-3, 0.9
#: Of the noise in the dark: an error of the black level that is of no matter.
BLACK_TOLERANCE = 0.25
#: Scatter of the means about their line over exposure, in errors of shutter and lamp of 0.1 %, from which the line's
#: start says little of the black level.
BLACK_DOUBTED = 10.0
#: How far alpha may be from proportional to ISO, and the channels' alphas from each other, unsaid.
GAIN_STEPS, CHANNELS_APART = 0.10, 0.05


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
