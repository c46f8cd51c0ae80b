"""`dirtypixels simulate`: pictures in, captures out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast, get_args

import torch
from rich.console import Console
from rich.progress import track

from dirtypixels import checks
from dirtypixels.camera import POSITIONS, Camera, realization
from dirtypixels.camera.formation import Transfer
from dirtypixels.camera.noise import Number
from dirtypixels.camera.optics import Position
from dirtypixels.cli.cameras import figure
from dirtypixels.cli.profiles import warn_of_failed
from dirtypixels.data.pictures import list_pictures, read_picture
from dirtypixels.raw.captures import CaptureNote, Depth, write_capture


def simulate_pictures(
    images: list[Path], out: Path, camera: str, lux: float, position: str | None, transfer: str, seed: int, depth: str
) -> None:
    """Photograph every picture, and those in folders; nothing is written before all arguments are checked."""
    checks.one_of("format", depth, get_args(Depth))
    checks.one_of("transfer", transfer, get_args(Transfer))
    if not (lux > 0 and math.isfinite(lux)):
        raise ValueError(f"lux must be a number above 0; found {lux:g}")
    profile = Camera.load(camera)
    place = parse_position(position)
    profile.check_position(place)
    inputs: dict[str, Path] = {}
    taken: set[Path] = set()
    for given in images:
        for path in list_pictures(given) if given.is_dir() else [given]:
            key = path.relative_to(given).as_posix() if given.is_dir() else path.name
            if not path.is_file():
                raise FileNotFoundError(f"images must be pictures or folders of them; found nothing at {str(path)!r}")
            name = Path(key).with_suffix("")
            if name in taken:
                raise ValueError(f"images must have different names; found {str(name)!r} twice")
            taken.add(name)
            inputs[key] = path
    suffix = ".png" if depth == "8" else ".tiff"
    sources = {path.resolve() for path in inputs.values()}
    replaced = [key for key in inputs if (out / Path(key).with_suffix(suffix)).resolve() in sources]
    if replaced:
        raise ValueError(f"out must not hold the pictures themselves; found {replaced[0]!r}, which would be replaced")
    bars = Console(stderr=True)
    # A damaged picture is found before the first capture is written. What is no terminal keeps the message alone.
    for path in track(inputs.values(), "checking", console=bars, transient=True, disable=not bars.is_terminal):
        read_picture(path)
    level = profile.noise.at_lux(lux)
    warn_of_failed(profile)
    for key, path in track(inputs.items(), "photographing", console=bars):
        observation = profile.capture(
            read_picture(path)[None], lux, place, realization(seed, key), transfer=cast(Transfer, transfer)
        )
        target = out / Path(key).with_suffix(suffix)
        note = CaptureNote(
            file=target.name,
            alpha=_figures(level.alpha),
            sigma=_figures(level.sigma),
            camera=profile.name,
            camera_hash=profile.hash,
            lux=lux,
            transfer=cast(Transfer, transfer),
            seed=seed,
            scene=path.name,
            position=place,
            psf=None if observation.psf is None else observation.psf[0].tolist(),
        )
        write_capture(observation, note, target.parent, cast(Depth, depth))
    Console().print(
        f"{len(inputs)} capture{'s' * (len(inputs) != 1)} in {out}: {profile.name}, {lux:g} lux, "
        f"alpha {figure(level.alpha)}, sigma {figure(level.sigma)}, transfer {transfer}"
        + (f", lens at {position} ({profile.optics.summary})" if profile.optics and position else "")
    )


def _figures(value: Number) -> float | tuple[float, float, float]:
    """A figure of the noise as a note holds it: one number, or three where the channels differ."""
    if isinstance(value, float):
        return value
    red, green, blue = torch.as_tensor(value).tolist()
    return red, green, blue


def parse_position(text: str | None) -> Position | None:
    """A position as it is typed: a name, or "0.9,0.8" for row and column.

    Raises:
        ValueError: neither.
    """
    if text is None or text == "field" or text in POSITIONS:
        return text
    parts = text.split(",")
    try:
        row, column = (float(part) for part in parts)
    except ValueError:
        raise ValueError(
            f"position must be {', '.join(POSITIONS)}, field, or ROW,COLUMN in [0, 1]; found {text!r}"
        ) from None
    return row, column
