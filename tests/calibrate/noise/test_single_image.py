"""Noise from one photograph: simulated photographs whose noise is known, and input that must be refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from dirtypixels.calibrate.noise.level import NoiseEstimate
from dirtypixels.calibrate.noise.single_image import single_image_noise
from dirtypixels.raw.frames import Frame, plane_slices

Array = npt.NDArray[np.float64]


def ramp(height: int = 128, width: int = 200, top: float = 0.9) -> Array:
    """Light that nothing disturbs, from nearly none to `top`."""
    y, x = np.mgrid[0:height, 0:width]
    return 0.005 + top * (x / width) ** 1.5 * (0.8 + 0.2 * np.sin(y / 40))


def still_life(height: int = 360, width: int = 480) -> Array:
    """Shaded walls, discs and stripes with hard edges, and a carpet of fine texture."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width] / height
    light = 0.08 + 0.35 * y + 0.1 * x
    for row, column, radius, value in zip(*random.random((3, 18)), random.random(18) ** 2 * 0.7, strict=True):
        inside = (y - row) ** 2 + (x - 1.3 * column) ** 2 < (0.02 + 0.15 * radius) ** 2
        light = np.where(inside, value * (1 + 0.3 * (x - column)), light)
    light[:, :40] = np.where(np.mgrid[0:height, 0:40][1] % 8 < 4, 0.05, 0.5)
    light[-60:, 100:] *= 1 + 0.5 * random.random((60, width - 100))
    return np.clip(light, 0.0, None)


def exposed(light: Array, alpha: float, sigma: float, low: float, seed: int) -> Array:
    random = np.random.default_rng(seed)
    signal = alpha * random.poisson(light / alpha) + sigma * random.standard_normal(light.shape)
    return np.clip(signal, low, 1.0)


def pulls(estimate: NoiseEstimate, alpha: float, sigma: float) -> Array:
    """Errors of alpha and sigma^2 in the standard errors that the estimate states."""
    errors = np.array([estimate.alpha - alpha, estimate.sigma**2 - sigma**2])
    return errors / np.sqrt(np.diag(estimate.covariance))


NOISE = [(1e-3, 3e-3, -np.inf), (5e-4, 1e-2, 0.0), (1e-2, 2e-2, 0.0)]


@pytest.mark.parametrize(("alpha", "sigma", "low"), NOISE)
@pytest.mark.parametrize("top", [0.9, 1.15])  # the second has its highlights clipped
def test_unbiased_on_a_ramp(alpha: float, sigma: float, low: float, top: float) -> None:
    runs = 4
    found = [
        single_image_noise(exposed(ramp(top=top), alpha, sigma, low, seed), floor=low)["Y"] for seed in range(runs)
    ]
    each = np.array([pulls(one, alpha, sigma) for one in found])
    # stated standard errors hold an allowance for structure that a ramp has not, so pulls are below 1
    assert np.abs(each.mean(axis=0)).max() < 3 / np.sqrt(runs)
    assert np.abs(each).max() < 4
    assert all(one.passed for one in found)


@pytest.mark.parametrize(("alpha", "sigma", "low"), NOISE)
def test_a_scene_with_edges_and_texture_within_its_intervals(alpha: float, sigma: float, low: float) -> None:
    capture = exposed(still_life(), alpha, sigma, low, seed=3)
    estimate = single_image_noise(capture, floor=low, confidence=0.999)["Y"]
    assert estimate.alpha_interval[0] < alpha < estimate.alpha_interval[1]
    assert estimate.sigma_interval[0] < sigma < estimate.sigma_interval[1]
    middle = np.sqrt((estimate.alpha * 0.3 + estimate.sigma**2) / (alpha * 0.3 + sigma**2))
    # the allowance of 1.5 % for structure and what chance leaves of some 20,000 coefficients, thrice
    assert middle == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("name", ["3096", "86000", "241004"])
def test_natural_pictures_within_their_intervals(shared_data: Path, name: str) -> None:
    values = np.asarray(Image.open(shared_data / "bsds300" / "test" / f"{name}.jpg"), dtype=float)[..., 1] / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    alpha, sigma = 3e-3, 8e-3
    estimate = single_image_noise(exposed(light, alpha, sigma, -np.inf, 0), floor=-np.inf, confidence=0.99)["Y"]
    assert estimate.alpha_interval[0] < alpha < estimate.alpha_interval[1]
    assert estimate.sigma_interval[0] < sigma < estimate.sigma_interval[1]


def test_digital_numbers_and_units_of_the_signal_are_one() -> None:
    capture = exposed(ramp(), 1e-3, 3e-3, -0.05, 0)
    unit = single_image_noise(capture, floor=-0.05)["Y"]
    numbers = single_image_noise(200 + 3800 * capture, black=200, white=4000, floor=200 - 0.05 * 3800)["Y"]
    tensor = single_image_noise(torch.from_numpy(capture), floor=-0.05)["Y"]
    assert numbers == pytest.approx(tuple(unit), rel=1e-6)
    assert tensor == pytest.approx(tuple(unit), rel=1e-12)
    assert (numbers.black, numbers.white) == (200, 4000)
    alpha, sigma = numbers  # unpacks as a NoiseLevel
    assert (alpha, sigma) == (numbers.alpha, numbers.sigma)


