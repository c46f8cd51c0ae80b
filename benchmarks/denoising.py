"""Low-level units on BSDS300, whole pictures: PSNR and SSIM, parameters, time and memory.

    python -m benchmarks.denoising --data BSDS300 [--groups depth others] [--work out/denoising] [--markdown FOLDER]

BSDS300 is a folder with `train` and `test`. Every unit is pretrained on pictures of `train` with the same budget (by
Adam on new captures in every step, or by L-BFGS as in the paper), and evaluated on the same captures of `test`, next to
non-local means and BM3D. Differences are paired by picture. Time and memory are those of a training step (forward and
backward) on 16 x 3 x 128^2, in a process of its own; ratios are to one layer in opponent colors, which runs in turn.
A unit that is done is kept in `--work`, so a stopped benchmark goes on, and several can share the work (`--only`).
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmarks.steps import in_turn
from dirtypixels.camera import Camera, realization
from dirtypixels.data.pictures import list_pictures, read_picture
from dirtypixels.deploy.units import build_unit
from dirtypixels.files import write_text
from dirtypixels.observation import Observation
from dirtypixels.recipe import AnyUnit, Condition, Pretraining, ProximalGradient, ResidualCNN, UNet, Unit
from dirtypixels.restore import classical
from dirtypixels.study.machine import hardware, versions
from dirtypixels.study.statistics import mean_interval
from dirtypixels.train import PatchCaptures, pretrain, pretrain_adam, psnr

PAPER = Unit(color="shared", start="identity", growth=1)
BASELINE = Unit()
U_NET = Unit(prior="unet", color="coupled", hidden=16)
GROUPS: dict[str, dict[str, AnyUnit]] = {
    "depth": {
        "paper's unit": PAPER,
        "paper's unit, 4 layers": PAPER.model_copy(update={"layers": 4}),
        "1 layer": BASELINE,
        "2 layers": Unit(layers=2),
        "4 layers": Unit(layers=4),
        "1 layer, 3 scales": Unit(scales=3),
        "1 layer, U-Net as prior": U_NET,
    },
    "priors": {
        "CNN, 1 x 1": BASELINE,
        "CNN, 1 x 1, 48 wide": Unit(hidden=48),
        "RBF": Unit(prior="rbf"),
        "CNN, 3 x 3": Unit(prior="cnn3"),
        "U-Net, filters over all colors": U_NET,
    },
    "colors": {
        "opponent": BASELINE,
        "coupled, 64 wide": Unit(color="coupled", hidden=64),
        "shared": Unit(color="shared"),
        "own": Unit(color="own"),
        "merged": Unit(color="merged"),
    },
    "others": {
        "1 layer, U-Net as prior": U_NET,
        "residual CNN": ResidualCNN(kind="residual_cnn"),
        "U-Net on the signal": UNet(kind="unet"),
        "U-Net on the signal, told the noise": UNet(kind="unet", noise_maps=True),
        "proximal gradient": ProximalGradient(kind="proximal_gradient"),
    },
}
TITLES = {
    "depth": "Layers and scales of unrolled half-quadratic splitting",
    "priors": "Priors in one layer of half-quadratic splitting",
    "colors": "Color in one layer of half-quadratic splitting",
    "others": "Networks that others put there, next to the unrolled unit",
}
STEP = (16, 3, 128, 128)


def evaluated(restore: Callable[[Any], Tensor], camera: Camera, args: argparse.Namespace, label: str) -> dict[str, Any]:
    """PSNR in dB and SSIM of each test picture, values cut off at 0 and 1."""
    found: dict[str, Any] = {"psnr": [], "ssim": []}
    pictures = list_pictures(args.data / "test")[: args.count]
    with torch.inference_mode():
        for path in track(pictures, label, console=Console(stderr=True)):
            scene = read_picture(path)[None]
            capture = camera.capture(scene, args.lux, generator=realization(args.seed, path.name))
            image = restore(capture).clamp(0, 1)
            found["psnr"].append(float(psnr(image, scene)))
            similarity = structural_similarity_index_measure(image, scene, data_range=1.0)
            assert isinstance(similarity, Tensor)
            found["ssim"].append(float(similarity))
    return found


def quality(unit: AnyUnit, camera: Camera, args: argparse.Namespace, label: str) -> dict[str, Any]:
    """A unit after its pretraining: what it restores, and its curve."""
    recipe = pretraining(args)
    captures = PatchCaptures(recipe, Condition.of(args.lux), camera, seed=args.seed)
    torch.manual_seed(args.seed)
    built = build_unit(unit)
    start = time.perf_counter()

    def report(step: int, reached: float) -> None:
        if step % 100 == 0:
            print(f"{label}: step {step}, {reached:.2f} dB", file=sys.stderr, flush=True)

    file = args.work / f"{label}.state"
    if recipe.optimizer == "adam":
        curve = pretrain_adam(built, captures.fresh, captures.held_out(), recipe, state_file=file, report=report)
    else:
        gray = isinstance(unit, Unit) and unit.color == "shared"
        curve = pretrain(built, *captures.fixed(gray), recipe.iterations, state_file=file, report=report)
    seconds = time.perf_counter() - start
    values = evaluated(built.eval(), camera, args, label)
    parameters = sum(p.numel() for p in built.parameters())
    return {**values, "curve": curve, "parameters": parameters, "pretraining_s": seconds}


def pretraining(args: argparse.Namespace) -> Pretraining:
    keys = ("optimizer", "steps", "batch", "color_size", "rate", "iterations", "patches", "size")
    return Pretraining(folder=args.data / "train", **{key: getattr(args, key) for key in keys})


def step(unit: AnyUnit, lux: float, training: bool) -> Callable[[], object]:
    """A training step of a unit, or the restoration of a batch."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    captured = Camera.load("nexus-6p-rear").capture(torch.rand(STEP, generator=generator), lux, generator=generator)
    built = build_unit(unit)
    return lambda: built(captured).square().mean().backward() if training else _restored(built, captured)


