"""Noise over gain and light: the calibrated figures, the line between and beyond them, and what is refused."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.camera import Camera, ExposureRule, NoiseCurve, NoiseLevel

CURVE = NoiseCurve([100, 200, 800], [1e-4, 3e-4, 6e-4], [1e-3, 1e-3, 4e-3])


@pytest.mark.parametrize(
    ("name", "alpha", "sigma"),
    [
        ("nexus-6p-rear", 1.8724e-4, 4.733e-4),
        ("nexus-6p-front", 1.5e-4, 3.875e-4),
        ("semco", 3.88e-4, 2.5e-3),
        ("ov2740", 8.8021e-5, 2.2673e-4),
    ],
)
def test_calibrated_figures_at_iso_100(name: str, alpha: float, sigma: float) -> None:
    assert Camera.load(name).noise.at_iso(100) == NoiseLevel(alpha, sigma)
    doubled = Camera.load(name).noise.at_iso(200)
    assert doubled == pytest.approx((2 * alpha, 2 * sigma), rel=1e-12)


@pytest.mark.parametrize(("lux", "alpha", "sigma"), [(3, 0.1248, 0.3155), (6, 0.0624, 0.1578)])
def test_the_papers_figures_at_3_and_6_lux(lux: int, alpha: float, sigma: float) -> None:
    level = Camera.load("nexus-6p-rear").noise.at_lux(lux)
    assert level == pytest.approx((alpha, sigma), abs=0.5e-4)  # they are printed with four decimals


@pytest.mark.parametrize(
    ("iso", "alpha", "sigma"),
    [
        (100, 1e-4, 1e-3),
        (150, 2e-4, 1e-3),  # on the line between 100 and 200
        (350, 3e-4 + 3e-4 * 0.25, 1e-3 + 3e-3 * 0.25),
        (800, 6e-4, 4e-3),
        (50, 0.5e-4, 0.5e-3),  # proportional below the lowest calibrated gain
        (1600, 12e-4, 8e-3),  # and above the highest
        (0, 0.0, 0.0),
    ],
)
def test_interpolates_between_gains_and_is_proportional_outside(iso: float, alpha: float, sigma: float) -> None:
    assert CURVE.at_iso(iso) == pytest.approx((alpha, sigma), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_tensors_of_their_shape_and_type(dtype: torch.dtype) -> None:
    iso = torch.tensor([[50.0, 150.0], [350.0, 1600.0]], dtype=dtype)
    level = CURVE.at_iso(iso)
    for i, value in enumerate(level):
        assert isinstance(value, torch.Tensor)
        assert value.dtype == dtype
        one_by_one = [[CURVE.at_iso(float(v))[i] for v in row] for row in iso]
        torch.testing.assert_close(value, torch.tensor(one_by_one, dtype=dtype))


def test_whole_numbers_give_floats() -> None:
    assert isinstance(CURVE.at_iso(100).alpha, float)
    level = CURVE.at_iso(torch.tensor([100, 200]))
    torch.testing.assert_close(level.alpha, torch.tensor([1e-4, 3e-4]))


def test_light_goes_through_the_exposure_rule() -> None:
    curve = NoiseCurve([100], [1e-3], [2e-3], ExposureRule(reference_lux=500, base_iso=50))
    assert curve.at_lux(500) == curve.at_iso(50)
    assert curve.at_lux(5) == curve.at_iso(5000)
    level = curve.at_lux(torch.tensor([500.0, 5.0, math.inf]))
    torch.testing.assert_close(level.alpha, torch.tensor([0.5e-3, 50e-3, 0.0]))
    assert curve.at_lux(math.inf) == (0.0, 0.0)


@pytest.mark.parametrize("lux", [0, -3.0, math.nan, torch.tensor([6.0, 0.0]), torch.tensor([1.0, math.nan])])
def test_light_must_be_positive(lux: Any) -> None:
    with pytest.raises(ValueError, match="lux must be above 0"):
        CURVE.at_lux(lux)


@pytest.mark.parametrize(
    ("iso", "message"),
    [
        (-1.0, "iso must be at least 0; found -1"),
        (math.nan, "iso must be finite"),
        (math.inf, "iso must be finite"),
        (torch.tensor([100.0, -2.0]), "iso must be at least 0; found values from -2 to 100"),
    ],
)
def test_gain_must_be_finite_and_not_negative(iso: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CURVE.at_iso(iso)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        (([], [], []), "iso, alpha and sigma must be lists of one length, at least 1"),
        (([100, 200], [1e-4], [1e-3]), "iso, alpha and sigma must be lists of one length, at least 1"),
        (([[100]], [[1e-4]], [[1e-3]]), "iso, alpha and sigma must be lists of one length, at least 1"),
        (([100], [-1e-4], [1e-3]), "alpha must be at least 0; found -0.0001"),
        (([100], [1e-4], [math.nan]), "sigma must be finite"),
        (([0, 100], [0, 1e-4], [0, 1e-3]), "iso must be above 0 and increasing; found [0.0, 100.0]"),
        (([100, 100], [1e-4, 1e-4], [1e-3, 1e-3]), "iso must be above 0 and increasing; found [100.0, 100.0]"),
        (([200, 100], [1e-4, 1e-4], [1e-3, 1e-3]), "iso must be above 0 and increasing; found [200.0, 100.0]"),
    ],
)
def test_raises_on_bad_figures(figures: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        NoiseCurve(*figures)


def test_equality_and_repr() -> None:
    same = NoiseCurve(np.array([100, 200, 800]), [1e-4, 3e-4, 6e-4], [1e-3, 1e-3, 4e-3])
    assert same == CURVE
    assert same != NoiseCurve([100], [1e-4], [1e-3])
    assert same != NoiseCurve(same.iso, same.alpha, same.sigma, ExposureRule(base_iso=50))
    assert repr(CURVE) == "NoiseCurve(3 gains, ISO 100 to 800)"
    assert repr(NoiseCurve([100], [1e-4], [1e-3])) == "NoiseCurve(1 gain, ISO 100)"


class TestChannels:
    CURVE = NoiseCurve([100, 200], [[1e-4, 2e-4, 3e-4], [2e-4, 6e-4, 6e-4]], [[1e-3, 2e-3, 3e-3], [1e-3, 2e-3, 3e-3]])

    @pytest.mark.parametrize("iso", [50.0, 100.0, 150.0, 400.0])
    def test_each_channel_is_a_curve_of_its_own(self, iso: float) -> None:
        level = self.CURVE.at_iso(iso)
        for c in range(3):
            alone = NoiseCurve(self.CURVE.iso, self.CURVE.alpha[:, c], self.CURVE.sigma[:, c]).at_iso(iso)
            assert (float(level.alpha[c]), float(level.sigma[c])) == alone  # type: ignore[index]

    def test_the_channels_are_the_last_dimension(self) -> None:
        assert self.CURVE.channels == 3
        level = self.CURVE.at_iso(torch.full((2, 4), 150.0))
        assert [torch.as_tensor(value).shape for value in level] == [(2, 4, 3), (2, 4, 3)]
        assert torch.allclose(torch.as_tensor(level.alpha)[1, 2], torch.tensor([1.5e-4, 4e-4, 4.5e-4]))

    def test_one_channel_may_be_a_column(self) -> None:
        assert NoiseCurve([100], [[1e-4]], [[1e-3]]) == NoiseCurve([100], [1e-4], [1e-3])

    def test_two_channels_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"alpha and sigma must both be \(N,\), or \(N, 3\) for colors"):
            NoiseCurve([100], [[1e-4, 1e-4]], [[1e-3, 1e-3]])
        with pytest.raises(ValueError, match=r"alpha and sigma must both be"):
            NoiseCurve([100], [1e-4], [[1e-3, 1e-3, 1e-3]])