def test_rounding_is_not_taken_for_noise() -> None:
    alpha, span = 1e-5, 900
    sigma = 0.7 / span
    capture = np.round(64 + span * exposed(ramp(240, 320), alpha, sigma, -64 / span, 1))
    whole = single_image_noise(capture, black=64, white=64 + span)["Y"]  # finds by itself that all are whole numbers
    taken = single_image_noise(capture, black=64, white=64 + span, step=0)["Y"]
    assert np.abs(pulls(whole, alpha, sigma)).max() < 3
    assert taken.sigma**2 == pytest.approx(sigma**2 + 1 / 12 / span**2, abs=3 * np.sqrt(taken.covariance[1, 1]))
    assert taken.sigma**2 - whole.sigma**2 > 0.5 / 12 / span**2


def test_a_mosaic_is_measured_color_by_color() -> None:
    truth = {"R": (1e-3, 4e-3), "Gr": (5e-4, 2e-3), "Gb": (5e-4, 2e-3), "B": (2e-3, 8e-3)}
    black, white = {"R": 500.0, "Gr": 505.0, "Gb": 510.0, "B": 515.0}, 4000.0
    values = np.empty((256, 400), dtype=np.uint16)
    for seed, (name, where) in enumerate(plane_slices("GRBG").items()):
        plane = exposed(ramp(), *truth[name], -0.1, seed)
        values[where] = np.round(black[name] + (white - black[name]) * plane)
    levels = tuple(black[name] for name in plane_slices("GRBG"))
    found = single_image_noise(Frame(values, cfa="GRBG", black=levels, white=white))
    assert list(found) == ["G", "R", "B"]
    for name in "RGB":
        assert np.abs(pulls(found[name], *truth[name if name != "G" else "Gr"])).max() < 3.5
    assert found["G"].black == 507.5
    assert found["G"].patches.pixels.sum() > 1.8 * found["R"].patches.pixels.sum()


def test_levels_given_go_before_the_frames_own() -> None:
    values = np.round(100 + 900 * exposed(ramp(), 1e-3, 8e-3, -0.1, 0)).astype(np.uint16)
    stated = single_image_noise(Frame(values, black=(100.0,) * 4, white=1000.0))["Y"]
    given = single_image_noise(Frame(values, black=(90.0,) * 4), black=100, white=1000)["Y"]
    assert tuple(given) == tuple(stated)


def test_the_table_of_intensity_bins() -> None:
    estimate = single_image_noise(exposed(ramp(top=1.1), 1e-3, 5e-3, 0.0, 0))["Y"]
    table = estimate.patches
    lengths = {getattr(table, name).shape for name in table.__dataclass_fields__}
    assert len(lengths) == 1
    assert table.share.sum() == pytest.approx(1)
    assert (np.diff(table.mean) > 0).all()
    middle = (table.mean > 0.1) & (table.mean < 0.9)
    np.testing.assert_allclose(
        table.fitted[middle], np.sqrt(estimate.alpha * table.mean + estimate.sigma**2)[middle], rtol=2e-3
    )
    assert table.high.max() > 0.1
    assert table.level.max() > table.mean.max()  # what clipping took off the brightest is put back
    off = (table.std - table.fitted) / table.standard_error
    assert np.sqrt(np.mean(off**2)) == pytest.approx(1, abs=4 / np.sqrt(2 * off.size))
    assert np.isnan(table.drift).all()


def test_intervals_follow_the_confidence() -> None:
    capture = exposed(ramp(), 1e-3, 3e-3, -0.05, 0)
    narrow, wide = (single_image_noise(capture, floor=-0.05, confidence=c)["Y"] for c in (0.6827, 0.9545))
    for name in ("alpha_interval",):
        (a, b), (c, d) = getattr(narrow, name), getattr(wide, name)
        assert d - c == pytest.approx(2 * (b - a), rel=1e-3)
    assert narrow.confidence == 0.6827


GOOD = exposed(ramp(), 1e-2, 2e-2, 0.0, 0)
MOSTLY_WHITE = np.where(np.random.default_rng(0).random(GOOD.shape) < 0.75, 1.0, GOOD)


def changed(value: float) -> Array:
    other = GOOD.copy()
    other[3, 4] = value
    return other