def _restored(unit: Callable[[Observation], Tensor], captured: Observation) -> Tensor:
    with torch.inference_mode():
        return unit(captured)


def cost(unit: AnyUnit, args: argparse.Namespace) -> dict[str, Any]:
    """Median and quartiles of the seconds of a step, the ratio to the baseline round by round, and peak memory."""
    makers = {
        "training": partial(step, unit, args.lux, True),
        "restoring": partial(step, unit, args.lux, False),
        "baseline": partial(step, BASELINE, args.lux, True),
    }
    found = in_turn(makers, args.runs)
    seconds = {name: [one for one, _ in rounds] for name, rounds in found.items()}
    low, middle, high = statistics.quantiles(seconds["training"], n=4)
    return {
        "step_s": middle,
        "step_quartiles_s": [low, high],
        "ratio": statistics.median(a / b for a, b in zip(seconds["training"], seconds["baseline"], strict=True)),
        "peak_mib": max(peak for _, peak in found["training"]),
        "restore_ms": 1000 * statistics.median(seconds["restoring"]) / STEP[0],
    }


def paired(one: dict[str, Any], other: dict[str, Any] | None) -> str:
    """Mean difference in PSNR with its interval."""
    if other is None or other is one:
        return "–"
    interval = mean_interval(torch.tensor(one["psnr"], dtype=torch.float64) - torch.tensor(other["psnr"]).double())
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    timed = any("step_s" in one for one in found.values())
    head = ["unit", "parameters", "PSNR, dB", "SSIM", "minus BM3D, dB", "minus the row above, dB", "held out, dB"]
    head += ["training step, s", "ratio", "peak MiB", "restoring, ms"] if timed else []
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    above = None
    for name, one in found.items():
        values = [mean_interval(torch.tensor(one[key], dtype=torch.float64)) for key in ("psnr", "ssim")]
        cells = [
            name,
            f"{one['parameters']:,}" if "parameters" in one else "–",
            f"{values[0].value:.2f} [{values[0].low:.2f}, {values[0].high:.2f}]",
            f"{values[1].value:.3f}",
            paired(one, found.get("BM3D")),
            paired(one, above),
            f"{max(reached for _, reached in one['curve']):.2f}" if "curve" in one else "–",
        ]
        above = one
        if "step_s" in one:
            low, high = one["step_quartiles_s"]
            cells += [
                f"{one['step_s']:.3f} ({low:.3f} to {high:.3f})",
                f"{one['ratio']:.2f}",
                f"{one['peak_mib']:.0f}",
                f"{one['restore_ms']:.1f}",
            ]
        lines.append(f"| {' | '.join(cells + ['–'] * (len(head) - len(cells)))} |")
    return lines


