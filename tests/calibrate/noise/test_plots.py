"""The residual plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.noise import plots
from dirtypixels.calibrate.noise.curve import MeasuredCurve, noise_curve


@pytest.fixture(scope="module")
def curve(sensor: type) -> MeasuredCurve:
    """Two gains, three colors; patches that clip at both ends."""
    known = sensor(black=(8.0,) * 4, sigma=3e-3, shape=(128, 192))
    times = (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.1)
    return noise_curve([f for iso in (100, 200) for f in known.pairs(iso, [100 / iso * t for t in times])])


@pytest.fixture(scope="module")
def mono(sensor: type) -> MeasuredCurve:
    """One gain, no colors."""
    return noise_curve(sensor(cfa=None, shape=(128, 128)).pairs(100, (0.0, 0.1, 0.4, 0.8)))


def drawn(curve: MeasuredCurve, path: Path) -> Figure:
    """The figure that is written to a path."""
    kept: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        original = plots.save
        patch.setattr(plots, "save", lambda figure, to: (kept.append(figure), original(figure, to)))
        plots.plot_residuals(curve, path)
    return kept[0]


def titles(figure: Figure) -> list[str]:
    """First lines of the panels' titles."""
    return [axes.get_title("left").splitlines()[0] for axes in figure.axes[::2]]


def with_diagnostics(curve: MeasuredCurve, *diagnostics: Diagnostic) -> MeasuredCurve:
    return MeasuredCurve(curve.estimates, curve.black, curve.white, diagnostics)


def test_a_panel_for_each_gain_and_channel(curve: MeasuredCurve, tmp_path: Path) -> None:
    figure = drawn(with_diagnostics(curve), tmp_path / "residuals.png")
    assert len(figure.axes) == 2 * 2 * 3
    assert titles(figure) == [f"ISO {i}, {c}" for i in (100, 200) for c in "RGB"]
    assert figure.get_suptitle() == "PASS: no check failed"
    labels = [text.get_text() for text in figure.axes[2].get_legend().get_texts()]
    assert labels == ["fitted, clipped", "patches, not clipped", "patches, clipped in part"]
    with Image.open(tmp_path / "residuals.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500


def test_the_verdict_and_the_reason_are_the_title(mono: MeasuredCurve, tmp_path: Path) -> None:
    failed = with_diagnostics(mono, Diagnostic("drift", "failure", "the light fell by half " * 20))
    figure = drawn(failed, tmp_path / "residuals.png")
    assert figure.get_suptitle().startswith("FAIL: the light fell by half")
    assert max(map(len, figure.get_suptitle().splitlines())) < 120


def test_a_monochrome_sensor_has_one_column(mono: MeasuredCurve, tmp_path: Path) -> None:
    figure = drawn(mono, tmp_path / "residuals.png")
    assert len(figure.axes) == 2
    assert titles(figure) == ["ISO 100"]


def test_the_same_curve_gives_the_same_bytes(mono: MeasuredCurve, tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    for path in (one, other):
        plots.plot_residuals(mono, path)
    assert one.read_bytes() == other.read_bytes()


def test_an_estimate_that_failed_is_named_in_its_panel(mono: MeasuredCurve, tmp_path: Path) -> None:
    estimate = mono.estimates[100, "Y"]
    bad = estimate.replaced(diagnostics=(Diagnostic("residual", "failure", "does not fit"),))
    estimates = {(100.0, "Y"): bad, (200.0, "Y"): estimate}
    figure = drawn(MeasuredCurve(estimates, mono.black, mono.white, bad.diagnostics), tmp_path / "residuals.png")
    assert [title.endswith("FAIL") for title in titles(figure)] == [True, False]


def test_patches_that_say_nothing_are_left_out(mono: MeasuredCurve, tmp_path: Path) -> None:
    estimate = mono.estimates[100, "Y"]
    fitted = estimate.patches.fitted.copy()
    fitted[0] = np.nan
    odd = estimate.replaced(patches=replace(estimate.patches, fitted=fitted))
    figure = drawn(MeasuredCurve({(100.0, "Y"): odd}, mono.black, mono.white, ()), tmp_path / "residuals.png")
    dots = figure.axes[0].get_lines()[0].get_xdata()
    assert len(dots) == len(fitted) - 1


def test_the_line_rolls_off_at_both_ends(curve: MeasuredCurve) -> None:
    """Between the clipping points it is the model's line, at them it falls to 0."""
    estimate = curve.estimates[100, "G"]
    mean, deviation = plots._fitted(estimate)
    step = 1 / (estimate.white - estimate.black)
    middle = (mean > 0.1) & (mean < 0.9)
    line = np.sqrt(estimate.alpha * mean + estimate.sigma**2 + step**2 / 12)
    assert deviation[middle] == pytest.approx(line[middle], rel=1e-4)
    assert deviation[-1] < 0.01 * deviation.max()
    assert mean[-1] == pytest.approx(1, abs=1e-4)
    at_black = np.interp(0.0, mean, deviation)
    assert at_black < 0.9 * estimate.sigma
    assert mean.min() == pytest.approx(-estimate.black * step, abs=2e-4)


@pytest.mark.parametrize("unit", [1.0, 16.0, 1 / 4095])
def test_the_line_knows_the_distance_of_the_codes(sensor: type, unit: float) -> None:
    """Codes 16 apart, and floats in [0, 1], which are not rounded: the same line as of the frames before."""
    known = sensor(cfa=None, shape=(128, 128), sigma=0.2e-3, alpha=1e-5, black=(64.0,) * 4)
    dtype = np.float32 if unit < 1 else np.uint16
    frames = [
        replace(f, values=(f.values * unit).astype(dtype), black=(64.0 * unit,) * 4, white=4095.0 * unit)
        for f in known.pairs(100, (0.0, 0.05, 0.2, 0.5, 0.8))
    ]
    estimate = noise_curve(frames).estimates[100, "Y"]
    mean, deviation = plots._fitted(estimate)
    inside = (mean > 0.02) & (mean < 0.9)
    step = 0.0 if unit < 1 else 1 / (4095 - 64)
    assert deviation[inside] == pytest.approx(
        np.sqrt(estimate.alpha * mean + estimate.sigma**2 + step**2 / 12)[inside], rel=0.01
    )
    table = estimate.patches
    shown = np.interp(table.mean, mean, deviation)
    assert shown == pytest.approx(table.fitted, rel=0.01)


@pytest.mark.filterwarnings("error")
def test_the_line_of_no_gaussian_noise(mono: MeasuredCurve) -> None:
    estimate = mono.estimates[100, "Y"]
    mean, deviation = plots._fitted(type(estimate)(estimate.alpha, 0.0, **estimate.__dict__))
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()


def test_means_of_many_patches_are_weighted(curve: MeasuredCurve) -> None:
    random = np.random.default_rng(0)
    level = np.repeat([0.1, 0.5, 0.9], 400)
    fitted = np.full(1200, 0.02)
    error = np.where(np.arange(1200) % 2, 1e-4, 3e-4)
    measured = fitted + error * random.standard_normal(1200)
    at, ratio, ratio_error, expected = plots._binned(level, measured, fitted, error)
    assert at == pytest.approx([0.1, 0.5, 0.9])
    assert expected == pytest.approx(0.02)
    weights = 200 / (1e-4 / 0.02) ** 2 + 200 / (3e-4 / 0.02) ** 2
    assert ratio_error == pytest.approx(weights**-0.5)
    assert (np.abs(ratio) < 5 * ratio_error).all()
