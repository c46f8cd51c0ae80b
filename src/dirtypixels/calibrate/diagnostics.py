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
    "residual", "not-converged", "few-samples", "short-range", "sigma-unseen", "hidden-sigma", "coarse-steps",
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


# The noise fitted to patches of repeated frames, or to intensity bins of a photograph.
RESIDUAL_CHANCE = 0.001
"""Residuals are more than chance where it makes such ones less often than this."""
RESIDUAL = 0.03
"""Relative misfit of the standard deviation, weighted rms over the patches, that is of no matter in use."""
SHORT_RANGE = 0.5
"""Half width of alpha's interval, at the brightest patch and of the variance there, from which shot and read noise are
not told apart."""
HIDDEN_SIGMA = 0.2
"""sigma over alpha below which clipping at black hides sigma: at a tenth estimates are a sixth too large."""
CLIPPED_DARK = 0.05
"""Share of a patch's samples at the floor from which the patch is clipped at black."""
CLIPPED = 1e-3
"""Share of a patch's samples at floor or white from which it is clipped in part."""

# The noise of single photographs.
FEW_SAMPLES = 1000
"""Wavelet coefficients of noise alone below which the standard deviation is known to 5 % at best."""
CLIPPED_PIXELS = 0.1
"""Share of pixels at white or floor from which a good part of the photograph says little."""
STRUCTURE_WARNING, STRUCTURE_FAILURE = 0.45, 1.0
"""Windows a little too busy for noise, for each smooth one (0.16 where all is noise), from which structure is taken for
noise; measured on BSDS300's training pictures: the standard deviation is then 3 to 10, and 5 to 20 %, too high."""
NOT_WHITE = 0.1
"""Share of smooth windows whose activity lies two standard deviations below the noise's variance, 0.03 where all is
noise, from which the noise is not white."""
ALPHA_UNSURE_WARNING, ALPHA_UNSURE_FAILURE = 0.25, 0.5
"""Standard error of alpha over alpha from which the levels of a photograph do not tell alpha from sigma."""
COARSE_STEPS_WARNING, COARSE_STEPS_FAILURE = 1.0, 0.5
"""Standard deviation of the noise in steps of quantization below which rounding does not act as noise."""


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


def verdict(diagnostics: Iterable[schema.Diagnostic]) -> tuple[bool, str]:
    """Whether a result can be trusted, and why not: the failures' messages, or that there was none."""
    failures = [diagnostic.message for diagnostic in diagnostics if diagnostic.severity == "failure"]
    return not failures, "; ".join(failures) or "no check failed"
