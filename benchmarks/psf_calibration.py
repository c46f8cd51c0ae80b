"""What calibrating a lens gives back: a simulated camera photographs the chart, and its PSFs are known.

    python -m benchmarks.psf_calibration [--frame 1500 2000] [--large 3000 4000] [--only WORD ...] [-o FOLDER]

Every row is one camera and one way to photograph the chart, with distortion, vignetting, black level, pixels that
differ, and 10 or 12 bits; each is measured in a process of its own, so that its peak memory is its own. Errors are
relative, ``|psf - truth| / |truth|`` (l2) for each trusted block and color, the truth being the mean of the PSFs of
the block's pixels. Chart SNR: 20 log10((white - black) / noise), the noise's standard deviation at the chart's mean,
for green in the middle of the frame; vignetting makes it less outside, and so do colors that collect less light.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from scipy.optimize import minimize

from dirtypixels.calibrate.comparison import centered, psf_difference, shifted
from dirtypixels.calibrate.psf import BernoulliChart, MeasuredField, plot_quality, psf_field
from dirtypixels.calibrate.psf.alignment import align
from dirtypixels.calibrate.simulate import HANDHELD_POSES, ChartCamera, Pose, realistic_camera
from dirtypixels.files import write_text
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.mosaic import full_green
from dirtypixels.study.machine import hardware, versions

Floats = npt.NDArray[np.float64]

#: the chart reaches a little beyond the frame; the second and third pose are for further captures
FILLING = (
    Pose(fill=1.04, rotation=0.8, tilt=(0.5, -0.8)),
    Pose(fill=1.05, rotation=-0.6, tilt=(-0.8, 0.5)),
    Pose(fill=1.04, rotation=1.2, tilt=(0.3, 1.0)),
)
EXPOSURE = 0.9
CELL_PX = 1.4


@dataclass(frozen=True)
class Case:
    """A camera and a way to photograph the chart.

    Args:
        what: the row's name.
        snr_db: of the chart.
        lens: None for the made-up one of `simulate.example_camera`, or a bundled profile.
        bits: of the sensor.
        cfa: of the sensor; None for a monochrome one.
        captures: number of captures.
        filling: the chart reaches beyond the frame; otherwise it ends 1 to 3 % inside, and turned by 1 degree.
        color: light that red, green and blue collect, relative to green.
        known: arguments of `psf_field`.
        large: a frame of the larger size.
    """

    what: str
    snr_db: float
    lens: str | None = None
    bits: int = 12
    cfa: str | None = "RGGB"
    captures: int = 1
    filling: bool = True
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    known: dict[str, Any] = field(default_factory=dict)
    large: bool = False


def cases() -> list[Case]:
    """All rows."""
    both = (40.0, 25.0)
    rear: dict[str, Any] = {"size": 37, "blocks": (9, 12)}
    return [
        *(Case("12 bit", snr) for snr in both),
        *(Case("10 bit", snr, bits=10) for snr in both),
        *(Case("12 bit, 3 captures", snr, captures=3) for snr in both),
        *(Case("monochrome, 12 bit", snr, cfa=None) for snr in both),
        *(Case("red 0.6, blue 0.75 of green", snr, color=(0.6, 1.0, 0.75)) for snr in both),
        *(Case("chart ends inside the frame", snr, filling=False) for snr in both),
        *(Case("12 megapixels", snr, large=True) for snr in both),
        *(Case("12 megapixels, chart ends inside the frame", snr, filling=False, large=True) for snr in both),
        Case("12 megapixels, lens nexus-6p-front", 40.0, lens="nexus-6p-front", large=True),
        Case("12 megapixels, lens nexus-6p-front, 3 captures", 40.0, lens="nexus-6p-front", captures=3, large=True),
        Case("12 megapixels, lens nexus-6p-rear", 40.0, lens="nexus-6p-rear", large=True),
        Case(
            "12 megapixels, lens nexus-6p-rear, 9 x 12, 3 captures",
            40.0,
            "nexus-6p-rear",
            12,
            "RGGB",
            3,
            known=rear,
            large=True,
        ),
    ]


def camera_of(case: Case, frame: tuple[int, int]) -> ChartCamera:
    """The simulated camera of a row."""
    levels: dict[str, Any] = {} if case.bits == 12 else {"black": 2**case.bits / 16, "white": 2.0**case.bits - 1}
    return realistic_camera(case.lens, *frame, cfa=case.cfa, bits=case.bits, color=case.color, **levels)


def photographed(case: Case, camera: ChartCamera, chart: BernoulliChart, seed: int) -> list[Frame]:
    """Its captures."""
    noise = camera.noise(100, case.snr_db, exposure=EXPOSURE)
    poses = (FILLING if case.filling else HANDHELD_POSES)[: case.captures]
    generator = torch.Generator().manual_seed(seed)
    return [camera.expose(camera.render(chart, pose, exposure=EXPOSURE), 100, generator, noise=noise) for pose in poses]


def measured(frames: list[Frame], chart: BernoulliChart, known: dict[str, Any], pipe: Any) -> None:
    """Sends the field, its seconds, processor seconds, peak memory in MiB, the first capture's map and its seconds.

    The peak is that of the process, with Python, NumPy and torch in it: some 850 MiB before anything is measured.
    """
    start, busy = time.perf_counter(), time.process_time()
    found = psf_field(frames, chart, partial=True, **known)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = _peak_kib() / 1024
    first = frames[0]
    assert first.white is not None
    dark = 0.0 if first.black is None else float(np.mean(first.black))
    signal = ((first.values - dark) / (first.white - dark)).astype(np.float32)
    start = time.perf_counter()
    alignment = align(full_green(signal, first.cfa), chart, partial=True)
    # As bytes: a pipe would pass the field's tensor as a handle, which ends with this process.
    pipe.send(pickle.dumps((found, seconds, busy, peak, alignment.mapping, time.perf_counter() - start)))


def _peak_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def errors(found: MeasuredField, camera: ChartCamera) -> tuple[Floats, Floats, Floats]:
    """Relative errors of trusted blocks (N, channels); after the shift that fits best; these shifts (N, 2).

    The truth is moved so that the centroid of green is in the middle, as the measured PSFs have it. The second error is
    what is left if a block's colors may be moved together, which no measurement can tell from distortion.
    """
    plain, moved, shifts = [], [], []
    for place in np.argwhere(found.trusted):
        i, j = (int(n) for n in place)
        truth = camera.psf_over(*found.grid.of((i, j)))
        psfs = found.blocks[i, j]
        truth = truth[1:2] if len(psfs) == 1 else truth
        truth = centered(truth, max(truth.shape[-1], psfs.shape[-1]) + 6)[0]
        rim = (truth.shape[-1] - psfs.shape[-1]) // 2
        psfs = np.pad(psfs, ((0, 0), (rim, rim), (rim, rim)))
        scale = np.linalg.norm(truth, axis=(1, 2))

        def off(by: Sequence[float], truth: Floats = truth, psfs: Floats = psfs, scale: Floats = scale) -> Floats:
            return np.asarray(np.linalg.norm(psfs - shifted(truth, by), axis=(1, 2)) / scale)

        best = minimize(
            lambda by, off=off: float((off(by) ** 2).sum()),
            (0.0, 0.0),
            method="Nelder-Mead",
            options={"xatol": 1e-4, "fatol": 1e-9, "initial_simplex": [(0.0, 0.0), (0.05, 0.0), (0.0, 0.05)]},
        ).x
        plain.append(off((0.0, 0.0)))
        moved.append(off(best))
        shifts.append(best)
    return np.array(plain), np.array(moved), np.array(shifts)


PLACES = {"center": (0.5, 0.5), "off-axis": (0.9, 0.9), "corner": (1.0, 1.0)}


def place_errors(found: MeasuredField, camera: ChartCamera) -> dict[str, float]:
    """Relative errors of the finished field at named places, rms of the colors; green's centroids brought together."""
    result = {}
    assert camera.camera.optics is not None
    for name, place in PLACES.items():
        error = psf_difference(found, camera.camera.optics, place).error
        result[name] = float(np.sqrt((error**2).mean()))
    return result


