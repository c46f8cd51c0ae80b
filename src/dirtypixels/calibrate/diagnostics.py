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
