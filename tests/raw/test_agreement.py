"""Whether frames come from one camera, and through one lens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.camera.schema import SeenCamera
from dirtypixels.raw.agreement import camera_differences, check_same_camera, check_same_lens, same_name, seen_in
from dirtypixels.raw.frames import Frame


def frame(name: str, **changes: Any) -> Frame:
    fields: dict[str, Any] = {
        "values": np.zeros((4, 6), np.uint16), "cfa": "RGGB", "black": (64.0,) * 4, "white": 4095.0, "iso": 100.0,
        "camera": "A", "path": Path(name),
    }  # fmt: skip
    return Frame(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "B"}, "a.dng and c.dng differ: camera A and B$"),
        ({"values": np.zeros((4, 8), np.uint16)}, "a.dng and c.dng differ: size 6 x 4 and 8 x 4$"),
        ({"cfa": "BGGR"}, "a.dng and c.dng differ: cfa RGGB and BGGR$"),
        ({"cfa": None}, "differ: cfa RGGB and mono$"),
        ({"black": (65.0,) * 4}, "differ: black 64 and 65$"),
        ({"black": (64.0, 64.0, 64.0, 65.0)}, "differ: black 64 and 64 64 64 65$"),
        ({"black": None}, "differ: black 64 and unknown$"),
        ({"white": 16383.0}, "differ: white 4095 and 16383$"),
        ({"camera": "B", "cfa": "BGGR", "white": None}, "camera A and B; cfa RGGB and BGGR; white 4095 and unknown$"),
    ],
)
def test_both_files_and_all_that_differs_are_named(changes: dict[str, Any], message: str) -> None:
    same = [frame("a.dng"), frame("b.dng", iso=200.0, exposure_s=1.0)]
    check_same_camera(same)
    with pytest.raises(ValueError, match=message):
        check_same_camera([*same, frame("c.dng", **changes)])


def test_an_unnamed_camera_is_no_difference_but_two_named_ones_are() -> None:
    unnamed = [frame("a.dng", camera=None), frame("b.dng"), frame("c.dng", camera=None)]
    check_same_camera(unnamed)
    check_same_camera([])
    with pytest.raises(ValueError, match=r"b\.dng and d\.dng differ: camera A and B$"):
        check_same_camera([*unnamed, frame("d.dng", camera="B")])


def test_levels_may_follow_iso_where_that_is_said() -> None:
    frames = [frame("a.dng"), frame("b.dng", iso=200.0, white=4000.0), frame("c.dng", iso=200.0, white=4000.0)]
    with pytest.raises(ValueError, match=r"a\.dng and b\.dng differ: white 4095 and 4000$"):
        check_same_camera(frames)
    check_same_camera(frames, levels_may_follow_iso=True)
    with pytest.raises(ValueError, match=r"b\.dng and d\.dng differ: white 4000 and 4095$"):
        check_same_camera([*frames, frame("d.dng", iso=200.0)], levels_may_follow_iso=True)
    with pytest.raises(ValueError, match=r"a\.dng and d\.dng differ: cfa RGGB and BGGR$"):
        check_same_camera([*frames, frame("d.dng", iso=200.0, white=4000.0, cfa="BGGR")], levels_may_follow_iso=True)


LENS = {"FNumber": "1.8", "FocalLength": "50", "LensModel": "A"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"FNumber": "11"}, r"a\.dng and c\.dng differ: aperture f/1\.8 and f/11$"),
        ({"FocalLength": "200"}, "focal length 50 mm and 200 mm$"),
        ({"LensModel": "B"}, "lens A and B$"),
        (
            {"FNumber": "11", "FocalLength": "200", "LensModel": "B"},
            "through one lens.*differ: lens A and B; focal length 50 mm and 200 mm; aperture f/1.8 and f/11$",
        ),
    ],
)
def test_captures_through_another_lens_are_named(changes: dict[str, str], message: str) -> None:
    same = [frame("a.dng", exif=LENS), frame("b.dng", exif=LENS)]
    check_same_lens(same)
    with pytest.raises(ValueError, match=message):
        check_same_lens([*same, frame("c.dng", exif=LENS | changes)])


def test_what_is_not_stated_is_no_other_lens_and_rounding_is_none() -> None:
    check_same_lens([])
    check_same_lens([frame("a.dng"), frame("b.dng", exif=LENS), frame("c.dng", exif={"FNumber": "1.80"})])
    with pytest.raises(ValueError, match=r"c\.dng and d\.dng differ: lens A and B$"):
        check_same_lens([
            frame("a.dng", exif={"FNumber": "1.8"}), frame("b.dng"), frame("c.dng", exif={"LensModel": "A"}),
            frame("d.dng", exif={"FNumber": "1.8", "LensModel": "B"}),
        ])  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Nikon D850", "NIKON CORPORATION NIKON D850", True),
        ("NikonD850", "Nikon D850", True),
        ("EOS 550D", "Canon EOS 550D", True),
        ("Canon EOS 50D", "Canon EOS 550D", False),
        ("50D", "Canon EOS 550D", False),
        ("Nikon D850", "simulated", False),
        ("Inc.", "Nikon D850", False),
        ("A", "A", True),
    ],
)
def test_names_of_one_camera(one: str, other: str, same: bool) -> None:
    assert same_name(one, other) is same
    assert same_name(other, one) is same


def test_what_is_not_known_of_a_camera_is_no_difference() -> None:
    seen = seen_in([frame("a.dng", camera=None), frame("b.dng")])
    assert seen == SeenCamera(name="A", cfa="RGGB", width=6, height=4)
    assert camera_differences(seen, SeenCamera()) == {}
    other = SeenCamera(name="B", cfa="mono", width=6, height=8)
    assert camera_differences(seen, other) == {
        "camera": ("A", "B"),
        "size": ("6 x 4", "6 x 8"),
        "cfa": ("RGGB", "mono"),
    }
