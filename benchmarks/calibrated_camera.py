"""What a calibration's errors cost the task: models trained with a measured profile, evaluated on the camera itself.

    python -m benchmarks.calibrated_camera RECIPE --camera NAME --measured PROFILE -o FOLDER [--conditions NAME ...]
    python -m benchmarks.calibrated_camera --join FILE ... -o FOLDER
    python -m benchmarks.calibrated_camera --gains FILE ... -o FOLDER

Everybody who trains for a real camera trains on captures simulated from its measured profile, and runs the model on
captures of the camera. Here both are known: for each condition of the recipe the classifier and the joint model are
trained once with the camera's own profile and once with the measured one, equal in all else. All are evaluated on the
same captures of the camera, which carry the noise figures and the PSF of the profile that the model was trained with,
as raw files would. The difference is paired. In FOLDER: `calibrated_camera.md` and `.json`, and the trained models.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from dirtypixels.camera import Camera
from dirtypixels.data.captures import Capture, Captures, loader
from dirtypixels.files import write_text
from dirtypixels.observation import Observation
from dirtypixels.recipe import Condition, Recipe, load_recipe
from dirtypixels.study.experiment import Experiment
from dirtypixels.study.machine import hardware, versions
from dirtypixels.study.predictions import Predictions, predict
from dirtypixels.study.statistics import paired_difference, wilson


class SeenAs(Captures):
    """Captures of one camera, told with the noise and the PSF of another profile of it."""

    known: Camera

    def __getitem__(self, index: int) -> Capture:
        capture = super().__getitem__(index)
        assert not isinstance(self.lux, tuple)
        level = self.known.noise.at_lux(self.lux) if math.isfinite(self.lux) else None
        seen = capture.observation

        def told(value: Any) -> Tensor:
            return torch.as_tensor(value, dtype=seen.signal.dtype).reshape(1, -1, 1, 1)

        parts: dict[str, Tensor] = {} if level is None else {"alpha": told(level.alpha), "sigma": told(level.sigma)}
        if self.position is not None:
            parts["psf"] = self.known.psf(self.position)[None].to(seen.signal)
        return capture._replace(observation=replace(seen, **parts))


def evaluated(experiment: Experiment, condition: Condition, camera: Camera, workers: int) -> dict[str, Predictions]:
    """Both trained models on captures of the camera, by the name of the method."""
    own = experiment.captures(condition)
    captures = SeenAs(
        own.photos, camera, condition.lux, own.seed, position=condition.position, transfer=experiment.recipe.transfer
    )
    captures.known = experiment.camera
    kept = Kept(captures, workers)
    result = {}
    for name in ("finetuned", "joint"):
        model = getattr(experiment, name)(condition).to(experiment.device)
        result[name] = predict(kept, model.image, model.head, batch=256)
    return result


class Kept(Captures):
    """Captures made once, by several processes, since every model sees the same."""

    def __init__(self, captures: Captures, workers: int) -> None:
        self.__dict__.update(captures.__dict__)
        self.made = [part for batch in loader(captures, 256, workers) for part in _parts(batch)]

    def __getitem__(self, index: int) -> Capture:
        return self.made[index]


def _parts(batch: Capture) -> list[Capture]:
    found: list[Observation] = [batch.observation[i] for i in range(len(batch.label))]
    return [Capture(one, batch.label[i : i + 1], batch.scene[i : i + 1]) for i, one in enumerate(found)]


def rows(recipe: Recipe, args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """A row for each condition and method."""
    camera = Camera.load(args.camera)
    noisy = [condition.name for condition in recipe.conditions if not condition.is_clean]
    if unknown := [name for name in args.conditions if name not in noisy]:
        raise ValueError(f"conditions must be of {noisy}; found {unknown}")
    result = []
    for condition in recipe.conditions:
        if condition.is_clean or (args.conditions and condition.name not in args.conditions):
            continue
        predictions = {}
        for kind, profile in (("own", args.camera), ("measured", str(args.measured))):
            experiment = Experiment(recipe.model_copy(update={"camera": profile}), args.out / kind, console)
            predictions[kind] = evaluated(experiment, condition, camera, recipe.finetuning.workers)
        for name in ("finetuned", "joint"):
            own, measured = (predictions[kind][name].right for kind in ("own", "measured"))
            lost = paired_difference(measured, own, "own profile")
            gains = [
                paired_difference(*(predictions[kind][n].right for n in (name, "finetuned"))).model_dump()
                for kind in ("own", "measured")
            ]
            result.append(
                {
                    "condition": condition.name,
                    "method": name,
                    "count": len(own),
                    "own": wilson(int(own.sum()), len(own)).model_dump(),
                    "measured": wilson(int(measured.sum()), len(own)).model_dump(),
                    "difference": lost.model_dump(),
                    "gain_own": gains[0],
                    "gain_measured": gains[1],
                }
            )
            console.print(result[-1])
    return result


def table(contents: list[dict[str, Any]]) -> str:
    """Markdown of one or several runs."""

    def percent(value: dict[str, float], sign: str = "") -> str:
        return f"{100 * value['value']:{sign}.1f} [{100 * value['low']:{sign}.1f}, {100 * value['high']:{sign}.1f}]"

    first = contents[0]
    lines = [
        "# What a calibration's errors cost the task",
        "",
        *(f"    {content['command']}" for content in contents),
        "",
        f"Top-1 in %, 95 % intervals, on the same captures of the camera {first['camera']}: models trained with the "
        "camera's own profile, and with the one that a calibration of it gave. Differences are paired, in points: of "
        "the two profiles, and of the joint model and the fine-tuned classifier, each with the same profile.",
        "",
        "| condition | method | seed | own profile | measured profile | measured less own | joint less fine-tuned, "
        "own | measured |",
        "| --- | --- |" + " ---: |" * 6,
    ]
    rows = [(content["seed"], row) for content in contents for row in content["rows"]]
    for seed, row in sorted(rows, key=lambda one: (one[1]["condition"], one[1]["method"], one[0])):
        gains = [percent(row[f"gain_{kind}"], "+") if row["method"] == "joint" else "" for kind in ("own", "measured")]
        lines.append(
            f"| {row['condition']} | {row['method']} | {seed} | {percent(row['own'])} | {percent(row['measured'])} | "
            f"{percent(row['difference'], '+')} | {' | '.join(gains)} |"
        )
    named = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    lines += [
        "",
        f"{first['rows'][0]['count']} evaluated photographs of {first['study']!r}, {first['network']}, "
        f"{first['epochs']} epochs; {first['hardware']}; {named}.",
        "",
    ]
    return "\n".join(lines)


def gains(contents: list[dict[str, Any]]) -> str:
    """Markdown of every training of the joint model against the fine-tuned classifier, of studies and of these runs."""
    found = []
    for content in contents:
        hardware = content["hardware"].split(", ")[-1]
        for cell in content.get("cells", []):
            for gap in cell["differences"]:
                compared = (cell["part"], cell["model"]["method"], gap["reference"], gap["metric"])
                if compared == ("methods", "joint", "finetuned", "top1"):
                    epochs = content["recipe"]["finetuning"]["epochs"]
                    found.append((cell["condition"], epochs, hardware, cell["seed"], "own", gap))
        for row in content.get("rows", []):
            if row["method"] == "joint":
                known = row["condition"], content["epochs"], hardware, content["seed"]
                found += [(*known, kind, row[f"gain_{kind}"]) for kind in ("own", "measured")]
    lines = ["| condition | epochs | hardware | seed | profile | joint less fine-tuned, points |"]
    lines.append("| --- | ---: | --- | ---: | --- | ---: |")
    for *known, gap in sorted(found, key=lambda one: one[:4]):
        value, low, high = (f"{100 * gap[key]:+.1f}" for key in ("value", "low", "high"))
        lines.append(f"| {' | '.join(map(str, known))} | {value} [{low}, {high}] |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, nargs="?")
    parser.add_argument("--camera", help="the camera: a profile's name or path")
    parser.add_argument("--measured", type=Path, help="the profile that a calibration of it gave")
    parser.add_argument("--conditions", nargs="+", default=[], help="names of conditions; all noisy ones if not given")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    parser.add_argument("--join", nargs="+", type=Path, default=[], help="results of several runs, for one table")
    parser.add_argument("--gains", nargs="+", type=Path, default=[], help="results to list joint less fine-tuned of")
    parser.add_argument("-o", "--out", required=True, type=Path)
    args = parser.parse_args()
    if args.gains:
        text = gains([json.loads(path.read_text(encoding="utf-8")) for path in args.gains])
        print(text)
        write_text(args.out / "gains.md", text)
        return
    if args.join:
        contents = [json.loads(path.read_text(encoding="utf-8")) for path in args.join]
    else:
        if None in (args.recipe, args.camera, args.measured):
            parser.error("recipe, --camera and --measured must be given, or --join")
        recipe = load_recipe(args.recipe, args.changes)
        content = {
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "camera": args.camera,
            "study": recipe.name,
            "network": recipe.head.network,
            "epochs": recipe.finetuning.epochs,
            "seed": recipe.seed,
            "rows": rows(recipe, args, Console(stderr=True)),
            "hardware": hardware(),
            "versions": versions(),
        }
        write_text(args.out / "calibrated_camera.json", json.dumps(content, indent=2) + "\n")
        contents = [content]
    text = table(contents)
    print(text)
    write_text(args.out / "calibrated_camera.md", text)


if __name__ == "__main__":
    main()
