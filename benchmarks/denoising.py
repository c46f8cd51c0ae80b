"""The family of low-level units on BSDS300 at one light level: PSNR, parameters, time and memory.

    python -m benchmarks.denoising --data BSDS300 [--groups layers priors] [--work out/denoising] [--markdown FOLDER]

BSDS300 is a folder with `train` and `test`. Every unit is pretrained by L-BFGS on the same patches of `train`, with the
same number of iterations, and evaluated on the same captures of `test`. Time and memory are those of a training step
(forward and backward) on 16 x 3 x 128^2, in a process of its own; ratios are to the paper's unit, which runs in turn.
A unit that is done is kept in `--work`, so a stopped benchmark goes on, and several can share the work (`--only`).
With `--studies`, studies that trained these units jointly (folders named after them, such as `2-layers`) add their
accuracy.
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

from benchmarks.steps import in_turn
from dirtypixels.camera import Camera, realization
from dirtypixels.data import natural_patches
from dirtypixels.data.pictures import list_pictures, read_picture
from dirtypixels.deploy.units import build_unit
from dirtypixels.files import write_text
from dirtypixels.observation import Observation
from dirtypixels.recipe import Unit
from dirtypixels.restore import classical
from dirtypixels.study import results
from dirtypixels.study.machine import hardware, versions
from dirtypixels.study.statistics import mean_interval
from dirtypixels.train import pretrain, psnr

GROUPS: dict[str, dict[str, Unit]] = {
    "layers": {f"{n}-layer{'s' * (n > 1)}": Unit(layers=n) for n in (1, 2, 4, 8)},
    "priors": {
        "CNN-1x1": Unit(),
        "RBF": Unit(prior="rbf"),
        "CNN-3x3": Unit(prior="cnn3"),
        "U-Net": Unit(prior="unet"),
        "l1": Unit(prior="l1"),
    },
    "colors": {"shared": Unit(), "own": Unit(color="own"), "merged": Unit(color="merged")},
    "algorithms": {
        name: Unit.model_validate({"algorithm": name, "layers": 2})
        for name in ("hqs", "ista", "fista", "admm", "chambolle_pock", "prior_gradient")
    },
}
TITLES = {
    "layers": "Layers of unrolled half-quadratic splitting with the paper's CNN prior",
    "priors": "Priors in one layer of half-quadratic splitting",
    "colors": "Color in one layer of half-quadratic splitting with the paper's CNN prior",
    "algorithms": "Algorithms, two layers each, with the paper's CNN prior",
}
BASELINE = Unit()
STEP = (16, 3, 128, 128)


def evaluated(restore: Callable[[Any], Tensor], camera: Camera, args: argparse.Namespace, label: str) -> list[float]:
    """PSNR of each test picture in dB, values cut off at 0 and 1."""
    found = []
    pictures = list_pictures(args.data / "test")[: args.count]
    with torch.inference_mode():
        for path in track(pictures, label, console=Console(stderr=True)):
            scene = read_picture(path)[None]
            capture = camera.capture(scene, args.lux, generator=realization(args.seed, path.name))
            found.append(float(psnr(restore(capture).clamp(0, 1), scene)))
    return found


def quality(unit: Unit, gray: bool, camera: Camera, args: argparse.Namespace, label: str) -> dict[str, Any]:
    """A unit after L-BFGS on patches of the training pictures: what it restores, and its curve."""
    patches = natural_patches(args.patches, args.size, gray=gray, folder=args.data / "train", seed=args.seed)
    captured = camera.capture(patches, args.lux, generator=realization(args.seed, "pretraining"))
    torch.manual_seed(args.seed)
    built = build_unit(unit)
    start = time.perf_counter()

    def report(iteration: int, reached: float) -> None:
        print(f"{label}: {iteration} iterations, {reached:.2f} dB", file=sys.stderr, flush=True)

    curve = pretrain(built, patches, captured, args.iterations, report=report)
    seconds = time.perf_counter() - start
    values = evaluated(built.eval(), camera, args, label)
    parameters = sum(p.numel() for p in built.parameters())
    return {"psnr": values, "curve": curve, "parameters": parameters, "pretraining_s": seconds}


def step(unit: Unit, lux: float, training: bool) -> Callable[[], object]:
    """A training step of a unit, or the restoration of a batch."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    captured = Camera.load("nexus-6p-rear").capture(torch.rand(STEP, generator=generator), lux, generator=generator)
    built = build_unit(unit)
    return lambda: built(captured).square().mean().backward() if training else _restored(built, captured)


def _restored(unit: Callable[[Observation], Tensor], captured: Observation) -> Tensor:
    with torch.inference_mode():
        return unit(captured)


def cost(unit: Unit, args: argparse.Namespace) -> dict[str, Any]:
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


def accuracy(folder: Path | None, name: str) -> str:
    """Top-1 of the joint model of each light level in a study's results."""
    file = None if folder is None else folder / name / "results.json"
    if file is None or not file.is_file():
        return "–"
    study = results.read(file)
    cells = [cell for cell in study.part("methods") if cell.model.method == "joint"]
    return "; ".join(
        f"{100 * c.top1.value:.1f} [{100 * c.top1.low:.1f}, {100 * c.top1.high:.1f}] at {c.lux:g} lux" for c in cells
    )


