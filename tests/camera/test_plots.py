"""A camera's plots: what they show is what the profile says, marked, with its source, and nothing overlaps."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from torch import Tensor

from dirtypixels.camera import Camera, NoiseLevel, ProfileFile, gaussian_psf, plots

GAINS = [(100.0, 1e-4, 5e-4), (800.0, 9e-4, 2e-3), (6400.0, 8e-3, 3e-2)]
SOURCE = "Simulated from a design, not measured: a made-up lens, blurrier towards the corners and redder than blue."


def field(rows: int = 4, columns: int = 5, channels: int = 3, size: int = 15) -> Tensor:
    """Gaussians, wider with the distance from the center; red wider than blue, each a little off the middle."""
    psfs = torch.zeros(rows, columns, channels, size, size)
    axis = torch.arange(size) - size // 2
    for i, j, c in itertools.product(range(rows), range(columns), range(channels)):
        radius = math.hypot(2 * i / (rows - 1) - 1, 2 * j / (columns - 1) - 1)
        sigma = 0.7 + 0.8 * radius + 0.2 * (2 - c)
        one = torch.exp(-((axis[:, None] - 1) ** 2 + axis[None] ** 2) / (2 * sigma**2))
        psfs[i, j, c] = one / one.sum()
    return psfs


def camera(psfs: Tensor | None = None, gains: list[tuple[float, float, float]] | None = None, **changed: str) -> Camera:
    content: dict[str, Any] = {"schema_version": 1, "name": "made-up"} | changed
    figures = [dict(zip(("iso", "alpha", "sigma"), gain, strict=True)) for gain in gains or [(100, 2e-4, 5e-4)]]
    content["noise"] = {"gains": figures, "source": "A source for the noise. " * 8}
    content["exposure"] = {"reference_lux": 2000, "base_iso": 100, "source": "A source for the exposure."}
    if psfs is not None:
        content["optics"] = {"rows": psfs.shape[0], "columns": psfs.shape[1], "pitch_um": 1.4, "source": SOURCE}
    return Camera(ProfileFile.model_validate(content), psfs)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that would be written."""
    figures: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, _: figures.append(figure))
    return figures


def check_layout(figure: Any) -> str:
    """No text is cut off by the figure's edge or lies over other text; returns all of it, joined."""
    figure.draw_without_rendering()
    texts = [figure._suptitle, figure._supxlabel, *figure.texts]
    for axes in figure.axes:
        texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        texts += [] if axes.get_legend() is None else axes.get_legend().findobj(Text)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    shown = {id(text): text for text in texts if text is not None and text.get_text().strip()}
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown.values()]
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    overlapping = [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)]
    assert not overlapping
    return " ".join(" ".join(text for text, _ in boxes).split())


class TestNumbers:
    @pytest.mark.parametrize("sigma", [0.8, 2.0])
    def test_the_radius_of_a_gaussian(self, sigma: float) -> None:
        # Integrating over pixels adds 1/12 to the variance of each axis; the tails beyond 4 sigma hold 0.1 % of it.
        expected = math.sqrt(2 * (sigma**2 + 1 / 12))
        assert plots.rms_radius(gaussian_psf(sigma)) == pytest.approx([expected], rel=1e-3)

    def test_the_radius_by_loops(self) -> None:
        psf = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
        psf /= psf.sum((1, 2), keepdim=True)
        for channel, found in zip(psf.double().tolist(), plots.rms_radius(psf), strict=True):
            pixels = [(y, x, h) for y, row in enumerate(channel) for x, h in enumerate(row)]
            cy, cx = sum(y * h for y, _, h in pixels), sum(x * h for _, x, h in pixels)
            expected = math.sqrt(sum(h * ((y - cy) ** 2 + (x - cx) ** 2) for y, x, h in pixels))
            assert found == pytest.approx(expected, rel=1e-6)  # the sums are 1 to float32

    def test_the_radius_does_not_see_a_shift(self) -> None:
        shifted = torch.zeros(1, 9, 9)
        shifted[0, 2, 7] = 1
        assert plots.rms_radius(shifted) == [0]

    @pytest.mark.parametrize(("psf", "error"), [(torch.ones(3, 3), ValueError), (torch.ones(1, 3, 3).int(), TypeError)])
    def test_a_psf_of_another_kind(self, psf: Tensor, error: type[Exception]) -> None:
        with pytest.raises(error, match="psf must"):
            plots.rms_radius(psf)

    def test_snr(self) -> None:
        # 0.5^2 / (0.01 * 0.5 + 0.1^2) = 0.25 / 0.015
        assert plots.snr_db(NoiseLevel(0.01, 0.1), 0.5) == pytest.approx(10 * math.log10(50 / 3))
        assert plots.snr_db(NoiseLevel(0.0, 0.0), 0.5) == math.inf


