"""Plots of a camera: its noise over gain and light, its PSFs over the sensor. Imports matplotlib."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from dirtypixels import checks
from dirtypixels.camera.noise import NoiseLevel
from dirtypixels.camera.optics import POSITIONS
from dirtypixels.camera.profile import Camera
from dirtypixels.plotting import GRAY, INK, dress, save

__all__ = ["plot_noise", "plot_psfs", "rms_radius", "snr_db"]

DPI = 160
# Okabe and Ito's palette, told apart with every kind of color vision and on black as on white.
BLUE, ORANGE = "#0072B2", "#D55E00"
PLACES = {"center": ("center", "#56B4E9"), "offaxis": ("off-axis", "#E69F00"), "periphery": ("periphery", "#CC79A7")}
SIGNALS = {0.9: ("near white", "#b0b0b0"), 0.18: ("middle gray", "#666666"), 0.02: ("shadow", "#000000")}
# red, green and blue, darker for alpha than for sigma
CHANNELS = (("#A6320A", "#00704F", "#004C7A"), ("#F08A5D", "#4CC9A0", "#6FB7E9"))
STRETCH = 3  # PSFs are shown to the power 1/3: one thousandth of the peak is a tenth of white


def snr_db(level: NoiseLevel, signal: float) -> float:
    """Signal-to-noise ratio of a mean signal s, ``10 log10(s^2 / (alpha s + sigma^2))`` in dB; without noise inf.

    Of green where the channels differ.
    """
    alpha, sigma = (float(torch.as_tensor(value).reshape(-1)[-2:][0]) for value in level)
    variance = alpha * signal + sigma**2
    return 10 * math.log10(signal**2 / variance) if variance > 0 else math.inf


def rms_radius(psf: Tensor) -> list[float]:
    """Root mean square distance from the centroid, in pixels, of each channel.

    ``sqrt(sum_x h(x) |x - c|^2),  c = sum_x h(x) x``

    Args:
        psf: (C, kh, kw), >= 0, each channel summing to 1.

    Raises:
        TypeError: psf is not a floating-point tensor.
        ValueError: psf has another shape.
    """
    checks.is_tensor("psf", psf)
    checks.has_shape("psf", psf, ("C", "kh", "kw"))
    weights = psf.double().numpy()
    rows, columns = np.indices(weights.shape[1:])
    spread = np.zeros(len(weights))
    for axis in (rows, columns):
        centroid = (weights * axis).sum((1, 2), keepdims=True)
        spread += (weights * (axis - centroid) ** 2).sum((1, 2))
    radii: list[float] = np.sqrt(spread).tolist()
    return radii


def plot_noise(camera: Camera, path: Path | str, dimmest: float = 0.3, brightest: float = 2000.0) -> None:
    """alpha and sigma over ISO, and the signal-to-noise ratio over the light on the scene, as PNG.

    Solid between calibrated gains, which are marked; dashed where the curve goes on in proportion to ISO.

    Args:
        camera: of any profile.
        path: of the PNG.
        dimmest, brightest: ends of the range of light, lux.

    >>> plot_noise(Camera.load("nexus-6p-rear"), "noise.png")  # doctest: +SKIP
    """
    curve = camera.noise
    ends = [float(curve.exposure.iso(lux)) for lux in (dimmest, brightest)]
    low, high = min(*ends, *curve.iso) / 1.5, max(*ends, *curve.iso) * 1.5
    figure = Figure(figsize=(11, 4.9), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    known = np.geomspace(curve.iso[0], curve.iso[-1], 200)
    for i, (name, color, mark) in enumerate((("alpha, Poisson scale", BLUE, "o"), ("sigma, Gaussian", ORANGE, "s"))):
        figures = (curve.alpha, curve.sigma)[i].reshape(len(curve.iso), -1)
        for c, shade in enumerate([color] if curve.channels == 1 else CHANNELS[i]):
            for gains, style in ((np.geomspace(low, high, 200), "--"), (known, "-")):
                level = curve.at_iso(torch.from_numpy(gains))
                values = torch.as_tensor(level[i]).reshape(len(gains), -1)[:, c].numpy()
                left.plot(gains, _positive(values), style, color=shade, lw=1.6)
            label = name if curve.channels == 1 else f"{name}, {'RGB'[c]}"
            nothing = "" if figures[:, c].any() else ": 0"
            left.plot(curve.iso, _positive(figures[:, c]), mark, color=shade, mec=INK, ms=7, label=label + nothing)
    left.plot([], [], "--", color=INK, lw=1.2, label="in proportion to ISO, not calibrated")
    left.set(xscale="log", yscale="log", xlim=(low, high), xlabel="ISO", ylabel="in units of the signal, white level 1")
    left.set_title("Noise over gain; markers are the profile's gains", fontsize=10.5, color=INK, loc="left")
    left.legend(frameon=False, fontsize=9, loc="upper left")
    lux = np.geomspace(dimmest, brightest, 200)
    for signal, (name, color) in SIGNALS.items():
        values = np.array([snr_db(curve.at_lux(float(x)), signal) for x in lux])
        right.plot(lux, np.where(np.isfinite(values), values, np.nan), color=color, lw=1.8, label=f"{signal:g}, {name}")
    right.axhline(0, color=INK, lw=0.8, ls=":")
    right.set(xscale="log", xlim=(dimmest, brightest), xlabel="light on the scene, lux", ylabel="SNR, dB")
    right.xaxis.set_major_formatter("{x:g}")
    of = "" if curve.channels == 1 else ", green"
    right.set_title(f"Signal-to-noise ratio over light, before clipping{of}", fontsize=10.5, color=INK, loc="left")
    right.legend(title="mean signal", title_fontsize=9, frameon=False, fontsize=9, loc="upper left")
    for axes in (left, right):
        dress(axes)
    if not curve.alpha.any() and not curve.sigma.any():
        left.set_ylim(1e-6, 1)  # the scale finds no limits by itself
        for axes in (left, right):
            axes.text(0.5, 0.6, "no noise at any gain", transform=axes.transAxes, ha="center", color=INK)
    figure.suptitle(camera.name, fontsize=13, color=INK, x=0.01, ha="left")
    notes = _notes({part: camera.sources[part] for part in ("Noise", "Exposure")}, 170)
    figure.supxlabel("\n".join(notes), fontsize=8, color=GRAY, x=0.01, ha="left")
    save(figure, path)


def plot_psfs(camera: Camera, path: Path | str) -> None:
    """The PSFs as color pictures on the sensor's grid, and three of them enlarged with their size, as PNG.

    Each PSF is divided by its own peak over the channels and shown to the power 1/3.

    Raises:
        ValueError: the profile has no PSF field.
    """
    field = camera.optics
    if field is None:
        raise ValueError(f"camera must have a PSF field; found none in {camera.name!r}")
    rows, columns, _, height, width = field.psfs.shape
    # In inches, by hand: a layout engine loses the title's room where a picture's aspect is fixed.
    tall = 6.0
    wide = tall * min(max(columns * width / (rows * height), 1.0), 1.8)
    sources = {"Optics": field.source, "RMS radius": "root mean square distance from the centroid."}
    notes = _notes(sources, int(16.5 * (wide + 5.55)))
    top, bottom = 1.0, 0.75 + 0.15 * len(notes)
    figure = Figure(figsize=(wide + 5.55, top + tall + bottom), dpi=DPI)

    def add_axes(x: float, y: float, wide: float, tall: float) -> Any:
        across, up = figure.get_size_inches()
        return figure.add_axes((x / across, y / up, wide / across, tall / up), anchor="NW")

    sensor = add_axes(0.75, bottom, wide, tall)
    mosaic = np.concatenate([np.concatenate([_shown(one) for one in row], 1) for row in field.psfs])
    # One unit of the axes is one node, so that places are where the field says that they are.
    sensor.imshow(
        mosaic, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), aspect=height / width, interpolation="nearest"
    )
    for i, (place, (name, color)) in enumerate(PLACES.items()):
        row, column = POSITIONS[place]
        x, y = column * (columns - 1), row * (rows - 1)
        sensor.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=color, lw=1.8, clip_on=False, zorder=3))
        label: dict[str, Any] = {"s": name, "color": color, "fontsize": 9}
        if column < 1:
            behind = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 0.8}
            sensor.text(x, y - 0.58, ha="center", va="bottom", bbox=behind, **label)
        else:  # above the corner of the frame stands the square of its neighbor, next to it there is room
            sensor.text(columns - 0.4, y + 0.5, ha="left", va="bottom", rotation=90, **label)
        side = 1.73
        y = bottom + tall - side - i * (tall - side) / 2
        _enlarge(add_axes(wide + 1.6, y, side, side), camera.psf(place), field.pitch_um, place)
    sensor.set_xticks([0, (columns - 1) / 2, columns - 1], ["0", "0.5", "1"])
    sensor.set_yticks([0, (rows - 1) / 2, rows - 1], ["0", "0.5", "1"])
    sensor.set(xlabel="column on the sensor", ylabel="row on the sensor")
    pitch = "" if field.pitch_um is None else f" of {field.pitch_um:g} µm"
    size = f"{rows} x {columns} PSFs, each {height} x {width} px{pitch},"
    stretch = f"divided by its own peak and shown to the power 1/{STRETCH}, so that the tails can be seen"
    sensor.set_title(f"{size} {stretch}" if wide > 8 else f"{size}\n{stretch}", fontsize=10.5, color=INK, loc="left")
    figure.suptitle(f"{camera.name}: the lens over the sensor", fontsize=13, color=INK, x=0.01, ha="left")
    figure.text(0.01, 0.01, "\n".join(notes), fontsize=8, color=GRAY, va="bottom")
    save(figure, path)


def _enlarge(axes: Any, psf: Tensor, pitch_um: float | None, place: str) -> None:
    name, color = PLACES[place]
    row, column = POSITIONS[place]
    height, width = psf.shape[1:]
    axes.imshow(_shown(psf), extent=(-width / 2, width / 2, height / 2, -height / 2), interpolation="nearest")
    axes.spines[:].set(color=color, linewidth=2.5)
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_xlabel("px", fontsize=8, labelpad=1)
    radii = rms_radius(psf)
    channels = ("R ", "G ", "B ") if len(radii) == 3 else ("",)
    um = ["" if pitch_um is None else f", {r * pitch_um:.1f} µm" for r in radii]
    lines = [f"{channel}{r:.2f} px{more}" for channel, r, more in zip(channels, radii, um, strict=True)]
    style: dict[str, Any] = {"transform": axes.transAxes, "color": INK, "va": "top"}
    axes.text(1.1, 1, f"{name} ({row:g}, {column:g})", fontsize=10.5, weight="bold", **style)
    axes.text(1.1, 0.85, "\n".join(["RMS radius", *lines]), fontsize=9.5, linespacing=1.5, **style)


def _shown(psf: Tensor) -> npt.NDArray[np.float32]:
    """(C, kh, kw) to an RGB picture (kh, kw, 3) in [0, 1]."""
    picture: npt.NDArray[np.float32] = (psf / psf.max()).pow(1 / STRETCH).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return picture


def _positive(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(values > 0, values, np.nan)  # a logarithmic axis has no 0


def _notes(sources: dict[str, str], letters: int) -> list[str]:
    """Where the figures come from, in lines of at most so many letters."""
    return [line for name, text in sources.items() for line in textwrap.wrap(f"{name}: {text}", letters)]
