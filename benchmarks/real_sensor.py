"""The noise estimate of a real CCD against its EMVA 1288 photon transfer, and what the sensor does beyond the model.

    python -m benchmarks.real_sensor --data SHARED/emva1288_ccd [-o FOLDER] [--patches 8192]

The data: flat fields and dark frames of a 12-bit monochrome CCD (Basler, EMVA1288/datasets, CC BY-SA 3.0), two frames
of each of 25 exposure times, 50 frames of one. The photon transfer is written here on its own, from the standard. With
-o: `real_sensor.md`, `real_sensor.json` and `real_sensor.png`, the residual plot.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import stats

from dirtypixels.calibrate.noise.curve import MeasuredCurve, noise_curve
from dirtypixels.calibrate.noise.plots import plot_residuals
from dirtypixels.files import write_text
from dirtypixels.raw.frames import Frame
from dirtypixels.study.machine import hardware, versions

Array = npt.NDArray[np.float64]
WHITE = 4095.0
ISO = 100.0  # stands for the camera's one gain


@dataclass(frozen=True)
class Level:
    """Frames of one exposure: F files, seconds, photons a pixel (0 in the dark)."""

    seconds: float
    photons: float
    files: tuple[Path, ...]

    def read(self) -> list[npt.NDArray[np.uint16]]:
        return [np.asarray(Image.open(file)).astype(np.uint16) for file in self.files]


@dataclass(frozen=True)
class Transfer:
    """Photon transfer of the pairs, (N,) each: means and variances in DN and DN^2, in the light and in the dark."""

    seconds: Array
    photons: Array
    mean: Array
    variance: Array
    dark_mean: Array
    dark_variance: Array
    pixels: int

    @property
    def signal(self) -> Array:
        return self.mean - self.dark_mean

    @property
    def shot(self) -> Array:
        return self.variance - self.dark_variance

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Up to 70 % of saturation, which is where the variance is largest."""
        saturation = self.signal[self.variance.argmax()]
        result: npt.NDArray[np.bool_] = self.signal <= 0.7 * saturation
        return result

    def gain(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """K, DN an electron, with its interval: slope of `shot` over `signal` through the origin, least squares."""
        x, y = self.signal[self.used], self.shot[self.used]
        slope = float(x @ y / (x @ x))
        error = float(np.sqrt(((y - slope * x) ** 2).sum() / (len(x) - 1) / (x @ x)))
        half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) * error
        return slope, slope - half, slope + half

    def gain_with_offset(self) -> tuple[float, float]:
        """Slope and offset of the line of least squares that need not go through the origin."""
        slope, offset = np.polyfit(self.signal[self.used], self.shot[self.used], 1)
        return float(slope), float(offset)


def read_levels(folder: Path) -> list[Level]:
    """The exposures that `EMVA1288_Data.txt` lists, bright and dark."""
    found: list[tuple[float, float, list[Path]]] = []
    for line in (folder / "EMVA1288_Data.txt").read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or ("#",)
        if kind in ("b", "d"):
            found.append((float(rest[0]) * 1e-9, float(rest[1]) if kind == "b" else 0.0, []))
        elif kind == "i":
            found[-1][2].append(folder / rest[0])
    return [Level(seconds, photons, tuple(files)) for seconds, photons, files in found]


def read_captures(levels: list[Level]) -> tuple[list[Frame], list[float]]:
    """All frames, and which of them were in the light."""
    frames, light = [], []
    for level in levels:
        for file, values in zip(level.files, level.read(), strict=True):
            frames.append(Frame(values, white=WHITE, iso=ISO, exposure_s=level.seconds, camera="Basler CCD", path=file))
            light.append(1.0 if level.photons else 0.0)
    return frames, light


def photon_transfer(levels: list[Level]) -> Transfer:
    """Means and temporal variances of the pairs, as EMVA 1288 Release 3.1 has them, eqs. 36 to 38.

    ``variance = 1/2 mean((a - b)^2) - 1/2 (mean(a) - mean(b))^2``
    """
    dark = {level.seconds: level for level in levels if not level.photons and len(level.files) == 2}
    rows = []
    for level in sorted((one for one in levels if one.photons and len(one.files) == 2), key=lambda one: one.seconds):
        rows.append((level.seconds, level.photons, *_pair(level), *_pair(dark[level.seconds])))
    pixels = levels[0].read()[0].size
    return Transfer(*np.array(rows).T, pixels=pixels)