@pytest.mark.parametrize(
    ("capture", "options", "error", "message"),
    [
        (GOOD, {"confidence": 1.0}, ValueError, r"confidence must be in \(0, 1\); found 1"),
        (GOOD, {"step": -1.0}, ValueError, "step must be at least 0 and finite; found -1"),
        (GOOD, {"black": 1.0}, ValueError, "black must be below white 1; found 1"),
        (GOOD, {"floor": 0.5}, ValueError, "floor must be at most black 0; found 0.5"),
        (GOOD > 0.5, {}, TypeError, "capture must be a Frame or an array of numbers; found bool"),
        (GOOD[None], {}, ValueError, r"capture must have shape \(H, W\), .* found \(1, 128, 200\)"),
        (changed(np.nan), {}, ValueError, "capture must be finite; found 1 NaN or infinite of 25600 values"),
        (changed(-0.1), {}, ValueError, "floor must be at most the least value, -0.1 in Y; found 0 "),
        (GOOD[:20], {}, ValueError, r"capture must be at least 32 x 32 a color; found \(20, 200\) of Y"),
        (np.full((64, 64), 0.3), {}, ValueError, "capture must be a photograph with noise; all of Y is 0.3"),
        (GOOD + 1, {}, ValueError, "clipped all through; found 100.0 % of Y at white 1 and 0.0 % at floor 0"),
        (np.round(GOOD * 9) / 9, {}, ValueError, "at least 16 different values; found 10 in Y"),
        (255 * GOOD, {}, ValueError, "must not be clipped all through"),  # white not given
        (MOSTLY_WHITE, {}, ValueError, "at most half is clipped; found none .* in Y"),
        (ramp(), {}, ValueError, "smooth parts|noise of its own"),  # no noise at all
        (Frame(np.ones((64, 64), np.uint16), white=9.0), {}, ValueError, "does not say its black level"),
        (Frame(np.ones((64, 64), np.uint16), black=(0.0,) * 4), {}, ValueError, "does not say its white level"),
    ],
)  # fmt: skip
def test_raises(capture: object, options: dict[str, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        single_image_noise(capture, **options)  # type: ignore[arg-type]


def test_raises_where_structure_is_everywhere() -> None:
    y, x = np.mgrid[0:200, 0:200]
    weave = 0.3 + 0.1 * np.sin(1.9 * x) + 0.1 * np.sin(2.1 * y + 0.05 * x) * (1 + 0.3 * np.sin(x / 9))
    with pytest.raises(ValueError, match=r"smooth parts, worth at least 200 wavelet coefficients .*; in Y$"):
        single_image_noise(exposed(weave, 1e-4, 1e-3, -np.inf, 0), floor=-np.inf)


def kinds(capture: Array, **options: float) -> dict[str, str]:
    estimate = single_image_noise(capture, **options)["Y"]
    return {one.kind: one.severity for one in estimate.diagnostics}


def test_diagnostics_of_a_good_photograph_are_a_note() -> None:
    assert kinds(exposed(ramp(), 1e-3, 3e-3, -0.05, 0), floor=-0.05) == {"smooth-parts": "note"}


def test_one_level_of_light_does_not_tell_alpha_from_sigma() -> None:
    estimate = single_image_noise(exposed(np.full((200, 300), 0.3), 1e-3, 3e-3, -0.05, 0), floor=-0.05)["Y"]
    assert not estimate.passed
    assert "hardly tell alpha from sigma" in estimate.reason
    at_level = np.sqrt(estimate.alpha * 0.3 + estimate.sigma**2)
    assert at_level == pytest.approx(np.sqrt(1e-3 * 0.3 + 9e-6), rel=0.02)  # 40,000 coefficients: 0.8 %


def test_structure_a_little_above_the_noise_is_found() -> None:
    random = np.random.default_rng(1)
    strength = np.exp(random.normal(size=(30, 40)))  # from block to block, as in foliage
    grain = random.normal(size=(300, 400)) + random.normal(size=(300, 1)) + random.normal(size=(1, 400))
    light = ramp(300, 400) + 0.004 * np.kron(strength, np.ones((10, 10))) * grain
    found = kinds(exposed(np.maximum(light, 0), 2e-4, 1e-3, -0.05, 0), floor=-0.05)
    assert found["structure"] in ("warning", "failure")


def test_noise_that_is_not_white_is_found() -> None:
    capture = exposed(ramp(300, 400), 1e-3, 5e-3, -0.05, 0)
    sharpened = np.clip(
        1.5 * capture - 0.125 * sum(np.roll(capture, s, a) for s, a in itertools.product((1, -1), (0, 1))), -0.05, 1
    )
    assert kinds(sharpened, floor=-0.05)["not-white"] == "failure"


def test_clipping_coarse_steps_and_few_samples_are_found() -> None:
    assert kinds(exposed(ramp(top=2.0), 1e-3, 3e-3, 0.0, 0))["clipping"] == "warning"
    coarse = np.round(100 * exposed(ramp(), 1e-5, 3e-3, 0.0, 0))
    assert kinds(coarse, white=100)["coarse-steps"] == "failure"
    assert kinds(exposed(ramp(48, 60), 1e-3, 3e-3, -0.05, 0), floor=-0.05)["few-samples"] == "warning"


def test_another_noise_fails_the_residual_test() -> None:
    light = ramp(300, 400)
    signal = light + np.random.default_rng(0).normal(0, 0.002 + 0.03 * light * (1 - light) ** 2)
    assert kinds(np.clip(signal, -1, 1), floor=-1.0)["residual"] == "failure"
