"""A wrong black level, told by the chart's black in three colors."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dirtypixels.calibrate.psf.diagnosis import darkness

LIGHT = {"R": 0.5, "Gr": 0.8, "Gb": 0.8, "B": 0.6}
INK = 0.05


def seen(offset: float, ink: dict[str, float] | None = None) -> tuple[dict[str, float], dict[str, float]]:
    """Black and white of each plane where the signal is too high by `offset`."""
    shares = ink or dict.fromkeys(LIGHT, INK)
    return {p: offset + shares[p] * light for p, light in LIGHT.items()}, {p: offset + v for p, v in LIGHT.items()}


@pytest.mark.parametrize(("offset", "way"), [(0.06, "low"), (0.04, "low"), (-0.04, "high")])
def test_a_wrong_level_is_told_with_its_size(offset: float, way: str) -> None:
    (diagnostic,) = darkness(*seen(offset), step_dn=1000.0)
    assert (diagnostic.kind, diagnostic.severity) == ("black-offset", "warning")
    found = re.search(r"to be (\d+) DN too (low|high)", diagnostic.message)
    assert found is not None
    assert found.groups() == (f"{1000 * abs(offset):.0f}", way)


@pytest.mark.parametrize("offset", [0.0, 0.01, -0.01])
def test_what_ink_explains_is_no_wrong_level(offset: float) -> None:
    assert darkness(*seen(offset), step_dn=1000.0) == ()


def test_ink_that_is_not_quite_gray_is_none() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        r, g, b = INK * (1 + 0.15 * random.uniform(-1, 1, 3))
        assert darkness(*seen(0.0, {"R": r, "Gr": g, "Gb": g, "B": b}), step_dn=1000.0) == ()


def test_even_glare_is_none() -> None:
    black, white = seen(0.0)
    glare = {plane: 0.1 * light for plane, light in LIGHT.items()}
    assert darkness({p: v + glare[p] for p, v in black.items()}, {p: v + glare[p] for p, v in white.items()}, 1.0) == ()


@pytest.mark.parametrize("light", [{"Y": 0.8}, {"R": 0.8, "Gr": 0.8, "Gb": 0.8, "B": 0.8}])
def test_one_color_or_colors_alike_tell_nothing(light: dict[str, float]) -> None:
    assert darkness({p: 0.3 + INK * v for p, v in light.items()}, {p: 0.3 + v for p, v in light.items()}, 1.0) == ()
