"""Whether frames can come from one camera, and through one lens."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dirtypixels.raw.frames import Frame

_OF_LENS = {"LensModel": ("lens", "{}"), "FocalLength": ("focal length", "{} mm"), "FNumber": ("aperture", "f/{}")}
"""EXIF's fields on which a lens's blur depends, as people call them. Where it is focused no standard field says."""

_SAME = 0.02
"""By how much of itself a figure may differ: whole stops are 41 % apart, and rounding is not."""


def check_same_camera(frames: Iterable[Frame], *, levels_may_follow_iso: bool = False) -> None:
    """Raise unless all frames have one camera, size, color pattern, black level and white level.

    A camera that only some frames name is no difference; a level that only some frames state is one.

    Args:
        frames: the frames; those that are compared with the others are the first of all, the first that names a camera
            and the first of each ISO.
        levels_may_follow_iso: compare black and white levels only among frames of one ISO, as some cameras change them
            with it.

    Raises:
        ValueError: two frames differ; the message names both files and everything in which they differ.
    """
    first: Frame | None = None
    named: Frame | None = None
    of_iso: dict[float | None, Frame] = {}
    for frame in frames:
        first = first or frame
        named = named or (frame if frame.camera is not None else None)
        for other in (first, named, of_iso.setdefault(frame.iso, frame)):
            if other is None:
                continue
            levels = not levels_may_follow_iso or frame.iso == other.iso
            if differences := _differences(other, frame, levels):
                raise ValueError(
                    f"all frames must come from one camera in one mode; {_named(other)} and {_named(frame)} differ: "
                    f"{'; '.join(differences)}"
                )


def check_same_lens(frames: Iterable[Frame]) -> None:
    """Raise unless all frames that state their lens, focal length or aperture state the same.

    Blur depends on all of them, so that captures with others are of another lens. What a frame does not state is no
    difference; that the focus was left alone cannot be seen.

    Args:
        frames: the frames; each is compared with the first that states the same field.

    Raises:
        ValueError: two frames differ; the message names both files and everything in which they differ.
    """
    first: dict[str, Frame] = {}
    for frame in frames:
        stated = {field: frame.exif[field] for field in _OF_LENS if frame.exif.get(field)}
        for other in (first.setdefault(field, frame) for field in stated):
            if differences := [
                f"{what} {figure.format(other.exif[field])} and {figure.format(stated[field])}"
                for field, (what, figure) in _OF_LENS.items()
                if field in stated and other.exif.get(field) and not _alike(other.exif[field], stated[field])
            ]:
                raise ValueError(
                    "all captures must be taken through one lens at one focal length and aperture; "
                    f"{_named(other)} and {_named(frame)} differ: {'; '.join(differences)}"
                )


def _alike(one: str, other: str) -> bool:
    """Whether two texts are the same word, or figures that rounding may make of one."""
    try:
        return math.isclose(float(one), float(other), rel_tol=_SAME)
    except ValueError:
        return one == other


def _differences(one: Frame, other: Frame, levels: bool) -> list[str]:
    named = one.camera is not None and other.camera is not None
    fields = {
        "camera": (one.camera, other.camera) if named else (None, None),
        "size": (_size(one), _size(other)),
        "cfa": (one.cfa, other.cfa),
        "black": (one.black, other.black) if levels else (None, None),
        "white": (one.white, other.white) if levels else (None, None),
    }
    return [f"{what} {_shown(what, a)} and {_shown(what, b)}" for what, (a, b) in fields.items() if a != b]


def _named(frame: Frame) -> str:
    """Both of two frames in different folders may have one name, so the path."""
    return frame.name if frame.path is None else str(frame.path)


def _size(frame: Frame) -> str:
    return f"{frame.values.shape[1]} x {frame.values.shape[0]}"


def _shown(what: str, value: object) -> str:
    if value is None:
        return "none" if what == "cfa" else "unknown"
    if isinstance(value, tuple):
        return " ".join(f"{level:g}" for level in (value[:1] if len(set(value)) == 1 else value))
    return f"{value:g}" if isinstance(value, float) else str(value)
