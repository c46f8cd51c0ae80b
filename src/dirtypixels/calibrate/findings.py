"""What a calibration found out about itself: notes, warnings, failures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One sentence about a measurement, for people, and a word for programs.

    Args:
        kind: a word, e.g. "hot-pixels", "drift", "non-linear", "few-levels", "residual", "clipping".
        severity: "note" is worth knowing, "warning" costs accuracy, "failure": the result is not to be trusted.
        message: what was found, with its figure, and what it means or what to do.
    """

    kind: str
    severity: Severity
    message: str


def verdict(findings: Iterable[Finding]) -> tuple[bool, str]:
    """Whether a result can be trusted, and why not: the failures' messages, or that there was none."""
    failures = [finding.message for finding in findings if finding.severity == "failure"]
    return not failures, "; ".join(failures) or "no check failed"
