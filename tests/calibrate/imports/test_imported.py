"""What imported noise must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.imports.imported import ImportedNoise


def imported(**changes: Any) -> ImportedNoise:
    fields = {"iso": np.array([100.0, 200.0]), "alpha": np.full((2, 3), 1e-4), "sigma": np.zeros((2, 3))}
    return ImportedNoise("a camera", **(fields | changes), source="somebody")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iso": np.zeros((2, 1))}, r"iso must be \(N,\), alpha and sigma \(N, 1\) or \(N, 3\), N at least 1; found"),
        ({"iso": np.zeros(0)}, "N at least 1; found"),
        ({"alpha": np.zeros((2, 2)), "sigma": np.zeros((2, 2))}, r"\(N, 1\) or \(N, 3\)"),
        ({"alpha": np.zeros(2), "sigma": np.zeros(2)}, r"\(N, 1\) or \(N, 3\)"),
        ({"alpha": np.full((2, 1), 1e-4)}, r"\(N, 1\) or \(N, 3\)"),
        ({"iso": np.array([100.0])}, "must hold one row a gain; found"),
        ({"iso": np.array([200.0, 100.0])}, r"iso must be above 0, finite and increasing; found \[200.0, 100.0\]"),
        ({"iso": np.array([0.0, 100.0])}, "iso must be above 0"),
        ({"iso": np.array([100.0, np.inf])}, "iso must be above 0, finite"),
        ({"alpha": np.zeros((2, 3))}, "alpha must be above 0 and finite; found values from 0"),
        ({"alpha": np.full((2, 3), np.nan)}, "alpha must be above 0 and finite"),
        ({"sigma": np.full((2, 3), -1.0)}, "sigma must be at least 0 and finite; found values from -1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    imported()
    with pytest.raises(ValueError, match=message):
        imported(**changes)