def misaligned(mapping: Any, camera: ChartCamera, chart: BernoulliChart, pose: Pose) -> Floats:
    """(N,) distances in pixels of where a map puts points of the chart and where they are, all over the frame."""
    height, width = camera.height, camera.width
    y, x = np.meshgrid(np.linspace(16, height - 17, 24), np.linspace(16, width - 17, 32), indexing="ij")
    pixels = np.stack([x.ravel(), y.ravel()], 1)
    points = camera.view(chart, pose).to_chart(pixels)
    on = ((points >= 0) & (points <= np.array(chart.shape[::-1]))).all(1)
    return np.asarray(np.hypot(*(mapping.to_image(points[on]) - pixels[on]).T))


def row(case: Case, args: argparse.Namespace) -> tuple[dict[str, Any], MeasuredField]:
    """One row's figures."""
    frame = tuple(args.large if case.large else args.frame)
    camera = camera_of(case, frame)
    chart = BernoulliChart.for_sensor(frame[1], frame[0], cell_px=CELL_PX)
    frames = photographed(case, camera, chart, args.seed)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(frames, chart, case.known, there))
    process.start()
    there.close()
    found, seconds, busy, peak, mapping, alone = pickle.loads(here.recv())
    process.join()
    plain, moved, shifts = errors(found, camera)
    pose = (FILLING if case.filling else HANDHELD_POSES)[0]
    off = misaligned(mapping, camera, chart, pose)
    goal = 0.03 if case.snr_db >= 40 else 0.08
    return {
        **{name: value for name, value in asdict(case).items() if name != "known"},
        "frame": frame,
        "grid": found.trusted.shape,
        "size": found.blocks.shape[-1],
        "trusted": int(found.trusted.sum()),
        "errors": len(plain) * plain.shape[1],
        "median": float(np.median(plain)),
        "p95": float(np.percentile(plain, 95)),
        "worst": float(plain.max()),
        "within": float((plain <= goal).mean()),
        "worst_moved": float(moved.max()),
        "places": place_errors(found, camera),
        "predicted": float(np.median(found.quality[found.trusted])),
        "shift_rms": float(np.sqrt((shifts**2).sum(1).mean())),
        "alignment_rms": float(np.sqrt((off**2).mean())),
        "alignment_worst": float(off.max()),
        "passed": found.passed,
        "reason": found.reason,
        "seconds": seconds,
        "processor_seconds": busy,
        "alignment_seconds": alone,
        "peak_mib": peak,
    }, found


