"""A plot of how well the noise model fits: measured and fitted standard deviation over the mean."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dirtypixels.calibrate.diagnostics import CLIPPED
from dirtypixels.calibrate.noise.clipping import clipped_moments, some_variance
from dirtypixels.calibrate.noise.curve import MeasuredCurve
from dirtypixels.calibrate.noise.exposures import label
from dirtypixels.calibrate.noise.level import NoiseEstimate
from dirtypixels.plotting import DPI, INK, dress, save

Array = npt.NDArray[np.float64]

_COLORS = {"R": "#D55E00", "G": "#009E73", "B": "#0072B2", "Y": "#0072B2"}
_CLIPPED_COLOR = "#CC79A7"
_VERDICTS = {True: ("PASS", "#1B7837"), False: ("FAIL", "#B2182B")}
_BINS = 40
_TICKS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def plot_residuals(curve: MeasuredCurve, path: str | Path) -> None:
    """Draw the residual plot of a measured curve, a PNG.

    A row of panels for each gain, a column for each color channel. In each, above: standard deviation over the mean,
    in units of the signal, mean on a square root scale, which makes shot noise a straight line; below: the relative
    residual `measured / fitted - 1`. Pale dots are patches; points with bars of one standard error are means of patches
    of nearly one level, and the lower panel shows all of these. Patches that clip are in their own color. The line is
    the fitted noise, clipped and rounded as the sensor does it.

    >>> import tempfile
    >>> import numpy as np
    >>> from dirtypixels.calibrate import noise_curve
    >>> from dirtypixels.raw import Frame
    >>> random = np.random.default_rng(0)
    >>> frames = []
    >>> for seconds in (0.1, 0.1, 0.4, 0.4, 0.8, 0.8):
    ...     values = (64 + random.poisson(4000 * seconds, (64, 64))).astype(np.uint16)
    ...     frames.append(Frame(values, black=(64.0,) * 4, white=4095.0, iso=100.0, exposure_s=seconds))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_residuals(noise_curve(frames), f"{folder}/residuals.png")
    """
    gains = curve.iso.tolist()
    channels = list(dict.fromkeys(channel for _, channel in curve.estimates))
    width = max(7.5, 4.2 * len(channels))
    verdict, color = _VERDICTS[curve.passed]
    title = "\n".join(textwrap.wrap(f"{verdict}: {curve.reason}", int(width * 13))[:6])
    figure = Figure(figsize=(width, 0.8 + 3.9 * len(gains)), dpi=DPI * 2 // 3, layout="constrained")
    figure.suptitle(title, color=color, x=0.01, ha="left", fontsize=10)
    rows = figure.subfigures(len(gains), len(channels), squeeze=False)
    for line, iso in zip(rows, gains, strict=True):
        for part, channel in zip(line, channels, strict=True):
            upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(3, 2))
            _panel(upper, lower, curve.estimates[iso, channel], channel)
            estimate = curve.estimates[iso, channel]
            state = "" if estimate.passed else f"    {_VERDICTS[False][0]}"
            title = f"{label(iso, channel)}{state}\n{_figures(estimate)}"
            upper.set_title(title, fontsize=7.5, color=INK, loc="left")
    save(figure, path)


def _figures(estimate: NoiseEstimate) -> str:
    (a, b), (c, d) = estimate.alpha_interval, estimate.sigma_interval
    return (
        f"alpha {estimate.alpha:.4g} ± {(b - a) / 2:.1g}, sigma {estimate.sigma:.4g} ± {(d - c) / 2:.1g} "
        f"({estimate.confidence:.0%})"
    )


def _panel(upper: Any, lower: Any, estimate: NoiseEstimate, channel: str) -> None:
    table = estimate.patches
    known = np.isfinite(table.fitted) & (table.fitted > 0) & (table.standard_error > 0)
    mean, measured, fitted, error = (v[known] for v in (table.mean, table.std, table.fitted, table.standard_error))
    clipped = (table.low + table.high)[known] > CLIPPED
    pale = 0.3 if len(mean) < 300 else 0.1
    reach = 0.01
    for group, color, name in (
        (~clipped, _COLORS[channel], "patches, not clipped"),
        (clipped, _CLIPPED_COLOR, "patches, clipped in part"),
    ):
        if not group.any():
            continue
        dots = {"color": color, "lw": 0, "marker": ".", "ms": 2, "alpha": pale, "zorder": 2}
        upper.plot(mean[group], measured[group], **dots)
        lower.plot(mean[group], measured[group] / fitted[group] - 1, **dots)
        at, ratio, ratio_error, expected = _binned(mean[group], measured[group], fitted[group], error[group])
        reach = max(reach, 1.3 * float((np.abs(ratio) + 2 * ratio_error).max()))
        bars = {"color": color, "fmt": "o", "ms": 3.5, "lw": 1.2, "mec": "white", "mew": 0.4, "zorder": 4}
        upper.errorbar(at, expected * (1 + ratio), expected * ratio_error, label=name, **bars)
        lower.errorbar(at, ratio, ratio_error, **bars)
    upper.plot(*_fitted(estimate), color=INK, lw=1, zorder=3, label="fitted, clipped")
    lower.axhline(0, color=INK, lw=1, zorder=3)
    upper.set_xscale("function", functions=(_root, _square))
    upper.set_xlim(min(0.0, float(mean.min())), 1.02)
    lower.set_xticks(_TICKS)
    upper.set_ylim(0, 1.25 * float(measured.max()))
    lower.set_ylim(-reach, reach)
    percent = FuncFormatter(lambda value, _: f"{100 * value:g} %")
    for axis in (lower.xaxis, lower.yaxis, upper.yaxis):
        axis.set_major_formatter(percent)
    lower.set_xlabel("mean, of white", fontsize=8)
    upper.set_ylabel("standard deviation, of white", fontsize=8)
    lower.set_ylabel("measured / fitted - 1", fontsize=8)
    for axes in (upper, lower):
        dress(axes)
        axes.grid(axis="both", color="#dddddd", lw=0.7, zorder=0)
        axes.tick_params(labelsize=7)
    upper.legend(fontsize=7, frameon=False, loc="upper left")


def _binned(mean: Array, measured: Array, fitted: Array, error: Array) -> tuple[Array, Array, Array, Array]:
    """Mean, relative residual, its standard error and the fitted standard deviation of patches of nearly one level."""
    ratio, spread = measured / fitted - 1, error / fitted
    if len(mean) <= _BINS:
        return mean, ratio, spread, fitted
    place = _root(mean)
    bins = np.minimum((place - place.min()) / (np.ptp(place) or 1.0) * _BINS, _BINS - 1).astype(int)
    weight = 1 / spread**2
    total = np.bincount(bins, weight, _BINS)
    there = total > 0
    at, relative, expected = (np.bincount(bins, weight * v, _BINS)[there] / total[there] for v in (mean, ratio, fitted))
    return at, relative, 1 / np.sqrt(total[there]), expected


def _fitted(estimate: NoiseEstimate) -> tuple[Array, Array]:
    """The fitted noise as the sensor shows it: standard deviation over the mean, both clipped."""
    low = estimate.bounds.low
    spread = np.sqrt(estimate.alpha + estimate.sigma**2)
    reach = 5 * estimate.sigma
    level = _square(np.linspace(_root(max(low, 0.0) - reach), _root(1 + 5 * spread), 1500))
    gaussian = some_variance(estimate.alpha, estimate.sigma**2)
    mean, variance, *_ = clipped_moments(level, estimate.alpha, gaussian, estimate.bounds)
    return mean, np.sqrt(variance)


def _root(value: npt.ArrayLike) -> Array:
    return np.asarray(np.copysign(np.sqrt(np.abs(value)), value), dtype=float)


def _square(value: npt.ArrayLike) -> Array:
    return np.asarray(np.copysign(np.square(value), value), dtype=float)
