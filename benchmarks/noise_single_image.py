"""Noise from single photographs: simulated ones of BSDS300 whose noise is known, real noise of a CCD, and a real DNG.

    python -m benchmarks.noise_single_image --data SHARED [--count 100] [--isos 100 400 1600 6400] [-o FOLDER]

SHARED holds `bsds300/test`, `emva1288_ccd` and `raw/colorchart.dng`. A picture's linear light (sRGB undone, 1.2 times,
so that some highlights clip) goes through a camera's lens or, "sharp", does not, then through its noise at each ISO to
14 bits (black level 1024, white 16383), as a mosaic (three colors a photograph, planes of 240 x 160) or a monochrome
frame (480 x 320). With -o: `noise_single_image.md` and `noise_single_image.json`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from dirtypixels.calibrate.noise.single_image import single_image_noise
from dirtypixels.calibrate.noise.wavelet import wavelet_coefficients
from dirtypixels.camera import Camera
from dirtypixels.camera.noise import NoiseLevel
from dirtypixels.data.pictures import list_pictures, read_picture
from dirtypixels.files import write_text
from dirtypixels.raw.frames import Frame, plane_slices
from dirtypixels.raw.reading import read_frame
from dirtypixels.study.machine import hardware, versions

Array = npt.NDArray[np.float64]
BLACK, WHITE, EXPOSURE, MID_GRAY = 1024.0, 16383.0, 1.2, 0.18
# kind of photograph: as a mosaic, through the lens
KINDS = {
    "ramp, monochrome": (False, False),
    "monochrome, lens": (False, True),
    "monochrome, sharp": (False, False),
    "mosaic, lens": (True, True),
    "mosaic, sharp": (True, False),
}


@dataclass(frozen=True)
class Outcome:
    """One color of one photograph; figures are relative errors, None where the photograph was refused."""

    picture: str
    channel: str
    alpha: float | None = None
    deviation: float | None = None
    held: tuple[bool, bool] | None = None
    passed: bool = False
    seconds: float = 0.0
    said: str = ""


def light_of(kind: str, picture: Path | None, camera: Camera) -> Array:
    """(C, H, W) of light that falls on the sensor, white 1."""
    if picture is None:
        y, x = np.mgrid[0:320, 0:480]
        return (0.004 + EXPOSURE * (x / 480) ** 2 * (0.8 + 0.2 * np.sin(y / 60)))[None]
    scene = read_picture(picture)[None]
    lens = KINDS[kind][1]
    captured = camera.capture(scene, iso=0.0, position="center" if lens else None, transfer="srgb")
    light = EXPOSURE * captured.signal[0].double().numpy()
    return light[:, : light.shape[1] // 2 * 2, : light.shape[2] // 2 * 2]


def photographed(light: Array, mosaic: bool, noise: NoiseLevel, random: np.random.Generator) -> Frame:
    """The light as a raw frame."""
    alpha, sigma = float(noise.alpha), float(noise.sigma)
    seen = light[min(1, len(light) - 1)].copy()  # green
    cfa = "RGGB" if mosaic else None
    if mosaic:
        for name, where in plane_slices(cfa).items():
            seen[where] = light["RGB".index(name[0])][where]
    signal = alpha * random.poisson(seen / alpha) + sigma * random.standard_normal(seen.shape)
    values = np.clip(np.rint(BLACK + (WHITE - BLACK) * signal), 0, WHITE).astype(np.uint16)
    return Frame(values, cfa=cfa, black=(BLACK,) * 4, white=WHITE)


def one(job: tuple[str, Path | int, float], camera_name: str, seed: int) -> list[Outcome]:
    """Photograph one picture at one gain and measure each color."""
    torch.set_num_threads(1)
    kind, picture, iso = job
    name = picture.name if isinstance(picture, Path) else f"ramp {picture}"
    camera = Camera.load(camera_name)
    noise = camera.noise.at_iso(iso)
    key = [seed, round(iso), list(KINDS).index(kind), *name.encode()]
    light = light_of(kind, picture if isinstance(picture, Path) else None, camera)
    frame = photographed(light, KINDS[kind][0], noise, np.random.default_rng(key))
    found = []
    # each color by itself, so that one that is refused does not take the others with it
    for channel, plane in _colors(frame).items():
        start = time.perf_counter()
        try:
            estimate = single_image_noise(plane)["Y"]
        except ValueError as error:
            found.append(Outcome(name, channel, seconds=time.perf_counter() - start, said=str(error)))
            continue
        seconds = time.perf_counter() - start
        alpha, sigma = float(noise.alpha), float(noise.sigma)
        middle = np.sqrt((estimate.alpha * MID_GRAY + estimate.sigma**2) / (alpha * MID_GRAY + sigma**2))
        pairs = ((alpha, estimate.alpha_interval), (sigma, estimate.sigma_interval))
        held = [bool(low <= true <= high) for true, (low, high) in pairs]
        said = ", ".join(f"{f.kind} ({f.severity})" for f in estimate.diagnostics if f.severity != "note")
        found.append(
            Outcome(
                name, channel, estimate.alpha / alpha - 1, float(middle) - 1, (held[0], held[1]), estimate.passed,
                seconds, said,
            )
        )  # fmt: skip
    return found


def _colors(frame: Frame) -> dict[str, Frame]:
    """Planes as monochrome frames; of green the first, which makes it as large as the others."""
    planes = frame.planes()
    names = ("R", "Gr", "B") if frame.cfa else ("Y",)
    return {name[0]: Frame(np.ascontiguousarray(planes[name]), black=frame.black, white=frame.white) for name in names}


def quantiles(values: list[float]) -> str:
    if not values:
        return "–"
    low, middle, high = 100 * np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"


def row(kind: str, iso: float, outcomes: list[Outcome]) -> str:
    measured = [o for o in outcomes if o.alpha is not None]
    passed = [o for o in measured if o.passed]
    share = [100 * len(some) / len(outcomes) for some in (measured, passed)]
    cells = [kind, f"{iso:g}", str(len(outcomes)), f"{share[0]:.0f}", f"{share[1]:.0f}"]
    for some in (measured, passed):
        cells += [quantiles([o.alpha for o in some if o.alpha is not None])]
        cells += [quantiles([o.deviation for o in some if o.deviation is not None])]
    held = [[o.held[i] for o in passed if o.held is not None] for i in (0, 1)]
    cells += [f"{100 * np.mean(h):.0f}" if h else "–" for h in held]
    cells.append(f"{np.median([o.seconds for o in measured]):.2f}" if measured else "–")
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| photographs | ISO | planes | measured, % | passed, % | alpha, error in %, measured | deviation at 0.18 "
    "| alpha, error in %, passed | deviation at 0.18 | interval holds alpha, % | sigma, % | s a plane |",
    f"| --- |{' ---: |' * 11}",
)


@dataclass(frozen=True)
class FlatFields:
    """What pairs of flat fields of a CCD say of its noise.

    Args:
        picture: (H, W) DN, a photograph put together of tiles, one of each exposure.
        black: DN.
        gain: photon transfer in DN an electron: slope of half the variance of a pair's difference over the mean, up to
            70 % of the range, least squares.
        pattern: fixed pattern at the finest scale, over the light: what details of one frame have beyond those of the
            difference of two, at the brightest exposure that is not clipped.
    """

    picture: Array
    black: float
    gain: float
    pattern: float


def flat_fields(folder: Path) -> FlatFields:
    exposures: list[tuple[str, list[Path]]] = []
    for line in (folder / "EMVA1288_Data.txt").read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or ("#",)
        if kind in ("b", "d"):
            exposures.append((kind, []))
        elif kind == "i":
            exposures[-1][1].append(folder / rest[0])
    bright, dark = (
        [[np.asarray(Image.open(f)).astype(float) for f in files[:2]] for k, files in exposures if k == kind]
        for kind in "bd"
    )
    black = float(np.mean([one.mean() for one, _ in dark]))
    bright = sorted((pair for pair in bright if pair[0].mean() < 3800), key=lambda pair: float(pair[0].mean()))
    means = np.array([(one + other).mean() / 2 for one, other in bright])
    variances = np.array([np.var(one - other) / 2 for one, other in bright])
    use = means - black < 0.7 * (4095 - black)
    gain = float(np.polyfit(means[use], variances[use], 1)[0])
    one, other = bright[-1]
    single, paired = (
        float((wavelet_coefficients(v, -1e9, 1e9).diagonal ** 2).mean()) for v in (one, (one - other) / np.sqrt(2))
    )
    pattern = np.sqrt(max(0.0, single - paired)) / (means[-1] - black)
    shown = [bright[round(i)][0] for i in np.linspace(0, len(bright) - 1, 20)]
    tiles = [frame[96 * (i % 5) :, 128 * (i // 5 % 5) :][:96, :128] for i, frame in enumerate(shown)]
    rows = [np.concatenate(tiles[i : i + 5], axis=1) for i in range(0, 20, 5)]
    return FlatFields(np.concatenate(rows), black, gain, float(pattern))


def real(data: Path) -> tuple[list[str], dict[str, Any]]:
    """Real noise: the CCD next to its photon transfer, and the DNG, color by color."""
    ccd = flat_fields(data / "emva1288_ccd")
    estimate = single_image_noise(ccd.picture, black=ccd.black, white=4095)["Y"]
    span = estimate.white - estimate.black
    alpha, sigma = (
        f"{span * value:.3g} [{span * low:.3g}, {span * high:.3g}]"
        for value, (low, high) in (
            (estimate.alpha, estimate.alpha_interval),
            (estimate.sigma, estimate.sigma_interval),
        )
    )
    top = estimate.patches.mean.max()
    adds = ccd.pattern**2 * top / (ccd.gain / span)
    height, width = ccd.picture.shape
    lines = [
        f"Real noise of a CCD, a photograph of {width} x {height} put together of tiles of flat fields: alpha {alpha} "
        f"DN an electron, {100 * (span * estimate.alpha / ccd.gain - 1):+.1f} % from the photon transfer of pairs of "
        f"frames, {ccd.gain:.4f}; sigma {sigma} DN; {'passed' if estimate.passed else 'failed: ' + estimate.reason}. "
        f"Beside noise that changes from frame to frame a photograph shows the fixed pattern, here "
        f"{100 * ccd.pattern:.2f} % of the light, which adds {100 * adds:.0f} % to the variance of the shot noise "
        f"at the brightest level, {top:.2f}.",
        "",
    ]
    record: dict[str, Any] = {
        "ccd": {"alpha_dn": span * estimate.alpha, "photon_transfer": ccd.gain, "pattern": ccd.pattern}
    }
    frame = read_frame(data / "raw" / "colorchart.dng")
    lines += [
        f"The DNG ({frame.camera}, {frame.values.shape[1]} x {frame.values.shape[0]}, {frame.cfa}, no ISO and no "
        "NoiseProfile in the file), in DN:",
        "",
        "| color | alpha, DN an electron | sigma, DN | sigma, electrons | samples | levels | chi^2/dof | verdict |",
        f"| --- |{' ---: |' * 6} --- |",
    ]
    for name, found in single_image_noise(frame).items():
        span, table = found.white - found.black, found.patches
        alpha, sigma = (
            f"{span * value:.3g} [{span * low:.3g}, {span * high:.3g}]"
            for value, (low, high) in ((found.alpha, found.alpha_interval), (found.sigma, found.sigma_interval))
        )
        off = (table.std - table.fitted) / table.standard_error
        lines.append(
            f"| {name} | {alpha} | {sigma} | {found.sigma / found.alpha:.1f} | {table.pixels.sum():,} "
            f"| {table.mean.min():.3f} to {table.mean.max():.3f} | {(off**2).sum() / (off.size - 2):.2f} "
            f"| {'passed' if found.passed else found.reason} |"
        )
        record[name] = {"alpha_dn": span * found.alpha, "sigma_dn": span * found.sigma, "passed": found.passed}
    return lines, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--camera", default="nexus-6p-rear")
    parser.add_argument("--isos", nargs="+", type=float, default=[100.0, 400.0, 1600.0, 6400.0])
    parser.add_argument("--count", type=int, default=100, help="test pictures, or ramps")
    parser.add_argument("--split", choices=("test", "train"), default="test")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="folder for the table")
    args = parser.parse_args()
    console = Console(stderr=True)
    pictures = list_pictures(args.data / "bsds300" / args.split)[: args.count]
    lines, record = list(HEAD), []
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for kind in args.kinds:
            for iso in args.isos:
                scenes = list(range(args.count)) if kind.startswith("ramp") else pictures
                jobs = [(kind, scene, iso) for scene in scenes]
                work = pool.imap(partial(one, camera_name=args.camera, seed=args.seed), jobs)
                label = f"{kind}, ISO {iso:g}"
                outcomes = [o for found in track(work, label, len(jobs), console=console) for o in found]
                lines.append(row(kind, iso, outcomes))
                console.print(lines[-1])
                record.append({"kind": kind, "iso": iso, "outcomes": [asdict(o) for o in outcomes]})
    real_lines, of_real = real(args.data)
    text = "\n".join(
        [
            f"Noise from single photographs: relative errors in %, median (10 % to 90 %), on {len(pictures)} "
            f"{args.split} pictures of BSDS300, each color plane by itself; 95 % intervals of what passed.",
            "", *lines, "", *real_lines, "",
            f"Camera {args.camera}, exposure {EXPOSURE:g}, 14 bits, black {BLACK:g}, white {WHITE:g}, "
            f"seed {args.seed}. "
            "Measured: not refused for want of smooth parts; passed: no diagnostic is a failure. Ramps are light "
            f"without any structure, 480 x 320. {hardware()}, {args.jobs} at once. "
            + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".", "",
            f"    {shlex.join(['python', *sys.orig_argv[1:]])}", "",
        ]
    )  # fmt: skip
    print(text)
    if args.output:
        write_text(args.output / "noise_single_image.md", text)
        content = {
            "setting": {k: str(v) for k, v in vars(args).items()},
            "hardware": hardware(),
            "versions": versions(),
        }
        content |= {"simulated": record, "real": of_real}
        write_text(args.output / "noise_single_image.json", json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
