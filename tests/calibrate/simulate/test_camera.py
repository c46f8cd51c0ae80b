"""Charts and flat fields as the camera sees them, against the profile that went in."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dirtypixels.calibrate.simulate import ChartCamera, Pose, example_camera
from dirtypixels.camera import Camera

HEIGHT, WIDTH = 40, 60
EXAMPLE = example_camera()


def dots(*places: tuple[int, int], shape: tuple[int, int] = (HEIGHT, WIDTH)) -> SimpleNamespace:
    """A black chart with white cells; with `Pose(fill=1)` a cell is a pixel."""
    pattern = np.zeros(shape, dtype=np.uint8)
    for place in places:
        pattern[place] = 1
    return SimpleNamespace(pattern=pattern)


def noise_only() -> Camera:
    """The same camera with a sharp lens."""
    return Camera(EXAMPLE.profile.model_copy(update={"optics": None}))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_white_dot_is_the_psf_of_each_pixel() -> None:
    camera = ChartCamera(EXAMPLE, HEIGHT, WIDTH, cfa="BGGR")
    row, column = 9, 13
    light = camera.render(dots((row, column)), Pose(fill=1), exposure=0.9, paper=(0.1, 0.8), surround=0.1)
    channels = {(0, 0): 2, (0, 1): 1, (1, 0): 1, (1, 1): 0}
    expected = np.full((HEIGHT, WIDTH), 0.9 * 0.1)
    for i in range(row - 7, row + 8):
        for j in range(column - 7, column + 8):
            psf = EXAMPLE.psf(((i + 0.5) / HEIGHT, (j + 0.5) / WIDTH))[channels[i % 2, j % 2]]
            expected[i, j] += 0.9 * 0.7 * float(psf[7 + i - row, 7 + j - column])
    # FieldBlur works in single precision: a few roundings of 1 / 2^24 each.
    np.testing.assert_allclose(light, expected, rtol=0, atol=1e-6)


def test_a_place_beyond_the_frame_sends_light_into_it() -> None:
    camera = ChartCamera(EXAMPLE, HEIGHT, WIDTH, cfa=None)
    wide = dots((6, 30), shape=(HEIGHT + 20, WIDTH + 30))
    light = camera.render(wide, Pose(fill=1.5), paper=(0.0, 1.0), surround=0.0)
    # The chart is half as large again as the frame, 60 cells high for 40 rows; cell (6, 30) is 4 rows above it.
    psf = EXAMPLE.psf((0.5 / HEIGHT, 15.5 / WIDTH))[1]
    assert light[0, 15] == pytest.approx(float(psf[7 + 4, 7]), abs=1e-6)
    assert light[0, 15] > 1e-5


def test_an_even_scene_stays_even() -> None:
    camera = ChartCamera(EXAMPLE, HEIGHT, WIDTH, distortion=(-0.05, 0.01))
    light = camera.render(dots(), Pose(rotation=7, tilt=(3, 2)), exposure=0.8, paper=(0.5, 0.9), surround=0.5)
    np.testing.assert_allclose(light, 0.4, rtol=0, atol=1e-6)


def test_a_sharp_lens_leaves_the_area_integral() -> None:
    camera = ChartCamera(noise_only(), HEIGHT, WIDTH, cfa=None)
    chart = SimpleNamespace(pattern=np.random.default_rng(0).integers(0, 2, (HEIGHT // 2, WIDTH // 2)))
    light = camera.render(chart, Pose(fill=1), paper=(0.0, 1.0))
    np.testing.assert_allclose(light, chart.pattern.repeat(2, 0).repeat(2, 1), atol=1e-6)
    # Half a pixel to the right: each second pixel is the mean of two neighbors.
    moved = camera.render(chart, Pose(fill=1, offset=(0.5 / WIDTH, 0)), paper=(0.0, 1.0))
    np.testing.assert_allclose(moved[:, 1:], (light[:, 1:] + light[:, :-1]) / 2, atol=1e-6)


def test_the_view_says_where_a_dot_lies() -> None:
    camera = ChartCamera(noise_only(), 96, 128, cfa=None, distortion=(-0.08, 0.02), focal=0.8)
    pose = Pose(fill=0.9, rotation=11, tilt=(12, -8), offset=(0.03, 0.02))
    chart = dots((5, 40), shape=(36, 48))
    light = camera.render(chart, pose, paper=(0.0, 1.0), surround=0.0)
    y, x = np.mgrid[:96, :128]
    centroid = [(light * axis).sum() / light.sum() for axis in (x, y)]
    # The centroid in chart coordinates is the cell's middle; perspective over 2.4 px moves it by less than 0.02 px.
    np.testing.assert_allclose(centroid, camera.view(chart, pose).to_image([40.5, 5.5]), atol=0.02)


def test_the_psf_over_a_block_is_the_mean_of_its_pixels() -> None:
    camera = ChartCamera(EXAMPLE, HEIGHT, WIDTH)
    rows, columns = slice(3, 9), slice(50, 60)
    each = [
        EXAMPLE.psf(((i + 0.5) / HEIGHT, (j + 0.5) / WIDTH)).double().numpy()
        for i in range(*rows.indices(HEIGHT))
        for j in range(*columns.indices(WIDTH))
    ]
    np.testing.assert_allclose(camera.psf_over(rows, columns), np.mean(each, 0), atol=1e-7)


def test_corners_lose_what_vignetting_says() -> None:
    camera = ChartCamera(noise_only(), 400, 600, cfa=None, vignetting=0.4)
    falloff = camera.falloff()
    # The corner pixel's center is nearer than the corner by 1 part in 500, which is 0.0011 of the light.
    assert falloff[0, 0] == pytest.approx(0.6, abs=1.2e-3)
    assert falloff.max() == pytest.approx(1.0, abs=1e-5)
    light = camera.render(dots(shape=(4, 6)), Pose(), paper=(0.5, 0.8), surround=0.5)
    np.testing.assert_allclose(light, 0.5 * falloff)
    # cos^4 of the angle under which a place is seen: tan grows with the distance from the center.
    tan2 = 0.6**-0.5 - 1
    np.testing.assert_allclose(falloff[199, 0], math.cos(math.atan(math.sqrt(tan2 * 360000 / 520000))) ** 4, rtol=1e-2)


def test_a_flat_field_has_the_light_that_was_asked_for() -> None:
    camera = ChartCamera(noise_only(), 128, 128, black=100, color=(0.5, 1.0, 0.8), vignetting=0.3)
    frame = camera.flat(2.0, 200, 0.1, generator(), gradient=(0.2, -0.1))
    slope = 1 + np.linspace(-0.2, 0.2, 128) - np.linspace(-0.1, 0.1, 128)[:, None]
    for name, where in camera.planes().items():
        share = {"R": 0.5, "G": 1.0, "B": 0.8}[name[0]]
        light = 2.0 * 0.1 * 2 * share * (slope * camera.falloff())[where]
        mean = 100 + 3995 * light
        level = camera.noise(200)
        alpha, sigma = (float(v[{"R": 0, "G": 1, "B": 2}[name[0]]]) for v in level)
        variance = 3995**2 * (alpha * light + sigma**2) + 1 / 12
        # Both halves, so that a slope the wrong way round is seen: the mean of n pixels, within 4 standard errors.
        for half in (np.s_[:, :32], np.s_[:, 32:], np.s_[:32], np.s_[32:]):
            off = (frame.planes()[name][half] - mean[half]).mean()
            assert abs(off) < 4 * math.sqrt(variance[half].mean() / variance[half].size)
    assert (frame.iso, frame.exposure_s, frame.cfa, frame.white) == (200, 0.1, "RGGB", 4095)
    assert frame.black == (100, 100, 100, 100)
    assert frame.camera == "simulated"


def test_exposure_0_is_dark() -> None:
    camera = ChartCamera(noise_only(), 64, 64, black=100)
    np.testing.assert_array_equal(
        camera.flat(5.0, 100, 0.0, generator()).values, camera.flat(0.0, 100, 1.0, generator()).values
    )


@pytest.mark.parametrize("snr_db", [25.0, 40.0])
def test_the_snr_is_the_one_asked_for(snr_db: float) -> None:
    # Green's light at the chart's mean, everywhere: the deviation is (white - black) / 10^(snr / 20) of the signal.
    camera = ChartCamera(noise_only(), 256, 256, color=(1.0, 0.8, 1.0))
    level = camera.noise(400, snr_db, exposure=0.9, paper=(0.05, 0.84))
    frame = camera.expose(np.full((256, 256), 0.9 * 0.8 * 0.445), 400, generator(), noise=level)
    values = frame.planes()["Gr"] / (4095 - 256)
    wanted = 0.9 * 0.8 * (0.84 - 0.05) / 10 ** (snr_db / 20)
    # Standard error of a deviation: 1 / sqrt(2 n) of it; rounding adds a little.
    assert math.sqrt(values.var() - 1 / 12 / 3839**2) == pytest.approx(wanted, rel=4 / math.sqrt(2 * values.size))
    plain = camera.noise(400)
    assert (level.alpha / plain.alpha).tolist() == pytest.approx((level.sigma**2 / plain.sigma**2).tolist())


def test_a_photograph_is_rendered_and_measured_and_its_seed_gives_it_again() -> None:
    camera = ChartCamera(EXAMPLE, HEIGHT, WIDTH)
    chart = dots((5, 5), (20, 30))
    a, b, c = (camera.photograph(chart, 200, generator(s), pose=Pose(fill=0.8), snr_db=30) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.values, b.values)
    assert (a.values != c.values).any()
    by_hand = camera.expose(
        camera.render(chart, Pose(fill=0.8)), 200, generator(1), noise=camera.noise(200, 30), exposure_s=1 / 60
    )
    np.testing.assert_array_equal(a.values, by_hand.values)
    assert (a.iso, a.exposure_s) == (200, 1 / 60)


def small(**arguments: Any) -> ChartCamera:
    return ChartCamera(arguments.pop("camera", EXAMPLE), 8, 8, **arguments)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small(vignetting=1.0), r"vignetting must be in \[0, 1\); found 1"),
        (lambda: small(color=(1, 0, 1)), "color must be three numbers above 0"),
        (lambda: small().noise(0), "iso must be finite and above 0; found 0"),
        (lambda: small().noise(100, math.nan), "snr_db must be finite"),
        (lambda: small(camera=silent()).noise(100, 40), "needs a camera with noise"),
        (lambda: small().flat(-1, 100), "light must be at least 0"),
        (lambda: small().flat(1, 100, -1), "exposure_s must be at least 0"),
        (lambda: small().flat(1, 100, gradient=(0.9, 0.9)), "gradient must leave the light at 0 or above"),
        (lambda: small().render(dots(), paper=(-0.1, 1)), "paper must be at least 0"),
        (lambda: small().render(dots(), surround=-1), "surround must be at least 0"),
        (lambda: small().render(dots(), exposure=-1), "exposure must be at least 0"),
        (lambda: small(camera=noise_only()).psf_over(slice(0, 4), slice(0, 4)), "no PSF field"),
        (lambda: small().psf_over(slice(4, 4), slice(0, 4)), "at least one pixel"),
    ],
)
def test_bad_arguments_are_named(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def silent() -> Camera:
    """A camera without noise."""
    noise = {"gains": [{"iso": 100, "alpha": 0.0, "sigma": 0.0}], "source": "none"}
    stated = {"schema_version": 1, "name": "silent", "noise": noise, "exposure": EXAMPLE.profile.exposure}
    return Camera(type(EXAMPLE.profile).model_validate(stated))


def test_the_example_keeps_greens_centroid_and_shows_lateral_color() -> None:
    psfs = EXAMPLE.optics.psfs.double()
    at = torch.arange(-7, 8, dtype=torch.float64)
    centroid = torch.stack([(psfs.sum(-2) * at).sum(-1), (psfs.sum(-1) * at).sum(-1)], -1)
    # A sampled Gaussian of 0.6 px has its centroid off by up to 2 exp(-2 pi^2 0.6^2) / (2 pi) = 0.0003 px.
    assert centroid[:, :, 1].abs().max() < 1e-3
    # The node at the right edge, half way down: red outside (to the right), blue inside.
    assert centroid[3, 8, :, 0].tolist() == pytest.approx([0.3 * 0.8, 0, -0.25 * 0.8], abs=2e-3)
