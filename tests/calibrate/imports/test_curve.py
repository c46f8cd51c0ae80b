"""Imported noise is a noise curve that says where it comes from."""

from __future__ import annotations

import pytest

from dirtypixels.calibrate.imports import ImportedCurve


def test_one_channel_is_for_all_colors() -> None:
    found = ImportedCurve(None, [100, 200], [[1e-4], [2e-4]], [[0.0], [1e-3]], "somebody")
    assert (found.channels, found.source, found.name) == (1, "somebody", None)
    assert found.at_iso(200) == (2e-4, 1e-3)


def test_raises_where_a_curve_does() -> None:
    with pytest.raises(ValueError, match="iso must be above 0 and increasing"):
        ImportedCurve(None, [200, 100], [1e-4, 2e-4], [0.0, 0.0], "somebody")