def _pair(level: Level) -> tuple[float, float]:
    one, other = (frame.astype(float) for frame in level.read())
    change = one.mean() - other.mean()
    return float(one.mean() + other.mean()) / 2, float(((one - other) ** 2).mean() - change**2) / 2


def bend(transfer: Transfer) -> tuple[Array, Array]:
    """`shot / signal` over unclipped levels from 5 % on, over its mean, less 1: measured, and by the response's bend.

    For electrons e and a response f(e), the variance is f'(e)^2 e to first order, so that `shot / signal` goes as
    ``f'(e)^2 e / f(e)``. f is a parabola through the origin, fitted to the means over the photons.
    """
    use = (transfer.signal > 0.05 * WHITE) & (transfer.mean < 0.97 * WHITE)
    x, y = transfer.photons[use], transfer.signal[use]
    b, a = np.linalg.lstsq(np.stack([x, x**2], 1) / y[:, None], np.ones_like(y), rcond=None)[0]
    predicted = (b + 2 * a * x) ** 2 * x / (b * x + a * x**2)
    measured = transfer.shot[use] / y
    return measured / measured.mean() - 1, predicted / predicted.mean() - 1


def code_widths(levels: list[Level], period: int = 4) -> Array:
    """How often each of `period` neighboring codes comes, against the mean, in the level of most frames; (period,)."""
    most = max((level for level in levels if level.photons), key=lambda level: len(level.files))
    counts = sum(np.bincount(frame.ravel(), minlength=4096) for frame in most.read()).astype(float)
    center = round(float(counts @ np.arange(4096) / counts.sum())) // period * period
    near = counts[center - 25 * period : center + 25 * period].reshape(-1, period)
    share: Array = near.sum(0) / near.sum() * period - 1
    return share


def row_noise(levels: list[Level]) -> float:
    """Standard deviation of what a row of a dark frame has in common, DN."""
    dark = max((level for level in levels if not level.photons), key=lambda level: len(level.files)).read()
    rows = []
    for one, other in zip(dark[::2], dark[1::2], strict=False):
        difference = one.astype(float) - other
        rows.append(difference.mean(1).var(ddof=1) - difference.var() / difference.shape[1])
    return float(np.sqrt(max(np.mean(rows), 0.0) / 2))