def table(group: str, found: dict[str, dict[str, Any]], args: argparse.Namespace) -> list[str]:
    with_accuracy = args.studies is not None and group == "layers"
    head = [
        "unit",
        "parameters",
        "PSNR, dB",
        "of the patches",
        "training step, s",
        "ratio",
        "peak MiB",
        "restoring, ms",
    ]
    head += ["top-1 of the joint model, %"] if with_accuracy else []
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for name, one in found.items():
        interval = mean_interval(torch.tensor(one["psnr"], dtype=torch.float64))
        cells = [name, "–", f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"]
        if "curve" in one:
            cells[1] = f"{one['parameters']:,}"
            cells.append(f"{one['curve'][-1][1]:.2f}")
        if "step_s" in one:
            spread = f"{one['step_quartiles_s'][0]:.3f} to {one['step_quartiles_s'][1]:.3f}"
            cells += [
                f"{one['step_s']:.3f} ({spread})",
                f"{one['ratio']:.2f}",
                f"{one['peak_mib']:.0f}",
                f"{one['restore_ms']:.1f}",
            ]
        cells += ["–"] * (len(head) - len(cells) - with_accuracy)
        lines.append(f"| {' | '.join(cells + ([accuracy(args.studies, name)] if with_accuracy else []))} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="BSDS300: a folder with train and test")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--only", nargs="+", help="units to measure; the tables show all that are done")
    parser.add_argument("--camera", default="nexus-6p-rear")
    parser.add_argument("--lux", type=float, default=6.0)
    parser.add_argument("--count", type=int, default=100, help="test pictures")
    parser.add_argument("--patches", type=int, default=500)
    parser.add_argument("--size", type=int, default=32, help="of the patches")
    parser.add_argument("--iterations", type=int, default=100, help="of L-BFGS")
    parser.add_argument("--runs", type=int, default=7, help="timed training steps")
    parser.add_argument("--no-timing", action="store_true", help="PSNR only; time can be measured later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("out/denoising"))
    parser.add_argument("--studies", type=Path, help="folder with a study for each number of layers")
    parser.add_argument("--markdown", type=Path, help="folder for the tables")
    args = parser.parse_args()
    camera = Camera.load(args.camera)
    setting = {
        key: getattr(args, key) for key in ("camera", "lux", "count", "patches", "size", "iterations", "seed", "runs")
    }

    def kept(name: str, make: Callable[[], dict[str, Any]], label: str = "") -> dict[str, Any] | None:
        file = args.work / f"{name}.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content.pop("setting") != setting:
                parser.error(f"{file} was measured in another setting; choose another --work folder")
            return dict(content)
        if args.only is not None and (label or name) not in args.only:
            return None
        made = make()
        write_text(file, json.dumps({"setting": setting, **made}) + "\n")
        return made

    def measured(file: str, unit: Unit, gray: bool, label: str) -> dict[str, Any] | None:
        restored = kept(file, lambda: quality(unit, gray, camera, args, label), label)
        if restored is None or args.no_timing:
            return restored
        return restored | (kept(f"{file}-cost", lambda: cost(unit, args), label) or {})

    for group in args.groups:
        every = {
            "capture": kept("capture", lambda: {"psnr": evaluated(lambda obs: obs.signal, camera, args, "capture")}),
            "non-local means": kept(
                "nlm", lambda: {"psnr": evaluated(classical.non_local_means, camera, args, "non-local means")}
            ),
        }
        for name, unit in GROUPS[group].items():
            gray = group != "colors"  # all of those learn from patches in color
            same = {1: "1-layer", 2: "2-layers"} if gray and unit == Unit(layers=unit.layers) else {}
            file = same.get(unit.layers, f"{group}-{name}" if group in ("colors", "algorithms") else name)
            every[name] = measured(file, unit, gray, name)
        found = {name: one for name, one in every.items() if one is not None}
        kind = "color" if group == "colors" else "gray"
        text = "\n".join(
            [
                f"{TITLES[group]}: PSNR on {args.count} test pictures of BSDS300 at {args.lux:g} lux, "
                f"mean with 95 % interval (Student's t).",
                "", *table(group, found, args), "",
                f"Camera {camera.name}; {args.iterations} iterations of L-BFGS on {args.patches} "
                f"{kind} patches of {args.size} px, seed {args.seed}. A training step is forward and backward on "
                f"{' x '.join(map(str, STEP))} values, median of {args.runs} with quartiles; ratio to the paper's unit "
                f"(1 layer, CNN), taken in turn; peak memory above that before the first step; restoring is for one of "
                f"the 16 images. {hardware()}. " + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".", "",
                f"    {shlex.join(['python', *sys.orig_argv[1:]])}", "",
            ]
        )  # fmt: skip
        print(text)
        if args.markdown:
            write_text(args.markdown / f"{group}.md", text)


if __name__ == "__main__":
    main()
