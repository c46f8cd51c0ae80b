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
DRIFT_FAILURE = 0.05
"""Relative change of the light, from its mean over the frames, from which they are not of one exposure: two frames then
differ by a tenth."""

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


def graded(value: float, warning: float, failure: float) -> Severity:
    """How bad a figure is that should be small: a note up to the first limit, a failure beyond the second."""
    return "failure" if value > failure else "warning" if value > warning else "note"


def verdict(diagnostics: Iterable[schema.Diagnostic]) -> tuple[bool, str]:
    """Whether a result can be trusted, and why not: the failures' messages, or that there was none."""
    failures = [diagnostic.message for diagnostic in diagnostics if diagnostic.severity == "failure"]
    return not failures, "; ".join(failures) or "no check failed"


# The chart's light, over the squares and windows of one color plane.
SATURATED_WARNING, SATURATED_FAILURE = 0.003, 0.03
"""Share of the white squares' samples at the white level: their mean, and so the chart's white, falls short."""
TOO_DARK_WARNING, TOO_DARK_FAILURE = 0.1, 0.03
"""White less black over the white level, below which most of the sensor's range is given away."""
LOW_CONTRAST_WARNING, LOW_CONTRAST_FAILURE = 0.1, 0.7
"""Black over white: prints have 0.03 to 0.08, so above it is not ink alone."""
NON_LINEAR_WARNING, NON_LINEAR_FAILURE = 0.01, 0.04
"""By how much the noise is brighter than in linear light, of white less black: up to the first, squares and noise agree
and both count; a tone curve like sRGB's makes more than the second."""
DOT_GAIN_WARNING, DOT_GAIN_FAILURE = 0.01, 0.12
"""The same where the noise is darker; the ink of a good print may spread by several hundredths."""
UNEVEN_LIGHT = 0.25
"""White of the frame at its darkest over its brightest place; a lens's vignetting takes away less."""
UNEVEN_WARNING, UNEVEN_FAILURE = 0.015, 0.05
"""What a smooth map leaves of the levels, rms, of white less black; even paper and light leave a few thousandths."""
NOISY_WARNING, NOISY_FAILURE = 15.0, 8.0
"""Half of white less black over the noise, dB, below which no size of the blocks gives both detail and certainty."""

# The PSFs: from where on a block is not trusted, and what is said of the field as a whole.
BLOCK_INSIDE = 0.3
"""Share of a block that must show the chart, as PSFs are extrapolated from there to its middle."""
BLOCK_CLIPPED = 0.01
"""Share of a block's samples that may be saturated, as least squares knows no clipping."""
BLOCK_ERROR = 0.15
"""Predicted relative error from which on a PSF says less than its neighbors'."""
BLOCK_RESIDUAL = 3.0
"""Residual over the field's median from which on something else than the chart is seen."""
UNTRUSTED_FAILURE = 1 / 3
"""Share of blocks without trust, from which on too much of the field is made of neighbors."""
PSF_ERROR = 0.08
"""Predicted relative error, median over the field: the goal at 25 dB of benchmarks/psf_calibration.py."""
PSF_CHANGES = 0.03
"""Error by the PSF's change within the blocks, median over the field: the goal at 40 dB there."""
PSF_BETWEEN = 0.05
"""Error of interpolation between blocks, median over the field; smaller, it hides behind the blocks' own."""
PSF_CUT_OFF = 0.02
"""Share of a PSF in its outermost taps, from which on a part of its light must lie beyond them."""
