"""Whether captures can come from one camera, and through one lens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dirtypixels.camera.schema import SeenCamera
from dirtypixels.raw.frames import Frame
from dirtypixels.raw.reading import MONOCHROME

_COMPANY = frozenset({"corporation", "corp.", "imaging", "co.", "co.ltd.", "ltd.", "company", "inc.", "ag"})

_OF_LENS = {"LensModel": ("lens", "{}"), "FocalLength": ("focal length", "{} mm"), "FNumber": ("aperture", "f/{}")}
"""EXIF's fields on which a lens's blur depends, as people call them. Where it is focused no standard field says."""

_SAME = 0.02
"""By how much of itself a figure may differ: whole stops are 41 % apart, and rounding is not."""


def plain_name(camera: str) -> str:
    """A camera's name without case, without words of the company, and without the maker said twice."""
    words = [word for word in camera.casefold().replace(",", " ").split() if word not in _COMPANY]
    while len(words) > 1 and words[0] == words[1]:
        words = words[1:]
    return " ".join(words)


def same_name(one: str, other: str) -> bool:
    """Whether two names can be those of one camera: alike but for case, blanks and company, or one without the maker.

    "NIKON CORPORATION NIKON D850", "NikonD850" and "D850" are one camera.
    """
    plain, words = zip(*((name, name.split()) for name in map(plain_name, (one, other))), strict=True)
    joined = ["".join(filter(str.isalnum, name)) for name in plain]
    shorter, longer = sorted(words, key=len)
    return one == other or joined[0] == joined[1] or (bool(shorter) and longer[-len(shorter) :] == shorter)


def seen_in(frames: Sequence[Frame]) -> SeenCamera:
    """The camera that frames of one camera name and show."""
    height, width = frames[0].values.shape
    name = next((frame.camera for frame in frames if frame.camera), None)
    return SeenCamera.model_validate(
        {"name": name, "cfa": frames[0].cfa or MONOCHROME, "width": width, "height": height}
    )


def camera_differences(one: SeenCamera, other: SeenCamera) -> dict[str, tuple[str, str]]:
    """In what two cameras as they were seen differ: "camera" (its name), "size" and "cfa", with both values as text.

    What one of them does not know is no difference, and neither is a name that another program writes in its own way.
    """
    found: dict[str, tuple[str, str]] = {}
    if one.name and other.name and not same_name(one.name, other.name):
        found["camera"] = one.name, other.name
    sizes = [None if seen.width is None else f"{seen.width} x {seen.height}" for seen in (one, other)]
    if sizes[0] and sizes[1] and sizes[0] != sizes[1]:
        found["size"] = sizes[0], sizes[1]
    if one.cfa and other.cfa and one.cfa != other.cfa:
        found["cfa"] = one.cfa, other.cfa
    return found


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

    >>> import numpy as np
    >>> one, other = (Frame(np.zeros((4, 6), np.uint16), cfa) for cfa in ("RGGB", "BGGR"))
    >>> check_same_camera([one, other])
    Traceback (most recent call last):
    ValueError: all frames must come from one camera in one mode; ... differ: cfa RGGB and BGGR
    """
    first: Frame | None = None
    named: Frame | None = None
    of_iso: dict[float | None, Frame] = {}
    for frame in frames:
        first = first or frame
        named = named or (frame if frame.camera is not None else None)
        for other in (first, named, of_iso.setdefault(frame.iso, frame)):
            if other is None or other is frame:
                continue
            differences = camera_differences(seen_in([other]), seen_in([frame]))
            if not levels_may_follow_iso or frame.iso == other.iso:
                differences |= {
                    what: (_level(getattr(other, what)), _level(getattr(frame, what)))
                    for what in ("black", "white")
                    if getattr(other, what) != getattr(frame, what)
                }
            if differences:
                raise ValueError(
                    f"all frames must come from one camera in one mode; {_named(other)} and {_named(frame)} differ: "
                    f"{'; '.join(f'{what} {a} and {b}' for what, (a, b) in differences.items())}"
                )


def check_same_lens(frames: Iterable[Frame]) -> None:
    """Raise unless all frames that state their lens, focal length or aperture state the same.

    Blur depends on all of them, so that captures with others are of another lens. What a frame does not state is no
    difference; that the focus was left alone cannot be seen.

    Args:
        frames: the frames; each is compared with the first that states the same field.

    Raises:
        ValueError: two frames differ; the message names both files and everything in which they differ.

    >>> import numpy as np
    >>> one, other = (Frame(np.zeros((4, 6), np.uint16), exif={"FNumber": f}) for f in ("2.0", "8.0"))
    >>> check_same_lens([one, other])
    Traceback (most recent call last):
    ValueError: all captures must be taken through one lens ... differ: aperture f/2.0 and f/8.0
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


def _named(frame: Frame) -> str:
    """Both of two frames in different folders may have one name, so the path."""
    return frame.name if frame.path is None else str(frame.path)


def _level(value: float | tuple[float, ...] | None) -> str:
    if value is None:
        return "unknown"
    levels = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{level:g}" for level in (levels[:1] if len(set(levels)) == 1 else levels))