class TestNoise:
    def test_the_curves_are_the_profile(self, drawn: list[Any]) -> None:
        shown = camera(gains=GAINS)
        plots.plot_noise(shown, "unused.png")
        gain, light = drawn[0].axes
        assert (gain.get_xscale(), gain.get_yscale(), light.get_xscale()) == ("log", "log", "log")
        marked = [line.get_xydata().tolist() for line in gain.lines if line.get_marker() in ("o", "s")]
        assert marked == [[[iso, a] for iso, a, _ in GAINS], [[iso, s] for iso, _, s in GAINS]]
        for style, ends in (("-", (100, 6400)), ("--", (100 / 1.5, 100 * 2000 / 0.3 * 1.5))):
            lines = [line for line in gain.lines if line.get_linestyle() == style and len(line.get_xdata()) > 2]
            assert len(lines) == 2
            for which, line in enumerate(lines):
                assert line.get_xdata()[[0, -1]] == pytest.approx(ends)
                for iso, value in line.get_xydata()[::37]:
                    assert value == pytest.approx(shown.noise.at_iso(iso)[which])
        curves = [line for line in light.lines if len(line.get_xdata()) > 2]
        assert len(curves) == len(plots.SIGNALS)
        for line, signal in zip(curves, plots.SIGNALS, strict=True):
            for lux, value in line.get_xydata()[::37]:
                level = shown.noise.at_lux(lux)
                assert value == pytest.approx(10 * math.log10(signal**2 / (level.alpha * signal + level.sigma**2)))

    @pytest.mark.parametrize("gains", [None, GAINS, [(100.0, 0.0, 0.0)], [(100.0, 0.0, 1e-3)]])
    def test_texts(self, drawn: list[Any], gains: list[tuple[float, float, float]] | None) -> None:
        shown = camera(gains=gains)
        plots.plot_noise(shown, "unused.png")
        text = check_layout(drawn[0])
        assert f"Noise: {shown.profile.noise.source}".strip() in text
        assert f"Exposure: {shown.profile.exposure.source}" in text
        assert "made-up" in text
        assert ("no noise at any gain" in text) == (gains == [(100.0, 0.0, 0.0)])
        assert ("alpha, Poisson scale: 0" in text) == (gains is not None and gains[0][1] == 0)


class TestPsfs:
    @pytest.mark.parametrize(
        ("rows", "columns", "channels", "size"), [(4, 5, 3, 15), (9, 9, 3, 9), (3, 9, 1, 9), (9, 2, 3, 9)]
    )
    def test_texts(self, drawn: list[Any], rows: int, columns: int, channels: int, size: int) -> None:
        shown = camera(field(rows, columns, channels, size))
        plots.plot_psfs(shown, "unused.png")
        text = check_layout(drawn[0])
        for part in (f"Optics: {SOURCE}", "made-up", f"{rows} x {columns} PSFs, each {size} x {size} px of 1.4 µm"):
            assert part in text
        assert "own peak and shown to the power 1/3" in text
        for place, name in (("center", "center (0.5, 0.5)"), ("offaxis", "off-axis (0.9, 0.9)")):
            radii = plots.rms_radius(shown.psf(place))
            letters = "RGB" if channels == 3 else " "
            lines = [f"{c} {r:.2f} px, {1.4 * r:.1f} µm".strip() for c, r in zip(letters, radii, strict=True)]
            assert f"{name} RMS radius {' '.join(lines)}" in text
        assert "periphery (1, 1)" in text

    def test_the_grid_is_the_field(self, drawn: list[Any]) -> None:
        psfs = field()
        plots.plot_psfs(camera(psfs), "unused.png")
        sensor, *enlarged = drawn[0].axes
        mosaic = sensor.images[0].get_array()
        assert mosaic.shape == (4 * 15, 5 * 15, 3)
        for i, j in itertools.product(range(4), range(5)):
            tile = mosaic[15 * i : 15 * (i + 1), 15 * j : 15 * (j + 1)]
            expected = (psfs[i, j] / psfs[i, j].max()) ** (1 / 3)
            np.testing.assert_allclose(tile, expected.permute(1, 2, 0), rtol=1e-5)
            assert tile.max() == 1
        for axes, place in zip(enlarged, ("center", "offaxis", "periphery"), strict=True):
            psf = camera(psfs).psf(place)
            expected = ((psf / psf.max()) ** (1 / 3)).permute(1, 2, 0)
            np.testing.assert_allclose(axes.images[0].get_array(), expected, rtol=1e-5)
            assert sorted(axes.images[0].get_extent()) == [-7.5, -7.5, 7.5, 7.5]

    def test_places_are_marked_in_the_color_of_their_enlargement(self, drawn: list[Any]) -> None:
        plots.plot_psfs(camera(field()), "unused.png")
        sensor, *enlarged = drawn[0].axes
        squares = [patch for patch in sensor.patches if isinstance(patch, Rectangle)]
        middles = [(s.get_y() + s.get_height() / 2, s.get_x() + s.get_width() / 2) for s in squares]
        places = [(0.5, 0.5), (0.9, 0.9), (1, 1)]
        for middle, (row, column) in zip(middles, places, strict=True):
            assert middle == pytest.approx((row * 3, column * 4))
        colors = [to_hex(s.get_edgecolor()) for s in squares]
        assert len(set(colors)) == 3
        assert colors == [to_hex(axes.spines["left"].get_edgecolor()) for axes in enlarged]
        assert sensor.get_ylim() == (3.5, -0.5)  # row 0 is on top

    def test_a_camera_without_a_lens(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="camera must have a PSF field; found none in 'made-up'"):
            plots.plot_psfs(camera(), tmp_path / "x.png")
        assert not list(tmp_path.iterdir())

    def test_the_same_profile_gives_the_same_bytes(self, tmp_path: Path) -> None:
        written = [tmp_path / "a.png", tmp_path / "b.png"]
        for path in written:
            plots.plot_psfs(camera(field()), path)
        assert written[0].read_bytes() == written[1].read_bytes()


def test_the_room_alone_imports_no_matplotlib() -> None:
    code = "import sys, dirtypixels.camera; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert "matplotlib" not in done.stdout.split()
