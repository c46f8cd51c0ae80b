"""Frames sorted into exposures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dirtypixels.calibrate.noise.exposures import exposures_of
from dirtypixels.raw.frames import Frame


def frame(iso: float | None = 100.0, seconds: float | None = 0.01, **known: object) -> Frame:
    known = {"values": np.zeros((32, 32), np.uint16)} | known
    return Frame(iso=iso, exposure_s=seconds, **known)  # type: ignore[arg-type]


def test_frames_are_grouped_by_gain_time_and_light_in_order() -> None:
    frames = [
        frame(400, 0.02),
        frame(100, 0.02),
        frame(100, 0.01),
        frame(100, 0.02),
        frame(400, 0.02),
        frame(100, 0.01),
    ]
    found, diagnostics = exposures_of(frames)
    assert [(e.iso, e.seconds, len(e.frames)) for e in found] == [(100, 0.01, 2), (100, 0.02, 2), (400, 0.02, 2)]
    assert found[0].frames == (frames[2], frames[5])
    assert not diagnostics
    bright, _ = exposures_of([frame()] * 4, light=[1, 1, 3, 3])
    assert [e.dose for e in bright] == [0.01, 0.03]


def test_dark_frames_are_those_of_no_time_or_no_light() -> None:
    found, _ = exposures_of([frame(seconds=0.0)] * 2 + [frame()] * 4, light=[1, 1, 0, 0, 1, 1])
    assert [e.dark for e in found] == [True, True, False]
    assert [e.dose for e in found] == [0.0, 0.0, 0.01]
    assert found[1].name == "ISO 100, 0.01 s, dark"


def test_a_frame_that_is_alone_is_left_out_with_a_warning() -> None:
    found, (diagnostic,) = exposures_of([frame(seconds=0.01)] * 2 + [frame(seconds=0.02)])
    assert len(found) == 1
    assert diagnostic.severity == "warning"
    assert "0.02 s" in diagnostic.message
    assert "twice" in diagnostic.message


def test_no_pairs_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least two frames of each exposure.*3 exposures.*--from single-image"):
        exposures_of([frame(seconds=t) for t in (0.01, 0.02, 0.03)])


def test_other_input_is_refused() -> None:
    with pytest.raises(ValueError, match="found none"):
        exposures_of([])
    with pytest.raises(TypeError, match=r"captures must hold Frames.*ndarray"):
        exposures_of([np.zeros((4, 4))])  # type: ignore[list-item]
    for light in ([1.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="light must be 2 finite numbers"):
            exposures_of([frame()] * 2, light=light)


def test_mixed_captures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one camera.*A.*B"):
        exposures_of([frame(camera="A"), frame(camera="B")])
    with pytest.raises(ValueError, match=r"32 x 32.*16 x 32"):
        exposures_of([frame(), replace(frame(), values=np.zeros((32, 16), np.uint16))])
    with pytest.raises(ValueError, match="all say their ISO, or none"):
        exposures_of([frame(), frame(iso=None)])
    with pytest.raises(ValueError, match="all say their exposure time, or none"):
        exposures_of([frame(), frame(seconds=None)])


class TestUnknownExposureTimes:
    @staticmethod
    def frames(*levels: float) -> list[Frame]:
        random = np.random.default_rng(0)
        return [
            frame(
                seconds=None,
                values=(256 + level + 4 * random.standard_normal((32, 32))).astype(np.uint16),
                black=(256.0,) * 4,
                white=4095.0,
                path=Path(f"{i}.tiff"),
            )
            for i, level in enumerate(levels)
        ]

    def test_frames_of_several_exposures_are_refused(self) -> None:
        message = (
            r"must state exposure_s \(in captures\.csv, see docs/calibrate\.md\).* none in 1\.tiff.* in [23]\.tiff"
        )
        with pytest.raises(ValueError, match=message):
            exposures_of(self.frames(800, 100, 1600, 1600))
        with pytest.raises(ValueError, match="must state exposure_s"):
            exposures_of(self.frames(0, 0, 900, 900))

    @pytest.mark.parametrize("levels", [(800, 800), (800, 1000), (0, 0), (5, 0)])
    def test_frames_of_one_exposure_are_one(self, levels: tuple[float, ...]) -> None:
        assert len(exposures_of(self.frames(*levels))[0]) == 1

    def test_frames_of_several_lights_are_told_by_them(self) -> None:
        found, _ = exposures_of(self.frames(800, 800, 100, 100), light=[8, 8, 1, 1])
        assert len(found) == 2
