"""The sensor's numbers against the model, within standard errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from dirtypixels.calibrate.simulate import ChartCamera, example_camera
from dirtypixels.camera import NoiseLevel

NONE = NoiseLevel(0.0, 0.0)


def sensor(height: int, width: int, **known: Any) -> ChartCamera:
    return ChartCamera(example_camera(), height, width, **{"black": 0.0, **known})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def even(level: float, side: int = 256) -> np.ndarray:
    return np.full((side, side), level)


def check_moments(values: np.ndarray, mean: float, variance: float, kurtosis: float) -> None:
    """Mean and variance within 4 standard errors: sqrt(v / n), and v sqrt((kurtosis - 1) / n)."""
    n = values.size
    assert abs(values.mean() - mean) < 4 * math.sqrt(variance / n)
    assert abs(values.var() - variance) < 4 * variance * math.sqrt((kurtosis - 1) / n)


@pytest.mark.parametrize("level", [0.0, 0.02, 0.4])
def test_mean_and_variance_are_the_models(level: float) -> None:
    alpha, sigma, black, span = 0.003, 0.004, 200.0, 4095 - 200.0
    made = sensor(256, 256, cfa=None, black=black)
    values = made.digitize(even(level), NoiseLevel(alpha, sigma), generator()).astype(float)
    variance = alpha * level + sigma**2
    # The fourth cumulant of scaled Poisson numbers is alpha^3 times the mean; rounding adds 1/12 DN^2.
    kurtosis = 3 + alpha**3 * level / variance**2
    check_moments(values, black + span * level, span**2 * variance + 1 / 12, kurtosis)


def test_the_dark_side_is_clipped_at_0_dn_and_not_at_black() -> None:
    sigma, black = 0.01, 60.0
    made = sensor(256, 256, cfa=None, black=black)
    values = made.digitize(even(0.0), NoiseLevel(0.0, sigma), generator()).astype(float)
    # A rounded number is at least k where the sum of black and noise is at least k - 1/2.
    at_least = norm.sf(np.arange(1, 400) - 0.5, black, sigma * (4095 - black))
    mean = at_least.sum()
    variance = (at_least * (2 * np.arange(1, 400) - 1)).sum() - mean**2
    assert mean > black + 1  # clipping shifts the mean by much more than the standard error
    assert abs(values.mean() - mean) < 4 * math.sqrt(variance / values.size)
    assert abs((values > 0).mean() - at_least[0]) < 4 * math.sqrt(at_least[0] * (1 - at_least[0]) / values.size)


def test_white_saturates_at_white_and_not_at_the_largest_number() -> None:
    made = sensor(64, 64, cfa=None, black=100.0, white=3900.0)
    values = made.digitize(even(1.2, 64), NoiseLevel(1e-4, 1e-3), generator())
    assert values.dtype == np.uint16
    assert (values == 3900).all()


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_without_noise_the_light_is_rounded(bits: int) -> None:
    light = np.random.default_rng(0).random((8, 6))
    black = 2**bits // 64
    values = sensor(8, 6, cfa="RGGB", bits=bits, black=black).digitize(light, NONE)
    np.testing.assert_array_equal(values, np.round(black + (2**bits - 1 - black) * light))


def test_every_place_of_the_mosaic_has_its_black_and_every_color_its_noise() -> None:
    made = sensor(256, 256, cfa="GRBG", black=(100, 200, 300, 400))
    assert [made.black_of(name) for name in ("Gr", "R", "B", "Gb")] == [100, 200, 300, 400]
    noise = NoiseLevel(torch.zeros(3), torch.tensor([0.001, 0.002, 0.004]))
    values = made.digitize(even(0.0), noise, generator()).astype(float)
    for name, sigma in (("Gr", 0.002), ("R", 0.001), ("B", 0.004), ("Gb", 0.002)):
        black = made.black_of(name)
        check_moments(values[made.planes()[name]], black, (sigma * (4095 - black)) ** 2 + 1 / 12, 3)


def test_a_monochrome_sensor_has_the_noise_of_green() -> None:
    noise = NoiseLevel(torch.zeros(3), torch.tensor([0.0, 0.002, 0.0]))
    values = sensor(256, 256, cfa=None, black=100).digitize(even(0.0), noise, generator()).astype(float)
    check_moments(values, 100, (0.002 * 3995) ** 2 + 1 / 12, 3)


def test_fixed_pattern_is_the_same_in_every_frame_and_of_the_size_asked_for() -> None:
    arguments = {"cfa": None, "black": 100.0, "prnu": 0.02}
    first, second = (sensor(256, 256, **arguments, seed=5).digitize(even(0.5), NONE) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (sensor(256, 256, **arguments, seed=6).digitize(even(0.5), NONE) != first).any()
    signal = (first - 100.0) / 3995
    check_moments(signal, 0.5, (0.02 * 0.5) ** 2 + 1 / 12 / 3995**2, 3)


def test_hot_pixels_stand_out_in_the_dark() -> None:
    values = sensor(100, 100, cfa=None, black=100.0, hot=0.0013).digitize(np.zeros((100, 100)), NONE)
    assert (values > 100).sum() == 13
    assert values[values > 100].min() >= 100 + 0.05 * 3995 - 1


def test_a_seed_gives_the_same_frame_again() -> None:
    made = sensor(32, 32)
    noise = NoiseLevel(1e-3, 1e-3)
    a, b, c = (made.digitize(even(0.3, 32), noise, generator(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cfa": "RGBG"}, "cfa must be one of 'RGGB'"),
        ({"height": 5}, "even with a cfa; found 5 x 8"),
        ({"height": 0, "cfa": None}, "at least 2"),
        ({"bits": 17}, "bits must be from 1 to 16; found 17"),
        ({"black": (1, 2, 3, 4), "cfa": None}, "one number for a monochrome sensor"),
        ({"black": 5000}, "below white"),
        ({"black": -1}, "at least 0"),
        ({"white": 5000}, "at most 4095"),
        ({"prnu": -0.1}, "prnu must be in"),
        ({"hot": 1.1}, "hot must be in"),
    ],
)
def test_a_sensor_is_checked(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sensor(**{"height": 8, "width": 8, **arguments})


@pytest.mark.parametrize(
    ("light", "words"),
    [(np.zeros((8, 6)), r"shape \(8, 8\); found \(8, 6\)"), (np.full((8, 8), -0.1), "light must be at least 0")],
)
def test_light_is_checked(light: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sensor(8, 8).digitize(light, NONE)
