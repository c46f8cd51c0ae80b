"""What a calibration says of itself: notes, warnings and failures, each of a kind from a closed set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic.dataclasses import dataclass

from dirtypixels.camera import schema

Severity = schema.Severity

Kind = Literal[
    # the light and the frames
    "light", "drift", "linearity", "non-linear", "structure", "saturated", "clipping", "single-frame",
    "spare-frames", "choice", "iso-unknown", "dark-only", "dark-recognized",
    # black level
    "black-level", "black-intercept", "black-off-line", "black-offset", "black-unchecked", "clipped-dark",
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
