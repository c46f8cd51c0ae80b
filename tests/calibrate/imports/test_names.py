"""Names of cameras as different programs write them."""

from __future__ import annotations

import pytest

from dirtypixels.calibrate.imports.names import same_camera


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Nikon D850", "NIKON CORPORATION NIKON D850", True),
        ("NikonD850", "Nikon D850", True),
        ("EOS 550D", "Canon EOS 550D", True),
        ("Canon EOS 50D", "Canon EOS 550D", False),
        ("50D", "Canon EOS 550D", False),
        ("Nikon D850", "simulated", False),
        ("Inc.", "Nikon D850", False),
    ],
)
def test_same_camera(one: str, other: str, same: bool) -> None:
    assert same_camera(one, other) is same
    assert same_camera(other, one) is same