def table(curve: MeasuredCurve, transfer: Transfer) -> list[str]:
    """Markdown: both ways to the same figures."""
    estimate = curve.estimates[ISO, "Y"]
    span = estimate.white - estimate.black
    k, low, high = transfer.gain()
    gain, gain_interval = estimate.alpha * span, [v * span for v in estimate.alpha_interval]
    sigma, sigma_interval = estimate.sigma * span, [v * span for v in estimate.sigma_interval]
    total = np.sqrt(sigma**2 + 1 / 12)
    dark = float(np.sqrt(transfer.dark_variance.mean()))
    dark_error = 1.96 * dark / np.sqrt(2 * transfer.pixels * len(transfer.dark_variance))
    black = curve.black[ISO, "Y"]
    interval = black.interval or (np.nan, np.nan)
    current = black.dark_current
    lines = [
        "| | EMVA 1288 photon transfer | noise_curve | difference |",
        "| --- | ---: | ---: | ---: |",
        f"| gain, DN an electron | {k:.4f} [{low:.4f}, {high:.4f}] "
        f"| {gain:.4f} [{gain_interval[0]:.4f}, {gain_interval[1]:.4f}] | {gain / k - 1:+.2%} |",
        f"| noise in the dark, rounding included, DN | {dark:.4f} ± {dark_error:.4f} | {total:.4f} "
        f"| {total / dark - 1:+.2%} |",
        f"| without rounding, DN | {np.sqrt(dark**2 - 1 / 12):.4f} "
        f"| {sigma:.4f} [{sigma_interval[0]:.4f}, {sigma_interval[1]:.4f}] "
        f"| {sigma / np.sqrt(dark**2 - 1 / 12) - 1:+.2%} |",
        f"| black level, DN | {transfer.dark_mean[0]:.3f} (shortest dark pair) "
        f"| {black.value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}] | {black.value - transfer.dark_mean[0]:+.3f} DN |",
    ]
    if current:
        lines.append(f"| dark current, DN a second | | {current[0]:.1f} [{current[1][0]:.1f}, {current[1][1]:.1f}] | |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with EMVA1288_Data.txt")
    parser.add_argument("--patches", type=int, default=8192)
    parser.add_argument("-o", "--out", type=Path, help="folder for real_sensor.md, .json and .png")
    args = parser.parse_args()
    levels = read_levels(args.data)
    transfer = photon_transfer(levels)
    frames, light = read_captures(levels)
    start = time.perf_counter()
    curve = noise_curve(frames, illuminance=light, patches=args.patches)
    seconds = time.perf_counter() - start
    measured, predicted = bend(transfer)
    widths = code_widths(levels)
    slope, offset = transfer.gain_with_offset()
    k, *_ = transfer.gain()
    estimate = curve.estimates[ISO, "Y"]
    said = {diagnostic.kind for diagnostic in curve.diagnostics}
    diagnostics = [
        *curve.diagnostics,
        *(diagnostic for diagnostic in estimate.diagnostics if diagnostic.kind not in said),
    ]
    share = estimate.alpha * (estimate.white - estimate.black) / k - 1
    command = shlex.join(["python", *sys.orig_argv[1:]])
    text = "\n".join(
        [
            f"A 12-bit CCD, {len(frames)} frames of {len(levels)} exposures, intervals of 95 %.",
            "",
            *table(curve, transfer),
            "",
            f"The gain is within 2 %: {'yes' if abs(share) <= 0.02 else 'NO'}. The fit passes its own residual test: "
            f"{'yes' if estimate.passed else 'no'} ({curve.reason}). Intervals are of chance alone; what the sensor "
            f"does beyond the model, below, is more.",
            "",
            "What was found:",
            "",
            *(f"- {diagnostic.severity}, {diagnostic.kind}: {diagnostic.message}" for diagnostic in diagnostics),
            "",
            "What the sensor does that the model does not, from the frames themselves:",
            "",
            f"- Its response bends: variance over mean falls by {measured[0] - measured[-1]:.1%} from 5 to 95 % of the "
            f"range; a parabola through the means makes a fall of {predicted[0] - predicted[-1]:.1%}. What is left "
            f"scatters by {np.std(measured - predicted, ddof=2):.2%} from level to level, where chance is "
            f"{np.sqrt(2 / transfer.pixels):.2%}: the converter's slope differs from one range of codes to the next.",
            f"- Its codes are not equally wide: of every four neighbors one after the other comes "
            f"{', '.join(f'{v:+.1%}' for v in widths)} against the mean.",
            f"- Rows of a dark frame have {row_noise(levels):.2f} DN of noise in common.",
            f"- Slope of the photon transfer with an offset left free: {slope:.4f} DN an electron, offset {offset:.1f} "
            f"DN^2; through the origin {k:.4f}.",
            "",
            f"noise_curve took {seconds:.1f} s. {hardware()}. "
            + ", ".join(f"{name} {version}" for name, version in versions().items()) + ".",
            "",
            f"    {command}",
            "",
        ]
    )  # fmt: skip
    print(text)
    if args.out:
        write_text(args.out / "real_sensor.md", text)
        content = {
            "gain": {"emva": transfer.gain(), "noise_curve": [estimate.alpha, *estimate.alpha_interval]},
            "sigma": [estimate.sigma, *estimate.sigma_interval],
            "black": [estimate.black, curve.black[ISO, "Y"].interval],
            "white": estimate.white,
            "passed": curve.passed,
            "reason": curve.reason,
            "diagnostics": [vars(diagnostic) for diagnostic in diagnostics],
            "command": command,
            "hardware": hardware(),
            "versions": versions(),
        }
        write_text(args.out / "real_sensor.json", json.dumps(content, indent=2) + "\n")
        plot_residuals(curve, args.out / "real_sensor.png")


if __name__ == "__main__":
    main()