def table(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """Markdown."""
    lines = [
        "# PSFs that come back from a simulated camera",
        "",
        f"    {shlex.join(['python', *sys.orig_argv[1:]])}",
        "",
        "Relative l2 error of each trusted block and color against the mean PSF of the block's pixels. The goal is 3 "
        "% at 40 dB and 8 % at 25 dB, and 0.05 px of alignment. Chart SNR: 20 log10((white - black) / noise), standard "
        "deviation at the chart's mean, green, middle of the frame. *Predicted* is the median of the errors that the "
        "calibration itself states. *Shift* is the error of alignment that PSFs have: the rms of the common shift of a "
        "block's colors that would fit the truth best. *Map* is the distance of map and truth before PSFs are moved "
        "onto their centroids. *Center, off-axis, corner*: relative error of the finished field at (0.5, 0.5), (0.9, "
        "0.9) and (1, 1), all colors together; beyond the middles of the outermost blocks it is extrapolated. *MiB* "
        "is all that the process had at its peak. Distortion, 30 % vignetting, black level, 0.5 % pixel differences "
        "and hot pixels in all rows; the cells are "
        f"{CELL_PX:g} px wide. Frames of {args.frame[0]} x {args.frame[1]}, large ones of {args.large[0]} x "
        f"{args.large[1]} pixels. The lens is the simulated example's, unless another is named. The chart reaches a "
        "little beyond the frame, unless it ends inside, its border in the picture, as the walk-through asks.",
        "",
        "| | SNR dB | blocks trusted | PSF px | median % | 95 % | worst | within the goal | predicted | center, "
        "off-axis, corner % | shift px rms | map px rms, worst | s | processor s | of it alignment s | MiB |",
        "| --- |" + " ---: |" * 15,
    ]
    for r in rows:
        lines.append(
            f"| {r['what']} | {r['snr_db']:g} | {r['trusted']} of {r['grid'][0]} x {r['grid'][1]} | {r['size']} | "
            f"{100 * r['median']:.1f} | {100 * r['p95']:.1f} | {100 * r['worst']:.1f} | {100 * r['within']:.0f} % | "
            f"{100 * r['predicted']:.1f} | {', '.join(f'{100 * e:.0f}' for e in r['places'].values())} | "
            f"{r['shift_rms']:.3f} | {r['alignment_rms']:.3f}, "
            f"{r['alignment_worst']:.3f} | {r['seconds']:.0f} | {r['processor_seconds']:.0f} | "
            f"{r['alignment_seconds']:.0f} | {r['peak_mib']:.0f} |"
        )
    failed = [f"- {r['what']}, {r['snr_db']:g} dB: {r['reason']}" for r in rows if not r["passed"]]
    if failed:
        lines += ["", "Not passed by the calibration's own verdict:", "", *failed]
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines += ["", f"{len(rows)} rows, one seed ({args.seed}) each; {hardware()}; {named}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frame", type=int, nargs=2, default=(1500, 2000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--large", type=int, nargs=2, default=(3000, 4000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--only", nargs="+", default=[], help="rows whose name holds one of these words")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, help="folder for psf.md, psf.json and psf-quality.png")
    args = parser.parse_args()
    console = Console(stderr=True)
    wanted = [case for case in cases() if not args.only or any(word in case.what for word in args.only)]
    rows = []
    for number, case in enumerate(wanted, start=1):
        found, measured_field = row(case, args)
        rows.append(found)
        console.print(
            f"{number} of {len(wanted)}: {case.what}, {case.snr_db:g} dB: median {100 * found['median']:.1f} %, worst "
            f"{100 * found['worst']:.1f} %, {found['seconds']:.0f} s"
        )
        if args.out and case.large and case.lens is None and case.snr_db == 25:
            plot_quality(measured_field, args.out / "psf-quality.png")
    text = table(rows, args)
    print(text)
    if args.out:
        write_text(args.out / "psf.md", text)
        content = {"rows": rows, "seed": args.seed, "hardware": hardware(), "versions": versions()}
        write_text(args.out / "psf.json", json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
