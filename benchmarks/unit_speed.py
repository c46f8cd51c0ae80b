"""Time and memory of the low-level unit compared with the classifier that it serves, and next to plain PyTorch.

    python -m benchmarks.unit_speed [--size 128] [--batch 16] [--runs 9] [--device cpu] [--json FILE]

Each contender runs in a process of its own, so that its peak memory is its own. Forward and backward, in turn over
several rounds, so that a drift of the machine's speed meets all of them. Prints medians with quartiles; the ratio is
taken round by round against EfficientNet-Lite0 in the faster of its two memory layouts.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.steps import in_turn
from dirtypixels.camera import Camera
from dirtypixels.restore import Denoiser, UnrolledHQS
from dirtypixels.restore.filters import dct_filters
from dirtypixels.study.machine import hardware, versions


class PlainUnit(nn.Module):
    """The same layer written with ordinary convolutions in NCHW, as a yardstick; zero borders, no Fourier solve."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(dct_filters())
        self.prox = nn.Sequential(
            nn.Conv2d(24, 24, 1), nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU(), nn.Conv2d(24, 24, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        x = image.flatten(0, 1)[:, None]
        z = self.prox(nn.functional.conv2d(x, self.filters, padding=2))
        return nn.functional.conv_transpose2d(z, self.filters, padding=2).view_as(image)


def contender(name: str, size: int, batch: int, device: str) -> Callable[[], None]:
    """A forward and backward pass of one contender."""
    torch.manual_seed(0)
    scene = torch.rand(batch, 3, size, size)
    observation = Camera.load("nexus-6p-rear").capture(scene, lux=3, generator=torch.Generator().manual_seed(0))
    observation = observation.to(device)
    if name.startswith("unit"):
        unit = Denoiser(UnrolledHQS(int(name.split()[1]))).to(device)
        return lambda: unit(observation).square().mean().backward()
    if name == "plain PyTorch layer":
        plain = PlainUnit().to(device)
        return lambda: plain(observation.signal).square().mean().backward()
    layout = torch.channels_last if name.endswith("channels-last") else torch.contiguous_format
    network = timm.create_model("tf_efficientnet_lite0").train().to(device, memory_format=layout)
    signal = observation.signal.to(memory_format=layout)
    return lambda: network(signal).square().mean().backward()


NAMES = ("Lite0 NCHW", "Lite0 channels-last", "unit 1 layer", "unit 2 layers", "plain PyTorch layer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    makers = {name: partial(contender, name, arguments.size, arguments.batch, arguments.device) for name in NAMES}
    found = in_turn(makers, arguments.runs)
    seconds = {name: [s for s, _ in rounds] for name, rounds in found.items()}
    yardstick = min(NAMES[:2], key=lambda name: statistics.median(seconds[name]))
    where = f"on {arguments.device}, {hardware()}"
    title = f"forward + backward, {arguments.batch} x 3 x {arguments.size}^2, {arguments.runs} rounds, {where}"
    table = Table("", "median s", "quartiles", f"ratio to {yardstick}", "peak MiB", title=title)
    record = {}
    for name, times in seconds.items():
        low, middle, high = statistics.quantiles(times, n=4)
        ratio = statistics.median(a / b for a, b in zip(times, seconds[yardstick], strict=True))
        memory = max(m for _, m in found[name])
        table.add_row(name, f"{middle:.3g}", f"{low:.3g} to {high:.3g}", f"{ratio:.2f}", f"{memory:.0f}")
        record[name] = {"median_s": middle, "quartiles_s": [low, high], "ratio": ratio, "peak_mib": memory}
    Console(width=120).print(table)
    if arguments.json:
        content = {
            "yardstick": yardstick,
            "device": arguments.device,
            "hardware": hardware(),
            "versions": versions(),
            "contenders": record,
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
