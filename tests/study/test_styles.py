"""Colors and markers: every method has its own, whoever looks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from dirtypixels.study import styles
from dirtypixels.study.tables import METHOD_NAMES

# Full dichromacy, in linear RGB: Machado, Oliveira and Fernandes 2009, table 1, severity 1.
VISION = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def test_every_method_has_a_color_and_a_marker_of_its_own() -> None:
    for known in (styles.METHOD_COLORS, styles.METHOD_MARKERS):
        assert list(known) == list(METHOD_NAMES)
        assert len(set(known.values())) == len(known)
    for found in (styles.colors(["joint", "mine", "yours"]), styles.markers(["joint", "mine", "yours"])):
        assert len(set(found.values())) == len(METHOD_NAMES) + 2


def test_units_of_one_method_are_paler_and_paler() -> None:
    found = styles.colors(["joint:a", "joint:b", "joint:c"])
    assert found["joint:a"].lower() == styles.METHOD_COLORS["joint"].lower()
    lights = [rgb2lab(np.array([[to_rgb(found[f"joint:{unit}"])]]))[0, 0, 0] for unit in "abc"]
    assert lights == sorted(lights)
    assert set(styles.markers(["joint:a", "joint:b"]).values()) == set(styles.METHOD_MARKERS.values())


@pytest.mark.parametrize("vision", VISION)
def test_colors_can_be_told_apart(vision: str) -> None:
    # A CIEDE2000 difference of about 1 can just be seen side by side; bars and legend lie apart, so ask for ten.
    rgb = np.array([to_rgb(color) for color in styles.METHOD_COLORS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    assert min(float(deltaE_ciede2000(a, b)) for a, b in itertools.combinations(lab, 2)) > 10
