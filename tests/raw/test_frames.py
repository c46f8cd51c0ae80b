"""A frame: what it refuses, and how it is taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dirtypixels.raw.frames import CFA_PATTERNS, Frame, plane_slices


def frame(**changes: Any) -> Frame:
    fields: dict[str, Any] = {
        "values": np.zeros((4, 6), np.uint16),
        "cfa": "RGGB",
        "black": (64.0,) * 4,
        "white": 4095.0,
    }
    return Frame(**(fields | changes))


class TestRaises:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"values": np.zeros((0, 4), np.uint16)}, r"values must have shape \(H, W\), neither 0; found \(0, 4\)"),
            ({"values": np.zeros((2, 4, 3), np.uint16)}, r"values must have shape \(H, W\).*found \(2, 4, 3\)"),
            ({"values": np.full((2, 2), np.nan, np.float32)}, "values must be finite; found 4 NaN or infinite of 4"),
            ({"values": np.zeros((3, 4), np.uint16)}, "even height and width where there is a cfa; found 3 x 4"),
            ({"values": np.zeros((4, 3), np.uint16)}, "even height and width where there is a cfa; found 4 x 3"),
            ({"cfa": "RGBG"}, "cfa must be one of 'RGGB', 'BGGR', 'GRBG', 'GBRG'; found 'RGBG'"),
            ({"black": (1.0, 2.0)}, "black must be 4 numbers, one a place of the 2 x 2 pattern; found 2"),
            ({"black": (1.0, 2.0, 3.0, np.nan)}, "black must be finite"),
            (
                {"cfa": None, "black": (1.0, 2.0, 1.0, 1.0)},
                "black must be alike at all four places where there is no cfa",
            ),
            ({"black": (64.0, 64.0, 64.0, 4095.0)}, "black must be below white 4095; found 4095"),
            ({"white": np.inf}, "white must be finite"),
            ({"iso": 0.0}, r"iso must be above 0 \(None where unknown\); found 0"),
            ({"iso": np.nan}, "iso must be finite"),
            ({"exposure_s": -1.0}, "exposure_s must be at least 0; found -1"),
        ],
    )
    def test_what_cannot_be_is_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            frame(**changes)

    @pytest.mark.parametrize(
        ("values", "message"),
        [([[1]], "must be a numpy array; found list"), (np.zeros((2, 2)), "float32 or uint16 .*; found float64")],
    )
    def test_other_values_are_refused(self, values: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            frame(values=values)


class TestSmoke:
    def test_everything_but_the_values_may_be_unknown(self) -> None:
        one = Frame(np.ones((3, 5), np.float32))
        assert (one.black, one.white, one.iso, one.exposure_s, one.camera) == (None,) * 5
        assert one.black_of("Y") is None
        assert one.name == "a frame without a file"
        assert frame(path=Path("folder/a.dng")).name == "a.dng"

    def test_a_dark_frame_has_exposure_0(self) -> None:
        assert frame(exposure_s=0.0).exposure_s == 0


class TestPlanes:
    @pytest.mark.parametrize("cfa", CFA_PATTERNS)
    def test_each_sample_is_in_the_plane_of_its_color(self, cfa: str) -> None:
        values = np.arange(24, dtype=np.uint16).reshape(4, 6)
        one = frame(values=values, cfa=cfa, black=(1.0, 2.0, 3.0, 4.0))
        planes = one.planes()
        assert sorted(planes) == ["B", "Gb", "Gr", "R"]
        for y in range(4):
            for x in range(6):
                place = y % 2 * 2 + x % 2
                name = cfa[place]
                if name == "G":  # next to red in its row, or next to blue
                    name = "Gr" if cfa[place ^ 1] == "R" else "Gb"
                assert planes[name][y // 2, x // 2] == values[y, x]
                assert one.black_of(name) == place + 1
        assert all(np.shares_memory(plane, values) for plane in planes.values())

    def test_a_monochrome_frame_is_one_plane(self) -> None:
        values = np.arange(15, dtype=np.float32).reshape(3, 5)
        one = frame(values=values, cfa=None)
        assert list(one.planes()) == ["Y"]
        assert np.array_equal(one.planes()["Y"], values)
        assert one.black_of("Y") == 64
        assert plane_slices(None) == {"Y": (slice(None), slice(None))}