CLASSICAL = {
    "capture": lambda obs: obs.signal,
    "non-local means": classical.non_local_means,
    "BM3D": classical.bm3d,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="BSDS300: a folder with train and test")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--only", nargs="+", help="rows to measure; the tables show all that are done")
    parser.add_argument("--camera", default="nexus-6p-rear")
    parser.add_argument("--lux", type=float, default=6.0)
    parser.add_argument("--count", type=int, default=100, help="test pictures")
    parser.add_argument("--optimizer", choices=["adam", "lbfgs"], default="adam")
    parser.add_argument("--steps", type=int, default=1000, help="of Adam")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--color-size", type=int, default=48, help="of the patches for Adam")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--iterations", type=int, default=100, help="of L-BFGS")
    parser.add_argument("--patches", type=int, default=500, help="for L-BFGS")
    parser.add_argument("--size", type=int, default=32, help="of the patches for L-BFGS")
    parser.add_argument("--runs", type=int, default=7, help="timed training steps")
    parser.add_argument("--no-timing", action="store_true", help="PSNR only; time can be measured later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("out/denoising"))
    parser.add_argument("--markdown", type=Path, help="folder for the tables")
    args = parser.parse_args()
    camera = Camera.load(args.camera)
    shared = {key: getattr(args, key) for key in ("camera", "lux", "count", "seed")}
    trained = shared | {"pretraining": pretraining(args).model_dump(mode="json", exclude={"folder"})}
    args.work /= f"{args.lux:g}lux"

    def kept(name: str, setting: dict[str, Any], make: Callable[[], dict[str, Any]], row: str) -> dict[str, Any] | None:
        file = args.work / f"{name}.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content.pop("setting") != setting:
                parser.error(f"{file} was measured in another setting; choose another --work folder")
            return dict(content)
        if args.only is not None and row not in args.only:
            return None
        made = make()
        write_text(file, json.dumps({"setting": setting, **made}) + "\n")
        return made

    def measured(row: str, unit: AnyUnit) -> dict[str, Any] | None:
        name = next(first for group in GROUPS.values() for first, other in group.items() if other == unit)
        setting = trained | {"unit": unit.model_dump(mode="json")}
        restored = kept(name, setting, lambda: quality(unit, camera, args, name), row)
        if restored is None or args.no_timing:
            return restored
        return restored | (
            kept(f"{name}-cost", {"runs": args.runs, "unit": setting["unit"]}, lambda: cost(unit, args), row) or {}
        )

    for group in args.groups:
        every: dict[str, dict[str, Any] | None] = {
            row: kept(row, shared, partial(evaluated, restore, camera, args, row), row)
            for row, restore in CLASSICAL.items()
        }
        every |= {row: measured(row, unit) for row, unit in GROUPS[group].items()}
        found = {name: one for name, one in every.items() if one is not None}
        budget = (
            f"{args.steps} steps of Adam, {args.batch} color patches of {args.color_size} px with new noise in each, "
            f"highest rate {args.rate:g}; the best on held-out pictures of `train` is kept"
            if args.optimizer == "adam"
            else f"{args.iterations} iterations of L-BFGS on {args.patches} patches of {args.size} px"
        )
        text = "\n".join(
            [
                f"{TITLES[group]}: {args.count} test pictures of BSDS300, whole, at {args.lux:g} lux, "
                f"mean with 95 % interval over pictures (Student's t).",
                "", *table(found), "",
                f"Camera {camera.name}; {budget}; seed {args.seed}, one training of each. A training step is forward "
                f"and backward on {' x '.join(map(str, STEP))} values, median of {args.runs} with quartiles; ratio to "
                f"one layer (CNN, opponent colors), taken in turn; peak memory above that before the first step; "
                f"restoring is for one of the 16 images. {hardware()}. "
                + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".", "",
                f"    {shlex.join(['python', *sys.orig_argv[1:]])}", "",
            ]
        )  # fmt: skip
        print(text)
        if args.markdown:
            write_text(args.markdown / f"{group}-{args.lux:g}lux.md", text)


if __name__ == "__main__":
    main()
