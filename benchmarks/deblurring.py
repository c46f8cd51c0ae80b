"""What deblurring restores of BSDS300: PSNR of the capture, of classical HQS and of the pretrained unit.

    python -m benchmarks.deblurring --data BSDS300 [--count 100] [--json FILE] [--markdown FILE] [--figures FOLDER]

BSDS300 is a folder with `train` and `test`. Captures of the test pictures at one light level and several places on the
sensor; the scene goes on beyond the frame. HQS is tuned (prior and strength) and the units are pretrained on `train`;
the units with each weighting of the data term. Then, without noise, how much of the scene comes back, with the true PSF
and a weak prior, two PSF widths away from the border and over the whole frame.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from torch import Tensor

from dirtypixels.camera import Camera, in_frame, realization
from dirtypixels.data import natural_patches
from dirtypixels.data.pictures import list_pictures, read_picture
from dirtypixels.files import write_text
from dirtypixels.observation import Observation
from dirtypixels.plotting import save
from dirtypixels.restore import Deblurrer, UnrolledHQS, classical
from dirtypixels.restore.units import Weighting
from dirtypixels.study.machine import hardware, versions
from dirtypixels.study.statistics import mean_interval
from dirtypixels.train import pretrain, psnr

Restore = Callable[[Observation], Tensor]

STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
NOISELESS_STRENGTH = 0.001  # weak enough that the prior takes nothing away


def captured(
    camera: Camera, picture: Tensor, lux: float, position: str, key: str, seed: int
) -> tuple[Tensor, Observation]:
    """The scene inside of the frame, and its capture."""
    observation = camera.capture(picture[None], lux, position, realization(seed, key), beyond="crop")
    return in_frame(picture[None], observation.signal), observation


def pretrained(camera: Camera, lux: float, position: str, weighting: Weighting, args: argparse.Namespace) -> Deblurrer:
    """A unit after L-BFGS on color patches of the training pictures."""
    margin = max(camera.psf(position).shape[-2:]) // 2
    patches = natural_patches(args.patches, 64 + 2 * margin, gray=False, folder=args.data / "train", seed=args.seed)
    observation = camera.capture(patches, lux, position, realization(args.seed, "pretraining"), beyond="crop")
    torch.manual_seed(args.seed)
    unit = Deblurrer(UnrolledHQS(color="merged"), weighting=weighting)
    pretrain(unit, in_frame(patches, observation.signal), observation, args.iterations)
    return unit.eval()


def scores(restore: Restore, captures: list[tuple[Tensor, Observation]], label: str) -> Tensor:
    """PSNR of each picture in dB, values cut off at 0 and 1."""
    with torch.inference_mode():
        found = [
            psnr(restore(obs).clamp(0, 1), clean) for clean, obs in track(captures, label, console=Console(stderr=True))
        ]
    return torch.cat(found)


def tuned(captures: list[tuple[Tensor, Observation]]) -> tuple[classical.Gradients, float]:
    """Prior and strength of HQS with the best mean PSNR."""
    grid = [(prior, strength) for prior in get_args(classical.Gradients) for strength in STRENGTHS]

    def mean(choice: tuple[classical.Gradients, float]) -> float:
        prior, strength = choice
        label = f"tuning HQS: {prior}, {strength:g}"
        return float(
            scores(partial(classical.hqs_deconvolution, prior=prior, strength=strength), captures, label).mean()
        )

    return max(grid, key=mean)


def draw(pictures: dict[str, Tensor], path: Path) -> None:
    """The pictures side by side, three in a row."""
    figure = Figure(figsize=(13, 6.2), dpi=110, layout="constrained")
    for axes, (title, image) in zip(figure.subplots(2, 3).flat, pictures.items(), strict=True):
        axes.imshow(image[0].clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="BSDS300: a folder with train and test")
    parser.add_argument("--camera", default="nexus-6p-rear")
    parser.add_argument("--lux", type=float, default=6.0)
    parser.add_argument("--positions", nargs="+", default=["offaxis", "periphery"])
    parser.add_argument("--count", type=int, default=100, help="test pictures")
    parser.add_argument("--tuning", type=int, default=4, help="training pictures to tune HQS on")
    parser.add_argument("--patches", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=40, help="of L-BFGS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--figures", type=Path, help="folder for a picture of each place")
    args = parser.parse_args()
    camera = Camera.load(args.camera)
    if camera.optics is None:
        parser.error(f"camera {args.camera!r} has no PSF field")

    test = [(path.name, read_picture(path)) for path in list_pictures(args.data / "test")[: args.count]]
    train = [(path.name, read_picture(path)) for path in list_pictures(args.data / "train")[: args.tuning]]
    rows: list[dict[str, object]] = []

    def note(position: str, lux: float, method: str, values: Tensor) -> None:
        interval = mean_interval(values.double())
        rows.append(
            {"position": position, "lux": lux if lux < torch.inf else None, "method": method, "count": len(values),
             "psnr": interval.value, "low": interval.low, "high": interval.high, "lowest": float(values.min())}
        )  # fmt: skip

    for position in args.positions:
        captures = [captured(camera, p, args.lux, position, name, args.seed) for name, p in test]
        note(position, args.lux, "capture", scores(lambda o: o.signal, captures, f"capture, {position}"))
        prior, strength = tuned([captured(camera, p, args.lux, position, name, args.seed) for name, p in train])
        label = f"classical HQS, {prior.replace('_', '-')}, strength {strength:g}"
        hqs = partial(classical.hqs_deconvolution, prior=prior, strength=strength)
        note(position, args.lux, label, scores(hqs, captures, label))
        for weighting in get_args(Weighting):
            Console(stderr=True).print(f"pretraining the unit for {position}, weighting {weighting}")
            unit = pretrained(camera, args.lux, position, weighting, args)
            label = f"pretrained unit, weighting {weighting!r}"
            note(position, args.lux, label, scores(unit, captures, label))
        sharp = [captured(camera, p, torch.inf, position, name, args.seed) for name, p in test]
        cut = 2 * max(camera.psf(position).shape[-2:])
        weak = partial(classical.hqs_deconvolution, prior="tv", strength=NOISELESS_STRENGTH, passes=20)
        with torch.inference_mode():
            label = f"no noise, {position}"
            back = [(weak(obs), clean) for clean, obs in track(sharp, label, console=Console(stderr=True))]
        inside = (slice(None), slice(None), slice(cut, -cut), slice(cut, -cut))
        for label, part in ((f"HQS, weak prior, {cut} px from the border", inside), ("HQS, weak prior, all", ...)):
            note(position, torch.inf, label, torch.cat([psnr(image[part], clean[part]) for image, clean in back]))
        if args.figures:
            shown = {
                "scene": captures[0][0],
                f"capture, {args.lux:g} lux": captures[0][1].signal,
                "classical HQS": hqs(captures[0][1]),
                f"unit, weighting {weighting!r}": unit(captures[0][1]).detach(),
                "capture, no noise": sharp[0][1].signal,
                "HQS, no noise": back[0][0],
            }
            draw(shown, args.figures / f"deblurring-{position}.png")

    lines = ["| light | place | | PSNR, dB | lowest |", "| --- | --- | --- | ---: | ---: |"]
    for row in rows:
        light = "no noise" if row["lux"] is None else f"{row['lux']:g} lux"
        lines.append(
            f"| {light} | {row['position']} | {row['method']} "
            f"| {row['psnr']:.2f} [{row['low']:.2f}, {row['high']:.2f}] | {row['lowest']:.1f} |"
        )
    command = shlex.join(["python", *sys.orig_argv[1:]])
    text = "\n".join(
        [
            f"PSNR on {len(test)} test pictures of BSDS300, mean with 95 % interval (Student's t), and the lowest.",
            "", *lines, "",
            f"Camera {camera.name}; lens: {camera.optics.source}", "",
            f"HQS tuned on {len(train)} training pictures; units pretrained on {args.patches} color patches of 64 px, "
            f"{args.iterations} iterations of L-BFGS, seed {args.seed}. {hardware()}. "
            + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".", "",
            f"    {command}", "",
        ]
    )  # fmt: skip
    print(text)
    if args.markdown:
        write_text(args.markdown, text)
    if args.json:
        content = {"rows": rows, "command": command, "seed": args.seed, "hardware": hardware(), "versions": versions()}
        write_text(args.json, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
