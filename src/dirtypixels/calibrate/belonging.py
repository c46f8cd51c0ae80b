"""Whether new figures are of the camera whose other figures a profile holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from dirtypixels.calibrate.imports.names import same_camera
from dirtypixels.camera import Camera
from dirtypixels.camera.schema import CaptureFile, Record, SeenCamera
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.levels import alike_within

Part = Literal["noise", "optics"]


def seen_in(frames: Sequence[Frame]) -> SeenCamera:
    """The camera that frames name and show; they are of one."""
    height, width = frames[0].values.shape
    name = next((frame.camera for frame in frames if frame.camera), None)
    return SeenCamera.model_validate({"name": name, "cfa": frames[0].cfa or "mono", "width": width, "height": height})


def capture_file(frame: Frame) -> CaptureFile:
    """What a record keeps of a frame."""
    return CaptureFile(
        file="unnamed" if frame.path is None else frame.path.name,
        sha256=frame.sha256 or "not from a file",
        iso=frame.iso,
        exposure_s=frame.exposure_s,
        black=None if frame.black is None else float(np.mean(frame.black)),
        white=frame.white,
        exif=frame.exif,
    )


def check_belongs(
    camera: Camera | None, part: Part, seen: SeenCamera, captures: Sequence[CaptureFile] = (), *, named: bool = False
) -> None:
    """Raise where new figures are of another camera than those that a profile holds already.

    Names are compared with both parts' records. Colors, size, and the levels at gains that both have, with those of
    the other part, which stays. What one of them does not know is no difference.

    Args:
        camera: the profile; None for a new one.
        part: that the new figures replace.
        seen: the camera that they are of.
        captures: that they come from.
        named: whether the profile is given a name by hand: then captures may call the camera as they like.

    Raises:
        ValueError: they differ; the message names both and everything in which they differ.
    """
    records = {} if camera is None or camera.profile.calibration is None else dict(camera.profile.calibration)
    other = "optics" if part == "noise" else "noise"
    found: list[str] = []
    for record in records.values():
        known = record and record.camera and record.camera.name
        if not named and known and seen.name and not same_camera(known, seen.name):
            found.append(f"the camera's name {known!r} and {seen.name!r}, which --name overrules")
    if (record := records.get(other)) is not None:
        found += _differences(record, seen, captures)
    if found:
        raise ValueError(
            f"out must be the profile of the camera that the new {part} is of; found, in the profile and new: "
            f"{'; '.join(dict.fromkeys(found))}"
        )


def _differences(record: Record, seen: SeenCamera, captures: Sequence[CaptureFile]) -> list[str]:
    known = record.camera or SeenCamera()
    found = [f"the cfa {known.cfa} and {seen.cfa}"] if known.cfa and seen.cfa and known.cfa != seen.cfa else []
    sizes = [None if one.width is None else f"{one.width} x {one.height}" for one in (known, seen)]
    if None not in sizes and sizes[0] != sizes[1]:
        found.append(f"frames of {sizes[0]} and {sizes[1]} pixels")
    # cameras may have other levels at another gain, so that only those of one gain are compared
    old, new = ({capture.iso: capture for capture in reversed(each)} for each in (record.captures, captures))
    for iso in sorted(old.keys() & new.keys(), key=lambda gain: gain or 0.0):
        whites = [one.white for one in (old[iso], new[iso]) if one.white is not None]
        agree = alike_within(max(whites, default=np.inf))
        for name in ("black", "white"):
            one, two = getattr(old[iso], name), getattr(new[iso], name)
            if one is not None and two is not None and abs(one - two) > agree:
                where = "" if iso is None else f" at ISO {iso:g}"
                found.append(f"{name} levels of {one:g} and {two:g} DN{where}")
    return found
